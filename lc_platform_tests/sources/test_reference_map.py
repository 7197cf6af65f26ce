"""The reference map, from vector files and rasters as people have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.config import parse
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_map import Reference, open_reference
from lc_platform.sources.reference_options import ReferenceOptions
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform_tests.sources.references import (
    FOREST,
    GRID,
    LEFT,
    TOP,
    WATER,
    box,
    opened,
    polygons,
    raster,
    refusal,
)

FAR = GeoBox((20, 20), Affine(10, 0, LEFT + 50_000, 0, -10, TOP), "EPSG:32633")
COLOR = "#000000"


# Polygons


def test_polygons_are_burnt_by_their_class_and_overlaps_are_ambiguous(tmp_path: Path) -> None:
    shapes = [box(0, 0, 10, 10), box(8, 8, 10, 10), box(2, 2, 2, 2)]
    path = polygons(tmp_path / "r.gpkg", shapes, kind=[30, 80, 31])
    burnt = opened(path).burnt(GRID)
    expected = np.zeros((20, 20), np.uint8)
    expected[:10, :10] = 3
    expected[8:18, 8:18] = 8
    np.testing.assert_array_equal(burnt.classes, expected)
    assert burnt.class_ids == (3, 8)
    both = np.zeros((20, 20), np.bool_)
    both[8:10, 8:10] = True
    np.testing.assert_array_equal(burnt.ambiguous, both)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035", "EPSG:32632"])
def test_polygons_in_another_crs_are_burnt_as_those_in_the_grids(tmp_path: Path, crs: str) -> None:
    # Borders lie a quarter of a pixel off the pixels' centres: no rounding moves them across.
    angle = np.linspace(0, 2 * np.pi, 7)[:-1]
    ring = np.stack([LEFT + 103 + 61 * np.cos(angle), TOP - 97 + 61 * np.sin(angle)], axis=1)
    shapes = [shapely.Polygon(ring), box(1.25, 1.25, 4.5, 4.5)]
    here = polygons(tmp_path / "here.gpkg", shapes, kind=[30, 80])
    there = polygons(tmp_path / "there.gpkg", shapes, crs, kind=[30, 80])
    burnt = opened(here).burnt(GRID).classes
    assert set(np.unique(burnt)) == {0, 3, 8}
    np.testing.assert_array_equal(opened(there).burnt(GRID).classes, burnt)


def test_a_windows_pixels_are_those_of_the_whole(tmp_path: Path) -> None:
    shapes = [box(0.3, 0.3, 12.1, 7.7), box(5.6, 5.2, 13, 13)]
    path = polygons(tmp_path / "r.gpkg", shapes, "EPSG:3035", kind=[30, 80])
    reference = opened(path)
    whole = reference.burnt(GRID)
    part = reference.burnt(GRID[4:11, 3:17])
    np.testing.assert_array_equal(part.classes, whole.classes[4:11, 3:17])
    np.testing.assert_array_equal(part.ambiguous, whole.ambiguous[4:11, 3:17])
    np.testing.assert_array_equal(part.polygons, whole.polygons[4:11, 3:17])


def test_a_polygon_is_called_by_its_position_in_the_file_on_every_grid(tmp_path: Path) -> None:
    shapes = [shapely.Point(LEFT, TOP), box(0, 0, 4, 4), None, box(10, 0, 4, 4), box(11, 1, 4, 4)]
    path = polygons(tmp_path / "r.gpkg", shapes, kind=[30, 30, 30, 80, 80])
    reference = opened(path)
    found = reference.burnt(GRID).polygons
    assert set(np.unique(found)) == {0, 2, 4, 5}
    assert found[3, 3] == 2
    # Of two of one class the last has the pixels of both, as of two classes.
    assert found[1, 11:15].tolist() == [5] * 4
    np.testing.assert_array_equal(reference.burnt(GRID[:, 10:]).polygons, found[:, 10:])


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ([30, 80], [30, 80]),
        (["30", "80"], [30, 80]),
        ([30, 80], ["30", "80"]),
        ([30.0, 80.0], [30, 80]),
        (["trees", "lake"], ["trees", "lake"]),
    ],
    ids=["numbers", "text configured", "text in the file", "reals configured", "words"],
)
def test_values_are_the_same_as_numbers_and_as_text(
    tmp_path: Path, values: list[Any], kinds: list[Any]
) -> None:
    path = polygons(tmp_path / "r.gpkg", [box(0, 0, 5, 5), box(9, 9, 5, 5)], kind=kinds)
    classes = [{**FOREST, "values": values[:1]}, {**WATER, "values": values[1:]}]
    burnt = opened(path, classes=classes).burnt(GRID).classes
    assert (burnt[0, 0], burnt[9, 9], burnt[19, 19]) == (3, 8, 0)


def test_features_without_a_value_are_unlabelled(tmp_path: Path) -> None:
    # A column of whole numbers in which one is missing is read as reals: 30.0 is still 30.
    path = polygons(tmp_path / "r.gpkg", [box(0, 0, 5, 5), box(9, 9, 5, 5)], kind=[30, None])
    burnt = opened(path).burnt(GRID).classes
    assert (burnt[0, 0], burnt[9, 9]) == (3, 0)


def test_features_without_a_geometry_are_passed_over(tmp_path: Path) -> None:
    path = polygons(tmp_path / "r.gpkg", [box(0, 0, 5, 5), None], kind=[30, 80])
    reference = opened(path)
    assert set(np.unique(reference.burnt(GRID).classes)) == {0, 3}
    assert reference.covers(GRID)


def test_polygons_that_cross_themselves_are_repaired(tmp_path: Path) -> None:
    # A bow tie: both its wings are burnt, not a part of one.
    tie = shapely.Polygon(
        [(LEFT, TOP), (LEFT + 100, TOP - 100), (LEFT + 100, TOP), (LEFT, TOP - 100)]
    )
    assert not tie.is_valid
    path = polygons(tmp_path / "r.gpkg", [tie], kind=[30])
    reference = opened(path)
    burnt = reference.burnt(GRID).classes[:10, :10] == 3
    rows, columns = np.mgrid[0:10, 0:10]
    left = (columns < rows) & (columns < 9 - rows)
    right = (columns > rows) & (columns > 9 - rows)
    assert (burnt & (left | right)).sum() == (left | right).sum()
    assert not burnt[0, 4:6].any()
    assert not burnt[9, 4:6].any()
    assert reference.covers(GRID)


def test_values_to_ignore_have_no_label_and_are_no_error(tmp_path: Path) -> None:
    path = polygons(tmp_path / "r.gpkg", [box(0, 0, 5, 5), box(9, 9, 5, 5)], kind=[30, 99])
    burnt = opened(path, ignore=[99]).burnt(GRID).classes
    assert set(np.unique(burnt)) == {0, 3}


def test_values_that_no_class_has_are_listed_with_the_way_out(tmp_path: Path) -> None:
    shapes = [box(0, 0, 1, 1)] * 4
    path = polygons(tmp_path / "r.gpkg", shapes, kind=[30, 99, 41, 99])
    assert refusal(path) == (
        f"reference.classes: {path} has 3 features with values that no class has: kind 41, 99. "
        "Add them to a class's values, or to reference.ignore"
    )


def test_many_unknown_values_are_shown_in_part(tmp_path: Path) -> None:
    kinds = list(range(100, 140))
    path = polygons(tmp_path / "r.gpkg", [box(0, 0, 1, 1)] * 40, kind=kinds)
    message = refusal(path)
    assert "has 40 features" in message
    shown = ", ".join(str(kind) for kind in range(100, 120))
    assert f"kind {shown}, and 20 more. Add" in message


def test_an_attribute_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = polygons(tmp_path / "r.gpkg", [box(0, 0, 1, 1)], sort=[30], name=["a"])
    assert refusal(path) == (
        f"reference.attribute: {path} has no attribute kind. Name one that it has: sort, name"
    )


CROP = {"id": 1, "name": "crop", "color": COLOR, "values": [1200]}
GRASS = {"id": 2, "name": "grass", "color": COLOR, "values": [13], "attribute": "cover"}


def test_a_class_may_have_an_attribute_of_its_own(tmp_path: Path) -> None:
    path = polygons(
        tmp_path / "r.gpkg",
        [box(0, 0, 5, 5), box(10, 0, 5, 5), box(0, 10, 5, 5)],
        kind=[1200, 9999, None],
        cover=[11, 13, 13],
    )
    burnt = opened(path, classes=[CROP, GRASS]).burnt(GRID).classes
    assert (burnt[0, 0], burnt[0, 10], burnt[10, 0], burnt[19, 19]) == (1, 2, 2, 0)


def test_a_feature_that_no_attribute_gives_a_class_is_unknown(tmp_path: Path) -> None:
    path = polygons(
        tmp_path / "r.gpkg", [box(0, 0, 5, 5), box(9, 9, 5, 5)], kind=[None, None], cover=[13, 60]
    )
    assert "has 1 features with values that no class has: cover 60." in refusal(
        path, classes=[CROP, GRASS]
    )


def test_a_grid_is_covered_where_a_polygon_of_a_class_lies_on_it(tmp_path: Path) -> None:
    path = polygons(tmp_path / "r.gpkg", [box(0, 0, 5, 5), box(5000, 0, 9, 9)], kind=[30, 99])
    reference = opened(path, ignore=[99])
    assert reference.covers(GRID)
    assert not reference.covers(FAR)
    assert not reference.covers(GRID[10:, 10:])
    assert not reference.burnt(FAR).classes.any()


# Files that cannot be used


def test_a_reference_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lulc.gpkg"
    assert refusal(path) == f"reference.path: {path} is not there. Give the reference map's file"


def test_a_file_that_is_neither_polygons_nor_raster_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lulc.gpkg"
    path.write_text("not a map")
    message = refusal(path)
    assert message.startswith(
        f"reference.path: {path} is neither a vector file nor a raster that GDAL reads ("
    )
    assert message.endswith("Give one that is; this one may be damaged")


@pytest.mark.parametrize("ending", [".shp", ".dbf"])
def test_a_shapefile_that_is_cut_off_is_refused_by_the_part(tmp_path: Path, ending: str) -> None:
    path = polygons(tmp_path / "lulc.shp", [box(i, 0, 1, 1) for i in range(50)], kind=[30] * 50)
    part = path.with_suffix(ending)
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    assert refusal(path).startswith(f"reference.path: {part} ends after {len(content) // 2} of ")


def test_a_truncated_vector_file_is_refused_by_name(tmp_path: Path) -> None:
    shapes = [box(i % 20, i // 20, 1, 1) for i in range(4000)]
    path = polygons(tmp_path / "lulc.gpkg", shapes, kind=[30] * 4000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    assert refusal(path).startswith(f"reference.path: {path} ")


def test_polygons_without_a_crs_are_refused_with_the_way_to_assign_one(tmp_path: Path) -> None:
    path = polygons(tmp_path / "r.gpkg", [box(0, 0, 1, 1)], None, kind=[30])
    message = refusal(path)
    assert message.startswith(f"reference.path: {path} has no CRS. Assign the one it was drawn in")
    assert "ogr2ogr -a_srs" in message


def test_a_table_without_geometry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lulc.csv"
    path.write_text("kind,name\n30,forest\n")
    assert refusal(path) == (
        f"reference.path: {path} is a table without geometry. Give a file of polygons, or a raster"
    )


# Rasters


def test_a_raster_on_the_grid_is_taken_pixel_by_pixel(tmp_path: Path) -> None:
    values = np.full((20, 20), 30, np.uint16)
    values[5:, :7] = 80
    values[:, 15:] = 31
    path = raster(tmp_path / "r.tif", values)
    burnt = opened(path).burnt(GRID)
    np.testing.assert_array_equal(burnt.classes, np.where(values == 80, 8, 3))
    assert not burnt.ambiguous.any()


def test_a_coarser_raster_gives_each_pixel_the_value_it_lies_in(tmp_path: Path) -> None:
    values = np.array([[30, 80], [80, 30]], np.uint8)
    path = raster(tmp_path / "r.tif", values, Affine(100, 0, LEFT, 0, -100, TOP))
    expected = np.kron(np.array([[3, 8], [8, 3]]), np.ones((10, 10))).astype(np.uint8)
    np.testing.assert_array_equal(opened(path).burnt(GRID).classes, expected)


def test_a_raster_in_another_crs_gives_the_nearest_value(tmp_path: Path) -> None:
    # The reference implementation: each pixel's centre transformed by pyproj.
    from pyproj import Transformer

    generator = np.random.default_rng(5)
    values = generator.choice(np.array([30, 80], np.uint8), (40, 40))
    to_degrees = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(*GRID.pad(3).extent.boundingbox)
    transform = Affine((east - west) / 40, 0, west, 0, (south - north) / 40, north)
    path = raster(tmp_path / "r.tif", values, transform, "EPSG:4326")
    rows, columns = np.mgrid[0:20, 0:20] + 0.5
    x, y = to_degrees.transform(LEFT + 10 * columns, TOP - 10 * rows)
    column, row = (x - west) / transform.a, (y - north) / transform.e
    expected = np.where(values[row.astype(int), column.astype(int)] == 80, 8, 3)
    reference = opened(path)
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected)
    window = reference.burnt(GRID[3:9, 5:18]).classes
    np.testing.assert_array_equal(window, expected[3:9, 5:18])


def test_nodata_ignored_values_and_the_outside_of_a_raster_have_no_label(tmp_path: Path) -> None:
    values = np.full((20, 10), 30, np.uint8)
    values[0], values[1] = 255, 99
    path = raster(tmp_path / "r.tif", values, nodata=255)
    burnt = opened(path, ignore=[99]).burnt(GRID).classes
    expected = np.zeros((20, 20), np.uint8)
    expected[2:, :10] = 3
    np.testing.assert_array_equal(burnt, expected)


def test_a_raster_without_nodata_has_no_label_beyond_its_edge(tmp_path: Path) -> None:
    # Also where 0, which GDAL fills with, is a value of a class.
    path = raster(tmp_path / "r.tif", np.zeros((20, 10), np.uint8))
    reference = opened(path, classes=[{**FOREST, "values": [0]}])
    burnt = reference.burnt(GRID).classes
    assert (burnt[:, :10] == 3).all()
    assert not burnt[:, 10:].any()
    assert reference.covers(GRID)
    assert not reference.covers(FAR)


def test_a_raster_of_ignored_values_covers_nothing(tmp_path: Path) -> None:
    path = raster(tmp_path / "r.tif", np.full((20, 20), 99, np.uint8))
    assert not opened(path, ignore=[99]).covers(GRID)


def test_values_of_a_raster_that_no_class_has_are_listed(tmp_path: Path) -> None:
    values = np.full((20, 20), 30, np.uint8)
    values[4, 4], values[5, 5] = 99, 41
    path = raster(tmp_path / "r.tif", values)
    assert refusal(path) == (
        f"reference.classes: {path} has values that no class has: 41 (1 pixel), 99 (1 pixel). "
        "Add them to a class's values, or to reference.ignore"
    )


def test_a_raster_of_reals_is_refused(tmp_path: Path) -> None:
    path = raster(tmp_path / "r.tif", np.full((20, 20), 30, np.float32))
    assert refusal(path) == (
        f"reference.path: {path} holds float32, and classes are whole numbers. Convert it to an "
        "integer type"
    )


def test_words_cannot_be_values_of_a_raster(tmp_path: Path) -> None:
    path = raster(tmp_path / "r.tif", np.full((20, 20), 30, np.uint8))
    classes = [FOREST, {**WATER, "values": ["lake"]}]
    assert refusal(path, classes=classes) == (
        "reference.classes[1].values: lake is no whole number, and the reference is a raster. Give "
        "the raster's values, or ranges of them such as 0-30"
    )


def test_a_raster_without_a_crs_is_refused(tmp_path: Path) -> None:
    path = raster(tmp_path / "r.tif", np.full((20, 20), 30, np.uint8), crs=None)
    assert refusal(path) == f"reference.path: {path} has no CRS. Assign the one it lies in"


def test_a_truncated_raster_is_refused_by_name(tmp_path: Path) -> None:
    values = np.random.default_rng(1).choice(np.array([30, 80], np.uint8), (600, 600))
    path = raster(tmp_path / "r.tif", values, compress="deflate", tiled=True)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 4])
    reference = opened(path)
    with pytest.raises(SourceError) as caught:
        reference.burnt(GeoBox((600, 600), GRID.affine, GRID.crs))
    message = str(caught.value)
    assert message.startswith(f"reference.path: {path} is damaged (")
    assert message.endswith("Get the file again")


# The simulated archive's own


def simulated(**reference: Any) -> Reference:
    data = {
        "name": "test",
        "storage": "data",
        "years": [2023],
        "aoi": {"bbox": [14, 45, 15, 46], "patch_size": 1000},
        "imagery": {"source": "simulated"},
        "reference": reference,
    }
    return open_reference(ReferenceOptions.of(parse(data)), SimulatedArchive())


SQUARE = GeoBox((64, 64), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32633")


@pytest.mark.slow
def test_the_simulated_reference_is_mostly_the_truth() -> None:
    reference = simulated()
    burnt = reference.burnt(SQUARE).classes
    labelled = burnt > 0
    truth = SimulatedArchive().truth(SQUARE)
    assert reference.covers(SQUARE)
    assert labelled.mean() > 0.6
    assert (burnt == truth)[labelled].mean() > 0.8


def test_the_simulated_reference_needs_a_class_for_all_its_values_too() -> None:
    reference = simulated(attribute="class_id", classes=[{"id": 200, "name": "x", "color": COLOR}])
    with pytest.raises(SourceError, match=r"reference\.classes: the simulated reference has \d+ "):
        reference.burnt(SQUARE)


def test_the_simulated_reference_names_its_attributes() -> None:
    reference = simulated(attribute="kind")
    with pytest.raises(
        SourceError,
        match=r"reference\.attribute: the simulated reference has no attribute kind\. Name one "
        r"that it has: class_id, class_name, parcel",
    ):
        reference.burnt(SQUARE)


# Real polygons


@pytest.mark.real_data
def test_the_land_use_of_slovenia_is_burnt_as_another_implementation_burns_it(
    shared_data: Path,
) -> None:
    folder = shared_data / "slovenia"
    expected = np.load(folder / "expected/lulc.npy")
    with rasterio.open(next((folder / "l1c").glob("*/B02.tif"))) as file:
        grid = GeoBox(file.shape, file.transform, file.crs)
    values = sorted({int(v) for v in np.unique(expected)} - {0})
    path = folder / "reference/lulc.gpkg"
    every = sorted({int(v) for v in geopandas.read_file(path)["LULC_ID"]})
    # Land use goes beyond 255, and classes do not: they are counted.
    classes: list[dict[str, Any]] = [
        {"id": i, "name": str(value), "color": COLOR, "values": [value]}
        for i, value in enumerate(every, start=1)
        if value
    ]
    unlabelled = [value for value in every if not value]
    burnt = opened(path, attribute="LULC_ID", classes=classes, ignore=unlabelled).burnt(grid)
    value_of = np.zeros(256, np.uint16)
    for one in classes:
        value_of[one["id"]] = one["values"][0]
    np.testing.assert_array_equal(value_of[burnt.classes], expected)
    assert len(values) > 3
