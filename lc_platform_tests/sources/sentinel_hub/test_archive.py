"""The Sentinel Hub source against a stand-in over loopback, whose pixels are the simulated
archive's: what comes must be what the archive says."""

import copy
import json
import logging
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area.grid import Patch
from lc_platform.config import Config
from lc_platform.cube import Checkpoint
from lc_platform.products.options import AcquisitionOptions
from lc_platform.sources import open_source
from lc_platform.sources.network import limits
from lc_platform.sources.protocol import (
    Acquisition,
    Cost,
    Pixels,
    QuotaError,
    Source,
    SourceError,
    TransientSourceError,
)
from lc_platform.sources.sentinel_hub.archive import SentinelHubArchive
from lc_platform.sources.simulated import COLLECTIONS, SimulatedArchive
from lc_platform_tests import sentinel_hub_server
from lc_platform_tests.sentinel_hub_server import (
    BRIGHTER,
    Cut,
    Damaged,
    ExpiredTokens,
    Fault,
    Page,
    Refuse,
    Reset,
    SentinelHubServer,
    Slow,
    started,
)

SIMULATED = SimulatedArchive()
BANDS = ("B04", "B8A", "B11")
# Near Ljubljana, in one cell of the stand-in; and on 15 degrees east, between two.
GRID = GeoBox((60, 70), Affine(10, 0, 460_000, 0, -10, 5_100_000), "EPSG:32633")
BETWEEN = GeoBox((60, 70), Affine(10, 0, 499_650, 0, -10, 5_100_000), "EPSG:32633")
JUNE = (datetime(2019, 6, 1, tzinfo=UTC), datetime(2019, 7, 1, tzinfo=UTC))
JUNE_2023 = (datetime(2023, 6, 1, tzinfo=UTC), datetime(2023, 7, 1, tzinfo=UTC))


@pytest.fixture
def server() -> Iterator[SentinelHubServer]:
    with started() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(
    server: SentinelHubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., None]:
    """Sets what leads to the stand-in."""
    monkeypatch.setattr(limits, "FIRST_WAIT", 0.02)
    monkeypatch.delenv("SH_PROFILE", raising=False)

    def set_(**settings: Any) -> None:
        for name, value in server.environment(tmp_path, **settings).items():
            monkeypatch.setenv(name, value)

    set_()
    return set_


@pytest.fixture
def archive() -> SentinelHubArchive:
    return archive_of("sentinel-2-l1c")


def archive_of(collection: str, **settings: Any) -> SentinelHubArchive:
    return SentinelHubArchive(collection, **{"connections": 4, "retries": 3, **settings})


def first(source: Source, grid: GeoBox = GRID, period: tuple[datetime, datetime] = JUNE) -> Any:
    return source.search(grid.extent, *period)[0]


def same_pass(grid: GeoBox = GRID, period: tuple[datetime, datetime] = JUNE) -> Acquisition:
    """The archive's own name of what `first` finds."""
    return SIMULATED.search(grid.extent, *period)[0]


def assert_equal(found: Pixels, expected: Pixels) -> None:
    np.testing.assert_array_equal(found.data_mask, expected.data_mask)
    np.testing.assert_array_equal(found.values, np.where(found.data_mask, expected.values, 0))


# Search


def test_an_acquisition_is_all_granules_of_a_pass(archive: SentinelHubArchive) -> None:
    found = archive.search(BETWEEN.extent, *JUNE)
    passes = SIMULATED.search(BETWEEN.extent, *JUNE)
    assert [f"{p.datetime:%Y%m%dT%H%M%S}_{p.platform}" for p in passes] == [a.key for a in found]
    assert {len(a.items) for a in found} == {2}
    assert [a.cloud_cover for a in found] == [p.cloud_cover for p in passes]
    assert all(a.properties["s2:processing_baseline"] == "02.05" for a in found)
    assert all(a.coverage == pytest.approx(1) for a in found)


def test_the_period_searched_is_half_open(archive: SentinelHubArchive) -> None:
    when = [a.datetime for a in archive.search(GRID.extent, *JUNE)]
    found = archive.search(GRID.extent, when[0], when[2])
    assert [a.datetime for a in found] == when[:2]


