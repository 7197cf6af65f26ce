"""Composites: one value a period from the valid observations that fall in it."""

from __future__ import annotations

from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.pixel_series import by_rows, turned

Composite = Literal["median", "maximum", "medoid", "geometric_median"]
_MOST = 200
"""Iterations of Weiszfeld's."""
_NEAR = 1e-5
"""Of the data's spread: a step that is shorter ends them."""


def compose(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    edges: NDArray[np.int32],
    method: Composite,
    *,
    by: NDArray[np.float32] | None = None,
    threads: int = 0,
) -> tuple[NDArray[np.float32], int]:
    """Return a composite of each period, and how many geometric medians did not converge.

    values, valid, days  as `eo.pixel_series` has them; every observation counts by itself
    edges                (period + 1,), days since the same one, increasing: a period has the days
                         from one edge on and before the next
    method               ``median``, of each band by itself; ``maximum``, the observation with the
                         highest ``by``; ``medoid``, the observation with the least sum of distances
                         to all others (Flood 2013); ``geometric_median``, the point with the least
                         sum of distances to all observations (Roberts et al. 2017; Weiszfeld's
                         iterations with Vardi and Zhang's step (2000) where they meet an
                         observation, until a step is shorter than 1e-5 of the spread, at most 200)
    by                   (time, y, x), of ``maximum``
    threads              that may be used, 0 for all
    Returns (period, band, y, x), in the unit of values; NaN where a period has no valid
    observation. All but the median take only observations that have every band.

    Raises ValueError where the shapes do not agree, the days decrease, or ``by`` is missing.
    """
    first, last = np.searchsorted(days, edges[:-1]), np.searchsorted(days, edges[1:])
    more = first.astype(np.int64), last.astype(np.int64)
    periods = len(edges) - 1
    if method == "median":
        return by_rows(_median, values, valid, days, periods, threads, *more)
    if method == "maximum":
        if by is None or by.shape != valid.shape:
            raise ValueError("the maximum needs by, (time, y, x) as valid.")
        both = np.concatenate([values, by[:, None]], axis=1)
        out, _ = by_rows(_joint, both, valid, days, periods, threads, *more, 0)
        return out[:, :-1], 0
    return by_rows(
        _joint, values, valid, days, periods, threads, *more, 1 if method == "medoid" else 2
    )


@numba.njit(cache=True, nogil=True)
def _median(values, valid, _, first, last, out):  # type: ignore[no-untyped-def]
    times, bands, height, width = values.shape
    series, chosen = np.empty((width, times), np.float32), np.empty(times)
    for y in range(height):
        for band in range(bands):
            turned(values[:, band, y], valid[:, y], series)
            for x in range(width):
                for period in range(len(first)):
                    count = 0
                    for time in range(first[period], last[period]):
                        value = series[x, time]
                        if value == value:
                            place = count
                            while place > 0 and chosen[place - 1] > value:
                                chosen[place] = chosen[place - 1]
                                place -= 1
                            chosen[place] = value
                            count += 1
                    if count == 0:
                        out[period, band, y, x] = np.nan
                    else:
                        middle = chosen[(count - 1) // 2] + chosen[count // 2]
                        out[period, band, y, x] = middle / 2


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _joint(values, valid, _, first, last, method, out):  # type: ignore[no-untyped-def]
    """Of all bands together: 0 the observation with the highest last band, 1 the medoid, 2 the
    geometric median. Returns how many did not converge."""
    times, bands, height, width = values.shape
    row, points = np.empty((width, bands, times)), np.empty((bands, times))
    now, step, apart = np.empty(bands), np.empty(bands), np.empty(times)
    failed = 0
    for y in range(height):
        for time in range(times):
            for band in range(bands):
                for x in range(width):
                    row[x, band, time] = values[time, band, y, x]
        for x in range(width):
            for period in range(len(first)):
                count = 0
                for time in range(first[period], last[period]):
                    whole = valid[time, y, x]
                    for band in range(bands):
                        points[band, count] = row[x, band, time]
                        whole &= points[band, count] == points[band, count]
                    count += 1 if whole else 0
                if count == 0:
                    now[:] = np.nan
                elif method == 0:
                    _take(points, np.argmax(points[bands - 1, :count]), now)
                elif method == 1:
                    _take(points, _medoid(points, count, now, apart), now)
                elif not _weiszfeld(points, count, now, step, apart):
                    failed += 1
                for band in range(bands):
                    out[period, band, y, x] = now[band]
    return failed


# Sums may be taken in any order, so that several observations are summed at a time.
_SUMS = {"reassoc", "contract"}


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def _distances(points, count, now, apart):  # type: ignore[no-untyped-def]
    """Fill the distance of each observation from a point, and return their sum."""
    for i in range(count):
        apart[i] = 0.0
    for band in range(len(now)):
        of, at = points[band], now[band]
        for i in range(count):
            apart[i] += (of[i] - at) ** 2
    total = 0.0
    for i in range(count):
        apart[i] = np.sqrt(apart[i])
        total += apart[i]
    return total


@numba.njit(cache=True, nogil=True)
def _take(points, i, now):  # type: ignore[no-untyped-def]
    for band in range(len(now)):
        now[band] = points[band, i]


@numba.njit(cache=True, nogil=True)
def _medoid(points, count, now, apart):  # type: ignore[no-untyped-def]
    best, least = 0, np.inf
    for i in range(count):
        _take(points, i, now)
        total = _distances(points, count, now, apart)
        if total < least:
            best, least = i, total
    return best


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _weiszfeld(points, count, now, step, apart):  # type: ignore[no-untyped-def]
    """Move ``now`` to the geometric median; False where it does not converge."""
    bands = len(now)
    for band in range(bands):
        total = 0.0
        for i in range(count):
            total += points[band, i]
        now[band] = total / count
    if count < 3:  # the point between two, as good as any other on their line
        return True
    spread = _distances(points, count, now, apart) / count
    if not spread > 0:
        return True
    for iteration in range(_MOST):
        if iteration:
            _distances(points, count, now, apart)
        inverse, met = 0.0, 0
        for i in range(count):
            here = apart[i] <= 1e-12 * spread
            met += 1 if here else 0
            apart[i] = 0.0 if here else 1 / apart[i]
            inverse += apart[i]
        if inverse == 0:
            return True
        length = 0.0
        for band in range(bands):
            of, at, total = points[band], now[band], 0.0
            for i in range(count):
                total += (of[i] - at) * apart[i]
            step[band] = total
            length += total**2
        length = np.sqrt(length)
        if met and met >= length:  # an observation is the median
            return True
        # Where an observation is met, its pull shortens the step.
        share = (1 - met / length if met else 1.0) / inverse
        for band in range(bands):
            now[band] += share * step[band]
        if share * length < _NEAR * spread:
            return True
    return False
