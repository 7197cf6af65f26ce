"""Files of an archive over HTTP and in S3, read range by range.

GDAL reads them through a file of ours (rasterio's ``opener``) and not through its /vsicurl. That
tells no status of an answer in the middle of a file (404, 403, 429 and a broken connection are
alike a "read error"), does not honour Retry-After, opens connections of its own that no limit
counts, asks up to five times more after one failure, and remembers for the whole process what
failed once. What its settings are for is done here and in
`lc_platform.sources.network.requests`:

=================================  ================================================================
GDAL's setting                     here
=================================  ================================================================
GDAL_HTTP_MAX_RETRY,               `Limits.send`, a range at a time: what has arrived of a file is
GDAL_HTTP_RETRY_DELAY,             not asked for again. Status 408, 429 and 5xx, time-outs, broken
GDAL_HTTP_RETRY_CODES              connections and short bodies are retried, others never
connection reuse,                  one pool of kept-alive connections an archive, as many as
GDAL_HTTP_MULTIRANGE               ``connections``: no request waits for a handshake twice
GDAL_HTTP_MULTIPLEX                not used: HTTP/1.1 on some connections holds a bound, and HTTP/2
                                   would put all requests on one
GDAL_HTTP_MERGE_CONSECUTIVE_       `RemoteFile.fetch` gets all tiles of a window before GDAL reads
RANGES                             them, joined where less than `MERGED_GAP` lies between: in a
                                   Cloud-Optimized GeoTIFF a request a row of tiles. What GDAL
                                   asks for beside it joins (`GDAL_OPTIONS`: YES)
GDAL_DISABLE_READDIR_ON_OPEN       EMPTY_DIR (`GDAL_OPTIONS`): nothing looks for further files
GDAL_INGESTED_BYTES_AT_OPEN        `HEAD_BYTES`: the directory of a Cloud-Optimized GeoTIFF with
                                   its overviews comes in the first answer, which tells the size
                                   too: there is no HEAD request
CPL_VSIL_CURL_CHUNK_SIZE           `CHUNK_BYTES` is the least that is asked for
VSI_CACHE, CPL_VSIL_CURL_CACHE_    `KEPT_BYTES` of all files together, for `KEPT_SECONDS`: the
SIZE                               detector's coarse grid needs what the fine one has just read
GDAL_HTTP_CONNECTTIMEOUT,          ``seconds`` for the connection and between two pieces, and for
GDAL_HTTP_TIMEOUT, GDAL_HTTP_      all of an answer ``seconds`` and what its bytes take at
LOW_SPEED_LIMIT, _LOW_SPEED_TIME   `SLOWEST` bytes a second: a slow server ends
AWS_REQUEST_PAYER                  ``requester_pays``, by botocore, which signs
=================================  ================================================================
"""

from __future__ import annotations

import io
import itertools
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import rasterio
from rasterio.abc import MultiByteRangeResourceContainer
from rasterio.session import DummySession

from lc_platform.sources.network.limits import Limits
from lc_platform.sources.network.requests import HTTP_SECONDS, AccessError, Buckets, Part, Web
from lc_platform.sources.protocol import Cost, SourceError, TransientSourceError
from lc_platform.sources.stac.signing import Signing

HEAD_BYTES = 32_768
CHUNK_BYTES = 32_768
MERGED_GAP = 16_384
KEPT_BYTES = 64_000_000
KEPT_SECONDS = 600.0
GDAL_OPTIONS: Mapping[str, str] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    # rasterio does not find files of Python in other threads, and what they were to decode
    # (JPEG 2000 does by default) would silently be zero. Bands are read in parallel instead.
    "GDAL_NUM_THREADS": "1",
}


