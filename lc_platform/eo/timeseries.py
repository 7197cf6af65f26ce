"""From a year of irregular, cloudy observations to regular dates."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.season import CALENDAR_YEAR, Season
from lc_platform.runtime.threads import parallel_for

_ROWS = 32
"""Rows that a thread interpolates at a time."""


def target_days(year: int, interval: int, season: Season = CALENDAR_YEAR) -> NDArray[np.int32]:
    """Return days since the first of a year's season, every ``interval`` days to its end.

    Returns (target,). Raises ValueError where the interval is less than a day.
    """
    if interval < 1:
        raise ValueError(f"An interval of {interval} days gives no dates; it must be at least 1.")
    return np.arange(0, season.length(year), interval, dtype=np.int32)


def regularize(
    values: NDArray[np.uint16] | NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    targets: NDArray[np.int32],
    *,
    threads: int = 0,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the linear interpolation of each pixel's valid observations to the target days.

    values   (time, band, y, x), digital numbers or any other quantity; a NaN is no observation
             of its band
    valid    (time, y, x), False where cloudy or without data
    days     (time,), days since any one, not decreasing; a pixel's valid observations of one
             day count as one, their mean
    targets  (target,), likewise
    threads  that may be used, 0 for all
    out      (target, band, y, x), where the result is written; a new array where None
    Returns (target, band, y, x), in the unit of values; NaN before a pixel's first and after its
    last valid observation.

    Raises ValueError where the shapes do not agree or the days decrease.
    """
    if values.shape[:1] + values.shape[2:] != valid.shape or days.shape != valid.shape[:1]:
        raise ValueError(
            f"values (time, band, y, x) {values.shape}, valid (time, y, x) {valid.shape} and "
            f"days (time,) {days.shape} do not agree."
        )
    for name, sequence in (("days", days), ("targets", targets)):
        if (np.diff(sequence) < 0).any():
            raise ValueError(f"{name} must not decrease: {sequence.tolist()}")
    shape = (len(targets), *values.shape[1:])
    regular = np.empty(shape, np.float32) if out is None else out
    if regular.shape != shape:
        raise ValueError(f"out (target, band, y, x) is {regular.shape}; it must be {shape}.")

    def rows(part: slice) -> None:
        _interpolate(values[:, :, part], valid[:, part], days, targets, regular[:, :, part])

    parallel_for(rows, valid.shape[1], _ROWS, threads)
    return regular


