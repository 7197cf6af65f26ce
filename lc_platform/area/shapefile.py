"""Whether a shapefile is whole: it is several files, which mails and copies lose or cut off."""

from __future__ import annotations

import struct
from pathlib import Path

_CODE = 9994
"""The first number of a shapefile."""
_HEADER = 100
"""Bytes of a shapefile's header."""
_DBF_HEADER = 32
"""Bytes of a dBase table's header before its columns."""


def problem(path: str | Path) -> str | None:
    """Return what a shapefile lacks and what to do, as a sentence that begins with the file's name;
    None where it is whole, and of any other file.

    Its .prj and its .dbf may be missing: it is used without a CRS and without attributes then.
    """
    file = Path(path)
    if file.suffix.lower() != ".shp" or not file.is_file():
        return None
    head = _head(file, _HEADER)
    if len(head) < _HEADER or struct.unpack(">i", head[:4])[0] != _CODE:
        return f"{file} does not begin as a shapefile does. It may be damaged: get it again"
    words: int = struct.unpack(">I", head[24:28])[0]
    if cut := _cut(file, 2 * words):
        return cut
    if (index := companion(file, ".shx")) is None:
        return (
            f"{file} has no .shx beside it. A shapefile is several files of one name: copy those "
            "that end with .shx, .dbf and .prj too"
        )
    if _head(index, 4) != head[:4]:
        return f"{index} is damaged. Get all files of the shapefile again"
    if (table := companion(file, ".dbf")) is None:
        return None
    head = _head(table, _DBF_HEADER)
    if len(head) < _DBF_HEADER:
        return f"{table} does not begin as a table does. It may be damaged: get it again"
    records, before, each = struct.unpack("<IHH", head[4:12])
    return _cut(table, before + records * each)


def companion(path: str | Path, ending: str) -> Path | None:
    """Return the file beside a shapefile that has its name and another ending, in small or capital
    letters; None where there is none."""
    file = Path(path)
    for name in (ending, ending.upper()):
        if (beside := file.with_suffix(name)).is_file():
            return beside
    return None


def _head(file: Path, size: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(size)


def _cut(file: Path, expected: int) -> str | None:
    size = file.stat().st_size
    if size >= expected:
        return None
    return f"{file} ends after {size} of {expected} bytes. Get all files of the shapefile again"
