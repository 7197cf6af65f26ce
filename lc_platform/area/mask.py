"""The mask of the area of interest on a grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from lc_platform.area.options import AreaOptions
from lc_platform.cube import Window, whole, windows
from lc_platform.eo import polygons

_TOLERANCE = 1e-3
"""Pixels that the area's edges may be off where it is drawn in another CRS."""
_TILE = 32
"""Pixels along the side of what is tested together: within it, or beyond it, as a whole."""
_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Area:
    """An area of interest, and how far around it the map reaches."""

    geometry: BaseGeometry
    """Polygonal, in ``crs``."""
    crs: CRS
    buffer: float = 0.0
    """Metres, measured in the CRS of the grid."""

    def on(self, geobox: GeoBox) -> AreaMask:
        """Return the area's mask on a grid."""
        return AreaMask(self, geobox)

    @property
    def described(self) -> Mapping[str, Any]:
        """What distinguishes the area from another."""
        geometry = self.geometry.normalize().wkt
        return {"geometry": geometry, "crs": self.crs.to_wkt(), "buffer": self.buffer}


@dataclass(frozen=True, eq=False)
class ConfiguredArea:
    """The area of a configuration, whose boundary is read when it is first needed."""

    options: AreaOptions

    @cached_property
    def described(self) -> Mapping[str, Any]:
        """What distinguishes the area from another."""
        return self.options.counted("data")

    @cached_property
    def _area(self) -> Area:
        from lc_platform.area.patches import boundary

        found = boundary(self.options)
        return Area(found.geometry, found.crs, self.options.buffer)

    def on(self, geobox: GeoBox) -> AreaMask:
        """Return the area's mask on a grid. Raises BoundaryError."""
        return self._area.on(geobox)


@dataclass(frozen=True, eq=False)
class AreaMask:
    """The pixels of a grid whose centres lie in an area, or no further from it than its buffer.

    Whether a pixel is in the area depends on its centre alone, not on the grid.
    """

    area: Area
    geobox: GeoBox

    @cached_property
    def _near(self) -> BaseGeometry:
        """The area around the grid, in its CRS."""
        crs, resolution = CRS(str(self.geobox.crs)), abs(self.geobox.resolution.x)
        # What is further away than the buffer does not count; some pixels more allow for rounding.
        reach = shapely.box(*self.geobox.boundingbox).buffer(
            self.area.buffer + 8 * resolution, join_style="mitre"
        )
        (near,) = polygons.reprojected_near(
            [self.area.geometry], self.area.crs, crs, _TOLERANCE * resolution, reach
        )
        shapely.prepare(near)
        return near

    @cached_property
    def _within(self) -> BaseGeometry:
        """What surely lies in the area: circles are drawn as polygons in them."""
        within = self._near.buffer(self.area.buffer) if self.area.buffer else self._near
        shapely.prepare(within)
        return within

    @cached_property
    def covers_all(self) -> bool:
        """Whether every pixel of the grid lies in the area."""
        left, bottom, right, top = self.geobox.boundingbox
        half = abs(self.geobox.resolution.x) / 2
        centres = shapely.box(left + half, bottom + half, right - half, top - half)
        return bool(shapely.contains_properly(self._within, centres))

    def read(self, window: Window | None = None) -> NDArray[np.bool_]:
        """Return (y, x), True where the area is."""
        rows, columns = window or whole(self.geobox)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if self.covers_all:
            return np.ones((height, width), np.bool_)
        affine = self.geobox.affine
        x = affine.c + affine.a * (np.arange(columns.start, columns.stop) + 0.5)
        y = affine.f + affine.e * (np.arange(rows.start, rows.stop) + 0.5)
        found = np.zeros((height, width), np.bool_)
        tiles = list(windows((height, width), _TILE))
        boxes = np.array([(x[c.start], y[r.stop - 1], x[c.stop - 1], y[r.start]) for r, c in tiles])
        drawn = shapely.box(*boxes.T)
        within = shapely.contains_properly(self._within, drawn)
        across = shapely.dwithin(self._near, drawn, self.area.buffer) & ~within
        for tile in np.flatnonzero(within):
            found[tiles[tile]] = True
        for tile in np.flatnonzero(across):
            r, c = tiles[tile]
            centres = shapely.points(*np.broadcast_arrays(x[None, c], y[r, None]))
            found[r, c] = shapely.dwithin(self._near, centres, self.area.buffer)
        return found

    def count(self) -> int:
        """Return pixels in the area."""
        shape = self.geobox.shape
        return sum(int(self.read(window).sum()) for window in windows(shape, _AT_ONCE))
