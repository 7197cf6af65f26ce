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
RANGES                             them, joined where less than `MERGED_GAP` lies between, in all
                                   less than `MERGED_SHARE`: in a Cloud-Optimized GeoTIFF a request
                                   a row of tiles, with the bytes around each that GDAL reads with
                                   it. What it asks for beside it joins (`GDAL_OPTIONS`: YES)
GDAL_DISABLE_READDIR_ON_OPEN       EMPTY_DIR (`GDAL_OPTIONS`): nothing looks for further files
GDAL_INGESTED_BYTES_AT_OPEN        `HEAD_BYTES`: the directory of a Cloud-Optimized GeoTIFF with
                                   its overviews comes in the first answer, which tells the size
                                   too: there is no HEAD request
CPL_VSIL_CURL_CHUNK_SIZE           `CHUNK_BYTES` is the least that is asked for
VSI_CACHE, CPL_VSIL_CURL_CACHE_    `KEPT_BYTES` of all files together and what is still used, for
SIZE                               `KEPT_SECONDS`: the detector's coarse grid needs what the fine
                                   one has just read. Of `KEPT_HEADS` files the head
GDAL_HTTP_CONNECTTIMEOUT,          ``seconds`` for the connection and between two pieces, and for
GDAL_HTTP_TIMEOUT, GDAL_HTTP_      all of an answer ``seconds`` and what its bytes take at
LOW_SPEED_LIMIT, _LOW_SPEED_TIME   `SLOWEST` bytes a second: a slow server ends
AWS_REQUEST_PAYER                  ``requester_pays``, by botocore, which signs
=================================  ================================================================
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import rasterio
from rasterio.session import DummySession

from lc_platform.runtime.bounded_cache import BoundedCache
from lc_platform.sources.network.limits import Limits
from lc_platform.sources.network.requests import (
    HTTP_SECONDS,
    AccessError,
    Buckets,
    GoneError,
    Part,
    Web,
)
from lc_platform.sources.protocol import Cost, SourceError, TransientSourceError
from lc_platform.sources.stac.signing import Signing
from lc_platform.storage.raster_opener import Opening

HEAD_BYTES = 32_768
CHUNK_BYTES = 32_768
MERGED_GAP = 16_384
MERGED_SHARE = 0.01
"""Of what is asked for, that lies between and is fetched with it."""
KEPT_BYTES = 64_000_000
KEPT_HEADS = 2_000
"""Of other files: a neighbouring patch is in the same ones."""
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
        self._cache = _Cache()

    @staticmethod
    def has(uri: str) -> bool:
        """Return whether a file is one that is read here, and not by GDAL itself."""
        return uri.startswith(("http://", "https://", "s3://"))

    @contextmanager
    def opened(
        self, uri: str, where: str, otherwise: str
    ) -> Iterator[tuple[rasterio.DatasetReader, RemoteFile]]:
        """A file open in GDAL, and what it takes. ``where`` begins the errors; ``otherwise`` ends
        those of a file that is damaged or gone: what to do where it cannot be had whole.

        Raises, also in the body, SourceError where the file is not there, is refused or is a web
        page, TransientSourceError where it did not come after all retries; and what GDAL
        raises where it is damaged.
        """
        file = RemoteFile(
            lambda first, last: self._fetch(uri, first, last, where),
            self._cache,
            uri,
            where,
            otherwise,
        )
        opener = Opening(file)
        try:
            with (
                # No account of a cloud's: GDAL itself asks nobody.
                rasterio.Env(session=DummySession(), **GDAL_OPTIONS),
                rasterio.open(opener.name, opener=opener, sharing=False) as dataset,
            ):
                yield dataset, file
        except Exception:
            if not isinstance(file.failure, TransientSourceError):
                self._cache.forget(uri)  # what has arrived may be what is wrong
            if file.failure is None and opener.failure is None:
                raise
        # Outside of the handler: what GDAL makes of it would only hide it.
        if failure := file.failure or opener.failure:
            raise failure

    def tag(self, uri: str, where: str) -> str:
        """Return what tells the file's state from others, asked of its server in a request for a
        byte; empty where it tells nothing. Raises as `opened` does."""
        part, _ = self._fetch(uri, 0, 0, where)
        return tag(part)

    def _fetch(self, uri: str, first: int, last: int, where: str) -> tuple[Part, int]:
        """Return some bytes, and how many requests they took."""
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


def tag(part: Part) -> str:
    """Return what identifies a file's state, from a part of it; empty where the server gives
    nothing."""
    return f"{part.tag} {part.size}" if part.tag else ""


