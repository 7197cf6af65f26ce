"""Imagery from STAC catalogs: real ones, small ones written here, and an API on loopback."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
import rasterio
import shapely
import shapely.geometry
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from pyproj import Transformer

from lc_platform.sources.protocol import (
    Acquisition,
    Source,
    SourceError,
    TransientSourceError,
)
from lc_platform.sources.stac.archive import StacArchive
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    GRID,
    ORIGIN,
    YEAR,
    archive,
    band,
    collection_of,
    footprint,
    item,
    one_acquisition,
    ramp,
    write_catalog,
    write_tiff,
)

# The real archives


def slovenia(shared_data: Path) -> tuple[StacArchive, GeoBox]:
    folder = shared_data / "slovenia" / "l1c"
    with rasterio.open(next(folder.glob("*/B02.tif"))) as file:
        grid = GeoBox(file.shape, file.transform, file.crs)
    return StacArchive(str(folder / "catalog.json"), "sentinel-2-l1c"), grid


def flanders(shared_data: Path) -> tuple[StacArchive, GeoBox]:
    grid = GeoBox((64, 64), Affine(10, 0, 501360, 0, -10, 5629680), "EPSG:32631")
    return StacArchive(str(shared_data / "flanders/l2a/catalog.json"), COLLECTION), grid


def at_10_m(path: Path, missing: float) -> NDArray[Any]:
    """The pixels of a 20 m file of Flanders on the site's 64 rows of 10 m.

    The files begin 20 m, which is two of these rows, north of the site, and end as far north of
    its southern edge: the last two rows are in no file.
    """
    with rasterio.open(path) as file:
        assert file.transform[:6] == (20, 0, 501360, 0, -20, 5629700)
        doubled = file.read(1).repeat(2, axis=0).repeat(2, axis=1)
    return np.concatenate([doubled[2:], np.full((2, 64), missing, doubled.dtype)])


@pytest.mark.real_data
def test_the_five_scenes_of_slovenia_on_their_own_grid_are_the_files_pixels(
    shared_data: Path,
) -> None:
    source, grid = slovenia(shared_data)
    names = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09"]
    names += ["B10", "B11", "B12"]
    found = source.search(grid.extent, datetime(2015, 1, 1), datetime(2016, 1, 1))
    days = [f"{one.datetime:%m-%d}" for one in found]
    assert days == ["07-11", "07-31", "08-20", "08-30", "09-09"]
    for one in found:
        pixels = source.read(one, grid, names)
        assert pixels.values.shape == (13, 101, 100)
        assert pixels.data_mask.all()
        assert pixels.scale.tolist() == [0.0001] * 13
        assert pixels.offset.tolist() == [0.0] * 13
        for name, values in zip(names, pixels.values, strict=True):
            path = shared_data / "slovenia/l1c" / one.items[0] / f"{name}.tif"
            with rasterio.open(path) as file:
                np.testing.assert_array_equal(values, file.read(1))


@pytest.mark.real_data
def test_flanders_has_118_acquisitions_with_keys_of_their_own(shared_data: Path) -> None:
    source, grid = flanders(shared_data)
    found = source.search(grid.extent, datetime(2017, 8, 1), datetime(2019, 1, 1))
    assert len(found) == 118
    assert len({one.key for one in found}) == 118
    assert found == sorted(found, key=lambda one: (one.datetime, one.key))
    assert found[0].cloud_cover == 100.0


@pytest.mark.real_data
def test_the_20_m_classification_of_flanders_doubles_onto_10_m(shared_data: Path) -> None:
    source, grid = flanders(shared_data)
    for one in source.search(grid.extent, datetime(2018, 5, 1), datetime(2018, 6, 1)):
        expected = at_10_m(shared_data / f"flanders/l2a/{one.items[0]}/SCL.tif", 0)
        pixels = source.read(one, grid, ["SCL"])
        np.testing.assert_array_equal(pixels.values[0], expected)
        np.testing.assert_array_equal(pixels.data_mask, expected != 0)


@pytest.mark.real_data
@pytest.mark.parametrize("resolution", [10, 25])
@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:32632", "EPSG:3035"])
def test_a_window_of_flanders_is_the_crop_of_a_whole_read(
    shared_data: Path, crs: str, resolution: float
) -> None:
    source, grid = flanders(shared_data)
    grid = GeoBox.from_geopolygon(grid.extent, resolution=resolution, crs=crs)
    (one,) = source.search(grid.extent, datetime(2018, 5, 6), datetime(2018, 5, 7))
    names = ["B02", "B11", "SCL"]
    whole = source.read(one, grid, names)
    assert whole.data_mask.mean() > 0.7
    for rows, columns in [(slice(8, 16), slice(12, 24)), (slice(7, 20), slice(1, 22))]:
        window = source.read(one, grid[rows, columns], names)
        np.testing.assert_array_equal(window.values, whole.values[:, rows, columns])
        np.testing.assert_array_equal(window.data_mask, whole.data_mask[rows, columns])


@pytest.mark.real_data
def test_asset_keys_and_sentinel_2_names_give_the_same_bands(shared_data: Path) -> None:
    source, grid = flanders(shared_data)
    (one,) = source.search(grid.extent, datetime(2018, 5, 6), datetime(2018, 5, 7))
    by_name = source.read(one, grid, ["B02", "B8A", "SCL"])
    by_key = source.read(one, grid, ["blue", "nir08", "scl"])
    np.testing.assert_array_equal(by_name.values, by_key.values)
    assert source.bands()[:3] == ("B02", "B03", "B04")
    assert "scl" in source.bands()


@pytest.mark.real_data
def test_a_radars_decibels_come_as_amplitude(shared_data: Path) -> None:
    source = StacArchive(str(shared_data / "flanders/s1/catalog.json"), "sentinel-1-grd")
    _, grid = flanders(shared_data)
    one = source.search(grid.extent, datetime(2018, 5, 1), datetime(2018, 6, 1))[0]
    folder = shared_data / "flanders/s1" / one.items[0]
    read = source.read(one, grid, ["VV", "VH"])
    assert read.data_mask[:62].all()
    assert not read.data_mask[62:].any()
    for name, numbers, scale, offset in zip(
        ("VV", "VH"), read.values, read.scale, read.offset, strict=True
    ):
        stored = at_10_m(folder / f"{name}.tif", np.nan)
        decibels = 20 * np.log10(numbers[:62] * scale + offset)
        np.testing.assert_allclose(decibels, stored[:62], atol=0.02)


# Passes, granules and keys


def test_two_granules_of_one_pass_are_one_acquisition(tmp_path: Path) -> None:
    """West half from the first granule, east half from the second; where both have, the first."""
    west, east = np.full((8, 5), 100, np.uint16), np.full((8, 5), 200, np.uint16)
    write_tiff(tmp_path / "west.tif", west)
    write_tiff(tmp_path / "east.tif", east, origin=(ORIGIN[0] + 30, ORIGIN[1]))
    x, y = ORIGIN
    source = archive(
        tmp_path,
        [
            item(
                "S2A_33TVN_20210701_0_L2A",
                "2021-07-01T10:00:14Z",
                {"blue": band("./east.tif", "B02")},
                footprint(x + 30, y - 80, x + 80, y),
                **{"eo:cloud_cover": 30.0, "grid:code": "MGRS-33TVN"},
                **{"view:sun_azimuth": 358.0, "view:sun_elevation": 31.0},
            ),
            item(
                "S2A_33TUN_20210701_0_L2A",
                "2021-07-01T10:00:29Z",
                {"blue": band("./west.tif", "B02")},
                footprint(x, y - 80, x + 50, y),
                **{"eo:cloud_cover": 10.0, "grid:code": "MGRS-33TUN"},
                **{"view:sun_azimuth": 4.0, "view:sun_elevation": 32.0},
            ),
        ],
    )
    one = one_acquisition(source)
    assert one.items == ("S2A_33TUN_20210701_0_L2A", "S2A_33TVN_20210701_0_L2A")
    assert one.datetime == datetime(2021, 7, 1, 10, 0, 14, tzinfo=UTC)
    assert one.cloud_cover == 20.0
    assert one.sun == (pytest.approx(1.0), 31.5)
    assert one.properties["grid:code"] == "MGRS-33TUN,MGRS-33TVN"
    pixels = source.read(one, GRID, ["B02"])
    assert pixels.data_mask.all()
    np.testing.assert_array_equal(pixels.values[0, 0], [100] * 5 + [200] * 3)


def two_halves(folder: Path, west: Any, east: Any) -> StacArchive:
    """The halves of the grid from two granules of a pass, which tell these cloud covers."""
    x, y = ORIGIN
    items = []
    for name, left, cover in (("west", x, west), ("east", x + 40, east)):
        number = 100 if name == "west" else 200
        write_tiff(folder / f"{name}.tif", np.full((8, 4), number, np.uint16), origin=(left, y))
        told = {} if cover is None else {"eo:cloud_cover": cover}
        there = footprint(left + 1, y - 80, left + 39, y)
        asset = {"blue": band(f"./{name}.tif", "B02")}
        items.append(item(name, "2021-07-01T10:00:14Z", asset, there, **told))
    return archive(folder, items)


def test_a_granule_that_is_too_cloudy_is_left_out_of_its_pass(tmp_path: Path) -> None:
    source = two_halves(tmp_path, 10, 31)
    whole = one_acquisition(source)
    west = whole.within(30)
    assert west is not None
    assert (west.key, west.items, west.cloud_cover) == (whole.key, ("west",), 10)
    assert west.coverage == pytest.approx(whole.coverage / 2, abs=0.01)
    pixels = source.read(west, GRID, ["B02"])
    np.testing.assert_array_equal(pixels.values[0, 0], [100] * 4 + [0] * 4)
    assert pixels.data_mask[0].tolist() == [True] * 4 + [False] * 4
    assert whole.within(31) is whole
    assert whole.within(9) is None
    assert west.bands["B02"].state != whole.bands["B02"].state


@pytest.mark.parametrize("unknown", [None, -1, "?"])
def test_a_granule_of_unknown_cloud_cover_is_kept(tmp_path: Path, unknown: Any) -> None:
    clear = one_acquisition(two_halves(tmp_path, unknown, 80)).within(20)
    assert clear is not None
    assert (clear.items, clear.cloud_cover) == (("west",), None)


def test_what_is_left_out_does_not_hang_on_the_area_searched(tmp_path: Path) -> None:
    """The mean of both granules is within the limit, one of them is not."""
    source = two_halves(tmp_path, 10, 40)
    west, east = GRID[:, :4].extent, GRID[:, 4:].extent
    for area, expected in ((GRID.extent, ("west",)), (west, ("west",)), (east, None)):
        clear = one_acquisition(source, area).within(30)
        assert (None if clear is None else clear.items) == expected


def test_granules_around_the_area_belong_to_an_acquisition_that_shows_the_area(
    tmp_path: Path,
) -> None:
    source = two_halves(tmp_path, 10, 40)
    (one,) = source.search(GRID[:, :3].extent, *YEAR, GRID.extent)
    assert {*one.items} == {"east", "west"}
    assert one.coverage > 0.9
    clear = one.within(30)
    assert clear is not None
    assert clear.items == ("west",)
    (one,) = source.search(GRID[:, 5:].extent, *YEAR, GRID.extent)
    assert {*one.items} == {"east", "west"}
    assert one.within(30) is None


def test_the_key_of_a_pass_does_not_depend_on_the_area_searched(tmp_path: Path) -> None:
    x, y = ORIGIN
    source = archive(
        tmp_path,
        [
            item("a", "2021-07-01T10:00:14Z", {}, footprint(x + 40, y - 80, x + 80, y)),
            item("b", "2021-07-01T10:04:29Z", {}, footprint(x, y - 80, x + 40, y)),
        ],
    )
    whole = one_acquisition(source)
    part = one_acquisition(source, box(x, y - 80, x + 10, y - 70, "EPSG:32633"))
    assert part.items == ("b",)
    assert part.key == whole.key == "20210701T100014_sentinel-2a"


def test_the_key_is_the_start_of_the_datatake_where_items_tell_it(tmp_path: Path) -> None:
    source = archive(
        tmp_path,
        [
            item(
                "a",
                "2021-07-01T10:05:14Z",
                {},
                **{"s2:datatake_id": "GS2A_20210701T100031_031464_N03.00"},
            )
        ],
    )
    assert one_acquisition(source).key == "20210701T100031_sentinel-2a"


@pytest.mark.parametrize(
    ("second_time", "second"),
    [
        ("2021-07-01T11:40:00Z", {}),
        ("2021-07-01T10:00:10Z", {"platform": "sentinel-2b"}),
        ("2021-07-01T10:00:10Z", {"sat:relative_orbit": 22}),
    ],
    ids=["another time", "another satellite", "another orbit"],
)
def test_two_passes_of_a_day_stay_two_acquisitions(
    tmp_path: Path, second_time: str, second: dict[str, Any]
) -> None:
    orbit = {"sat:relative_orbit": 122} if "sat:relative_orbit" in second else {}
    source = archive(
        tmp_path,
        [
            item("a", "2021-07-01T10:00:00Z", {}, **orbit),
            item("b", second_time, {}, **second),
        ],
    )
    found = source.search(GRID.extent, *YEAR)
    assert [one.items for one in found] == [("a",), ("b",)]
    assert len({one.key for one in found}) == 2


def test_of_two_processings_of_a_granule_the_newer_is_used(tmp_path: Path) -> None:
    def processed(id_: str, baseline: str) -> dict[str, Any]:
        properties = {"grid:code": "MGRS-33TUN", "s2:processing_baseline": baseline}
        return item(id_, "2021-07-01T10:00:00Z", {}, **properties)

    source = archive(tmp_path, [processed("old", "02.09"), processed("new", "05.00")])
    assert one_acquisition(source).items == ("new",)
    assert one_acquisition(source).properties["s2:processing_baseline"] == "05.00"


def test_two_halves_of_a_tile_are_both_used(tmp_path: Path) -> None:
    x, y = ORIGIN
    tile = {"grid:code": "MGRS-33TUN"}
    source = archive(
        tmp_path,
        [
            item("a", "2021-07-01T10:00:00Z", {}, footprint(x, y - 80, x + 40, y), **tile),
            item("b", "2021-07-01T10:00:09Z", {}, footprint(x + 40, y - 80, x + 80, y), **tile),
        ],
    )
    assert set(one_acquisition(source).items) == {"a", "b"}


def test_a_granule_on_the_grids_own_crs_is_preferred(tmp_path: Path) -> None:
    write_tiff(tmp_path / "own.tif", ramp())
    to_32 = Transformer.from_crs(32633, 32632, always_xy=True)
    x, y = to_32.transform(*ORIGIN)
    other = np.full((40, 40), 9, np.uint16)
    write_tiff(tmp_path / "other.tif", other, epsg=32632, origin=(x - 150, y + 150))
    source = archive(
        tmp_path,
        [
            item(
                "S2A_32TQS_20210701_0_L2A",
                "2021-07-01T10:00:00Z",
                {"B02": band("./other.tif")},
                **{"proj:epsg": 32632},
            ),
            item(
                "S2A_33TUN_20210701_0_L2A",
                "2021-07-01T10:00:00Z",
                {"B02": band("./own.tif")},
                **{"proj:epsg": 32633},
            ),
        ],
    )
    one = one_acquisition(source)
    assert one.items[0] == "S2A_32TQS_20210701_0_L2A"
    np.testing.assert_array_equal(source.read(one, GRID, ["B02"]).values[0], ramp())


def test_the_period_is_half_open(tmp_path: Path) -> None:
    source = archive(
        tmp_path,
        [item("a", "2021-01-01T00:00:00Z", {}), item("b", "2022-01-01T00:00:00Z", {})],
    )
    assert [one.items for one in source.search(GRID.extent, *YEAR)] == [("a",)]
    assert source.search(GRID.extent, YEAR[0], YEAR[0]) == []


def test_an_area_elsewhere_has_no_acquisition(tmp_path: Path) -> None:
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {})])
    assert source.search(box(0, 0, 1, 1, "EPSG:4326"), *YEAR) == []


def test_an_acquisition_tells_how_much_of_the_area_it_covers(tmp_path: Path) -> None:
    x, y = ORIGIN
    west = footprint(x, y - 80, x + 40, y)
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {}, west)])
    assert one_acquisition(source).coverage == pytest.approx(0.5, abs=0.01)
    inside = box(x + 10, y - 30, x + 20, y - 20, "EPSG:32633")
    assert one_acquisition(source, inside).coverage == pytest.approx(1.0)


def test_the_archive_is_a_source(tmp_path: Path) -> None:
    assert isinstance(StacArchive(str(tmp_path / "catalog.json"), COLLECTION), Source)


def test_another_archive_object_can_read_what_one_found(tmp_path: Path) -> None:
    write_tiff(tmp_path / "B02.tif", ramp())
    items = [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})]
    one = one_acquisition(archive(tmp_path, items))
    fresh = StacArchive(str(tmp_path / "collection.json"), COLLECTION)
    np.testing.assert_array_equal(fresh.read(one, GRID, ["B02"]).values[0], ramp())


# Scale, offset, no data


def test_scale_and_offset_come_from_the_item(tmp_path: Path) -> None:
    write_tiff(tmp_path / "B02.tif", ramp(1000))
    told = band("./B02.tif", "B02", scale=0.0002, offset=-0.1)
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"blue": told})])
    pixels = source.read(one_acquisition(source), GRID, ["B02"])
    assert (pixels.scale[0], pixels.offset[0]) == (0.0002, -0.1)
    np.testing.assert_array_equal(pixels.values[0], ramp(1000))


def test_an_offset_that_was_taken_out_is_not_applied_again(tmp_path: Path) -> None:
    write_tiff(tmp_path / "B02.tif", ramp())
    properties = {"earthsearch:boa_offset_applied": True}
    assets = {"blue": band("./B02.tif", "B02", offset=-0.1)}
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets, **properties)])
    assert source.read(one_acquisition(source), GRID, ["B02"]).offset.tolist() == [0.0]


def test_scale_offset_and_nodata_of_stac_1_1_bands_are_understood(tmp_path: Path) -> None:
    values = ramp(7)
    write_tiff(tmp_path / "B02.tif", values)
    asset = {
        "href": "./B02.tif",
        "type": "image/tiff; application=geotiff",
        "roles": ["data", "reflectance"],
        "bands": [
            {
                "name": "B02",
                "data_type": "uint16",
                "nodata": 7,
                "raster:scale": 0.0001,
                "raster:offset": -0.1,
            }
        ],
    }
    new = {**item("a", "2021-07-01T10:00:00Z", {"blue": asset}), "stac_version": "1.1.0"}
    source = archive(tmp_path, [new])
    pixels = source.read(one_acquisition(source), GRID, ["B02"])
    assert (pixels.scale[0], pixels.offset[0]) == (0.0001, -0.1)
    np.testing.assert_array_equal(pixels.data_mask, values != 7)
    assert pixels.values[0, 0, 0] == 0


def test_granules_with_and_without_the_offset_are_brought_together_exactly(
    tmp_path: Path,
) -> None:
    """Reflectance 0.25 is 2500 without, 3500 with the offset of -1000 digital numbers."""
    without, with_offset = np.full((8, 4), 2500, np.uint16), np.full((8, 4), 3500, np.uint16)
    write_tiff(tmp_path / "a.tif", without)
    write_tiff(tmp_path / "b.tif", with_offset, origin=(ORIGIN[0] + 40, ORIGIN[1]))
    source = archive(
        tmp_path,
        [
            item("a", "2021-07-01T10:00:00Z", {"B02": band("./a.tif")}),
            item("b", "2021-07-01T10:00:20Z", {"B02": band("./b.tif", offset=-0.1)}),
        ],
    )
    one = one_acquisition(source)
    pixels = source.read(one, GRID, ["B02"])
    reflectance = pixels.values * pixels.scale[:, None, None] + pixels.offset[:, None, None]
    np.testing.assert_allclose(reflectance, 0.25, atol=1e-12)
    assert pixels.offset.tolist() == [-0.1]


def test_every_window_of_an_acquisition_has_the_same_offset(tmp_path: Path) -> None:
    x, y = ORIGIN
    write_tiff(tmp_path / "here.tif", ramp())
    far = footprint(x + 30000, y - 80, x + 30080, y)
    source = archive(
        tmp_path,
        [
            item("a", "2021-07-01T10:00:00Z", {"B02": band("./here.tif")}),
            item("b", "2021-07-01T10:00:20Z", {"B02": band("./far.tif", offset=-0.1)}, far),
        ],
    )
    one = one_acquisition(source, box(x, y - 80, x + 30080, y, "EPSG:32633"))
    pixels = source.read(one, GRID, ["B02"])
    assert pixels.offset.tolist() == [-0.1]
    np.testing.assert_array_equal(pixels.values[0], ramp() + 1000)


def test_granules_with_offsets_that_whole_numbers_cannot_reconcile_are_refused(
    tmp_path: Path,
) -> None:
    write_tiff(tmp_path / "B02.tif", ramp())
    source = archive(
        tmp_path,
        [
            item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")}),
            item("b", "2021-07-01T10:00:20Z", {"B02": band("./B02.tif", offset=-0.00005)}),
        ],
    )
    with pytest.raises(SourceError, match=r"band B02 with different scales or offsets"):
        source.read(one_acquisition(source), GRID, ["B02"])


def test_a_sentinel_2_band_that_does_not_tell_its_offset_is_not_guessed(tmp_path: Path) -> None:
    write_tiff(tmp_path / "B02.tif", ramp())
    asset = {"href": "./B02.tif", "type": "image/tiff", "roles": ["data"]}

    def source(baseline: str) -> StacArchive:
        properties = {"s2:processing_baseline": baseline}
        return archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": asset}, **properties)])

    old = source("03.01")
    pixels = old.read(one_acquisition(old), GRID, ["B02"])
    assert (pixels.scale[0], pixels.offset[0]) == (0.0001, 0.0)
    new = source("04.00")
    with pytest.raises(SourceError, match=r"item a does not tell scale and offset of band B02"):
        new.read(one_acquisition(new), GRID, ["B02"])


def test_a_pixel_is_data_only_where_every_band_asked_for_has_data(tmp_path: Path) -> None:
    blue, red = ramp(), ramp()
    blue[0, 0] = red[7, 7] = 0
    write_tiff(tmp_path / "B02.tif", blue)
    write_tiff(tmp_path / "B04.tif", red)
    assets = {"B02": band("./B02.tif"), "B04": band("./B04.tif")}
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets)])
    pixels = source.read(one_acquisition(source), GRID, ["B04", "B02"])
    expected = np.ones((8, 8), bool)
    expected[0, 0] = expected[7, 7] = False
    np.testing.assert_array_equal(pixels.data_mask, expected)
    assert (pixels.values[:, ~expected] == 0).all()
    np.testing.assert_array_equal(pixels.values[0][expected], red[expected])


def test_zero_is_data_where_the_item_gives_another_nodata(tmp_path: Path) -> None:
    values = ramp(0)
    values[3, 3] = 65535
    write_tiff(tmp_path / "B02.tif", values)
    assets = {"B02": band("./B02.tif", nodata=65535)}
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets)])
    pixels = source.read(one_acquisition(source), GRID, ["B02"])
    assert pixels.data_mask[0, 0]
    assert not pixels.data_mask[3, 3]


# Grids


def ramp_archive(tmp_path: Path) -> tuple[StacArchive, Acquisition]:
    write_tiff(tmp_path / "B02.tif", ramp())
    write_tiff(tmp_path / "SCL.tif", ramp().astype(np.uint8))
    scl = {"href": "./SCL.tif", "type": "image/tiff", "roles": ["data", "classification"]}
    assets = {"B02": band("./B02.tif"), "scl": scl}
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets)])
    return source, one_acquisition(source)


def test_outside_the_footprint_is_no_data(tmp_path: Path) -> None:
    source, one = ramp_archive(tmp_path)
    pixels = source.read(one, GRID.pad(2), ["B02"])
    expected = np.zeros((12, 12), np.uint16)
    expected[2:10, 2:10] = ramp()
    np.testing.assert_array_equal(pixels.values[0], expected)
    np.testing.assert_array_equal(pixels.data_mask, expected > 0)
    far = GeoBox((4, 4), Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")
    assert not source.read(one, far, ["B02"]).data_mask.any()


def test_a_finer_grid_repeats_the_archives_pixels(tmp_path: Path) -> None:
    source, one = ramp_archive(tmp_path)
    pixels = source.read(one, GRID.zoom_to(resolution=5), ["B02"])
    np.testing.assert_array_equal(pixels.values[0], ramp().repeat(2, 0).repeat(2, 1))


def test_a_grid_twice_as_coarse_takes_the_mean_and_of_classes_the_nearest(
    tmp_path: Path,
) -> None:
    """The mean of 1, 2, 9, 10 is 5.5, of 3, 4, 11, 12 it is 7.5: a half is rounded up."""
    source, one = ramp_archive(tmp_path)
    pixels = source.read(one, GRID.zoom_to(resolution=20), ["B02", "SCL"])
    means = ramp().astype(float).reshape(4, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(pixels.values[0], np.floor(means + 0.5))
    assert np.isin(pixels.values[1], ramp()).all()
    assert (pixels.values[1] != pixels.values[0]).any()


@pytest.mark.parametrize("ratio", [2.5, 8.004, 3.3333])
def test_the_mean_of_any_coarser_grid_is_that_of_the_area(tmp_path: Path, ratio: float) -> None:
    """Of a plane the mean over an area is its value in the middle."""
    rows, columns = np.mgrid[:64, :64] + 0.5
    write_tiff(tmp_path / "B02.tif", (100 * rows + 30 * columns).astype(np.uint16))
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    grid = GeoBox((7, 7), Affine(10 * ratio, 0, ORIGIN[0], 0, -10 * ratio, ORIGIN[1]), "EPSG:32633")
    pixels = source.read(one_acquisition(source), grid, ["B02"])
    rows, columns = (np.mgrid[:7, :7] + 0.5) * ratio
    np.testing.assert_allclose(pixels.values[0], 100 * rows + 30 * columns, atol=10)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    resolution=st.sampled_from([3, 7, 10, 14, 20, 25, 30, 80]),
    crs=st.sampled_from(["EPSG:32633", "EPSG:32632", "EPSG:3035"]),
    rows=st.tuples(st.integers(0, 11), st.integers(1, 12)),
    columns=st.tuples(st.integers(0, 11), st.integers(1, 12)),
    shift=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
)
def test_a_window_of_any_grid_is_the_crop_of_a_whole_read(
    tmp_path: Path,
    resolution: int,
    crs: str,
    rows: tuple[int, int],
    columns: tuple[int, int],
    shift: tuple[float, float],
) -> None:
    path = tmp_path / "catalog.json"
    x, y = ORIGIN
    if not path.exists():
        noise = np.random.default_rng(3).integers(0, 9999, (96, 96), dtype=np.uint16)
        noise[noise < 1000] = 0
        write_tiff(tmp_path / "B02.tif", noise, origin=(x - 480, y + 480))
        write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    source = StacArchive(str(path), COLLECTION)
    x, y = Transformer.from_crs(32633, crs, always_xy=True).transform(x, y)
    corner = (x + shift[0], y + shift[1])
    grid = GeoBox((24, 24), Affine(resolution, 0, corner[0], 0, -resolution, corner[1]), crs)
    one = one_acquisition(source)
    whole = source.read(one, grid, ["B02"])
    crop = (slice(rows[0], rows[0] + rows[1]), slice(columns[0], columns[0] + columns[1]))
    window = source.read(one, grid[crop], ["B02"])
    np.testing.assert_array_equal(window.values[0], whole.values[0][crop])
    np.testing.assert_array_equal(window.data_mask, whole.data_mask[crop])


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3035"])
def test_a_window_of_a_large_grid_in_another_crs_is_the_crop_of_a_whole_read(
    tmp_path: Path, crs: str
) -> None:
    """So large that a warp that interpolates between the ends of a row is off by a pixel."""
    noise = np.random.default_rng(3).integers(1, 9999, (1000, 1000), dtype=np.uint16)
    write_tiff(tmp_path / "B02.tif", noise)
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    one = one_acquisition(source)
    x, y = Transformer.from_crs(32633, crs, always_xy=True).transform(*ORIGIN)
    grid = GeoBox((800, 800), Affine(10, 0, x + 1000, 0, -10, y - 1000), crs)
    whole = source.read(one, grid, ["B02"]).values
    for crop in [np.s_[100:200, 300:400], np.s_[500:537, 20:700], np.s_[790:800, 700:800]]:
        window = source.read(one, grid[crop], ["B02"]).values
        np.testing.assert_array_equal(window, whole[:, *crop])


def test_centres_on_the_border_of_two_odd_pixels_fall_on_one_side_in_every_window(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(3).integers(1, 9999, (300, 300), dtype=np.uint16)
    corner = (ORIGIN[0] + 0.123, ORIGIN[1] + 0.77)
    write_tiff(tmp_path / "B02.tif", noise, resolution=9.99479, origin=corner)
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    one = one_acquisition(source)
    with rasterio.open(tmp_path / "B02.tif") as file:
        own = GeoBox(file.shape, file.transform, file.crs)
    grid = GeoBox((200, 200), own.transform * Affine.translation(20.5, 20.5), own.crs)
    whole = source.read(one, grid, ["B02"]).values
    for crop in [np.s_[13:60, 7:90], np.s_[50:99, 120:171], np.s_[101:200, 33:35]]:
        window = source.read(one, grid[crop], ["B02"]).values
        np.testing.assert_array_equal(window, whole[:, *crop])


def test_the_mean_in_another_crs_is_that_of_the_turned_area(tmp_path: Path) -> None:
    """Of a plane the mean over an area is its value in the middle, however the area is turned."""
    rows, columns = np.mgrid[:200, :200] + 0.5
    write_tiff(tmp_path / "B02.tif", (100 * rows + 30 * columns).astype(np.uint16))
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    to_32 = Transformer.from_crs(32633, 32632, always_xy=True)
    x, y = to_32.transform(ORIGIN[0] + 700, ORIGIN[1] - 700)
    grid = GeoBox((6, 6), Affine(80, 0, x, 0, -80, y), "EPSG:32632")
    one = one_acquisition(source)
    pixels = source.read(one, grid, ["B02"])
    i, j = np.mgrid[:6, :6] + 0.5
    east, south = to_32.transform(x + 80 * j, y - 80 * i, direction="INVERSE")
    expected = 10 * (ORIGIN[1] - south) + 3 * (east - ORIGIN[0])
    np.testing.assert_allclose(pixels.values[0], expected, atol=8)


def test_the_mean_leaves_out_what_is_no_data(tmp_path: Path) -> None:
    values = np.full((8, 8), 4, np.uint16)
    values[0, 0], values[0, 1] = 0, 8
    values[:2, 2:4] = 0
    write_tiff(tmp_path / "B02.tif", values)
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    pixels = source.read(one_acquisition(source), GRID.zoom_to(resolution=20), ["B02"])
    assert pixels.values[0, 0, 0] == 5  # (8 + 4 + 4) / 3, rounded
    assert not pixels.data_mask[0, 1]
    assert pixels.data_mask.sum() == 15


def test_a_grid_whose_pixels_are_nearly_the_archives_is_not_shifted(tmp_path: Path) -> None:
    """Over 4000 pixels of 9.995 m a grid of 10 m pixels gains 2 pixels on the archive's."""
    columns = np.tile(np.arange(1, 4001, dtype=np.uint16), (2, 1))
    write_tiff(tmp_path / "B02.tif", columns, resolution=9.995)
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    grid = GeoBox((1, 3990), Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), "EPSG:32633")
    values = source.read(one_acquisition(source), grid, ["B02"]).values[0, 0]
    expected = np.floor((np.arange(3990) + 0.5) * 10 / 9.995) + 1
    np.testing.assert_array_equal(values, expected)
    assert values[-1] == 3992  # shifted, it would be 3990


