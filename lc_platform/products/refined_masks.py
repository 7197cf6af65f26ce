"""Masks beyond what a detector tells of single scenes: shadows, snow, and what the season shows.

All of it is found on the detector's own, coarser grid, in three steps: the scenes' clouds, one
acquisition after another; the season of each pixel, window by window; and the masks, again one
acquisition after another, of which only shadows look beyond the pixel itself. Between the steps
each observation takes a few bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import Window, first_pixel, shifted, whole
from lc_platform.eo import clouds, shadows, temporal_mask
from lc_platform.eo import snow as snow_rules
from lc_platform.eo.polygons import transformer
from lc_platform.eo.sun import sun_position, towards_sun
from lc_platform.eo.temporal_mask import CLEAR, CLOUD, UNUSED
from lc_platform.products.cloud_detectors import (
    ArchiveMasks,
    Detector,
    Masks,
    SceneDetector,
    probability_on_map,
    tiles,
)
from lc_platform.products.detector_options import shadow_pixels
from lc_platform.products.options import DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack, detector_grid
from lc_platform.runtime.overlap import read_ahead
from lc_platform.runtime.progress import track

_TOGETHER = 2**16
"""Pixels whose season is read at a time."""
_BLOCK = 64
"""Pixels along the side of the squares, counted from the CRS's origin, that have one sun."""
_BITS = ("cloud", "usable", "snow", "missed", "ground", "dark", "shadow", "own_shadow")


