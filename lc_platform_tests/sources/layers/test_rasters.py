"""Rasters that have no season, on any grid."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lc_platform.sources.layers.options import counted
from lc_platform.sources.layers.raster import open_layer
from lc_platform.sources.protocol import SourceError
from lc_platform_tests.sources.layers.rasters import (
    GRID,
    NORTH,
    WEST,
    hills,
    layer,
    raster,
    values,
)
from lc_platform_tests.sources.stac import catalogs
from lc_platform_tests.stac_server import stac_server

METHODS: Any = ("nearest", "bilinear", "cubic", "average")


def test_the_pixels_of_its_own_grid_are_taken_as_they_are(tmp_path: Path) -> None:
    numbers = np.arange(24 * 30 * 2, dtype=np.int16).reshape(2, 24, 30)
    numbers[:, 3, 4] = -9999
    file = raster(tmp_path / "soil.tif", numbers, nodata=-9999)
    for method in METHODS:
        found = values(layer(file, resampling=method))
        assert np.isnan(found[:, 3, 4]).all()
        known = ~np.isnan(found)
        assert known.sum() == numbers.size - 2
        np.testing.assert_array_equal(found[known], numbers[known])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("crs", "pixel"), [("EPSG:32633", 7.0), ("EPSG:4326", 0.0003)])
def test_ground_read_in_parts_equals_the_same_ground_read_at_once(
    tmp_path: Path, method: Any, crs: str, pixel: float
) -> None:
    """Also where the raster is in another CRS, and has holes."""
    to = Transformer.from_crs("EPSG:32633", crs, always_xy=True)
    west, north = to.transform(WEST - 200.5, NORTH + 199.3)
    rng = np.random.default_rng(1)
    numbers = rng.normal(0, 1, (2, 130, 130)).astype(np.float32)
    numbers[:, rng.random((130, 130)) < 0.05] = np.nan
    file = raster(tmp_path / "r.tif", numbers, pixel=pixel, west=west, north=north, crs=crs)
    options = layer(file, resampling=method)
    whole = values(options)
    assert 0.5 < np.isfinite(whole).mean() <= 1
    for rows, columns in ((slice(0, 7), slice(0, 30)), (slice(5, 24), slice(11, 18))):
        part = GRID[rows, columns]
        np.testing.assert_array_equal(values(options, part), whole[:, rows, columns])


def test_bilinear_and_cubic_follow_the_ground_in_another_crs(tmp_path: Path) -> None:
    """Hills of the map's own coordinates, sampled at 25 m in LAEA: what comes back is what the
    hills are at the map's centres."""
    to_utm = Transformer.from_crs("EPSG:3035", "EPSG:32633", always_xy=True)
    west, north = Transformer.from_crs("EPSG:32633", "EPSG:3035", always_xy=True).transform(
        WEST - 300, NORTH + 300
    )
    x, y = np.meshgrid(west + 25 * (np.arange(60) + 0.5), north - 25 * (np.arange(60) + 0.5))
    x, y = to_utm.transform(x, y)
    x, y = x - WEST, y - NORTH
    surface = (400 + 90 * np.sin(x / 130) + 60 * np.cos(y / 170 + x / 400)).astype(np.float32)
    file = raster(
        tmp_path / "r.tif", surface[None], pixel=25, west=west, north=north, crs="EPSG:3035"
    )
    expected = hills((24, 30), 10)
    for method, most in (("cubic", 0.15), ("bilinear", 0.8)):
        found = values(layer(file, resampling=method))[0]
        assert np.abs(found - expected).max() < most


