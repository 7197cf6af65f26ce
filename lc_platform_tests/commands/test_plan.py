"""What a plan says before anything is acquired, and that it is what is spent then."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import geopandas
import pytest
import shapely
import yaml

from lc_platform import config
from lc_platform.acquisition import revisit
from lc_platform.acquisition.budget import StoreLedger
from lc_platform.area.options import SplitOptions
from lc_platform.commands import plan
from lc_platform.commands import run as running
from lc_platform.commands.plan import AreaPlan
from lc_platform.config import Config
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform.storage.store import Store
from lc_platform_tests import sentinel_hub_server
from lc_platform_tests.command_line import Command
from lc_platform_tests.sentinel_hub_server import SentinelHubServer
from lc_platform_tests.sites import DATES, EVERYWHERE, Site, site


def unseen(_: int, results: Iterable[Any]) -> Iterator[Any]:
    return iter(results)


def planned(file: Path, **asked: Any) -> AreaPlan:
    return plan.make(config.load(file), unseen, **asked)


def configured(folder: Path, imagery: dict[str, Any], aoi: dict[str, Any], **sections: Any) -> Path:
    """A configuration with a reference of one polygon."""
    west, south, east, north = aoi["bbox"]
    table = geopandas.GeoDataFrame(
        {"kind": [1, 2]},
        geometry=[
            shapely.box(west, south, (west + east) / 2, north),
            shapely.box((west + east) / 2, south, east, north),
        ],
        crs="EPSG:4326",
    )
    folder.mkdir(parents=True, exist_ok=True)
    table.to_file(folder / "reference.gpkg")
    settings = {
        "name": "planned",
        "storage": "./store",
        "years": [2019],
        "aoi": {"crs": "EPSG:32633", **aoi},
        "imagery": imagery,
        "reference": {
            "path": "reference.gpkg",
            "attribute": "kind",
            "classes": [{"id": i, "name": f"class {i}", "color": "#aa8844"} for i in (1, 2)],
        },
        **sections,
    }
    file = folder / "lc.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


# An archive in a folder


@pytest.fixture
def small(tmp_path: Path) -> Site:
    """Two patches of 16 x 16 pixels, four acquisitions of four bands."""
    return site(tmp_path, patches=2)


EACH = 16 * 16 * 4
"""Digital numbers of an acquisition of a patch."""


def test_a_plan_counts_what_is_not_there_yet_and_leaves_no_trace(small: Site) -> None:
    found = planned(small.folder / "lc.yaml")
    assert [*found.years] == [2021]
    assert len(found.patches) == 2
    assert found.total.acquisitions == 2 * len(DATES)
    assert found.total.existing == 0
    assert found.total.bytes_kept == 2 * round(plan.BYTES_KEPT * 4 * EACH)
    assert not found.remote
    assert found.total.cost.requests == found.total.cost.processing_units == 0
    assert not small.store.exists()


@pytest.mark.slow
def test_a_plan_counts_only_what_is_new_since_the_last_run(small: Site) -> None:
    file = small.folder / "lc.yaml"
    first, second = planned(file).patches
    assert small.run(select=["patch_grid"]).succeeded
    assert small.run(select=["raw_bands"], patches=[first]).succeeded
    assert planned(file).needs[first, 2021].existing == 4
    assert planned(file).needs[second, 2021].existing == 0
    small.acquire("2021-12-01")
    new = planned(file).needs[first, 2021]
    assert (new.acquisitions, new.existing) == (5, 4)
    assert new.bytes_kept == round(plan.BYTES_KEPT * EACH)
    other_bands = small.configure(imagery={"bands": ["B04", "B08"]})
    assert planned(other_bands).needs[first, 2021].existing == 0


def test_patches_and_years_may_be_chosen(small: Site) -> None:
    file = small.configure(years=[2020, 2021])
    first, second = planned(file).patches
    found = planned(file, patches=[second], years=[2021])
    assert [*found.needs] == [(second, 2021)]
    everything = planned(file)
    assert everything.without == [(first, 2020), (second, 2020)]
    assert everything.years[2020].acquisitions == 0


def test_the_command_prints_a_table_and_what_has_no_acquisition(lc: Command, small: Site) -> None:
    file = small.configure(years=[2020, 2021])
    ended = lc("plan", "-c", file)
    assert ended.status == 0, ended.err
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines[:5] == [
        "site: 2 patches, sentinel-2-l2a from stac",
        "year acquisitions existing storage",
        "2020 0 0 0 B",
        "2021 8 0 9.83 kB",
        "all 8 0 9.83 kB",
    ]
    assert "Nothing is transferred over the network." in lines
    assert max(map(len, lines[:5])) <= 80
    assert ended.err.count("2020: the archive has no acquisition") == 2
    told = lc("plan", "-c", file, "--patches").out
    assert len([line for line in told.splitlines() if line.startswith("33N-")]) == 4


def test_the_command_gives_all_of_it_to_programs(lc: Command, small: Site) -> None:
    ended = lc("plan", "-c", small.folder / "lc.yaml", "--json")
    told = json.loads(ended.out)
    assert told["total"]["acquisitions"] == 8
    assert [one["acquisitions"] for one in told["patches"]] == [4, 4]
    assert told["over_the_network"] is False
    assert told["budget"]["limits"] == {}


def test_a_patch_that_there_is_not_is_refused_with_the_nearest(lc: Command, small: Site) -> None:
    ended = lc("plan", "-c", small.folder / "lc.yaml", "--patch", "33N-r1-c1")
    assert ended.status == 1
    assert "--patch 33N-r1-c1: is none of the patches of the area" in ended.err


SPIKE = {
    "type": "Polygon",
    "coordinates": [
        [*EVERYWHERE["coordinates"][0][:2], [20, 46], *EVERYWHERE["coordinates"][0][1:]]
    ],
}
LINE = {"type": "LineString", "coordinates": EVERYWHERE["coordinates"][0][:2]}
COLLECTION_OF_BOTH = {"type": "GeometryCollection", "geometries": [EVERYWHERE, LINE]}


@pytest.mark.slow
def test_one_bad_footprint_stops_neither_plan_nor_acquisition(
    lc: Command, small: Site, caplog: pytest.LogCaptureFixture
) -> None:
    for one, geometry in zip(small.items, (SPIKE, LINE, COLLECTION_OF_BOTH), strict=False):
        one["geometry"] = geometry
    file = small.configure()
    ended = lc("plan", "-c", file, "--json")
    assert ended.status == 0, ended.err
    assert [one["acquisitions"] for one in json.loads(ended.out)["patches"]] == [3, 3]
    assert f"without a polygonal part and are left out: {small.items[1]['id']}" in caplog.text
    made = small.run(select=["patch_grid"])
    assert made.succeeded
    made = small.run(select=["raw_bands"])
    assert made.succeeded
    assert {need.existing for need in planned(file).needs.values()} == {3}


def test_an_item_that_is_no_stac_is_left_out_by_its_id(lc: Command, small: Site) -> None:
    bad = small.items[1]
    bad["properties"]["datetime"] = None
    ended = lc("plan", "-c", small.configure())
    assert ended.status == 1
    assert f"leave it out by imagery.exclude: [{bad['id']}]" in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    ended = lc("plan", "-c", small.configure(imagery={"exclude": [bad["id"]]}), "--json")
    assert ended.status == 0, ended.err
    assert [one["acquisitions"] for one in json.loads(ended.out)["patches"]] == [3, 3]


# The simulated archive


def test_of_the_simulated_archive_nothing_comes_over_the_network(tmp_path: Path) -> None:
    file = tmp_path / "lc.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "name": "demo",
                "storage": "./store",
                "years": [2019],
                "aoi": {"bbox": [15, 46, 15.001, 46.001], "crs": "EPSG:32633", "patch_size": 320},
                "imagery": {"source": "simulated", "max_cloud_cover": 50},
            }
        )
    )
    found = planned(file, offline=True)
    archive, settings = SimulatedArchive(), config.load(file)
    from lc_platform.area import patches

    for patch in patches.patches(SplitOptions.of(settings))[0]:
        seen = archive.search(
            patch.geobox.extent, datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
        )
        clear = [a for a in seen if a.cloud_cover is None or a.cloud_cover <= 50]
        assert found.needs[patch.key, 2019].acquisitions == len(clear)
    assert not found.remote
    assert not found.estimated
    assert found.total.cost.requests == 0


# An archive that is not asked


@pytest.mark.parametrize(
    ("collection", "days"),
    [
        ("sentinel-2-l1c", (4.5, 5.5)),  # two satellites: every five days at the equator
        ("landsat-ot-l1", (7.0, 8.5)),  # every eight days
        ("sentinel-1-grd", (5.0, 6.5)),  # every six days in one direction
    ],
)
def test_satellites_come_as_often_as_their_operators_say(
    collection: str, days: tuple[float, float]
) -> None:
    every = 1 / revisit.orbit_of(collection).passes(0.0, 0.0, 1.0)
    assert days[0] <= every <= days[1]


def test_a_place_nearer_to_a_pole_is_seen_more_often() -> None:
    """At 60 degrees a parallel is half as long as the equator: twice as often, or somewhat more."""
    orbit = revisit.orbit_of("sentinel-2-l2a")
    assert 1.9 <= orbit.passes(60, 0, 1) / orbit.passes(0, 0, 1) <= 2.2
    assert orbit.passes(-60, 0, 1) == orbit.passes(60, 0, 1)
    assert orbit.passes(89.9, 0, 1) == pytest.approx(2 * 143 / 10)


@pytest.mark.parametrize("cover", [0, 20, 50, 80, 100])
def test_clearer_scenes_are_fewer(cover: float) -> None:
    assert revisit.share_kept(100) == 1
    assert revisit.share_kept(cover) <= revisit.share_kept(min(100, cover + 10))


FAR = {"source": "stac", "catalog": "https://archive.invalid/v1", "retries": 0}
SLOVENIA = {"bbox": [14.9, 46.0, 15.1, 46.1], "patch_size": 10_000}


def test_offline_asks_the_archive_nothing_and_says_what_it_assumes(tmp_path: Path) -> None:
    """Some 70 acquisitions of at most 80 % cloud a year is what is known of Slovenia."""
    file = configured(tmp_path, FAR, SLOVENIA)
    found = planned(file, offline=True)
    assert all(60 <= need.acquisitions <= 90 for need in found.needs.values())
    assert found.estimated.startswith("sentinel-2-l1c every 3.")
    assert "at 46N" in found.estimated
    with pytest.raises(SourceError):
        planned(file)


def test_of_the_running_year_only_what_can_be_there_is_estimated(tmp_path: Path) -> None:
    file = configured(tmp_path, FAR, SLOVENIA)
    whole = planned(file, offline=True).total.acquisitions
    half = planned(file, offline=True, today=date(2019, 7, 2)).total.acquisitions
    assert half == pytest.approx(whole / 2, rel=0.03)
    assert planned(file, offline=True, today=date(2018, 7, 2)).total.acquisitions == 0


def test_what_two_seasons_share_is_counted_once_offline(tmp_path: Path) -> None:
    """Two years with 73 days on both sides are twice 511 days, of which they share 146."""
    years = {"years": [2018, 2019]}
    alone = planned(configured(tmp_path / "alone", FAR, SLOVENIA, **years), offline=True)
    padded = configured(
        tmp_path / "padded", FAR, SLOVENIA, features={"padding": 73}, season={"begins": "10-01"},
        **years,
    )  # fmt: skip
    found, a_day = planned(padded, offline=True).total, alone.total.acquisitions / 730
    assert found.acquisitions == pytest.approx(2 * 511 * a_day, rel=0.02)
    kept = alone.total.bytes_kept / 730
    assert found.bytes_kept == pytest.approx((2 * 511 - 146) * kept, rel=0.02)
    second = planned(padded, offline=True, years=[2019]).total
    assert second.bytes_kept == pytest.approx(511 * kept, rel=0.02)


def test_hours_are_those_of_the_slower_limit(tmp_path: Path) -> None:
    fast = planned(configured(tmp_path / "fast", FAR | {"connections": 8}, SLOVENIA), offline=True)
    need = fast.total
    assert fast.hours(need) == pytest.approx(need.cost.requests * fast.seconds_a_request / 8 / 3600)
    limited = configured(tmp_path / "slow", FAR | {"requests_per_minute": 60}, SLOVENIA)
    assert planned(limited, offline=True).hours(need) == pytest.approx(need.cost.requests / 3600)


# Sentinel Hub


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SentinelHubServer]:
    with sentinel_hub_server.started() as running:
        # A request that a slow machine does not answer in time is made, and paid for, once more.
        for name, value in running.environment(tmp_path / "home", timeout=900.0).items():
            monkeypatch.setenv(name, value)
        yield running


TINY = {"bbox": [15.503, 46.5003, 15.508, 46.5004], "patch_size": 160}


def hub(folder: Path, chunk: int = 1, **imagery: Any) -> Path:
    """Four patches of 16 x 16 pixels, a year's nearly clear acquisitions."""
    given = {"source": "sentinel_hub", "max_cloud_cover": 4, "bands": ["B04", "B08"], **imagery}
    return configured(folder, given, TINY, processing={"chunk": chunk})


