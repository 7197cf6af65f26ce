"""The observations of single pixels, which the kernels of the season are given.

Every kernel takes ``values`` (time, band, y, x), float32, a NaN of which is no observation of its
band; ``valid`` (time, y, x), False where cloudy or without data; and ``days`` (time,), days since
the season's first, not decreasing. A pixel's observations of one day count as one, their mean, so
that granules that overlap do not count twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.runtime.threads import parallel_for

_ROWS = 8
"""Rows that a thread computes at a time."""


def by_rows(
    kernel: Callable[..., Any],
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    features: int,
    threads: int,
    *more: Any,
) -> tuple[NDArray[np.float32], int]:
    """Return what a kernel computes of some rows at a time, and the sum of the counts that it
    returns.

    kernel    is called with values, valid, days, ``more``, and where it writes its result
    features  that it computes of every band
    threads   that may be used, 0 for all

    Returns (feature, band, y, x), float32. Raises ValueError where the shapes do not agree or the
    days decrease.
    """
    check(values, valid, days)
    out = np.empty((features, *values.shape[1:]), np.float32)
    counts: list[int] = []

    def rows(part: slice) -> None:
        # Whole and of one layout each, so that every kernel is compiled once.
        result = np.empty((features, *values[:, :, part].shape[1:]), np.float32)
        found = kernel(
            np.ascontiguousarray(values[:, :, part], np.float32),
            np.ascontiguousarray(valid[:, part]),
            days,
            *more,
            result,
        )
        counts.append(int(found or 0))
        out[:, :, part] = result

    parallel_for(rows, valid.shape[1], _ROWS, threads)
    return out, sum(counts)


def check(values: NDArray[np.float32], valid: NDArray[np.bool_], days: NDArray[np.int32]) -> None:
    """Raises ValueError where the shapes of observations do not agree or the days decrease."""
    if values.shape[:1] + values.shape[2:] != valid.shape or days.shape != valid.shape[:1]:
        raise ValueError(
            f"values (time, band, y, x) {values.shape}, valid (time, y, x) {valid.shape} and "
            f"days (time,) {days.shape} do not agree."
        )
    if (np.diff(days) < 0).any():
        raise ValueError(f"days must not decrease: {days.tolist()}")


@numba.njit(cache=True, nogil=True)
def turned(row, valid, series):  # type: ignore[no-untyped-def]
    """Copy a row (time, x) to ``series`` (x, time), NaN where it is not valid."""
    for time in range(row.shape[0]):
        for x in range(row.shape[1]):
            series[x, time] = row[time, x] if valid[time, x] else np.float32(np.nan)


@numba.njit(cache=True, nogil=True)
def merged(series, days, on, at, weight):  # type: ignore[no-untyped-def]
    """Write the days and the values of a pixel's observations (time,) to ``on`` and ``at``, how
    many a day has to ``weight``, and return how many days there are."""
    count = 0
    for time in range(len(series)):
        value = series[time]
        if value != value:
            continue
        if count and on[count - 1] == days[time]:
            weight[count - 1] += 1
            at[count - 1] += (value - at[count - 1]) / weight[count - 1]
        else:
            on[count], at[count], weight[count] = days[time], value, 1
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def sort_first(values, count):  # type: ignore[no-untyped-def]
    """Sort the first ``count`` values: by insertion, the fastest for as few as a pixel has."""
    for i in range(1, count):
        value, place = values[i], i
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value
