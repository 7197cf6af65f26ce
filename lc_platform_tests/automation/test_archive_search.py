"""Looks at an archive on a network: several patches at a time, and never much longer than told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import geopandas as gpd
import pytest
import shapely

from lc_platform import config
from lc_platform.automation import archive_search
from lc_platform.automation.archive_search import SearchOutcome
from lc_platform.graph import build
from lc_platform.platform import Platform
from lc_platform_tests.graphs import degrees
from lc_platform_tests.sentinel_hub_server import SentinelHubServer, Slow, started
from lc_platform_tests.sentinel_hub_site import REFERENCE, SEED
from lc_platform_tests.storage.growing import YEAR

COLUMNS, ROWS = 3, 2
PATCHES = COLUMNS * ROWS
CONNECTIONS = 3


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SentinelHubServer]:
    with started(seed=SEED) as running:
        for name, value in running.environment(tmp_path / "account").items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def platform(server: SentinelHubServer, tmp_path: Path) -> Platform:
    """With its grid, and nothing acquired."""
    assert server.base_url
    land = {"class": [1], "geometry": [shapely.box(*degrees(COLUMNS, ROWS))]}
    gpd.GeoDataFrame(land, crs="EPSG:4326").to_file(tmp_path / "reference.gpkg")
    configured = config.parse(
        {
            "name": "looked-at",
            "storage": "./data",
            "years": [YEAR],
            "aoi": {"bbox": degrees(COLUMNS, ROWS), "crs": "EPSG:32633", "patch_size": 320},
            "imagery": {"source": "sentinel_hub", "connections": CONNECTIONS, "retries": 1},
            "reference": REFERENCE,
        },
        tmp_path,
    )
    definitions = build(configured)
    with dg.DagsterInstance.ephemeral() as instance:
        assert definitions.resolve_job_def("grid").execute_in_process(instance=instance).success
    found = (definitions.resources or {})["platform"]
    assert isinstance(found, Platform)
    return found


def look(platform: Platform, after: str = "", seconds: float = 50.0) -> SearchOutcome:
    return archive_search.search(
        platform, platform.versions.look(), [YEAR], after=after, seconds=seconds
    )


@pytest.mark.proof
@pytest.mark.slow
def test_several_patches_are_asked_about_at_a_time_and_no_more_than_connections(
    server: SentinelHubServer, platform: Platform
) -> None:
    server.latency, server.gathered = 0.2, CONNECTIONS
    found = look(platform)
    assert (found.searched, found.stopped_at, found.problem) == (PATCHES, "", "")
    assert len(found.new) == PATCHES
    assert server.at_once == CONNECTIONS


@pytest.mark.proof
@pytest.mark.slow
def test_an_archive_that_does_not_answer_ends_the_look_and_the_next_begins_behind(
    server: SentinelHubServer, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_search, "ANSWER", 1.5)
    patches = sorted(patch.key for patch in platform.grid().patches)
    hanging = f"{patches[0]} {YEAR}"
    look(platform, seconds=0)  # a token, and what is loaded at the first time
    # The first three are asked for at once, in no certain order: all of them hang.
    server.misbehave(Slow(20), on="search", times=CONNECTIONS)
    began = time.monotonic()
    found = look(platform, seconds=0.5)
    assert time.monotonic() - began < 20
    assert (found.searched, found.stopped_at, found.new) == (1, hanging, {})
    assert found.problem == f"{hanging}: the archive has not answered for 2 s"
    server.behave()
    later = look(platform, after=hanging)
    assert (later.searched, later.stopped_at, later.problem) == (PATCHES, "", "")
    assert len(later.new) == PATCHES


@pytest.mark.slow
def test_where_time_runs_out_what_is_asked_for_still_counts(
    server: SentinelHubServer, platform: Platform
) -> None:
    look(platform, seconds=0)  # a token, and what is loaded at the first time
    server.latency = 0.6
    first = look(platform, seconds=0.3)
    assert first.searched == len(first.new) == CONNECTIONS
    assert not first.problem
    second = look(platform, after=first.stopped_at, seconds=0.3)
    assert second.searched == len(second.new) == CONNECTIONS
    assert not set(first.new) & set(second.new)
