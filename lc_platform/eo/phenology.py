"""Phenology: when a pixel's seasons begin, culminate and end, and how fast.

The curve is the observations smoothed by Whittaker's (`eo.whittaker`), by the day, or a double
logistic that is fitted to each season (`eo.double_logistic`). A season lies between the lowest days
before and after its peak. It starts where the curve last rises through a share of the way from
the lowest day to the peak, and ends where it first falls through as much of the way down
(Jönsson and Eklundh 2004).
"""

from __future__ import annotations

from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import double_logistic, whittaker
from lc_platform.eo.pixel_series import by_rows, turned
from lc_platform.eo.whittaker import evaluate, weighted

MEASURES = ("start", "peak", "end", "length", "integral", "rise", "fall")
"""Of a season of growth: start, peak and end in days from 1, of day 0; length in days, the curve's
integral from start to end (its unit times days), and how fast it rises and falls between 20 % and
80 % of the way (its unit by the day, both positive)."""
Curve = Literal["smoothed", "double_logistic"]
_SECOND = 0.25
"""The share of the main season's height that a second one must stand out by."""
_FLAT = 1e-3
"""A height that is no season."""


def measure(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    *,
    seasons: int = 1,
    threshold: float = 0.2,
    smoothing: float = 1000.0,
    curve: Curve = "smoothed",
    threads: int = 0,
) -> NDArray[np.float32]:
    """Return the measures of each pixel's seasons.

    values, valid, days  as `eo.pixel_series` has them
    seasons              1, the highest; or 2, in the order of time, of which the second is
                         missing where nothing stands out by a quarter of the main one's height
    threshold            of start and end, between 0 and 1
    smoothing            Whittaker's lambda
    curve                ``smoothed``, or ``double_logistic``
    threads              that may be used, 0 for all
    Returns (season x measure, band, y, x), the measures of the first season first; NaN where there
    is no season, or where it starts before the first or ends after the last observation.

    Raises ValueError where the shapes do not agree, the days decrease, or a setting is none of
    these.
    """
    if seasons not in (1, 2) or not 0 < threshold < 1 or not smoothing > 0:
        raise ValueError(
            f"seasons {seasons}, threshold {threshold} and smoothing {smoothing} must be 1 or 2, "
            "between 0 and 1, and above 0."
        )
    fitted = curve == "double_logistic"
    count = seasons * len(MEASURES)
    more = seasons, float(threshold), float(smoothing), fitted
    return by_rows(_measure, values, valid, days, count, threads, *more)[0]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _measure(values, valid, days, seasons, threshold, smoothing, fitted, out):  # type: ignore[no-untyped-def]
    times, bands, height, width = values.shape
    out[:] = np.nan
    if times == 0:
        return
    series, even = np.empty((width, times), np.float32), np.ones(times, np.float32)
    on, at, weight, curve, bend = np.empty((5, times))
    work = np.empty((6, times))
    first = days[0]
    every = np.arange(first, days[times - 1] + 1)
    daily = np.empty(len(every))
    jacobian, matrix = np.empty((times + 6, 8)), np.empty((6, 6))
    parameters, found, size = np.empty(6), np.empty(7), 7
    for y in range(height):
        for band in range(bands):
            turned(values[:, band, y], valid[:, y], series)
            for x in range(width):
                count = weighted(series[x], even, days, on, at, weight)
                if count < 3:
                    continue
                whittaker.fit(on, at, weight, count, smoothing, curve, bend, work)
                evaluate(on, curve, bend, count, every, daily)
                start, stop = int(on[0] - first), int(on[count - 1] - first) + 1
                peak = _highest(daily, start, stop)
                second, low = -1, start
                if seasons == 2:
                    second, low = _second(daily, start, stop, peak)
                for season in range(seasons):
                    left, right, top = start, stop, peak
                    if second < 0 and season > 0:
                        break
                    if second >= 0:
                        top = min(peak, second) if season == 0 else max(peak, second)
                        left, right = (start, low + 1) if season == 0 else (low, stop)
                    _season(daily, left, right, top, threshold, found)
                    if fitted and _fit(
                        daily,
                        left,
                        right,
                        top,
                        first,
                        on,
                        at,
                        count,
                        found,
                        parameters,
                        jacobian,
                        matrix,
                    ):
                        # The second season's low day has two curves: it is written for each.
                        kept = daily[left], daily[right - 1]
                        for day in range(left, right):
                            daily[day] = double_logistic.value(parameters, day + first)
                        top = _highest(daily, left, right)
                        _season(daily, left, right, top, threshold, found)
                        daily[left], daily[right - 1] = kept
                    elif fitted:
                        found[:] = np.nan
                    for i in range(3):
                        found[i] += first + 1
                    for i in range(size):
                        out[season * size + i, band, y, x] = found[i]


