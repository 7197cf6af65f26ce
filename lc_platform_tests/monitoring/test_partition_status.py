"""What has failed is told from what only waited for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from lc_platform import config
from lc_platform.artefacts.layout import PATCH, Partition
from lc_platform.assets.jobs import JOBS
from lc_platform.commands import run as running
from lc_platform.commands.asset_status import AssetStatus
from lc_platform.commands.run import Task, Worker
from lc_platform.commands.status import status as statuses
from lc_platform.monitoring import partition_status
from lc_platform.sources import open_source
from lc_platform_tests.command_line import Command
from lc_platform_tests.graphs import Blind
from lc_platform_tests.sites import Site, first_never_seen, footprint, metres, site, worker_of

pytestmark = pytest.mark.slow

AFTER = ("cloud_masks", "observation_stats", "alignment", "features", "training_samples")


@pytest.fixture(autouse=True)
def _own_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)


@pytest.fixture
def unseen(tmp_path: Path) -> Site:
    return first_never_seen(tmp_path)


def places_of(worker: Worker) -> list[Partition]:
    return [Partition(name, 2021) for name in worker.instance.get_dynamic_partitions(PATCH)]


def chunk(made: Site) -> tuple[list[Partition], str]:
    """One run of all patches, as a backfill makes it; its id."""
    worker = worker_of(made)
    assert not worker.run(Task("grid", JOBS["grid"])).errors
    places = places_of(worker)
    done = worker._execute(Task("patch_year", JOBS["patch_year"], tuple(places)))
    return places, done.run_id


def rows_of(made: Site) -> Mapping[str, AssetStatus]:
    return {row.asset: row for row in statuses(config.load(made.folder / "lc.yaml"))}


def test_of_a_chunk_only_the_patch_that_failed_has_failed(unseen: Site, lc: Command) -> None:
    (first, *others), _ = chunk(unseen)
    rows = rows_of(unseen)
    assert [*rows["raw_bands"].failed] == [first]
    assert "no acquisition between 2021-01-01" in rows["raw_bands"].failed[first]
    assert rows["raw_bands"].count("current") == 2
    words = f"not reached: raw_bands of {first} failed"
    for asset in AFTER:
        assert rows[asset].failed == {}
        assert rows[asset].not_reached == dict.fromkeys([first, *others], words)
    # Nobody has attempted these; of the patch it is known why there is nothing to begin with.
    assert rows["predictions"].not_reached == {first: words, **dict.fromkeys(others, words)}
    assert rows["model"].not_reached == {}

    ended = lc("status", "-c", unseen.folder / "lc.yaml")
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "raw_bands 2021 2 3 1 1" in lines
    assert f"cloud_masks 2021 0 3 3: {words} (3)" in lines
    assert ended.err.count("failed") == 1
    assert f"failed raw_bands {first}\n" in ended.err


def test_what_was_made_since_is_no_reason_any_more(unseen: Site) -> None:
    (first, *_), _ = chunk(unseen)
    unseen.acquire("2021-06-06", footprint(*metres(0.1, 0, 2.9, 1)))
    assert not worker_of(unseen).run(Task("patch_year", ("raw_bands",), (first,))).errors
    rows = rows_of(unseen)
    assert rows["raw_bands"].failed == {}
    assert rows["cloud_masks"].failed == {}
    assert first not in rows["cloud_masks"].not_reached


def test_a_check_that_failed_has_its_partition_failed(tmp_path: Path) -> None:
    made = site(tmp_path, patches=3)
    worker = worker_of(made)
    assert not worker.run(Task("grid", JOBS["grid"])).errors
    blind, *others = places_of(worker)
    box = worker.opened("patch_grid")[blind.patch].geobox
    worker.platform.source = Blind(open_source(worker.config), box)
    worker._execute(Task("patch_year", JOBS["patch_year"], (blind, *others)))
    rows = rows_of(made)
    assert set(rows["raw_bands"].failed) == {blind}
    assert "no acquisition has data on the patch" in rows["raw_bands"].failed[blind]
    assert (rows["raw_bands"].count("current"), rows["raw_bands"].done) == (3, 2)
    assert rows["cloud_masks"].failed == {}
    words = f"not reached: raw_bands of {blind} failed"
    assert rows["cloud_masks"].not_reached == dict.fromkeys([blind, *others], words)


def test_a_run_that_ended_without_a_word_has_its_first_assets_failed(unseen: Site) -> None:
    """Also where its log was not read: there are too many of them."""
    places, run_id = chunk(unseen)
    worker = worker_of(unseen)
    found = partition_status.PartitionStatus(
        worker.instance, worker.platform.versions, worker.snapshot(), [2021], known={run_id: []}
    )
    assert found.of["raw_bands"].failed == {places[0]: f"run {run_id}"}
    assert set(found.of["features"].not_reached) == set(places)
    assert found.of["features"].failed == {}


def test_a_canceled_run_has_failed_nothing(unseen: Site) -> None:
    (first, *_), run_id = chunk(unseen)
    instance = worker_of(unseen).instance
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_canceled(run)
    rows = rows_of(unseen)
    assert all(row.failed == {} for row in rows.values())
    assert rows["features"].not_reached[first] == f"not reached: run {run_id} was canceled"


def test_a_patch_grid_that_failed_is_shown_with_its_reason(unseen: Site, lc: Command) -> None:
    (unseen.folder / "area.gpkg").unlink()
    assert lc("run", "-c", unseen.folder / "lc.yaml").status == 1
    ended = lc("status", "-c", unseen.folder / "lc.yaml")
    assert ended.status == 0
    assert "failed patch_grid" in ended.err
    assert "area.gpkg" in ended.err


def test_a_patch_grid_that_failed_when_it_was_to_be_made_again_is_shown(unseen: Site) -> None:
    chunk(unseen)
    unseen.configure(aoi={"patch_size": 320})
    (unseen.folder / "area.gpkg").unlink()
    assert worker_of(unseen).run(Task("grid", JOBS["grid"])).errors
    row = rows_of(unseen)["patch_grid"]
    assert row.count("stale") == 1
    assert "area.gpkg" in row.failed[Partition()]
