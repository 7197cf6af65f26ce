"""What the platform keeps its records, artefacts and queue in, as services to be started."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lc_platform_tests.infra.servers import Postgres, program
from lc_platform_tests.production.supervisor import Service
from lc_platform_tests.servers import seaweedfs

HERE = "127.0.0.1"


@contextmanager
def object_store(folder: Path, logs: Path) -> Iterator[Service]:
    """SeaweedFS with its bucket, as a service that is not started yet."""
    with seaweedfs(folder / "s3", "-ip.bind=0.0.0.0") as server:
        server.stop()
        yield Service(
            "object-store",
            server.command,
            {**os.environ, "ENDPOINT": server.endpoint},
            logs / "object-store.log",
            server._answers,
        )


def postgres(place: Path, logs: Path, port: int, host: str) -> Service:
    """Postgres with an empty cluster in a folder, as a service that is not started yet."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = program("initdb", "Debian's postgresql", also=[str(p) for p in installed[-1:]])
    programs = Path(found).resolve().parent
    own = Postgres(port, programs)
    user = "postgres" if os.geteuid() == 0 else None
    password = place / "password"
    password.write_text(own.password)
    if user:
        for path in (place, password):
            shutil.chown(path, user, user)
    subprocess.run(
        [str(programs / "initdb"), "-D", str(place / "data"), "-U", own.user,
         "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "--encoding=UTF8",
         "--locale=C"],
        user=user, group=user, extra_groups=[] if user else None,
        cwd=place, check=True, capture_output=True,
    )  # fmt: skip
    with (place / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all samenet scram-sha-256\n")
    command = [
        str(programs / "postgres"), "-D", str(place / "data"), "-p", str(port),
        "-c", f"listen_addresses={','.join({HERE, host})}",
        "-c", f"unix_socket_directories={place}", "-c", "max_connections=100",
    ]  # fmt: skip
    ready = [str(programs / "pg_isready"), "-q", "-h", HERE, "-p", str(port)]
    return Service(
        "postgres",
        command,
        os.environ,
        logs / "postgres.log",
        lambda: subprocess.run(ready, check=False).returncode == 0,
        place,
        user,
    )


def broker(folder: Path, logs: Path, port: int, host: str) -> Service:
    """Redis, which keeps what is queued on its disk as infra/cluster's settings have it."""
    data = folder / "redis"
    data.mkdir()
    command = [
        program("redis-server", "Debian's redis-server"), "--port", str(port),
        "--bind", *sorted({HERE, host}), "--requirepass", "secret", "--dir", str(data),
        "--appendonly", "yes",
    ]  # fmt: skip
    client = ["redis-cli", "-h", HERE, "-p", str(port), "-a", "secret", "ping"]
    return Service(
        "broker",
        command,
        os.environ,
        logs / "broker.log",
        lambda: b"PONG" in subprocess.run(client, capture_output=True, check=False).stdout,
    )
