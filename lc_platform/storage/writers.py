"""The names of versions, and which of their writers are still at work."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath

from lc_platform.runtime.liveness import is_running

POINTER = ".pointer"


CURRENT = ".current"
"""How the name of a group of siblings in a folder ends."""


ZARR = ".zarr"


VERSION = "@"


VERSION_NAME = re.compile(rf"\.(.+){VERSION}.+-\d+-[0-9a-f]{{8}}(\.\w+)?")


def pointer(key: str) -> str:
    path = PurePosixPath(key)
    return str(path.with_name(f".{path.name}{POINTER}"))


def version_in(key: str) -> str | None:
    """The key of the version that a file belongs to, None where it belongs to none."""
    parts = PurePosixPath(key).parts
    for depth, part in enumerate(parts, 1):
        if VERSION_NAME.fullmatch(part):
            return "/".join(parts[:depth])
    return None


def key_of(version_key: str) -> str | None:
    """What a version is a version of, None where it is none."""
    path = PurePosixPath(version_key)
    match = VERSION_NAME.fullmatch(path.name)
    return str(path.with_name(match[1])) if match else None


_writing: set[str] = set()
"""The versions that this process is at."""


@contextlib.contextmanager
def writer() -> Iterator[str]:
    """A new version's name, which says who writes it."""
    version = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    _writing.add(version)
    try:
        yield version
    finally:
        _writing.discard(version)


def at_work(version: str) -> bool:
    """Whether the writer of a version may still be running; on other hosts, always."""
    host, _, rest = version.rpartition("-")[0].rpartition("-")
    if host != socket.gethostname() or not rest.isdecimal():
        return True
    if int(rest) == os.getpid():
        return version in _writing
    return is_running(int(rest))
