"""The commands of infra/compose, together, on this machine: from the proxy to a finished run."""

from __future__ import annotations

import json
import os
import re
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
SERVICES = ("code-location", "webserver", "webserver-read-only", "daemon", "metrics", "map")
LAUNCH = """mutation Launch($job: String!, $assets: [AssetKeyInput!], $tags: [ExecutionTag!]) {
  launchRun(executionParams: {
      selector: {
        repositoryLocationName: "lc-platform", repositoryName: "__repository__",
        jobName: $job, assetSelection: $assets}
      executionMetadata: {tags: $tags}}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
STATUS = '{ runOrError(runId: "%s") { ... on Run { status } } }'
PARTITIONS = '{ assetNodeOrError(assetKey: {path: "%s"}) { ... on AssetNode { partitionKeys } } }'


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
        return re.sub("4000|3000|3002|9464", port, text)

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

    def ask(self, service: str, query: str, **variables: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[service]}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def metrics(self) -> list[str]:
        url = f"http://127.0.0.1:{self.ports['metrics']}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return str(answer.read(), "utf-8").splitlines()

    def errors_of(self, run: str) -> list[str]:
        """What a run wrote to standard error, as it is kept in the bucket."""
        s3 = servers.module("boto3", "dagster-aws").client(
            "s3", endpoint_url=self.variables["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        bucket = self.variables["LC_PLATFORM_BUCKET"]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="compute-logs/")["Contents"]
        keys = [o["Key"] for o in listed if run in o["Key"] and o["Key"].endswith(".err")]
        bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
        return [line for body in bodies for line in body.decode().splitlines()]

    def done(self, job: str, **asked: Any) -> str:
        """Launch a run and wait for it; returns its id."""
        launched = self.ask("webserver", LAUNCH, job=job, **asked)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run = str(launched["run"]["runId"])

        def status() -> str:
            found = self.ask("webserver-read-only", STATUS % run)["runOrError"]
            return str(found["status"])

        ended = ("SUCCESS", "FAILURE")
        servers.wait_until(lambda: status() in ended, "the run is over", seconds=180)
        assert status() == "SUCCESS"
        return run


@pytest.fixture(scope="module")
def stack(
    infra: Path,
    tmp_path_factory: pytest.TempPathFactory,
    postgres: servers.Postgres,
    object_store: dict[str, str],
) -> Iterator[Stack]:
    servers.module("dagster_postgres", "dagster-postgres")
    home = tmp_path_factory.mktemp("stack")
    services = yaml.safe_load((infra / "compose" / "compose.yaml").read_text())["services"]
    (home / "scratch").mkdir()
    shutil.copy(infra / "compose" / "dagster.yaml", home)
    ports = {name: servers.free_port() for name in SERVICES if name != "daemon"}
    workspace = yaml.safe_load((infra / "compose" / "workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"] |= {
        "host": "127.0.0.1",
        "port": ports["code-location"],
    }
    (home / "workspace.yaml").write_text(yaml.safe_dump(workspace), encoding="utf-8")
    settings = Area(1, 1, (2023,), 1).settings(
        storage=f"s3://{object_store['LC_PLATFORM_BUCKET']}/stack"
    )
    (home / FILE_NAME).write_text(yaml.safe_dump(settings), encoding="utf-8")
    path = [str(infra / "python"), str(Path(sys.executable).parent)]
    variables = {
        **postgres.create(f"test_{os.urandom(4).hex()}"),
        **object_store,
        "DAGSTER_HOME": str(home),
        "LC_PLATFORM_CONFIG": str(home / FILE_NAME),
        "LC_PLATFORM_SCRATCH": str(home / "scratch"),
        "LC_PLATFORM_ACQUISITIONS": "3",
        "PYTHONPATH": os.pathsep.join([path[0], *sys.path]),
        "PYTHONWARNINGS": "ignore",
        "PATH": os.pathsep.join([path[1], os.environ["PATH"]]),
    }
    prepared = Stack(services, home, variables, ports)
    done = prepared.run(prepared.command("prepare"))
    assert done.returncode == 0, done.stdout + done.stderr
    with ExitStack() as running:
        for service in SERVICES:
            command = prepared.command(service)
            running.enter_context(servers.started(command, environment=variables, folder=home))
            if port := ports.get(service):
                servers.wait_until(lambda port=port: servers.listens(port), service)  # type: ignore[misc]
        yield prepared


def test_the_full_web_ui_launches_and_the_read_only_one_refuses(stack: Stack) -> None:
    refused = stack.ask("webserver-read-only", LAUNCH, job="grid")["launchRun"]
    assert refused["__typename"] == "UnauthorizedError"
    stack.done("grid")
    for service in SERVICES:
        done = stack.run(stack.command(service, health=True))
        assert done.returncode == 0, f"{service}: {done.stderr}"
    gone = replace(stack, ports={"code-location": servers.free_port()})
    assert gone.run(gone.command("code-location", health=True)).returncode != 0


def test_the_map_believes_the_proxy_of_who_asks(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.ports['map']}/map/api/area"
    for user in ("ana", ""):
        request = urllib.request.Request(url, headers={"X-Forwarded-User": user})
        with urllib.request.urlopen(request, timeout=60) as answer:
            area = json.load(answer)
        assert (area["user"], area["may_judge"]) == (user or None, bool(user))


def test_a_run_writes_json_and_is_counted(stack: Stack) -> None:
    stack.done("grid")
    found = stack.ask("webserver", PARTITIONS % "raw_bands")["assetNodeOrError"]
    (partition,) = found["partitionKeys"]
    run = stack.done(
        "patch_year",
        assets=[{"path": ["raw_bands"]}],
        tags=[{"key": "dagster/partition", "value": partition}],
    )
    written = [json.loads(line) for line in stack.errors_of(run)]
    of_steps = [line for line in written if line["asset"]]
    patch, year = partition.split("|")
    subjects = {(line["run"], line["patch"], line["year"]) for line in of_steps}
    assert subjects == {(run, patch, int(year))}
    events = {line.get("event") for line in of_steps if line["asset"] == "raw_bands"}
    assert {"STEP_START", "ASSET_MATERIALIZATION", "STEP_SUCCESS"} <= events
    counted = {
        'lc_platform_partitions{asset="raw_bands",state="current",year="2023"} 1.0',
        'lc_platform_step_seconds_count{asset="raw_bands"} 1.0',
    }
    servers.wait_until(lambda: counted <= set(stack.metrics()), "it is counted", seconds=180)
