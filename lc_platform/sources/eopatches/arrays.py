"""The arrays of an EOPatch's features, in the files that eo-learn has written: `.npy`, `.npy.gz`
and Zarr stores.

They are read along their first axis, an acquisition at a time, so that memory does not grow with
the year. Nothing in them is run: an array of Python objects is a pickle, and is refused.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import zarr
from numpy.lib import format as npy
from numpy.typing import NDArray

from lc_platform.sources.protocol import SourceError

NPY = (".npy", ".npy.gz")
ZARR = ".zarr"
PICKLES = (".pkl", ".pkl.gz", ".pickle", ".pickle.gz")
_NUMBERS = "biuf"
"""Kinds of numpy's types that are numbers."""
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_CUT_SHORT = "it is cut short, as by a download or a save that has not ended. Copy or save it again"


class StoredArray(Protocol):
    """An array in a file or a store, of numbers or truth values."""

    @property
    def path(self) -> Path: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def frames(self) -> Iterator[NDArray[Any] | None]:
        """Yield what lies along the first axis, in order; None for what was never written.

        Raises SourceError naming the file where it is damaged.
        """
        ...

    def read(self) -> NDArray[Any]:
        """Return all of it. Raises SourceError naming the file where it is damaged, or was not
        written in full."""
        ...


def opened(path: Path) -> StoredArray:
    """Return the array in a file or store, of which no more than its head is read.

    Raises SourceError naming it where it is pickled, damaged, or neither `.npy` nor Zarr.
    """
    name = path.name.lower()
    if name.endswith(PICKLES):
        raise refused_pickle(path)
    try:
        if name.endswith(ZARR):
            return _ZarrArray.of(path)
        if name.endswith(NPY):
            return _NpyArray.of(path)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zlib.error) as error:
        raise _unreadable(path, error) from error
    raise SourceError(
        f"{path}: eo-learn keeps arrays as .npy, .npy.gz or .zarr, and this is none of them. Save "
        "the EOPatch again by eo-learn 1.x"
    )


def refused_pickle(path: Path) -> SourceError:
    """Return the error of a file in which Python's pickle keeps objects."""
    return SourceError(
        f"{path}: it is a pickle, as eo-learn before 1.0 has written it, and to read a pickle is "
        "to run the code in it. Where you trust it, open it by eo-learn 1.0 to 1.2, which were the "
        "last to read pickles, and save it again: EOPatch.load(folder).save(other_folder)"
    )


def _refused_objects(path: Path) -> SourceError:
    return SourceError(
        f"{path}: it holds Python objects in a pickle and no numbers, and to read a pickle is to "
        "run the code in it. Where you trust it, open it by eo-learn, turn the feature into "
        "numbers, and save it again"
    )


def _unreadable(path: Path, error: BaseException) -> SourceError:
    return SourceError(
        f"{path}: it cannot be read; it is damaged, or was not written by eo-learn ({error}). Copy "
        "or save it again"
    )


def _checked(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise _refused_objects(path)
    if dtype.kind not in _NUMBERS or dtype.fields is not None:
        raise SourceError(
            f"{path}: it holds {dtype}, and imagery, masks and maps are numbers. Save it again as "
            "numbers"
        )
    if not shape or not math.prod(shape):
        raise SourceError(
            f"{path}: it is empty (its shape is {shape}). Save it again, or leave the EOPatch out"
        )


@dataclass(frozen=True)
class _NpyArray:
    """An array in numpy's own format, which may be compressed by gzip."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_columns: bool
    """Whether the first index is the one that changes fastest, as in Fortran."""
    begins: int
    """The byte at which the numbers begin."""

    @classmethod
    def of(cls, path: Path) -> _NpyArray:
        with _stream(path) as file:
            version = npy.read_magic(file)
            if version not in _HEADERS:
                raise ValueError(f"version {version} of numpy's format")
            shape, by_columns, dtype = _HEADERS[version](file)
            _checked(path, shape, dtype)
            return cls(path, shape, dtype, by_columns, file.tell())

    def frames(self) -> Iterator[NDArray[Any]]:
        try:
            with _stream(self.path) as file:
                file.seek(self.begins)
                if self.by_columns:
                    yield from self._numbers(file, self.shape[::-1]).T
                    return
                for _ in range(self.shape[0]):
                    yield self._numbers(file, self.shape[1:])
        except EOFError as error:
            raise SourceError(f"{self.path}: {_CUT_SHORT}") from error
        except (OSError, ValueError, zlib.error) as error:
            raise _unreadable(self.path, error) from error

    def read(self) -> NDArray[Any]:
        return np.stack([*self.frames()])

    def _numbers(self, file: BinaryIO, shape: tuple[int, ...]) -> NDArray[Any]:
        size = math.prod(shape) * self.dtype.itemsize
        data = file.read(size)
        if len(data) < size:
            raise EOFError
        numbers = np.frombuffer(data, self.dtype).reshape(shape)
        return numbers.astype(self.dtype.newbyteorder("="), copy=False)


def _stream(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


@dataclass(frozen=True)
class _ZarrArray:
    """An array in a Zarr store, in chunks of an acquisition each."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    array: Any

    @classmethod
    def of(cls, path: Path) -> _ZarrArray:
        _check_codecs(path)
        array: Any = zarr.open_array(path, mode="r")
        _checked(path, array.shape, array.dtype)
        return cls(path, array.shape, array.dtype, array)

    def frames(self) -> Iterator[NDArray[Any] | None]:
        for index in range(self.shape[0]):
            yield self._values(index) if self._written(index) else None

    def read(self) -> NDArray[Any]:
        if not all(map(self._written, range(self.shape[0]))):
            raise SourceError(f"{self.path}: it was not written in full. Save it again")
        return self._values(...)

    def _values(self, at: Any) -> NDArray[Any]:
        try:
            return np.asarray(self.array[at])
        except (OSError, RuntimeError, ValueError) as error:
            raise _unreadable(self.path, error) from error

    def _written(self, index: int) -> bool:
        """Whether any chunk of an acquisition is there: those that eo-learn has not come to are
        not."""
        key = self.array.metadata.encode_chunk_key
        first = index // self.array.chunks[0]
        rest = (-(-n // c) for n, c in zip(self.shape[1:], self.array.chunks[1:], strict=True))
        return any((self.path / key((first, *at))).exists() for at in np.ndindex(*rest))


def _check_codecs(path: Path) -> None:
    """Raises SourceError where a chunk would be a pickle."""
    for name in (".zarray", "zarr.json"):
        if (file := path / name).is_file():
            if '"pickle"' in json.dumps(json.loads(file.read_text("utf-8"))).lower():
                raise _refused_objects(path)
            return
    raise SourceError(
        f"{path}: it has no .zarray, as of a save that has not ended. Copy or save it again"
    )
