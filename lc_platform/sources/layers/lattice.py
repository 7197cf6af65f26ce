"""Rasters whose pixels lie on one lattice, read as if they were one raster.

A lattice does not hang on which of its rasters are looked at: so its pixels are the same for every
patch, to the bit, and a window may go from one raster into the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo import Resolution, resxy_
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from lc_platform.area.coordinates import applied
from lc_platform.eo import polygons
from lc_platform.eo.resampling import Points
from lc_platform.sources.layers.tiles import Tile

_PHASE = 6
"""Decimals of a pixel by which lattices may be shifted against each other and are still one."""
_SIZE = 12
"""Digits of a pixel's size that count."""
_COORDINATE = 6
"""Decimals of a coordinate that count: so those of one place are equal in every window."""


@dataclass(frozen=True)
class Placed:
    """A raster on a lattice: rows and columns, half-open."""

    tile: Tile
    rows: slice
    columns: slice


@dataclass(frozen=True)
class Lattice:
    """A CRS and an affine transformation, and the rasters on it in order of preference."""

    crs: CRS
    affine: Affine
    placed: tuple[Placed, ...]

    @cached_property
    def rows(self) -> slice:
        """Those that the rasters lie in."""
        return _around([one.rows for one in self.placed])

    @cached_property
    def columns(self) -> slice:
        return _around([one.columns for one in self.placed])

    @cached_property
    def _proj(self) -> pyproj.CRS:
        return pyproj.CRS.from_user_input(self.crs.to_wkt())

    @property
    def _west(self) -> float:
        """The least x of the rasters."""
        corners = [
            self.affine * (column, row)
            for column in (self.columns.start, self.columns.stop)
            for row in (self.rows.start, self.rows.stop)
        ]
        return float(min(x for x, _ in corners))

    def resolution_in(self, crs: CRS | None) -> Resolution:
        """Return about how large the pixels are in another CRS, the same everywhere on Earth."""
        x, y = np.hypot(self.affine.a, self.affine.d), np.hypot(self.affine.b, self.affine.e)
        if self.crs != crs:
            x, y = (size * _metres(self._proj) for size in (x, y))
        return resxy_(float(x), float(y))

    def positions(self, grid: GeoBox, across: float = 0.5, down: float = 0.5) -> Iterator[Points]:
        """Yield where a grid's points lie on the lattice, in pixels of it: for each turn of a
        lattice in longitudes that they are on, NaN for those that are not on it.

        across, down  of a pixel of the grid, 0 to 1; by default its centre
        """
        x, y = np.meshgrid(np.arange(grid.shape[1]) + across, np.arange(grid.shape[0]) + down)
        x, y = applied(grid.affine, x, y)
        x, y = np.round(x, _COORDINATE), np.round(y, _COORDINATE)
        if self.crs != grid.crs:
            x, y = polygons.transformer(str(grid.crs), self.crs.to_wkt()).transform(x, y)
            x, y = (np.where(np.isfinite(one), one, np.nan) for one in (x, y))
        turns = polygons.turns_above(self._proj, self._west, x)
        for turn in np.unique(turns[np.isfinite(turns)]):
            columns, rows = self._pixels(np.where(turns == turn, x + turn, np.nan), y)
            yield rows, columns

    def _pixels(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        of = self.affine
        if of.b or of.d:
            return applied(~of, x, y)
        return (x - of.c) / of.a, (y - of.f) / of.e


def lattices(tiles: Iterable[Tile], crs: CRS | None) -> list[Lattice]:
    """Return the lattices of rasters in order of preference: those in ``crs`` first, and then in
    the order of their first rasters."""
    several = list(tiles)
    if len(several) == 1:
        (only,) = several
        rows, columns = only.geobox.shape
        placed = Placed(only, slice(0, rows), slice(0, columns))
        return [Lattice(_crs(only), only.geobox.affine, (placed,))]
    found: dict[tuple[str, Affine], list[Placed]] = {}
    for tile in several:
        affine, first = _phase(tile.geobox.affine)
        rows, columns = tile.geobox.shape
        place = Placed(tile, slice(first[0], first[0] + rows), slice(first[1], first[1] + columns))
        found.setdefault((str(_crs(tile)), affine), []).append(place)
    made = [Lattice(_crs(of[0].tile), affine, tuple(of)) for (_, affine), of in found.items()]
    return sorted(made, key=lambda one: one.crs != crs)


def _phase(affine: Affine) -> tuple[Affine, tuple[int, int]]:
    """Return a lattice's transformation, which is that of each of its rasters moved by whole
    pixels, and row and column of this one's first pixel."""
    if affine.b or affine.d:
        return affine, (0, 0)
    a, e = (float(f"{size:.{_SIZE}g}") for size in (affine.a, affine.e))
    at = [affine.c / a, affine.f / e]
    phase = [round(one - np.floor(one), _PHASE) % 1.0 for one in at]
    first = [round(one - part) for one, part in zip(at, phase, strict=True)]
    return Affine(a, 0.0, phase[0] * a, 0.0, e, phase[1] * e), (first[1], first[0])


def _crs(tile: Tile) -> CRS:
    assert tile.geobox.crs is not None
    return tile.geobox.crs


def _around(sides: Sequence[slice]) -> slice:
    return slice(min(one.start for one in sides), max(one.stop for one in sides))


def _metres(crs: pyproj.CRS) -> float:
    """Return the metres of a CRS's unit, of a degree those along a meridian."""
    if polygons.wraps(crs):
        return polygons.METRES_PER_DEGREE
    return float(crs.axis_info[0].unit_conversion_factor)