def test_an_average_is_of_the_pixels_in_each(tmp_path: Path) -> None:
    numbers = np.random.default_rng(2).integers(0, 255, (1, 120, 150)).astype(np.uint8)
    file = raster(tmp_path / "fine.tif", numbers, pixel=2)
    found = values(layer(file, resampling="average"))[0]
    expected = numbers[0].astype(float).reshape(24, 5, 30, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    half = GeoBox((48, 60), Affine(5, 0, WEST, 0, -5, NORTH), "EPSG:32633")
    coarse = raster(tmp_path / "coarse.tif", numbers[:, :24, :30])
    found = values(layer(coarse, resampling="average"), half)[0]
    np.testing.assert_array_equal(found, numbers[0, :24, :30].repeat(2, 0).repeat(2, 1))


def test_numbers_become_values_by_the_file_or_by_the_key(tmp_path: Path) -> None:
    numbers = np.arange(24 * 30, dtype=np.uint16).reshape(1, 24, 30)
    file = raster(tmp_path / "ph.tif", numbers, descriptions=["ph 0-5cm"])
    with rasterio.open(file, "r+") as opened:
        opened.scales, opened.offsets = (0.1,), (2.0,)
    np.testing.assert_allclose(values(layer(file)), numbers * 0.1 + 2, rtol=1e-6)
    given = layer(file, scale=(0.5,), offset=(0.0,), nodata=7, bands=("ph 0-5cm",))
    found = values(given)
    assert np.isnan(found[0, 0, 7])
    np.testing.assert_allclose(found[0, 1:], numbers[0, 1:] * 0.5)
    assert given.features(1) == ("elevation",)


def test_embeddings_are_what_their_numbers_stand_for(tmp_path: Path) -> None:
    """-128 is no data though the file does not say it; of TESSERA each pixel has its scale."""
    numbers = np.random.default_rng(3).integers(-127, 128, (4, 24, 30)).astype(np.int8)
    numbers[:, 2, 3] = -128
    file = raster(tmp_path / "aef.tif", numbers)
    found = values(layer(file, encoding="alphaearth", resampling="nearest"))
    expected = np.where(numbers == -128, np.nan, (numbers / 127.5) ** 2 * np.sign(numbers))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    scales = np.random.default_rng(4).uniform(0.01, 0.1, (1, 24, 30)).astype(np.float32)
    scales[0, 5, 5] = np.nan
    beside = raster(tmp_path / "scales.tif", scales)
    found = values(layer(file, scale_path=beside, nodata=-128, resampling="nearest"))
    np.testing.assert_allclose(
        found, np.where(numbers == -128, np.nan, numbers * scales), rtol=1e-5
    )
    other = raster(tmp_path / "other.tif", scales[:, :20])
    with pytest.raises(SourceError, match=r"scale_path: other\.tif has other pixels than aef"):
        values(layer(file, scale_path=other))


def test_a_raster_of_a_server_is_read_by_the_tiles_that_are_needed(tmp_path: Path) -> None:
    numbers = np.random.default_rng(6).integers(0, 4000, (2, 256, 256)).astype(np.int16)
    blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "band"}
    file = raster(tmp_path / "dem.tif", numbers, **blocks)
    with stac_server(tmp_path) as server:
        found = values(layer(f"{server.files}/dem.tif"))
        np.testing.assert_array_equal(found, values(layer(file)))
        spans = [re.fullmatch(r"bytes=(\d+)-(\d+)", str(r.range)) for r in server.of_files]
        fetched = sum(int(one[2]) - int(one[1]) + 1 for one in spans if one)
        assert fetched < file.stat().st_size / 2
        with pytest.raises(SourceError, match=r"path: dem_2020\.tif .*404"):
            values(layer(f"{server.files}/dem_{{year}}.tif").of_year(2020))


def test_a_virtual_raster_is_read_and_counts_with_what_it_points_at(tmp_path: Path) -> None:
    numbers = np.arange(24 * 30, dtype=np.int16).reshape(1, 24, 30)
    file = raster(tmp_path / "dem.tif", numbers)
    rasterio.shutil.copy(file, tmp_path / "dem.vrt", driver="VRT")
    options = layer(tmp_path / "dem.vrt")
    np.testing.assert_array_equal(values(options), numbers)
    before = counted([options])
    raster(file, numbers + 1)
    assert counted([layer(tmp_path / "dem.vrt")]) != before