def test_in_another_crs_each_pixel_is_the_archives_at_its_centre(tmp_path: Path) -> None:
    source, one = ramp_archive(tmp_path)
    grid = GeoBox.from_geopolygon(GRID.extent, resolution=7, crs="EPSG:32632")
    pixels = source.read(one, grid, ["B02"])
    to_file = Transformer.from_crs(32632, 32633, always_xy=True)
    for row in range(grid.shape[0]):
        for column in range(grid.shape[1]):
            x, y = to_file.transform(*(grid.transform * (column + 0.5, row + 0.5)))
            j, i = int((x - ORIGIN[0]) // 10), int((ORIGIN[1] - y) // 10)
            expected = ramp()[i, j] if 0 <= i < 8 and 0 <= j < 8 else 0
            assert pixels.values[0, row, column] == expected


def test_an_item_without_projection_is_read_by_the_files_own(tmp_path: Path) -> None:
    write_tiff(tmp_path / "B02.tif", ramp())
    declared = item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})
    declared["stac_extensions"].append(
        "https://stac-extensions.github.io/projection/v1.1.0/schema.json"
    )
    source = archive(tmp_path, [declared])
    np.testing.assert_array_equal(
        source.read(one_acquisition(source), GRID, ["B02"]).values[0], ramp()
    )