def test_pages_are_turned(server: SentinelHubServer, archive: SentinelHubArchive) -> None:
    whole = archive.search(BETWEEN.extent, *JUNE)
    server.page_size = 5
    before = server.count("search")
    assert archive.search(BETWEEN.extent, *JUNE) == whole
    items = sum(len(a.items) for a in whole)
    assert server.count("search") - before == -(-items // 5)


def test_an_area_across_180_degrees_is_searched_on_both_sides(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    # 0.1 degrees a side, of zone 60; its middle is 180 degrees east, 16.8 degrees south.
    easting, northing = Transformer.from_crs(4326, 32760, always_xy=True).transform(180, -16.8)
    across = Affine(10, 0, round(easting, -1) - 5000, 0, -10, round(northing, -1) + 5000)
    found = archive.search(GeoBox((1000, 1000), across, "EPSG:32760").extent, *JUNE)
    assert server.count("search") == 2
    assert found
    assert all(0 < one.coverage <= 1 for one in found)
    # Granules are of one degree: one on each side. The most a part takes is half of the area.
    assert max(one.coverage for one in found) == pytest.approx(
        max(len(one.items) for one in found) / 2, abs=0.02
    )
    # Zones of the granules' tiles.
    assert set(re.findall(r"_T(\d\d)", str([one.items for one in found]))) == {"60", "01"}


def test_where_nothing_flew_there_is_an_empty_list(archive: SentinelHubArchive) -> None:
    early = datetime(2014, 1, 1, tzinfo=UTC)
    assert archive.search(GRID.extent, early, early + timedelta(days=30)) == []


def test_what_a_newer_processing_replaces_is_left_out(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    def reprocessed(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        newer = copy.deepcopy(items[0])
        newer["id"] = newer["id"].replace("_N0205_", "_N0500_")
        return [*items, newer]

    before = first(archive)
    server.items = reprocessed
    after = first(archive)
    assert before.key == after.key
    assert (len(after.items), after.properties["s2:processing_baseline"]) == (1, "05.00")
    assert "_N0500_" in after.items[0]


def test_a_granule_that_is_too_cloudy_is_neither_listed_nor_asked_for(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    def told(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for one in items:
            eastern = one["bbox"][0] > 14.99
            one["properties"]["eo:cloud_cover"] = 12.6 if eastern else 12.4
        return items

    server.items = told
    whole = first(archive, BETWEEN)
    west = whole.within(12.5)
    assert whole.within(12.6) is whole
    assert whole.within(12.3) is None
    assert (len(whole.items), len(west.items), west.cloud_cover) == (2, 1, 12.4)
    assert west.coverage == pytest.approx(0.5, abs=0.01)
    found, every = (archive.read(one, BETWEEN, BANDS) for one in (west, whole))
    # The granules meet at 15 degrees east, which is column 35.
    assert found.data_mask[:, :35].all()
    assert not found.data_mask[:, 35:].any()
    assert every.data_mask.all()
    np.testing.assert_array_equal(found.values[..., :35], every.values[..., :35])
    asked = [json.loads(one.body) for one in server.requests if one.kind == "process"]
    filters = [one["input"]["data"][0]["dataFilter"] for one in asked]
    assert [one.get("maxCloudCoverage") for one in filters] == [12.5, None]


def test_a_clear_granule_around_the_area_alone_is_no_acquisition_of_it(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    def told(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for one in items:
            one["properties"]["eo:cloud_cover"] = 5 if one["bbox"][0] > 14.99 else 50
        return items

    server.items = told
    west = BETWEEN[:, :30].extent
    (one, *_) = archive.search(west, *JUNE, BETWEEN.extent)
    assert len(one.items) == 2
    assert one.coverage == pytest.approx(1)
    assert one.within(20) is None
    assert len(archive.search(west, *JUNE)[0].items) == 1


# Read


@pytest.mark.parametrize(
    "grid",
    [
        GRID,
        BETWEEN,
        GeoBox((40, 40), Affine(5, 0, 460_000, 0, -5, 5_100_000), "EPSG:32633"),
        GeoBox((30, 20), Affine(20, 0, 460_000, 0, -20, 5_100_000), "EPSG:32633"),
        GeoBox((15, 25), Affine(80, 0, 460_000, 0, -80, 5_100_000), "EPSG:32633"),
        GeoBox((30, 30), Affine(10, 0, 4_600_000, 0, -10, 2_600_000), "EPSG:3035"),
    ],
    ids=["native", "two granules", "finer", "twice as coarse", "the detector's", "another CRS"],
)
def test_pixels_are_the_archive_s(archive: SentinelHubArchive, grid: GeoBox) -> None:
    found = archive.read(first(archive, grid), grid, BANDS)
    assert_equal(found, SIMULATED.read(same_pass(grid), grid, BANDS))
    assert found.values.dtype == np.uint16
    assert found.data_mask.all()
    assert found.scale.tolist() == [1e-4] * 3
    assert found.offset.tolist() == [0.0] * 3


def test_outside_the_swath_there_is_no_data(archive: SentinelHubArchive) -> None:
    east_west = np.linspace(13.1, 16.9, 381)
    for own in SIMULATED.search(GRID.extent, *JUNE):
        flown = SIMULATED.mission.pass_of(own.key)
        seen = np.abs(flown.across_track(east_west, np.full(381, 46.0))) <= 1
        (edges,) = np.nonzero(np.diff(seen))
        if edges.size:
            break
    easting, northing = Transformer.from_crs(4326, 32633, always_xy=True).transform(
        east_west[edges[0]], 46.0
    )
    # The edge is told to a hundredth of a degree, 800 m.
    wide = Affine(40, 0, round(easting, -1) - 800, 0, -40, round(northing, -1))
    grid = GeoBox((10, 40), wide, "EPSG:32633")
    (acquisition,) = [
        a
        for a in archive.search(grid.extent, *JUNE)
        if a.key.startswith(f"{own.datetime:%Y%m%dT%H%M%S}")
    ]
    found = archive.read(acquisition, grid, ("B04",))
    assert 0.1 < found.data_mask.mean() < 0.9
    assert_equal(found, SIMULATED.read(own, grid, ("B04",)))


def test_the_offset_of_newer_baselines_is_taken_out(archive: SentinelHubArchive) -> None:
    acquisition = first(archive, period=JUNE_2023)
    assert acquisition.properties["s2:processing_baseline"] == "04.00"
    found = archive.read(acquisition, GRID, BANDS)
    own = SIMULATED.read(same_pass(period=JUNE_2023), GRID, BANDS)
    assert own.offset.tolist() == [-0.1] * 3
    np.testing.assert_array_equal(found.values, np.maximum(own.values, 1000) - 1000)
    assert (found.scale.tolist(), found.offset.tolist()) == ([1e-4] * 3, [0.0] * 3)


def test_a_grid_beyond_a_request_s_limit_is_cut_and_put_together(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    grid = GeoBox((12, 2600), Affine(10, 0, 440_000, 0, -10, 5_100_000), "EPSG:32633")
    found = archive.read(first(archive, grid), grid, ("B04",))
    assert_equal(found, SIMULATED.read(same_pass(grid), grid, ("B04",)))
    assert server.count("process") == found.cost.requests == archive.cost(grid, ("B04",)).requests
    assert server.count("process") == 2


def test_neighbouring_windows_agree(archive: SentinelHubArchive) -> None:
    acquisition = first(archive)
    whole = archive.read(acquisition, GRID, BANDS)
    part = archive.read(acquisition, GRID[20:50, 10:40], BANDS)
    np.testing.assert_array_equal(part.values, whole.values[:, 20:50, 10:40])


@pytest.mark.parametrize("collection", ["sentinel-2-l1c", "sentinel-2-l2a"])
def test_the_provider_s_cloud_masks_come_as_bands(collection: str) -> None:
    archive = archive_of(collection)
    wanted = ("B04", "CLP", "CLM")
    for acquisition in archive.search(GRID.extent, *JUNE):
        own = next(
            a
            for a in SIMULATED.search(GRID.extent, *JUNE)
            if acquisition.key.startswith(f"{a.datetime:%Y%m%dT%H%M%S}")
        )
        thick, thin, _ = SIMULATED.cloud_truth(own, GRID)
        found = archive.read(acquisition, GRID, wanted)
        np.testing.assert_array_equal(found.values[2], thick | thin)
        np.testing.assert_array_equal(found.values[1], (thick | thin) * 255)
        assert found.scale.tolist() == [1e-4, 1 / 255, 1.0]


def test_where_there_is_no_cloud_mask_there_is_no_data(
    archive: SentinelHubArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sentinel_hub_server._CLOUDS, "CLM", (255, 255))
    found = archive.read(first(archive), GRID, ("B04", "CLM"))
    assert not found.data_mask.any()
    assert not found.values.any()


def test_a_classification_is_never_averaged() -> None:
    grid = GeoBox((15, 15), Affine(80, 0, 460_000, 0, -80, 5_100_000), "EPSG:32633")
    archive = archive_of("sentinel-2-l2a")
    for acquisition in archive.search(grid.extent, *JUNE):
        assert set(np.unique(archive.read(acquisition, grid, ("SCL",)).values)) <= {4, 9}


def test_radar_comes_as_linear_power() -> None:
    archive, own = archive_of("sentinel-1-grd"), COLLECTIONS["sentinel-1-grd"]()
    acquisitions = archive.search(BETWEEN.extent, *JUNE)
    assert [len(a.items) for a in acquisitions] == [2] * len(own.search(BETWEEN.extent, *JUNE))
    assert re.fullmatch(r"201906\d\d_sentinel-1[ab]_[0-9A-F]{6}", acquisitions[0].key)
    assert acquisitions[0].cloud_cover is None
    found = archive.read(first(archive), GRID, ("VH", "VV"))
    # The archive's own digital numbers are linear power x 10000 too.
    assert_equal(found, own.read(own.search(GRID.extent, *JUNE)[0], GRID, ("VH", "VV")))
    assert found.scale.tolist() == [1e-4] * 2


def test_radar_comes_in_the_coefficient_that_is_chosen(server: SentinelHubServer) -> None:
    usual = archive_of("sentinel-1-grd")
    acquisition = first(usual)
    power = usual.read(acquisition, GRID, ("VV",))
    asked = json.loads(server.requests[-1].body)["input"]["data"][0]["processing"]
    assert asked["backCoeff"] == "GAMMA0_TERRAIN"
    for chosen in ("sigma0_ellipsoid", "beta0", "gamma0_ellipsoid"):
        found = archive_of("sentinel-1-grd", backscatter=chosen).read(acquisition, GRID, ("VV",))
        asked = json.loads(server.requests[-1].body)["input"]["data"][0]["processing"]
        assert asked["backCoeff"] == chosen.upper()
        assert (asked["orthorectify"], asked["demInstance"]) == (True, "COPERNICUS_30")
        expected = np.minimum(power.values * BRIGHTER[chosen.upper()], 65535)
        np.testing.assert_allclose(found.values, expected, atol=1)


def test_landsat_comes_as_reflectance_and_quality_bits() -> None:
    archive, own = archive_of("landsat-ot-l1"), COLLECTIONS["landsat-ot-l1"]()
    acquisition = first(archive)
    assert re.fullmatch(r"201906\d\d_landsat-\d_P\d{3}", acquisition.key)
    found = archive.read(acquisition, GRID, ("B05", "BQA"))
    expected = own.read(own.search(GRID.extent, *JUNE)[0], GRID, ("B05", "BQA"))
    reflectance = expected.values[0] * expected.scale[0] + expected.offset[0]
    np.testing.assert_allclose(found.values[0] * 1e-4, reflectance, atol=0.51e-4)
    np.testing.assert_array_equal(found.values[1], expected.values[1])
    assert found.scale.tolist() == [1e-4, 1]


# Cost


def test_the_cost_is_what_the_responses_report(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    found = archive.read(first(archive), GRID, BANDS)
    assert found.cost.requests == 1
    # 60 x 70 pixels of three bands: 0.016 of 512 x 512.
    assert found.cost.processing_units == pytest.approx(60 * 70 / 512**2)
    assert found.cost.processing_units == server.processing_units
    assert 0 < found.cost.bytes < archive.cost(GRID, BANDS).bytes


def test_the_price_list_agrees_with_the_responses(archive: SentinelHubArchive) -> None:
    acquisition = first(archive)
    coarse = GeoBox((15, 25), Affine(80, 0, 460_000, 0, -80, 5_100_000), "EPSG:32633")
    for grid in (GRID, coarse):
        units = archive.read(acquisition, grid, BANDS).cost.processing_units
        assert archive.cost(grid, BANDS).processing_units == pytest.approx(units)


def test_the_cost_is_told_without_account_and_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SH_CLIENT_ID", "SH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    grid = GeoBox((5000, 5000), Affine(10, 0, 400_000, 0, -10, 5_100_000), "EPSG:32633")
    cost = archive_of("sentinel-2-l1c").cost(grid, ("B02", "B03", "B04"))
    assert (cost.requests, cost.processing_units) == (4, pytest.approx((5000 / 512) ** 2))
    radar = archive_of("sentinel-1-grd").cost(grid, ("VV", "VH"))
    assert radar.processing_units == pytest.approx((5000 / 512) ** 2 * 2 / 3 * 2)


class Counted:
    """A ledger of what is open and what was spent."""

    def __init__(self, requests: int = 1000) -> None:
        self.left = requests
        self.open: list[Cost] = []
        self.spent = Cost()
        self._lock = threading.Lock()

    def reserve(self, cost: Cost) -> None:
        with self._lock:
            if self.left < cost.requests:
                raise QuotaError("imagery.budget: spent")
            self.left -= cost.requests
            self.open.append(cost)

    def settle(self, reserved: Cost, spent: Cost) -> None:
        with self._lock:
            self.open.remove(reserved)
            self.spent += spent


def test_the_ledger_is_told_of_every_request_also_of_those_that_failed(
    server: SentinelHubServer,
) -> None:
    ledger = Counted()
    archive = archive_of("sentinel-2-l1c", ledger=ledger)
    acquisition = first(archive)
    for fault in (Reset(), Refuse(500), Damaged()):
        server.misbehave(fault)
        archive.read(acquisition, GRID, BANDS)
    assert ledger.open == []
    assert ledger.spent.requests == server.count("search") + server.count("process") == 1 + 6
    assert ledger.spent.processing_units == pytest.approx(server.processing_units)


@pytest.mark.parametrize("fault", [Cut(), Slow(1.5)], ids=["cut", "slow"])
def test_an_answer_that_is_paid_for_and_does_not_come_is_counted(
    server: SentinelHubServer, environment: Callable[..., None], fault: Fault
) -> None:
    environment(timeout=patience(fault))
    ledger = Counted()
    archive = archive_of("sentinel-2-l1c", ledger=ledger)
    acquisition = first(archive)
    server.misbehave(fault)
    found = archive.read(acquisition, GRID, BANDS)
    # 60 x 70 pixels of three bands, twice.
    assert ledger.spent.processing_units == pytest.approx(2 * 60 * 70 / 512**2)
    assert found.cost.processing_units == ledger.spent.processing_units
    assert ledger.open == []


def test_nothing_is_asked_for_beyond_the_budget(
    server: SentinelHubServer,
) -> None:
    archive = archive_of("sentinel-2-l1c", ledger=Counted(requests=2))
    acquisition = first(archive)
    archive.read(acquisition, GRID, BANDS)
    with pytest.raises(QuotaError, match=r"imagery\.budget"):
        archive.read(acquisition, GRID, BANDS)
    assert server.count("process") == 1


# Faults


def patience(fault: Fault) -> float:
    """Seconds until a request is given up: few where the fault is that, since a busy machine takes
    its time over others too."""
    return 1.0 if isinstance(fault, Slow) else 30.0


@pytest.mark.parametrize(
    "fault",
    [
        Refuse(429, retry_after=150),
        Refuse(429),
        Refuse(500),
        Refuse(502),
        Refuse(503, retry_after=150),
        Page(503),
        Reset(),
        Cut(),
        Damaged(),
        Slow(1.5),
    ],
    ids=lambda fault: f"{type(fault).__name__}-{getattr(fault, 'status', '')}",
)
@pytest.mark.parametrize("on", ["process", "search"])
def test_a_passing_fault_costs_one_more_request_and_nothing_else(
    server: SentinelHubServer, environment: Callable[..., None], fault: Fault, on: str
) -> None:
    environment(timeout=patience(fault))
    archive = archive_of("sentinel-2-l1c")
    server.misbehave(fault, on=on)
    found = archive.read(first(archive), GRID, BANDS)
    assert_equal(found, SIMULATED.read(same_pass(), GRID, BANDS))
    assert server.count("search") + server.count("process") == 3
    assert server.count(on) == 2
    assert found.cost.requests == server.count("process")
    assert server.count("token") == 1


def test_retry_after_is_in_milliseconds(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisition = first(archive)
    server.misbehave(Refuse(429, retry_after=400))
    begun = datetime.now(UTC)
    archive.read(acquisition, GRID, BANDS)
    assert 0.4 <= (datetime.now(UTC) - begun).total_seconds() < 100  # in seconds it would be 400


def test_a_storm_of_refusals_ends_with_as_many_further_requests_as_were_refused(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisitions = archive.search(GRID.extent, *JUNE)
    server.misbehave(Refuse(429, retry_after=200), at=2, times=4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda a: archive.read(a, GRID, BANDS), acquisitions))
    assert server.count("process") == len(acquisitions) + 4
    assert server.at_once <= 4


def test_an_expired_token_is_renewed_in_flight(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisition = first(archive)
    server.misbehave(ExpiredTokens())
    found = archive.read(acquisition, GRID, BANDS)
    assert_equal(found, SIMULATED.read(same_pass(), GRID, BANDS))
    assert (server.count("token"), server.count("process")) == (2, 2)


def test_one_token_serves_all_threads(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisition = first(archive)
    server.expire()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: archive.read(acquisition, GRID, BANDS), range(8)))
    assert server.count("token") == 2


def test_a_token_near_its_end_is_renewed_before(
    server: SentinelHubServer,
) -> None:
    server.token_seconds = 121  # sentinelhub renews two minutes before the end
    archive = archive_of("sentinel-2-l1c")
    acquisition = first(archive)
    time.sleep(1.6)
    archive.read(acquisition, GRID, BANDS)
    assert server.count("token") == 2
    assert server.count("process") == 1


@pytest.mark.parametrize(
    "fault", [Refuse(500), Reset(), Cut(), Slow(1.5)], ids=lambda fault: type(fault).__name__
)
def test_the_tokens_service_may_fail_too(
    server: SentinelHubServer, environment: Callable[..., None], fault: Fault
) -> None:
    environment(timeout=patience(fault))
    archive = archive_of("sentinel-2-l1c")
    server.misbehave(fault, on="token")
    archive.read(first(archive), GRID, BANDS)
    # Who is slow is waited for again, and not asked anew.
    assert server.count("token") == (1 if isinstance(fault, Slow) else 2)


@pytest.mark.parametrize("status", [408, 429])
def test_a_busy_service_of_tokens_is_no_refusal_of_the_account(
    server: SentinelHubServer, archive: SentinelHubArchive, status: int
) -> None:
    server.misbehave(Refuse(status, retry_after=300), on="token")
    begun = time.monotonic()
    archive.read(first(archive), GRID, BANDS)
    assert server.count("token") == 2
    assert status == 408 or time.monotonic() - begun >= 0.3


@pytest.mark.slow
def test_threads_wait_together_for_tokens_that_do_not_come(
    server: SentinelHubServer, environment: Callable[..., None]
) -> None:
    environment(timeout=1.0)
    archive = archive_of("sentinel-2-l1c", retries=0)
    server.misbehave(Slow(5.0), on="token")
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(archive.search, GRID.extent, *JUNE) for _ in range(4)]
        told = [one.exception() for one in sent]
    assert time.monotonic() - begun < 3.5  # one after another it would be 4 s
    assert all(isinstance(one, TransientSourceError) for one in told)
    time.sleep(max(0.0, 4.5 - (time.monotonic() - begun)))
    assert archive.search(GRID.extent, *JUNE)
    assert server.count("token") == 1


def test_the_account_of_a_netrc_file_is_another(
    archive: SentinelHubArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert archive.read(first(archive), GRID, BANDS).data_mask.all()


def test_after_all_retries_the_acquisition_is_named(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisition = first(archive)
    server.misbehave(Refuse(500, message="No disk"), times=99)
    with pytest.raises(
        TransientSourceError, match=rf"{acquisition.key}: .*500 \(No disk\).*tried 4 times"
    ):
        archive.read(acquisition, GRID, BANDS)
    assert server.count("process") == 4


def test_a_tiff_that_stays_damaged_is_named(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisition = first(archive)
    server.misbehave(Damaged(), times=99)
    with pytest.raises(TransientSourceError, match=rf"{acquisition.key}.*damaged.*no TIFF"):
        archive.read(acquisition, GRID, BANDS)


def test_another_image_than_was_asked_for_is_paid_for_once(
    server: SentinelHubServer, archive: SentinelHubArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquisition = first(archive)
    own = sentinel_hub_server._tiff
    monkeypatch.setattr(sentinel_hub_server, "_tiff", lambda image, _: own(image, "UINT8"))
    with pytest.raises(
        SourceError, match=rf"{acquisition.key}.*values are uint8, not uint16"
    ) as error:
        archive.read(acquisition, GRID, BANDS)
    assert not error.value.transient
    assert server.count("process") == 1


def test_a_spent_quota_ends_all_acquisition_with_one_request(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisitions = archive.search(GRID.extent, *JUNE)
    words = "Insufficient processing units available in your account."
    server.misbehave(Refuse(403, words, "ACCESS_INSUFFICIENT_PROCESSING_UNITS"), times=99)
    told = set()
    for acquisition in acquisitions:
        with pytest.raises(QuotaError, match="Insufficient processing units") as error:
            archive.read(acquisition, GRID, BANDS)
        told.add(str(error.value))
    with pytest.raises(QuotaError):
        archive.search(GRID.extent, *JUNE)
    assert server.count("process") == 1
    assert len(told) == 1


def test_an_acquisition_listed_and_then_gone_has_no_data(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisition = first(archive)
    server.gone.add(same_pass().key)
    found = archive.read(acquisition, GRID, BANDS)
    assert not found.data_mask.any()
    assert not found.values.any()


def test_the_rate_is_held_so_that_nothing_is_refused(
    server: SentinelHubServer,
) -> None:
    server.requests_per_minute = 1200
    archive = archive_of("sentinel-2-l1c", requests_per_minute=1200)
    acquisition = first(archive)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: archive.read(acquisition, GRID, ("B04",)), range(40)))
    assert server.too_many == 0


# Bad input


def test_without_credentials_it_is_said_where_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SH_CLIENT_SECRET")
    with pytest.raises(SourceError, match=r"SH_CLIENT_ID and SH_CLIENT_SECRET.*imagery\.profile"):
        first(archive_of("sentinel-2-l1c"))


def test_no_configuration_file_is_needed_and_none_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(empty))
    monkeypatch.delenv("SH_CLIENT_ID")
    with pytest.raises(SourceError, match="SH_CLIENT_ID"):
        first(archive_of("sentinel-2-l1c"))
    assert not empty.exists()


def test_wrong_credentials_are_named_and_tried_once(
    server: SentinelHubServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SH_CLIENT_SECRET", "another-secret")
    with pytest.raises(SourceError, match=r"refused \(Invalid client.*Correct SH_CLIENT_ID"):
        first(archive_of("sentinel-2-l1c"))
    assert (server.count("token"), server.count("search")) == (1, 0)


def test_a_profile_leads_to_its_server(
    environment: Callable[..., None],
) -> None:
    environment(profile="team")
    assert first(archive_of("sentinel-2-l1c", profile="team"))
    with pytest.raises(SourceError, match=r"imagery\.profile: .* has no profile tem\."):
        first(archive_of("sentinel-2-l1c", profile="tem"))


def test_a_damaged_profile_is_named(tmp_path: Path) -> None:
    (tmp_path / "sentinelhub" / "config.toml").write_text("[default-profile\nsh_base_url")
    with pytest.raises(SourceError, match=r"imagery\.profile: .*config\.toml cannot be used"):
        first(archive_of("sentinel-2-l1c"))


def test_a_collection_that_the_deployment_lacks_is_refused_with_what_it_has() -> None:
    with pytest.raises(SourceError, match=r"landsat-ot-l1 is not in cdse \(.*sentinel_hub has"):
        archive_of("landsat-ot-l1", deployment="cdse")
    with pytest.raises(SourceError, match="It has: sentinel-2-l1c, sentinel-2-l2a"):
        archive_of("sentinel-9")


def test_a_band_of_another_collection_is_refused_before_any_request(
    server: SentinelHubServer,
) -> None:
    archive = archive_of("sentinel-2-l2a")
    acquisition = first(archive)
    with pytest.raises(SourceError, match=rf"{acquisition.key}: sentinel-2-l2a .* no band B10"):
        archive.read(acquisition, GRID, ("B04", "B10"))
    assert server.count("process") == 0


def test_the_service_s_own_words_are_shown(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisition = first(archive)
    server.misbehave(Refuse(400, "Invalid BBox [0, 0, 0, 0]", "COMMON_BAD_PAYLOAD"))
    with pytest.raises(SourceError, match=rf"{acquisition.key}.*400 \(Invalid BBox") as error:
        archive.read(acquisition, GRID, BANDS)
    assert not error.value.transient
    assert server.count("process") == 1


def test_what_the_account_may_not_have_is_no_spent_quota(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisition = first(archive)
    server.misbehave(Refuse(403, "No access to the collection", "COMMON_INSUFFICIENT_PERMISSIONS"))
    with pytest.raises(SourceError, match="No access to the collection") as error:
        archive.read(acquisition, GRID, BANDS)
    assert not isinstance(error.value, QuotaError)
    archive.read(acquisition, GRID, BANDS)


@pytest.mark.parametrize("on", ["token", "search", "process"])
@pytest.mark.parametrize("status", [200, 403])
def test_a_proxy_that_answers_with_a_web_page_is_named(
    server: SentinelHubServer, archive: SentinelHubArchive, on: str, status: int
) -> None:
    server.misbehave(Page(status), on=on, times=99)
    with pytest.raises(SourceError, match="proxy") as error:
        archive.read(first(archive), GRID, BANDS)
    assert not error.value.transient
    assert not isinstance(error.value, QuotaError)
    assert server.count(on) == 1


def test_a_clock_that_is_off_is_named(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    acquisition = first(archive)
    server.clock = 3600
    server.misbehave(ExpiredTokens(), times=2)
    with pytest.raises(SourceError, match=r"clock is 3\d\d\d s behind the service's"):
        archive.read(acquisition, GRID, BANDS)


def test_a_server_that_is_not_there_is_named(
    server: SentinelHubServer,
    archive: SentinelHubArchive,
) -> None:
    acquisition = first(archive)
    server.misbehave(Reset(), times=99)
    with pytest.raises(TransientSourceError, match=r"127\.0\.0\.1.* cannot be reached"):
        archive.read(acquisition, GRID, BANDS)


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[..., list[dict[str, Any]]]:
    def apply(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        items = copy.deepcopy(items)
        change(items[0])
        return items

    return apply


def test_an_item_without_geometry_is_passed_over_and_named(
    server: SentinelHubServer, archive: SentinelHubArchive, caplog: pytest.LogCaptureFixture
) -> None:
    whole = archive.search(GRID.extent, *JUNE)
    server.items = changed(lambda item: item.update(geometry=None))
    assert archive.search(GRID.extent, *JUNE) == whole[1:]
    assert f"{whole[0].items[0]} of the catalog has no geometry" in caplog.text


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0]]]},
        {"type": "Nothing", "coordinates": []},
        {"type": "Point", "coordinates": [15, 46]},
        {"type": "Polygon", "coordinates": [[[15, 46], [16, 46], [15, 46], [15, 46]]]},
    ],
    ids=["ring", "kind", "point", "no area"],
)
def test_an_item_without_a_polygonal_part_is_left_out_and_named(
    server: SentinelHubServer,
    archive: SentinelHubArchive,
    caplog: pytest.LogCaptureFixture,
    geometry: dict[str, Any],
) -> None:
    whole = archive.search(GRID.extent, *JUNE)
    server.items = changed(lambda item: item.update(geometry=geometry))
    assert archive.search(GRID.extent, *JUNE) == whole[1:]
    assert f"{whole[0].items[0]} of the catalog has a geometry without a polygonal" in caplog.text


@pytest.mark.parametrize(
    "ring",
    [
        [[179, 40], [-179, 40], [-179, 50], [179, 50], [179, 40]],
        [[179, 40], [181, 40], [181, 50], [179, 50], [179, 40]],
    ],
    ids=["jumping", "above 180"],
)
def test_an_item_across_180_degrees_covers_nothing_in_between(
    server: SentinelHubServer, archive: SentinelHubArchive, ring: list[list[float]]
) -> None:
    whole = archive.search(GRID.extent, *JUNE)
    far = {"type": "Polygon", "coordinates": [ring]}
    server.items = changed(lambda item: item.update(geometry=far))
    assert archive.search(GRID.extent, *JUNE) == whole[1:]


def test_of_an_odd_footprint_the_polygonal_part_counts(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    def spiked(item: dict[str, Any]) -> None:
        first, *others = item["geometry"]["coordinates"][0]
        ring = [first, (first[0], first[1] + 5), first, *others]
        item["geometry"] = {"type": "Polygon", "coordinates": [ring]}

    whole = archive.search(GRID.extent, *JUNE)
    server.items = changed(spiked)
    found = archive.search(GRID.extent, *JUNE)
    assert [one.items for one in found] == [one.items for one in whole]
    assert [one.coverage for one in found] == pytest.approx([one.coverage for one in whole])


def test_an_item_outside_the_area_is_passed_over(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    far = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    whole = archive.search(GRID.extent, *JUNE)
    server.items = changed(lambda item: item.update(geometry=far))
    assert archive.search(GRID.extent, *JUNE) == whole[1:]


def test_an_item_that_two_pages_have_counts_once(
    server: SentinelHubServer, archive: SentinelHubArchive, caplog: pytest.LogCaptureFixture
) -> None:
    whole = archive.search(GRID.extent, *JUNE)
    server.items = lambda items: [items[0], *items]
    assert archive.search(GRID.extent, *JUNE) == whole
    assert caplog.text == ""


def test_two_items_with_one_id_are_named(
    server: SentinelHubServer, archive: SentinelHubArchive, caplog: pytest.LogCaptureFixture
) -> None:
    def doubled(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        later = copy.deepcopy(items[0])
        later["properties"]["datetime"] = "2019-06-20T10:00:00Z"
        return [*items, later]

    whole = archive.search(GRID.extent, *JUNE)
    server.items = doubled
    assert archive.search(GRID.extent, *JUNE) == whole
    assert f"two items with the id {whole[0].items[0]}" in caplog.text


def test_items_need_no_projection(server: SentinelHubServer, archive: SentinelHubArchive) -> None:
    def with_projection(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**i, "properties": {**i["properties"], "proj:epsg": 32633}} for i in items]

    without = archive.search(GRID.extent, *JUNE)
    server.items = with_projection
    assert [a.items for a in archive.search(GRID.extent, *JUNE)] == [a.items for a in without]


@pytest.mark.parametrize(
    "wrong",
    [
        {"properties": {"datetime": "yesterday or so"}},
        {"properties": {"datetime": None}},
    ],
    ids=["time", "no time"],
)
def test_an_item_that_cannot_be_understood_is_named(
    server: SentinelHubServer, archive: SentinelHubArchive, wrong: dict[str, Any]
) -> None:
    name = first(archive).items[0]
    server.items = changed(lambda item: item.update(wrong))
    with pytest.raises(SourceError, match=f"search of .*: item {name} cannot be understood"):
        archive.search(GRID.extent, *JUNE)
    without = archive_of("sentinel-2-l1c", exclude=[name])
    assert name not in [
        item for found in without.search(GRID.extent, *JUNE) for item in found.items
    ]


def test_a_catalog_that_is_none_is_named(
    server: SentinelHubServer, archive: SentinelHubArchive
) -> None:
    server.items = changed(lambda item: item.pop("properties"))
    with pytest.raises(SourceError, match="does not answer as Sentinel Hub's catalog"):
        archive.search(GRID.extent, *JUNE)


def test_a_grid_that_the_service_cannot_give_is_named(archive: SentinelHubArchive) -> None:
    turned = GeoBox((10, 10), Affine(10, 1, 460_000, 1, -10, 5_100_000), "EPSG:32633")
    with pytest.raises(SourceError, match="north up"):
        archive.read(first(archive), turned, BANDS)


# Secrets


def test_no_secret_is_in_any_log_error_or_representation(
    server: SentinelHubServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    caplog.set_level(logging.DEBUG)
    archive = archive_of("sentinel-2-l1c", retries=1)
    acquisition = first(archive)
    told = [repr(archive), str(vars(archive)), repr(acquisition)]
    for fault in (Refuse(400), Refuse(500), Reset(), Cut(), Damaged(), Page(), ExpiredTokens()):
        server.misbehave(fault, times=4)
        try:
            archive.read(acquisition, GRID, BANDS)
        except SourceError as error:
            told += [str(error), repr(error), *traceback.format_exception(error)]
        server.behave()
    server.misbehave(Refuse(401, f"client {server.client_id} {server.client_secret}"), on="token")
    server.expire()
    with pytest.raises(SourceError) as refused:
        archive.read(acquisition, GRID, BANDS)
    told += traceback.format_exception(refused.value)
    told += [caplog.text, *capfd.readouterr(), *(str(w) for w in recwarn)]
    assert server.given
    for secret in (server.client_id, server.client_secret, *server.given):
        assert all(secret not in text for text in told)


# Wiring


def configured(folder: Path, **imagery: Any) -> Config:
    return Config.model_validate(
        {
            "name": "area",
            "storage": str(folder),
            "years": [2019],
            "aoi": {"bbox": [14.4, 46.0, 14.5, 46.1], "crs": "utm", "patch_size": 1000},
            "imagery": {"source": "sentinel_hub", "collection": "sentinel-2-l1c", **imagery},
            "clouds": {"method": "provider"},
            "reference": {
                "path": "reference.gpkg",
                "attribute": "class",
                "classes": [{"id": 1, "name": "land", "color": "#ffffff"}],
            },
        }
    )


def test_what_is_broken_off_does_not_wait_for_the_retries(
    server: SentinelHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path, connections=2)
    source = open_source(config)
    patch = Patch("33N-r000-c000", GRID, "33N", 0, 0)
    found = search_acquisitions(source, patch, 2019, AcquisitionOptions.of(config))
    monkeypatch.setattr(limits, "FIRST_WAIT", 60.0)
    server.misbehave(Refuse(503), at=3, times=99)
    parts = acquire(source, found).parts()
    # Once the second acquisition has come, the third is asked for.
    marks = (part for part in parts if isinstance(part, Checkpoint))
    assert [next(marks), next(marks)]
    while server.count("process") < 3:
        time.sleep(0.01)
    time.sleep(0.1)
    begun = time.monotonic()
    marks.close()
    parts.close()
    assert time.monotonic() - begun < 30  # a retry waits for a minute
    server.behave()
    for acquisition in found.acquisitions[:3]:
        assert source.read(acquisition, GRID, BANDS).values.any()


def test_the_configuration_opens_it(
    tmp_path: Path,
) -> None:
    source = open_source(configured(tmp_path))
    assert isinstance(source, Source)
    assert source.remote
    assert first(source).platform == "sentinel-2b"
