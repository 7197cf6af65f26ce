"""Values between the pixels of a raster file: linear, and cubic after Keys (1981), "Cubic
convolution interpolation for digital image processing", IEEE Transactions on Acoustics, Speech, and
Signal Processing 29(6), with a = -1/2, along rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.sources.stac.sampling import PixelIndices, is_data

Resampling = Literal["nearest", "bilinear", "cubic"]
_STEPS = 2**20
"""Of a file pixel: places are rounded to these, so that those of every window are the same."""
_REACH = 2
"""Pixels around a place that are looked at, to each side."""


class _Taps(NamedTuple):
    """Pixels along an axis, and what they count for at each place."""

    positions: NDArray[np.int64]
    """(tap, place), of the file or beyond it."""
    weights: NDArray[np.float64]
    """(tap, place), 1 together."""


def with_neighbours(where: PixelIndices, shape: tuple[int, int]) -> PixelIndices:
    """Return pixels of a file of some shape, and those around them."""

    def widened(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        around = np.arange(-_REACH, _REACH + 1)
        found = np.unique(positions[:, None] + around)
        return found[(found >= 0) & (found < length)]

    return PixelIndices(widened(where.rows, shape[0]), widened(where.columns, shape[1]))


def between(
    own: GeoBox,
    grid: GeoBox,
    method: Resampling,
    nodata: Sequence[float],
    window: Callable[[slice, slice], NDArray[Any]],
    nearest: tuple[NDArray[Any], NDArray[np.bool_]],
) -> NDArray[Any]:
    """Return what lies between a file's pixels at each grid pixel's centre, (y, x), in the file's
    type.

    own      the file's grid, with the axes of ``grid``
    nodata   the file's values of no data
    window   reads some of its rows and columns
    nearest  the file's pixel at each centre, and where it is data, both (y, x); it counts where a
             pixel around is no data. Beyond the file's outermost pixels these hold
    """
    values, valid = nearest
    if not valid.any():
        return values
    at, of = grid.affine, own.affine
    rows = _taps((at.f + (np.arange(grid.shape[0]) + 0.5) * at.e - of.f) / of.e, method)
    columns = _taps((at.c + (np.arange(grid.shape[1]) + 0.5) * at.a - of.c) / of.a, method)
    down, across = (
        np.clip(taps.positions, 0, length - 1)
        for taps, length in zip((rows, columns), own.shape, strict=True)
    )
    top, left = int(down.min()), int(across.min())
    found = window(slice(top, int(down.max()) + 1), slice(left, int(across.max()) + 1))
    known = is_data(found, nodata)
    numbers = np.where(known, found, 0).astype(np.float64)
    of_rows = sum(w[:, None] * numbers[p - top] for w, p in zip(rows.weights, down, strict=True))
    total = sum(w * of_rows[:, p - left] for w, p in zip(columns.weights, across, strict=True))
    whole = np.logical_and.reduce([known[p - top] for p in down])
    whole = np.logical_and.reduce([whole[:, p - left] for p in across]) & valid
    if values.dtype.kind != "f":
        limits = np.iinfo(values.dtype)
        # Below what is there the curve may come to no data.
        low = max(limits.min, 1) if values.dtype.kind == "u" else limits.min
        total = np.clip(np.floor(total + 0.5), low, limits.max)
        for value in nodata:
            whole &= total != value
    return np.where(whole, total, values).astype(values.dtype)


def _taps(places: NDArray[np.float64], method: Resampling) -> _Taps:
    """Return the pixels around places along an axis, in pixels from the file's edge."""
    centred = np.rint((places - 0.5) * _STEPS) / _STEPS
    first = np.floor(centred)
    t = centred - first
    offsets: tuple[int, ...] = (-1, 0, 1, 2)
    if method == "bilinear":
        weights, offsets = [1 - t, t], (0, 1)
    else:
        weights = [
            ((-t + 2) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((-3 * t + 4) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ]
    positions = np.stack([first.astype(np.int64) + offset for offset in offsets])
    return _Taps(positions, np.stack(weights))
