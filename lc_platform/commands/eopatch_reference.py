"""A map of classes in EOPatches as one reference raster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.sources.eopatches.arrays import StoredArray
from lc_platform.sources.eopatches.eopatch import TIMELESS, EOPatch
from lc_platform.sources.protocol import SourceError
from lc_platform.storage import raster_cube

_TYPES = (np.uint8, np.uint16, np.int32)
"""Of classes, the smallest first; the greatest number stands for no data."""
_HAIR = 1e-3
"""Pixels that one grid may be off another."""
_ROWS = 256
"""Of a raster that are written at a time."""


def write_reference(grids: Mapping[EOPatch, GeoBox], feature: str, file: Path) -> list[str]:
    """Write a feature without time of EOPatches, whole numbers, as one raster; return why some are
    not in it.

    grids  of the imagery of each EOPatch
    Where EOPatches overlap the later ones are on top, and where there is none there is no data.
    Raises SourceError naming an EOPatch that is in another CRS or on another grid than the first,
    or where there is nothing to write.
    """
    arrays: dict[EOPatch, StoredArray] = {}
    ranges: list[tuple[int, int]] = []
    problems = []
    for one, grid in grids.items():
        try:
            array = _array(one, feature, grid)
            values = _classes(array)
        except SourceError as error:
            problems.append(f"--reference {feature}: {error}")
            continue
        arrays[one] = array
        ranges.append((int(values.min()), int(values.max())))
    if not arrays:
        raise SourceError(problems[0])
    least, greatest = min(low for low, _ in ranges), max(high for _, high in ranges)
    fitting = (t for t in _TYPES if np.iinfo(t).min <= least and greatest < np.iinfo(t).max)
    dtype = next(fitting, None)
    if dtype is None:
        raise SourceError(
            f"--reference {feature}: its numbers are from {least} to {greatest}, and classes are "
            "whole numbers of 31 bits. Name a map of classes"
        )
    whole = _around({one: grids[one] for one in arrays})
    none = int(np.iinfo(dtype).max)
    with raster_cube.tiled(file, whole, ["class"], np.dtype(dtype).name, none) as draft:
        for row in range(0, whole.shape[0], _ROWS):
            rows = slice(row, min(row + _ROWS, whole.shape[0]))
            empty = np.full((rows.stop - rows.start, whole.shape[1]), none, dtype)
            draft.write(empty, (rows, slice(0, whole.shape[1])))
        for one, array in arrays.items():
            grid = grids[one]
            row, column = _corner(whole, grid)
            window = slice(row, row + grid.shape[0]), slice(column, column + grid.shape[1])
            draft.write(_classes(array).astype(dtype), window)
    return problems


def _array(eopatch: EOPatch, feature: str, grid: GeoBox) -> StoredArray:
    array = eopatch.feature(feature, TIMELESS)
    if array.shape != (*grid.shape, 1):
        raise SourceError(
            f"{array.path}: its shape is {array.shape}, and a map beside imagery of "
            f"{grid.shape[0]} x {grid.shape[1]} pixels has {(*grid.shape, 1)}. Save it again"
        )
    return array


def _classes(array: StoredArray) -> NDArray[np.int64]:
    """Return whole numbers (y, x)."""
    found = array.read()[..., 0]
    if found.dtype.kind == "f" and not (found == np.rint(found)).all():
        raise SourceError(
            f"{array.path}: it holds {found.dtype} that are no whole numbers, and classes are. "
            "Name a map of classes"
        )
    return found.astype(np.int64)


def _around(grids: Mapping[EOPatch, GeoBox]) -> GeoBox:
    """Return the grid around all EOPatches. Raises SourceError naming one that does not fit."""
    (first, of_first), *others = grids.items()
    for one, grid in others:
        if one.crs != first.crs:
            raise SourceError(
                f"{one.path}: is in {one.crs}, and {first.name} in {first.crs}: one raster has one "
                "CRS. Import them without --reference, and give a reference map that covers both"
            )
        a, b = grid.affine, of_first.affine
        off = [(a.c - b.c) / b.a, (a.f - b.f) / b.e]
        drift = max(abs(a.a / b.a - 1), abs(a.e / b.e - 1)) * max(grid.shape)
        if drift > _HAIR or any(abs(step - round(step)) > _HAIR for step in off):
            raise SourceError(
                f"{one.path}: its pixels are not on the grid of those of {first.name}, and one "
                "raster has one grid. Import it without --reference, and give a reference map"
            )
    corners = [_corner(of_first, grid) for grid in grids.values()]
    top, left = (min(side) for side in zip(*corners, strict=True))
    ends = [
        (row + grid.shape[0], column + grid.shape[1])
        for (row, column), grid in zip(corners, grids.values(), strict=True)
    ]
    bottom, right = (max(side) for side in zip(*ends, strict=True))
    affine = of_first.affine * Affine.translation(left, top)
    return GeoBox((bottom - top, right - left), affine, of_first.crs)


def _corner(whole: GeoBox, grid: GeoBox) -> tuple[int, int]:
    """Return row and column of a grid's first pixel in another of the same pixels."""
    column, row = ~whole.affine * (grid.affine.c, grid.affine.f)
    return round(row), round(column)
