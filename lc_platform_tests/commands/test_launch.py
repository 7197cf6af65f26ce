"""What Dagster's UI shows of runs that the command line starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG, WILL_RETRY_TAG

from lc_platform.artefacts.layout import Partition
from lc_platform.assets.partitions import PATCH, quiet
from lc_platform.commands.launch import CODE_LOCATION, launch, workspace

PROJECT = Path(__file__).resolve().parents[2]
PATCHES = ("p0", "p1", "p2")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One that starts failed runs again."""
    settings = {"run_retries": {"enabled": True, "max_retries": 3}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=settings) as made:
        made.add_dynamic_partitions(PATCH, list(PATCHES))
        yield made


def job(fails: bool = False) -> dg.JobDefinition:
    """Two assets of patches."""
    patches = dg.DynamicPartitionsDefinition(name=PATCH)

    @dg.asset(partitions_def=patches)
    def first() -> None:
        if fails:
            raise ConnectionResetError

    @dg.asset(partitions_def=patches, deps=[first])
    def second() -> None:
        return

    with quiet():
        definitions = dg.Definitions(
            assets=[first, second],
            jobs=[dg.define_asset_job("both", [first, second])],
            executor=dg.in_process_executor,
        )
        return definitions.resolve_job_def("both")


def launched(instance: dg.DagsterInstance, *patches: str, **given: Any) -> dg.DagsterRun:
    run = launch(job(), [Partition(patch) for patch in patches], instance, {}, **given)
    assert run.success
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def test_a_run_belongs_to_the_code_location_that_the_ui_loads(instance: dg.DagsterInstance) -> None:
    run = launched(instance, *PATCHES)
    label = f"__repository__@{CODE_LOCATION}"
    # By these the timeline and the pages of jobs find it.
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.repository_origin.get_label() == label
    assert run.remote_job_origin.job_name == "both"
    wanted = dg.RunsFilter(job_name="both", tags={REPOSITORY_LABEL_TAG: label})
    assert [found.run_id for found in instance.get_runs(wanted)] == [run.run_id]


def test_every_ui_of_the_project_calls_the_location_alike(tmp_path: Path) -> None:
    files = [
        workspace(tmp_path),
        PROJECT / "workspace.yaml",
        *sorted((PROJECT / "infra").rglob("workspace.yaml")),
    ]
    assert len(files) > 2
    for file in files:
        (loaded,) = yaml.safe_load(file.read_text())["load_from"]
        (about,) = loaded.values()
        assert about["location_name"] == CODE_LOCATION, file


def test_a_run_of_several_patches_names_them_where_the_list_shows_it(
    instance: dg.DagsterInstance,
) -> None:
    run = launched(instance, *PATCHES)
    assert run.tags["dagster/asset_partition_range_start"] == "p0"
    assert run.tags["dagster/asset_partition_range_end"] == "p2"
    assert run.tags["patches"] == "p0 +2"
    made = instance.fetch_materializations(dg.AssetKey("second"), limit=9).records
    assert {record.partition_key for record in made} == set(PATCHES)


def test_a_run_of_one_patch_is_of_that_partition(instance: dg.DagsterInstance) -> None:
    run = launched(instance, "p1")
    assert run.tags["dagster/partition"] == "p1"
    assert "patches" not in run.tags


def test_some_of_a_job_s_assets_can_be_made_alone(instance: dg.DagsterInstance) -> None:
    launched(instance, "p0", "p1", assets=["second"])
    assert not instance.fetch_materializations(dg.AssetKey("first"), limit=9).records
    assert len(instance.fetch_materializations(dg.AssetKey("second"), limit=9).records) == 2


def test_the_daemon_leaves_failed_runs_to_the_command_that_launched_them(
    instance: dg.DagsterInstance,
) -> None:
    run = launch(job(fails=True), [Partition("p0")], instance, {})
    assert not run.success
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.tags[WILL_RETRY_TAG] == "false"
    assert any(event.is_step_failure for event in run.all_events)
