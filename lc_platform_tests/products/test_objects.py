"""One class for each object of a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import geopandas.testing
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from lc_platform.area.grid import Patch
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.config.input_files import InputFile
from lc_platform.cube import InMemoryCube, Layer
from lc_platform.errors import DataError, PlatformError
from lc_platform.products.objects import LEAST_PERCENT, ClassifiedObjects, assign
from lc_platform.products.options import ObjectOptions
from lc_platform.storage.store import Store
from lc_platform_tests.graphs import YEAR, Platform, configured
from lc_platform_tests.products.parcels import CLASSES, GRID, LEFT, TOP, box, drawn, prediction


def percentages() -> NDArray[np.uint8]:
    """(class, y, x) of GRID, of which a corner has no data."""
    drawn = np.random.default_rng(5).dirichlet([0.4, 0.6, 0.3], GRID.shape)
    percent = np.rint(np.moveaxis(drawn, -1, 0) * 100).astype(np.uint8)
    percent[:, 50:, 70:] = 255
    return percent


def predictions(rows: int = 60, columns: int = 80, **attributes: Any) -> tuple[Any, dict[str, Any]]:
    """The patches of GRID, each of so many pixels, and what is kept of their probabilities."""
    percent, patches, found = percentages(), [], {}
    for row in range(0, 60, rows):
        for column in range(0, 80, columns):
            window = slice(row, row + rows), slice(column, column + columns)
            patch = Patch(f"r{row}-c{column}", GRID[window], "33N", row, column)
            patches.append(patch)
            found[patch.key] = prediction(percent[:, *window], GRID[window], **attributes)
    return patches, found


def stored(found: ClassifiedObjects, folder: Path) -> geopandas.GeoDataFrame:
    """The table as other programs read it, by the object's position in the file."""
    store = Store(str(folder / "store"))
    form = formats()["objects"]
    form.write(store, key("objects", year=YEAR), found)
    form.check(store, key("objects", year=YEAR))
    assert form.open(store, key("objects", year=YEAR)).about == found.about
    return geopandas.read_parquet(store.path(f"objects/{YEAR}.parquet")).set_index("object")


SHAPES = [box(2, 3, 11, 7), box(30, 10, 25, 40), box(64.5, 0, 15.5, 9), box(20, 50, 6, 6)]


def test_an_object_has_the_class_of_the_highest_mean_log_probability(tmp_path: Path) -> None:
    options = drawn(tmp_path, SHAPES, name=["a", "b", "c", "d"])
    patches, predicted = predictions()
    table = stored(assign(YEAR, patches, predicted, options), tmp_path)
    assert table["id"].to_dict() == {1: "a", 2: "b", 3: "c", 4: "d"}
    percent = np.maximum(percentages().astype(float), LEAST_PERCENT)
    ids = np.array([*CLASSES])
    for number, rows, columns in (
        (1, slice(3, 10), slice(2, 13)),
        (2, slice(10, 50), slice(30, 55)),
        (3, slice(0, 9), slice(65, 80)),
        (4, slice(50, 56), slice(20, 26)),
    ):
        here = percent[:, rows, columns].reshape(3, -1)
        mean = np.exp(np.log(here / here.sum(axis=0)).mean(axis=1))
        mean /= mean.sum()
        order = np.argsort(-mean)
        row = table.loc[number]
        assert (row["class"], row["second_class"]) == tuple(ids[order[:2]])
        assert row["class_name"] == CLASSES[int(ids[order[0]])][0]
        assert row["probability"] == pytest.approx(mean[order[0]], abs=1e-5)
        assert row["pixels"] == here.shape[1]
        agreeing = (here.argmax(axis=0) == order[0]).mean()
        assert row["agreement"] == pytest.approx(agreeing, abs=1e-6)
    assert table.crs == "EPSG:32633"
    assert all(
        one.equals(other) for one, other in zip(table.sort_index().geometry, SHAPES, strict=True)
    )


