"""Reference rasters."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.geometry import Point, Polygon, box

from lc_platform.eo import rasterize

GRID = GeoBox((4, 5), Affine(10, 0, 500_000, 0, -10, 5_000_040), "EPSG:32633")


def tile(left: float, bottom: float, right: float, top: float) -> Polygon:
    """A rectangle in pixels from the grid's lower left corner."""
    west, south = 500_000, 5_000_000
    return box(west + left * 10, south + bottom * 10, west + right * 10, south + top * 10)


def test_a_pixel_belongs_to_the_polygon_around_its_centre() -> None:
    burnt = rasterize.burn([(tile(0.4, 0, 2.6, 1.6), 7)], GRID, [7])
    expected = np.zeros((4, 5), np.uint8)
    expected[2:, :3] = 7
    np.testing.assert_array_equal(burnt.classes, expected)
    np.testing.assert_array_equal(burnt.masks[0], expected == 7)
    assert not burnt.ambiguous.any()


def test_a_polygon_that_holds_no_centre_burns_nothing() -> None:
    assert not rasterize.burn([(tile(0.6, 0, 1.4, 4), 7)], GRID, [7]).masks.any()


def test_where_two_classes_claim_a_pixel_it_is_ambiguous_and_both_masks_have_it() -> None:
    first, second = (tile(0, 0, 3, 4), 200), (tile(2, 0, 5, 4), 3)
    burnt = rasterize.burn([first, second], GRID, [3, 200])
    assert burnt.ambiguous.tolist() == [[False, False, True, False, False]] * 4
    assert burnt.masks[0].tolist() == [[False, False, True, True, True]] * 4
    assert burnt.masks[1].tolist() == [[True, True, True, False, False]] * 4
    assert burnt.classes.tolist() == [[200, 200, 3, 3, 3]] * 4
    assert burnt.polygons.tolist() == [[1, 1, 2, 2, 2]] * 4
    burnt = rasterize.burn([second, first], GRID, [3, 200], [4_000_000_000, 9])
    assert burnt.classes[0, 2] == 200
    assert burnt.polygons.tolist() == [[9, 9, 9, 4_000_000_000, 4_000_000_000]] * 4


def test_polygons_of_one_class_may_overlap_without_being_ambiguous() -> None:
    burnt = rasterize.burn([(tile(0, 0, 3, 4), 1), (tile(2, 0, 5, 4), 1)], GRID, [1, 2])
    assert burnt.masks[0].all()
    assert not burnt.masks[1].any()
    assert not burnt.ambiguous.any()


def test_missing_empty_and_distant_geometries_burn_nothing() -> None:
    shapes = [(None, 1), (Polygon(), 1), (tile(50, 50, 60, 60), 1)]
    burnt = rasterize.burn(shapes, GRID, [1])
    assert (burnt.classes.shape, burnt.masks.shape) == ((4, 5), (1, 4, 5))
    assert not burnt.classes.any()
    assert not burnt.masks.any()


def test_no_polygon_at_all_is_a_reference_without_classes() -> None:
    burnt = rasterize.burn([], GRID, [1, 2])
    assert not burnt.classes.any()
    assert burnt.masks.shape == (2, 4, 5)


def test_a_class_that_is_not_in_the_list_is_refused_by_its_id() -> None:
    with pytest.raises(ValueError, match=r"A polygon has class 4; the classes are \(1, 2\)"):
        rasterize.burn([(tile(0, 0, 1, 1), 4)], GRID, [1, 2])


@pytest.mark.parametrize("class_id", [0, 256, -1])
def test_a_class_id_beyond_1_to_255_is_refused(class_id: int) -> None:
    with pytest.raises(ValueError, match=f"Class id {class_id} is not within 1 to 255"):
        rasterize.burn([], GRID, [class_id])


