"""What Dagster's UI is told of checks: partition by partition, however many a run is of."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from lc_platform.artefacts.layout import dimensions, key
from lc_platform.assets import partitions
from lc_platform.assets.partitions import PATCH
from lc_platform.sources import open_source
from lc_platform_tests.graphs import YEAR, Blind, Platform, configured, why

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def acquired(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The imagery of three patches, made in one run."""
    platform = Platform(configured(tmp_path_factory.mktemp("checks"), columns=3, rows=1))
    assert platform.launch("grid").success
    result = launched(platform, platform.patch_years)
    assert result.success, why(result)
    return platform


def launched(platform: Platform, partitions: Sequence[str]) -> dg.ExecuteInProcessResult:
    return platform.launch("patch_year", partitions, ["raw_bands"])


@pytest.fixture
def copied(acquired: Platform, tmp_path: Path) -> Platform:
    """The same in a store of its own, with a history of its own."""
    shutil.copytree(acquired.config.storage_url, tmp_path / "data", symlinks=True)
    platform = Platform(configured(tmp_path, columns=3, rows=1))
    platform.instance.add_dynamic_partitions(PATCH, acquired.patches)
    return platform


def shown(platform: Platform, asset: str, check: str) -> dict[str, set[str]]:
    """How the UI counts the partitions of a check: (passed, failed, skipped, ...) -> which."""
    of = dg.AssetCheckKey(dg.AssetKey(asset), check)
    definition = partitions.definition(dimensions(asset), [YEAR])
    with partition_loading_context(dynamic_partitions_store=platform.instance):
        state = platform.instance.event_log_storage.get_asset_check_state([(of, definition)])[of]
        found = {
            status.value: set(subset.subset_value.get_partition_keys())
            for status, subset in state.subsets.items()
        }
    return {status: which for status, which in found.items() if which}


def test_a_run_over_several_partitions_shows_each_as_passed(acquired: Platform) -> None:
    assert shown(acquired, "raw_bands", "acquisition_with_data") == {
        "SUCCEEDED": set(acquired.patch_years)
    }


def test_a_run_that_changes_nothing_shows_each_as_passed(copied: Platform) -> None:
    result = launched(copied, copied.patch_years)
    assert result.success, why(result)
    assert shown(copied, "raw_bands", "acquisition_with_data") == {
        "SUCCEEDED": set(copied.patch_years)
    }


def test_runs_of_one_partition_each_show_each_as_passed(copied: Platform) -> None:
    for one in copied.patch_years[:2]:
        assert launched(copied, [one]).success
    assert shown(copied, "raw_bands", "acquisition_with_data") == {
        "SUCCEEDED": set(copied.patch_years[:2])
    }


def test_a_patch_that_fails_its_check_is_shown_alone(copied: Platform) -> None:
    blind = copied.patches[1]
    resource = copied.definitions.resources["platform"]  # type: ignore[index]
    resource.store.remove(key("raw_bands", blind, YEAR))
    box = copied.opened("patch_grid")[blind].geobox
    resource.source = Blind(open_source(copied.config), box)
    result = launched(copied, copied.patch_years)
    assert not result.success
    named = copied.patch_years[1]
    assert shown(copied, "raw_bands", "acquisition_with_data") == {
        "SUCCEEDED": set(copied.patch_years) - {named},
        "FAILED": {named},
    }
    (failed,) = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert failed.partition == named
    assert failed.description == (
        f"patch {blind}, {YEAR}: no acquisition has data on the patch. Check the archive's "
        "footprints, and the area (aoi)"
    )


def test_each_check_looks_at_its_own_partition_s_materialization(copied: Platform) -> None:
    launched(copied, copied.patch_years)
    result = launched(copied, copied.patch_years[1:3])
    made = {
        str(record.partition_key): record.storage_id
        for record in copied.instance.fetch_materializations(
            dg.AssetKey("raw_bands"), limit=2
        ).records
    }
    targets = {
        str(e.partition): e.target_materialization_data and e.target_materialization_data.storage_id
        for e in result.get_asset_check_evaluations()
    }
    assert targets == made
    assert set(made) == set(copied.patch_years[1:3])
