"""A Dagster deployment of one dagster.yaml of infra/, with real servers behind it."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from lc_platform_tests.infra import servers

LOCATION = "tiny"
MODULE = "lc_platform_tests.infra.tiny"


@dataclass(frozen=True)
class Deployment:
    """An instance and the variables that its dagster.yaml reads."""

    home: Path
    variables: Mapping[str, str]

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            yield instance

    @contextmanager
    def code_server(self, port: int) -> Iterator[int]:
        """A code server that listens at a port; gives the id of its process."""
        command = [
            sys.executable, "-m", "dagster", "api", "grpc", "--host", "127.0.0.1",
            "--port", str(port), "--module-name", MODULE, "--location-name", LOCATION,
        ]  # fmt: skip
        with servers.started(command) as process:
            servers.wait_until(lambda: servers.listens(port), "the code server listens")
            yield process.pid


def deploy(
    source: Path, home: Path, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]
) -> Deployment:
    """Lay a dagster.yaml into a DAGSTER_HOME, and set what it reads from the environment."""
    scratch = home / "scratch"
    scratch.mkdir(parents=True)
    shutil.copy(source, home / "dagster.yaml")
    variables = {
        **variables,
        "DAGSTER_HOME": str(home),
        "LC_PLATFORM_SCRATCH": str(scratch),
        "PYTHONPATH": os.pathsep.join([str(source.parents[1] / "python"), *sys.path]),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(source.parents[1] / "python"))
    return Deployment(home, variables)


@contextmanager
def workspace(instance: dg.DagsterInstance, port: int) -> Iterator[WorkspaceProcessContext]:
    target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name=LOCATION)
    with WorkspaceProcessContext(instance, target) as process:
        yield process


def launch(process: WorkspaceProcessContext, job: str, **tags: str) -> str:
    """Launch a job as the daemon does when it takes a run from the queue; returns the run's id."""
    context = process.create_request_context()
    repository = next(iter(context.get_code_location(LOCATION).get_repositories().values()))
    remote = repository.get_full_job(job)
    run = process.instance.create_run(
        job_name=job,
        run_id=None,
        run_config=None,
        resolved_op_selection=None,
        step_keys_to_execute=None,
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags=tags,
        root_run_id=None,
        parent_run_id=None,
        job_snapshot=remote.job_snapshot,
        execution_plan_snapshot=None,
        parent_job_snapshot=remote.parent_job_snapshot,
        remote_job_origin=remote.get_remote_origin(),
        job_code_origin=remote.get_python_origin(),
        op_selection=None,
        asset_selection=None,
        asset_check_selection=None,
        asset_graph=repository.asset_graph,
    )
    process.instance.launch_run(run.run_id, context)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def finished(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def monitor(process: WorkspaceProcessContext) -> None:
    """Look after the runs once, as the daemon does every minute."""
    errors = [e for e in execute_run_monitoring_iteration(process, logging.getLogger("test")) if e]
    assert not errors, errors
