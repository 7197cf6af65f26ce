"""Folders of files and folders that appear as one artefact, such as a catalog."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lc_platform.storage.store import Store

_AT_ONCE = 32
"""Files that are sent at the same time: an object store takes many as fast as one."""


@contextmanager
def tree(store: Store, key: str, main: str) -> Iterator[Path]:
    """A local folder to write into; what is in it becomes what ``key`` names when the block ends
    well.

    main  the file by which the others are found

    In a folder all of it changes in one step. In an object store files change one after the other,
    the main one last, and what is there no more is removed after it; those that are as before are
    not sent again. Raises StorageError where it cannot be written.
    """
    if store.local:
        with store.folder(key) as staging:
            yield Path(staging.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        with store.reaching(store.path(key)):
            _send(store, store.plain(key), Path(folder), main)


def size(folder: Path | str) -> int:
    """Return the bytes of the files in a folder and in those within it."""
    with os.scandir(folder) as entries:
        return sum(
            size(one.path) if one.is_dir(follow_symlinks=False) else one.stat().st_size
            for one in entries
        )


def _send(store: Store, base: str, folder: Path, main: str) -> None:
    written = {
        os.path.relpath(Path(at) / name, folder): Path(at) / name
        for at, _, names in os.walk(folder)
        for name in names
    }
    there = {
        str(path).removeprefix(f"{base}/"): str(about.get("ETag", "")).strip('"')
        for path, about in store.fs.find(base, detail=True).items()
    }

    def send(name: str) -> None:
        store.send(written[name], f"{base}/{name}")

    def differs(name: str) -> bool:
        # The tag of an object that came by one request is the MD5 of its bytes, where it is one.
        content = written[name].read_bytes()
        return there.get(name) != hashlib.md5(content, usedforsecurity=False).hexdigest()

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tree") as pool:
        list(pool.map(send, [name for name in written if name != main and differs(name)]))
        send(main)
        gone = [f"{base}/{name}" for name in there if name not in written]
        list(pool.map(store.remove_object, gone))
