"""The bands of a pass's granules together: their calibration, and the state of their files.

Archives correct items under the same id. What a band's digital numbers hang on is named by its
*state*, which costs no request: of each granule

- the file: its checksum (``file:checksum``, ``checksum:multihash``) where the asset tells one;
  failing that, of a file of this machine its path, size and time of modification; failing that the
  link, ``file:size``, ``updated`` of the asset or else of the item, and its processing;
- how the file is read: the band in it, the no-data value, whether it is a classification, and what
  is added to bring the granule to the offset of the others.

So a newer ``updated`` counts where nothing tells more of the file: it may be another file then. Its
server is asked, in a request for a byte, whether it is still the one that was read (ETag,
Last-Modified); failing that it is read again, as a repeated download is better than a wrong map.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.catalogue import HostedCollection
from lc_platform.sources.network.remote_files import RemoteFiles
from lc_platform.sources.protocol import BandContent, SourceError
from lc_platform.sources.stac.items import Granule
from lc_platform.sources.stac.pixels import Layer

_PROCESSING = (
    "s2:processing_baseline",
    "s2:product_uri",
    "s2:generation_time",
    "processing:version",
    "processing:datetime",
)
"""Properties of an item that another processing of it changes."""
_LENGTH = 16
_LINK, _TIMELESS = "link", 3
"""The kind of a state that has no more than a link; and its entries that are no times."""


class Bands(Mapping[str, BandContent]):
    """The content of each band of a pass's granules, looked up when it is asked for.

    A band that is not in all granules, or whose calibration is not known, is not in it; reading
    it raises an error that says why.
    """

    def __init__(
        self,
        acquisition: str,
        granules: Sequence[Granule],
        hosted: HostedCollection,
        files: RemoteFiles,
    ) -> None:
        self._acquisition, self._granules, self._hosted = acquisition, granules, hosted
        self._files = files
        self._known: dict[str, BandContent] = {}

    def __getitem__(self, band: str) -> BandContent:
        if band not in self._known:
            self._known[band] = self._content(band)
        return self._known[band]

    def _content(self, band: str) -> BandContent:
        key = self._acquisition
        try:
            layers = [[granule.layer(band, key, self._hosted)] for granule in self._granules]
            scale, offset, shifts = common_calibration(key, [band], layers)
        except SourceError as error:
            raise KeyError(band) from error
        states = [
            _state(granule, layer, int(shift))
            for granule, (layer,), (shift,) in zip(self._granules, layers, shifts, strict=True)
        ]
        known = BandContent(float(scale[0]), float(offset[0]), _digest(states))
        if len(states) > 1 or states[0][1][0] != _LINK:
            return known
        name, file, read_as = states[0]
        layer = layers[0][0]
        return replace(
            known,
            link=_digest([name, file[:_TIMELESS], read_as]),
            tag=lambda: self._files.tag(layer.uri, layer.where),
        )

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys(name for granule in self._granules for name in granule.bands())
        return (name for name in names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def common_calibration(
    key: str, bands: Sequence[str], layers: Sequence[Sequence[Layer]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return scale and offset (band,) for all granules, and what to add to their digital numbers,
    (granule, band).

    Raises SourceError naming the acquisition and two files that cannot be reconciled.
    """
    scales = np.array([[layer.scale for layer in granule] for granule in layers])
    offsets = np.array([[layer.offset for layer in granule] for granule in layers])
    scale, offset = scales[0], offsets.min(axis=0)
    shifts = (offsets - offset) / scale
    differ = np.argwhere((scales != scale) | (abs(shifts - shifts.round()) > 1e-6))
    if differ.size:
        granule, band = differ[0]
        raise SourceError(
            f"acquisition {key}: its granules store band {bands[band]} with different scales or "
            f"offsets ({layers[0][band].link} and {layers[granule][band].link}), which whole "
            f"digital numbers cannot reconcile. Use an archive with one processing baseline."
        )
    return scale, offset, shifts.round().astype(np.int64)


def _state(granule: Granule, layer: Layer, shift: int) -> list[Any]:
    read_as = [layer.index, str(layer.nodata), layer.classification, layer.backscatter, shift]
    return [granule.id, _file(granule, layer), read_as]


def _file(granule: Granule, layer: Layer) -> list[Any]:
    asset, properties = granule.item.assets[layer.asset].extra_fields, granule.item.properties
    checksums = {
        name: value
        for name, value in asset.items()
        if value and (name == "file:checksum" or name.startswith("checksum:"))
    }
    if checksums:
        return ["checksum", checksums]
    if "://" not in layer.uri:
        try:
            status = Path(layer.uri).stat()
        except OSError:
            return ["file", layer.uri, None]  # reading it raises an error
        return ["file", layer.uri, status.st_size, status.st_mtime_ns]
    processing = {name: properties[name] for name in _PROCESSING if name in properties}
    updated = asset.get("updated") or properties.get("updated")
    return [_LINK, layer.link, asset.get("file:size"), updated, processing]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]
