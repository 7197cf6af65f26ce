"""Sentinel-1 and Landsat over the simulated planet see the ground that Sentinel-2 sees."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import point

from lc_platform.eo.landsat_qa import SNOW, shows_ground
from lc_platform.sources.protocol import Acquisition, Source, SourceError
from lc_platform.sources.simulated import (
    COLLECTIONS,
    SimulatedArchive,
    SimulatedLandsat,
    SimulatedSentinel1,
)
from lc_platform_tests.sources.simulated_patch import PATCH, YEAR, archive, grid

CEREALS, FOREST, WATER, TOWN = 1, 6, 8, 9


@cache
def radar() -> SimulatedSentinel1:
    return SimulatedSentinel1()


@cache
def landsat() -> SimulatedLandsat:
    return SimulatedLandsat()


@cache
def of_the_year(collection: str) -> list[Acquisition]:
    source = {"sentinel-1-grd": radar(), "landsat-ot-l1": landsat()}[collection]
    return source.search(PATCH.extent, *YEAR)


def near(collection: str, day: datetime) -> Acquisition:
    """The acquisition of the whole patch that is nearest to a day."""
    return min(of_the_year(collection), key=lambda a: abs(a.datetime - day))


def of_class(values: NDArray[np.float64], code: int, box: GeoBox = PATCH) -> float:
    return float(values[archive().truth(box) == code].mean())


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_each_of_them_is_a_source(collection: str) -> None:
    assert isinstance(COLLECTIONS[collection](), Source)


@pytest.mark.parametrize("source", [radar(), landsat()])
def test_any_box_has_the_pixels_of_the_whole(source: SimulatedArchive) -> None:
    acquisition = source.search(PATCH.extent, *YEAR)[5]
    bands = source.bands
    whole = source.read(acquisition, PATCH, bands)
    for window in (np.s_[7:51, 100:233], np.s_[200:201, 13:14]):
        part = type(source)().read(acquisition, PATCH[window], bands[::-1])
        np.testing.assert_array_equal(part.values[::-1], whole.values[(slice(None), *window)])
        np.testing.assert_array_equal(part.data_mask, whole.data_mask[window])


def test_water_is_dark_and_forest_bright_to_the_radar() -> None:
    summer = near("sentinel-1-grd", datetime(2018, 7, 15, tzinfo=UTC))
    read = radar().read(summer, PATCH, ["VV", "VH"])
    assert read.data_mask.all()
    vv, vh = 10 * np.log10(read.values * read.scale[:, None, None])
    assert of_class(vh, WATER) < -22
    assert of_class(vh, FOREST) > -17
    assert of_class(vv, FOREST) > of_class(vv, WATER) + 4
    assert of_class(vv, TOWN) > of_class(vv, FOREST) + 2


def test_upright_cereals_weaken_vv_in_may() -> None:
    powers = []
    for month in (3, 5):
        when = near("sentinel-1-grd", datetime(2018, month, 20, tzinfo=UTC))
        read = radar().read(when, PATCH, ["VV"])
        powers.append(10 * np.log10(of_class(read.values[0] * read.scale[0], CEREALS)))
    assert powers[1] < powers[0] - 2.5


def test_speckle_is_that_of_four_looks_and_new_in_every_pass() -> None:
    one, other = of_the_year("sentinel-1-grd")[10:12]
    forest = archive().truth(PATCH) == FOREST
    first, second = (radar().read(a, PATCH, ["VH"]).values[0][forest] for a in (one, other))
    # The spread of a mean of L exponential numbers is 1/sqrt(L) of it; parcels add a little.
    assert 0.48 < first.std() / first.mean() < 0.6
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


def test_the_radar_does_not_see_clouds() -> None:
    cloudy, clear = SimulatedSentinel1(cloudiness=3.0), SimulatedSentinel1(cloudiness=0.0)
    acquisition = of_the_year("sentinel-1-grd")[3]
    assert acquisition.cloud_cover is None
    one, other = (
        planet.read(acquisition, PATCH[:32, :32], ["VV", "VH"]) for planet in (cloudy, clear)
    )
    np.testing.assert_array_equal(one.values, other.values)


def test_the_radar_passes_both_ways_and_each_satellite_every_twelve_days() -> None:
    found = radar().search(point(15.0, 46.0, "EPSG:4326"), *YEAR)
    states = {a.properties["sat:orbit_state"] for a in found}
    assert states == {"ascending", "descending"}
    assert {a.platform for a in found} == {"sentinel-1a", "sentinel-1b"}
    tracks: dict[tuple[str, str, str], list[datetime]] = {}
    for a in found:
        track = (a.platform, a.properties["sat:relative_orbit"], a.properties["sat:orbit_state"])
        tracks.setdefault(track, []).append(a.datetime)
    for times in tracks.values():
        assert {(b - a).days for a, b in pairwise(times)} == {12}
    # At dawn and at dusk by the sun, which is an hour ahead of UTC at 15 degrees east.
    solar = {(a.datetime.hour + a.datetime.minute / 60 + 1.0) % 24 for a in found}
    assert all(5 < hour < 7.5 or 17 < hour < 19.5 for hour in solar)


def test_sentinel_1b_fell_silent_in_december_2021() -> None:
    period = datetime(2022, 1, 1, tzinfo=UTC), datetime(2022, 7, 1, tzinfo=UTC)
    assert {a.platform for a in radar().search(PATCH.extent, *period)} == {"sentinel-1a"}


def test_landsat_passes_every_sixteen_days_and_since_landsat_9_every_eight() -> None:
    one = point(15.0, 46.0, "EPSG:4326")
    tracks: dict[str, list[datetime]] = {}
    for a in landsat().search(one, datetime(2022, 1, 1, tzinfo=UTC), datetime(2023, 1, 1)):
        tracks.setdefault(a.properties["sat:relative_orbit"], []).append(a.datetime)
    for times in tracks.values():
        assert {(b - a).days for a, b in pairwise(times)} == {8}
    assert {a.platform for a in of_the_year("landsat-ot-l1")} == {"landsat-8"}


def test_landsats_quality_band_marks_the_true_clouds() -> None:
    own = grid(600000, 5199990, 80, 30.0)
    hidden = 0
    for acquisition in of_the_year("landsat-ot-l1")[::6]:
        read = landsat().read(acquisition, own, ["B02", "BQA"])
        thick, thin, shadow = landsat().cloud_truth(acquisition, own)
        ground = shows_ground(read.values[1])
        assert not (ground & (thick | thin | shadow)).any()
        # What is hidden beside them is at most 90 m from a cloud.
        beside = ~ground & ~(thick | thin | shadow)
        rows, columns = np.nonzero(thick)
        for row, column in zip(*np.nonzero(beside), strict=True):
            away = np.maximum(abs(rows - row), abs(columns - column))
            assert away.size == 0 or away.min() <= 3
        hidden += int(thick.sum())
        bare = ground & (read.values[1] & SNOW == 0)
        if thick.any() and bare.any():
            blue = read.values[0] * read.scale[0] + read.offset[0]
            assert blue[thick].mean() > blue[bare].mean() + 0.1
    assert hidden > 0


def test_landsat_sees_the_reflectance_that_sentinel_2_sees_on_a_clear_day() -> None:
    clear, other = SimulatedLandsat(cloudiness=0.0), SimulatedArchive(cloudiness=0.0)
    summer = near("landsat-ot-l1", datetime(2018, 7, 10, tzinfo=UTC))
    same = min(other.search(PATCH.extent, *YEAR), key=lambda a: abs(a.datetime - summer.datetime))
    box = grid(600000, 5200000, 80, 30.0)
    found = clear.read(summer, box, ["B05", "B06"])
    expected = other.read(same, box, ["B8A", "B11"])
    ours = found.values * found.scale[:, None, None] + found.offset[:, None, None]
    theirs = expected.values * expected.scale[:, None, None] + expected.offset[:, None, None]
    # Some days lie between, and other haze.
    assert np.abs(ours - theirs).mean() < 0.02
    assert found.scale[0] == 2e-5


def test_a_finer_grid_takes_landsats_nearest_pixel() -> None:
    fine, own = grid(600000, 5200020, 12), grid(600000, 5200020, 4, 30.0)
    acquisition = of_the_year("landsat-ot-l1")[4]
    bands = ["B04", "BQA"]
    ours = landsat().read(acquisition, fine, bands).values
    theirs = landsat().read(acquisition, own, bands).values
    np.testing.assert_array_equal(ours, np.repeat(np.repeat(theirs, 3, axis=1), 3, axis=2))


def test_a_band_of_another_collection_is_refused() -> None:
    with pytest.raises(SourceError, match=r"has no band B04\. It has VV, VH\."):
        radar().read(of_the_year("sentinel-1-grd")[0], PATCH, ["VV", "B04"])
    with pytest.raises(SourceError, match=r"not in the simulated archive"):
        radar().read(of_the_year("landsat-ot-l1")[0], PATCH, ["VV"])