# Bad input


def test_a_missing_catalog_is_named(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    with pytest.raises(SourceError) as error:
        StacArchive(str(path), COLLECTION).search(GRID.extent, *YEAR)
    assert str(error.value) == (
        f"imagery.catalog: {path} is not there. "
        f"Give the path or URL of a STAC catalog.json or of a STAC API, or one of earth-search, "
        f"planetary-computer."
    )


def test_a_folder_is_not_a_catalog(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is a folder. Give the path of its catalog.json"):
        StacArchive(str(tmp_path), COLLECTION).search(GRID.extent, *YEAR)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html></html>", "is not JSON"),
        ('{"type": "Catalog", ', "is not JSON"),
        ('{"type": "FeatureCollection"}', "is JSON but not STAC"),
        ("[1, 2]", "is JSON but not STAC"),
        ('{"stac_version": "1.0.0", "type": "Style"}', "is not a STAC catalog"),
        ('{"stac_version": "1.0.0", "type": "Catalog"}', "is not valid STAC"),
    ],
)
def test_what_is_not_a_catalog_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "catalog.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=message) as error:
        StacArchive(str(path), COLLECTION).search(GRID.extent, *YEAR)
    assert str(path) in str(error.value)


def test_a_collection_that_is_not_in_the_catalog_is_named_with_those_that_are(
    tmp_path: Path,
) -> None:
    catalog = write_catalog(tmp_path, [])
    with pytest.raises(SourceError, match=r"no collection landsat-ot-l1. It has: sentinel-2-l2a"):
        StacArchive(str(catalog), "landsat-ot-l1").search(GRID.extent, *YEAR)


