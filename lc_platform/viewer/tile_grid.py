"""Tiles of the web's map, and where their pixels lie in the CRS of a raster.

Tiles are those of Web Mercator (EPSG:3857): at zoom z the world is 2**z x 2**z of them, from the
north-west, each of 256 x 256 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo.polygons import transformer

SIZE = 256
"""Pixels along the side of a tile."""
HALF = 20037508.342789244
"""Metres from the middle of Web Mercator's world to its edges."""
LARGEST_ZOOM = 22
_WEB = "EPSG:3857"
_CELL = 16
"""Pixels between two places that are projected; between them places are interpolated, which is off
by less than a tenth of a pixel."""
_SMALL_CELL, _CURVED = 4, 5
"""The same below a zoom where the Earth's curvature shows within a tile."""
_EDGE = 33
"""Places along each edge of a raster, whose box in Web Mercator is around them."""
_LATITUDE = 85.0511287798066


class Box(NamedTuple):
    """A part of Web Mercator's world, in metres."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True)
class Tile:
    """A square of pixels in Web Mercator."""

    west: float
    north: float
    resolution: float
    """Metres of Web Mercator that a pixel is wide."""
    size: int = SIZE
    """Pixels along its side."""

    @classmethod
    def at(cls, z: int, x: int, y: int) -> Tile:
        """Return a tile of the web's map."""
        side = 2 * HALF / 2**z
        return cls(-HALF + x * side, HALF - y * side, side / SIZE)

    @property
    def box(self) -> Box:
        side = self.size * self.resolution
        return Box(self.west, self.north - side, self.west + side, self.north)

    @property
    def latitude(self) -> float:
        """Of its middle, in degrees."""
        middle = self.north - self.size * self.resolution / 2
        return math.degrees(math.atan(math.sinh(middle / 6378137)))

    @property
    def metres(self) -> float:
        """That a pixel is wide on the ground."""
        return self.resolution * math.cos(math.radians(self.latitude))

    def part(self, boxes: Sequence[Box]) -> tuple[slice, slice] | None:
        """Return the rows and columns that boxes reach, and a pixel more on each side; None where
        they reach none."""
        mine = self.box
        touching = [
            b
            for b in boxes
            if b.west < mine.east and b.east > mine.west
            and b.south < mine.north and b.north > mine.south
        ]  # fmt: skip
        if not touching:
            return None

        def pixels(low: float, high: float) -> slice:
            first = math.floor(low / self.resolution) - 1
            last = math.ceil(high / self.resolution) + 1
            return slice(max(first, 0), min(last, self.size))

        return (
            pixels(mine.north - max(b.north for b in touching),
                   mine.north - min(b.south for b in touching)),
            pixels(min(b.west for b in touching) - mine.west,
                   max(b.east for b in touching) - mine.west),
        )  # fmt: skip

    def places(self, part: tuple[slice, slice], crs: str) -> Places:
        """Return where pixels of a part of it lie in a CRS."""
        zoomed_out = self.resolution > 2 * HALF / SIZE / 2**_CURVED
        cell = _SMALL_CELL if zoomed_out else _CELL
        down, across = (
            np.linspace(side.start, side.stop, -(-(side.stop - side.start) // cell) + 1)
            for side in part
        )
        x = self.west + across * self.resolution
        y = self.north - down * self.resolution
        xs, ys = np.meshgrid(x, y)
        if crs != _WEB:
            xs, ys = transformer(_WEB, crs).transform(xs, ys)
        return Places(part, xs, ys)


class Places(NamedTuple):
    """Where pixels of a tile lie: of some, between which others are interpolated."""

    part: tuple[slice, slice]
    """The rows and columns of the tile that they are of."""
    x: NDArray[np.float64]
    """(down, across), in units of a CRS, evenly spaced from the first to the last edge."""
    y: NDArray[np.float64]

    @property
    def step(self) -> float:
        """Units of the CRS from one pixel of the tile to the next, in the middle of the places."""
        rows, columns = self.x.shape
        row, column = (rows - 1) // 2, (columns - 1) // 2
        across = math.hypot(
            self.x[row, column + 1] - self.x[row, column],
            self.y[row, column + 1] - self.y[row, column],
        )
        side = self.part[1]
        step: float = across * (columns - 1) / (side.stop - side.start)
        return step

    def in_pixels(
        self, geobox: GeoBox, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (rows, columns) in a raster, or in an overview of it.

        geobox  of the raster
        shape   (rows, columns) of the overview
        """
        back = ~geobox.affine
        columns = back.a * self.x + back.b * self.y + back.c
        rows = back.d * self.x + back.e * self.y + back.f
        return (
            np.ascontiguousarray(rows * (shape[0] / geobox.shape[0])),
            np.ascontiguousarray(columns * (shape[1] / geobox.shape[1])),
        )


def window(
    rows: NDArray[np.float64], columns: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[slice, slice] | None:
    """Return the part of a raster of some shape that places lie in; None where they lie beyond."""
    found = []
    for places, length in zip((rows, columns), shape, strict=True):
        finite = places[np.isfinite(places)]
        if not finite.size:
            return None
        first, last = max(math.floor(finite.min()), 0), min(math.floor(finite.max()) + 1, length)
        if first >= last:
            return None
        found.append(slice(first, last))
    return found[0], found[1]


@numba.njit(cache=True, nogil=True)
def _between(
    rows: NDArray[np.float64], columns: NDArray[np.float64], v: float, u: float
) -> tuple[float, float]:
    """Return (row, column) between places, ``v`` down and ``u`` across in steps of theirs."""
    r = min(int(v), rows.shape[0] - 2)
    c = min(int(u), rows.shape[1] - 2)
    v -= r
    u -= c
    row = (1 - v) * ((1 - u) * rows[r, c] + u * rows[r, c + 1]) + v * (
        (1 - u) * rows[r + 1, c] + u * rows[r + 1, c + 1]
    )
    column = (1 - v) * ((1 - u) * columns[r, c] + u * columns[r, c + 1]) + v * (
        (1 - u) * columns[r + 1, c] + u * columns[r + 1, c + 1]
    )
    return row, column


@numba.njit(cache=True, nogil=True)
def take(
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    source: NDArray[Any],
    top: int,
    left: int,
    missing: int,
    out: NDArray[Any],
) -> None:
    """Put into each pixel of ``out`` the pixel of ``source`` that its middle lies in.

    rows, columns  (down, across), where ``out`` lies, evenly spaced from edge to edge, in pixels
                   of a raster
    source         (y, x), a part of the raster that begins at (top, left)
    missing        the number that says nothing, which is not put; below 0 where there is none
    """
    height, width = source.shape
    down, across = (rows.shape[0] - 1) / out.shape[0], (rows.shape[1] - 1) / out.shape[1]
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            row, column = _between(rows, columns, (i + 0.5) * down, (j + 0.5) * across)
            if not (row >= top and row < top + height and column >= left and column < left + width):
                continue
            value = source[int(row) - top, int(column) - left]
            if value != missing:
                out[i, j] = value


@numba.njit(cache=True, nogil=True)
def positions(
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    top: int,
    left: int,
    height: int,
    width: int,
    out: NDArray[np.int64],
) -> None:
    """Put into each pixel of ``out`` the position of the pixel that its middle lies in: row by row
    in a part of the raster, (height, width), that begins at (top, left); -1 where it lies beyond.

    rows, columns  as of `take`
    """
    down, across = (rows.shape[0] - 1) / out.shape[0], (rows.shape[1] - 1) / out.shape[1]
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            row, column = _between(rows, columns, (i + 0.5) * down, (j + 0.5) * across)
            out[i, j] = -1
            if row >= top and row < top + height and column >= left and column < left + width:
                out[i, j] = (int(row) - top) * width + int(column) - left


def boxes_of(geobox: GeoBox) -> list[Box]:
    """Return where a raster lies in Web Mercator: around its edges, in two parts where it crosses
    180 degrees."""
    rows, columns = geobox.shape
    return boxes_around(str(geobox.crs), np.array([_box(geobox, rows, columns)]))[0]


def _box(geobox: GeoBox, rows: int, columns: int) -> tuple[float, float, float, float]:
    corners = [geobox.affine * (c, r) for c in (0, columns) for r in (0, rows)]
    x, y = zip(*corners, strict=True)
    return min(x), min(y), max(x), max(y)


def boxes_around(crs: str, bounds: NDArray[np.float64]) -> list[list[Box]]:
    """Return where boxes of a CRS lie in Web Mercator, each as `boxes_of` does.

    bounds  (box, (xmin, ymin, xmax, ymax)), in units of the CRS
    """
    along = np.linspace(0, 1, _EDGE)
    zero, one = np.zeros(_EDGE), np.ones(_EDGE)
    u = np.concatenate([along, one, along, zero, [0.5]])
    v = np.concatenate([zero, along, one, along, [0.5]])
    left, bottom, right, top = (side[:, None] for side in bounds.T)
    to_degrees = transformer(crs, "EPSG:4326")
    lon, lat = to_degrees.transform(left + u * (right - left), bottom + v * (top - bottom))
    middle = lon[:, -1:]
    turned = middle + (lon - middle + 180) % 360 - 180
    found = []
    for lons, lats in zip(turned, lat, strict=True):
        lons, lats = lons[np.isfinite(lons)], lats[np.isfinite(lats)]
        if not lons.size or not lats.size:
            found.append([Box(-HALF, -HALF, HALF, HALF)])
            continue
        south, north = (_northing(float(one)) for one in (lats.min(), lats.max()))
        west, east = float(lons.min()), float(lons.max())
        parts = [(west, east)]
        if east > 180:
            parts = [(west, 180.0), (-180.0, east - 360)]
        elif west < -180:
            parts = [(west + 360, 180.0), (-180.0, east)]
        found.append([Box(a / 180 * HALF, south, b / 180 * HALF, north) for a, b in parts])
    return found


def _northing(latitude: float) -> float:
    latitude = max(-_LATITUDE, min(_LATITUDE, latitude))
    return math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2)) * 6378137
