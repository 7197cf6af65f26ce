"""Arrays of Zarr in an object store, read and written with few requests.

A file of an array (a shard) holds many parts that are compressed each on its own (chunks), and at
its end an index of them, as the Zarr extension ``sharding_indexed`` has it. What is asked for here:
the end of each file that is not known yet, which is all of a small one; then those chunks of all
files at the same time, neighbours together. Indexes are kept, and chunks as they are stored while
there is room, since files never change: each writing has a folder of its own.
"""

from __future__ import annotations

import itertools
import math
import os
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import google_crc32c
import numcodecs.blosc
import numpy as np
import zarr
from fsspec.utils import merge_offset_ranges
from numpy.typing import NDArray
from zarr.abc.codec import Codec
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec

from lc_platform.runtime.bounded_cache import BoundedCache
from lc_platform.storage.remote.objects import Objects

_TAIL = 2**15
"""Bytes from the end of a file that are asked for with its index: all of many a mask."""
_GAP = 2**18
"""Bytes between two chunks that are rather read than asked for apart: red and near infrared of an
acquisition are one request."""
_AT_ONCE = 64 * 2**20
"""Bytes of stored chunks that are on the way, or wait to be decompressed, at the same time."""
_TOGETHER = 16
"""Chunks that a thread decompresses one after the other."""
_CHECKSUM = 4
_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
_ABSENT = 2**64 - 1
"""Instead of the place of a chunk that was not written."""
_INDEXES = 2**24
"""Bytes of indexes that are kept."""

_Part = tuple[tuple[slice, ...], NDArray[Any]]
"""Where something lies in a chunk, and the part of a result that it becomes."""


class UnknownStorageError(Exception):
    """An array that is stored in another way than this platform does."""


class _Chunk(NamedTuple):
    file: str
    number: int
    """In the file's index."""


@dataclass(frozen=True)
class KeptChunks:
    """What is kept of files that were read; several threads may use it at once."""

    room: int = 0
    """Bytes of chunks, compressed as they are stored."""
    indexes: BoundedCache[str, NDArray[np.uint64]] = field(init=False)
    chunks: BoundedCache[_Chunk, bytes] = field(init=False)

    def __post_init__(self) -> None:
        sized: Any = BoundedCache(_INDEXES, lambda index: index.nbytes)
        object.__setattr__(self, "indexes", sized)
        object.__setattr__(self, "chunks", BoundedCache(self.room, len))


def _told(codec: Codec) -> dict[str, Any]:
    """Return a codec's settings as its metadata has them, which all versions of zarr write alike;
    their attributes are enumerations in some and words in others."""
    settings: Any = codec.to_dict()["configuration"]
    return dict(settings)


