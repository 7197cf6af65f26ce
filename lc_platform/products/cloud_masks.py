"""Clouds in a patch's year, acquisition by acquisition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import (
    MAIN,
    Block,
    Layer,
    LazyCube,
    Summary,
    Thumbnail,
    Window,
    extent,
    same_grid,
    shifted,
    stretched,
    within,
)
from lc_platform.errors import DataError
from lc_platform.products.cloud_detectors import (
    TILE,
    ArchiveMasks,
    Detector,
    Masks,
    S2CloudlessOnOwnGrid,
    UNet,
    detector_of,
)
from lc_platform.products.handle import SeasonHandle
from lc_platform.products.options import DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack, Times
from lc_platform.products.refined_masks import RefinedMasks, layers_of
from lc_platform.runtime.overlap import read_ahead
from lc_platform.runtime.progress import track

NO_PROBABILITY = 255
_VALID_IN_MARGIN = "valid_in_margin"
_STEPS = 200
"""Steps that a stored probability has between 0 and 1."""


@dataclass(frozen=True)
class CloudMasks(SeasonHandle):
    """Cloud probability, clouds and validity of every acquisition of a patch in a year."""

    def check_made_of(self, raw_bands: AcquisitionStack) -> None:
        """Raises DataError where these are not the masks of ``raw_bands`` as they are now."""
        made_of = [a["key"] for a in self.acquisitions]
        if (
            made_of != [a["key"] for a in raw_bands.acquisitions]
            or not same_grid(self.geobox, raw_bands.geobox)
            or self.margin != raw_bands.map_margin
        ):
            raise DataError(
                f"{raw_bands.name}: cloud_masks were made of other raw_bands than there are now "
                f"({len(made_of)} acquisitions on {extent(self.cube.grids[MAIN])}; now "
                f"{len(raw_bands)} on {extent(raw_bands.map_grid)}). Materialize cloud_masks of "
                "this patch again"
            )

    @cached_property
    def acquisitions(self) -> list[dict[str, Any]]:
        """Key, datetime, valid_fraction and cloud_fraction of each, in order of time."""
        return list(self.cube.attributes["acquisitions"])

    @cached_property
    def valid_fraction(self) -> NDArray[np.float64]:
        """(time,), share of the patch's pixels that are valid."""
        return np.array([a["valid_fraction"] for a in self.acquisitions], dtype=np.float64)

    @cached_property
    def valid_in_margin(self) -> NDArray[np.bool_]:
        """(time,), whether any pixel is valid of those that are stored beyond the patch."""
        return np.array([a.get(_VALID_IN_MARGIN, False) for a in self.acquisitions], np.bool_)

    def valid(self, window: Window | None = None, times: Times = slice(None)) -> NDArray[np.bool_]:
        """Return (time, y, x), True where there is data and it shows the ground."""
        return self.cube.read("valid", self._stored(window), time=times).astype(bool)

    def cloud(self, window: Window | None = None, times: Times = slice(None)) -> NDArray[np.bool_]:
        """Return (time, y, x), True where cloudy."""
        return self.cube.read("cloud_mask", self._stored(window), time=times).astype(bool)

    def snow(self, window: Window | None = None, times: Times = slice(None)) -> NDArray[np.bool_]:
        """Return (time, y, x), True where snow lies. Raises KeyError where the masks have none."""
        return self.cube.read("snow_mask", self._stored(window), time=times).astype(bool)

    def probability(
        self, window: Window | None = None, times: Times = slice(None)
    ) -> NDArray[np.float32]:
        """Return (time, y, x), 0 to 1 in steps of 1/200, NaN where there is no data."""
        stored = self.cube.read("cloud_probability", self._stored(window), time=times)
        return np.where(stored == NO_PROBABILITY, np.nan, stored / np.float32(_STEPS)).astype(
            np.float32
        )