def test_an_item_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", {})])
    (tmp_path / "a.json").unlink()
    with pytest.raises(SourceError, match=r"lists an item: .*a\.json is not there") as error:
        StacArchive(str(catalog), COLLECTION).search(GRID.extent, *YEAR)
    assert str(error.value).endswith(
        ". Restore the item, take its link out of the collection, or leave it out by "
        "imagery.exclude: [a]."
    )


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", '{"type": "Feature"}', '{"type": "Feature", "stac_version": "1.0.0"}'],
)
def test_an_item_that_cannot_be_read_is_left_out_by_its_name(
    tmp_path: Path, text: str | None
) -> None:
    items = [item(id_, f"2021-07-0{n}T10:00:00Z", {}) for n, id_ in enumerate("ab", 1)]
    catalog = write_catalog(tmp_path, items)
    (tmp_path / "a.json").unlink()
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(SourceError, match=r"imagery\.exclude: \[a\]\.$"):
        StacArchive(str(catalog), COLLECTION).search(GRID.extent, *YEAR)
    found = StacArchive(str(catalog), COLLECTION, exclude=["a"]).search(GRID.extent, *YEAR)
    assert [one.items for one in found] == [("b",)]


def test_a_child_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    root = {"type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "",
            "links": [{"rel": "child", "href": "./gone.json"}]}  # fmt: skip
    (tmp_path / "catalog.json").write_text(json.dumps(root))
    with pytest.raises(SourceError, match=r"lists a child: .*gone\.json is not there") as error:
        StacArchive(str(tmp_path / "catalog.json"), COLLECTION).search(GRID.extent, *YEAR)
    assert str(error.value).endswith("take its link out of the catalog that lists it.")