@pytest.mark.parametrize(("rows", "columns"), [(20, 16), (60, 8)])
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3035", "EPSG:4326"])
def test_objects_across_patches_are_those_of_one_patch_exactly(
    tmp_path: Path, crs: str, rows: int, columns: int
) -> None:
    # Borders lie a quarter of a pixel off the pixels' centres: no projection moves them across.
    shapes = [box(3.25, 2.25, 60, 50), box(64.25, 1.25, 12, 55), box(10.25, 54.25, 40, 4)]
    options = drawn(tmp_path, shapes, crs)
    whole = stored(assign(YEAR, *predictions(), options), tmp_path)
    split = stored(assign(YEAR, *predictions(rows, columns), options), tmp_path)
    pixels = [60 * 50, 12 * 55, 40 * 4]
    pixels[1] -= 6 * 6  # without data
    assert whole.sort_index()["pixels"].tolist() == pixels
    geopandas.testing.assert_geodataframe_equal(whole, split)


def test_objects_that_have_no_class_or_share_pixels_are_told_of(tmp_path: Path) -> None:
    shapes = [
        box(1, 1, 8, 8),
        box(20.6, 20.6, 0.3, 0.3),  # no pixel's centre
        box(71, 51, 5, 5),  # no data
        box(5, 5, 8, 8),  # over the first
        box(500, 500, 9, 9),  # beyond the map
        None,
        shapely.LineString([(LEFT, TOP), (LEFT + 50, TOP)]),
    ]
    options = drawn(tmp_path, shapes, name=["a", None, "c", "a", "e", "f", "g"])
    found = assign(YEAR, *predictions(), options)
    table = stored(found, tmp_path)
    assert sorted(table.index) == [1, 2, 3, 4]
    assert table.loc[[1, 2, 3, 4], "pixels"].tolist() == [64 - 16, 0, 0, 64]
    assert (table.loc[[2, 3], "class"] == 0).all()
    assert table.loc[[2, 3], "probability"].isna().all()
    name = "map.objects: parcels.gpkg"
    assert list(found.summary.warnings.values()) == [
        f"{name}: 1 features are points or lines, and are left out",
        f"{name}: 1 objects (2) have no class, since the centre of no pixel lies in them alone: "
        "they are smaller than a pixel, or others cover them",
        f"{name}: 1 objects (3) have no class, since the map has no data there",
        f"{name}: objects overlap on 16 pixels, which count for the last in the file",
        "map.object_id: parcels.gpkg: 1 objects have no name; their position in the file (column "
        "`object`) tells them apart",
        "map.object_id: parcels.gpkg: 1 objects have the name of another, such as a; each is an "
        "object of its own",
    ]


def test_objects_without_an_attribute_are_called_by_their_position(tmp_path: Path) -> None:
    found = assign(YEAR, *predictions(20, 16), drawn(tmp_path, SHAPES))
    table = stored(found, tmp_path)
    assert sorted(table.index) == [1, 2, 3, 4]
    assert table["id"].isna().all()
    assert found.summary.facts["objects"] == 4
    assert found.summary.warnings == {}


def test_a_patch_without_a_prediction_is_told_of(tmp_path: Path) -> None:
    patches, predicted = predictions(60, 40)
    del predicted["r0-c40"]
    found = assign(YEAR, patches, predicted, drawn(tmp_path, SHAPES))
    assert stored(found, tmp_path).loc[2, "pixels"] == 10 * 40
    assert list(found.summary.warnings.values()) == [
        "1 patches (r0-c40) have no prediction: objects are of the others' pixels alone"
    ]


def test_objects_far_from_the_map_are_told_of(tmp_path: Path) -> None:
    found = assign(YEAR, *predictions(), drawn(tmp_path, [box(900, 900, 5, 5)]))
    assert len(stored(found, tmp_path)) == 0
    assert list(found.summary.warnings.values()) == [
        "map.objects: parcels.gpkg: no object lies on the map. Check the file's CRS"
    ]


def test_where_none_are_given_the_table_is_empty_and_says_so(tmp_path: Path) -> None:
    found = assign(YEAR, *predictions(), ObjectOptions(classes=CLASSES))
    assert len(stored(found, tmp_path)) == 0
    assert str(found.summary.facts["no_objects_because"]).startswith("map.objects is not given")


