"""The files of a folder of the store, with their sizes and times, by one listing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from lc_platform.storage.store import Store
from lc_platform.storage.writers import POINTER, VERSION, ZARR, pointer

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
"""What the drivers call the time of an object in a listing."""


class ListedFile(NamedTuple):
    """What a listing tells of a file."""

    size: int
    """Bytes."""
    modified: datetime | None
    """UTC; None where the listing does not tell it."""


def files(store: Store, folder: str) -> Mapping[str, ListedFile]:
    """Return the visible files of a folder by their names, sorted; none where there is no folder.

    Raises UnavailableError where the store cannot be reached.
    """
    found = _in_folder if store.local else _in_object_store
    with store.reaching(store.path(folder)):
        return dict(sorted(found(store, folder)))


def _in_folder(store: Store, folder: str) -> Iterator[tuple[str, ListedFile]]:
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        os.scandir(store.plain(folder)) as entries,
    ):
        for entry in entries:
            if entry.name.startswith("."):
                continue
            with contextlib.suppress(FileNotFoundError):  # a link whose version is gone
                if entry.is_file():
                    about = entry.stat()
                    when = datetime.fromtimestamp(about.st_mtime, UTC)
                    yield entry.name, ListedFile(about.st_size, when)


def _in_object_store(store: Store, folder: str) -> Iterator[tuple[str, ListedFile]]:
    for one in store.children(store.plain(folder)):
        name = PurePosixPath(str(one["name"])).name
        if one["type"] == "file" and not name.startswith("."):
            yield name, ListedFile(int(one["size"]), _modified(one))


def _modified(about: Mapping[str, Any]) -> datetime | None:
    found = next((about[name] for name in _TIMES if about.get(name) is not None), None)
    if isinstance(found, str):
        with contextlib.suppress(ValueError):
            found = datetime.fromisoformat(found)
    if isinstance(found, int | float):
        found = datetime.fromtimestamp(found, UTC)
    return found.astimezone(UTC) if isinstance(found, datetime) else None


def cubes(store: Store, folder: str) -> Mapping[str, str]:
    """Return the Zarr stores of a folder: by the name of each, where other programs open it, a path
    relative to the folder. In an object store that is the version that counts now.

    Raises UnavailableError where the store cannot be reached.
    """
    if store.local:
        return {name: name for name in store.names(folder) if name.endswith(ZARR)}
    with store.reaching(store.path(folder)):
        listed = {
            PurePosixPath(str(one["name"])).name for one in store.children(store.plain(folder))
        }
        names = [n.removeprefix(".").removesuffix(POINTER) for n in listed if n.endswith(POINTER)]
        versions: dict[str, list[str]] = {}
        for name in listed:
            of, found, version = name.removeprefix(".").partition(VERSION)
            if found:
                versions.setdefault(of, []).append(version)
        # Of a cube that has one version no pointer need be read.
        unsure = [name for name in names if len(versions.get(name, ())) != 1]
        paths = [(store.plain(pointer(f"{folder}/{name}")), 0, None) for name in unsure]
        named = dict(zip(unsure, store.fs.fetch_all(paths), strict=True)) if unsure else {}
    current = {
        name: named[name].content.decode() if name in named else versions[name][0] for name in names
    }
    return {name: f".{name}{VERSION}{version}" for name, version in sorted(current.items())}
