"""An EOPatch's folder: what it is of, when and where, and the features that it has.

The layout is that of eo-learn 1.0 to 1.5: a folder a type of feature (`data`, `mask`,
`data_timeless`, `mask_timeless`, ...), `bbox.geojson`, and `timestamps.json` (`timestamp.json`
until 1.4.0), all but Zarr stores possibly compressed by gzip.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import shapely.geometry
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from lc_platform.errors import some
from lc_platform.sources.eopatches.arrays import (
    NPY,
    PICKLES,
    ZARR,
    StoredArray,
    opened,
    refused_pickle,
)
from lc_platform.sources.passes import NO_GEOJSON, utc
from lc_platform.sources.protocol import SourceError

TEMPORAL = ("data", "mask")
"""The types of features that have a value of each pixel at each time: (time, y, x, channel)."""
TIMELESS = ("mask_timeless", "data_timeless")
"""Those that have one of each pixel: (y, x, channel)."""
_TYPES = (
    *TEMPORAL,
    *TIMELESS,
    "scalar",
    "scalar_timeless",
    "label",
    "label_timeless",
    "vector",
    "vector_timeless",
)
_TIMES = ("timestamps", "timestamp")
_NAMED = 8
_JSON = (".geojson", ".geojson.gz", ".json", ".json.gz")


@dataclass(frozen=True)
class EOPatch:
    """An EOPatch in a folder; what is asked of it is read when it is asked for.

    Errors are SourceErrors that name the file or the folder.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """West, south, east, north, in units of the CRS."""
        return self._place[0]

    @property
    def crs(self) -> str:
        """Authority and code, such as ``EPSG:32633``."""
        return self._place[1]

    @cached_property
    def _place(self) -> tuple[tuple[float, float, float, float], str]:
        file = self._file(
            ("bbox",),
            "where on Earth its pixels lie is not known",
            "Save it again with a bounding box: eopatch.bbox = BBox(...)",
        )
        found = _json(file)
        try:
            geometry = shapely.geometry.shape(found)
            west, south, east, north = (float(edge) for edge in geometry.bounds)
        except NO_GEOJSON as error:
            raise SourceError(
                f"{file}: it is no GeoJSON of a bounding box ({error}). Save the EOPatch again"
            ) from error
        if not (west < east and south < north):
            raise SourceError(
                f"{file}: its bounding box {west:g} {south:g} {east:g} {north:g} has no area. Save "
                "the EOPatch again with the right one"
            )
        return (west, south, east, north), _crs(file, found)

    @cached_property
    def times(self) -> tuple[datetime, ...]:
        """When its acquisitions were made, UTC."""
        file = self._file(
            _TIMES,
            "when its acquisitions were made is not known",
            "Save it again with its times: eopatch.timestamps = [...]",
        )
        found = _json(file)
        try:
            if not isinstance(found, list):
                raise TypeError("it is no list")
            times = tuple(utc(datetime.fromisoformat(one)) for one in found)
        except (TypeError, ValueError) as error:
            raise SourceError(
                f"{file}: it is no list of times ({error}). Save the EOPatch again"
            ) from error
        if not times:
            raise SourceError(f"{file}: it has no time, and so no imagery. Leave the EOPatch out")
        return times

    def geobox(self, array: StoredArray) -> GeoBox:
        """Return the grid of a feature's pixels, the first row in the north."""
        rows, columns = array.shape[-3:-1]
        west, south, east, north = self.box
        steps = (east - west) / columns, (north - south) / rows
        return GeoBox(
            (rows, columns), Affine(steps[0], 0, west, 0, -steps[1], north), CRS(self.crs)
        )

    def names(self, types: Sequence[str]) -> list[str]:
        """Return the features of some types, as ``type/name``."""
        return [f"{kind}/{name}" for kind in types for name in self._features(kind)]

    def find(self, name: str, types: Sequence[str]) -> str | None:
        """Return the feature that has a name, as ``type/name``, in the first of the types that has
        it; None where none has."""
        for one in self.names(types):
            if name in (one, one.partition("/")[2]):
                return one
        return None

    def feature(self, name: str, types: Sequence[str]) -> StoredArray:
        """Return the feature of a name, or of ``type/name``, with its shape checked.

        types  that are looked through, the first first
        """
        found = self.find(name, types)
        if found is None:
            has = some(self.names(types), _NAMED) or f"nothing in {' or '.join(types)}"
            raise SourceError(
                f"{self.path}: it has no feature {name}. It has {has}. Give another, or leave the "
                "EOPatch out"
            )
        kind, _, own = found.partition("/")
        files = self._features(kind)[own]
        if len(files) > 1:
            named = " and ".join(sorted(file.name for file in files))
            raise SourceError(
                f"{self.path}: {kind} has {own} twice, as {named}, and nothing says which holds. "
                "Remove the older one"
            )
        array = opened(files[0])
        axes = (*(("time",) if kind in TEMPORAL else ()), "row", "column", "channel")
        if len(array.shape) != len(axes):
            raise SourceError(
                f"{array.path}: its shape is {array.shape}, and a feature of {kind} has "
                f"{len(axes)} axes ({', '.join(axes)}). Save it again with them"
            )
        if kind in TEMPORAL and array.shape[0] != len(self.times):
            raise SourceError(
                f"{array.path}: it has {array.shape[0]} acquisitions, and the EOPatch has "
                f"{len(self.times)} times. Save it again with a time for each"
            )
        return array

    def _features(self, kind: str) -> Mapping[str, list[Path]]:
        """Return the files of a type of features by the features' names."""
        found: dict[str, list[Path]] = {}
        for file in _listed(self.path / kind):
            name, ending = _split(file.name, (*NPY, ZARR, *PICKLES))
            if ending:
                found.setdefault(name, []).append(file)
        return found

    def _file(self, names: Iterable[str], why: str, mend: str) -> Path:
        """Return the file of one of some names; raises SourceError that says why it is needed."""
        for file in _listed(self.path):
            name, ending = _split(file.name, (*_JSON, *PICKLES))
            if name in names and ending:
                if ending in PICKLES:
                    raise refused_pickle(file)
                return file
        wanted = " or ".join(f"{name}.{'geojson' if name == 'bbox' else 'json'}" for name in names)
        raise SourceError(f"{self.path}: it has no {wanted}, so {why}. {mend}")