@numba.njit(cache=True, nogil=True)
def _highest(daily, start, stop):  # type: ignore[no-untyped-def]
    best = start
    for day in range(start + 1, stop):
        if daily[day] > daily[best]:
            best = day
    return best


@numba.njit(cache=True, nogil=True)
def _second(daily, start, stop, peak):  # type: ignore[no-untyped-def]
    """Return the day of the second peak, -1 where none stands out, and the lowest day between the
    two."""
    best, at, between = 0.0, -1, start
    lowest = daily[peak]
    for day in range(start, stop):
        lowest = min(lowest, daily[day])
    height = daily[peak] - lowest
    for side in (-1, 1):
        low = day = peak
        while start < day + side < stop - 1:
            day += side
            if daily[day] < daily[low]:
                low = day
            if not (daily[day] >= daily[day - 1] and daily[day] > daily[day + 1]):
                continue
            beyond, further = day, daily[day]
            while start <= beyond + side < stop and daily[beyond + side] <= daily[day]:
                beyond += side
                further = min(further, daily[beyond])
            stands_out = daily[day] - max(daily[low], further)
            if stands_out > best:
                best, at, between = stands_out, day, low
    if best < _SECOND * height or best < _FLAT:
        return -1, start
    return at, between


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _season(daily, left, right, top, threshold, found):  # type: ignore[no-untyped-def]
    """Measure a season, in days since the curve's first one."""
    found[:] = np.nan
    before, after = top, top
    for day in range(left, top):
        if daily[day] < daily[before]:
            before = day
    for day in range(top + 1, right):
        if daily[day] < daily[after]:
            after = day
    rise, fall = daily[top] - daily[before], daily[top] - daily[after]
    if max(rise, fall) < _FLAT:
        return
    found[1] = top
    if rise >= _FLAT:
        found[0] = _crossing(daily, top, before, daily[before] + threshold * rise)
        begins = _crossing(daily, top, before, daily[before] + 0.2 * rise)
        ends = _crossing(daily, top, before, daily[before] + 0.8 * rise)
        found[5] = 0.6 * rise / (ends - begins)
    if fall >= _FLAT:
        found[2] = _crossing(daily, top, after, daily[after] + threshold * fall)
        ends = _crossing(daily, top, after, daily[after] + 0.2 * fall)
        begins = _crossing(daily, top, after, daily[after] + 0.8 * fall)
        found[6] = 0.6 * fall / (ends - begins)
    found[3] = found[2] - found[0]
    if not np.isnan(found[3]):
        found[4] = _integral(daily, found[0], found[2])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _crossing(daily, top, low, level):  # type: ignore[no-untyped-def]
    """Return where the curve first meets a level on the way from the peak to a low day."""
    side = 1 if low > top else -1
    day = top
    while day != low and daily[day + side] > level:
        day += side
    if day == low:
        return float(low)
    here, there = daily[day], daily[day + side]
    return day + side * (here - level) / (here - there)


@numba.njit(cache=True, nogil=True)
def _integral(daily, start, end):  # type: ignore[no-untyped-def]
    """Return the integral by trapezoids, also of the parts of days at either end."""
    total, day = 0.0, int(np.floor(start))
    while day < end:
        a, b = max(start, float(day)), min(end, day + 1.0)
        step = daily[day + 1] - daily[day]
        total += (b - a) * (daily[day] + step * ((a + b) / 2 - day))
        day += 1
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit(daily, left, right, top, first, on, at, count, found, parameters, jacobian, matrix):  # type: ignore[no-untyped-def]
    """Fit the double logistic to the observations of a season that was measured by thresholds;
    False where there is none."""
    if np.isnan(found[3]):
        return False
    low = min(daily[left], daily[right - 1])
    for day in range(left, right):
        low = min(low, daily[day])
    height = daily[top] - low
    parameters[0], parameters[1] = low, height
    parameters[2] = first + _crossing(daily, top, left, low + height / 2)
    parameters[4] = first + _crossing(daily, top, right - 1, low + height / 2)
    parameters[3], parameters[5] = 4 * found[5] / height, 4 * found[6] / height
    begin = 0
    while begin < count and on[begin] < left + first:
        begin += 1
    end = begin
    while end < count and on[end] < right + first:
        end += 1
    return double_logistic.fit(on, at, begin, end, parameters, jacobian, matrix)
