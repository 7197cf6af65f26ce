"""infra/cluster on a real Postgres, Redis, object store and Celery worker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from lc_platform_tests.infra import servers
from lc_platform_tests.infra.deployment import (
    Deployment,
    deploy,
    launch,
    monitor,
    status,
    workspace,
)

UNITS = ("code", "webserver", "webserver-read-only", "daemon", "metrics", "map", "worker")


@pytest.fixture
def deployment(
    infra: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    postgres: servers.Postgres,
    broker: str,
    object_store: dict[str, str],
) -> Deployment:
    servers.module("dagster_postgres", "dagster-postgres")
    servers.module("dagster_celery", "dagster-celery")
    variables = {**postgres.create(f"test_{os.urandom(4).hex()}"), **object_store}
    variables["LC_PLATFORM_BROKER"] = broker
    variables["LC_PLATFORM_SLOTS"] = "1"
    return deploy(infra / "cluster" / "dagster.yaml", tmp_path / "home", monkeypatch, variables)


def command_of(infra: Path, unit: str) -> list[str]:
    """The command of a systemd unit, with this environment's programs."""
    text = (infra / "cluster" / f"lc-platform-{unit}.service").read_text(encoding="utf-8")
    line = next(one for one in text.splitlines() if one.startswith("ExecStart="))
    path, *arguments = line.removeprefix("ExecStart=").split()
    given = [os.path.expandvars(a).replace("%%", "%") for a in arguments]
    return [sys.executable, "-m", Path(path).name, *given]


@contextmanager
def worker(infra: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker as the systemd unit starts it, by another name."""
    command = command_of(infra, "worker")
    command[command.index("--hostname") + 1] = f"{name}@%h"
    with servers.started(command) as process:
        yield process


def test_a_run_is_done_by_a_worker(deployment: Deployment, infra: Path) -> None:
    port = servers.free_port()
    with (
        deployment.code_server(port),
        deployment.instance() as instance,
        workspace(instance, port) as process,
        worker(infra, "one"),
    ):
        run = launch(process, "tiny", seconds="5")
        servers.wait_until(
            lambda: status(instance, run) is dg.DagsterRunStatus.STARTED, "the run has begun"
        )
        monitor(process)
        servers.wait_until(
            lambda: status(instance, run) is not dg.DagsterRunStatus.STARTED, "the run is over"
        )
        monitor(process)
        assert status(instance, run) is dg.DagsterRunStatus.SUCCESS
        assert instance.get_latest_materialization_event(dg.AssetKey("answer")) is not None


def test_a_run_whose_worker_was_killed_is_found_and_runs_on_another(
    deployment: Deployment, infra: Path
) -> None:
    port = servers.free_port()
    with (
        deployment.code_server(port),
        deployment.instance() as instance,
        workspace(instance, port) as process,
    ):
        with worker(infra, "one") as first:
            lost = launch(process, "tiny", seconds="300")
            servers.wait_until(
                lambda: status(instance, lost) is dg.DagsterRunStatus.STARTED, "the run has begun"
            )
            os.killpg(first.pid, signal.SIGKILL)
        # The same name again, as after a restart: it answers, but it does not have the run.
        with worker(infra, "one"):
            run = launch(process, "tiny")
            servers.wait_until(
                lambda: status(instance, run) is dg.DagsterRunStatus.SUCCESS, "a run is done"
            )
            monitor(process)
            assert status(instance, lost) is dg.DagsterRunStatus.FAILURE


def test_no_password_of_the_broker_lies_in_a_file(deployment: Deployment, infra: Path) -> None:
    with worker(infra, "one"), deployment.instance() as instance:
        launcher = instance.run_launcher
        servers.wait_until(
            lambda: bool(launcher.celery.control.inspect(timeout=1).ping()),  # type: ignore[attr-defined]
            "the worker answers",
        )
    texts = [f.read_bytes() for f in deployment.home.rglob("*") if f.is_file()]
    assert texts
    assert [t for t in texts if b"redis://" in t] == []


def test_systemd_understands_the_units(infra: Path, tmp_path: Path) -> None:
    analyze = servers.program("systemd-analyze", "Debian's systemd")
    for unit in UNITS:
        source = infra / "cluster" / f"lc-platform-{unit}.service"
        # The programs it names are not at their places here.
        text = source.read_text(encoding="utf-8").replace(
            "/opt/lc-platform/venv/bin/", "/bin/true "
        )
        (tmp_path / source.name).write_text(text, encoding="utf-8")
    files = [str(f) for f in sorted(tmp_path.glob("*.service"))]
    assert len(files) == len(UNITS)
    done = subprocess.run(
        [analyze, "verify", "--man=no", *files], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "lc-platform" in line]
    assert ours == []


def test_every_variable_that_is_read_is_in_the_example(infra: Path) -> None:
    example = (infra / "cluster" / "environment.example").read_text(encoding="utf-8")
    set_there = set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    read = set(re.findall(r"env: (\w+)", (infra / "cluster" / "dagster.yaml").read_text()))
    for unit in UNITS:
        text = (infra / "cluster" / f"lc-platform-{unit}.service").read_text()
        read |= set(re.findall(r"\$\{(\w+)\}", text))
        assert "EnvironmentFile=/etc/lc-platform/environment" in text
        assert "User=lc-platform" in text
    assert read <= set_there
