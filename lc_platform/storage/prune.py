"""What no artefact consists of any more, and its removal."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from lc_platform.storage import remote
from lc_platform.storage.staging import MARKS
from lc_platform.storage.store import Store
from lc_platform.storage.writers import (
    CURRENT,
    POINTER,
    VERSION,
    ZARR,
    at_work,
    key_of,
    pointer,
    version_in,
)

_MODIFIED = ("LastModified", "mtime", "last_modified", "created")
"""What the drivers call the time an object was last written."""


class Orphan(NamedTuple):
    """What no artefact consists of any more: a version that was replaced, or never finished."""

    key: str
    bytes: int
    """0 where the store does not tell."""


def prune(
    store: Store,
    older_than: timedelta,
    *,
    unfinished: timedelta | None = None,
    dry_run: bool = False,
) -> list[Orphan]:
    """Remove versions that no key stands for, where they, and what replaced them, are older
    than a time; of uploads that never ended too. Returns what was removed, or would be.

    What an object store holds by the layout before, where files lay in hidden versions, is laid
    out anew, and what is left of it is removed.

    unfinished  of versions with marks that nothing has replaced since: the next writer goes on
                from there. By default what the settings say

    What a writer is still at is younger than its last part; take a time that is longer than
    the writing of one part and the reading of one artefact take.

    Raises StorageError where the store is a file, or cannot be reached.
    """
    store.expect_folder()
    now = datetime.now(UTC)
    before = now - older_than
    if unfinished is None:
        unfinished = timedelta(days=store.settings.keep_unfinished)
    long_before = min(before, now - unfinished)
    sizes: dict[str, int] = {}
    latest: dict[str, datetime] = {}
    marked: set[str] = set()
    with store.reaching(str(store)):
        for key, size, modified in _listed(store):
            one = version_in(key) or key
            sizes[one] = sizes.get(one, 0) + size
            latest[one] = max(modified, latest.get(one, modified))
            if key.startswith(f"{one}/{MARKS}/"):
                marked.add(one)
        old = [] if store.local else [key for key in _old(sizes) if latest[pointer(key)] <= before]
        found = [Orphan(pointer(key), sizes[pointer(key)]) for key in old]
        for key in () if dry_run else old:
            _lay_out(store, key)
        for one, size in sorted(sizes.items()):
            if (of := key_of(one)) is None:
                continue
            replaced = latest.get(of if store.local else pointer(of))
            left = one in marked and (replaced is None or replaced < latest[one])
            since = latest[one] if replaced is None else max(latest[one], replaced)
            if since <= (long_before if left else before) and (of in old or not _used(store, one)):
                found.append(Orphan(one, size))
                if not dry_run and store.local:
                    store.discard(store.plain(one))
                elif not dry_run:
                    store.fs.rm(store.plain(one), recursive=True)
        if not store.local:
            found += _abandoned(store, before, dry_run)
    return found


def _old(keys: Iterable[str]) -> list[str]:
    """What the layout before pointed at, where now each file lies at its key."""
    names = [path for path in map(PurePosixPath, sorted(keys)) if path.name.endswith(POINTER)]
    found = [str(path.with_name(path.name[1:].removesuffix(POINTER))) for path in names]
    return [key for key in found if not key.endswith(ZARR)]


def _lay_out(store: Store, key: str) -> None:
    """Put the files of the layout before at their keys."""
    # Siblings lie there as it is.
    found = [] if key.endswith(CURRENT) else store.children(store.physical(key))
    if not found:
        store.remove_object(store.plain(pointer(key)))
        return
    with store.bundle(key, "") as staging:
        for one in found:
            with staging.file(PurePosixPath(one["name"]).name) as path:
                store.fs.get_file(one["name"], str(path))


def _used(store: Store, version_key: str) -> bool:
    """Whether a version is the current one, or its writer is at work here."""
    key = key_of(version_key)
    assert key is not None
    version = version_key.rpartition(VERSION)[2]
    own = version.removesuffix(PurePosixPath(key).suffix)
    here = own.startswith(f"{socket.gethostname()}-")
    return version == store.version_of(key) or (here and at_work(own))


def _listed(store: Store) -> Iterator[tuple[str, int, datetime]]:
    """All files, and in a folder all folders and links: (key, bytes, when last modified)."""
    root = store.base
    if not store.local:
        for info in _objects(store):
            found = next(info[name] for name in _MODIFIED if info.get(name) is not None)
            modified = datetime.fromtimestamp(found, UTC) if isinstance(found, float) else found
            yield str(info["name"]).removeprefix(f"{root}/"), int(info["size"]), modified
        return
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                about = path.lstat()
                size = 0 if name in folders else about.st_size
                modified = datetime.fromtimestamp(about.st_mtime, UTC)
                yield str(path.relative_to(root)), size, modified


def _objects(store: Store) -> Iterator[dict[str, Any]]:
    """What the driver tells of each object. Year by year: all at once would fill the memory."""
    for asset in store.children(store.base):
        if asset["type"] != "directory":
            yield asset
            continue
        for year in store.children(asset["name"]):
            if year["type"] != "directory":
                yield year
                continue
            found = store.fs.find(year["name"], detail=True).values()
            yield from (one for one in found if one["type"] != "directory")


def _abandoned(store: Store, before: datetime, dry_run: bool) -> list[Orphan]:
    root = store.base
    found = []
    for path, identifier, began in remote.abandoned_uploads(store.fs, root):
        if began <= before:
            found.append(Orphan(path.removeprefix(f"{root}/"), 0))
            if not dry_run:
                remote.abort_upload(store.fs, path, identifier)
    return found