class _Bits:
    """One bit for each observation, in memory."""

    def __init__(self, times: int, shape: tuple[int, int]) -> None:
        self._columns = shape[1]
        self._packed = np.zeros((times, shape[0], -(-shape[1] // 8)), np.uint8)

    def put(self, times: slice, rows: slice, values: NDArray[np.bool_]) -> None:
        self._packed[times, rows] = np.packbits(values, axis=-1)

    def get(self, times: slice, rows: slice = slice(None)) -> NDArray[np.bool_]:
        """Return (time, y, x)."""
        bits = np.unpackbits(self._packed[times, rows], axis=-1, count=self._columns)
        values: NDArray[np.bool_] = bits.astype(np.bool_)
        return values


class _Found(NamedTuple):
    """What there is at a time on the detector's grid under the map, each (y, x)."""

    cloud: NDArray[np.bool_]
    missed: NDArray[np.bool_]
    ground: NDArray[np.bool_]
    """That the scene calls cloud."""
    shadow: NDArray[np.bool_]
    snow: NDArray[np.bool_]
    known: NDArray[np.bool_]


def layers_of(detector: Detector, options: DetectionOptions) -> tuple[str, ...]:
    """Return the masks that are made with a detector."""
    if not options.refined:
        return detector.layers
    wanted = ["cloud_probability", "cloud_mask"]
    if options.shadows or options.temporal or "shadow_mask" in detector.layers:
        wanted.append("shadow_mask")
    return (*wanted, "snow_mask", "valid")


@dataclass(frozen=True)
class RefinedMasks:
    """The masks of a year, made with a detector that sees an imagery of its own grid."""

    raw: AcquisitionStack
    detector: SceneDetector
    options: DetectionOptions
    warn: Callable[[str, str], None]
    """Takes the key of an acquisition, and what is wrong with it."""

    @cached_property
    def _grid(self) -> GeoBox:
        """The detector's grid under the map."""
        return detector_grid(self.raw.map_grid, self.options.resolution, 0)

    @cached_property
    def _reach(self) -> int:
        """Pixels around what lies under the map in which clouds are known: the detector's own
        margin lies beyond, and one pixel more."""
        return shadow_pixels(self.options)

    def _of_detector(self, window: Window, beyond: int = 0) -> Window:
        """Return where a window of the grid under the map, and so many pixels around it, lie on the
        detector's grid."""
        rows, columns = (
            slice(side.start + at - of - beyond, side.stop + at - of + beyond)
            for side, at, of in zip(
                window, first_pixel(self._grid), first_pixel(self.raw.detector.geobox), strict=True
            )
        )
        return rows, columns

    def __iter__(self) -> Iterator[tuple[int, Window, Masks]]:
        """Yield times, windows of the map and masks: all probabilities first where the detector
        gives them on its own grid."""
        bits = self._new_bits()
        steps = 2 * len(self.raw)
        yield from track(self._scenes(bits), "acquisitions", steps)
        self._judge(bits)
        for time in range(len(self.raw)):
            found = self._found(time, bits)
            for window in tiles(self.raw):
                yield time, window, self._on_map(time, window, found)

    def _new_bits(self) -> dict[str, _Bits]:
        rows, columns = self._grid.shape
        own = not isinstance(self.detector, ArchiveMasks) and "shadow_mask" in self.detector.layers
        names = [name for name in _BITS if name != "own_shadow" or own]
        bits = {name: _Bits(len(self.raw), (rows, columns)) for name in names}
        wide = rows + 2 * self._reach, columns + 2 * self._reach
        return bits | {"cloud": _Bits(len(self.raw), wide)}

    def _scenes(self, bits: dict[str, _Bits]) -> Iterator[tuple[int, Window, Masks]]:
        inner = self._of_detector(whole(self._grid))
        wide = self._of_detector(whole(self._grid), self._reach)
        for time, values in read_ahead(self.detector.read_scene, range(len(self.raw))):
            at, scene = slice(time, time + 1), self.detector.scene(time, values)
            if scene.probability is not None:
                for window in tiles(self.raw):
                    found = probability_on_map(self.raw, time, window, scene.probability)
                    yield time, window, {"cloud_probability": found}
            bits["cloud"].put(at, slice(None), scene.cloud[wide][None])
            bits["usable"].put(at, slice(None), scene.usable[inner][None])
            if scene.shadow is not None:
                bits["own_shadow"].put(at, slice(None), scene.shadow[inner][None])

    def _judge(self, bits: dict[str, _Bits]) -> None:
        """Find snow and what the season shows, of strips of the detector's grid."""
        rows, columns = self._grid.shape
        height = max(1, _TOGETHER // columns)
        imagery, days = self.raw.detector, self.raw.days
        reach, times = self._reach, slice(None)
        scale, offset = (c.astype(np.float32) for c in imagery.calibration(temporal_mask.BANDS))
        for first in range(0, rows, height):
            strip = slice(first, min(first + height, rows))
            window = self._of_detector((strip, slice(0, columns)))
            snow = self._snow(window)
            bits["snow"].put(times, strip, snow)
            if not (self.options.shadows or self.options.temporal):
                continue
            within = slice(strip.start + reach, strip.stop + reach)
            cloud = bits["cloud"].get(times, within)[..., reach : reach + columns]
            usable = bits["usable"].get(times, strip) & ~snow
            state = np.where(usable, np.where(cloud, CLOUD, CLEAR), UNUSED).astype(np.uint8)
            numbers = imagery.digital_numbers(window, bands=temporal_mask.BANDS)
            flags = temporal_mask.season_flags(numbers, scale, offset, state, days)
            for name, flag in (
                ("missed", temporal_mask.MISSED_CLOUD),
                ("ground", temporal_mask.NOT_CLOUD),
                ("dark", temporal_mask.DARK),
                ("shadow", temporal_mask.SHADOW),
            ):
                bits[name].put(times, strip, (flags & flag) > 0)

    def _snow(self, window: Window) -> NDArray[np.bool_]:
        """Return (time, y, x) on the detector's grid."""
        found = np.zeros((len(self.raw), *(s.stop - s.start for s in window)), np.bool_)
        imagery = self.raw.detector
        visible = snow_rules.GREEN if snow_rules.GREEN in imagery.bands else snow_rules.RED
        for time in range(len(self.raw)):
            bands = imagery.reflectance(window, [time], (visible, *snow_rules.INFRARED))[0]
            found[time] = snow_rules.is_snow(*bands)
        return found

    def _suns(self, time: int) -> Iterator[tuple[Window, float, float]]:
        """Yield windows of the detector's grid with the sun's azimuth and elevation, degrees: as
        the archive has them, else computed."""
        given = self.raw.sun[time]
        if given is not None:
            yield whole(self._grid), *given
            return
        for block, place in self._blocks:
            azimuth, elevation = sun_position(self.raw.datetimes[time], *place)
            yield block, float(azimuth), float(elevation)

    def _found(self, time: int, bits: dict[str, _Bits]) -> _Found:
        def of(name: str) -> NDArray[np.bool_]:
            kept: NDArray[np.bool_] = bits[name].get(slice(time, time + 1))[0]
            return kept

        reach, (rows, columns) = self._reach, self._grid.shape
        around = of("cloud")
        cloud = around[reach : reach + rows, reach : reach + columns]
        missed, ground, shadow = (of(name) for name in ("missed", "ground", "shadow"))
        own_shadow = of("own_shadow") if "own_shadow" in bits else np.zeros_like(cloud)
        if not self.options.temporal:
            missed, ground, shadow = (np.zeros_like(cloud) for _ in range(3))
        if self.options.shadows:
            shadow = shadow | self._cast(time, of("dark") & ~missed, around)
        shadow = (shadow & ~missed) | own_shadow
        known = of("usable") | own_shadow
        return _Found(cloud, missed, ground & ~missed, shadow, of("snow") & known & ~cloud, known)

    def _cast(
        self, time: int, dark: NDArray[np.bool_], around: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        out = np.zeros_like(dark)
        if not dark.any():
            return out
        reach, resolution = self._reach, self.options.resolution
        for block, azimuth, elevation in self._suns(time):
            if elevation <= 0:
                self.warn(
                    str(self.raw.keys[time]),
                    f"the sun stands {-elevation:.1f} degrees below the horizon, and "
                    "no shadow of a cloud is found. Leave it out by imagery.exclude: "
                    f"[{self.raw.keys[time]}]",
                )
                return out
            offsets = shadows.offsets(*towards_sun(azimuth, elevation), resolution, reach)
            down, across = block
            clouds_around = around[
                down.start : down.stop + 2 * reach, across.start : across.stop + 2 * reach
            ]
            out[block] = shadows.cast(
                np.ascontiguousarray(dark[block]), clouds_around, offsets, reach
            )
        return out

    @cached_property
    def _blocks(self) -> list[tuple[Window, tuple[float, float]]]:
        """Squares of the detector's grid, and the longitude and latitude of their middles: where
        the archive does not tell the sun's angles they are computed for each, so that they do not
        hang on the patch."""
        grid = self._grid
        rows, columns = grid.shape
        row, column = first_pixel(grid)
        to_degrees = transformer(str(grid.crs), "EPSG:4326")
        found = []
        for down in _squares(row, rows):
            for across in _squares(column, columns):
                middle = (
                    ((column + across.start) // _BLOCK + 0.5) * _BLOCK - column,
                    ((row + down.start) // _BLOCK + 0.5) * _BLOCK - row,
                )
                found.append(((down, across), to_degrees.transform(*(grid.affine * middle))))
        return found

    def _on_map(self, time: int, window: Window, found: _Found) -> Masks:
        fine = self.raw.map_grid[shifted(window, self.raw.map_margin)]

        def here(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
            found: NDArray[np.bool_] = clouds.mask_to_grid(mask[None], self._grid, fine)[0]
            return found

        data = self.raw.data_mask(window, [time])[0]
        missed, ground, shadow, snow = map(
            here, (found.missed, found.ground, found.shadow, found.snow)
        )
        if not isinstance(self.detector, ArchiveMasks):
            masks: Masks = {"cloud_mask": here(found.cloud) & data}
            masks["valid"] = data & here(found.known) & ~masks["cloud_mask"]
        else:
            masks = self.detector.masks_of(*self.detector.read(time, window))
        freed = masks["cloud_mask"] & ground
        cloud = (masks["cloud_mask"] & ~ground) | (missed & data)
        shadow = (masks.get("shadow_mask", False) | (shadow & data)) & ~cloud
        snow = (masks.get("snow_mask", False) | (snow & data)) & ~cloud
        masks["valid"] = (masks["valid"] | freed) & ~cloud & ~shadow
        if self.options.snow:
            masks["valid"] &= ~snow
        masks["cloud_mask"] = cloud
        return masks | {"shadow_mask": shadow, "snow_mask": snow}


def _squares(first: int, length: int) -> Iterator[slice]:
    start = 0
    while start < length:
        stop = min(length, start + _BLOCK - (first + start) % _BLOCK)
        yield slice(start, stop)
        start = stop
