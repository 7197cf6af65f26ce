"""Patches of a regular grid, to be joined."""

from __future__ import annotations

from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.area.grid import Patch

ROWS, COLUMNS = 70, 90


def box(
    left: float, top: float, rows: int = ROWS, columns: int = COLUMNS, crs: str = "EPSG:32633"
) -> GeoBox:
    return GeoBox((rows, columns), Affine(10, 0, left, 0, -10, top), crs)


def patch(
    row: int, column: int, shape: tuple[int, int] = (ROWS, COLUMNS), crs: str = "EPSG:32633"
) -> Patch:
    """A patch of a regular grid of 10 m pixels."""
    grid = box(5e5 + column * shape[1] * 10, 5e6 - row * shape[0] * 10, *shape, crs)
    zone = f"{crs[-2:]}N"
    return Patch(f"{zone}-r{row}-c{column}", grid, zone, row, column)
