"""Arrays of xarray that read what is asked for, when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from lc_platform.cube import Window
from lc_platform.eo.onnx_model import MissingPackageError

Read = Callable[[Sequence[list[int]], Window], NDArray[Any]]
"""Gives the values (dims..., y, x) at positions along each dim before (y, x), in a window."""


Chunks = Mapping[str, int] | Literal["auto"]
"""By dim, how many of it are read together."""


class LazyArray(BackendArray):
    """An array (dims..., y, x) of which windows are read."""

    def __init__(self, shape: Sequence[int], dtype: DTypeLike, read: Read) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self._read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._selected
        )

    def _selected(self, key: tuple[Any, ...]) -> NDArray[Any]:
        picked = [_positions(one, length) for one, length in zip(key, self.shape, strict=True)]
        if not all(map(len, picked)):
            values: NDArray[Any] = np.empty([len(one) for one in picked], self.dtype)
        else:
            *lead, rows, columns = picked
            window = (
                slice(int(rows.min()), int(rows.max()) + 1),
                slice(int(columns.min()), int(columns.max()) + 1),
            )
            values = self._read([one.tolist() for one in lead], window)
            if len(rows) != values.shape[-2] or (np.diff(rows) != 1).any():
                values = values[..., rows - rows.min(), :]
            if len(columns) != values.shape[-1] or (np.diff(columns) != 1).any():
                values = values[..., columns - columns.min()]
        dropped = tuple(axis for axis, one in enumerate(key) if isinstance(one, int | np.integer))
        return values.squeeze(dropped) if dropped else values


def _positions(one: int | slice | NDArray[Any], length: int) -> NDArray[np.int64]:
    if isinstance(one, slice):
        return np.arange(*one.indices(length), dtype=np.int64)
    positions = np.atleast_1d(np.asarray(one, np.int64))
    return np.where(positions < 0, positions + length, positions)


def variable(dims: Sequence[str], array: LazyArray, attributes: dict[str, Any]) -> xr.Variable:
    """Return a variable that reads its pixels when they are used, and keeps none."""
    lazy: Any = indexing.LazilyIndexedArray(array)
    lazy = indexing.CopyOnWriteArray(lazy)
    return xr.Variable(dims, lazy, attributes, {"grid_mapping": "spatial_ref"})


def in_chunks(dataset: xr.Dataset, chunks: Chunks | None) -> xr.Dataset:
    """Return a dataset whose pixels dask reads, chunk by chunk; as it is where ``chunks`` is None.

    Raises MissingPackageError where there is no dask.
    """
    if chunks is None:
        return dataset
    if find_spec("dask") is None:
        raise MissingPackageError(
            "chunks: dask, which reads in chunks, is not installed: `pip install dask`. Without "
            "chunks, select what is needed before it is computed"
        )
    return dataset.chunk(chunks)