def found_in(folders: Iterable[Path]) -> list[EOPatch]:
    """Return the EOPatches that folders are, or that are in them, in order, each once.

    Raises SourceError naming a folder that is not there, or that neither is one nor has one.
    """
    found: dict[Path, EOPatch] = {}
    for folder in folders:
        if not folder.is_dir():
            raise SourceError(
                f"{folder}: {'is no folder' if folder.exists() else 'is not there'}. Give the "
                "folder of an EOPatch, or one that has EOPatches in it"
            )
        here = [folder] if _is_eopatch(folder) else [f for f in _listed(folder) if _is_eopatch(f)]
        if not here:
            raise SourceError(
                f"{folder}: neither is an EOPatch nor has one in it: there is no bbox.geojson, and "
                "no folder data or mask. Give the folder of an EOPatch, or one that has EOPatches "
                "in it"
            )
        for one in here:
            found.setdefault(one.resolve(), EOPatch(one.resolve()))
    return [*found.values()]


def _is_eopatch(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    names = {_split(one.name, (*_JSON, *PICKLES))[0] for one in _listed(folder)}
    return not names.isdisjoint(("bbox", *_TIMES, *_TYPES))


def _listed(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder, without what is hidden, in order of its name."""
    try:
        found = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise SourceError(
            f"{folder}: cannot be read ({error.strerror}). Give it the right to be read"
        ) from error
    yield from (one for one in found if not one.name.startswith("."))


def _split(name: str, endings: Iterable[str]) -> tuple[str, str]:
    """Return a file's name without the ending that it has of some, and the ending."""
    for ending in sorted(endings, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)], ending
    return name, ""


def _json(file: Path) -> Any:
    try:
        data = file.read_bytes()
        return json.loads(gzip.decompress(data) if file.name.endswith(".gz") else data)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise SourceError(
            f"{file}: it cannot be read; it is damaged or cut short ({error}). Copy or save the "
            "EOPatch again"
        ) from error


def _crs(file: Path, found: Any) -> str:
    """Return the CRS of GeoJSON as sentinelhub writes it: that of GeoJSON where it tells none."""
    named = found.get("crs")
    if named is None:
        return "EPSG:4326"
    try:
        authority = CRS.from_user_input(named["properties"]["name"]).to_authority()
    except (AttributeError, KeyError, TypeError, CRSError) as error:
        raise SourceError(
            f"{file}: its CRS {named!r} is not known. Save the EOPatch again with the right one"
        ) from error
    if authority is None:
        raise SourceError(
            f"{file}: its CRS {named!r} has no code. Save the EOPatch again in one that has"
        )
    return ":".join(authority)