def test_rasters_on_one_lattice_are_read_as_one(tmp_path: Path) -> None:
    """Through an index of their outlines: no seam where one ends, whichever patch is asked for."""
    whole = np.random.default_rng(5).normal(0, 1, (1, 40, 40)).astype(np.float32)
    options = {"pixel": 30.0, "west": WEST - 95, "north": NORTH + 95}
    one = raster(tmp_path / "one.tif", whole, **options)
    outlines, names = [], []
    for i, (row, column) in enumerate(((0, 0), (0, 13), (9, 0), (9, 13))):
        last = 40 if row else 9, 40 if column else 13
        part = whole[:, row : last[0], column : last[1]]
        name = f"part{i}.tif"
        at = {"west": options["west"] + 30 * column, "north": options["north"] - 30 * row}
        raster(tmp_path / name, part, pixel=30, **at)
        names.append(name)
        height, width = (30 * side for side in part.shape[1:])
        outlines.append(
            shapely.box(at["west"], at["north"] - height, at["west"] + width, at["north"])
        )
    table = geopandas.GeoDataFrame({"location": names}, geometry=outlines, crs="EPSG:32633")
    table.to_file(tmp_path / "tiles.gpkg")
    table.to_parquet(tmp_path / "tiles.parquet")
    for method in METHODS:
        expected = values(layer(one, resampling=method))
        for index in ("tiles.gpkg", "tiles.parquet"):
            found = layer(tile_index=tmp_path / index, resampling=method)
            np.testing.assert_allclose(values(found), expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(values(found, GRID[10:, 12:]), values(found)[:, 10:, 12:])


def test_an_index_has_the_rasters_of_a_year(tmp_path: Path) -> None:
    for year in (2020, 2021):
        raster(tmp_path / f"{year}.tif", np.full((1, 24, 30), year, np.int16))
    outline = shapely.box(WEST, NORTH - 240, WEST + 300, NORTH)
    table = geopandas.GeoDataFrame(
        {"location": ["2020.tif", "2021.tif"], "year": [2020, 2021]},
        geometry=[outline, outline], crs="EPSG:32633",
    )  # fmt: skip
    table.to_file(tmp_path / "tiles.gpkg")
    every = layer(tile_index=tmp_path / "tiles.gpkg", year_attribute="year")
    for year in (2020, 2021):
        assert (values(every.of_year(year)) == year).all()
    with pytest.raises(SourceError, match="no raster whose year is 2019"):
        values(every.of_year(2019))
    with pytest.raises(SourceError, match=r"location: .* has no attribute path\. It has loc"):
        values(layer(tile_index=tmp_path / "tiles.gpkg", location="path"))


def test_a_collection_is_read_with_its_newest_items_first(tmp_path: Path) -> None:
    """The newer item has a hole, through which the older one is seen."""
    x, y = catalogs.ORIGIN
    new = np.full((1, 8, 8), 2, np.int16)
    new[0, 1, 1] = -1
    for name, numbers in (("old", np.full((1, 8, 8), 5, np.int16)), ("new", new)):
        raster(tmp_path / f"{name}.tif", numbers, west=x, north=y)
    items = [
        catalogs.item(name, when, {"data": {"href": f"./{name}.tif", "raster:bands": [raster_]}})
        for name, when, raster_ in (
            ("old", "2019-03-01T00:00:00Z", {"data_type": "int16"}),
            ("new", "2021-03-01T00:00:00Z", {"data_type": "int16", "nodata": -1, "scale": 0.5}),
        )
    ]
    catalog = catalogs.write_catalog(tmp_path, items)
    expected = np.full((8, 8), 1.0)
    expected[1, 1] = 5
    with stac_server(tmp_path) as server:
        for of in (catalog, server.api):
            options = layer(catalog=of, collection=catalogs.COLLECTION, bands=("data",))
            np.testing.assert_array_equal(values(options, catalogs.GRID)[0], expected)
            of_2019 = replace(options, datetime="{year}").of_year(2019)
            np.testing.assert_array_equal(values(of_2019, catalogs.GRID)[0], 5)
            nothing = open_layer(of_2019, GRID)
            assert nothing.tiles == ()
            assert np.isnan(nothing.read(GRID)).all()
            with pytest.raises(
                SourceError, match=r"layers\[0\]\.bands: an item of .* no asset dem"
            ):
                values(replace(options, bands=("dem",)), catalogs.GRID)
            with pytest.raises(SourceError, match=r"^features\.layers\[0\]\.collection: .*has no"):
                values(replace(options, collection="cop-dem"), catalogs.GRID)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bands": (3,)}, r"path: r\.tif has no band 3 \(it has 2\)"),
        ({"bands": ("slope",)}, r"no band slope \(it has 2, named sand, clay\)"),
        ({"terrain": ("slope",)}, r"has 2 bands, and features\.layers\[0\]\.terrain is of one"),
        ({"scale": (1.0, 2.0, 3.0)}, "scale: there are 3 for the 2 bands"),
    ],
)
def test_what_a_raster_does_not_have_is_refused(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    file = raster(
        tmp_path / "r.tif", np.zeros((2, 9, 9), np.float32), descriptions=["sand", "clay"]
    )
    with pytest.raises(SourceError, match=words):
        open_layer(layer(file, **options), GRID)


def test_a_raster_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"layers\[0\]\.path: dem\.tif is not there\. Give"):
        open_layer(layer(tmp_path / "dem.tif"), GRID)
    (tmp_path / "dem.tif").write_bytes(b"no raster")
    with pytest.raises(SourceError, match=r"dem\.tif cannot be read as a raster"):
        open_layer(layer(tmp_path / "dem.tif"), GRID)
    raster(tmp_path / "dem.tif", np.zeros((1, 9, 9), np.complex64))
    with pytest.raises(SourceError, match="holds complex64 in band 1"):
        open_layer(layer(tmp_path / "dem.tif"), GRID)
    raster(tmp_path / "dem.tif", np.zeros((1, 9, 9), np.uint8), crs=None)
    with pytest.raises(SourceError, match="has no CRS"):
        open_layer(layer(tmp_path / "dem.tif"), GRID)


def test_a_version_is_of_the_content_and_of_the_year(tmp_path: Path) -> None:
    for year in (2020, 2021):
        raster(tmp_path / f"aef_{year}.tif", np.full((1, 9, 9), year, np.int16))
    options = layer(tmp_path / "aef_{year}.tif")
    one, other = (counted([options.of_year(year)]) for year in (2020, 2021))
    assert one != other
    assert set(one[0]) == {"name", "path"}
    assert str(tmp_path) not in str(one)
    raster(tmp_path / "aef_2021.tif", np.full((1, 9, 9), 7, np.int16))
    assert counted([options.of_year(2020)]) == one
    assert counted([options.of_year(2021)]) != other
    raster(tmp_path / "aef_2020.tif", np.full((1, 9, 9), 2020, np.float32))
    assert counted([options.of_year(2020)]) != one
    raster(tmp_path / "aef_2020.tif", np.full((1, 9, 9), 2020, np.int16))
    assert counted([layer(tmp_path / "aef_{year}.tif", resampling="cubic").of_year(2020)]) != one