class RemoteFile:
    """The cached parts of one remote file, and the cost of fetching them."""

    def __init__(
        self,
        fetch: Callable[[int, int], tuple[Part, int]],
        cache: _Cache,
        uri: str,
        where: str,
        otherwise: str,
    ) -> None:
        self._fetch, self._cache, self._uri, self._where = fetch, cache, uri, where
        self._otherwise = otherwise
        self.content = cache.get(uri)
        self.failure: SourceError | None = None
        """After it nothing more is asked for."""
        self.cost = Cost()
        """Of what was read so far."""

    @property
    def path(self) -> str:
        return urlsplit(self._uri).path.rstrip("/") or "file"

    @property
    def size(self) -> int:
        """In bytes; 0 where it could not be found out."""
        with self.content.asking:
            if not self.content.parts:
                self._ask(0, HEAD_BYTES)
        return self.content.parts[0].size if self.content.parts else 0

    def cached(self, first: int, size: int) -> memoryview | None:
        """Return a range of the file that has been asked for; None of any other."""
        for part in self.content.parts:
            if part.holds(first, size):
                return part.cut(first, size)
        if self._gaps(first, first + size):
            return None
        found = bytearray(size)
        for part in self.content.parts:
            begin, end = max(first, part.first), min(first + size, part.end)
            if begin < end:
                found[begin - first : end - first] = part.cut(begin, end - begin)
        return memoryview(found)

    def fetch(self, ranges: Iterable[tuple[int, int]], before: int = 0, after: int = 0) -> None:
        """Fetch what is not cached of some ranges (first, size), in as few requests as they can be
        joined to.

        before, after  bytes around each that are wanted too where the file has them
        """
        asked = [(first, first + size) for first, size in ranges]
        if self.failure is None and any(end > self.size > 0 for _, end in asked):
            self.failure = SourceError(
                f"{self._where} is shorter than its own directory says; it is damaged or cut "
                f"short. Fetch the file again, {self._otherwise}."
            )
        wide = [(max(0, first - before), min(end + after, self.size)) for first, end in asked]
        with self.content.asking:
            missing = [gap for first, end in wide for gap in self._gaps(first, end)]
            for first, end in _merged(sorted(missing)):
                self._ask(first, end)

    def read(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of ranges, (start, stop). What is missing of a range that is asked for
        alone comes with what follows it.

        GDAL takes no error and as many bytes as it asked for: they are zeros after a failure.
        """
        if len(ranges) > 1 or any(stop > self.size for _, stop in ranges):
            self.fetch((start, stop - start) for start, stop in ranges)
        return [self._read(start, stop).ljust(stop - start, b"\0") for start, stop in ranges]

    def _read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size)
        with self.content.asking:
            for first, end in self._gaps(start, stop):
                self._ask(first, max(end, min(first + CHUNK_BYTES, self.size)))
        found = self.cached(start, stop - start) if start < stop else None
        return b"" if found is None else bytes(found)

    def _gaps(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of a half-open range that are not cached."""
        gaps = []
        for part in sorted(self.content.parts, key=lambda part: part.first):
            if first < end and part.first < end and part.end > first:
                if part.first > first:
                    gaps.append((first, part.first))
                first = part.end
        return [*gaps, (first, end)] if first < end else gaps

    def _ask(self, first: int, end: int) -> None:
        """Ask for a half-open range, if nothing has failed."""
        if self.failure is not None:
            return
        try:
            part, made = self._fetch(first, end - 1)
        except GoneError as error:
            self.failure = GoneError(f"{str(error).removesuffix('.')}, {self._otherwise}.")
            return
        except SourceError as error:
            self.failure = error
            return
        if self.content.parts and part.size != self.content.parts[0].size:
            self._cache.forget(self._uri)
            self.failure = TransientSourceError(
                f"{self._where} was replaced while it was read. Run it again"
            )
            return
        self.cost += Cost(requests=made, bytes=len(part.content))
        self._cache.add(self._uri, self.content, part)
        if not part.holds(first, min(end, part.size) - first):
            self.failure = SourceError(
                f"{self._where} cannot be read: its server gives less of it than was asked for."
            )


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open ranges in order, joined where little lies between them, and little in all."""
    spare = MERGED_SHARE * sum(end - first for first, end in ranges)
    between = [after[0] - before[1] for before, after in pairwise(ranges)]
    joined = set()
    for number in sorted(range(len(between)), key=between.__getitem__):
        spare -= max(0, between[number])
        if between[number] > MERGED_GAP or (between[number] > 0 and spare < 0):
            break
        joined.add(number)
    merged: list[tuple[int, int]] = []
    for number, (first, end) in enumerate(ranges):
        if number - 1 in joined:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((first, end))
    return merged


class Content:
    """The fetched parts of a file. They are kept while they are in use, and the latest longer."""

    def __init__(self, parts: tuple[Part, ...] = (), since: float | None = None) -> None:
        self.parts = parts
        self.asking = threading.RLock()
        """Held while some of it is asked for: bands of one file are read at the same time."""
        self.since = time.monotonic() if since is None else since

    @property
    def bytes(self) -> int:
        return sum(len(part.content) for part in self.parts)


class _Cache:
    """The fetched parts of files: all of files in use and of the latest, of others the heads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_use: WeakValueDictionary[str, Content] = WeakValueDictionary()
        self._latest: OrderedDict[str, Content] = OrderedDict()
        self._bytes = 0
        """Of the latest."""
        self._heads: BoundedCache[str, Content] = BoundedCache(KEPT_HEADS)

    def get(self, uri: str) -> Content:
        with self._lock:
            found, head = self._in_use.get(uri), self._heads.get(uri)
            if found is None and head is not None:
                found = Content(head.parts, head.since)
            if found is not None and time.monotonic() - found.since > KEPT_SECONDS:
                self._remove(uri)
                found = None
            found = found or Content()
            self._in_use[uri] = found
            if uri in self._latest:
                self._latest.move_to_end(uri)
            return found

    def add(self, uri: str, content: Content, part: Part) -> None:
        with self._lock:
            if not content.parts and len(part.content) <= HEAD_BYTES:
                self._heads.put(uri, Content((part,), content.since))
            self._bytes -= self._latest.pop(uri, _NOTHING).bytes
            content.parts = (*content.parts, part)
            self._latest[uri] = content
            self._bytes += content.bytes
            while self._bytes > KEPT_BYTES and len(self._latest) > 1:
                _, oldest = self._latest.popitem(last=False)
                self._bytes -= oldest.bytes

    def forget(self, uri: str) -> None:
        with self._lock:
            self._remove(uri)

    def _remove(self, uri: str) -> None:
        self._bytes -= self._latest.pop(uri, _NOTHING).bytes
        self._heads.forget(uri)
        self._in_use.pop(uri, None)


_NOTHING = Content()
