"""What fails the same way every time fails at once, alone, by name, however it is run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyproj
import pytest
import shapely
from dagster._core.storage.tags import WILL_RETRY_TAG
from odc.geo.geobox import GeoBox

from lc_platform.artefacts.layout import Partition, key
from lc_platform.assets import declaration
from lc_platform.assets.dagster_internals import InMemoryJob, execute_run_iterator
from lc_platform.assets.partitions import PATCH
from lc_platform.automation import lost_retries
from lc_platform.commands import run as running
from lc_platform.errors import PlatformError
from lc_platform.monitoring.run_failures import failures_of_run
from lc_platform.sources.protocol import Acquisition, Pixels
from lc_platform_tests.assets.failing_archive import Fail, failing, unforeseen_key
from lc_platform_tests.graphs import QUIET, YEAR, Platform, configured, why

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A store with the patch grid alone."""
    platform = Platform(configured(tmp_path_factory.mktemp("grid")))
    assert platform.launch("grid").success
    return platform


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One that starts failed runs again."""
    settings = {"run_retries": {"enabled": True, "max_retries": 3}}
    home = tmp_path / "home"
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home), overrides=settings) as made:
        yield made


@pytest.fixture
def platform(
    grid: Platform, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Platform:
    """A store of its own, and steps that are tried again without delay."""
    monkeypatch.setattr(declaration, "RETRIES", dg.RetryPolicy(max_retries=2))
    shutil.copytree(grid.config.storage_url, tmp_path / "data", symlinks=True)
    made = Platform(configured(tmp_path), instance)
    instance.add_dynamic_partitions(PATCH, grid.patches)
    return made


def acquired(platform: Platform, partitions: Sequence[str]) -> dg.ExecuteInProcessResult:
    """A run that acquires partitions."""
    return platform.launch("patch_year", partitions, ["raw_bands"])


def log(instance: dg.DagsterInstance, run: str) -> str:
    return "\n".join(entry.user_message for entry in instance.all_logs(run))


def invalid_geometry() -> object:
    crossed = [shapely.from_wkt(f"POLYGON ((0 0, {x} {x}, 2 0, 0 2, 0 0))") for x in (1, 2)]
    return shapely.intersection(*crossed)


def unforeseen_type() -> object:
    tile: Any = None
    return tile + "33TVM"


def projected_to_nowhere() -> object:
    return pyproj.Transformer.from_crs(4326, 32633).transform(1e9, 1e9, errcheck=True)


def no_such_file() -> object:
    return Path("/nowhere/tile.jp2").read_bytes()


@pytest.mark.parametrize(
    ("fail", "words", "count"),
    [
        (invalid_geometry, "GEOSException", 4),
        (unforeseen_key, "'s2:mgrs_tile' (KeyError)", 1),
        (unforeseen_type, "TypeError", 1),
        (projected_to_nowhere, "ProjError", 4),
        (no_such_file, "/nowhere/tile.jp2", 1),
    ],
)
def test_what_nobody_foresaw_fails_at_once_by_name_with_its_traceback_in_the_log(
    platform: Platform, fail: Fail, words: str, count: int
) -> None:
    source = failing(platform.definitions, platform, {1: fail})
    patch = platform.patches[1]
    partitions = platform.patch_years if count > 1 else [platform.patch_years[1]]
    result = acquired(platform, partitions)
    assert not result.success
    assert source.searched == dict.fromkeys(platform.patches if count > 1 else [patch], 1)
    (failure,) = failures_of_run(platform.instance, result.run_id)
    assert failure.partition in (f"{patch} {YEAR}", patch)
    told = why(result)
    for part in (patch, str(YEAR), "acquisition S2", words, "raw_bands"):
        assert part in told
    logged = log(platform.instance, result.run_id)
    assert "Traceback (most recent call last)" in logged
    assert fail.__name__ in logged
    # The others are there.
    there = [p for p in platform.patches if platform.store.exists(key("raw_bands", p, YEAR))]
    assert there == [p for p in platform.patches if count > 1 and p != patch]


def resets() -> object:
    raise ConnectionResetError(104, "Connection reset by peer")


def test_a_step_is_tried_again_for_what_may_pass_alone(platform: Platform) -> None:
    source = failing(platform.definitions, platform, {0: unforeseen_key, 2: resets})
    result = acquired(platform, platform.patch_years)
    assert not result.success
    first, second, third, fourth = platform.patches
    # The step's three attempts, of which what was made is not searched for again.
    assert source.searched[first] == 1
    assert source.searched[third] == 3
    assert {f.partition for f in failures_of_run(platform.instance, result.run_id)} <= {
        f"{first} {YEAR}",
        f"{third} {YEAR}",
    }
    assert platform.store.exists(key("raw_bands", second, YEAR))
    assert platform.store.exists(key("raw_bands", fourth, YEAR))


@pytest.mark.parametrize("by", ["daemon", "person"])
def test_a_run_that_dagster_starts_again_leaves_what_failed_for_good(
    platform: Platform, by: str
) -> None:
    first = failing(platform.definitions, platform, {0: unforeseen_key, 2: resets})
    result = acquired(platform, platform.patch_years)
    assert platform.instance.get_run_by_id(result.run_id).tags[WILL_RETRY_TAG] == "true"  # type: ignore[union-attr]
    assert first.searched[platform.patches[0]] == 1
    # In another process: the archive answers again.
    later = Platform(platform.config, platform.instance)
    source = failing(later.definitions, later, {0: unforeseen_key})
    job = later.definitions.resolve_job_def("patch_year")
    before = result.dagster_run.tags.items()
    tags = {name: tag for name, tag in before if name.startswith("dagster/asset_partition")}
    again = platform.instance.create_run_for_job(
        job.get_subset(asset_selection={dg.AssetKey("raw_bands")}),
        run_config=QUIET,
        tags={**tags, **({"dagster/retry_number": "1"} if by == "daemon" else {})},
        parent_run_id=result.run_id,
        root_run_id=result.run_id,
        asset_selection={dg.AssetKey("raw_bands")},
    )
    list(execute_run_iterator(InMemoryJob(job), again, platform.instance))
    assert source.searched[platform.patches[0]] == (0 if by == "daemon" else 1)
    assert platform.store.exists(key("raw_bands", platform.patches[2], YEAR))
    (failure,) = failures_of_run(platform.instance, again.run_id)
    assert failure.partition == f"{platform.patches[0]} {YEAR}"
    assert "'s2:mgrs_tile' (KeyError)" in failure.reason


@pytest.mark.proof
@pytest.mark.parametrize(
    ("fail", "again"), [(unforeseen_key, "false"), (invalid_geometry, "false"), (resets, "true")]
)
@pytest.mark.parametrize("count", [1, 2])
def test_runs_are_started_again_for_what_may_pass_alone(
    platform: Platform, fail: Fail, again: str, count: int
) -> None:
    failing(platform.definitions, platform, {1: fail})
    result = acquired(platform, platform.patch_years[2 - count : 2])
    run = platform.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[WILL_RETRY_TAG] == again
    if again == "false":
        failed_at = platform.instance.get_run_stats(result.run_id).end_time
        assert failed_at is not None
        assert lost_retries.retry(platform.instance, failed_at + 120) == []


@pytest.mark.proof
def test_a_gate_that_refuses_a_patch_starts_no_run_again(platform: Platform) -> None:
    source = failing(platform.definitions, platform, {})
    read = source.read

    def blind(acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        pixels = read(acquisition, geobox, bands)
        pixels.data_mask[:] = False
        pixels.values[:] = 0
        return pixels

    source.read = blind  # type: ignore[method-assign]
    result = acquired(platform, platform.patch_years[:1])
    assert not result.success
    run = platform.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[WILL_RETRY_TAG] == "false"


@pytest.mark.slow
def test_the_command_attempts_what_fails_for_good_once_and_finishes_the_others(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(running.HOME_VARIABLE, str(tmp_path / "of the command"))
    worker = running.Worker(platform.config, running.dagster_home(platform.config))
    worker.instance.add_dynamic_partitions(PATCH, platform.patches)
    source = failing(worker.definitions, platform, {1: unforeseen_key})
    places = tuple(Partition(patch, YEAR) for patch in platform.patches)
    outcome = worker.run(running.Task("patch_year", ("raw_bands", "cloud_masks"), places))
    assert set(outcome.errors) == {places[1]}
    assert "'s2:mgrs_tile' (KeyError)" in outcome.errors[places[1]]
    assert source.searched[platform.patches[1]] == 1
    for place in places:
        assert worker.exists("cloud_masks", place) == (place != places[1])


def test_an_error_while_the_grid_is_written_is_told_and_not_tried_again(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    platform = Platform(configured(tmp_path), instance)
    manager = platform.definitions.resources["io_manager"]  # type: ignore[index]
    tries = []

    class Unwritable:
        def write(self, *_: Any) -> int:
            tries.append(1)
            raise KeyError("geometry")

    manager.formats["patch_grid"] = Unwritable()
    result = platform.launch("grid")
    assert not result.success
    assert len(tries) == 1
    assert "'geometry' (KeyError) in patch_grid" in why(result)


def test_a_foreseen_error_keeps_its_own_words(platform: Platform) -> None:
    class RefusedError(PlatformError):
        pass

    def refuse() -> object:
        raise RefusedError("acquisition S2A: band B04 is missing. Choose other bands")

    failing(platform.definitions, platform, {0: refuse})
    result = acquired(platform, platform.patch_years[:1])
    (failure,) = failures_of_run(platform.instance, result.run_id)
    patch = platform.patches[0]
    assert failure.reason == (
        f"{patch} {YEAR}: acquisition S2A: band B04 is missing. Choose other bands"
    )
    assert "Traceback" not in log(platform.instance, result.run_id)
