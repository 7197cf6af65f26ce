"""Artefacts that stay open, so that reading the next pixel does not open them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lc_platform.runtime.bounded_cache import BoundedCache
from lc_platform.storage.errors import UnavailableError
from lc_platform.storage.store import Store

_MOST = 64
"""Artefacts that stay open: they hold no pixels, and a few kilobytes of what they say of
themselves."""
_Opened = TypeVar("_Opened")
_Read = TypeVar("_Read")


def file_state(store: Store, key: str) -> object:
    """Return what differs where the file of a key was replaced, also where it lies at its key
    itself."""
    path = Path(store.physical(key))
    if store.local and path.is_file():
        now = path.stat()
        return str(path), now.st_ino, now.st_mtime_ns
    return store.state(key)


def of_one_version(read: Callable[[], _Read]) -> _Read:
    """Return what is read; once more where an artefact was replaced while it was."""
    try:
        return read()
    except UnavailableError:
        return read()


class OpenArtefacts:
    """Opened artefacts by their keys, each for as long as its key stands for the same version.

    Several threads may ask at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: BoundedCache[str, tuple[str, Any]] = BoundedCache(_MOST)

    def get(self, key: str, open_it: Callable[[], _Opened]) -> _Opened:
        """Return what is open of a key, or what ``open_it`` opens.

        Where the key is the place of the file itself, which does not tell its version, it is
        opened each time: so are rasters in an object store.
        """
        physical = self._store.physical(key)
        if physical == self._store.plain(key):
            return open_it()
        found = self._open.get(key)
        if found is not None and found[0] == physical:
            opened: _Opened = found[1]
            return opened
        opened = open_it()
        self._open.put(key, (physical, opened))
        return opened
