"""Pixels of a raster file at the centres of a grid's pixels, and which of the file they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo import Resolution
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import from_bounds

# In pixels. A centre on the border of two file pixels then falls on one side in every window.
_NUDGE = 1e-6
_EXACT = 1e-6
_ROUNDING = 1e-10
"""In file pixels: what GDAL allows a coordinate to fall short of a pixel."""

_MEAN_FROM_RATIO = 1.99
"""Twice as coarse, of pixels that are not quite 10 m too."""


class PixelIndices(NamedTuple):
    """The file's pixel at each grid pixel's centre, where both have the same axes."""

    rows: NDArray[np.int64]
    """(y,), outside of the file too."""
    columns: NDArray[np.int64]
    """(x,), likewise."""


def points_a_side(
    file: Resolution, grid: Resolution, same_crs: bool, *, from_ratio: float = _MEAN_FROM_RATIO
) -> int:
    """Return how many points, spread evenly, a grid pixel's mean is taken of in each direction.

    file, grid  the resolutions of both, in the grid's CRS
    from_ratio  how many times as coarse as the file's the grid's pixels are at least

    1 where they are less coarse. Otherwise one a file pixel where a whole number of these fits the
    grid pixel, more where not. The same for every window of a grid.
    """
    ratio = min(abs(grid.x / file.x), abs(grid.y / file.y))
    if ratio < from_ratio:
        return 1
    times = (1, 2, 3) if same_crs else ()
    return round(ratio * next((n for n in times if abs(n * ratio - round(n * ratio)) < 0.02), 4))


def pixel_indices(own: GeoBox, grid: GeoBox) -> PixelIndices | None:
    """Return where a grid's pixels are in a file of the grid ``own``.

    None where the axes are not the same: in another coordinate system, or turned.
    """
    if own.crs != grid.crs or any(one.affine.b or one.affine.d for one in (own, grid)):
        return None
    at, of = grid.affine, own.affine
    rows, columns = (np.arange(length) + 0.5 + _NUDGE for length in grid.shape)
    return PixelIndices(
        np.floor((at.f + rows * at.e - of.f) / of.e + _ROUNDING).astype(np.int64),
        np.floor((at.c + columns * at.a - of.c) / of.a + _ROUNDING).astype(np.int64),
    )


def pixels_around(file: rasterio.DatasetReader, grid: GeoBox) -> PixelIndices:
    """Return all pixels of a file that a grid's box touches, by row and column."""
    west, south, east, north = transform_bounds(grid.crs, file.crs, *grid.boundingbox)
    turns = _turns(file)
    if west > east:  # across 180 degrees
        east, turns = east + 360, (-360.0, *turns)
    columns = []
    for turn in turns:
        window = from_bounds(west + turn, south, east + turn, north, transform=file.transform)
        # A pixel more: edges are bent between the points that are transformed.
        left, right = int(window.col_off) - 1, int(window.col_off + window.width) + 2
        columns.append(np.arange(max(left, 0), min(right, file.width)))
    return PixelIndices(
        np.arange(int(window.row_off) - 1, int(window.row_off + window.height) + 2),
        np.unique(np.concatenate(columns)),
    )


def _turns(file: rasterio.DatasetReader) -> tuple[float, ...]:
    """By how much a longitude from -180 to 180 has to be turned to be one of a file in degrees."""
    if not file.crs.is_geographic:
        return (0.0,)
    west, east = sorted((file.bounds.left, file.bounds.right))
    return tuple(turn for turn in (-360.0, 0.0, 360.0) if west < 180 + turn and east > turn - 180)


def warped(
    file: rasterio.DatasetReader,
    index: int,
    grid: GeoBox,
    nodata: Sequence[float],
    method: str = "nearest",
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the file's pixel at each grid pixel's centre, or what GDAL interpolates there by a
    method, and where it is data, both (y, x)."""
    height, width = grid.shape
    nothing = nodata[0]
    transform = grid.transform * Affine.translation(_NUDGE, _NUDGE)
    if file.crs is None:
        # A WarpedVRT of a file of control points does not heed the grid that it is given.
        points, of_points = file.gcps
        numbers = np.full(grid.shape, nothing, file.dtypes[index - 1])
        reproject(
            rasterio.band(file, index),
            numbers,
            src_crs=of_points,
            gcps=points,
            dst_crs=str(grid.crs),
            dst_transform=transform,
            src_nodata=nothing,
            dst_nodata=nothing,
            tolerance=_EXACT,
        )
        return numbers, is_data(numbers, nodata)
    numbers = np.full(grid.shape, nothing, file.dtypes[index - 1])
    valid = np.zeros(grid.shape, np.bool_)
    for turn in _turns(file):
        with WarpedVRT(
            file,
            src_transform=Affine.translation(-turn, 0) * file.transform if turn else None,
            crs=str(grid.crs),
            transform=transform,
            height=height,
            width=width,
            src_nodata=nothing,
            nodata=nothing,
            tolerance=_EXACT,
            resampling=Resampling[method],
        ) as on_grid:
            found = on_grid.read(index)
        fresh = is_data(found, nodata) & ~valid
        np.copyto(numbers, found, where=fresh)
        valid |= fresh
    return numbers, valid


def picked(
    where: PixelIndices,
    size: tuple[int, int],
    dtype: str,
    nodata: Sequence[float],
    window: Callable[[slice, slice], NDArray[Any]],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return pixels of a file by row and column, and where they are data, both (y, x).

    size    (rows, columns) of the file
    window  reads some of its rows and columns
    """
    shape = len(where.rows), len(where.columns)
    down, rows = _inside(where.rows, size[0])
    across, columns = _inside(where.columns, size[1])
    if not rows.size or not columns.size:
        return np.zeros(shape, dtype), np.zeros(shape, np.bool_)
    top, left = int(rows.min()), int(columns.min())
    found = window(slice(top, int(rows.max()) + 1), slice(left, int(columns.max()) + 1))
    found = _along(_along(found, 0, rows - top), 1, columns - left)
    valid = is_data(found, nodata)
    if found.shape == shape:
        return found, valid
    numbers, data = np.zeros(shape, found.dtype), np.zeros(shape, np.bool_)
    numbers[down, across], data[down, across] = found, valid
    return numbers, data


def is_data(numbers: NDArray[Any], nodata: Sequence[float]) -> NDArray[np.bool_]:
    """Return where numbers are none of the values of no data."""
    # As the file has them: a value that a float32 cannot hold exactly is rounded there too.
    first, *others = (numbers.dtype.type(value) for value in nodata)
    valid: NDArray[np.bool_] = numbers != first
    for value in others:
        valid &= numbers != value
    if numbers.dtype.kind == "f":
        valid &= np.isfinite(numbers)
    return valid


def _inside(positions: NDArray[np.int64], length: int) -> tuple[slice, NDArray[np.int64]]:
    """Return which positions along an axis lie in the file, and these."""
    inside = np.flatnonzero((positions >= 0) & (positions < length))
    if not inside.size:
        return slice(0, 0), positions[:0]
    span = slice(int(inside[0]), int(inside[-1]) + 1)
    return span, positions[span]


def _along(values: NDArray[Any], axis: int, positions: NDArray[np.int64]) -> NDArray[Any]:
    if len(positions) == values.shape[axis] and (np.diff(positions) == 1).all():
        return values
    return values.take(positions, axis)
