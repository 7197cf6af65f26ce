"""Layers that are drawn of imagery and its clouds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lc_platform.area.grid import Patch
from lc_platform.artefacts.layout import Partition
from lc_platform.cube import Window, shifted
from lc_platform.eo.composite import median_of_valid
from lc_platform.eo.radiometry import calibrate
from lc_platform.errors import DataError
from lc_platform.products.cloud_masks import NO_PROBABILITY, CloudMasks
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.reading.errors import NotFoundError, nearest
from lc_platform.viewer import colors, png
from lc_platform.viewer.cubes import Opened
from lc_platform.viewer.map_layers import Asked, Entry, Kind, MapLayer
from lc_platform.viewer.problems import RequestError
from lc_platform.viewer.scene import Scene, existing
from lc_platform.viewer.tile_grid import Tile, positions, window

PATCHES = 16
"""Of which a tile of imagery shows a part, at most: imagery has no overviews."""
_COARSEST = 2
"""Zooms above the pixels' own, up to which imagery is drawn."""
_AT_ONCE = 16
"""Acquisitions that a composite is made of, at most: those with the most valid pixels."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Bands(NamedTuple):
    """What is shown as red, green and blue."""

    names: tuple[str, str, str]
    bright: tuple[float, float, float]
    """The reflectance that is shown as bright as can be."""


TRUE = Bands(("B04", "B03", "B02"), (0.25, 0.25, 0.25))
FALSE = Bands(("B08", "B04", "B03"), (0.5, 0.25, 0.25))
_DARK = 0.01
"""The reflectance that is shown as black."""
_GAMMA = 1 / 1.4


def shades(
    stack: AcquisitionStack, times: Sequence[int], bands: Bands, numbers: NDArray[Any]
) -> NDArray[np.float32]:
    """Return the reflectance of digital numbers, (time, band, pixel); NaN where there is no data.

    numbers  (time, band, pixel)
    """
    scale, offset = stack.calibration(bands.names, times)
    missing = stack.cube.layers["bands"].attributes.get("_FillValue")
    values = calibrate(numbers[..., None], scale, offset)[..., 0]
    if missing is not None:
        values[numbers == missing] = np.nan
    return values


def stretched(values: NDArray[np.float32], bands: Bands) -> NDArray[np.uint8]:
    """Return reflectance (band, pixel) as colours (pixel, (red, green, blue, opacity))."""
    bright = np.array(bands.bright, np.float32)[:, None]
    known = np.isfinite(values).all(axis=0)
    scaled = np.clip((np.nan_to_num(values) - _DARK) / (bright - _DARK), 0, 1) ** _GAMMA
    found = np.zeros((values.shape[1], 4), np.uint8)
    found[:, :3] = (scaled * 255).round().T
    found[:, 3] = np.where(known, 255, 0)
    found[~known] = 0
    return found


def first_known(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (band, pixel) of (time, band, pixel): of the first time that all bands are known."""
    known = np.isfinite(values).all(axis=1)
    first = known.argmax(axis=0)
    found: NDArray[np.float32] = np.take_along_axis(values, first[None, None], axis=0)[0]
    return found


@dataclass(frozen=True, eq=False)
class _PatchImagery:
    """A patch's imagery and its clouds, as a source of tiles."""

    patch: Patch
    imagery: Opened[AcquisitionStack] | None
    masks: Opened[CloudMasks] | None

    @property
    def number(self) -> tuple[int | None, int | None]:
        return (
            None if self.imagery is None else self.imagery.number,
            None if self.masks is None else self.masks.number,
        )


