"""Pictures as PNG, as fast as they are drawn.

A tile is compressed once and sent a few times: ISA-L takes a tenth of the time of zlib, for a few
percent more bytes.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED, _COLORS = 3, 6
_LEVEL = 2
_UP = 2
"""The filter of a row that is the difference to the row above."""


def indexed(values: NDArray[np.uint8], colors: NDArray[np.uint8]) -> bytes:
    """Return a picture of numbers, each of which has a colour.

    values  (y, x)
    colors  (256, 4), red, green, blue and opacity of each number
    """
    last = int(values.max())
    if not last and not colors[0, 3]:
        return empty(*values.shape)
    rows, columns = values.shape
    lines = np.zeros((rows, columns + 1), np.uint8)
    lines[:, 1:] = values
    used = colors[: last + 1]
    return _file(
        (rows, columns),
        _INDEXED,
        lines,
        _chunk(b"PLTE", used[:, :3].tobytes()) + _chunk(b"tRNS", used[:, 3].tobytes()),
    )


def colored(values: NDArray[np.uint8]) -> bytes:
    """Return a picture of colours, (y, x, (red, green, blue, opacity))."""
    rows, columns, _ = values.shape
    lines = np.empty((rows, columns * 4 + 1), np.uint8)
    lines[:, 0] = _UP
    flat = values.reshape(rows, columns * 4)
    lines[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=lines[1:, 1:])
    return _file((rows, columns), _COLORS, lines)


@lru_cache(maxsize=16)
def empty(rows: int, columns: int) -> bytes:
    """Return a picture in which nothing is to be seen."""
    lines = np.zeros((rows, columns + 1), np.uint8)
    palette = _chunk(b"PLTE", bytes(3)) + _chunk(b"tRNS", bytes(1))
    return _file((rows, columns), _INDEXED, lines, palette)


def _file(
    shape: tuple[int, int], kind: int, lines: NDArray[np.uint8], palette: bytes = b""
) -> bytes:
    rows, columns = shape
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, kind, 0, 0, 0)),
            palette,
            _chunk(b"IDAT", isal_zlib.compress(lines, _LEVEL)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