def valid_count(valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Return how many observations of each pixel are valid: (time, y, x) -> (y, x)."""
    count: NDArray[np.uint16] = valid.sum(axis=0, dtype=np.uint16)
    return count


def mean(
    values: NDArray[np.float32], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return the mean over time, (time, y, x) -> (y, x).

    valid  (time, y, x), which observations count; all where None. A NaN never counts.
    Returns NaN where no observation counts.
    """
    counted = ~np.isnan(values) if valid is None else valid & ~np.isnan(values)
    count = counted.sum(axis=0)
    result = np.full(values.shape[1:], np.nan, np.float32)
    total = np.sum(values, axis=0, where=counted, dtype=np.float64)
    np.divide(total, count, out=result, where=count > 0, casting="same_kind")
    return result


def maximum(
    values: NDArray[np.float32], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return the maximum over time, (time, y, x) -> (y, x).

    valid  (time, y, x), which observations count; all where None. A NaN never counts.
    Returns NaN where no observation counts.
    """
    where = True if valid is None else valid
    highest: NDArray[np.float32] = np.fmax.reduce(
        values, axis=0, initial=np.float32(np.nan), where=where
    )
    return highest


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _interpolate(values, valid, days, targets, regular):  # type: ignore[no-untyped-def]
    times, bands, height, width = values.shape
    once = times > 0  # without an acquisition there is nothing to take
    for time in range(1, times):
        once &= days[time] != days[time - 1]
    # Made once: what is made for every row has its pages cleared by the system every time.
    series = np.empty((times, width), np.float32)
    last, nearest = np.empty((len(targets), width), np.int32), np.empty(width, np.int32)
    before, after = np.empty((2, len(targets), width), np.uint32)
    share = np.empty((len(targets), width))
    on, aim = days.astype(np.float64), targets.astype(np.float64)
    for y in range(height):
        _neighbours(valid[:, y], on, aim, last, nearest, before, after, share)
        for band in range(bands):
            row = values[:, band, y]
            if once and _gathered(row, valid[:, y], series):
                _blend(series.ravel(), before, after, share, regular[:, band, y])
            else:
                _pixel_by_pixel(row, valid[:, y], days, targets, regular[:, band, y])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _neighbours(valid, days, targets, last, nearest, before, after, share):  # type: ignore[no-untyped-def]
    """Of a row (time, x), fill: where in it the last valid observation up to each target is and
    the first from it on, (target, x) each, and how far between them the target lies, NaN where one
    of them is not there. ``last`` (target, x) and ``nearest`` (x,) are to work with."""
    times, count = len(days), len(targets)
    nearest[:] = -1
    time = 0
    for target in range(count):
        while time < times and days[time] <= targets[target]:
            _see(valid[time], np.int32(time), nearest)
            time += 1
        # An array assigned as a whole takes seconds to compile, for the words of its error.
        for x in range(len(nearest)):
            last[target, x] = nearest[x]
    nearest[:] = -1
    time = times - 1
    for target in range(count - 1, -1, -1):
        while time >= 0 and days[time] >= targets[target]:
            _see(valid[time], np.int32(time), nearest)
            time -= 1
        _share(
            last[target],
            nearest,
            days,
            targets[target],
            before[target],
            after[target],
            share[target],
        )


# Loops over one row in functions of their own are vectorized.


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _see(valid, time, nearest):  # type: ignore[no-untyped-def]
    for x in range(len(nearest)):
        nearest[x] = time if valid[x] else nearest[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _share(last, first, days, target, before, after, share):  # type: ignore[no-untyped-def]
    width = np.int32(len(last))
    for x in range(len(last)):
        # Unsigned where it is an index, which spares the question whether it is negative.
        one, other = max(last[x], np.int32(0)), max(first[x], np.int32(0))
        day = days[np.uint32(one)]
        passed = (target - day) / max(days[np.uint32(other)] - day, 1.0)
        share[x] = passed if min(last[x], first[x]) >= 0 else np.nan
        before[x] = np.uint32(one * width) + np.uint32(x)
        after[x] = np.uint32(other * width) + np.uint32(x)


@numba.njit(cache=True, nogil=True)
def _gathered(row, valid, series):  # type: ignore[no-untyped-def]
    """Copy a row (time, x) to where its values are near each other; False where a valid one is
    NaN."""
    complete = True
    for time in range(row.shape[0]):
        for x in range(row.shape[1]):
            value = np.float32(row[time, x])
            complete &= (value == value) | (not valid[time, x])
            series[time, x] = value
    return complete


@numba.njit(cache=True, nogil=True)
def _blend(series, before, after, share, regular):  # type: ignore[no-untyped-def]
    for target in range(share.shape[0]):
        for x in range(share.shape[1]):
            previous = np.float64(series[before[target, x]])
            current = np.float64(series[after[target, x]])
            regular[target, x] = previous + (current - previous) * share[target, x]


@numba.njit(cache=True, nogil=True)
def _pixel_by_pixel(row, valid, days, targets, regular):  # type: ignore[no-untyped-def]
    """A row with days that repeat, or with observations that a band lacks."""
    times, width = row.shape
    regular[:] = np.nan
    for x in range(width):
        known = False
        previous_day, previous = 0, 0.0
        target = time = 0
        while time < times and target < len(targets):
            day, total, count = days[time], 0.0, 0
            while time < times and days[time] == day:
                value = row[time, x]
                if valid[time, x] and value == value:
                    total += value
                    count += 1
                time += 1
            if count == 0:
                continue
            current = total / count
            while target < len(targets) and targets[target] <= day:
                if targets[target] == day:
                    regular[target, x] = current
                elif known:
                    share = (targets[target] - previous_day) / (day - previous_day)
                    regular[target, x] = previous + (current - previous) * share
                target += 1
            known, previous_day, previous = True, day, current
