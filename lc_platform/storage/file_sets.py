"""The files of one artefact in an object store, each at its key, where other programs open it.

No object store replaces several objects in one step. So each file carries the writing that it came
by: who reads several of them sees whether they belong together, and reads again where they do not.
The main file is put last. A writer that is killed between two files leaves some of each writing,
and no record (see `lc_platform.artefacts.records`), so that the artefact is made again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lc_platform.storage.errors import DamagedArtefactError, UnavailableError, was_replaced
from lc_platform.storage.remote.http import pause

if TYPE_CHECKING:
    from lc_platform.storage.store import Store

_ATTEMPTS = 10
_PAUSE = 0.25
_STATES = ("generation", "ETag", "etag", "created")
"""What the drivers call the state of an object in a listing."""

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class FileSet:
    """The files of an artefact in a folder of their own, or side by side."""

    store: Store
    key: str
    base: str
    """What the paths of all its files begin with; where it ends with a slash, all there is."""

    def path(self, name: str) -> str:
        """Where a file lies, by its name while it is written."""
        return self.base + (name if self.base.endswith("/") else ending(name))

    def states(self) -> dict[str, str]:
        """The state of each file that is there, by its path: by one listing."""
        folder, _, name = self.base.rpartition("/")
        start = self.base + ("." if name else "")
        if name:
            try:
                about = self.store.fs.find(folder, maxdepth=1, prefix=f"{name}.", detail=True)
            except FileNotFoundError:
                return {}
        else:
            about = {str(one["name"]): one for one in self.store.children(folder)}
        return {
            path: next((str(one[key]) for key in _STATES if one.get(key) is not None), "")
            for path, one in about.items()
            if one["type"] == "file" and path.startswith(start) and "/" not in path[len(start) :]
        }

    def write(self, files: Mapping[str, Path], main: str, writing: str) -> None:
        """Put files at their places, the main one last, and take away those that were there and
        are no more.

        Raises UnavailableError where other writers come between again and again.
        """
        order = sorted(files, key=lambda name: name == main)
        for attempt in range(_ATTEMPTS):
            for name in order:
                self.store.fs.send(str(files[name]), self.path(name), writing)
            paths = [self.path(name) for name in order]
            others = sorted(set(self.states()).difference(paths))
            # What somebody else has laid there, such as a style, came by no writing.
            self._remove(path for path in others if self._writings([path]) != {None})
            if self._writings(paths) == {writing}:
                return
            time.sleep(pause(attempt, random.random()))
        raise UnavailableError(
            f"{self.store.path(self.key)}: other processes write it at the same time. Run again"
        )

    def remove(self) -> None:
        """Take away the files of the artefact, and no other program's."""
        self._remove(path for path in sorted(self.states()) if self._writings([path]) != {None})

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.store.remove_object(path)

    def _writings(self, paths: Sequence[str]) -> set[str | None]:
        """Which writings files came by; nothing of those where one is missing."""
        try:
            found = self.store.fs.fetch_all([(path, 0, 1) for path in paths], origin=True)
        except FileNotFoundError:
            return set()
        return {one.writing for one in found}

    def read(self, names: Sequence[str]) -> list[bytes]:
        """All of some files, of one writing.

        Raises FileNotFoundError where one is missing, DamagedArtefactError where they do not
        belong together, and stay so.
        """

        def read() -> tuple[list[bytes], list[str | None]]:
            wanted = [(self.path(name), 0, None) for name in names]
            found = self.store.fs.fetch_all(wanted, origin=True)
            return [one.content for one in found], [one.writing for one in found]

        return of_one_writing(self.store, self.key, read)


def ending(name: str) -> str:
    """Of a file's name, from its first dot on."""
    return name[name.index(".") :]


def content_and_writing(store: Store, key: str) -> tuple[bytes | None, str | None]:
    """All of a file, None where there is none; and which writing it came by, where that is told."""
    path = store.plain(key)
    try:
        with store.reaching(store.path(key)):
            if store.local:
                return store.content(path), None
            found = store.fs.fetch(path, origin=True)
    except FileNotFoundError:
        return None, None
    return found.content, found.writing


def of_one_writing(
    store: Store, key: str, read: Callable[[], tuple[_Read, Iterable[str | None]]]
) -> _Read:
    """What ``read`` gives of an artefact's files, which says of which writings it is: of one.

    While they differ the artefact is being written, and is read again. Raises DamagedArtefactError
    where they still do after the store's patience.
    """
    until = time.monotonic() + store.patience
    while True:
        over = time.monotonic() > until
        try:
            value, writings = read()
        except Exception as error:
            if over or not was_replaced(error):
                raise
        else:
            if len(set(writings)) <= 1:
                return value
            if over:
                raise DamagedArtefactError(
                    f"{store.path(key)}: its files do not belong together, as the writing of some "
                    "of them did not end. Materialize it again",
                    key,
                )
        time.sleep(_PAUSE)
