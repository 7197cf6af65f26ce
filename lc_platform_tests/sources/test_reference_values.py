"""The values of a reference: which class takes them, which none does, and what no data is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from odc.geo.geom import Geometry

from lc_platform.config import parse
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_map import Reference, open_reference
from lc_platform.sources.reference_options import ReferenceOptions
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform_tests.sources.references import (
    FOREST,
    GRID,
    WATER,
    box,
    opened,
    raster,
    refusal,
    table,
)

OPEN_LAND = {"id": 5, "name": "open land", "color": "#000000", "values": [0]}


def refused(path: Path, **reference: Any) -> str:
    """Why a raster is refused where its values are read."""
    with pytest.raises(SourceError) as caught:
        opened(path, **reference).burnt(GRID)
    return str(caught.value)


# Ranges


def test_a_class_takes_ranges_of_a_rasters_values(tmp_path: Path) -> None:
    values = np.arange(400, dtype=np.int16).reshape(20, 20) - 100
    path = raster(tmp_path / "r.tif", values)
    classes = [
        {**FOREST, "values": ["-100--51", 7, "20 - 30"]},
        {**WATER, "values": ["100\u2013150"]},  # with a dash, as a table of a document has it
    ]
    reference = opened(path, classes=classes, ignore=["-50-6", "8-19", "31-99", "151-299"])
    expected = np.zeros((20, 20), np.uint8)
    expected[(values <= -51) | (values == 7) | ((values >= 20) & (values <= 30))] = 3
    expected[(values >= 100) & (values <= 150)] = 8
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected)
    assert reference.covers(GRID)
    assert not reference.covers(GRID[5:6, 1:7])  # 1 to 6


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_ranges_hold_in_every_type_of_whole_numbers(tmp_path: Path, dtype: str) -> None:
    info = np.iinfo(dtype)
    values = np.full((20, 20), info.max, dtype)
    values[:10] = info.min
    path = raster(tmp_path / "r.tif", values)
    classes = [
        {**FOREST, "values": [f"{info.min}-{info.min + 9}"]},
        {**WATER, "values": [f"{info.max - 9}-{info.max}"]},
    ]
    reference = opened(path, classes=classes)
    expected = np.full((20, 20), 8)
    expected[:10] = 3
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected)
    assert reference.covers(GRID[15:])


@pytest.mark.parametrize(
    ("forest", "water", "ignored", "message"),
    [
        (["0-30"], [30], [], "reference.classes[1].values: 30 and 0-30 in reference.classes[0]"),
        (["0-30"], ["25-40"], [], "reference.classes[1].values: 25-40 and 0-30 in"),
        (["0-30"], [80], ["10-12"], "reference.ignore: 10-12 and 0-30 in reference.classes[0]"),
        (["30-0"], [80], [], "reference.classes[0].values: 30-0 ends before it begins"),
        (["a-b"], [80], [], "reference.classes[0].values: a-b is no whole number"),
        (["1.5-3"], [80], [], "reference.classes[0].values: 1.5-3 is no whole number"),
    ],
)
def test_ranges_that_cannot_be_are_refused_when_the_raster_is_opened(
    tmp_path: Path, forest: list[Any], water: list[Any], ignored: list[Any], message: str
) -> None:
    path = raster(tmp_path / "r.tif", np.full((20, 20), 80, np.uint8))
    classes = [{**FOREST, "values": forest}, {**WATER, "values": water}]
    assert refusal(path, classes=classes, ignore=ignored).startswith(message)


def test_a_range_is_a_word_where_the_reference_is_of_polygons(tmp_path: Path) -> None:
    table(["0-30", "31-60"], [box(0, 0, 5, 5), box(9, 9, 5, 5)]).to_file(tmp_path / "r.gpkg")
    classes = [{**FOREST, "values": ["0-30"]}, {**WATER, "values": ["31-60"]}]
    burnt = opened(tmp_path / "r.gpkg", classes=classes).burnt(GRID).classes
    assert (burnt[0, 0], burnt[9, 9]) == (3, 8)


# Values that no class has


def test_all_unknown_values_of_a_raster_are_listed_with_their_pixels(tmp_path: Path) -> None:
    # Also those beyond the grid on which the first was met.
    values = np.full((60, 60), 30, np.uint8)
    values[:2], values[40:, :10], values[50, 50] = 7, 41, 99
    path = raster(tmp_path / "r.tif", values, nodata=31)
    assert refused(path) == (
        f"reference.classes: {path} has values that no class has: 7 (120 pixels), 41 (200 pixels), "
        "99 (1 pixel). Add them to a class's values, or to reference.ignore"
    )


def test_of_many_unknown_values_the_number_of_the_rest_is_told(tmp_path: Path) -> None:
    values = np.arange(400, dtype=np.uint16).reshape(20, 20) + 1000
    path = raster(tmp_path / "r.tif", values)
    message = refused(path)
    assert "1000 (1 pixel), 1001 (1 pixel), " in message
    assert "1019 (1 pixel), and 380 more (380 pixels). Add" in message


def test_the_values_of_polygons_and_the_classes_that_have_none_are_told(tmp_path: Path) -> None:
    shapes = [box(0, 0, 1, 1)] * 6
    table([30, 30, None, 99, 98, 98], shapes).to_file(tmp_path / "r.gpkg")
    values = opened(tmp_path / "r.gpkg", ignore=[99, 98]).values()
    assert values.counts == {"kind": {"30": 2, "98": 2, "99": 1}}
    assert values.absent == {3: ("31",), 8: ("80",)}
    assert values.unused == {8: ("80",)}
    assert values.unknown == {}
    assert (values.unit, values.complete) == ("features", True)


def test_a_range_of_which_there_is_any_value_is_there(tmp_path: Path) -> None:
    path = raster(tmp_path / "r.tif", np.full((20, 20), 7, np.uint8))
    classes = [{**FOREST, "values": ["0-10", "20-30"]}, {**WATER, "values": ["50-60"]}]
    values = opened(path, classes=classes).values()
    assert values.absent == {3: ("20-30",), 8: ("50-60",)}
    assert values.unused == {8: ("50-60",)}


def test_the_values_of_a_raster_and_the_classes_that_have_none_are_told(tmp_path: Path) -> None:
    pixels = np.full((20, 20), 30, np.uint8)
    pixels[0], pixels[1, :3], pixels[2] = 0, 41, 99
    values = opened(raster(tmp_path / "r.tif", pixels, nodata=0), ignore=[99]).values()
    assert values.counts == {"": {"30": 357, "41": 3, "99": 20}}
    assert values.unknown == {"": {"41": 3}}
    assert values.unused == {8: ("80",)}
    assert (values.unit, values.complete) == ("pixels", True)


# A value that means no data, and is a class's


def no_data_in_the_file(path: Path, values: np.ndarray) -> Path:
    return raster(path, values, nodata=0)


def no_data_beside_the_file(path: Path, values: np.ndarray) -> Path:
    Path(f"{path}.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>0</NoDataValue></PAMRasterBand>'
        "</PAMDataset>"
    )
    return raster(path, values)


def no_data_in_a_virtual_raster(path: Path, values: np.ndarray) -> Path:
    raster(path, values)
    virtual = path.with_suffix(".vrt")
    virtual.write_text(
        '<VRTDataset rasterXSize="20" rasterYSize="20"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>{GRID.affine.c},10,0,{GRID.affine.f},0,-10</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>0</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{path.name}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return virtual


@pytest.mark.parametrize(
    "made",
    [no_data_in_the_file, no_data_beside_the_file, no_data_in_a_virtual_raster],
    ids=lambda f: f.__name__,
)
def test_a_class_whose_value_is_declared_as_no_data_gets_its_pixels_and_it_is_said(
    tmp_path: Path,
    made: Any,
) -> None:
    values = np.zeros((20, 20), np.uint8)
    values[:5], values[5:9] = 30, 80
    path = made(tmp_path / "r.tif", values)
    reference = opened(path, classes=[FOREST, WATER, OPEN_LAND])
    assert (reference.burnt(GRID).classes == 5).sum() == 220
    assert reference.covers(GRID[10:])
    assert reference.values().counts[""]["0"] == 220
    (note,) = reference.notes
    assert note.startswith(
        f"reference.path: {path} declares 0 as no data, and it is a value of the class open land"
    )
    # Of a class that does not have the value nothing is said, and it has no label.
    plain = opened(path)
    assert list(plain.notes) == []
    assert not plain.covers(GRID[10:])


def test_a_mask_says_which_pixels_are_data_whatever_is_declared(tmp_path: Path) -> None:
    values = np.zeros((20, 20), np.uint8)
    values[:5] = 30
    path = raster(tmp_path / "r.tif", values, nodata=0)
    inside = np.zeros((20, 20), bool)
    inside[2:10] = True
    with rasterio.open(path, "r+") as file:
        file.write_mask(inside)
    reference = opened(path, classes=[FOREST, WATER, OPEN_LAND])
    expected = np.zeros((20, 20))
    expected[2:5], expected[5:10] = 3, 5
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected)
    assert list(reference.notes) == []
    assert not reference.covers(GRID[12:])


# The simulated archive's own


class Undrawn(SimulatedArchive):
    """An archive that draws no polygon."""

    def reference_polygons(self, area: Geometry) -> geopandas.GeoDataFrame:
        raise AssertionError(f"polygons are drawn of {area}")


def simulated(archive: SimulatedArchive, **reference: Any) -> Reference:
    data = {
        "name": "test",
        "storage": "data",
        "years": [2023],
        "aoi": {"bbox": [14, 45, 15, 46], "patch_size": 1000},
        "imagery": {"source": "simulated"},
        "reference": reference,
    }
    return open_reference(ReferenceOptions.of(parse(data)), archive)


def test_whether_the_simulated_reference_covers_a_patch_is_arithmetic() -> None:
    reference = simulated(Undrawn())
    for step in range(20):
        patch = GRID.pad(490).translate_pix(1000 * step, 700 * step)
        assert patch.shape == (1000, 1000)
        assert reference.covers(patch)


def test_polygons_that_arithmetic_tells_of_are_drawn_with_the_same_class() -> None:
    archive = SimulatedArchive()
    grid = GRID.pad(140)
    told = archive.reference_on(grid).drop_duplicates().set_index("parcel")["class_id"]
    drawn = archive.reference_polygons(grid.extent).set_index("parcel")["class_id"]
    assert len(told) >= 10
    assert told.equals(drawn[told.index])


def test_a_class_that_the_simulated_reference_has_nowhere_near_covers_nothing() -> None:
    archive = SimulatedArchive()
    small = GRID[:2, :2]
    (here,) = archive.reference_polygons(small.extent)["class_id"]
    others = [i for i in range(1, 11) if i != here]
    classes = [{"id": 1, "name": "others", "color": "#000000", "values": others}]
    assert not simulated(archive, classes=classes, attribute="class_id", ignore=[here]).covers(
        small
    )


def test_the_values_of_the_simulated_reference_are_those_of_its_classes() -> None:
    classes = [
        {"id": 1, "name": "some", "color": "#000000", "values": [1, 2, 3]},
        {"id": 2, "name": "none", "color": "#000000", "values": [77]},
    ]
    values = simulated(SimulatedArchive(), classes=classes, attribute="class_id").values()
    assert sorted(values.unknown["class_id"], key=int) == [str(i) for i in range(4, 11)]
    assert values.unused == {2: ("77",)}