def acquired(file: Path) -> running.Report:
    def shown(_: str, __: int, outcomes: Iterable[Any]) -> Iterator[Any]:
        return iter(outcomes)

    return running.run(config.load(file), shown, select=["raw_bands"])


def searched(server: SentinelHubServer, begun: int) -> set[tuple[float, ...]]:
    """The areas that were searched since a request, however many pages each has."""
    searches = [one for one in server.requests[begun:] if one.kind == "search"]
    return {tuple(json.loads(one.body)["bbox"]) for one in searches}


def counted(settings: Config) -> Any:
    return StoreLedger(Store.of(settings), settings.imagery.budget).spending()


@pytest.fixture(autouse=True)
def _own_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)


def test_offline_needs_no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("SH_CLIENT_ID", "SH_CLIENT_SECRET", "SH_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    found = planned(hub(tmp_path / "area"), offline=True)
    assert found.total.cost.processing_units > 0


@pytest.mark.slow
def test_a_plan_is_what_is_spent_and_a_budget_stops_all_patches_with_one_message(
    lc: Command, tmp_path: Path, server: SentinelHubServer
) -> None:
    file = hub(tmp_path)
    before = planned(file)
    needed = before.total.cost
    assert server.processing_units == 0
    assert len(before.patches) >= 3

    half = needed.processing_units / 2
    hub(tmp_path, budget={"processing_units": half})
    begun = len(server.requests)
    ended = lc("run", "-c", file, "--select", "raw_bands")
    assert ended.status == 1
    assert ended.err.count("imagery.budget.processing_units:") == 1, ended.err
    assert "does not suffice for the next request" in ended.err
    assert 0.9 * half <= server.processing_units <= half
    settings = config.load(file)
    assert counted(settings).spent.processing_units == pytest.approx(server.processing_units)
    # Patches of which there is nothing are not even searched any more.
    stored = len([*(tmp_path / "store" / "raw_bands" / "2019").glob("[!.]*.zarr")])
    assert len(searched(server, begun)) == stored + 1 < len(before.patches)

    rest_of = planned(file)
    assert rest_of.total.existing > 0
    rest = needed.processing_units - server.processing_units
    assert rest_of.total.cost.processing_units == pytest.approx(rest)
    (limit,) = rest_of.budget
    assert limit.needed == pytest.approx(rest)
    assert (limit.suffices, limit.months) == (False, 2)

    hub(tmp_path, budget={"processing_units": 2 * needed.processing_units})
    assert acquired(file).succeeded
    assert server.processing_units == pytest.approx(needed.processing_units)
    assert server.count("process") == needed.requests
    after = planned(file).total
    assert (after.existing, after.cost.requests) == (before.total.acquisitions, 0)

    # The partitions' pages.
    told = shown_of_raw_bands(config.load(file))
    last = max(told, key=lambda one: one["processing_units_this_month"])
    spent = server.processing_units
    assert last["processing_units_this_month"] == pytest.approx(spent, abs=0.01)
    left = 2 * needed.processing_units - spent
    assert last["processing_units_left"] == pytest.approx(left, abs=0.01)


@pytest.mark.proof
@pytest.mark.slow
def test_several_processes_stop_at_the_budget_together(
    lc: Command, tmp_path: Path, server: SentinelHubServer
) -> None:
    needed = planned(hub(tmp_path)).total.cost
    half = needed.processing_units / 2
    file = hub(tmp_path, chunk=2, budget={"processing_units": half})
    ended = lc("run", "-c", file, "--select", "raw_bands", "--workers", "2")
    assert ended.status == 1
    assert ended.err.count("imagery.budget.processing_units:") == 1, ended.err
    assert 0.9 * half <= server.processing_units <= half
    found = counted(config.load(file))
    assert found.spent.processing_units == pytest.approx(server.processing_units)


def shown_of_raw_bands(settings: Config) -> Sequence[dict[str, Any]]:
    """The numbers on the pages of the partitions that were acquired."""
    worker = running.Worker(settings, running.dagster_home(settings))
    records = worker.instance.fetch_materializations(dg.AssetKey("raw_bands"), limit=50).records
    made = [r.asset_materialization.metadata for r in records if r.asset_materialization]
    return [
        {name: entry.value for name, entry in one.items()}
        for one in made
        if "processing_units_this_month" in one
    ]
