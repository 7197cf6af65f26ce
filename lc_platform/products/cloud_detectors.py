"""The ways to find clouds: what each reads, and the masks it makes of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lc_platform.catalogue import canonical_band
from lc_platform.cube import Window, first_pixel, shifted, windows
from lc_platform.eo import cloud_network, clouds, csmask, hls_fmask
from lc_platform.eo.radiometry import calibrate
from lc_platform.products.detector_options import shadow_pixels
from lc_platform.products.options import DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack, detector_grid
from lc_platform.runtime.bounded_cache import BoundedCache

TILE = 2048
"""Pixels along the side of the windows that are read, and stored, together."""

Masks = dict[str, NDArray[Any]]
"""Layer -> (y, x)."""


class Scene(NamedTuple):
    """What a detector finds at a time on the grid of its own imagery, each (y, x)."""

    cloud: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    """Where it says whether there is a cloud, and finds no shadow."""
    shadow: NDArray[np.bool_] | None = None
    """Where it looks for shadows itself, and masks on the map are made of this."""
    probability: NDArray[np.float32] | None = None
    """Likewise; NaN where it says nothing."""


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


class SceneDetector(Detector, Protocol):
    """A detector that sees whole scenes on a grid of its own, of which more can be made."""

    def read_scene(self, time: int) -> Any:
        """Read the values that a scene is made of."""
        ...

    def scene(self, time: int, values: Any) -> Scene:
        """Return what is found in them, on the whole of the detector's grid."""
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

    def parts(self) -> Iterator[tuple[int, Window | None]]:
        return ((time, None) for time in range(len(self.raw)))

    def read(self, time: int, window: Window | None) -> NDArray[np.float32]:
        return self._reflectance(window, time)

    def read_scene(self, time: int) -> NDArray[np.float32]:
        return self.read(time, None)

    def scene(self, time: int, values: NDArray[np.float32]) -> Scene:  # noqa: ARG002
        probability, cloud = self.found(values)
        return Scene(cloud[0], ~np.isnan(probability[0]), probability=probability[0])

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