@dataclass(frozen=True)
class _OfCubes(MapLayer):
    id: str
    title: str
    group: str

    def min_zoom(self, scene: Scene) -> int:
        own = scene.patches.native_zoom - _COARSEST
        return max(scene.patches.zoom_of(PATCHES), own, 0)

    def check(self, scene: Scene, year: int) -> None:
        asset = self.assets(Asked(scene.reader.artefacts.year(year)))[0]
        if not scene.made(asset, year)[0]:
            raise scene.not_made(asset, Partition(None, year))

    def assets(self, asked: Asked) -> Sequence[str]:
        """Return what it is drawn of."""
        raise NotImplementedError

    def note(self, scene: Scene, year: int) -> str | None:
        return scene.incomplete(self.assets(Asked(year))[0], year)

    def version(self, scene: Scene, asked: Asked) -> str:
        return "-".join(scene.made(asset, asked.year)[1] for asset in ("raw_bands", "cloud_masks"))

    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[_PatchImagery]:
        assets = self.assets(asked)
        made = [scene.made(asset, asked.year)[0] for asset in assets]
        cubes = scene.cubes

        def opened(patch: str) -> _PatchImagery:
            where = Partition(patch, asked.year)
            return _PatchImagery(
                scene.patches.by_key[patch],
                cubes.imagery(where) if "raw_bands" in assets else None,
                cubes.masks(where) if "cloud_masks" in assets else None,
            )

        keys = (patch.key for patch in scene.patches.within(tile))
        return existing(opened, (key for key in keys if all(key in one for one in made)))


def _drawn(
    scene: Scene,
    tile: Tile,
    patch: Patch,
    out: NDArray[np.uint8],
    read: Callable[[Window, NDArray[np.int64]], NDArray[np.uint8]],
) -> None:
    """Put into ``out`` what is read of a patch, as far as the tile shows it.

    out   (y, x, ...), of the tile
    read  gives (pixel, ...) of a window of the patch, at positions in it; 0 at the end of a pixel
          of which nothing is known
    """
    part = tile.part(scene.patches.boxes[patch.key])
    if part is None:
        return
    rows, columns = tile.places(part, patch.crs).in_pixels(patch.geobox, patch.shape)
    there = window(rows, columns, patch.shape)
    if there is None:
        return
    height, width = (side.stop - side.start for side in there)
    at = np.empty(out[part].shape[:2], np.int64)
    positions(rows, columns, there[0].start, there[1].start, height, width, at)
    inside = at >= 0
    if not inside.any():
        return
    values = read(there, at[inside])
    known = (values[..., -1] if values.ndim > 1 else values) > 0
    inside[inside] = known
    out[part][inside] = values[known]


def _times(stack: AcquisitionStack | CloudMasks, asked: Asked) -> list[int]:
    """Return which acquisitions are asked for: one by its key, or those of a day or a month."""
    if asked.month is not None and isinstance(stack, AcquisitionStack):
        return stack.of_month(asked.month)
    wanted = str(asked.acquisition)
    if _DAY.fullmatch(wanted):
        return [i for i, one in enumerate(stack.acquisitions) if one["datetime"][:10] == wanted]
    return [i for i, one in enumerate(stack.acquisitions) if one["key"] == wanted]


def _check_asked(layer: MapLayer, asked: Asked) -> None:
    if asked.acquisition is None and (asked.month is None or "month" not in layer.takes):
        month = ", or a month: month=07" if "month" in layer.takes else ""
        raise RequestError(
            f"{layer.id}: is of an acquisition. Name one, acquisition=KEY, or a day: "
            f"acquisition={asked.year}-07-15{month}"
        )


@dataclass(frozen=True)
class Imagery(_OfCubes):
    """Bands as colours: of an acquisition, of those of a day, or of a month without its clouds."""

    bands: Bands
    kind: ClassVar[Kind] = "image"
    takes: ClassVar[Sequence[str]] = ("acquisition", "month")

    def check(self, scene: Scene, year: int) -> None:
        super().check(scene, year)
        config = scene.reader.config
        there = self.bands.names if config is None else config.acquired_bands
        if absent := [band for band in self.bands.names if band not in there]:
            raise NotFoundError(
                f"{self.title} needs {', '.join(absent)}, which is not among imagery.bands "
                f"({', '.join(there)}). Add it, and run again"
            )

    def assets(self, asked: Asked) -> Sequence[str]:
        monthly = asked.month is not None and asked.acquisition is None
        return ("raw_bands", "cloud_masks") if monthly else ("raw_bands",)

    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[_PatchImagery]:
        _check_asked(self, asked)
        return super().sources(scene, tile, asked)

    def draw(
        self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[_PatchImagery]
    ) -> bytes:
        out = np.zeros((tile.size, tile.size, 4), np.uint8)
        for one in sources:
            assert one.imagery is not None
            stack = one.imagery.handle
            masks = None if one.masks is None else one.masks.handle
            if masks is not None and not _fit(masks, stack):
                continue
            times = _times(stack, Asked(asked.year, acquisition=asked.acquisition)
                           if masks is None else asked)  # fmt: skip
            if masks is not None and len(times) > _AT_ONCE:
                best = sorted(times, key=lambda i: -masks.valid_fraction[i])
                times = sorted(best[:_AT_ONCE])
            if times:
                read = _reader(stack, masks, times, self.bands)
                _drawn(scene, tile, one.patch, out, read)
        return png.colored(out) if out[..., 3].any() else png.empty(tile.size, tile.size)


