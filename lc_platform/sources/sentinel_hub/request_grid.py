"""The grids that an archive is asked for, where it answers a limited number of pixels and takes
the nearest of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from odc.geo.geobox import GeoBox

from lc_platform.eo.polygons import METRES_PER_DEGREE
from lc_platform.sources.oversampling import MOST_POINTS


def points_a_side(geobox: GeoBox, native: float) -> int:
    """Return how many points a side each pixel of a grid is divided into: one, and at least twice
    as coarse as the archive's as many as the archive has pixels there, up to `MOST_POINTS`.

    native  metres between the archive's pixels
    """
    metres = abs(geobox.resolution.x) * _metres_per_unit(geobox)
    ratio = int(metres / native + 1e-6)
    return min(max(ratio, 1), MOST_POINTS)


def _metres_per_unit(geobox: GeoBox) -> float:
    if geobox.crs is not None and geobox.crs.geographic:
        latitude = float(geobox.extent.centroid.coords[0][1])
        return METRES_PER_DEGREE * float(np.cos(np.radians(latitude)))
    return 1.0


def pieces(geobox: GeoBox, most: int) -> Iterator[tuple[tuple[slice, slice], GeoBox]]:
    """Yield a grid cut into as few pieces as have at most ``most`` pixels a side, of about one
    size: where each lies (rows, columns), and its own grid. They touch and do not overlap."""
    for rows in _spans(geobox.shape[0], most):
        for columns in _spans(geobox.shape[1], most):
            yield (rows, columns), geobox[rows, columns]


def _spans(length: int, most: int) -> list[slice]:
    count = -(-length // most)
    edges = [length * n // count for n in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]
