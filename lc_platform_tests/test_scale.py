"""What thousands of patches ask of Dagster and the store: on paper, and of a real webserver."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import estimate, report, scale
from benchmarks.estimate import Area, Assumptions, Constants, Estimate
from lc_platform import config
from lc_platform.commands import run

SLOVENIA = Area("Slovenia", 293, 1000)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(run.HOME_VARIABLE, raising=False)
    monkeypatch.delenv(config.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", os.environ.get("DAGSTER_EVENT_BATCH_SIZE", "0"))


def test_partitions_are_those_of_the_graphs_assets() -> None:
    # Eight assets a patch and year, one a patch, seven a year, and the grid.
    assert Estimate(SLOVENIA, 1).partitions == 8 * 293 + 293 + 7 + 1
    assert Estimate(SLOVENIA, 10).partitions == 80 * 293 + 293 + 70 + 1


def test_runs_take_as_many_patches_as_the_configuration_says() -> None:
    # 12 x 2**20 pixels are 12 patches of a million: 293 patches are 25 chunks.
    assert Estimate(SLOVENIA, 1).chunk == 12
    assert Estimate(SLOVENIA, 1).runs == 25 * (3 + 1) + 3 + 1
    assert Estimate(Area("large", 10, 5000), 1).chunk == 1
    assert Estimate(Area("small", 10, 32), 1).chunk == 64


def test_what_is_stored_grows_with_pixels_and_years() -> None:
    one = Estimate(SLOVENIA, 1)
    assert one.bytes == pytest.approx(293e6 * 820)
    assert Estimate(SLOVENIA, 10).bytes == pytest.approx(10 * one.bytes)
    assert Estimate(replace(SLOVENIA, side=2000), 1).bytes == pytest.approx(4 * one.bytes)


def test_a_larger_patch_of_one_tile_has_no_more_objects() -> None:
    assert (
        Estimate(Area("", 1, 1000), 1).objects
        == Estimate(Area("", 1, 2048), 1).objects
        < Estimate(Area("", 1, 2049), 1).objects
    )


def test_objects_of_a_small_patch_are_those_that_were_counted() -> None:
    # Of a whole graph in an object store: 38 acquisitions of a patch smaller than a tile left
    # 179 objects of raw bands, 127 of masks, 14 of features and 8 records. The rest are
    # observation_stats (.tif, .parquet, .png), predictions and held_out_predictions (.tif,
    # .tif.aux.xml), the comparisons of alignment and the samples.
    found = Estimate(Area("", 1, 32), 1, replace(Constants(), acquisitions=38))
    assert found.puts == 179 + 127 + 14 + 8 + 9


def test_the_archive_sets_the_pace_where_it_is_slow() -> None:
    slow = Estimate(SLOVENIA, 1, assumed=Assumptions(archive_rate=1e6))
    fast = Estimate(SLOVENIA, 1, assumed=Assumptions(archive_rate=1e12))
    assert slow.hours == slow.download_hours
    assert slow.first == "the archive's rate"
    assert fast.hours == fast.worker_hours / 8


def test_partitions_are_used_up_after_some_years() -> None:
    area = Area("", 40_000, 1000)
    assert Estimate(area, 2).limits["partitions of an asset"] == pytest.approx(0.8)
    assert Estimate(area, 2).most_years == 2
    assert Estimate(area, 3).limits["partitions of an asset"] > 1


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.123, "0.12"), (7.0, "7"), (42.4, "42"), (1234, "1,200"), (12_345, "12,000"),
     (4_560_000, "4.6 million"), (2.31e9, "2.3 billion")],
)  # fmt: skip
def test_amounts_have_two_digits(value: float, told: str) -> None:
    assert estimate.amount(value) == told


def test_the_page_shows_what_the_constants_come_to() -> None:
    page = (Path(__file__).parents[1] / "docs" / "scaling.md").read_text(encoding="utf-8")
    for table in estimate.tables():
        assert report.markdown(table) in page, f"run python -m benchmarks.scale --paper: {table}"


def test_the_slope_is_that_of_the_straight_line() -> None:
    slope, error = scale._slope([(n, 1000 + 3 * n) for n in range(50)])
    assert slope == pytest.approx(3)
    assert error == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("database", ["sqlite"])
def test_what_a_person_waits_for_takes_seconds(database: str, tmp_path: Path) -> None:
    """Every query on a real webserver and daemon; `python -m benchmarks.scale` has the numbers."""
    table, slow = scale.queries(tmp_path, database, patches=30, years=2, still=3.0)
    assert slow == []
    told = [row[0] for row in table.rows]
    assert "lc-platform status" in told
    assert "the backfill's page" in told