def detect(raw_bands: AcquisitionStack, options: DetectionOptions) -> LazyCube:
    """Return the cloud probability, cloud mask and validity of every acquisition.

    Threshold, average and dilation are those of s2cloudless. A pixel is valid where it has data,
    also for the detector, and is no cloud (``scl``: where its class is clear), and where shadows
    and snow are asked for none of these. Raises ValueError for another method.
    """
    detector = detector_of(raw_bands, options)
    layers = layers_of(detector, options)
    geobox, margin = raw_bands.geobox, raw_bands.map_margin
    facts = [{"key": a["key"], "datetime": a["datetime"]} for a in raw_bands.acquisitions]

    def blocks(summary: Summary) -> Iterator[Block]:
        pictures = np.zeros((len(facts), *Thumbnail(geobox.shape, 1).values.shape), np.float32)
        counts, beyond = np.zeros((len(facts), 2)), np.zeros(len(facts), np.int64)
        picture = Thumbnail(geobox.shape, 1)
        for time, window, masks in _found(raw_bands, detector, options, summary):
            inner = within(window, geobox.shape)
            if "valid" in masks:
                counts[time] += masks["valid"][inner].sum(), masks["cloud_mask"][inner].sum()
                beyond[time] += masks["valid"].sum() - masks["valid"][inner].sum()
            if "cloud_probability" in masks:
                probability = masks["cloud_probability"]
                picture.update(window, probability[None])
                pictures[time] = picture.values
                masks["cloud_probability"] = np.where(
                    np.isnan(probability),
                    NO_PROBABILITY,
                    np.rint(np.nan_to_num(probability) * _STEPS),
                )
            for layer in (name for name in layers if name in masks):
                stored = masks[layer].astype(np.uint8)[None]
                yield Block(layer, (slice(time, time + 1),), shifted(window, margin), stored)
        for one, (valid, cloudy) in zip(facts, counts / np.prod(geobox.shape), strict=True):
            one |= {"valid_fraction": float(valid), "cloud_fraction": float(cloudy)}
        if margin:
            for one, pixels in zip(facts, beyond, strict=True):
                one[_VALID_IN_MARGIN] = bool(pixels)
        summary.picture = _mean_picture(pictures)
        summary.facts |= {
            "acquisitions": len(facts),
            "valid_fraction": float(np.mean([f["valid_fraction"] for f in facts])),
            "cloud_fraction": float(np.mean([f["cloud_fraction"] for f in facts])),
            "method": options.method,
        }

    return LazyCube(
        {MAIN: raw_bands.map_grid},
        {
            name: Layer(
                ("time",),
                "uint8",
                fill=NO_PROBABILITY if name == "cloud_probability" else None,
                tile=TILE,
                attributes={"scale_factor": 1 / _STEPS, "_FillValue": NO_PROBABILITY}
                if name == "cloud_probability"
                else {},
            )
            for name in layers
        },
        blocks,
        {"time": raw_bands.datetimes},
        {
            "patch": raw_bands.patch,
            "year": raw_bands.year,
            **raw_bands.about_season,
            "acquisitions": facts,
            **({"margin": margin} if margin else {}),
        },
    )


def _found(
    raw_bands: AcquisitionStack, detector: Detector, options: DetectionOptions, summary: Summary
) -> Iterator[tuple[int, Window, Masks]]:
    if options.refined:
        assert isinstance(detector, S2CloudlessOnOwnGrid | UNet | ArchiveMasks)
        yield from RefinedMasks(raw_bands, detector, options, summary.warnings.__setitem__)
        return
    parts = list(detector.parts())
    unit = "acquisitions" if len(parts) == len(raw_bands) else "windows"
    reads = read_ahead(lambda part: detector.read(*part), parts)
    for (time, part), values in track(reads, unit, len(parts)):
        for window, masks in detector.masks(time, part, values):
            yield time, window, masks


def _mean_picture(pictures: NDArray[np.float32]) -> NDArray[np.uint8]:
    seen = ~np.isnan(pictures[:, 0])
    total = np.nansum(pictures[:, 0], axis=0)
    mean = total / np.maximum(seen.sum(axis=0), 1)
    return np.repeat(stretched(mean, 0, 1)[..., None], 3, axis=-1)
