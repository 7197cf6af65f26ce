"""Classes that are read from a reference itself."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from lc_platform.commands.reference_proposal import propose
from lc_platform.config.colors import difference
from lc_platform.sources import open_source
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_map import open_reference
from lc_platform.sources.reference_options import ReferenceOptions
from lc_platform.storage.raster_cube import palette
from lc_platform_tests.commands.reference_files import odd_shapefile, polygons
from lc_platform_tests.config.configurations import SIMULATED, configured


def raster(path: Path, values: Any, dtype: str = "uint8", count: int = 1, **about: Any) -> str:
    array = np.asarray(values, dtype)
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=count,
        dtype=dtype, crs="EPSG:32633", transform=from_origin(500_000, 5_100_000, 10, 10), **about,
    ) as file:  # fmt: skip
        for band in range(1, count + 1):
            file.write(array, band)
    return str(path)


def read(path: str, attribute: str | None = None) -> dict[int, tuple[str, list[Any]]]:
    return {
        one["id"]: (one["name"], list(one["values"])) for one in propose(path, attribute).classes
    }


def test_codes_take_their_names_from_the_attribute_that_has_one_for_each(tmp_path: Path) -> None:
    path = polygons(
        tmp_path / "a.gpkg",
        parcel=[1, 2, 3, 4],
        lulc=[11, 20, 20, 0],
        title=["cropland", "forest", "forest", "no data"],
        area=[1.5, 2.5, 3.5, 4.5],
    )
    found = propose(path)
    assert found.attribute == "lulc"
    assert read(path) == {11: ("cropland", [11]), 20: ("forest", [20])}
    assert found.ignore == (0,)
    assert len({one["color"] for one in found.classes}) == 2
    assert found.extent == pytest.approx((14, 46, 14.04, 46.01), abs=1e-6)


def test_codes_with_leading_zeros_are_named_though_what_has_no_code_has_names(
    tmp_path: Path,
) -> None:
    path = str(odd_shapefile(tmp_path))
    found = propose(path)
    assert found.attribute == "SCHL_NR"
    named = {1: ("Acker", ["010"]), 2: ("Grünland", ["020"]), 3: ("Straße / Siedlung", ["030"])}
    assert read(path) == named
    by_name = propose(path, "kult_art")
    assert [one["name"] for one in by_name.classes] == ["Acker", "Grünland", "Straße / Siedlung"]
    assert by_name.ignore == ("k.A.",)
    # 9 polygons are grassland, 8 cropland, 5 built up, and 1 is not known.
    assert str(found.attributes["SCHL_NR"]) == "3 values: 020, 010, 030"
    assert str(found.attributes["KULT_ART"]) == "4 values: Grünland, Acker, Straße / Siedlung, ..."


def test_classes_have_the_colours_that_maps_usually_show_them_in(tmp_path: Path) -> None:
    names = ["Wald", "Gewässer", "Grünland", "Acker", "Straße / Siedlung", "Fels", "Laubwald", "x"]
    found = {
        one["name"]: one["color"] for one in propose(polygons(tmp_path / "a.gpkg", n=names)).classes
    }
    red, green, blue = zip(*(bytes.fromhex(found[name][1:]) for name in names), strict=True)
    # Of two kinds of forest the first by name is green.
    water, forest, built = map(names.index, ("Gewässer", "Laubwald", "Straße / Siedlung"))
    assert blue[water] > max(red[water], green[water])
    assert green[forest] > max(red[forest], blue[forest])
    assert red[built] > max(green[built], blue[built])
    for one, other in combinations(found.values(), 2):
        assert difference(one, other) >= 15, (one, other)


@pytest.mark.parametrize(
    ("file", "columns", "said"),
    [
        ("Feldblöcke 2021 (final).gpkg", {}, (2021, "file name")),
        ("parcels_20190615.gpkg", {}, (2019, "file name")),
        ("2018-2021.gpkg", {}, None),
        ("epsg32633 1234567.gpkg", {}, None),
        ("a.gpkg", {"STAND": ["2021-06-01", "2021-07-01", None]}, (2021, "attribute STAND")),
        ("a.gpkg", {"seen": ["3.6.2020", "01.07.2020", "1.7.2020"]}, (2020, "attribute seen")),
        ("a.gpkg", {"year": [2020.0, 2020.0, 2020.0]}, (2020, "attribute year")),
        ("a.gpkg", {"year": [2020, 2021, 2021]}, None),
        ("a.gpkg", {"parcel": [2020, 2020, 2020]}, None),
    ],
)
def test_a_reference_says_of_which_year_it_is(
    tmp_path: Path, file: str, columns: dict[str, Any], said: tuple[int, str] | None
) -> None:
    dated = propose(polygons(tmp_path / file, lulc=[3, 4, 4], **columns)).dated
    assert (dated and (dated.year, dated.by)) == said


def test_it_says_which_attribute_names_are_taken_from(tmp_path: Path) -> None:
    path = polygons(tmp_path / "a.gpkg", code=["01", "02", "02"], name=["a", "b", "b"])
    assert propose(path, "code").names_from == "name"
    assert propose(path, "name").names_from is None


def test_what_has_no_name_leaves_the_others_theirs(tmp_path: Path) -> None:
    features = {"code": [1, 1, 2, 2, 3, 3], "name": ["wood", None, " ", "field", "town", ""]}
    path = polygons(tmp_path / "features.gpkg", **features)
    assert read(path, "code") == {1: ("wood", [1]), 2: ("field", [2]), 3: ("town", [3])}
    value = {"code": [1, 2, 2, 3], "name": ["wood", "field", "field", None]}
    path = polygons(tmp_path / "value.gpkg", **value)
    assert read(path, "code") == {1: ("wood", [1]), 2: ("field", [2]), 3: ("class 3", [3])}
    assert propose(path, "code").names_from == "name"


def test_codes_without_one_name_for_each_stay_codes(tmp_path: Path) -> None:
    two_names = polygons(tmp_path / "a.gpkg", code=["01", "02", "02"], name=["a", "b", "c"])
    assert read(two_names, "code") == {1: ("01", ["01"]), 2: ("02", ["02"])}
    no_name = polygons(tmp_path / "b.gpkg", code=["01", "02", None], name=["a", None, "b"])
    assert read(no_name, "code") == {1: ("01", ["01"]), 2: ("02", ["02"])}


@pytest.mark.parametrize("ending", ["shp", "gpkg", "parquet"])
def test_names_in_any_script_and_with_blanks_are_kept(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "карта 2023"
    folder.mkdir()
    path = polygons(folder / f"покров земли.{ending}", тип=["лес", "вода", "лес "])
    assert propose(path).attribute == "тип"
    trees = ["лес"] if ending == "shp" else ["лес", "лес "]  # which cuts blanks off
    assert read(path) == {1: ("вода", ["вода"]), 2: ("лес", trees)}


def test_an_attribute_is_found_by_the_name_that_a_shapefile_has_cut(tmp_path: Path) -> None:
    path = polygons(tmp_path / "a.shp", landcover_=["a", "b", "a"], other=[1, 2, 2])
    assert propose(path, "landcover_class").attribute == "landcover_"
    with pytest.raises(SourceError, match=r"has no attribute klass\. It has landcover_, other"):
        propose(path, "klass")


def test_mixed_values_are_classes_each(tmp_path: Path) -> None:
    path = polygons(tmp_path / "a.gpkg", code=["1", "2", "forest", None, "010"])
    assert read(path) == {
        1: ("class 1", [1]), 2: ("class 2", [2]), 3: ("010", ["010"]), 4: ("forest", ["forest"]),
    }  # fmt: skip


def test_a_raster_has_the_names_and_colours_of_its_side_file(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", [[0, 1, 2], [2, 2, 255]], nodata=255)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (255, 215, 0, 255), 2: (0, 100, 0, 255)})
    plain = propose(path)
    assert [(one["name"], one["color"]) for one in plain.classes] == [
        ("class 1", "#ffd700"), ("class 2", "#006400"),
    ]  # fmt: skip
    assert plain.ignore == (0,)
    names = palette({1: ("field", "#ffd700"), 2: ("wood", "#006400")}, 1)
    Path(f"{path}.aux.xml").write_text(names, encoding="utf-8")
    assert read(path) == {1: ("field", [1]), 2: ("wood", [2])}


def test_a_raster_s_attribute_table_names_its_values(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", [[41, 42]], "int16")
    Path(f"{path}.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><GDALRasterAttributeTable>"
        "<FieldDefn index='0'><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>"
        "<FieldDefn index='1'><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>"
        "<Row index='0'><F>41</F><F>oak</F></Row><Row index='1'><F>42</F><F>pine</F></Row>"
        "</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"
    )
    assert read(path) == {41: ("oak", [41]), 42: ("pine", [42])}


def test_what_cannot_be_understood_says_what_to_do(tmp_path: Path) -> None:
    def says(path: str, words: str) -> None:
        with pytest.raises(SourceError, match=words):
            propose(path)

    says(str(tmp_path / "none.gpkg"), "is not there. Give the reference map's file")
    (tmp_path / "a.txt").write_text("no map")
    says(str(tmp_path / "a.txt"), "neither a vector file nor a raster")
    says(polygons(tmp_path / "b.gpkg", name=["all"] * 3), "no attribute of 2 to 60 values")
    points = geopandas.GeoDataFrame(
        {"label": ["a", "b"]}, geometry=geopandas.points_from_xy([1, 2], [3, 4]), crs="EPSG:4326"
    )
    points.to_file(tmp_path / "p.gpkg")
    says(str(tmp_path / "p.gpkg"), "points with a class are samples: give them as sampling.points")
    squares = geopandas.read_file(polygons(tmp_path / "s.gpkg", name=["a", "b"]))
    squares.iloc[:0].to_file(tmp_path / "empty.gpkg", geometry_type="Polygon")
    says(str(tmp_path / "empty.gpkg"), "empty.gpkg is empty: it has no feature")
    squares.set_geometry([None, None]).to_file(tmp_path / "bare.gpkg", geometry_type="Polygon")
    says(str(tmp_path / "bare.gpkg"), "none of its features has a geometry")
    squares.set_crs("EPSG:31287", allow_override=True).to_file(tmp_path / "degrees.shp")
    says(str(tmp_path / "degrees.shp"), "which looks like degrees. State the CRS")
    says(raster(tmp_path / "c.tif", [[1, 2]], "float32"), "convert it: gdal_translate -ot Int16")
    says(raster(tmp_path / "d.tif", [[0.5, 2]], "float32"), "as of a measure or a probability")
    says(raster(tmp_path / "e.tif", [[1, 2]], count=3), "has 3 bands .* gdal_translate -b 1 e.tif")


def test_a_shapefile_that_is_not_whole_says_what_it_lacks(tmp_path: Path) -> None:
    def says(words: str) -> None:
        with pytest.raises(SourceError, match=words):
            propose(str(path))

    path = odd_shapefile(tmp_path)
    projection = path.with_suffix(".prj")
    projection.write_text("Lambert, I think")
    says(r"has no CRS. Assign the one it was drawn in")
    projection.unlink()
    says(r"has no CRS. Assign the one it was drawn in")
    table = path.with_suffix(".dbf")
    whole = table.read_bytes()
    table.write_bytes(whole[:500])
    says(rf"dbf ends after 500 of {len(whole) - 1} bytes. Get all files of the shapefile again")
    table.unlink()
    says("no attributes, since no .dbf is beside it")
    path.with_suffix(".shx").unlink()
    says("has no .shx beside it")
    path.write_bytes(path.read_bytes()[:900])
    says("shp ends after 900 of")


def test_a_reference_of_several_bands_is_read_from_the_first_and_told_of(tmp_path: Path) -> None:
    path = raster(tmp_path / "export.tif", [[1, 2]], count=2)
    classes = "classes: [{id: 1, name: a}, {id: 2, name: b}]"
    config = configured(f"{{reference: {{path: '{path}', attribute: null, {classes}}}}}")
    reference = open_reference(ReferenceOptions.of(config), open_source(configured(base=SIMULATED)))
    assert "export.tif has 2 bands, and the first one is read" in "".join(reference.notes)