def test_a_band_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    one = one_acquisition(source)
    with pytest.raises(SourceError) as error:
        source.read(one, GRID, ["B02"])
    assert f"acquisition {one.key}, band B02: {tmp_path / 'B02.tif'}" in str(error.value)
    assert "is not there" in str(error.value)
    assert f"leave the acquisition out by imagery.exclude: [{one.key}]." in str(error.value)


@pytest.mark.parametrize("options", [{}, {"tiled": True, "compress": "deflate"}])
@pytest.mark.parametrize(
    "grid",
    [GRID, GRID.zoom_to(resolution=20), GeoBox.from_geopolygon(GRID.extent, 10, "EPSG:32632")],
    ids=["own grid", "coarser grid", "another CRS"],
)
def test_a_truncated_file_is_an_error_and_never_pixels(
    tmp_path: Path, options: dict[str, Any], grid: GeoBox
) -> None:
    noise = np.random.default_rng(1).integers(1, 9999, (512, 512), dtype=np.uint16)
    x, y = ORIGIN
    path = write_tiff(tmp_path / "B02.tif", noise, origin=(x - 2500, y + 5000), **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    one = one_acquisition(source)
    with pytest.raises(SourceError) as error:
        source.read(one, grid, ["B02"])
    assert f"acquisition {one.key}, band B02: {path} cannot be read" in str(error.value)
    assert str(error.value).endswith(
        f"Fetch the file again, or leave the acquisition out by imagery.exclude: [{one.key}]."
    )
    assert not isinstance(error.value, TransientSourceError)


def test_a_file_that_is_no_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "B02.tif").write_text("<Error>AccessDenied</Error>")
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    with pytest.raises(SourceError, match=r"band B02: .*B02.tif cannot be read"):
        source.read(one_acquisition(source), GRID, ["B02"])


