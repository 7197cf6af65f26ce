"""The platform as infra/ runs it: each of its services a real process, started again when it dies.

What a service is called, its command and what it is given come from infra/compose/compose.yaml, and
dagster.yaml is the one of infra/compose or infra/cluster; only addresses, folders and waiting times
are this machine's.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import celery  # type: ignore[import-untyped]
import dagster as dg
import yaml
from dagster._grpc.client import DagsterGrpcClient

from lc_platform import config as configuration
from lc_platform.config import Config
from lc_platform_tests.infra.servers import Postgres, program
from lc_platform_tests.production import backing
from lc_platform_tests.production.backing import HERE
from lc_platform_tests.production.graphql import GraphQL
from lc_platform_tests.production.supervisor import Service, Supervisor, supervising
from lc_platform_tests.servers import BUCKET, KEYS, free_ports

INFRA = Path(__file__).resolve().parents[2] / "infra"
SHORTER: Mapping[str, Any] = {
    "run_coordinator": {"config": {"user_code_failure_retry_delay": 5}},
    "run_monitoring": {
        "poll_interval_seconds": 5,
        "start_timeout_seconds": 150,
        "free_slots_after_run_end_seconds": 10,
    },
}
"""Waiting times of dagster.yaml that a test shortens; it changes nothing else."""
START_SECONDS = 120.0
_COMPOSE: Any = yaml.safe_load((INFRA / "compose" / "compose.yaml").read_text())["services"]
_WORKSPACE = "/opt/dagster/workspace.yaml"


@dataclass(frozen=True)
class Addresses:
    """Where a deployment's servers are found."""

    host: str
    code: int
    web: int
    postgres: int
    broker: int


