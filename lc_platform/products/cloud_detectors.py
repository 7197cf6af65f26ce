"""The ways to find clouds: what each reads, and the masks it makes of that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Window, shifted, windows
from lc_platform.eo import clouds, hls_fmask
from lc_platform.products.options import DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack

TILE = 2048
"""Pixels along the side of the windows that are read, and stored, together."""

Masks = dict[str, NDArray[Any]]
"""Layer -> (y, x)."""


class Detector(Protocol):
    """A way to find clouds. Reading is apart from computing, so that it can go ahead."""

    layers: ClassVar[tuple[str, ...]]

    def parts(self) -> Iterator[tuple[int, Window | None]]:
        """Yield the times and windows that are read together, in order; None is the whole patch."""
        ...

    def read(self, time: int, window: Window | None) -> Any:
        """Read the values that the masks of a part are made of."""
        ...

    def masks(
        self, time: int, window: Window | None, values: Any
    ) -> Iterator[tuple[Window, Masks]]:
        """Yield the masks of a part, window by window."""
        ...


def tiles(raw: AcquisitionStack) -> Iterator[Window]:
    """Yield windows of the patch that tile it and the map's margin around it."""
    for tile in windows(raw.map_grid.shape, TILE):
        yield shifted(tile, -raw.map_margin)


def _windows(raw: AcquisitionStack) -> Iterator[tuple[int, Window]]:
    for time in range(len(raw)):
        for window in tiles(raw):
            yield time, window