def test_a_band_that_the_archive_lacks_is_named_with_those_it_has(tmp_path: Path) -> None:
    source, one = ramp_archive(tmp_path)
    with pytest.raises(SourceError, match=r"no band B10 .*It has: B02, SCL, scl"):
        source.read(one, GRID, ["B02", "B10"])


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "B02.tif", ramp().astype(np.int16) - 5)
    assets = {"B02": band("./B02.tif", data_type="int16", nodata=-9999)}
    source = archive(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets)])
    with pytest.raises(SourceError, match=r"holds int16 from -4 to 59; only whole numbers"):
        source.read(one_acquisition(source), GRID, ["B02"])


def test_an_acquisition_of_another_archive_is_refused(tmp_path: Path) -> None:
    source, _ = ramp_archive(tmp_path)
    other = Acquisition("20210701T100000_x", YEAR[0], ("gone",))
    with pytest.raises(SourceError, match=r"acquisition 20210701T100000_x: .* has no item gone"):
        source.read(other, GRID, ["B02"])


# Over HTTP


@contextmanager
def served(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class QuietFiles(SimpleHTTPRequestHandler):
    """A folder over HTTP."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class StacApi(BaseHTTPRequestHandler):
    """Search of the STAC API with pages of two items, over the items it is given."""

    def __init__(
        self, *args: Any, items: list[dict[str, Any]], seen: list[str], methods: Sequence[str]
    ) -> None:
        self.items, self.seen, self.methods = items, seen, methods
        super().__init__(*args)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        url = urlparse(self.path)
        here = f"http://{self.headers['Host']}"
        if url.path == "/":
            self.answer(
                {
                    "type": "Catalog",
                    "stac_version": "1.0.0",
                    "id": "api",
                    "description": "for a test",
                    "conformsTo": [
                        "https://api.stacspec.org/v1.0.0/core",
                        "https://api.stacspec.org/v1.0.0/collections",
                        "https://api.stacspec.org/v1.0.0/ogcapi-features",
                        "https://api.stacspec.org/v1.0.0/item-search",
                    ],
                    "links": [
                        {"rel": "self", "href": here},
                        {"rel": "root", "href": here},
                        {"rel": "data", "href": f"{here}/collections"},
                        *(
                            {
                                "rel": "search",
                                "type": "application/geo+json",
                                "href": f"{here}/search",
                                "method": method,
                            }
                            for method in self.methods
                        ),
                    ],
                }
            )
        elif url.path == "/collections":
            self.answer({"collections": [collection_of([])], "links": []})
        elif url.path == f"/collections/{COLLECTION}":
            self.answer(collection_of([]))
        elif url.path == "/search" and "GET" in self.methods:
            query = {name: value[0] for name, value in parse_qs(url.query).items()}
            self.search("GET", query)
        else:
            self.answer({"description": "there is no such thing here"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.search("POST", body)

    def search(self, method: str, asked: dict[str, Any]) -> None:
        self.seen.append(method)
        found = self.items
        if "ids" in asked:
            ids = asked["ids"] if isinstance(asked["ids"], list) else asked["ids"].split(",")
            found = [one for one in found if one["id"] in ids]
        if "intersects" in asked:
            area = shapely.geometry.shape(asked["intersects"])
            found = [o for o in found if shapely.geometry.shape(o["geometry"]).intersects(area)]
        if "datetime" in asked:
            start, end = (text.rstrip("Z") for text in asked["datetime"].split("/"))
            found = [o for o in found if start <= o["properties"]["datetime"].rstrip("Z") <= end]
        first = int(asked.get("token", 0))
        here = f"http://{self.headers['Host']}/search"
        links: list[dict[str, Any]] = []
        if first + 2 < len(found):
            if method == "POST":
                body = {**asked, "token": str(first + 2)}
                links = [{"rel": "next", "href": here, "method": "POST", "body": body}]
            else:
                query = urlparse(self.path).query.split("&token=")[0]
                links = [{"rel": "next", "href": f"{here}?{query}&token={first + 2}"}]
        features = found[first : first + 2]
        self.answer({"type": "FeatureCollection", "features": features, "links": links})

    def answer(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize("methods", [("GET", "POST"), ("GET",)], ids=["POST", "GET only"])
def test_an_api_is_searched_page_by_page(tmp_path: Path, methods: tuple[str, ...]) -> None:
    path = write_tiff(tmp_path / "B02.tif", ramp())
    assets = {"B02": band(str(path))}
    items = [item(f"i{day}", f"2021-07-0{day}T10:00:00Z", assets) for day in range(1, 6)]
    elsewhere = footprint(500000, 4000000, 500080, 4000080)
    items.append(item("elsewhere", "2021-07-06T10:00:00Z", {}, elsewhere))
    items.append(item("later", "2022-01-01T00:00:00Z", {}))
    seen: list[str] = []
    with served(functools.partial(StacApi, items=items, seen=seen, methods=methods)) as url:
        source = StacArchive(url, COLLECTION)
        found = source.search(GRID.extent, *YEAR)
        assert [one.items[0] for one in found] == ["i1", "i2", "i3", "i4", "i5"]
        assert set(seen) == {methods[-1]}
        assert len(seen) >= 3
        np.testing.assert_array_equal(source.read(found[0], GRID, ["B02"]).values[0], ramp())
        fresh = StacArchive(url, COLLECTION)
        assert fresh.bands() == ("B02",)
        np.testing.assert_array_equal(fresh.read(found[4], GRID, ["B02"]).values[0], ramp())
        with pytest.raises(SourceError, match=r"no collection other. It has: sentinel-2-l2a"):
            StacArchive(url, "other").search(GRID.extent, *YEAR)


def test_an_api_that_answers_with_an_error_of_its_own_may_be_asked_again() -> None:
    class Failing(StacApi):
        def search(self, method: str, asked: dict[str, Any]) -> None:  # noqa: ARG002
            self.answer({"description": "overloaded"}, 503)

    handler = functools.partial(Failing, items=[], seen=[], methods=("GET", "POST"))
    with served(handler) as url, pytest.raises(TransientSourceError, match=r"HTTP status 503"):
        StacArchive(url, COLLECTION, retries=0).search(GRID.extent, *YEAR)


def test_a_catalog_of_files_is_read_over_http(tmp_path: Path) -> None:
    write_tiff(tmp_path / "B02.tif", ramp())
    write_tiff(tmp_path / "B03.tif", ramp(100))
    assets = {name: band(f"./{name}.tif") for name in ("B02", "B03", "B04")}
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets)])
    with served(functools.partial(QuietFiles, directory=str(tmp_path))) as url:
        source = StacArchive(f"{url}/catalog.json", COLLECTION)
        one = one_acquisition(source)
        values = source.read(one, GRID, ["B03", "B02"]).values
        np.testing.assert_array_equal(values, [ramp(100), ramp()])
        with pytest.raises(SourceError, match=rf"band B04: {url}/B04.tif") as missing:
            source.read(one, GRID, ["B04"])
        assert not isinstance(missing.value, TransientSourceError)
        with pytest.raises(SourceError, match=r"none.json answered with HTTP status 404") as gone:
            StacArchive(f"{url}/none.json", COLLECTION).search(GRID.extent, *YEAR)
        assert not isinstance(gone.value, TransientSourceError)


def test_a_file_whose_server_fails_may_be_asked_for_again(tmp_path: Path) -> None:
    write_tiff(tmp_path / "B02.tif", ramp())
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")})])
    failing = threading.Event()
    failing.set()

    class Unsteady(QuietFiles):
        def send_head(self) -> Any:
            if self.path.endswith(".tif") and failing.is_set():
                self.send_error(503)
                return None
            return super().send_head()

    with served(functools.partial(Unsteady, directory=str(tmp_path))) as url:
        source = StacArchive(f"{url}/catalog.json", COLLECTION, retries=0)
        one = one_acquisition(source)
        with pytest.raises(TransientSourceError, match=r"band B02: .* did not answer"):
            source.read(one, GRID, ["B02"])
        failing.clear()
        np.testing.assert_array_equal(source.read(one, GRID, ["B02"]).values[0], ramp())


def test_a_url_that_does_not_answer_may_be_asked_again() -> None:
    with served(QuietFiles) as url:
        pass
    with pytest.raises(TransientSourceError, match=rf"imagery.catalog: {url}: did not answer"):
        StacArchive(url, COLLECTION, retries=0).search(GRID.extent, *YEAR)