class RemoteFiles:
    """Files of one archive; used by several threads at the same time.

    limits          that each request keeps to
    seconds         an answer may take, and longer where it is large
    signing         of the archive's links
    requester_pays  for files in S3
    region          of the buckets in S3, where it is known
    """

    def __init__(
        self,
        limits: Limits,
        *,
        seconds: float = HTTP_SECONDS,
        signing: Signing | None = None,
        requester_pays: bool = False,
        region: str | None = None,
    ) -> None:
        self._limits = limits
        self._signing = signing
        self._web = Web(limits.connections, seconds)
        self._buckets = Buckets(limits.connections, seconds, requester_pays, region)
        self._kept = _Kept()

    @staticmethod
    def has(uri: str) -> bool:
        """Whether a file is one that is read here, and not by GDAL itself."""
        return uri.startswith(("http://", "https://", "s3://"))

    @contextmanager
    def opened(self, uri: str, where: str) -> Iterator[tuple[rasterio.DatasetReader, RemoteFile]]:
        """A file open in GDAL, and what it takes. ``where`` begins the errors.

        Raises, also in the body, SourceError where the file is not there, is refused or is a web
        page, TransientSourceError where it did not come after all retries; and what GDAL
        raises where it is damaged.
        """
        file = RemoteFile(
            lambda first, last: self._fetch(uri, first, last, where), self._kept, uri, where
        )
        opener = _Opener(file)
        try:
            with (
                # No account of a cloud's: GDAL itself asks nobody.
                rasterio.Env(session=DummySession(), **GDAL_OPTIONS),
                rasterio.open(opener.name(uri), opener=opener, sharing=False) as dataset,
            ):
                yield dataset, file
        except Exception:
            if not isinstance(file.failure, TransientSourceError):
                self._kept.forget(uri)  # what has arrived may be what is wrong
            if file.failure is None:
                raise
        # Outside of the handler: what GDAL makes of it would only hide it.
        if file.failure is not None:
            raise file.failure

    def _fetch(self, uri: str, first: int, last: int, where: str) -> tuple[Part, int]:
        """Some bytes, and how many requests they took."""
        made = 0
        store = self._buckets if uri.startswith("s3://") else self._web

        def send(token: str) -> Part:
            def request() -> Part:
                nonlocal made
                made += 1
                return store.get(uri, token, first, last)

            return self._limits.send(where, request)

        try:
            # Not within a request's turn: asking for a token is a request itself.
            token = self._signing.token(uri) if self._signing is not None else ""
            try:
                return send(token), made
            except AccessError:
                if self._signing is None or not token:
                    raise
            # It may have ended before its time.
            return send(self._signing.token(uri, instead_of=token)), made
        except TransientSourceError:
            raise
        except SourceError as error:
            raise type(error)(f"{where} {error}") from None


