"""The folder or object store that artefacts lie in, and how they appear there: whole, or not.

A file appears by one rename (or one put). What consists of many files (a Zarr store, a model and
its card) is written under a new name of its own, and appears when one pointer to it is replaced:
a symbolic link in a folder, a small object in an object store. A writer that is killed leaves
what was there before; what it left behind is removed by the next writer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from lc_platform.errors import PlatformError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


class StorageError(PlatformError):
    """The store cannot take or give an artefact; the message says which, and what to do."""


class MissingArtefactError(StorageError):
    """An artefact is not there."""


class Store:
    """Artefacts by key: a relative path such as ``raw_bands/2017/33N-r003-c012.zarr``."""

    def __init__(self, url: str) -> None:
        self.root = UPath(url)
        self.fs: fsspec.AbstractFileSystem = self.root.fs
        self.local = isinstance(self.fs, LocalFileSystem)

    def __str__(self) -> str:
        return str(self.root)

    def path(self, key: str) -> str:
        """Where a key lies, as people and other tools write it."""
        return str(self.root / key)

    def physical(self, key: str) -> str:
        """The path, in the store's file system, of the version that a key stands for now."""
        path = self._raw(key)
        if self.local:
            return os.path.realpath(path)
        version = self._version(key)
        return self._raw(self._version_key(key, version)) if version else path

    def exists(self, key: str) -> bool:
        if self.local:
            return Path(self._raw(key)).exists()
        return bool(self.fs.exists(self._pointer(key)) or self.fs.isfile(self._raw(key)))

    def read_bytes(self, key: str) -> bytes:
        """Raises MissingArtefactError naming the path where there is nothing."""
        try:
            return bytes(self.fs.cat_file(self.physical(key)))
        except FileNotFoundError as error:
            raise MissingArtefactError(f"{self.path(key)}: is not there") from error

    def names(self, folder: str) -> list[str]:
        """Names of the visible artefacts in a folder, sorted; empty where there is none."""
        found = set()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in self.fs.ls(self._raw(folder), detail=False):
                name = PurePosixPath(str(path)).name
                if name.endswith(_POINTER):
                    found.add(name.removeprefix(".").removesuffix(_POINTER))
                elif not name.startswith("."):
                    found.add(name)
        return sorted(n for n in found if not self.local or self.exists(f"{folder}/{n}"))

    def remove(self, key: str) -> None:
        """Take an artefact away, with all its versions."""
        version = self._version(key)
        if self.local:
            path = Path(self._raw(key))
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        else:
            for path in (self._pointer(key), self._raw(key)):
                if self.fs.isfile(path):
                    self.fs.rm_file(path)
        self._sweep(key, done=version)

    # Writing

    @contextlib.contextmanager
    def file(self, key: str) -> Iterator[Path]:
        """A local path to write a file to; it appears under ``key`` when the block ends well."""
        with self._explained(key):
            target = Path(self._raw(key)) if self.local else None
            folder = target.parent if target else None
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            name = self._version_key(key, f"{_writer()}{PurePosixPath(key).suffix}")
            scratch = folder or Path(tempfile.mkdtemp())
            staged = scratch / PurePosixPath(name).name
            try:
                yield staged
                if target:
                    staged.replace(target)
                else:
                    self.fs.pipe_file(self._raw(key), staged.read_bytes())
            finally:
                staged.unlink(missing_ok=True)
                if not folder:
                    scratch.rmdir()
            self._sweep(key)

    def put(self, key: str, content: bytes) -> None:
        with self.file(key) as path:
            path.write_bytes(content)

    @contextlib.contextmanager
    def folder(self, key: str) -> Iterator[Staging]:
        """A new, hidden version of what ``key`` names; it becomes that when the block ends well."""
        with self._explained(key):
            version = _writer()
            path = self._raw(self._version_key(key, version))
            staging = Staging(self, path)
            try:
                self.fs.makedirs(path, exist_ok=True)
                yield staging
                previous = self._point(key, version)
            except BaseException:
                with contextlib.suppress(OSError):
                    self.fs.rm(path, recursive=True)
                raise
            self._sweep(key, version, previous)

    @contextlib.contextmanager
    def siblings(self, key: str) -> Iterator[Staging]:
        """Like `folder`, for files that lie side by side under names that start with ``key``.

        A file `part.tif` of the staging appears as ``key`` + ``.tif``; all change in one step.
        """
        current = self._hidden(key, "current")
        with self.folder(current) as staging:
            yield staging
            names = staging.names()
        if self.local:
            base = Path(self._raw(key))
            for name in names:
                link = base.with_name(base.name + PurePosixPath(name).suffix)
                target = os.path.join(PurePosixPath(current).name, name)  # noqa: PTH118
                if not (link.is_symlink() and os.readlink(link) == target):  # noqa: PTH115
                    _replace_link(link, target)
        else:
            for name in names:
                source = f"{self.physical(current)}/{name}"
                self.fs.copy(source, self._raw(key) + PurePosixPath(name).suffix)

    def _version(self, key: str) -> str | None:
        """The version that the pointer at ``key`` names, None where there is no pointer."""
        if self.local:
            path = Path(self._raw(key))
            return str(path.readlink()).partition(_VERSION)[2] if path.is_symlink() else None
        pointer = self._pointer(key)
        return self.fs.cat_file(pointer).decode() if self.fs.isfile(pointer) else None

    def _point(self, key: str, version: str) -> str | None:
        """Make ``key`` stand for ``version``; returns the version it stood for."""
        previous = self._version(key)
        if self.local:
            _replace_link(Path(self._raw(key)), PurePosixPath(self._version_key(key, version)).name)
        else:
            self.fs.pipe_file(self._pointer(key), version.encode())
        return previous

    def _sweep(self, key: str, current: str | None = None, done: str | None = None) -> None:
        """Remove the version that is ``done``, and what writers left that are no more."""
        prefix = PurePosixPath(self._version_key(key, "")).name
        with contextlib.suppress(FileNotFoundError):
            folder = self._raw(str(PurePosixPath(key).parent))
            for path in self.fs.ls(folder, detail=False):
                name = PurePosixPath(str(path)).name
                version = name.removeprefix(prefix)
                if not name.startswith(prefix) or version == current:
                    continue
                if version == done or not _at_work(version):
                    with contextlib.suppress(OSError):
                        self.fs.rm(str(path), recursive=True)

    def _raw(self, key: str) -> str:
        return str((self.root / key).path)

    def _pointer(self, key: str) -> str:
        return self._raw(self._hidden(key, "") + _POINTER)

    @staticmethod
    def _hidden(key: str, extension: str) -> str:
        path = PurePosixPath(key)
        return str(path.with_name(f".{path.name}" + (f".{extension}" if extension else "")))

    @staticmethod
    def _version_key(key: str, version: str) -> str:
        path = PurePosixPath(key)
        return str(path.with_name(f".{path.name}{_VERSION}{version}"))

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explained(error, self.path(key)) from error