def _fit(masks: CloudMasks, stack: AcquisitionStack) -> bool:
    """Whether masks are those of imagery: they are not until they have followed it."""
    try:
        masks.check_made_of(stack)
    except DataError:
        return False
    return True


def _reader(
    stack: AcquisitionStack, masks: CloudMasks | None, times: list[int], bands: Bands
) -> Callable[[Window, NDArray[np.int64]], NDArray[np.uint8]]:
    """Return what reads the colours of a patch's pixels: of the first acquisition that knows them,
    or of the median of the valid ones."""

    def read(there: Window, at: NDArray[np.int64]) -> NDArray[np.uint8]:
        numbers = stack.digital_numbers(there, times, bands.names)
        picked = numbers.reshape(*numbers.shape[:2], -1)[..., at]
        values = shades(stack, times, bands, picked)
        if masks is None:
            return stretched(first_known(values), bands)
        valid = masks.valid(there, times).reshape(len(times), -1)[:, at]
        return stretched(median_of_valid(values, valid & np.isfinite(values).all(axis=1)), bands)

    return read


_CLOUD = Entry(1, "cloud", "#cc79a7")
_SHADOW = Entry(2, "shadow of a cloud", "#56409a")
_SNOW = Entry(3, "snow", "#56b4e9")
_LAYERS = {"snow_mask": _SNOW, "shadow_mask": _SHADOW, "cloud_mask": _CLOUD}


@dataclass(frozen=True)
class Clouds(_OfCubes):
    """The clouds of an acquisition, or of those of a day, with shadows and snow where these are
    looked for."""

    kind: ClassVar[Kind] = "mask"
    takes: ClassVar[Sequence[str]] = ("acquisition",)

    def assets(self, asked: Asked) -> Sequence[str]:  # noqa: ARG002
        return ("cloud_masks",)

    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[_PatchImagery]:
        _check_asked(self, asked)
        return super().sources(scene, tile, asked)

    def entries(self, scene: Scene, year: int) -> list[Entry]:  # noqa: ARG002
        return [_CLOUD, _SHADOW, _SNOW]

    def draw(
        self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[_PatchImagery]
    ) -> bytes:
        out = np.zeros((tile.size, tile.size), np.uint8)
        for one in sources:
            assert one.masks is not None
            masks = one.masks.handle
            for time in _times(masks, Asked(asked.year, acquisition=asked.acquisition)):
                _drawn(scene, tile, one.patch, out, _cloud_reader(masks, time))
        table = {one.value: (one.color, 150) for one in _LAYERS.values()}
        return png.indexed(out, colors.of_numbers(table))


def _cloud_reader(
    masks: CloudMasks, time: int
) -> Callable[[Window, NDArray[np.int64]], NDArray[np.uint8]]:
    def read(there: Window, at: NDArray[np.int64]) -> NDArray[np.uint8]:
        found = np.zeros(at.shape, np.uint8)
        stored = shifted(there, masks.margin)
        for name, entry in _LAYERS.items():
            if name in masks.cube.layers:
                mask = masks.cube.read(name, stored, time=[time])[0].ravel()[at]
                found[mask > 0] = entry.value
        probability = masks.cube.read("cloud_probability", stored, time=[time])[0].ravel()[at]
        found[probability == NO_PROBABILITY] = 0
        return found

    return read


def acquisition_of(stack: AcquisitionStack, acquisition: str) -> int:
    """Return the position of an acquisition. Raises NotFoundError where there is none."""
    if acquisition not in stack.keys:
        raise NotFoundError(
            f"{stack.name}: has no acquisition {acquisition!r}; {nearest(acquisition, stack.keys)}"
        )
    return stack.keys.index(acquisition)
