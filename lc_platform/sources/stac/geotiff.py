"""Tiles and strips of a GeoTIFF: where they are in the file, and what is in them.

GDAL finds them, and decodes all but what archives mostly have: digital numbers compressed by
deflate. Of these ISA-L takes three quarters of the time of GDAL, which copies them more often.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from threading import BoundedSemaphore
from typing import Any, NamedTuple

import numba
import numpy as np
import rasterio
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

ReadCached = Callable[[int, int], memoryview | None]
"""Gives a range of the file, by its first byte and its size, if it is fetched already."""

LEADER, TRAILER = 4, 12
"""Bytes around a tile that GDAL reads together with it where its COG driver wrote the file: the
tile's size before it, its last four bytes again after it, and the place of the next one's."""

_DEFLATE = (8, 32946)
_NONE, _HORIZONTAL = 1, 2
_decoders = BoundedSemaphore(
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)
"""More would take turns, and finish later each."""


class Block(NamedTuple):
    """A tile or strip, and where it is in the file."""

    row: int
    """Of tiles, not of pixels."""
    column: int
    first: int
    size: int
    """In bytes; 0 of one that is left out of the file, as it has no data."""


class _Stored(NamedTuple):
    """The layout of a band's pixels in the file."""

    shape: tuple[int, int]
    """(rows, columns) of a tile or strip."""
    size: tuple[int, int]
    """(rows, columns) of the file."""
    dtype: np.dtype[Any]
    predictor: int
    tiled: bool
    """Then the last tiles are as large as the others."""
    fill: float
    """Of tiles that are left out."""


def blocks(
    file: rasterio.DatasetReader, index: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> Iterator[Block]:
    """Yield the tiles or strips that hold a band's pixels; ``rows`` and ``columns`` may lie outside
    of the file. None of a file that is no GeoTIFF."""
    if file.driver != "GTiff":
        return
    height, width = file.block_shapes[index - 1]
    for row in np.unique(rows[(rows >= 0) & (rows < file.height)] // height).tolist():
        for column in np.unique(columns[(columns >= 0) & (columns < file.width)] // width).tolist():
            first, size = (
                file.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=index)
                for what in ("OFFSET", "SIZE")
            )
            yield Block(row, column, int(first or 0), int(size or 0))


def _stored(file: rasterio.DatasetReader, index: int, content: ReadCached) -> _Stored | None:
    """Return how a band is stored; None where it is compressed in another way than by deflate, or
    its numbers are not of 8 or 16 bits each."""
    if file.driver != "GTiff" or sys.byteorder != "little":
        return None
    dtype = np.dtype(file.dtypes[index - 1])
    tags = _tags(content)
    if (
        tags is None
        or dtype.kind not in "ui"
        or dtype.itemsize > 2
        or tags.get(_COMPRESSION) not in _DEFLATE
        or tags.get(_PREDICTOR, _NONE) not in (_NONE, _HORIZONTAL)
        or tags.get(_FILL_ORDER, 1) != 1
        or (file.count > 1 and tags.get(_PLANAR, 1) != 2)
        or "NBITS" in file.tags(index, ns="IMAGE_STRUCTURE")
    ):
        return None
    nodata = file.nodatavals[index - 1]
    return _Stored(
        file.block_shapes[index - 1],
        file.shape,
        dtype,
        tags.get(_PREDICTOR, _NONE),
        _TILE_WIDTH in tags,
        0 if nodata is None else nodata,
    )


def window(
    file: rasterio.DatasetReader,
    index: int,
    wanted: Sequence[Block],
    content: ReadCached,
    rows: slice,
    columns: slice,
) -> NDArray[Any] | None:
    """Return the pixels of some rows and columns of a band, (y, x), where ``wanted`` holds them
    all.

    None where GDAL has to read them: they are stored in another way than `_stored` knows, not
    there, or damaged.
    """
    of = _stored(file, index, content)
    if of is None:
        return None
    shape = rows.stop - rows.start, columns.stop - columns.start
    found = np.empty(shape, of.dtype.newbyteorder("="))
    out = found.view(f"u{of.dtype.itemsize}")
    height, width = of.shape
    for block in wanted:
        top, left = block.row * height, block.column * width
        down = slice(max(rows.start, top), min(rows.stop, top + height))
        across = slice(max(columns.start, left), min(columns.stop, left + width))
        at = (
            slice(down.start - rows.start, down.stop - rows.start),
            slice(across.start - columns.start, across.stop - columns.start),
        )
        if not block.size:
            found[at] = of.fill
            continue
        packed = content(block.first, block.size)
        if packed is None:
            return None
        lines = height if of.tiled else min(height, of.size[0] - top)
        with _decoders:
            try:
                raw = isal_zlib.decompress(packed, bufsize=lines * width * of.dtype.itemsize)
            except igzip_lib.IsalError:  # type: ignore[misc]
                return None
            if len(raw) != lines * width * of.dtype.itemsize:
                return None
            numbers = np.frombuffer(raw, out.dtype).reshape(lines, width)
            if of.predictor == _HORIZONTAL:
                _summed(numbers, down.start - top, across.start - left, out[at])
            else:
                first = down.start - top, across.start - left
                out[at] = numbers[first[0] : down.stop - top, first[1] : across.stop - left]
    return found


@numba.njit(cache=True, nogil=True)
def _summed(
    differences: NDArray[np.unsignedinteger[Any]],
    top: int,
    left: int,
    out: NDArray[np.unsignedinteger[Any]],
) -> None:
    """Numbers of some rows and columns, from the difference of each to the one on its left."""
    rows, columns = out.shape
    for row in range(rows):
        line = differences[top + row]
        value = line[0]
        for column in range(1, left + 1):
            value += line[column]
        out[row, 0] = value
        for column in range(1, columns):
            value += line[left + column]
            out[row, column] = value


_COMPRESSION, _FILL_ORDER, _PLANAR, _PREDICTOR, _TILE_WIDTH = 259, 266, 284, 317, 322
_SHORT, _LONG = 3, 4


def _tags(content: ReadCached) -> dict[int, int] | None:
    """Return tags of the file's first image that are one number; None where they are not there, or
    the numbers are in the order of other machines."""
    start = content(0, 16)
    if start is None or bytes(start[:2]) != b"II":
        return None
    (version,) = struct.unpack_from("<H", start, 2)
    count_as, entry = {42: ("<H", "<HHI4s"), 43: ("<Q", "<HHQ8s")}.get(version, ("", ""))
    if not entry:
        return None
    (first,) = struct.unpack_from("<I" if version == 42 else "<Q", start, 4 if version == 42 else 8)
    length = struct.calcsize(count_as)
    counted = content(first, length)
    if counted is None:
        return None
    (count,) = struct.unpack(count_as, counted)
    listed = content(first + length, count * struct.calcsize(entry))
    if listed is None:
        return None
    return {
        tag: int.from_bytes(value[: 2 if kind == _SHORT else 4], "little")
        for tag, kind, number, value in struct.iter_unpack(entry, listed)
        if number == 1 and kind in (_SHORT, _LONG)
    }
