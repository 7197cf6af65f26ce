"""Points drawn at random from the strata of a map that is read window by window.

Every pixel has a random number of its own, made from the seed and its place, and a stratum's points
are the pixels with its lowest numbers: a simple random sample without replacement, which is the
same whatever the windows are. More points of a stratum are the same ones and some more; a pixel
that stays in its stratum keeps its number when the map changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]

_HIGHEST = np.uint64(2**64 - 1)
_ROWS = 64
"""Rows that are taken at a time: after each fewer pixels can still be among the lowest."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points that were drawn, stratum by stratum, there in the order in which they were drawn: the
    first so many of a stratum are a sample too."""

    strata: Places
    """(point,), ids."""
    rows: Places
    """(point,), on the grid of the whole map."""
    columns: Places
    """(point,)"""


class PointDraw:
    """Draws points while the windows of a map pass, each pixel once, in any order."""

    def __init__(self, allocation: Mapping[int, int], seed: int) -> None:
        """Draw so many points by stratum, ids 1 to 255; the same seed draws the same points.

        Raises ValueError for an id out of its range and a negative number of points.
        """
        for stratum, count in allocation.items():
            if not 1 <= stratum <= 255 or count < 0:
                raise ValueError(
                    f"Stratum {stratum}, {count} points: ids are 1 to 255, and points 0 or more."
                )
        self._allocation = dict(allocation)
        self._key = np.uint64(seed & (2**64 - 1))
        self._pixels = np.zeros(256, np.int64)
        nothing = np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64)
        self._lowest: dict[int, tuple[NDArray[np.uint64], Places, Places]] = dict.fromkeys(
            allocation, nothing
        )

    def add(self, strata: NDArray[np.uint8], row: int, column: int) -> None:
        """Take a window.

        strata       (y, x), ids, 0 for none, which is not drawn from
        row, column  of its first pixel on the grid of the whole map, from 0
        """
        self._pixels += np.bincount(strata.ravel(), minlength=256)
        for first in range(0, len(strata), _ROWS):
            self._add(strata[first : first + _ROWS], row + first, column)

    def _add(self, strata: NDArray[np.uint8], row: int, column: int) -> None:
        limits = np.zeros(256, np.uint64)
        for stratum, count in self._allocation.items():
            numbers = self._lowest[stratum][0]
            if count:
                limits[stratum] = numbers[-1] if len(numbers) == count else _HIGHEST
        numbers, rows, columns = _candidates(strata, row, column, self._key, limits)
        found = strata[rows - row, columns - column]
        for stratum in np.unique(found).tolist():
            own = found == stratum
            before = self._lowest[stratum]
            every = np.concatenate([before[0], numbers[own]])
            order = np.argsort(every, kind="stable")[: self._allocation[stratum]]
            self._lowest[stratum] = (
                every[order],
                np.concatenate([before[1], rows[own]])[order],
                np.concatenate([before[2], columns[own]])[order],
            )

    @property
    def pixels(self) -> dict[int, int]:
        """By stratum, how many pixels have passed, those without any (0) left out."""
        return {one: int(self._pixels[one]) for one in range(1, 256) if self._pixels[one]}

    def points(self) -> Points:
        """The points of all that has passed.

        Raises ValueError where a stratum has fewer pixels than points are to be drawn.
        """
        for stratum, count in self._allocation.items():
            if count > self._pixels[stratum]:
                raise ValueError(
                    f"Stratum {stratum} has {self._pixels[stratum]} pixels; {count} points cannot "
                    "be drawn from it."
                )
        ids = sorted(self._lowest)
        strata = np.repeat(ids, [len(self._lowest[one][0]) for one in ids]).astype(np.int64)
        empty = np.empty(0, np.int64)
        rows = np.concatenate([empty, *(self._lowest[one][1] for one in ids)])
        columns = np.concatenate([empty, *(self._lowest[one][2] for one in ids)])
        return Points(strata, rows, columns)


@numba.njit(cache=True, nogil=True)
def _mix(number):  # type: ignore[no-untyped-def]
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _candidates(strata, row, column, key, limits):  # type: ignore[no-untyped-def]
    """The pixels whose number is up to their stratum's limit (256,), where that is not 0: numbers,
    rows and columns, (pixel,) each."""
    height, width = strata.shape
    step = np.uint64(0x9E3779B97F4A7C15)
    start = _mix(key + step)
    size = 0
    numbers = np.empty(height * width, np.uint64)
    rows = np.empty(height * width, np.int64)
    columns = np.empty(height * width, np.int64)
    for y in range(height):
        of_row = _mix(start + step * np.uint64(row + y + 1))
        for x in range(width):
            limit = limits[strata[y, x]]
            if limit:
                number = _mix(of_row + step * np.uint64(column + x + 1))
                numbers[size], rows[size], columns[size] = number, row + y, column + x
                size += number <= limit
    return numbers[:size].copy(), rows[:size].copy(), columns[:size].copy()
