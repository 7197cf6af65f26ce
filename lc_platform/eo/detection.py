"""Clouds in a patch's year, acquisition by acquisition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import clouds
from lc_platform.eo.acquisitions import AcquisitionStack, Times
from lc_platform.eo.cube import (
    MAIN,
    Block,
    Computed,
    Cube,
    DataError,
    Layer,
    Summary,
    Thumbnail,
    Window,
    extent,
    same_grid,
    stretched,
    windows,
)

NO_PROBABILITY = 255
_STEPS = 200
"""Steps that a stored probability has between 0 and 1."""
_TILE = 2048


@dataclass(frozen=True)
class CloudMasks:
    """Cloud probability, clouds and validity of every acquisition of a patch in a year."""

    cube: Cube

    @property
    def geobox(self) -> GeoBox:
        return self.cube.grids[MAIN]

    def check_made_of(self, raw_bands: AcquisitionStack) -> None:
        """Raises DataError where these are not the masks of ``raw_bands`` as they are now."""
        made_of = [a["key"] for a in self.acquisitions]
        if made_of != [a["key"] for a in raw_bands.acquisitions] or not same_grid(
            self.geobox, raw_bands.geobox
        ):
            raise DataError(
                f"{raw_bands.name}: cloud_masks were made of other raw_bands than there are now "
                f"({len(made_of)} acquisitions on {extent(self.geobox)}; now {len(raw_bands)} on "
                f"{extent(raw_bands.geobox)}). Materialize cloud_masks of this patch again"
            )

    @cached_property
    def acquisitions(self) -> list[dict[str, Any]]:
        """Key, datetime, valid_fraction and cloud_fraction of each, in order of time."""
        return list(self.cube.attributes["acquisitions"])

    @cached_property
    def valid_fraction(self) -> NDArray[np.float64]:
        """(time,), share of the patch's pixels that are valid."""
        return np.array([a["valid_fraction"] for a in self.acquisitions], dtype=np.float64)

    def valid(self, window: Window | None = None, times: Times = slice(None)) -> NDArray[np.bool_]:
        """(time, y, x), True where there is data and it shows the ground."""
        return self.cube.read("valid", window, time=times).astype(bool)

    def cloud(self, window: Window | None = None, times: Times = slice(None)) -> NDArray[np.bool_]:
        """(time, y, x), True where cloudy."""
        return self.cube.read("cloud_mask", window, time=times).astype(bool)

    def probability(
        self, window: Window | None = None, times: Times = slice(None)
    ) -> NDArray[np.float32]:
        """(time, y, x), 0 to 1 in steps of 1/200, NaN where there is no data."""
        stored = self.cube.read("cloud_probability", window, time=times)
        return np.where(stored == NO_PROBABILITY, np.nan, stored / np.float32(_STEPS)).astype(
            np.float32
        )


def detect(
    raw_bands: AcquisitionStack,
    *,
    method: str,
    threshold: float,
    average_over: int,
    dilation: int,
    threads: int = 0,
    **_: Any,
) -> Computed:
    """Cloud probability, cloud mask and validity of every acquisition.

    method        ``s2cloudless`` (Skakun et al. 2022) on the ten L1C bands, or ``scl``, the scene
                  classification of L2A products
    threshold     of the mean probability, 0 to 1
    average_over  pixels of the detector's grid
    dilation      likewise

    A pixel is valid where it has data, also for the detector, and is no cloud (``scl``: where
    its class is clear). Raises ValueError for another method.
    """
    if method == "s2cloudless":
        layers: tuple[str, ...] = ("cloud_probability", "cloud_mask", "valid")
        read = _s2cloudless(raw_bands, threshold, average_over, dilation, threads)
    elif method == "scl":
        layers = ("cloud_probability", "cloud_mask", "shadow_mask", "snow_mask", "valid")
        read = _scl(raw_bands)
    else:
        raise ValueError(f"clouds.method: {method} is not there; take s2cloudless or scl")
    geobox = raw_bands.geobox
    facts = [{"key": a["key"], "datetime": a["datetime"]} for a in raw_bands.acquisitions]

    def blocks(summary: Summary) -> Iterator[Block]:
        pictures = np.zeros((len(facts), *Thumbnail(geobox.shape, 1).values.shape), np.float32)
        for time in range(len(facts)):
            picture = Thumbnail(geobox.shape, 1)
            counts = np.zeros(2)
            for window, masks in read(time):
                counts += masks["valid"].sum(), masks["cloud_mask"].sum()
                probability = masks["cloud_probability"]
                picture.take(window, probability[None])
                masks["cloud_probability"] = np.where(
                    np.isnan(probability),
                    NO_PROBABILITY,
                    np.rint(np.nan_to_num(probability) * _STEPS),
                )
                for layer in layers:
                    values = masks[layer].astype(np.uint8)[None]
                    yield Block(layer, (slice(time, time + 1),), window, values)
            pictures[time] = picture.values
            valid, cloudy = counts / np.prod(geobox.shape)
            facts[time] |= {"valid_fraction": float(valid), "cloud_fraction": float(cloudy)}
        summary.picture = _mean_picture(pictures)
        summary.facts |= {
            "acquisitions": len(facts),
            "valid_fraction": float(np.mean([f["valid_fraction"] for f in facts])),
            "cloud_fraction": float(np.mean([f["cloud_fraction"] for f in facts])),
            "method": method,
        }

    return Computed(
        {MAIN: geobox},
        {
            name: Layer(
                ("time",),
                "uint8",
                fill=NO_PROBABILITY if name == "cloud_probability" else None,
                tile=_TILE,
                attributes={"scale_factor": 1 / _STEPS, "_FillValue": NO_PROBABILITY}
                if name == "cloud_probability"
                else {},
            )
            for name in layers
        },
        blocks,
        {"time": raw_bands.datetimes},
        {"patch": raw_bands.patch, "year": raw_bands.year, "acquisitions": facts},
    )


