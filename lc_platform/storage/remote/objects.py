"""What an object store can do beyond a file system: tell an object's state with its bytes, and
keep beside it by which writing it came.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fsspec.asyn import _run_coros_in_chunks, sync
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from lc_platform.storage.remote import EMPTY, answer

WRITING = "lcplatformwriting"
"""Under this name an object's metadata keep which writing of an artefact it came by. Letters
alone, which all stores take as they are."""


class ObjectPart(NamedTuple):
    """What one answer of a store holds of an object: all of it is of one state."""

    content: bytes
    size: int
    """Of the whole object, in bytes."""
    state: str
    """Another one where the object was replaced by another content since."""
    writing: str | None
    """Which writing it came by; None where it is a file of its own, or another program's."""


class Objects:
    """The verbs that the file system of each provider adds to fsspec's."""

    def fetch(
        self, path: str, start: int = 0, end: int | None = None, *, origin: bool = False
    ) -> ObjectPart:
        """An object's bytes from ``start`` to ``end``, and its state, of one answer.

        start   below 0: so many bytes at the end, or all of fewer
        origin  whether the writing that it came by is needed, which takes some stores a request

        Raises FileNotFoundError, and what the driver raises.
        """
        return self.fetch_all([(path, start, end)], origin=origin)[0]

    def fetch_all(
        self, wanted: Iterable[tuple[str, int, int | None]], *, origin: bool = False
    ) -> list[ObjectPart]:
        """Several such parts, (path, start, end), asked for at the same time."""
        raise NotImplementedError

    def send(self, file: str, path: str, writing: str | None = None) -> None:
        """Put a local file at a path, in parts where it is large: it is there whole or not."""
        raise NotImplementedError


class AsyncObjects(Objects):
    """Of a driver that asks in an event loop."""

    loop: Any
    batch_size: int | None

    def fetch_all(
        self, wanted: Iterable[tuple[str, int, int | None]], *, origin: bool = False
    ) -> list[ObjectPart]:
        return sync(self.loop, self._fetch_all, list(wanted), origin)  # type: ignore[no-any-return]

    def send(self, file: str, path: str, writing: str | None = None) -> None:
        sync(self.loop, self._send, file, path, writing)

    async def _fetch_all(
        self, wanted: list[tuple[str, int, int | None]], origin: bool
    ) -> list[ObjectPart]:
        asked = [self._fetch_or_empty(*one, origin) for one in wanted]
        return list(await _run_coros_in_chunks(asked, batch_size=self.batch_size, nofiles=True))

    async def _fetch_or_empty(
        self, path: str, start: int, end: int | None, origin: bool
    ) -> ObjectPart:
        try:
            return await self._fetch(path, start, end, origin=origin)
        except Exception as error:
            if start or end is None or answer(error) not in EMPTY:
                raise
            return await self._fetch(path, origin=origin)  # an object that has no first byte

    async def _fetch(
        self, path: str, start: int = 0, end: int | None = None, *, origin: bool = False
    ) -> ObjectPart:
        raise NotImplementedError

    async def _send(self, file: str, path: str, writing: str | None) -> None:
        raise NotImplementedError


class MemoryObjects(Objects, MemoryFileSystem):  # type: ignore[misc]
    """The memory of this process, as an object store."""

    def fetch_all(
        self,
        wanted: Iterable[tuple[str, int, int | None]],
        *,
        origin: bool = False,  # noqa: ARG002 - it is known anyway
    ) -> list[ObjectPart]:
        found = []
        for path, start, end in wanted:
            file = self.store.get(self._strip_protocol(path))
            if file is None:
                raise FileNotFoundError(path)
            content = file.getvalue()
            state = hashlib.sha256(content).hexdigest()
            writing = getattr(file, WRITING, None)
            part = content[max(start, -len(content)) : end]
            found.append(ObjectPart(part, len(content), state, writing))
        return found

    def send(self, file: str, path: str, writing: str | None = None) -> None:
        made = MemoryFile(self, self._strip_protocol(path), Path(file).read_bytes())
        setattr(made, WRITING, writing)
        made.commit()


def whole(content_range: str | None, content: bytes) -> int:
    """The size of an object, of which an answer's ``Content-Range`` tells where it is a part."""
    return int(content_range.rpartition("/")[2]) if content_range else len(content)


def byte_range(start: int, end: int | None) -> str:
    """The header ``Range`` of such a part as `Objects.fetch` takes."""
    last = "" if end is None else end - 1
    return f"bytes={start}" if start < 0 else f"bytes={start}-{last}"


def content_type(path: str) -> str:
    """What a browser takes a file for."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"
