"""Links to the web map at an artefact's place and layer."""

from __future__ import annotations

import math
import re

import pytest
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.layout import Partition
from lc_platform.report.map_links import MapLinks
from lc_platform.storage.errors import MissingArtefactError


def patch(key: str, easting: float, crs: str = "EPSG:32633", column: int = 0) -> Patch:
    """256 x 256 pixels of 10 m, north of 5,100,000 m."""
    box = (easting, 5_100_000.0, easting + 2560, 5_102_560.0)
    return Patch(key, GeoBox.from_bbox(box, crs, shape=(256, 256)), "33N", 0, column)


GRID = PatchGrid((patch("a", 498_720), patch("b", 501_280, column=1)), {})


def camera(address: str | None) -> tuple[float, ...]:
    found = re.match(r"[^#]*#([\d.]+)/(-?[\d.]+)/(-?[\d.]+)&", address or "")
    assert found, address
    return tuple(map(float, found.groups()))


def test_a_patch_is_in_the_middle_and_fills_most_of_the_screen() -> None:
    address = MapLinks("/map/", lambda: GRID).of("predictions", Partition("a", 2023))
    assert address is not None
    assert address.endswith("&year=2023&layer=land_cover")
    zoom, latitude, longitude = camera(address)
    east, north = Transformer.from_crs(32633, 4326, always_xy=True).transform(500_000, 5_101_280)
    assert (latitude, longitude) == pytest.approx((north, east), abs=1e-4)
    # A pixel of the screen at zoom 0 is the equator / 512; it is halved with each zoom.
    metres = 40_075_017 * math.cos(math.radians(latitude)) / 512 / 2**zoom
    assert 500 < 2560 / metres < 900


def test_a_year_shows_all_patches_and_the_layer_that_its_asset_is_about() -> None:
    links = MapLinks("https://maps.example.org/map/", lambda: GRID)
    whole = links.of("evaluation", Partition(None, 2023))
    assert whole is not None
    assert whole.startswith("https://maps.example.org/map/#")
    assert whole.endswith("&year=2023&layer=disagreement")
    one = links.of("raw_bands", Partition("b", 2023))
    assert camera(whole)[0] == pytest.approx(camera(one)[0] - 1, abs=0.1)
    assert camera(whole)[2] == pytest.approx(15.0165, abs=1e-3)
    reference = links.of("reference_rasters", Partition("a"))
    assert (reference or "").endswith("&layer=reference")
    assert "year" not in (reference or "")


def test_patches_on_both_sides_of_180_degrees_are_shown_from_near() -> None:
    # The zones 60 and 1 meet there; 180 degrees are 231 km east of the middle of zone 60 at 46 N.
    across = (patch("a", 728_000, "EPSG:32660"), patch("b", 270_000, "EPSG:32601"))
    zoom, _, longitude = camera(
        MapLinks("/map/", lambda: PatchGrid(across, {})).of("mosaic", Partition(None, 2023))
    )
    assert abs(longitude) > 179.9
    assert zoom > 10


def test_there_is_no_link_without_an_address_a_grid_or_the_patch() -> None:
    def none() -> PatchGrid:
        raise MissingArtefactError("patch_grid.parquet is not there")

    where = Partition("a", 2023)
    assert MapLinks(None, lambda: GRID).of("predictions", where) is None
    assert MapLinks("/map/", none).of("predictions", where) is None
    assert MapLinks("/map/", lambda: GRID).of("predictions", Partition("gone", 2023)) is None


def test_patches_are_read_once() -> None:
    read: list[int] = []

    def grid() -> PatchGrid:
        read.append(1)
        return GRID

    links = MapLinks("/map/", grid)
    for key in ("a", "b", "a"):
        assert links.of("features", Partition(key, 2023))
    assert len(read) == 1
    links.of("patch_grid", Partition())  # it is another one
    assert len(read) == 2
