"""The folder or object store that artefacts lie in, and how they appear there: whole, or not.

A file appears by one rename (or one put). What consists of many files is written under a new name
of its own in a folder, and appears when one symbolic link to it is replaced; so does a Zarr store
in an object store, where the link is a small object. Other files lie at their keys in an object
store, see `lc_platform.storage.file_sets`. A writer that is killed leaves what was there before.
What it left behind, and what was replaced, is removed in a folder by the next writer, in an object
store by `prune`: there a reader may still be at it.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from lc_platform.config import Config, ObjectStore
from lc_platform.errors import PlatformError
from lc_platform.storage import remote
from lc_platform.storage.errors import (
    _FULL,
    DamagedArtefactError,
    MissingArtefactError,
    StorageError,
    UnavailableError,
    explained,
    was_replaced,
)
from lc_platform.storage.file_sets import FileSet, ending
from lc_platform.storage.remote.http import UnusableError
from lc_platform.storage.staging import Staging
from lc_platform.storage.writers import (
    CURRENT,
    POINTER,
    VERSION,
    ZARR,
    at_work,
    pointer,
    writer,
)

_ASKED_ONE_BY_ONE = 8
"""Keys, whether they are there; of more their folders are listed."""

_REPLACED = "{}: was replaced while it was read. Run again"

_Read = TypeVar("_Read")


class Store:
    """Artefacts by key: a relative path such as ``raw_bands/2017/33N-r003-c012.zarr``."""

    def __init__(self, url: str, settings: ObjectStore | None = None) -> None:
        """``settings`` of an object store, the defaults where not given. Raises StorageError where
        the URL, or what reaches it, is not usable; nothing is asked of the store yet."""
        self.settings = settings or ObjectStore()
        try:
            self.root = UPath(url)
            self.fs = remote.file_system(url, self.settings)
        except ImportError as error:
            package, extra = remote.driver(url) or (str(error), "s3")
            raise StorageError(
                f"{url}: needs {package}, which is not installed. Install it with "
                f"`pip install 'lc-platform[{extra}]'`"
            ) from error
        except ValueError as error:
            raise StorageError(
                f"{url}: is no place to store anything ({error}). Write a folder, or s3://, gs:// "
                "or az:// with a bucket and a prefix"
            ) from error
        except UnusableError as error:
            raise StorageError(f"{url}: {error}") from error
        self.local = isinstance(self.fs, LocalFileSystem)
        self.patience = 30.0
        """Seconds that files are read again which should belong together, and do not."""

    @classmethod
    def of(cls, config: Config) -> Store:
        """The store that a configuration names. Raises ConfigError, StorageError."""
        return cls(config.storage_url, config.store_settings)

    @cached_property
    def asynchronous(self) -> Any:
        """The same file system for use in another event loop than fsspec's own."""
        if not self.fs.async_impl:
            from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

            return AsyncFileSystemWrapper(self.fs, asynchronous=True)
        return type(self.fs)(**{**self.fs.storage_options, "asynchronous": True})

    def __str__(self) -> str:
        return str(self.root)

    def path(self, key: str) -> str:
        """Where a key lies, as people and other tools write it."""
        return str(self.root / key)

    def plain(self, key: str) -> str:
        """The path, in the store's file system, of what a key names itself."""
        return self._raw(key)

    def physical(self, key: str) -> str:
        """The path, in the store's file system, of the version that a key stands for now."""
        path = self._raw(key)
        if self.local:
            return os.path.realpath(path)
        if not _is_file(key) and (version := self.version_of(key)):
            return self._raw(self._version_key(key, version))
        return path

    def state(self, key: str) -> object:
        """What differs where an artefact was replaced since, or a part of it."""
        physical = self.physical(key)
        if self.local or physical != self._raw(key):
            return physical
        with self.reaching(self.path(key)):
            return self._files(key).states()

    def current(self, key: str, read: Callable[[str], _Read]) -> _Read:
        """What ``read`` makes of a key's physical path: of one version, never of two.

        A version that is replaced while it is read is gone; then the new one is read.
        """
        with self.reaching(self._shown(key)):
            while True:
                path = self.physical(key)
                try:
                    return read(path)
                except Exception as error:
                    if not was_replaced(error) and self.physical(key) == path:
                        raise

    @contextlib.contextmanager
    def reaching(self, path: str) -> Iterator[None]:
        """Errors of the way to the store become a StorageError that names ``path`` and says what
        to do, one of them that may pass an UnavailableError."""
        try:
            yield
        except Exception as error:
            if told := self.fault(path, error):
                raise told from error
            raise

    def fault(self, path: str, error: Exception) -> StorageError | None:
        """What an error says of the way to the store, None where it is about something else."""
        if self.local or isinstance(error, PlatformError):
            return None
        if was_replaced(error):
            return UnavailableError(_REPLACED.format(path))
        found = remote.fault(error, remote.place(self.fs, self.settings))
        if found is None:
            return None
        kind = UnavailableError if found.transient else StorageError
        return kind(f"{path}: {found.words}")

    def unreadable(self, key: str, physical: str, problem: str) -> StorageError:
        """What to say where the version of a key that lies at a physical path, or a file in it,
        cannot be read: it was replaced meanwhile, which another try mends, or it is damaged."""
        now = self.physical(key)
        if physical != now and not physical.startswith(f"{now}/"):
            return UnavailableError(_REPLACED.format(self.path(key)))
        return DamagedArtefactError(f"{self.path(key)}: {problem}. Materialize it again", key)

    def opened(self, path: str) -> BinaryIO:
        """A physical path for reading: one file all along, also where it is replaced meanwhile."""
        return Path(path).open("rb") if self.local else io.BytesIO(self.content(path))

    def content(self, path: str) -> bytes:
        """All bytes of a physical path: of one object, also where it is replaced meanwhile."""
        return Path(path).read_bytes() if self.local else self.fs.fetch(path).content

    def check(self) -> None:
        """Write, read, list and delete a small file, so that what is wrong shows before any work.

        Raises StorageError with what is wrong and what to do.
        """
        key, content = f".check-{uuid.uuid4().hex}", b"lc_platform"
        self.put(key, content)
        if self.read_bytes(key) != content:
            raise StorageError(
                f"{self}: what was written does not read back. Change `storage`, or "
                "object_store.endpoint"
            )
        with self.reaching(str(self)):
            listed = [PurePosixPath(str(path)).name for path in self.fs.ls(self.base, False)]
            self.remove_object(self._raw(key))
        if key not in listed:
            raise StorageError(
                f"{self}: what was written is not listed. Change `storage`, or "
                "object_store.endpoint"
            )

    def expect_folder(self) -> None:
        """Raises StorageError where a file is in the way of the folder that the store is. Of an
        object store nothing is asked, and a folder need not be there yet."""
        if not self.local:
            return
        try:
            os.stat(f"{self.base}/")  # noqa: PTH116 - with the slash it is of a folder alone
        except FileNotFoundError:
            return
        except OSError as error:
            raise explained(error, str(self)) from error

    def exists(self, key: str) -> bool:
        def there(path: str) -> bool:
            if not self.local and _is_file(key):
                self.fs.fetch(path, 0, 1)  # whose refusal says more than that of asking alone
            elif not self.local and path == self._raw(key) and not key.endswith(ZARR):
                if not self._files(key).states():  # some stores keep an empty folder
                    raise FileNotFoundError(path)
            elif not self.fs.exists(path):
                raise FileNotFoundError(path)
            return True

        try:
            return self.current(key, there)
        except FileNotFoundError:
            return False

    def read_bytes(self, key: str) -> bytes:
        """Raises MissingArtefactError naming the path where there is nothing."""
        try:
            return self.current(key, self.content)
        except FileNotFoundError as error:
            raise MissingArtefactError(
                f"{self.path(key)}: is not there. Materialize it first"
            ) from error

    def there(self, keys: Iterable[str]) -> set[str]:
        """Those of many keys that are there, by a listing a folder."""
        wanted = list(keys)
        if len(wanted) <= _ASKED_ONE_BY_ONE:
            return {key for key in wanted if self.exists(key)}
        listed: dict[PurePosixPath, set[str]] = {}
        for folder in {PurePosixPath(key).parent for key in wanted}:
            listed[folder] = set(self.names(str(folder)))
        return {
            key for key in wanted if PurePosixPath(key).name in listed[PurePosixPath(key).parent]
        }

    def names(self, folder: str) -> list[str]:
        """Names of the visible artefacts in a folder, sorted; empty where there is none."""
        if self.local:
            return sorted(self._in_folder(self._raw(folder), ""))
        found = set()
        with self.reaching(self.path(folder)):
            for path in self.children(self._raw(folder)):
                name = PurePosixPath(str(path["name"])).name
                if name.endswith(POINTER):
                    name = name.removeprefix(".").removesuffix(POINTER)
                if not name.startswith("."):
                    found.add(name)
        return sorted(found)

    def files(self, folder: str, prefix: str) -> list[str]:
        """Names of the plain files in a folder that begin with a prefix, sorted: without listing
        the others, where the store can."""
        if self.local:
            return sorted(self._in_folder(self._raw(folder), prefix))
        with self.reaching(self.path(folder)), contextlib.suppress(FileNotFoundError):
            found = self.fs.find(self._raw(folder), maxdepth=1, prefix=prefix)
            return sorted(PurePosixPath(str(path)).name for path in found)
        return []

    @staticmethod
    def _in_folder(path: str, prefix: str) -> Iterator[str]:
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(path) as entries,
        ):
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.startswith(prefix):
                    continue
                # A link whose version is gone names nothing.
                if not entry.is_symlink() or Path(entry.path).exists():
                    yield entry.name

    def remove(self, key: str) -> None:
        """Take an artefact away; where siblings do, they go together.

        In a folder its versions go with it, in an object store those of a Zarr store are left to
        `prune`.
        """
        group = self.group(str(PurePosixPath(key).with_suffix("")))
        with self.reaching(self.path(key)):
            if self.local and self.version_of(group):
                base = key.removesuffix(PurePosixPath(key).suffix)
                parts = self.parts(group)
                self._take(group)
                for name in parts:
                    self._take(base + ending(name))
            self._take(key)
            if not self.local and not key.endswith(ZARR):
                self._files(key).remove()

    def _take(self, key: str) -> None:
        if self.local:
            version = self.version_of(key)
            Path(self._raw(key)).unlink(missing_ok=True)
            self._sweep(key, done=version)
            return
        for path in (self._raw(pointer(key)), self._raw(key)):
            # Asked so, because "no file" is what some drivers answer where they cannot tell.
            with contextlib.suppress(FileNotFoundError):
                if self.fs.info(path)["type"] == "file":
                    self.remove_object(path)

    def remove_object(self, path: str) -> None:
        """Take away what lies at a physical path of an object store, where it is there."""
        # It is not there either where the answer to its removal was lost, and it was tried again.
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(path)

    # Writing

    @contextlib.contextmanager
    def file(self, key: str) -> Iterator[Path]:
        """A local path to write a file to; it appears under ``key`` when the block ends well."""
        suffix = PurePosixPath(key).suffix
        with self._explained(key), writer() as version, contextlib.ExitStack() as scratch:
            if self.local:
                target = Path(self._raw(key))
                target.parent.mkdir(parents=True, exist_ok=True)
                staged = Path(self._raw(self._version_key(key, version + suffix)))
                scratch.callback(staged.unlink, missing_ok=True)
                yield staged
                staged.replace(target)
            else:
                folder = scratch.enter_context(tempfile.TemporaryDirectory())
                staged = Path(folder) / f"file{suffix}"
                yield staged
                self.send(staged, self._raw(key))
        self._sweep(key)

    def send(self, file: Path, path: str) -> None:
        """Send a local file to a physical path of an object store, in parts where it is large."""
        self.fs.send(str(file), path)

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
        with writer() as version:
            path = self._raw(self._version_key(key, version))
            staging = Staging(self, path)
            try:
                if self.local:
                    self.fs.makedirs(path, exist_ok=True)
                yield staging
                previous = self._point(key, version)
            except BaseException:
                if self.version_of(key) != version and not staging.worth_keeping:
                    self.discard(path)
                raise
        self._sweep(key, done=previous)

    @contextlib.contextmanager
    def bundle(self, key: str, main: str) -> Iterator[Staging]:
        """Like `folder`, for files that other programs open, each at its key.

        In a folder all change in one step. In an object store they do one after the other, the
        main file last: see `read_together`.
        """
        if self.local:
            with self.folder(key) as staging:
                yield staging
            return
        with self._explained(key):
            with self._file_set(self._files(key), main) as staging:
                yield staging
            self.remove_object(self._raw(pointer(key)))  # of the layout before

    @contextlib.contextmanager
    def siblings(self, key: str, main: str) -> Iterator[Staging]:
        """Like `bundle`, for files that lie side by side under names that start with ``key``.

        A file ``part.tif`` of the staging appears as ``key`` + ``.tif``.
        """
        if not self.local:
            files = FileSet(self, key, self._raw(key))
            with self._explained(key), self._file_set(files, main) as staging:
                yield staging
            return
        group = self.group(key)
        previous = self.parts(group)
        with self._explained(key), self._folder(group) as staging:
            yield staging
            names = staging.names()
            for name in names:
                link = self._raw(key + ending(name))
                self._link(link, f"{PurePosixPath(group).name}/{name}", staging.path)
        for name in set(previous) - set(names):
            self._take(key + ending(name))

    @contextlib.contextmanager
    def _file_set(self, files: FileSet, main: str) -> Iterator[Staging]:
        with writer() as version, tempfile.TemporaryDirectory() as folder:
            staging = Staging(self, folder, here=True)
            yield staging
            written = {name: Path(folder) / name for name in staging.names()}
            files.write(written, main, version)

    def _files(self, key: str) -> FileSet:
        """The files of an artefact in an object store."""
        path = self._raw(key)
        suffix = PurePosixPath(key).suffix
        return FileSet(self, key, path.removesuffix(suffix) if suffix else f"{path}/")

    def read_together(self, key: str, *names: str) -> list[bytes]:
        """Files of a `bundle`, of one writing of it.

        Raises FileNotFoundError where one is missing, DamagedArtefactError where they do not
        belong together, and stay so.
        """

        def read(folder: str) -> list[bytes]:
            if self.local or folder != self._raw(key):
                return [self.content(f"{folder}/{name}") for name in names]
            return self._files(key).read(names)

        return self.current(key, read)

    def versions(self, key: str) -> list[str]:
        """Paths, in the store's file system, of a key's versions that are not the current one:
        in the making, left by a writer that is no more, or replaced."""
        current = self.version_of(key)
        prefix = PurePosixPath(self._version_key(key, "")).name
        folder = self._raw(str(PurePosixPath(key).parent))
        if self.local:
            names = [path.name for path in Path(folder).glob(f"{glob.escape(prefix)}*")]
        else:
            with self.reaching(self.path(key)):
                found = self.fs.find(folder, prefix=prefix)
            depth = len(PurePosixPath(folder).parts)
            names = sorted({PurePosixPath(str(path)).parts[depth] for path in found})
        return [f"{folder}/{name}" for name in names if name.removeprefix(prefix) != current]

    def parts(self, group: str) -> list[str]:
        """The names of the files of a group of siblings; none where it is not there."""
        try:
            return self.current(group, lambda folder: Staging(self, folder).names())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def version_of(self, key: str) -> str | None:
        """The version that the pointer at ``key`` names, None where there is no pointer."""
        if not self.local:
            try:
                return self.content(self._raw(pointer(key))).decode()
            except FileNotFoundError as error:
                if self.fault(key, error):
                    raise
                return None
        try:
            return str(Path(self._raw(key)).readlink()).partition(VERSION)[2] or None
        except OSError:
            return None

    def _point(self, key: str, version: str) -> str | None:
        """Make ``key`` stand for ``version``; returns the version it stood for."""
        previous = self.version_of(key)
        if self.local:
            target = self._raw(self._version_key(key, version))
            self._link(self._raw(key), PurePosixPath(target).name, scratch=target)
        else:
            self.fs.pipe_file(self._raw(pointer(key)), version.encode())
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
        """Remove the version that is ``done``, and what writers left that are no more.

        In a folder only, where who reads has opened its files, or is told to read again.
        """
        if not self.local:
            return
        prefix = PurePosixPath(self._version_key(key, "")).name
        suffix = PurePosixPath(key).suffix
        folder = self._raw(str(PurePosixPath(key).parent))
        with contextlib.suppress(OSError):
            for path in self.fs.ls(folder, detail=False):
                name = PurePosixPath(str(path)).name
                version = name.removeprefix(prefix)
                if not name.startswith(prefix):
                    continue
                over = version == done or not at_work(version.removesuffix(suffix))
                # Asked after its writer has ended: from then on nothing makes it the current one.
                if over and version != self.version_of(key):
                    self.discard(str(path))

    def discard(self, path: str) -> None:
        """Remove a version, or as much of it as can be."""
        if self.local and Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            return
        with contextlib.suppress(OSError, StorageError), self.reaching(path):
            if self.local:
                Path(path).unlink()
            else:
                self.fs.rm(path, recursive=True)

    def children(self, path: str) -> list[dict[str, Any]]:
        """What the driver tells of each entry of a folder; none where there is no folder."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            # Some stores name an empty folder as what is in it.
            found = self.fs.ls(path, detail=True)
            return [one for one in found if str(one["name"]).rstrip("/") != path.rstrip("/")]
        return []

    def _raw(self, key: str) -> str:
        # A "." would be a part of the name in an object store.
        return str((self.root / key).path) if key not in (".", "") else self.base

    @property
    def base(self) -> str:
        """The path of the store itself, in its file system."""
        return str(self.root.path).rstrip("/")

    @staticmethod
    def group(key: str) -> str:
        """What siblings that start with ``key`` are the files of."""
        path = PurePosixPath(key)
        return str(path.with_name(f".{path.name}{CURRENT}"))

    def _shown(self, key: str) -> str:
        """The path of a key in messages: of siblings what their names start with."""
        path = PurePosixPath(key)
        if path.name.startswith(".") and path.name.endswith(CURRENT):
            key = str(path.with_name(path.name[1:].removesuffix(CURRENT)))
        return self.path(key)

    @staticmethod
    def _version_key(key: str, version: str) -> str:
        path = PurePosixPath(key)
        return str(path.with_name(f".{path.name}{VERSION}{version}"))

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            with self.reaching(self.path(key)):
                yield
        except OSError as error:
            if self.local and error.filename and not self._inside(str(error.filename)):
                raise
            if not self.local and error.errno in _FULL:
                raise StorageError(
                    f"{self.path(key)}: {tempfile.gettempdir()} has no room for what is on its "
                    "way there. Make room, or have TMPDIR name a larger folder, and run again"
                ) from error
            if not self.local and (code := remote.answer(error)):
                raise StorageError(
                    f"{self.path(key)}: what answers there ({code}) takes no files. Check "
                    "object_store.endpoint, and `storage`"
                ) from error
            raise explained(error, self.path(key)) from error

    def _inside(self, path: str) -> bool:
        root = os.path.realpath(self._raw(""))
        path = os.path.realpath(path)
        return path == root or f"{path}/".startswith(f"{root}/") or root.startswith(f"{path}/")


def _is_file(key: str) -> bool:
    """Whether a key names a file, and not what is made of many."""
    return PurePosixPath(key).suffix not in ("", ZARR)
