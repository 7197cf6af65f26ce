"""Akima's interpolation of irregular observations (Akima 1970)."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.pixel_series import by_rows, merged, turned

_FLAT = 1e-9
"""The share of a series' greatest change of slope below which slopes do not change."""


def interpolate(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    targets: NDArray[np.int32],
    *,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Return Akima's interpolation of each pixel's valid observations to the target days.

    values, valid, days  as `eo.pixel_series` has them
    targets              (target,), days since the same one, not decreasing
    threads              that may be used, 0 for all
    Returns (target, band, y, x), in the unit of values; NaN before a pixel's first and after its
    last valid observation. Two observations give a straight line.

    The curve is a cubic between two observations, and its slope at each follows from the slopes of
    the two lines on either side, so that a single outlier does not make it overshoot far away.
    Raises ValueError where the shapes do not agree or the days decrease.
    """
    return by_rows(_interpolate, values, valid, days, len(targets), threads, targets)[0]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _interpolate(values, valid, days, targets, out):  # type: ignore[no-untyped-def]
    times, bands, height, width = values.shape
    series = np.empty((width, times), np.float32)
    on, at, weight = np.empty(times), np.empty(times), np.empty(times)
    line, slope = np.empty(times + 3), np.empty(times)
    for y in range(height):
        for band in range(bands):
            turned(values[:, band, y], valid[:, y], series)
            for x in range(width):
                count = merged(series[x], days, on, at, weight)
                if count > 2:
                    _slopes(on, at, count, line, slope)
                elif count == 2:
                    slope[:2] = (at[1] - at[0]) / (on[1] - on[0])
                piece = 0
                for target in range(len(targets)):
                    day = targets[target]
                    if count == 0 or day < on[0] or day > on[count - 1]:
                        out[target, band, y, x] = np.nan
                        continue
                    while piece < count - 2 and day >= on[piece + 1]:
                        piece += 1
                    if day == on[piece]:
                        out[target, band, y, x] = at[piece]
                        continue
                    length, passed = on[piece + 1] - on[piece], day - on[piece]
                    mean = (at[piece + 1] - at[piece]) / length
                    second = (3 * mean - 2 * slope[piece] - slope[piece + 1]) / length
                    third = (slope[piece] + slope[piece + 1] - 2 * mean) / length**2
                    out[target, band, y, x] = at[piece] + passed * (
                        slope[piece] + passed * (second + passed * third)
                    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _slopes(on, at, count, line, slope):  # type: ignore[no-untyped-def]
    """Fill the slopes of the lines between observations, with two more beyond either end, and of
    the curve at each observation."""
    for i in range(count - 1):
        line[i + 2] = (at[i + 1] - at[i]) / (on[i + 1] - on[i])
    line[1] = 2 * line[2] - line[3]
    line[0] = 2 * line[1] - line[2]
    line[count + 1] = 2 * line[count] - line[count - 1]
    line[count + 2] = 2 * line[count + 1] - line[count]
    most = 0.0
    for i in range(count):
        most = max(most, abs(line[i + 3] - line[i + 2]) + abs(line[i + 1] - line[i]))
    for i in range(count):
        after, before = abs(line[i + 3] - line[i + 2]), abs(line[i + 1] - line[i])
        if after + before > _FLAT * most:
            share = before / (after + before)
            slope[i] = line[i + 1] + share * (line[i + 2] - line[i + 1])
        else:
            slope[i] = (line[i] + line[i + 3]) / 2
