"""Runs of a job within this process, which Dagster's UI shows as it shows its own.

`dg.JobDefinition.execute_in_process` creates a run that belongs to no code location: the UI's
timeline and the pages of the jobs leave it out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from lc_platform.artefacts.layout import Partition
from lc_platform.assets import partitions
from lc_platform.assets.dagster_internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    MAX_RETRIES_TAG,
    SINGLETON_REPOSITORY_NAME,
    InMemoryJob,
    LoadableTargetOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    execute_run_iterator,
)

MODULE = "lc_platform.definitions"
CODE_LOCATION = "lc-platform"
"""The name of the code location, however Dagster's UI is started."""
PATCHES_TAG, YEAR_TAG = "patches", "year"
"""Tags of runs over several patches for the UI's list, which hides Dagster's own of a range."""
_WORKSPACE = f"""\
load_from:
  - python_module:
      module_name: {MODULE}
      location_name: {CODE_LOCATION}
"""


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    run_id: str
    success: bool
    all_events: Sequence[dg.DagsterEvent]


def workspace(home: Path) -> Path:
    """Return the workspace file in Dagster's home, which is written if there is none."""
    path = home / "workspace.yaml"
    if not path.exists():
        path.write_text(_WORKSPACE, encoding="utf-8")
    return path


def launch(
    job: dg.JobDefinition,
    wanted: Sequence[Partition],
    instance: dg.DagsterInstance,
    run_config: Mapping[str, Any],
    assets: Sequence[str] = (),
) -> Run:
    """Run a job, or some of its assets, on one partition or several consecutive ones.

    Dagster's daemon does not start a failed run again: the caller handles failures.
    """
    selection = frozenset(dg.AssetKey(asset) for asset in assets) or None
    run = instance.create_run_for_job(
        job_def=job.get_subset(asset_selection=selection) if selection else job,
        run_config=run_config,
        tags={
            **job.run_tags,
            **_partition_tags(job, wanted, selection),
            MAX_RETRIES_TAG: "0",
        },
        asset_selection=selection,
        remote_job_origin=_origin(job.name),
    )
    events = list(execute_run_iterator(InMemoryJob(job), run, instance))
    ended = instance.get_run_by_id(run.run_id)
    return Run(run.run_id, ended is not None and ended.is_success, events)


def _partition_tags(
    job: dg.JobDefinition, wanted: Sequence[Partition], selection: frozenset[dg.AssetKey] | None
) -> Mapping[str, str]:
    first, last = (partitions.partition_key(one) for one in (wanted[0], wanted[-1]))
    if first is None or last is None:
        return {}
    if len(wanted) == 1:
        return job.get_tags_for_partition_key(str(first), selected_asset_keys=selection)
    tags = {
        ASSET_PARTITION_RANGE_START_TAG: str(first),
        ASSET_PARTITION_RANGE_END_TAG: str(last),
        PATCHES_TAG: f"{wanted[0].patch} +{len(wanted) - 1}",
    }
    return tags | ({YEAR_TAG: str(wanted[0].year)} if wanted[0].year else {})


def _origin(job: str) -> RemoteJobOrigin:
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name=CODE_LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), job)