def test_predictions_that_cannot_serve_are_refused(tmp_path: Path) -> None:
    options = drawn(tmp_path, SHAPES)
    patches, predicted = predictions(60, 40)
    with pytest.raises(DataError, match=f"{YEAR}: no patch has a prediction"):
        assign(YEAR, patches, {}, options)
    bare = dict(predicted)
    bare["r0-c40"] = InMemoryCube(
        bare["r0-c40"].grids, {"class": Layer((), "uint8")}, {}, attributes={"model_version": "one"}
    )
    with pytest.raises(DataError, match=r"r0-c40, 2023: its prediction keeps no probabilities.*ag"):
        assign(YEAR, patches, bare, options)
    other = {**predicted, "r0-c40": predictions(60, 40, model_version="two")[1]["r0-c40"]}
    with pytest.raises(DataError, match=r"r0-c40\) come from another model"):
        assign(YEAR, patches, other, options)


@pytest.mark.parametrize(
    ("attribute", "content", "why"),
    [
        (None, b"", r"map\.objects: parcels\.gpkg cannot be read as a vector file"),
        (None, None, r"map\.objects: parcels\.gpkg is not there"),
        ("number", "table", r"map\.object_id: parcels\.gpkg has no polygons with .* It has name"),
        (None, "two layers", r"map\.objects: parcels\.gpkg has several layers .*parcels, more"),
        (None, "no CRS", r"map\.objects: parcels\.gpkg has no CRS"),
        (None, "points", r"map\.objects: parcels\.gpkg has no layer of polygons"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    tmp_path: Path, attribute: str | None, content: Any, why: str
) -> None:
    path = tmp_path / "parcels.gpkg"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        shapes: Any = [shapely.Point(LEFT, TOP)] if content == "points" else [box(1, 1, 5, 5)]
        crs = None if content == "no CRS" else "EPSG:32633"
        table = geopandas.GeoDataFrame({"name": ["a"]}, geometry=shapes, crs=crs)
        table.to_file(path, layer="parcels")
        if content == "two layers":
            table.to_file(path, layer="more")
    options = ObjectOptions(
        classes=CLASSES, polygons=InputFile("parcels.gpkg", str(path)), attribute=attribute
    )
    with pytest.raises(PlatformError, match=why):
        assign(YEAR, *predictions(), options)


@pytest.mark.slow
def test_a_configuration_that_names_objects_gives_each_a_class(tmp_path: Path) -> None:
    """The map is there without them; then they are asked for, and only what they need is made."""
    without = Platform(configured(tmp_path, 2, 1))
    assert all(run.success for runs in without.all_jobs().values() for run in runs)
    assert len(geopandas.read_parquet(without.store.path(f"objects/{YEAR}.parquet"))) == 0
    whole = [patch.geobox.boundingbox for patch in without.opened("patch_grid").patches]
    middle = shapely.box(whole[0].left, whole[0].bottom, whole[0].right, whole[0].top).union(
        shapely.box(whole[1].left, whole[1].bottom, whole[1].right, whole[1].top)
    )
    parcel = shapely.affinity.scale(middle, 0.5, 0.5)
    geopandas.GeoDataFrame({"name": ["one"]}, geometry=[parcel], crs="EPSG:32633").to_file(
        tmp_path / "parcels.gpkg"
    )
    with_them = Platform(
        configured(tmp_path, 2, 1, map={"objects": "parcels.gpkg", "object_id": "name"}),
        without.instance,
    )
    refused = with_them.launch("mosaicking", [str(YEAR)], ["objects"])
    assert not refused.success
    assert with_them.launch("prediction", with_them.patch_years).success
    assert with_them.launch("mosaicking", [str(YEAR)], ["objects"]).success
    assert with_them.launch("mosaicking", [str(YEAR)], ["evaluation"]).success
    assert with_them.opened("evaluation").metrics["by_object"]["objects"] == 1
    table = geopandas.read_parquet(with_them.store.path(f"objects/{YEAR}.parquet"))
    assert table["id"].tolist() == ["one"]
    assert table["pixels"].tolist() == [32 * 16]
    assert table["class"].iloc[0] > 0