def probability_on_map(
    raw: AcquisitionStack, time: int, window: Window, probability: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the probability in a window of the map (y, x), of what it is on the detector's grid
    (y, x)."""
    fine = raw.map_grid[shifted(window, raw.map_margin)]
    found = clouds.probability_to_grid(probability[None], raw.detector.geobox, fine)[0]
    return np.where(raw.data_mask(window, [time])[0], found, np.float32(np.nan))


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


class _Imagery(NamedTuple):
    """Whole tiles that a network sees."""

    at: Window
    """Of the detector's grid, what is asked for."""
    corner: tuple[int, int]
    """The first row and column of the tiles, counted from the CRS's origin."""
    numbers: NDArray[Any]
    """(band, y, x)"""
    data: NDArray[np.bool_]
    """(y, x)"""


_TILES_KEPT = 64
"""What a network found in tiles that neighbouring windows share: 768 KiB each."""


@dataclass(frozen=True)
class UNet:
    """Clouds and their shadows by a network of ukis-csmask, on the detector's grid: the most
    probable class, and a margin around clouds and shadows."""

    raw: AcquisitionStack
    name: csmask.NetworkName
    resolution: float
    dilation: int
    reach: int
    """Pixels of the detector's grid beyond the map of which a scene says whether they are cloud."""
    threads: int
    _found: BoundedCache[tuple[int, int, int], NDArray[np.float32]] = field(
        default_factory=lambda: BoundedCache(_TILES_KEPT), repr=False, compare=False
    )

    layers: ClassVar[tuple[str, ...]] = ("cloud_probability", "cloud_mask", "shadow_mask", "valid")

    @cached_property
    def _bands(self) -> list[str]:
        return [canonical_band(band) for band in csmask.BANDS[: self.name.band_count]]

    def parts(self) -> Iterator[tuple[int, Window | None]]:
        return _windows(self.raw)

    def read(self, time: int, window: Window | None) -> _Imagery:
        assert window is not None
        return self._imagery(time, self._under(window, self.dilation + 1))

    def masks(
        self, time: int, window: Window | None, values: _Imagery
    ) -> Iterator[tuple[Window, Masks]]:
        assert window is not None
        inner = slice(self.dilation, -self.dilation or None)
        found, *masks = self._classes(time, values)
        probability = found[inner, inner]
        coarse = self.raw.detector.geobox[values.at][inner, inner]
        fine = self.raw.map_grid[shifted(window, self.raw.map_margin)]
        known, cloud, shadow = (
            clouds.mask_to_grid(mask[None], coarse, fine)[0]
            for mask in (~np.isnan(probability), *(mask[inner, inner] for mask in masks))
        )
        on_map = clouds.probability_to_grid(probability[None], coarse, fine)[0]
        result = _with_validity(self.raw, window, time, on_map, cloud, known)
        result["shadow_mask"] = shadow & result["valid"]
        result["valid"] &= ~shadow
        yield window, result

    def read_scene(self, time: int) -> _Imagery:
        rows, columns = self.raw.geobox.shape
        margin = self.raw.map_margin
        everything = slice(-margin, rows + margin), slice(-margin, columns + margin)
        return self._imagery(time, self._under(everything, self.reach + self.dilation + 1))

    def scene(self, time: int, values: _Imagery) -> Scene:
        probability = np.full(self.raw.detector.geobox.shape, np.nan, np.float32)
        masks = np.zeros((2, *probability.shape), np.bool_)
        found = self._classes(time, values)
        probability[values.at] = found[0]
        masks[(slice(None), *values.at)] = found[1:]
        cloud, shadow = masks
        return Scene(cloud, ~np.isnan(probability) & ~shadow, shadow, probability)

    def _under(self, window: Window, beyond: int) -> Window:
        """Return the pixels of the detector's grid under a window of the map, and so many more
        around them."""
        fine = self.raw.map_grid[shifted(window, self.raw.map_margin)]
        grid = detector_grid(fine, self.resolution, beyond)
        rows, columns = (
            slice(first - origin, first - origin + length)
            for first, origin, length in zip(
                first_pixel(grid), first_pixel(self.raw.detector.geobox), grid.shape, strict=True
            )
        )
        return rows, columns

    def _imagery(self, time: int, at: Window) -> _Imagery:
        corner, tiles = [], []
        for side, origin in zip(at, first_pixel(self.raw.detector.geobox), strict=True):
            start, stop = csmask.extent(side.start + origin, side.stop - side.start)
            corner.append(start)
            tiles.append(slice(start - origin, stop - origin))
        window, imagery = (tiles[0], tiles[1]), self.raw.detector
        return _Imagery(
            at,
            (corner[0], corner[1]),
            imagery.digital_numbers(window, [time], self._bands)[0],
            imagery.data_mask(window, [time])[0],
        )

    def _classes(
        self, time: int, values: _Imagery
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the probability of cloud, NaN where there is no data, and where there are clouds
        and shadows, widened, in the window that was read."""
        scale, offset = self.raw.detector.calibration(self._bands, [time])
        origin = first_pixel(self.raw.detector.geobox)

        def tile(row: int, column: int) -> NDArray[np.float32]:
            down, across = row - values.corner[0], column - values.corner[1]
            here = slice(down, down + csmask.TILE), slice(across, across + csmask.TILE)
            reflectance = calibrate(values.numbers[None, :, *here], scale, offset)[0]
            return np.where(values.data[here], reflectance, np.float32(np.nan))

        def kept(place: tuple[int, int], make: Callable[[], Any]) -> Any:
            key = (time, *place)
            found = self._found.get(key)
            if found is None:
                found = make()
                if found is not None:
                    self._found.put(key, found)
            return found

        rows, columns = (
            (side.start + first, side.stop - side.start)
            for side, first in zip(values.at, origin, strict=True)
        )
        found = cloud_network.probabilities(
            cloud_network.network(self.name), tile, rows, columns, threads=self.threads, kept=kept
        )
        down, across = (
            slice(first - corner, first - corner + length)
            for (first, length), corner in zip((rows, columns), values.corner, strict=True)
        )
        data = values.data[down, across] & ~np.isnan(found[0])
        classes = found.argmax(axis=0)
        cloud, shadow = (
            clouds.dilated((classes == one) & data, self.dilation) & data
            for one in (cloud_network.CLOUD, cloud_network.SHADOW)
        )
        probability = np.where(data, found[cloud_network.CLOUD], np.float32(np.nan))
        return probability, cloud, shadow & ~cloud


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

    def read_scene(self, time: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        imagery = self.raw.detector
        data = imagery.data_mask(None, [time])[0]
        numbers = imagery.digital_numbers(None, [time], self.bands)[0]
        return np.where(data, numbers, 0).astype(np.uint8), data

    def scene(
        self,
        time: int,  # noqa: ARG002
        values: tuple[NDArray[np.uint8], NDArray[np.bool_]],
    ) -> Scene:
        own = self.masks_of(*values)
        return Scene(own["cloud_mask"], own["valid"] | own["cloud_mask"])

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
    if options.method == "unet":
        assert options.network is not None
        return UNet(
            raw_bands,
            options.network,
            options.resolution,
            options.dilation,
            shadow_pixels(options),
            options.threads,
        )
    if options.method == "scl":
        return Scl(raw_bands)
    if options.method == "fmask":
        return Fmask(raw_bands)
    if options.method == "provider":
        return Provider(raw_bands)
    raise ValueError(
        f"clouds.method: {options.method} is not known. Take s2cloudless, unet, scl, fmask or "
        "provider"
    )
