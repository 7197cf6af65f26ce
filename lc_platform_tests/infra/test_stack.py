"""The commands of infra/compose, together, on this machine: from the proxy to a finished run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lc_platform.config import FILE_NAME
from lc_platform_tests.infra import servers
from lc_platform_tests.production.areas import Area

HOME = "/opt/dagster"
LAUNCH = """mutation {
  launchRun(executionParams: {selector: {
      repositoryLocationName: "lc_platform", repositoryName: "__repository__", jobName: "grid"}}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
STATUS = '{ runOrError(runId: "%s") { ... on Run { status } } }'


@dataclass(frozen=True)
class Stack:
    """Compose's services as processes of this machine, each at a port of its own."""

    services: Mapping[str, Any]
    home: Path
    variables: Mapping[str, str]
    ports: Mapping[str, int]

    def local(self, text: str, service: str) -> str:
        """Text of the compose file with this machine's addresses and folders."""
        port = str(self.ports.get(service, ""))
        for there, here in ((HOME, str(self.home)), ("0.0.0.0", "127.0.0.1"), ("$$", "$")):
            text = text.replace(there, here)
        return text.replace("4000", port).replace("3000", port)

    def command(self, service: str, *, health: bool = False) -> list[str]:
        found = self.services[service]
        given = found["healthcheck"]["test"][1:] if health else found["command"]
        return [self.local(one, service) for one in given]

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env={**os.environ, **self.variables},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, service: str, query: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[service]}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]


@pytest.fixture
def stack(
    infra: Path, tmp_path: Path, postgres: servers.Postgres, object_store: dict[str, str]
) -> Iterator[Stack]:
    servers.module("dagster_postgres", "dagster-postgres")
    services = yaml.safe_load((infra / "compose" / "compose.yaml").read_text())["services"]
    (tmp_path / "scratch").mkdir()
    shutil.copy(infra / "compose" / "dagster.yaml", tmp_path)
    ports = {
        name: servers.free_port() for name in ("code-location", "webserver", "webserver-read-only")
    }
    workspace = yaml.safe_load((infra / "compose" / "workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"] |= {
        "host": "127.0.0.1",
        "port": ports["code-location"],
    }
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump(workspace), encoding="utf-8")
    settings = Area(1, 1, (2023,), 1).settings(
        storage=f"s3://{object_store['LC_PLATFORM_BUCKET']}/stack"
    )
    (tmp_path / FILE_NAME).write_text(yaml.safe_dump(settings), encoding="utf-8")
    path = [str(infra / "python"), str(Path(sys.executable).parent)]
    variables = {
        **postgres.create(f"test_{os.urandom(4).hex()}"),
        **object_store,
        "DAGSTER_HOME": str(tmp_path),
        "LC_PLATFORM_CONFIG": str(tmp_path / FILE_NAME),
        "LC_PLATFORM_SCRATCH": str(tmp_path / "scratch"),
        "LC_PLATFORM_ACQUISITIONS": "3",
        "PYTHONPATH": os.pathsep.join([path[0], *sys.path]),
        "PYTHONWARNINGS": "ignore",
        "PATH": os.pathsep.join([path[1], os.environ["PATH"]]),
    }
    prepared = Stack(services, tmp_path, variables, ports)
    done = prepared.run(prepared.command("prepare"))
    assert done.returncode == 0, done.stdout + done.stderr
    with ExitStack() as running:
        for service in ("code-location", "webserver", "webserver-read-only", "daemon"):
            command = prepared.command(service)
            running.enter_context(servers.started(command, environment=variables, folder=tmp_path))
            if port := ports.get(service):
                servers.wait_until(lambda port=port: servers.listens(port), service)  # type: ignore[misc]
        yield prepared


def test_the_full_web_ui_launches_and_the_read_only_one_refuses(stack: Stack) -> None:
    refused = stack.ask("webserver-read-only", LAUNCH)["launchRun"]
    assert refused["__typename"] == "UnauthorizedError"
    launched = stack.ask("webserver", LAUNCH)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched

    def status() -> str:
        run = launched["run"]["runId"]
        found = stack.ask("webserver-read-only", STATUS % run)["runOrError"]
        return str(found["status"])

    servers.wait_until(lambda: status() in ("SUCCESS", "FAILURE"), "the run is over", seconds=180)
    assert status() == "SUCCESS"
    for service in ("code-location", "webserver", "webserver-read-only", "daemon"):
        done = stack.run(stack.command(service, health=True))
        assert done.returncode == 0, f"{service}: {done.stderr}"
    gone = replace(stack, ports={"code-location": servers.free_port()})
    assert gone.run(gone.command("code-location", health=True)).returncode != 0
