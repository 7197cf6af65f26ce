"""Which pixels of a grid lie in an area of interest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from lc_platform.area.mask import Area
from lc_platform_tests.products import cubes

UTM = CRS.from_epsg(32633)
WEST, NORTH = 500_000, 5_200_000


def centres(geobox: GeoBox) -> tuple[NDArray[Any], NDArray[Any]]:
    """x (column,) and y (row, 1) of the pixels' centres."""
    rows, columns = geobox.shape
    side = geobox.resolution.x
    x = geobox.affine.c + side * (np.arange(columns) + 0.5)
    y = geobox.affine.f - side * (np.arange(rows) + 0.5)
    return x, y[:, None]


def mask(geometry: BaseGeometry, geobox: GeoBox, crs: CRS = UTM, buffer: float = 0) -> Any:
    return Area(geometry, crs, buffer).on(geobox).read()


def test_a_pixel_is_in_the_area_where_its_centre_is() -> None:
    # The diagonal from the north-west corner: below it x is less than the way down.
    geobox = cubes.grid(100, 100)
    south_west = shapely.Polygon([(WEST, NORTH), (WEST, NORTH - 1000), (WEST + 997, NORTH - 1000)])
    x, y = centres(geobox)
    expected = (x - WEST) < 0.997 * (NORTH - y)
    assert 4800 < expected.sum() < 5000
    np.testing.assert_array_equal(mask(south_west, geobox), expected)


def test_holes_and_parts_are_seen() -> None:
    geobox = cubes.grid(70, 70)
    ring = shapely.box(WEST + 100, NORTH - 500, WEST + 500, NORTH - 100)
    hole = shapely.box(WEST + 203, NORTH - 401, WEST + 404, NORTH - 202)
    island = shapely.box(WEST + 600, NORTH - 640, WEST + 630, NORTH - 600)
    expected = np.zeros((70, 70), bool)
    expected[10:50, 10:50] = True
    # Centres at 205 to 395 metres down; at 205 to 395, and 404 is before the one at 405.
    expected[20:40, 20:40] = False
    expected[60:64, 60:63] = True
    area = shapely.union_all([ring.difference(hole), island])
    np.testing.assert_array_equal(mask(area, geobox), expected)


@pytest.mark.parametrize("buffer", [95.0, 400.0])
def test_the_buffer_is_a_distance_to_the_metre(buffer: float) -> None:
    geobox = cubes.grid(120, 120)
    corner = shapely.box(WEST - 500, NORTH - 2000, WEST + 300, NORTH - 700)
    x, y = centres(geobox)
    right, up = np.maximum(x - (WEST + 300), 0), np.maximum(y - (NORTH - 700), 0)
    expected = np.hypot(right, up) <= buffer
    np.testing.assert_array_equal(mask(corner, geobox, buffer=buffer), expected)


def test_an_area_far_away_reaches_the_grid_by_its_buffer_alone() -> None:
    geobox = cubes.grid(64, 64)
    south = shapely.box(WEST, NORTH - 9000, WEST + 640, NORTH - 5000)
    found = mask(south, geobox, buffer=4500)
    # 5000 - 4500 metres down, which is 50 rows.
    assert not found[:50, 32].any()
    assert found[50:, 32].all()


@pytest.mark.parametrize("buffer", [0.0, 250.0])
def test_windows_and_neighbours_give_what_the_whole_grid_gives(buffer: float) -> None:
    whole = cubes.grid(300, 300)
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True).transform
    around = np.linspace(0, 2 * np.pi, 23)[:-1]
    reach = 900 + 350 * np.cos(5 * around)
    star = shapely.Polygon(
        np.column_stack(
            to_degrees(WEST + 1500 + reach * np.cos(around), NORTH - 1500 + reach * np.sin(around))
        )
    )
    degrees = CRS.from_epsg(4326)
    all_of_it = mask(star, whole, degrees, buffer)
    assert 0.2 < all_of_it.mean() < 0.8
    area = Area(star, degrees, buffer)
    for rows, columns in ((slice(0, 150), slice(130, 300)), (slice(37, 201), slice(0, 64))):
        expected = all_of_it[rows, columns]
        np.testing.assert_array_equal(area.on(whole).read((rows, columns)), expected)
        np.testing.assert_array_equal(area.on(whole[rows, columns]).read(), expected)
    assert area.on(whole).count() == all_of_it.sum()


def test_an_edge_of_degrees_is_a_parallel_also_between_its_ends() -> None:
    """Two degrees along a parallel bend by some 130 m in UTM, which is 13 rows."""
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True).transform
    geobox = cubes.grid(40, 40)
    x, y = centres(geobox)
    longitude, latitude = to_degrees(*np.broadcast_arrays(x, y))
    edge = float(latitude[20, 20])
    middle = float(longitude[20, 20])
    south = shapely.box(middle - 1, edge - 0.5, middle + 1, edge)
    found = mask(south, geobox, CRS.from_epsg(4326))
    clear = np.abs(latitude - edge) > 1e-7
    np.testing.assert_array_equal(found[clear], (latitude < edge)[clear])


@pytest.mark.parametrize(("size", "covers"), [(-6, False), (-4, True), (0, True), (1000, True)])
def test_a_grid_within_the_area_is_covered(size: float, covers: bool) -> None:
    geobox = cubes.grid(64, 64)
    area = Area(shapely.box(*geobox.boundingbox).buffer(size, join_style="mitre"), UTM)
    assert area.on(geobox).covers_all is covers