@dataclass
class Deployment:
    """A running platform."""

    folder: Path
    variables: Mapping[str, str]
    addresses: Addresses
    supervisor: Supervisor
    graphql: GraphQL
    workers: list[str] = field(default_factory=list)
    """The names of its Celery workers."""

    @cached_property
    def config(self) -> Config:
        return configuration.load(self.variables["LC_PLATFORM_CONFIG"])

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's records, read past its servers."""
        with dg.DagsterInstance.from_config(self.variables["DAGSTER_HOME"]) as instance:
            yield instance

    def service(self, name: str) -> Service:
        return self.supervisor.services[name]

    @property
    def ready(self) -> bool:
        return all(service.ready() for service in self.supervisor.services.values())

    def tasks(self, workers: Sequence[str]) -> dict[str, int]:
        """The Celery tasks that workers are at, of those that answer: identifier -> process."""
        app = celery.Celery(broker=self.variables["LC_PLATFORM_BROKER"])
        names = [f"lc-platform@{worker}" for worker in workers]
        active = app.control.inspect(destination=names, timeout=2).active() or {}
        return {one["id"]: int(one["worker_pid"]) for tasks in active.values() for one in tasks}

    def run_tool(self, *command: str, seconds: float = START_SECONDS) -> str:
        """What a command prints that is run as one of the platform's processes."""
        done = subprocess.run(
            command,
            env=dict(self.variables),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def deployed(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    cluster: bool = False,
    host: str = HERE,
    changes: Mapping[str, Any] | None = None,
) -> Iterator[Deployment]:
    """A running platform of a configuration, without a patch grid yet.

    settings  of the configuration file; where it stores is added
    cluster   whether runs are tasks of Celery workers (infra/cluster), not processes of the code
              server (infra/compose); the workers are the caller's to start
    host      the address that its servers listen at
    changes   of dagster.yaml, over SHORTER
    """
    folder.mkdir(parents=True, exist_ok=True)
    logs = folder / "logs"
    logs.mkdir()
    with ExitStack() as stack:
        addresses = Addresses(host, *free_ports(4))
        variables = _variables(folder, addresses)
        _lay(folder, settings, "cluster" if cluster else "compose", addresses, changes or {})
        # Outside of the folder: the user postgres may not enter a temporary folder of root's.
        place = stack.enter_context(TemporaryDirectory(prefix="lc-platform-"))
        supervisor = stack.enter_context(supervising())
        s3 = stack.enter_context(backing.object_store(folder, logs))
        variables["AWS_ENDPOINT_URL_S3"] = s3.environment["ENDPOINT"].replace(HERE, host)
        _put_endpoint(folder, variables["AWS_ENDPOINT_URL_S3"])
        database = backing.postgres(Path(place), logs, addresses.postgres, host)
        servers = [s3, database]
        if cluster:
            servers.append(backing.broker(folder, logs, addresses.broker, host))
            variables["LC_PLATFORM_BROKER"] = f"redis://:secret@{host}:{addresses.broker}/0"
        supervisor.start(*servers, seconds=START_SECONDS)
        administrator = Postgres(addresses.postgres, Path(database.command[0]).parent)
        administrator.create(variables["LC_PLATFORM_POSTGRES_DATABASE"])
        stack.enter_context(_environment(variables))
        graphql = GraphQL(f"http://{host}:{addresses.web}/graphql")
        deployment = Deployment(folder, variables, addresses, supervisor, graphql)
        prepare = [word.replace("$$", "$") for word in _COMPOSE["prepare"]["command"]]
        deployment.run_tool(*prepare)
        _start_dagster(deployment, logs)
        yield deployment


def _start_dagster(deployment: Deployment, logs: Path) -> None:
    """The code location, and then what reads it."""
    at, home = deployment.addresses, Path(deployment.variables["DAGSTER_HOME"])
    ports = {"code-location": ("4000", at.code), "webserver": ("3000", at.web)}

    def service(name: str, ready: Any) -> Service:
        given, (usual, port) = _COMPOSE[name], ports.get(name, ("", 0))
        ours = {
            "0.0.0.0": at.host,
            usual: str(port),
            _WORKSPACE: str(home / "workspace.yaml"),
        }
        command = [ours.get(word, word) for word in given["command"]]
        literal = {n: v for n, v in given["environment"].items() if "$" not in v}
        environment = {**literal, **deployment.variables}
        log = logs / f"{name}.log"
        return Service(name, command, environment, log, ready, deployment.folder)

    code = service("code-location", lambda: _serves_grpc(at.host, at.code))
    deployment.supervisor.start(code, seconds=START_SECONDS)
    daemon: Service = service(
        "daemon", lambda: deployment.graphql.daemons_beat_since(daemon.started_at)
    )
    web = service("webserver", deployment.graphql.answers)
    deployment.supervisor.start(web, daemon, seconds=START_SECONDS)


def start_worker(
    deployment: Deployment, name: str, *, slots: int = 1, prefix: Sequence[str] = ()
) -> Service:
    """Start a Celery worker as infra/cluster's systemd unit does.

    prefix  what its command is run by, to have it in a network namespace
    """
    unit = (INFRA / "cluster" / "lc-platform-worker.service").read_text()
    (line,) = (text for text in unit.splitlines() if text.startswith("ExecStart="))
    words = line.removeprefix("ExecStart=").replace("${LC_PLATFORM_SLOTS}", str(slots)).split()
    command = [w.replace("%%h", name) for w in words[1:]]
    log = deployment.folder / "logs" / f"{name}.log"
    service = Service(
        name,
        [*prefix, program("celery", "celery of PyPI"), *command],
        deployment.variables,
        log,
        lambda: log.exists() and b" ready." in log.read_bytes(),
        deployment.folder,
    )
    deployment.supervisor.start(service, seconds=START_SECONDS)
    deployment.workers.append(name)
    return service


def _variables(folder: Path, addresses: Addresses) -> dict[str, str]:
    """What all processes of the platform are given, as the containers and units have it."""
    own = Postgres(addresses.postgres, Path())
    access, secret = KEYS["owner"]
    scratch = folder / "scratch"
    scratch.mkdir()
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return {
        **{n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"},
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": os.pathsep.join([str(INFRA / "python"), str(INFRA.parent)]),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(scratch),
        "DAGSTER_HOME": str(folder / "dagster"),
        "LC_PLATFORM_CONFIG": str(folder / configuration.FILE_NAME),
        "LC_PLATFORM_SCRATCH": str(scratch),
        "LC_PLATFORM_ACQUISITIONS": "4",
        "LC_PLATFORM_POSTGRES_HOST": addresses.host,
        "LC_PLATFORM_POSTGRES_PORT": str(addresses.postgres),
        "LC_PLATFORM_POSTGRES_USER": own.user,
        "LC_PLATFORM_POSTGRES_PASSWORD": own.password,
        "LC_PLATFORM_POSTGRES_DATABASE": "dagster",
        "LC_PLATFORM_BUCKET": BUCKET,
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _lay(
    folder: Path,
    settings: Mapping[str, Any],
    kind: str,
    addresses: Addresses,
    changes: Mapping[str, Any],
) -> None:
    """DAGSTER_HOME and the configuration file."""
    home = folder / "dagster"
    home.mkdir()
    instance = yaml.safe_load((INFRA / kind / "dagster.yaml").read_text())
    shorter = {name: waits for name, waits in SHORTER.items() if name in instance}
    (home / "dagster.yaml").write_text(yaml.safe_dump(_over(_over(instance, shorter), changes)))
    workspace = yaml.safe_load((INFRA / "compose" / "workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"] |= {"host": addresses.host, "port": addresses.code}
    (home / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    stored = {**settings, "storage": f"s3://{BUCKET}/maps"}
    (folder / configuration.FILE_NAME).write_text(yaml.safe_dump(stored))


def _put_endpoint(folder: Path, endpoint: str) -> None:
    path = folder / configuration.FILE_NAME
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**settings, "object_store": {"endpoint": endpoint}}))


def _over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with changes, however deep."""
    result = dict(base)
    for name, value in changes.items():
        inner = isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
        result[name] = _over(base[name], value) if inner else value
    return result


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have this process see the platform's variables, to read its records and its store."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serves_grpc(host: str, port: int) -> bool:
    with socket.socket() as asking:
        asking.settimeout(1)
        if asking.connect_ex((host, port)):
            return False  # the client would print that at length
    status: str = DagsterGrpcClient(host=host, port=port).health_check_query()  # type: ignore[no-untyped-call]
    return status == "SERVING"