@dataclass(frozen=True)
class S2Cloudless:
    """s2cloudless (Skakun et al. 2022): the mean probability of a neighbourhood, a threshold, and
    a margin around clouds."""

    raw: AcquisitionStack
    threshold: float
    average_over: int
    dilation: int
    threads: int

    layers: ClassVar[tuple[str, ...]] = ("cloud_probability", "cloud_mask", "valid")

    def _reflectance(self, window: Window | None, time: int) -> NDArray[np.float32]:
        """Return (1, band, y, x), NaN where there is no data."""
        imagery = self.raw.detector
        reflectance = imagery.reflectance(window, [time], clouds.DETECTOR_BANDS)
        data = imagery.data_mask(window, [time])
        if not data.all():
            reflectance[np.broadcast_to(~data[:, None], reflectance.shape)] = np.nan
        return reflectance

    def found(
        self, reflectance: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the probability and mask, (1, y, x) each."""
        probability = clouds.s2cloudless_probability(reflectance, threads=self.threads)
        return probability, clouds.s2cloudless_mask(
            probability, self.threshold, self.average_over, self.dilation
        )


class S2CloudlessOnPatchGrid(S2Cloudless):
    """s2cloudless at the patch's resolution, on windows with a margin."""

    def parts(self) -> Iterator[tuple[int, Window | None]]:
        return _windows(self.raw)

    def _wide(self, window: Window) -> Window:
        margin = clouds.detector_margin(self.average_over, self.dilation)
        return _widened(window, margin, self.raw)

    def read(self, time: int, window: Window | None) -> NDArray[np.float32]:
        assert window is not None
        return self._reflectance(self._wide(window), time)

    def masks(
        self, time: int, window: Window | None, values: NDArray[np.float32]
    ) -> Iterator[tuple[Window, Masks]]:
        assert window is not None
        probability, cloud = self.found(values)
        rows, columns = (
            slice(s.start - w.start, s.stop - w.start)
            for s, w in zip(window, self._wide(window), strict=True)
        )
        probability, cloud = probability[0, rows, columns], cloud[0, rows, columns]
        yield (
            window,
            _with_validity(self.raw, window, time, probability, cloud, ~np.isnan(probability)),
        )


class S2CloudlessOnOwnGrid(S2Cloudless):
    """s2cloudless on the detector's own, coarser grid, all of the patch at once."""

    def probability_on_map(
        self, time: int, window: Window, probability: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the probability in a window of the map (y, x), of what it is on the detector's
        grid (1, y, x)."""
        fine = self.raw.map_grid[shifted(window, self.raw.map_margin)]
        found = clouds.probability_to_grid(probability, self.raw.detector.geobox, fine)[0]
        return np.where(self.raw.data_mask(window, [time])[0], found, np.float32(np.nan))

    def parts(self) -> Iterator[tuple[int, Window | None]]:
        return ((time, None) for time in range(len(self.raw)))

    def read(self, time: int, window: Window | None) -> NDArray[np.float32]:
        return self._reflectance(window, time)

    def masks(
        self,
        time: int,
        window: Window | None,  # noqa: ARG002
        values: NDArray[np.float32],
    ) -> Iterator[tuple[Window, Masks]]:
        probability, cloud = self.found(values)
        known = ~np.isnan(probability)
        coarse = self.raw.detector.geobox
        for here in tiles(self.raw):
            fine = self.raw.map_grid[shifted(here, self.raw.map_margin)]
            yield (
                here,
                _with_validity(
                    self.raw,
                    here,
                    time,
                    clouds.probability_to_grid(probability, coarse, fine)[0],
                    clouds.mask_to_grid(cloud, coarse, fine)[0],
                    clouds.mask_to_grid(known, coarse, fine)[0],
                ),
            )


def _widened(window: Window, margin: int, raw: AcquisitionStack) -> Window:
    """Return a window and ``margin`` pixels around it, as far as the stack has them."""
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
    known: NDArray[np.bool_],
) -> Masks:
    data = raw.data_mask(window, [time])[0]
    return {
        "cloud_probability": np.where(data, probability, np.float32(np.nan)),
        "cloud_mask": cloud & data,
        "valid": data & known & ~cloud,
    }


@dataclass(frozen=True)
class ArchiveMasks:
    """Clouds as bands of the archive have them, window by window."""

    raw: AcquisitionStack

    layers: ClassVar[tuple[str, ...]] = ("cloud_probability", "cloud_mask", "valid")
    bands: ClassVar[tuple[str, ...]]

    def parts(self) -> Iterator[tuple[int, Window | None]]:
        return _windows(self.raw)

    def read(self, time: int, window: Window | None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return the bands (band, y, x), and where there is data (y, x)."""
        data = self.raw.data_mask(window, [time])[0]
        numbers = self.raw.digital_numbers(window, [time], self.bands)[0]
        return np.where(data, numbers, 0).astype(np.uint8), data

    def masks(
        self,
        time: int,  # noqa: ARG002
        window: Window | None,
        values: tuple[NDArray[np.uint8], NDArray[np.bool_]],
    ) -> Iterator[tuple[Window, Masks]]:
        assert window is not None
        yield window, self.masks_of(*values)

    def masks_of(self, bands: NDArray[np.uint8], data: NDArray[np.bool_]) -> Masks:
        """Return the masks of bands (band, y, x) and of where there is data (y, x)."""
        raise NotImplementedError


class Scl(ArchiveMasks):
    """The scene classification of Sentinel-2 L2A."""

    layers: ClassVar[tuple[str, ...]] = (
        "cloud_probability",
        "cloud_mask",
        "shadow_mask",
        "snow_mask",
        "valid",
    )
    bands: ClassVar[tuple[str, ...]] = ("SCL",)

    def masks_of(self, bands: NDArray[np.uint8], data: NDArray[np.bool_]) -> Masks:
        found = clouds.scl_masks(bands[0])
        return _classified(found.cloud, found.shadow, found.snow, found.clear, data)


class Fmask(ArchiveMasks):
    """Fmask (Zhu et al. 2015), as HLS has it."""

    layers: ClassVar[tuple[str, ...]] = Scl.layers
    bands: ClassVar[tuple[str, ...]] = ("Fmask",)

    def masks_of(self, bands: NDArray[np.uint8], data: NDArray[np.bool_]) -> Masks:
        found = hls_fmask.masks(bands[0])
        return _classified(found.cloud, found.shadow, found.snow & found.ground, found.ground, data)


def _classified(
    cloud: NDArray[np.bool_],
    shadow: NDArray[np.bool_],
    snow: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    data: NDArray[np.bool_],
) -> Masks:
    """Return the layers of a classification that gives no probability, (y, x) each."""
    return {
        "cloud_probability": np.where(data, cloud.astype(np.float32), np.float32(np.nan)),
        "cloud_mask": cloud & data,
        "shadow_mask": shadow & data,
        "snow_mask": snow & data,
        "valid": valid & data,
    }


class Provider(ArchiveMasks):
    """Sentinel Hub's CLP, a probability in steps of 1/255, and CLM: 1 cloud, 0 none, 255 unknown.

    See https://docs.sentinel-hub.com/api/latest/user-guides/cloud-masks/
    """

    bands: ClassVar[tuple[str, ...]] = ("CLP", "CLM")

    def masks_of(self, bands: NDArray[np.uint8], data: NDArray[np.bool_]) -> Masks:
        probability, mask = bands
        known = data & (mask != 255)
        return {
            "cloud_probability": np.where(known, probability / np.float32(255), np.float32(np.nan)),
            "cloud_mask": known & (mask == 1),
            "valid": known & (mask == 0),
        }


def detector_of(raw_bands: AcquisitionStack, options: DetectionOptions) -> Detector:
    """Return the detector of the method that the options name. Raises ValueError where there is
    none."""
    if options.method == "s2cloudless":
        on_patch_grid = raw_bands.detector is raw_bands
        detector = S2CloudlessOnPatchGrid if on_patch_grid else S2CloudlessOnOwnGrid
        return detector(
            raw_bands,
            options.threshold,
            options.average_over,
            options.dilation,
            options.threads,
        )
    if options.method == "scl":
        return Scl(raw_bands)
    if options.method == "fmask":
        return Fmask(raw_bands)
    if options.method == "provider":
        return Provider(raw_bands)
    raise ValueError(
        f"clouds.method: {options.method} is not known. Take s2cloudless, scl, fmask or provider"
    )
