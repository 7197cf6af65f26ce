"""Blocks of a GeoTIFF that the platform writes: where they are in the file, and what is in them.

GDAL opens a file for one thread, and asks an object store for one block after the other. Who reads
small windows of many files at once does better with the bytes: a file is opened once for all
threads, and the blocks of a window come together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

from lc_platform.storage.raster_opener import RangedFile

_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 254, 256, 257, 258, 259, 277
_PLANAR, _PREDICTOR, _BLOCK_WIDTH, _BLOCK_HEIGHT = 284, 317, 322, 323
_FIRST_BYTES, _BYTE_COUNTS = 324, 325
_TYPES: Mapping[int, str] = {1: "u1", 3: "<u2", 4: "<u4", 16: "<u8"}
"""NumPy's types of the types of tags that say where pixels are."""
_DEFLATE = (8, 32946)
_NONE, _HORIZONTAL = 1, 2
_TOGETHER, _APART = 1, 2
_MASK = 4
_MOST_LEVELS = 32


class UnknownLayoutError(ValueError):
    """A file is no GeoTIFF, or is stored in another way than the platform stores pixels."""


@dataclass(frozen=True, eq=False)
class Level:
    """An image of the file: the raster itself, or an overview of it."""

    shape: tuple[int, int]
    """(rows, columns)"""
    block: tuple[int, int]
    """(rows, columns) of each block."""
    samples: int
    """Numbers of a pixel that lie together in a block."""
    predictor: int
    first: NDArray[np.int64]
    """(band or 1, row, column of blocks), the first byte; bands apart where they lie apart."""
    size: NDArray[np.int64]
    """(band or 1, row, column of blocks), bytes; 0 of one that is left out of the file."""

    def place(self, band: int, row: int, column: int) -> tuple[int, int]:
        """Return (first byte, one past the last) of a block, both 0 where it is left out.

        band  counted from 0
        """
        plane = band if len(self.first) > 1 else 0
        first, size = int(self.first[plane, row, column]), int(self.size[plane, row, column])
        return (first, first + size) if size else (0, 0)

    def decode(self, packed: bytes, band: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return a band of a block, (y, x), also what lies beyond the image's edges.

        Raises UnknownLayoutError where the bytes are not what they should be.
        """
        rows, columns = self.block
        length = rows * columns * self.samples * dtype.itemsize
        try:
            raw = isal_zlib.decompress(packed, bufsize=length)
        except igzip_lib.IsalError as error:  # type: ignore[misc]
            raise UnknownLayoutError(f"a block of it does not decompress ({error})") from error
        if len(raw) != length:
            raise UnknownLayoutError(f"a block of it has {len(raw)} bytes in place of {length}")
        numbers = np.frombuffer(raw, f"<u{dtype.itemsize}").reshape(rows, columns, self.samples)
        plane = numbers[:, :, band if self.samples > 1 else 0]
        found: NDArray[Any] = np.empty((rows, columns), plane.dtype)
        if self.predictor == _HORIZONTAL:
            _summed(plane, found)
        else:
            found[:] = plane
        return found.view(dtype)


@numba.njit(cache=True, nogil=True)
def _summed(
    differences: NDArray[np.unsignedinteger[Any]], out: NDArray[np.unsignedinteger[Any]]
) -> None:
    """Numbers, from the difference of each to the one on its left."""
    rows, columns = out.shape
    for row in range(rows):
        value = differences[row, 0]
        out[row, 0] = value
        for column in range(1, columns):
            value += differences[row, column]
            out[row, column] = value


def levels(file: RangedFile, dtype: np.dtype[Any]) -> list[Level]:
    """Return the images of a file, the raster first and then its overviews, finest first.

    dtype  of the pixels

    Raises UnknownLayoutError where it is no GeoTIFF, its blocks are compressed in another way than
    by deflate, or its numbers are changed in another way than by their differences in a row.
    """
    found = [
        _level(file, tags, dtype)
        for tags in _directories(file)
        if not (_KIND in tags and int(tags[_KIND].values(file)[0]) & _MASK)
    ]
    if not found:
        raise UnknownLayoutError("it has no image")
    return sorted(found, key=lambda level: -level.shape[1])


def _level(file: RangedFile, tags: Mapping[int, _Tag], dtype: np.dtype[Any]) -> Level:
    def one(tag: int, default: int | None = None) -> int:
        found: list[int] = tags[tag].values(file).tolist() if tag in tags else []
        if not found:
            if default is None:
                raise UnknownLayoutError(f"tag {tag} is missing")
            return default
        return found[0]

    compression, predictor, planar = one(_COMPRESSION), one(_PREDICTOR, 1), one(_PLANAR, 1)
    bits = one(_BITS)
    if (
        compression not in _DEFLATE
        or predictor not in (_NONE, _HORIZONTAL)
        or bits != dtype.itemsize * 8
        or dtype.kind not in "ui"
    ):
        raise UnknownLayoutError(
            f"its pixels ({dtype}, compression {compression}, predictor {predictor}) are stored "
            "in another way than the platform stores numbers to be looked at"
        )
    shape, block = (one(_HEIGHT), one(_WIDTH)), (one(_BLOCK_HEIGHT), one(_BLOCK_WIDTH))
    samples = one(_SAMPLES, 1)
    down, across = -(-shape[0] // block[0]), -(-shape[1] // block[1])
    planes = samples if planar == _APART else 1
    first, size = (tags[tag].values(file) for tag in (_FIRST_BYTES, _BYTE_COUNTS))
    if len(first) != planes * down * across or len(size) != len(first):
        raise UnknownLayoutError("it does not say where all of its blocks are")
    grid = planes, down, across
    return Level(
        shape, block, 1 if planar == _APART else samples, predictor,
        first.reshape(grid), size.reshape(grid),
    )  # fmt: skip


@dataclass(frozen=True)
class _Tag:
    kind: int
    count: int
    inline: bytes
    """The values, or where they are."""

    def values(self, file: RangedFile) -> NDArray[np.int64]:
        dtype = np.dtype(_TYPES.get(self.kind, "u1"))
        length = self.count * dtype.itemsize
        content = self.inline[:length]
        if length > len(self.inline):
            at = int.from_bytes(self.inline, "little")
            (content,) = file.read([(at, at + length)])
        if len(content) < length:
            raise UnknownLayoutError("it ends before its directory does")
        return np.frombuffer(content, dtype).astype(np.int64)


def _directories(file: RangedFile) -> Iterator[Mapping[int, _Tag]]:
    """Yield the tags of each image of a file."""
    (start,) = file.read([(0, 16)])
    if start[:2] != b"II" or len(start) < 16:
        raise UnknownLayoutError("it is no GeoTIFF")
    (version,) = struct.unpack_from("<H", start, 2)
    if version == 42:
        counted, entry, pointer, at = "<H", "<HHI4s", "<I", struct.unpack_from("<I", start, 4)[0]
    elif version == 43:
        counted, entry, pointer, at = "<Q", "<HHQ8s", "<Q", struct.unpack_from("<Q", start, 8)[0]
    else:
        raise UnknownLayoutError("it is no GeoTIFF")
    for _ in range(_MOST_LEVELS):
        if not at:
            return
        count = struct.unpack(counted, _bytes(file, at, struct.calcsize(counted)))[0]
        at += struct.calcsize(counted)
        length = count * struct.calcsize(entry)
        content = _bytes(file, at, length + struct.calcsize(pointer))
        yield {
            tag: _Tag(kind, number, inline)
            for tag, kind, number, inline in struct.iter_unpack(entry, content[:length])
        }
        (at,) = struct.unpack(pointer, content[length:])


def _bytes(file: RangedFile, first: int, length: int) -> bytes:
    if length > 2**24:
        raise UnknownLayoutError("its directory is damaged")
    (content,) = file.read([(first, first + length)])
    if len(content) < length:
        raise UnknownLayoutError("it ends before its directory does")
    return content


def within(level: Level, rows: slice, columns: slice) -> Sequence[tuple[int, int]]:
    """Return (row, column) of the blocks that hold some rows and columns of an image."""
    height, width = level.block
    return [
        (row, column)
        for row in range(rows.start // height, -(-rows.stop // height))
        for column in range(columns.start // width, -(-columns.stop // width))
    ]
