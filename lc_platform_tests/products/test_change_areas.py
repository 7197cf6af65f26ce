"""Areas of transitions from points that people have judged for both years."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.area.grid import Patch
from lc_platform.errors import DataError
from lc_platform.products.change import Change
from lc_platform.products.filled_sample import BEFORE
from lc_platform.storage.staging import Staging
from lc_platform_tests.judged_maps import CLASSES, NORTH, WEST, JudgedMap, map_of_three
from lc_platform_tests.products.probabilities import Country

NAMES = {one["id"]: one["name"] for one in CLASSES}
YEARS = (2022, 2023)


@pytest.fixture
def judged(tmp_path: Path) -> JudgedMap:
    """A map of 2023, in which 1000 pixels of forest have been built on since 2022, and points of
    it."""
    found = JudgedMap(tmp_path, years=list(YEARS), change={"enabled": True})
    found.write(after())
    found.sample(points=300)
    return found


def before() -> NDArray[np.uint8]:
    return map_of_three()


def after() -> NDArray[np.uint8]:
    values = map_of_three()
    values[60:70] = 9
    return values


def fill(judged: JudgedMap, then: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
    def write(points: geopandas.GeoDataFrame) -> None:
        rows = np.floor((NORTH - points.geometry.y) / 10).astype(int)
        columns = np.floor((points.geometry.x - WEST) / 10).astype(int)
        points["reference"] = [NAMES[int(one)] for one in now[rows, columns]]
        points[BEFORE] = [NAMES[int(one)] for one in then[rows, columns]]

    judged.edit(write)


def measured(judged: JudgedMap, folder: Path) -> Change:
    """The change between maps that are right."""
    grid = GeoBox((120, 100), Affine(10, 0, WEST, 0, -10, NORTH), "EPSG:32633")
    country = Country(folder, YEARS, [*NAMES])
    country.add(Patch("33N-r0-c0", grid, "33N", 0, 0), before(), after())
    options = judged.platform.change_options()
    assert options is not None
    found = Change(
        2023, country.patches, country.predictions, options, judged.platform.change_sample(2023)
    )
    (folder / "written").mkdir()
    found.write(Staging(country.store, str(folder / "written")))
    return found


def test_a_sample_asks_for_the_class_of_the_year_before_where_change_is_made(
    judged: JudgedMap, tmp_path: Path
) -> None:
    assert BEFORE in judged.points()
    assert judged.platform.change_sample(2023) is None
    other = JudgedMap(tmp_path / "other")
    other.write(after())
    other.sample(points=300)
    assert BEFORE not in other.points()


def test_points_that_are_judged_for_both_years_give_the_areas_of_transitions(
    judged: JudgedMap, tmp_path: Path
) -> None:
    fill(judged, before(), after())
    told = measured(judged, tmp_path / "country").statistics
    assert told is not None
    areas = {(one["from_name"], one["to_name"]): one for one in told.content["transitions"]}
    assert set(areas) == {
        ("forest", "forest"), ("forest", "built-up"), ("water", "water"), ("built-up", "built-up"),
    }  # fmt: skip
    # 1000 pixels of 100 square metres are ten hectares, of 118 in all.
    felled = areas["forest", "built-up"]
    assert felled["mapped_hectares"] == pytest.approx(10)
    assert felled["hectares"]["low"] < 10 < felled["hectares"]["high"]
    assert sum(one["hectares"]["value"] for one in areas.values()) == pytest.approx(118)
    changed = told.content["changed"]
    assert changed["mapped_hectares"] == pytest.approx(10)
    assert changed["hectares"]["low"] < 10 < changed["hectares"]["high"]
    assert told.content["no_estimate_because"] is None


def test_a_change_that_the_map_has_not_seen_is_in_the_estimate(
    judged: JudgedMap, tmp_path: Path
) -> None:
    truth = after()
    truth[:40] = 5
    fill(judged, before(), truth)
    told = measured(judged, tmp_path / "country").statistics
    assert told is not None
    (flooded,) = (
        one
        for one in told.content["transitions"]
        if (one["from_name"], one["to_name"]) == ("forest", "water")
    )
    assert flooded["pixels"] == 0
    assert flooded["hectares"]["low"] < 40 < flooded["hectares"]["high"]


def test_few_points_give_no_area_and_the_reason(judged: JudgedMap, tmp_path: Path) -> None:
    def one(points: geopandas.GeoDataFrame) -> None:
        points.loc[0, ["reference", BEFORE]] = "forest"

    judged.edit(one)
    told = measured(judged, tmp_path / "country").statistics
    assert told is not None
    assert "judged point" in told.content["no_estimate_because"]
    assert any("no area is estimated" in said for said in told.content["warnings"])
    assert all(one["hectares"] is None for one in told.content["transitions"])


def test_a_class_that_the_map_does_not_have_is_refused(judged: JudgedMap, tmp_path: Path) -> None:
    def wrong(points: geopandas.GeoDataFrame) -> None:
        points.loc[0, [BEFORE]] = "forrest"

    judged.edit(wrong)
    with pytest.raises(DataError, match=r"no class 'forrest'.* Did you mean 'forest'"):
        measured(judged, tmp_path / "country")
