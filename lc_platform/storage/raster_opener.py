"""Files that are read by ranges of bytes, as rasterio and GDAL open them."""

from __future__ import annotations

import bisect
import uuid
from typing import Any, Protocol

from fsspec.utils import merge_offset_ranges
from rasterio.abc import MultiByteRangeResourceContainer

from lc_platform.storage import remote
from lc_platform.storage.errors import ReplacedError
from lc_platform.storage.remote.objects import ObjectPart, Objects

_HEAD = 2**14
"""Bytes from the beginning that are kept: a COG's directory, which each opening of it reads."""
_GAP = 2**15
"""Bytes between two ranges that are rather read than asked for apart."""


class RangedFile(Protocol):
    """A file that is read by ranges of bytes."""

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int:
        """The file's size."""
        ...

    def read(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of ranges, (start, stop)."""
        ...


class ByteRanges:
    """One object, in the state that it has now; several threads may read it at once."""

    def __init__(self, fs: Objects, path: str) -> None:
        """Raises FileNotFoundError where there is no such object."""
        self.fs, self.path = fs, path
        head = fs.fetch(path, 0, _HEAD)
        self.size, self.head, self.state = head.size, head.content, head.state

    def writing(self) -> str | None:
        """Which writing it came by. Raises ReplacedError where it was replaced meanwhile."""
        return self._same(self.fs.fetch(self.path, 0, 1, origin=True)).writing

    def read(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges, (start, stop), asked for at the same time.

        Raises ReplacedError where another object is there meanwhile, OSError where an answer is too
        short, and what the driver raises.
        """
        ranges = [(start, max(start, min(stop, self.size))) for start, stop in ranges]
        beyond = [one for one in ranges if one[1] > max(len(self.head), one[0])]
        fetched = self._fetched(beyond) if beyond else {}
        return [fetched.get(one, self.head[slice(*one)]) for one in ranges]

    def _fetched(self, ranges: list[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Ranges and their bytes; those that are near each other come in one request."""
        first, last = ([one[side] for one in ranges] for side in (0, 1))
        path = [self.path] * len(ranges)
        paths, starts, stops = merge_offset_ranges(path, first, last, max_gap=_GAP)
        asked = self._asked(list(zip(paths, starts, stops, strict=True)))
        contents = [self._same(one).content for one in asked]
        for start, stop, content in zip(starts, stops, contents, strict=True):
            if len(content) < stop - start:
                raise OSError(f"{self.path} ends at {start + len(content)} of {self.size} bytes")
        found = {}
        for start, stop in ranges:
            at = bisect.bisect_right(starts, start) - 1
            found[start, stop] = bytes(contents[at][start - starts[at] : stop - starts[at]])
        return found

    def _asked(self, wanted: list[tuple[str, int, int]]) -> list[ObjectPart]:
        try:
            return self.fs.fetch_all(wanted)
        except Exception as error:
            if remote.answer(error) in remote.EMPTY:
                raise ReplacedError(f"{self.path} is shorter than it was") from error
            raise

    def _same(self, part: ObjectPart) -> ObjectPart:
        if part.state != self.state:
            raise ReplacedError(f"{self.path} is another object now")
        return part


class Opening(MultiByteRangeResourceContainer):  # type: ignore[misc]
    """A file as rasterio's ``opener``, for one opening of it.

    GDAL cannot pass an error on: it is given zeros, and the error is kept in `failure`, which is
    to be looked at before what was read is used.
    """

    def __init__(self, of: RangedFile) -> None:
        self.of = of
        self.failure: Exception | None = None
        # Of its own, because rasterio knows an opener by the folder it is for.
        self.name = f"{uuid.uuid4().hex}/{of.path.rpartition('/')[2]}"

    def read(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        try:
            return self.of.read(ranges)
        except Exception as error:
            self.failure = error
            return [bytes(stop - start) for start, stop in ranges]

    def open(self, path: str, mode: str = "r", **_: Any) -> _File:  # noqa: ARG002
        if not self.isfile(path):
            raise FileNotFoundError(path)
        return _File(self)

    def isfile(self, path: str) -> bool:
        return path.rpartition("/")[2] == self.name.rpartition("/")[2]

    def isdir(self, path: str) -> bool:  # noqa: ARG002
        return False

    def ls(self, path: str) -> list[str]:  # noqa: ARG002
        return []

    def mtime(self, path: str) -> int:  # noqa: ARG002
        return 0

    def rm(self, path: str) -> None:
        raise PermissionError(path)

    def size(self, path: str) -> int:
        if not self.isfile(path):
            raise FileNotFoundError(path)
        return self.of.size


class _File:
    """An opened file, with a position of its own."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._at = 0

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._opening.of.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        last = self._opening.of.size
        stop = last if size < 0 else min(self._at + size, last)
        (content,) = self._opening.read([(self._at, max(stop, self._at))])
        self._at += len(content)
        return content

    def get_byte_ranges(self, offsets: list[int], sizes: list[int]) -> list[bytes]:
        return self._opening.read([(o, o + n) for o, n in zip(offsets, sizes, strict=True)])

    def close(self) -> None:
        return