class ShardedArray:
    """An array whose files lie in an object store."""

    def __init__(self, array: zarr.Array[Any], folder: str, fs: Objects, kept: KeptChunks) -> None:
        """
        folder  the path of the store that the array lies in

        Raises UnknownStorageError.
        """
        metadata: Any = array.metadata
        codec = metadata.codecs[0]
        if not isinstance(codec, ShardingCodec) or len(metadata.codecs) != 1:
            raise UnknownStorageError(f"{array.path}: is not sharded")
        kinds = [type(one) for one in codec.codecs]
        if (
            kinds != [BytesCodec, BloscCodec, Crc32cCodec]
            or [type(one) for one in codec.index_codecs] != [BytesCodec, Crc32cCodec]
            or _told(codec)["index_location"] != "end"
        ):
            raise UnknownStorageError(
                f"{array.path}: is stored by {', '.join(k.__name__ for k in kinds)}"
            )
        self.shape = array.shape
        self._chunk = codec.chunk_shape
        self._dtype = array.dtype.newbyteorder("<")
        self._fill = array.fill_value
        self._folder = f"{folder}/{array.path}/c"
        self._in_file = tuple(
            whole // part for whole, part in zip(metadata.chunk_grid.chunk_shape, self._chunk,
                                                 strict=True)
        )  # fmt: skip
        blosc = _told(codec.codecs[1])
        self._packed = blosc["cname"].encode(), blosc["clevel"], _SHUFFLES[blosc["shuffle"]]
        self._fs: Any = fs
        self._kept = kept

    def write(self, where: Sequence[slice], values: NDArray[Any]) -> None:
        """Write whole files, all at the same time: what lies between multiples of their sides, or
        at the array's edge.

        where  start and stop along each axis
        """
        sides = [part * count for part, count in zip(self._chunk, self._in_file, strict=True)]
        spans = [one.indices(size)[:2] for one, size in zip(where, self.shape, strict=True)]
        files = {}
        for at in itertools.product(
            *(range(start // side, -(-stop // side))
              for (start, stop), side in zip(spans, sides, strict=True))
        ):  # fmt: skip
            part = tuple(
                slice(one * side - start, (one + 1) * side - start)
                for one, side, (start, _) in zip(at, sides, spans, strict=True)
            )
            files[f"{self._folder}/{'/'.join(map(str, at))}"] = self._file(values[part])
        self._fs.pipe(files)

    def _file(self, values: NDArray[Any]) -> bytes:
        """Return a file that holds values, of the beginning of its ground."""
        index = np.full((*self._in_file, 2), _ABSENT, "<u8")
        parts, size = list[bytes](), 0
        for backwards in np.ndindex(*self._in_file[::-1]):
            at = backwards[::-1]
            here = values[
                tuple(
                    slice(one * side, (one + 1) * side)
                    for one, side in zip(at, self._chunk, strict=True)
                )
            ]
            if not here.size:
                continue
            chunk = np.full(self._chunk, self._fill, self._dtype)
            chunk[tuple(map(slice, here.shape))] = here
            parts.append(_signed(numcodecs.blosc.compress(chunk, *self._packed)))
            index[at] = size, len(parts[-1])
            size += len(parts[-1])
        return b"".join([*parts, _signed(index.tobytes())])

    def read(self, wanted: Sequence[int | slice]) -> NDArray[Any]:
        """Return what lies at a selection: positions, which drop their axis, and slices with start
        and stop.

        Raises FileNotFoundError where a file is missing, ValueError where one is damaged, and what
        the driver raises.
        """
        return self.read_together([wanted])[0]

    def read_together(self, wanted: Sequence[Sequence[int | slice]]) -> list[NDArray[Any]]:
        """Return what lies at several selections, of which all is asked for at the same time; see
        `read`."""
        found: list[NDArray[Any]] = []
        parts: dict[_Chunk, list[_Part]] = defaultdict(list)
        for selection in wanted:
            spans = [(one, one + 1) if isinstance(one, int) else (one.start, one.stop)
                     for one in selection]  # fmt: skip
            out = np.empty([stop - start for start, stop in spans], self._dtype)
            for chunk, there, here in self._parts(spans):
                parts[chunk].append((there, out[here]))
            kept: Any = tuple(0 if isinstance(one, int) else slice(None) for one in selection)
            found.append(out[kept])
        for some in self._batches(self._places(list(parts))):
            stored = self._stored(some)
            work = [(parts[at], stored[at]) for at in some]
            groups = [work[i : i + _TOGETHER] for i in range(0, len(work), _TOGETHER)]
            for _ in _pool().map(self._put, groups):
                pass
        return [one.astype(self._dtype.newbyteorder("="), copy=False) for one in found]

    def _parts(
        self, spans: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[_Chunk, tuple[slice, ...], tuple[slice, ...]]]:
        """Yield the chunks that a selection touches, which part of each it is, and where that lies
        in the selection."""
        touched = [
            range(start // side, -(-stop // side))
            for (start, stop), side in zip(spans, self._chunk, strict=True)
        ]
        for at in itertools.product(*touched):
            there, here = [], []
            for position, side, (start, stop) in zip(at, self._chunk, spans, strict=True):
                first, last = max(start, position * side), min(stop, (position + 1) * side)
                there.append(slice(first - position * side, last - position * side))
                here.append(slice(first - start, last - start))
            file = "/".join(str(one // count) for one, count in zip(at, self._in_file, strict=True))
            number = 0
            for one, count in zip(at, self._in_file, strict=True):
                number = number * count + one % count
            yield _Chunk(f"{self._folder}/{file}", number), tuple(there), tuple(here)

    def _places(self, chunks: Sequence[_Chunk]) -> dict[_Chunk, tuple[int, int]]:
        """Return where chunks lie in their files, (start, stop), the same twice where absent."""
        files = dict.fromkeys(one.file for one in chunks)
        kept = {file: self._kept.indexes.get(file) for file in files}
        indexes = {file: index for file, index in kept.items() if index is not None}
        unknown = [file for file in files if file not in indexes]
        size = 16 * math.prod(self._in_file) + _CHECKSUM
        asked = [(file, -max(size, _TAIL), None) for file in unknown]
        for file, end in zip(unknown, self._fs.fetch_all(asked), strict=True):
            index = _index(file, end.content[-size:], size)
            self._kept.indexes.put(file, index)
            indexes[file] = index
            self._keep(file, index, end.content, end.size - len(end.content))
        return {one: _place(indexes[one.file], one.number) for one in chunks}

    def _keep(self, file: str, index: NDArray[np.uint64], content: bytes, begins: int) -> None:
        """Keep the chunks that came with the end of a file."""
        for number in range(len(index)):
            start, stop = _place(index, number)
            if begins <= start < stop <= begins + len(content):
                with suppress(ValueError):  # which is told where it is asked for
                    chunk = _checked(content[start - begins : stop - begins], file)
                    self._kept.chunks.put(_Chunk(file, number), chunk)

    def _batches(
        self, places: Mapping[_Chunk, tuple[int, int]]
    ) -> Iterator[dict[_Chunk, tuple[int, int]]]:
        batch: dict[_Chunk, tuple[int, int]] = {}
        size = 0
        for one, (start, stop) in places.items():
            if batch and size + stop - start > _AT_ONCE:
                yield batch
                batch, size = {}, 0
            batch[one] = start, stop
            size += stop - start
        if batch:
            yield batch

    def _stored(self, places: Mapping[_Chunk, tuple[int, int]]) -> dict[_Chunk, bytes]:
        """Return compressed chunks; empty ones of those that are absent."""
        found = {}
        absent: dict[str, list[tuple[int, int, _Chunk]]] = defaultdict(list)
        for one, (start, stop) in places.items():
            kept = self._kept.chunks.get(one) if stop > start else b""
            if kept is None:
                absent[one.file].append((start, stop, one))
            else:
                found[one] = kept
        runs = [(file, run) for file, chunks in absent.items() for run in _runs(file, chunks)]
        asked = [(file, start, stop) for file, (start, stop, _) in runs]
        for (file, (start, stop, of)), part in zip(runs, self._fs.fetch_all(asked), strict=True):
            if len(part.content) < stop - start:
                raise ValueError(f"{file} is too short")
            for first, last, one in of:
                chunk = part.content[first - start : last - start]
                found[one] = _checked(chunk, f"a chunk of {file}")
                self._kept.chunks.put(one, found[one])
        return found

    def _put(self, chunks: Sequence[tuple[Sequence[_Part], bytes]]) -> None:
        for parts, stored in chunks:
            if not stored:
                for _, into in parts:
                    into[...] = self._fill
                continue
            try:
                values = np.frombuffer(numcodecs.blosc.decompress(stored), self._dtype)
            except RuntimeError as error:
                raise ValueError(f"a chunk cannot be decompressed ({error})") from error
            for there, into in parts:
                into[...] = values.reshape(self._chunk)[there]


def _index(file: str, content: bytes, size: int) -> NDArray[np.uint64]:
    """Return the index of a file, (chunk, (start, length))."""
    if len(content) < size:
        raise ValueError(f"{file} is too short")
    return np.frombuffer(_checked(content, f"the index of {file}"), "<u8").reshape(-1, 2)


def _place(index: NDArray[np.uint64], number: int) -> tuple[int, int]:
    start, length = (int(one) for one in index[number])
    return (0, 0) if start == _ABSENT else (start, start + length)


def _signed(content: bytes) -> bytes:
    return content + struct.pack("<I", google_crc32c.value(content))


def _checked(content: bytes, what: str) -> bytes:
    """Return what comes before a checksum (CRC-32C). Raises ValueError where it is another's."""
    body, (expected,) = content[:-_CHECKSUM], struct.unpack("<I", content[-_CHECKSUM:])
    if google_crc32c.value(body) != expected:
        raise ValueError(f"{what} has another checksum than it was written with")
    return body


def _runs(
    file: str, chunks: Sequence[tuple[int, int, _Chunk]]
) -> Iterator[tuple[int, int, list[tuple[int, int, _Chunk]]]]:
    """Yield what is asked for together of a file: start, stop, and the chunks in it."""
    waiting = sorted(chunks)
    starts, stops = [one[0] for one in waiting], [one[1] for one in waiting]
    _, first, last = merge_offset_ranges([file] * len(waiting), starts, stops, max_gap=_GAP)
    for start, stop in zip(first, last, strict=True):
        yield start, stop, [one for one in waiting if start <= one[0] and one[1] <= stop]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="decompress")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
