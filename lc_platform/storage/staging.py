"""A version of an artefact while it is written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lc_platform.storage.store import Store

PART = "part"
"""What siblings are called in their version, before the ending."""
MARKS = ".marks"
"""Folder in a version in the making. What a mark speaks of changes no more."""


class Staging:
    """A version being written."""

    def __init__(self, store: Store, path: str, here: bool = False) -> None:
        self.store = store
        self.path = path
        """In the store's file system; not visible to readers yet."""
        self.here = here or store.local
        """Whether the path is one of this machine, whatever the store is."""
        self.worth_keeping = False
        """Whether it stays, for the next writer to take parts over, where its writing fails."""
        self.marked = False
        """Whether it has marks, which go when it is there."""

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A local path to write the file ``name`` of this version to."""
        if self.here:
            yield Path(self.path) / name
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / name
            yield local
            self.store.send(local, f"{self.path}/{name}")

    def names(self) -> list[str]:
        if self.here:
            return sorted(path.name for path in Path(self.path).iterdir())
        listed = self.store.fs.ls(self.path, detail=False)
        return sorted(PurePosixPath(str(path)).name for path in listed)
