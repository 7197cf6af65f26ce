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
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from lc_platform.errors import PlatformError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY}

_Read = TypeVar("_Read")


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
        if version := self._version(key):
            return self._raw(self._version_key(key, version))
        side = PurePosixPath(key)
        group = self._group(str(side.with_suffix("")))
        if version := self._version(group):
            return f"{self._raw(self._version_key(group, version))}/{PART}{side.suffix}"
        return path

    def current(self, key: str, read: Callable[[str], _Read]) -> _Read:
        """What ``read`` makes of a key's physical path: of one version, never of two.

        A version that is replaced while it is read is gone; then the new one is read.
        """
        while True:
            path = self.physical(key)
            try:
                return read(path)
            except Exception:
                if self.physical(key) == path:
                    raise

    def exists(self, key: str) -> bool:
        def there(path: str) -> bool:
            if not self.fs.exists(path):
                raise FileNotFoundError(path)
            return True

        try:
            return self.current(key, there)
        except FileNotFoundError:
            return False

    def read_bytes(self, key: str) -> bytes:
        """Raises MissingArtefactError naming the path where there is nothing."""
        try:
            return self.current(key, lambda path: bytes(self.fs.cat_file(path)))
        except FileNotFoundError as error:
            raise MissingArtefactError(
                f"{self.path(key)}: is not there. Materialize it first"
            ) from error

    def names(self, folder: str) -> list[str]:
        """Names of the visible artefacts in a folder, sorted; empty where there is none."""
        found = set()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in self.fs.ls(self._raw(folder), detail=False):
                name = PurePosixPath(str(path)).name
                if name.endswith(_POINTER):
                    name = name.removeprefix(".").removesuffix(_POINTER)
                if not name.startswith("."):
                    found.add(name)
        return sorted(n for n in found if not self.local or self.exists(f"{folder}/{n}"))

    def remove(self, key: str) -> None:
        """Take an artefact away, with all its versions; where siblings do, they go together."""
        group = self._group(str(PurePosixPath(key).with_suffix("")))
        if self._version(group):
            base = key.removesuffix(PurePosixPath(key).suffix)
            parts = self._parts(group)
            self._take(group)
            for name in parts:
                self._take(base + _ending(name))
        self._take(key)

    def _take(self, key: str) -> None:
        version = self._version(key)
        if self.local:
            Path(self._raw(key)).unlink(missing_ok=True)
        else:
            for path in (self._pointer(key), self._raw(key)):
                if self.fs.isfile(path):
                    self.fs.rm_file(path)
        self._sweep(key, done=version)

    # Writing

    @contextlib.contextmanager
    def file(self, key: str) -> Iterator[Path]:
        """A local path to write a file to; it appears under ``key`` when the block ends well."""
        suffix = PurePosixPath(key).suffix
        with self._explained(key), _writer() as version, contextlib.ExitStack() as scratch:
            if self.local:
                target = Path(self._raw(key))
                target.parent.mkdir(parents=True, exist_ok=True)
                staged = Path(self._raw(self._version_key(key, version + suffix)))
                scratch.callback(staged.unlink, missing_ok=True)
                yield staged
                staged.replace(target)
            else:
                folder = scratch.enter_context(tempfile.TemporaryDirectory())
                staged = Path(folder) / f"{PART}{suffix}"
                yield staged
                self.fs.pipe_file(self._raw(key), staged.read_bytes())
        self._sweep(key)

    def put(self, key: str, content: bytes) -> None:
        with self.file(key) as path:
            path.write_bytes(content)

    @contextlib.contextmanager
    def folder(self, key: str) -> Iterator[Staging]:
        """A new, hidden version of what ``key`` names; it becomes that when the block ends well."""
        with self._explained(key), self._folder(key) as staging:
            yield staging

    @contextlib.contextmanager
    def _folder(self, key: str) -> Iterator[Staging]:
        with _writer() as version:
            path = self._raw(self._version_key(key, version))
            try:
                self.fs.makedirs(path, exist_ok=True)
                yield Staging(self, path)
                previous = self._point(key, version)
            except BaseException:
                if self._version(key) != version:
                    self._discard(path)
                raise
        self._sweep(key, done=previous)

    @contextlib.contextmanager
    def siblings(self, key: str) -> Iterator[Staging]:
        """Like `folder`, for files that lie side by side under names that start with ``key``.

        A file ``part.tif`` of the staging appears as ``key`` + ``.tif``; all change in one step.
        In an object store those are copies for other tools, made one after the other; what reads
        through the store reads the version itself.
        """
        group = self._group(key)
        previous = self._parts(group)
        with self._explained(key), self._folder(group) as staging:
            yield staging
            names = staging.names()
            if self.local:
                for name in names:
                    link = self._raw(key + _ending(name))
                    self._link(link, f"{PurePosixPath(group).name}/{name}", staging.path)
        if not self.local:
            self.current(group, lambda folder: self._copy(folder, key))
        for name in set(previous) - set(names):
            self._take(key + _ending(name))

    def _parts(self, group: str) -> list[str]:
        """The names of the files of a group of siblings; none where it is not there."""
        try:
            return self.current(group, lambda folder: Staging(self, folder).names())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _copy(self, folder: str, key: str) -> None:
        for name in Staging(self, folder).names():
            self.fs.copy(f"{folder}/{name}", self._raw(key + _ending(name)))

    def _version(self, key: str) -> str | None:
        """The version that the pointer at ``key`` names, None where there is no pointer."""
        if not self.local:
            try:
                return bytes(self.fs.cat_file(self._pointer(key))).decode()
            except FileNotFoundError:
                return None
        try:
            return str(Path(self._raw(key)).readlink()).partition(_VERSION)[2] or None
        except OSError:
            return None

    def _point(self, key: str, version: str) -> str | None:
        """Make ``key`` stand for ``version``; returns the version it stood for."""
        previous = self._version(key)
        if self.local:
            target = self._raw(self._version_key(key, version))
            self._link(self._raw(key), PurePosixPath(target).name, scratch=target)
        else:
            self.fs.pipe_file(self._pointer(key), version.encode())
        return previous

    def _link(self, link: str, target: str, scratch: str) -> None:
        """Make ``link`` name ``target`` in one step; it is made in ``scratch`` and moved."""
        path = Path(link)
        with contextlib.suppress(OSError):
            if str(path.readlink()) == target:
                return
        if path.is_dir() and not path.is_symlink():
            raise StorageError(
                f"{path}: is a folder, and the platform keeps a link there. Move it away and run "
                "again"
            )
        staged = Path(scratch) / ".link"
        staged.symlink_to(target)
        staged.replace(path)

    def _sweep(self, key: str, done: str | None = None) -> None:
        """Remove the version that is ``done``, and what writers left that are no more."""
        prefix = PurePosixPath(self._version_key(key, "")).name
        suffix = PurePosixPath(key).suffix
        folder = self._raw(str(PurePosixPath(key).parent))
        with contextlib.suppress(OSError):
            for path in self.fs.ls(folder, detail=False):
                name = PurePosixPath(str(path)).name
                version = name.removeprefix(prefix)
                if not name.startswith(prefix):
                    continue
                over = version == done or not _at_work(version.removesuffix(suffix))
                # Asked after its writer has ended: from then on nothing makes it the current one.
                if over and version != self._version(key):
                    self._discard(str(path))

    def _discard(self, path: str) -> None:
        """Remove a version, or as much of it as can be."""
        if self.local and Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            if self.local:
                Path(path).unlink()
            else:
                self.fs.rm(path, recursive=True)

    def _raw(self, key: str) -> str:
        return str((self.root / key).path)

    def _pointer(self, key: str) -> str:
        path = PurePosixPath(key)
        return self._raw(str(path.with_name(f".{path.name}{_POINTER}")))

    @staticmethod
    def _group(key: str) -> str:
        """What siblings that start with ``key`` are the files of."""
        path = PurePosixPath(key)
        return str(path.with_name(f".{path.name}.current"))

    @staticmethod
    def _version_key(key: str, version: str) -> str:
        path = PurePosixPath(key)
        return str(path.with_name(f".{path.name}{_VERSION}{version}"))

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.local and error.filename and not self._inside(str(error.filename)):
                raise
            raise explained(error, self.path(key)) from error

    def _inside(self, path: str) -> bool:
        root = os.path.realpath(self._raw(""))
        path = os.path.realpath(path)
        return path == root or f"{path}/".startswith(f"{root}/") or root.startswith(f"{path}/")


PART = "part"
"""What siblings are called in their version, before the ending."""

_POINTER = ".pointer"
_VERSION = "@"


def _ending(name: str) -> str:
    return name[name.index(".") :]


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
    if error.errno == errno.EIO:
        return StorageError(
            f"{path}: cannot be written ({error.strerror}). Nothing was left half-written. Check "
            "the disk of `storage`, its room and its quota, and run again"
        )
    return error


_writing: set[str] = set()
"""The versions that this process is at."""


@contextlib.contextmanager
def _writer() -> Iterator[str]:
    """A new version's name, which says who writes it."""
    version = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    _writing.add(version)
    try:
        yield version
    finally:
        _writing.discard(version)


def _at_work(version: str) -> bool:
    """Whether the writer of a version may still be running; on other hosts, always."""
    host, _, rest = version.rpartition("-")[0].rpartition("-")
    if host != socket.gethostname() or not rest.isdecimal():
        return True
    if int(rest) == os.getpid():
        return version in _writing
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
