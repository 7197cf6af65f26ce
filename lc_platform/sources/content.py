"""What a file holds, in a few letters: whether it is the same as before."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

_LENGTH = 16
_PARTS = {".shp": (".shx", ".dbf", ".prj", ".cpg")}
"""Files that belong to one with this ending; others beside it are a viewer's."""


def digest(path: str) -> str | None:
    """A hash of the content of a file with the files that belong to it, or of a folder's.

    None of what is not a local file, whose content is not asked for.
    """
    named = Path(path)
    if "://" in path or path.startswith("/vsi") or not named.exists():
        return None
    if named.is_dir():
        files = sorted(file for file in named.rglob("*") if file.is_file())
    else:
        parts = [named.with_suffix(ending) for ending in _PARTS.get(named.suffix.lower(), ())]
        files = [named, *(part for part in parts if part.exists())]
    found = hashlib.sha256()
    for file in files:
        status = file.stat()
        found.update(_of_file(str(file), status.st_size, status.st_mtime_ns).encode())
    return found.hexdigest()[:_LENGTH]


@lru_cache(maxsize=256)
def _of_file(path: str, size: int, changed: int) -> str:  # noqa: ARG001
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