_POINTER = ".pointer"
_VERSION = "@"


class Staging:
    """A version being written."""

    def __init__(self, store: Store, path: str) -> None:
        self.store = store
        self.path = path
        """In the store's file system; not visible to readers yet."""

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A local path to write the file ``name`` of this version to."""
        if self.store.local:
            yield Path(self.path) / name
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / name
            yield local
            self.store.fs.put_file(str(local), f"{self.path}/{name}")

    def names(self) -> list[str]:
        listed = self.store.fs.ls(self.path, detail=False)
        return sorted(PurePosixPath(str(path)).name for path in listed)


def explained(error: OSError, path: str) -> Exception:
    """What to tell a person about a failed write to ``path``."""
    if error.errno in _FULL:
        return StorageError(
            f"{path}: the storage is full ({error.strerror}). Nothing was left half-written. "
            "Make room, or move `storage`, and run again"
        )
    if error.errno in _REFUSED:
        return StorageError(
            f"{path}: cannot be written ({error.strerror}). Give this user the right to write "
            "there, or change `storage`"
        )
    return error


def _writer() -> str:
    return f"{uuid.uuid4().hex[:8]}-{os.getpid()}-{socket.gethostname()}"


def _at_work(version: str) -> bool:
    """Whether the writer of a version may still be running; on other hosts, always."""
    _, pid, host = version.split("-", 2)
    if not host.startswith(socket.gethostname()):
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _replace_link(link: Path, target: str) -> None:
    if link.is_dir() and not link.is_symlink():
        raise StorageError(
            f"{link}: is a folder, and the platform keeps a link there. Move it away and run again"
        )
    staged = link.with_name(f".{uuid.uuid4().hex}")
    staged.symlink_to(target)
    staged.replace(link)