Masks = dict[str, NDArray[Any]]


def _s2cloudless(
    raw: AcquisitionStack, threshold: float, average_over: int, dilation: int, threads: int
) -> Any:
    seen = raw.detector
    margin = clouds.detector_margin(average_over, dilation)
    coarse = seen.geobox if seen is not raw else None

    def probability(window: Window | None, time: int) -> NDArray[np.float32]:
        here = [time]
        reflectance = seen.reflectance(window, here, clouds.DETECTOR_BANDS)
        nothing = ~seen.data_mask(window, here)
        reflectance[np.broadcast_to(nothing[:, None], reflectance.shape)] = np.nan
        return clouds.s2cloudless_probability(reflectance, threads=threads)

    def at_full_resolution(time: int) -> Iterator[tuple[Window, Masks]]:
        for window in windows(raw.geobox.shape, _TILE):
            wide = _widened(window, margin, raw)
            found = probability(wide, time)
            cloud = clouds.s2cloudless_mask(found, threshold, average_over, dilation)
            rows, columns = (
                slice(s.start - w.start, s.stop - w.start)
                for s, w in zip(window, wide, strict=True)
            )
            seen_here, cloud_here = found[0, rows, columns], cloud[0, rows, columns]
            yield (
                window,
                _with_validity(raw, window, time, seen_here, cloud_here, ~np.isnan(seen_here)),
            )

    def at_its_own(time: int) -> Iterator[tuple[Window, Masks]]:
        assert coarse is not None
        found = probability(None, time)
        cloud = clouds.s2cloudless_mask(found, threshold, average_over, dilation)
        looked = ~np.isnan(found)
        for window in windows(raw.geobox.shape, _TILE):
            fine = raw.geobox[window]
            yield (
                window,
                _with_validity(
                    raw,
                    window,
                    time,
                    clouds.probability_to_grid(found, coarse, fine)[0],
                    clouds.mask_to_grid(cloud, coarse, fine)[0],
                    clouds.mask_to_grid(looked, coarse, fine)[0],
                ),
            )

    return at_full_resolution if coarse is None else at_its_own


def _widened(window: Window, margin: int, raw: AcquisitionStack) -> Window:
    """A window and ``margin`` pixels around it, as far as the stack has them."""
    rows, columns = (
        slice(max(s.start - margin, -raw.margin), min(s.stop + margin, length + raw.margin))
        for s, length in zip(window, raw.geobox.shape, strict=True)
    )
    return rows, columns


def _with_validity(
    raw: AcquisitionStack,
    window: Window,
    time: int,
    probability: NDArray[np.float32],
    cloud: NDArray[np.bool_],
    looked: NDArray[np.bool_],
) -> Masks:
    data = raw.data_mask(window, [time])[0]
    return {
        "cloud_probability": np.where(data, probability, np.float32(np.nan)),
        "cloud_mask": cloud & data,
        "valid": data & looked & ~cloud,
    }


def _scl(raw: AcquisitionStack) -> Any:
    def read(time: int) -> Iterator[tuple[Window, Masks]]:
        for window in windows(raw.geobox.shape, _TILE):
            scl = raw.digital_numbers(window, [time], ["SCL"])[0, 0].astype(np.uint8)
            data = raw.data_mask(window, [time])[0]
            masks = clouds.scl_masks(scl)
            probability = np.where(data, masks.cloud.astype(np.float32), np.float32(np.nan))
            yield (
                window,
                {
                    "cloud_probability": probability,
                    "cloud_mask": masks.cloud & data,
                    "shadow_mask": masks.shadow & data,
                    "snow_mask": masks.snow & data,
                    "valid": masks.clear & data,
                },
            )

    return read


def _mean_picture(pictures: NDArray[np.float32]) -> NDArray[np.uint8]:
    seen = ~np.isnan(pictures[:, 0])
    total = np.nansum(pictures[:, 0], axis=0)
    mean = total / np.maximum(seen.sum(axis=0), 1)
    return np.repeat(stretched(mean, 0, 1)[..., None], 3, axis=-1)
