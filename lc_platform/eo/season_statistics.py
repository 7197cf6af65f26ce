"""Statistics of a season: what a pixel's valid observations are like, whenever they were made."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.pixel_series import by_rows, merged, sort_first, turned

MEASURES = ("mean", "std", "amplitude", "day_of_maximum")
"""What there is beside percentiles: the mean, the standard deviation (of the observations
themselves), the maximum less the minimum, and the day of the season, from 1, of the first
maximum."""


def compute(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    percentiles: Sequence[float],
    *,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Return statistics of each pixel's valid observations.

    values, valid, days  as `eo.pixel_series` has them
    percentiles          0 to 100, in any order; linear between two observations, as numpy's
    threads              that may be used, 0 for all
    Returns (statistic, band, y, x): the percentiles, then ``MEASURES``, in the unit of values and
    in days; NaN where a pixel has no valid observation.

    Raises ValueError where the shapes do not agree, the days decrease, or for a percentile that is
    none.
    """
    if not all(0 <= one <= 100 for one in percentiles):
        raise ValueError(f"percentiles are {list(percentiles)}; they must be 0 to 100.")
    shares = np.array(percentiles, np.float64) / 100
    count = len(percentiles) + len(MEASURES)
    return by_rows(_compute, values, valid, days, count, threads, shares)[0]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _compute(values, valid, days, shares, out):  # type: ignore[no-untyped-def]
    times, bands, height, width = values.shape
    series = np.empty((width, times), np.float32)
    on, at, weight = np.empty(times), np.empty(times), np.empty(times)
    for y in range(height):
        for band in range(bands):
            turned(values[:, band, y], valid[:, y], series)
            for x in range(width):
                count = merged(series[x], days, on, at, weight)
                _describe(on, at, count, shares, out[:, band, y, x])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _describe(on, at, count, shares, out):  # type: ignore[no-untyped-def]
    if count == 0:
        out[:] = np.nan
        return
    total, highest = 0.0, 0
    for i in range(count):
        total += at[i]
        if at[i] > at[highest]:
            highest = i
    mean, squares = total / count, 0.0
    for i in range(count):
        squares += (at[i] - mean) ** 2
    day = on[highest]
    sort_first(at, count)
    for i in range(len(shares)):
        place = shares[i] * (count - 1)
        lower = int(place)
        upper = min(lower + 1, count - 1)
        out[i] = at[lower] + (at[upper] - at[lower]) * (place - lower)
    rest = len(shares)
    out[rest], out[rest + 1] = mean, np.sqrt(squares / count)
    out[rest + 2], out[rest + 3] = at[count - 1] - at[0], day + 1
