"""Values between the pixels of a raster file that has the axes of the grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import resampling
from lc_platform.eo.resampling import Interpolation
from lc_platform.sources.stac.sampling import PixelIndices, is_data

_STEPS = 2**20
"""Of a file pixel: places are rounded to these, so that those of every window are the same."""


def with_neighbours(where: PixelIndices, shape: tuple[int, int]) -> PixelIndices:
    """Return pixels of a file of some shape, and those around them."""

    def widened(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        around = np.arange(-resampling.REACH, resampling.REACH + 1)
        found = np.unique(positions[:, None] + around)
        return found[(found >= 0) & (found < length)]

    return PixelIndices(widened(where.rows, shape[0]), widened(where.columns, shape[1]))


def between(
    own: GeoBox,
    grid: GeoBox,
    method: Interpolation,
    nodata: Sequence[float],
    window: Callable[[slice, slice], NDArray[Any]],
    nearest: tuple[NDArray[Any], NDArray[np.bool_]],
) -> NDArray[Any]:
    """Return what lies between a file's pixels at each grid pixel's centre, (y, x), in the file's
    type; see `resampling.interpolate`.

    own      the file's grid, with the axes of ``grid``
    nodata   the file's values of no data
    window   reads some of its rows and columns
    nearest  the file's pixel at each centre, and where it is data, both (y, x)
    """
    values, valid = nearest
    if not valid.any():
        return values
    at, of = grid.affine, own.affine
    rows = _places((at.f + (np.arange(grid.shape[0]) + 0.5) * at.e - of.f) / of.e)
    columns = _places((at.c + (np.arange(grid.shape[1]) + 0.5) * at.a - of.c) / of.a)
    inner = PixelIndices(np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64))
    around = with_neighbours(inner, (own.shape[0], own.shape[1]))
    top, left = int(around.rows[0]), int(around.columns[0])
    found = window(slice(top, int(around.rows[-1]) + 1), slice(left, int(around.columns[-1]) + 1))
    numbers = np.where(is_data(found, nodata), found, np.nan).astype(np.float32)
    points = np.meshgrid(rows - top, columns - left, indexing="ij")
    total = resampling.interpolate(numbers[np.newaxis], (points[0], points[1]), method)[0]
    whole = valid & ~np.isnan(total)
    if values.dtype.kind == "f":
        return np.where(whole, total, values).astype(values.dtype)
    limits = np.iinfo(values.dtype)
    # Below what is there the curve may come to no data.
    low = max(limits.min, 1) if values.dtype.kind == "u" else limits.min
    total = np.clip(np.floor(np.where(whole, total, 0) + 0.5), low, limits.max)
    for value in nodata:
        whole &= total != value
    return np.where(whole, total, values).astype(values.dtype)


def _places(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    places: NDArray[np.float64] = np.rint(pixels * _STEPS) / _STEPS
    return places