circles = st.lists(
    st.tuples(
        st.floats(-10, 60), st.floats(-10, 50), st.floats(1, 30), st.sampled_from([2, 9, 40])
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(circles)
def test_masks_classes_and_ambiguity_tell_one_story(
    drawn: list[tuple[float, float, float, int]],
) -> None:
    shapes = [
        (Point(500_000 + x, 5_000_000 + y).buffer(radius), class_id)
        for x, y, radius, class_id in drawn
    ]
    burnt = rasterize.burn(shapes, GRID, [2, 9, 40])
    for row, column in np.ndindex(4, 5):
        centre = Point(500_005 + 10 * column, 5_000_035 - 10 * row)
        near = [s for s, _ in shapes if abs(s.exterior.distance(centre)) < 1e-6]
        if near:
            continue  # on an outline the side is the rasterizer's to choose
        claims = [class_id for shape, class_id in shapes if shape.contains(centre)]
        assert burnt.classes[row, column] == (claims[-1] if claims else 0)
        holds = [i for i, (shape, _) in enumerate(shapes, 1) if shape.contains(centre)]
        assert burnt.polygons[row, column] == (holds[-1] if holds else 0)
        assert [i for i, m in zip((2, 9, 40), burnt.masks, strict=True) if m[row, column]] == (
            sorted(set(claims))
        )
        assert burnt.ambiguous[row, column] == (len(set(claims)) > 1)


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        ([1, 2], "2 ids are given for 1 polygons"),
        ([0], "Polygon id 0 is not within 1 to 4294967295"),
        ([2**32], "Polygon id 4294967296 is not within"),
    ],
)
def test_ids_that_polygons_cannot_have_are_refused(ids: list[int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rasterize.burn([(tile(0, 0, 1, 1), 1)], GRID, [1], ids)


def test_a_window_is_burnt_as_the_whole_is() -> None:
    shapes = [(Point(500_023, 5_000_017).buffer(14), 5), (tile(1.3, 0.2, 4.4, 3.1), 6)]
    whole = rasterize.burn(shapes, GRID, [5, 6])
    part = rasterize.burn(shapes, GRID[1:3, 2:5], [5, 6])
    np.testing.assert_array_equal(part.masks, whole.masks[:, 1:3, 2:5])
    np.testing.assert_array_equal(part.classes, whole.classes[1:3, 2:5])


def test_raster_values_become_classes_and_the_others_none() -> None:
    values = np.array([[1100, 1180, 2000], [-9999, 7, 2000]], np.int32)
    found = rasterize.from_raster(values, {1100: 1, 1180: 1, 2000: 30}, [1, 30])
    assert found.classes.tolist() == [[1, 1, 30], [0, 0, 30]]
    assert found.classes.dtype == np.uint8
    assert found.masks[0].tolist() == [[True, True, False], [False, False, False]]
    assert found.masks[1].tolist() == [[False, False, True], [False, False, True]]
    assert not found.ambiguous.any()
    assert not found.polygons.any()


def test_a_raster_value_given_an_unlisted_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Value 7 is given class 4; the classes are \(1, 2\)"):
        rasterize.from_raster(np.zeros((1, 1), np.uint8), {7: 4}, [1, 2])


@pytest.mark.real_data
def test_the_slovenian_land_use_burns_as_published(shared_data: Path) -> None:
    folder = shared_data / "slovenia"
    with rasterio.open(next(folder.glob("l1c/*/B01.tif"))) as file:
        grid = GeoBox((file.height, file.width), file.transform, file.crs)
    polygons = gpd.read_file(folder / "reference" / "lulc.gpkg").to_crs(grid.crs)
    assert len(polygons) == 88
    shapes = [
        (geometry, int(class_id))
        for geometry, class_id in zip(polygons.geometry, polygons["LULC_ID"], strict=True)
        if class_id
    ]
    burnt = rasterize.burn(shapes, grid, sorted({class_id for _, class_id in shapes}))
    np.testing.assert_array_equal(burnt.classes, np.load(folder / "expected" / "lulc.npy"))
