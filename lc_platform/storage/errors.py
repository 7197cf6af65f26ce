"""What goes wrong with a store, in words."""

from __future__ import annotations

import errno
import os

from lc_platform.errors import PlatformError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


_IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY}


class StorageError(PlatformError):
    """The store cannot take or give an artefact; the message says which, and what to do."""


class MissingArtefactError(StorageError):
    """An artefact is not there."""


class UnavailableError(StorageError):
    """The store cannot be reached, or cannot serve, for now."""

    transient = True


class DamagedArtefactError(StorageError):
    """An artefact cannot be read; where it is made next, it is made anew."""

    damaged = True

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def damaged(path: str, error: Exception, asset: str, key: str) -> DamagedArtefactError:
    """Return what to tell of a file of an asset that cannot be read, and why it cannot.

    key  of the artefact
    """
    return DamagedArtefactError(f"{path}: is damaged ({error}). Materialize {asset} again", key)


class ReplacedError(OSError):
    """An object was replaced by another one while it was read."""


def was_replaced(error: BaseException | None) -> bool:
    """Whether an error came of an object that was replaced while it was read."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ReplacedError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def explained(error: OSError, path: str) -> Exception:
    """What to tell a person about a failed write to ``path``."""
    reason = os.strerror(error.errno or 0)
    if error.errno in _FULL:
        return StorageError(
            f"{path}: the storage is full ({reason}). Nothing was left half-written. "
            "Make room, or move `storage`, and run again"
        )
    if error.errno in _REFUSED:
        return StorageError(
            f"{path}: cannot be written ({reason}). Give this user the right to write "
            "there, or change `storage`"
        )
    if error.errno in _IN_THE_WAY:
        return StorageError(
            f"{path}: cannot be written ({reason}: {error.filename or path}). A file is "
            "where a folder should be, or the other way round: move it away, or change `storage`"
        )
    if error.errno == errno.ESTALE:
        return UnavailableError(
            f"{path}: cannot be written ({reason}): the network mount was away. Nothing was left "
            "half-written. Run again"
        )
    if error.errno == errno.EIO:
        return StorageError(
            f"{path}: cannot be written ({error.strerror}). Nothing was left half-written. Check "
            "the disk of `storage`, its room and its quota, and run again"
        )
    return error