class RemoteFile:
    """What is held of one file, and what it took."""

    def __init__(
        self, fetch: Callable[[int, int], tuple[Part, int]], kept: _Kept, uri: str, where: str
    ) -> None:
        self._fetch, self._kept, self._uri, self._where = fetch, kept, uri, where
        self._parts = kept.get(uri)
        self.failure: SourceError | None = None
        """After it nothing more is asked for."""
        self.cost = Cost()
        """Of what was read so far."""

    @property
    def size(self) -> int:
        """In bytes; 0 where it could not be found out."""
        if not self._parts:
            self.part(0, 1)
        return self._parts[0].size if self._parts else 0

    def held(self, first: int, size: int) -> Part | None:
        """What has a range of the file, without asking for it."""
        return next((part for part in self._parts if part.holds(first, size)), None)

    def fetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Ask for ranges (first, size), in as few requests as they can be joined to."""
        asked = sorted(ranges)
        if self.failure is None and any(first + size > self.size > 0 for first, size in asked):
            self.failure = SourceError(
                f"{self._where} is shorter than its own directory says; it is damaged or cut "
                f"short. Fetch the file again."
            )
        missing = [(o, o + n) for o, n in asked if self.held(o, n) is None]
        for first, end in _merged(missing):
            self.part(first, end - first)

    def part(self, first: int, size: int) -> Part | None:
        """What has a range of the file; None after a failure."""
        part = self.held(first, size)
        if part is not None or self.failure is not None:
            return part
        last = first + max(size, CHUNK_BYTES if self._parts else HEAD_BYTES) - 1
        if self._parts:
            last = min(last, self._parts[0].size - 1)
        try:
            part, made = self._fetch(first, last)
        except SourceError as error:
            self.failure = error
            return None
        if self._parts and part.size != self._parts[0].size:
            self._kept.forget(self._uri)
            self.failure = TransientSourceError(
                f"{self._where} was replaced while it was read. Run it again"
            )
            return None
        self.cost += Cost(requests=made, bytes=len(part.content))
        self._parts = (*self._parts, part)
        self._kept.add(self._uri, part)
        if not part.holds(first, min(size, part.size - first)):
            self.failure = SourceError(
                f"{self._where} cannot be read: its server gives less of it than was asked for."
            )
            return None
        return part


class _Handle(io.RawIOBase):
    """A file as GDAL reads it. It never raises, which GDAL could not take: after a failure the
    file ends everywhere."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = (0, self._position, self._file.size if whence == os.SEEK_END else 0)[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._file.size - self._position)
        size = left if size < 0 else min(size, left)
        part = self._file.part(self._position, size) if size else None
        content = b"" if part is None else part.cut(self._position, size)
        self._position += len(content)
        return content

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """Several ranges. Zeros after a failure: GDAL takes as many bytes as it asked for."""
        self._file.fetch(zip(offsets, sizes, strict=True))
        found = []
        for offset, size in zip(offsets, sizes, strict=True):
            part = self._file.part(offset, size)
            content = b"" if part is None else part.cut(offset, size)
            found.append(content.ljust(size, b"\0"))
        return found


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open ranges in order, joined where little lies between them."""
    merged: list[tuple[int, int]] = []
    for first, end in ranges:
        if merged and first - merged[-1][1] <= MERGED_GAP:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((first, end))
    return merged


class _Opener(MultiByteRangeResourceContainer):  # type: ignore[misc]
    """One file, as rasterio wants a file system."""

    _names = itertools.count()

    def __init__(self, file: RemoteFile) -> None:
        self._file = file

    def name(self, uri: str) -> str:
        """A folder of its own: rasterio knows open files of all threads by their folder."""
        return f"remote-{next(self._names)}/{urlsplit(uri).path.rsplit('/', 1)[-1] or 'file'}"

    def open(self, *_: Any, **__: Any) -> _Handle:
        return _Handle(self._file)

    def isfile(self, _: str) -> bool:
        return True

    def isdir(self, _: str) -> bool:
        return False

    def ls(self, _: str) -> list[str]:
        return []

    def mtime(self, _: str) -> int:
        return 0

    def rm(self, _: str) -> None:
        raise OSError("it is only read")

    def size(self, _: str) -> int:
        return self._file.size


class _Kept:
    """Parts of files, the latest used ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[str, tuple[float, tuple[Part, ...]]] = OrderedDict()
        self._bytes = 0

    def get(self, uri: str) -> tuple[Part, ...]:
        with self._lock:
            since, parts = self._files.get(uri, (0.0, ()))
            if parts and time.monotonic() - since > KEPT_SECONDS:
                self._remove(uri)
                return ()
            if parts:
                self._files.move_to_end(uri)
            return parts

    def add(self, uri: str, part: Part) -> None:
        with self._lock:
            since, parts = self._files.get(uri, (time.monotonic(), ()))
            self._files[uri] = since, (*parts, part)
            self._bytes += len(part.content)
            while self._bytes > KEPT_BYTES and len(self._files) > 1:
                self._remove(next(iter(self._files)))

    def forget(self, uri: str) -> None:
        with self._lock:
            self._remove(uri)

    def _remove(self, uri: str) -> None:
        _, parts = self._files.pop(uri, (0.0, ()))
        self._bytes -= sum(len(part.content) for part in parts)
