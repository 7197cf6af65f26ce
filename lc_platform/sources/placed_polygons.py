"""The polygons of a layer, brought onto any grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from lc_platform.eo import polygons
from lc_platform.sources.polygon_index import Features, IndexedLayer

_TOLERANCE = 1e-3
"""Pixels that an edge may be off: few centres of pixels lie so near to it."""


@dataclass(frozen=True)
class PlacedLayer:
    """A layer of polygons whose place on Earth is known."""

    polygons: IndexedLayer
    crs: CRS
    extent: tuple[float, float, float, float] | None

    def around(self, geobox: GeoBox) -> Features:
        """Return the features around a grid, in their order, each once."""
        parts = [self.polygons.within(box) for box in self._boxes(geobox)]
        if len(parts) == 1:
            return parts[0]
        attributes = self.polygons.attributes
        if not parts:
            none = np.empty(0, object)
            return Features(np.empty(0, np.int64), dict.fromkeys(attributes, ()), none)
        number, first = np.unique(np.concatenate([p.number for p in parts]), return_index=True)
        words = {
            attribute: np.concatenate([np.array(p.words[attribute], object) for p in parts])[
                first
            ].tolist()
            for attribute in attributes
        }
        return Features(number, words, np.concatenate([p.geometry for p in parts])[first])

    def onto(self, drawn: NDArray[Any], geobox: GeoBox) -> NDArray[Any]:
        """Return polygons in a grid's CRS, (feature,), cut some way outside of it."""
        area, crs = ground(geobox.pad(2)), grid_crs(geobox)
        tolerance = _TOLERANCE * abs(geobox.resolution.x)
        return polygons.reprojected_near(drawn, self.crs, crs, tolerance, area)

    def _boxes(self, geobox: GeoBox) -> Iterator[tuple[float, float, float, float]]:
        """Yield where in the layer there may be something on a grid."""
        area, crs = ground(geobox.pad(2)), grid_crs(geobox)
        tolerance = _TOLERANCE * abs(geobox.resolution.x)
        try:
            yield from polygons.search_boxes(area, crs, self.crs, tolerance, self.extent)
        except polygons.NotExpressibleError:  # so that nothing in the file can lie there
            return


def grid_crs(geobox: GeoBox) -> CRS:
    """Return the CRS of a grid."""
    return _crs(str(geobox.crs))


@lru_cache(maxsize=64)
def _crs(name: str) -> CRS:
    return CRS(name)


def ground(geobox: GeoBox) -> shapely.Polygon:
    """Return what a grid covers, in its CRS."""
    rows, columns = geobox.shape
    a = geobox.affine
    corners = ((0, 0), (columns, 0), (columns, rows), (0, rows))
    return shapely.Polygon([(a.a * x + a.b * y + a.c, a.d * x + a.e * y + a.f) for x, y in corners])
