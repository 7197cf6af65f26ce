"""The granules of the simulated archive: squares of the plane, which do not overlap.

A granule is its column and row, counted from the origin of Web Mercator to the east and north.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry

from lc_platform.sources.simulated.coordinates import metres_per_unit, to_mercator

SIDE = 60e3
"""Of a granule, in Web Mercator metres."""
_STEP = 50e3
"""Metres after which a straight line of another CRS gets a corner of its own on the plane."""

Granule = tuple[int, int]


def outline(area: Geometry) -> shapely.Geometry:
    """Return an area in Web Mercator; its CRS must be known."""
    assert area.crs is not None
    corners = shapely.segmentize(area.geom, _STEP / metres_per_unit(area.crs))
    to_plane = to_mercator(str(area.crs)).transform
    return shapely.transform(corners, lambda at: np.column_stack(to_plane(*at.T)))


def touched(area: shapely.Geometry) -> dict[Granule, NDArray[np.float64]]:
    """Return the granules that an area in Web Mercator touches, each with the corners (corner, 2)
    of what of the area lies in it."""
    west, south, east, north = (int(edge) for edge in np.floor(np.array(area.bounds) / SIDE))
    found = {}
    for granule in np.ndindex(east - west + 1, north - south + 1):
        column, row = west + granule[0], south + granule[1]
        square = shapely.box(column * SIDE, row * SIDE, (column + 1) * SIDE, (row + 1) * SIDE)
        corners = shapely.get_coordinates(area.intersection(square))
        if corners.size:
            found[column, row] = corners
    return found


def middle(granule: Granule) -> tuple[float, float]:
    """Return the middle of a granule, Web Mercator metres."""
    column, row = granule
    return (column + 0.5) * SIDE, (row + 0.5) * SIDE


def item(pass_key: str, granule: Granule) -> str:
    """Return the id of a granule of a pass."""
    return f"{pass_key}_{granule[0]}_{granule[1]}"


def of_items(pass_key: str, items: Sequence[str]) -> list[Granule] | None:
    """Return the granules that the items of an acquisition are, None where it is the whole pass."""
    if tuple(items) == (pass_key,):
        return None
    numbers = (one.removeprefix(f"{pass_key}_").split("_") for one in items)
    return [(int(column), int(row)) for column, row in numbers]


def inside(
    granules: Iterable[Granule], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which places lie in one of some granules."""
    columns, rows = np.floor(x / SIDE), np.floor(y / SIDE)
    found = np.zeros(x.shape, np.bool_)
    for column, row in granules:
        found |= (columns == column) & (rows == row)
    return found
