"""Small windows of cubes, with the ground around them: its neighbours are often read next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from lc_platform.cube import Window
from lc_platform.runtime.bounded_cache import BoundedCache
from lc_platform.storage.zarr_cube import ZarrCube

_SIDE = 32
"""Pixels along the side of what is kept together; many fit into what is compressed together."""
_Key = tuple[str, str, int, int, str]
Around = BoundedCache[_Key, NDArray[Any]]
"""By the cube's path, layer, row and column of the square, and selection."""


def around(room: int) -> Around:
    """Return a cache for the squares of several cubes, of so many bytes."""
    return BoundedCache(room, lambda values: values.nbytes)


class NearbyCube:
    """A stored cube; squares around small windows of it are kept."""

    def __init__(self, cube: ZarrCube, kept: Around) -> None:
        self._cube = cube
        self._kept = kept
        self.grids, self.layers = cube.grids, cube.layers
        self.coordinates, self.attributes = cube.coordinates, cube.attributes

    def read(
        self, layer: str, window: Window | None = None, **select: int | slice | Sequence[int]
    ) -> NDArray[Any]:
        """Return a layer's values in a window; see `lc_platform.cube.Cube.read`."""
        if window is None:
            return self._cube.read(layer, None, **select)
        rows, columns = window
        row, column = rows.start // _SIDE, columns.start // _SIDE
        if (rows.stop - 1) // _SIDE != row or (columns.stop - 1) // _SIDE != column:
            return self._cube.read(layer, window, **select)
        key = self._cube.opened, layer, row, column, repr(select)
        values = self._kept.get(key)
        if values is None:
            height, width = self.grids[self.layers[layer].grid].shape
            square = (
                slice(row * _SIDE, min((row + 1) * _SIDE, height)),
                slice(column * _SIDE, min((column + 1) * _SIDE, width)),
            )
            values = self._cube.read(layer, square, **select)
            self._kept.put(key, values)
        top, left = row * _SIDE, column * _SIDE
        return values[
            ..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ].copy()
