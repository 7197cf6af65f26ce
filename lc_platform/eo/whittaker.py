"""Whittaker's smoother on a daily grid (Eilers 2003), solved for the observed days alone.

The smoother minimizes the sum of w (y - z)^2 over the observations plus lambda times the sum of the
squared second differences of z over all days. Days without an observation weigh nothing, so that
between two of them the second differences of the best z are a straight line over the days. So z is
known from its second differences g at the observed days, the discrete twin of a smoothing spline
(Green and Silverman 1994, 2.3):

    (R + lambda Q' W^-1 Q) g = Q' y        z = y - lambda W^-1 Q g

Q has the second divided differences, R the products of the linear hats over the days; both follow
from the days between observations. The system has a row an observation and five diagonals, however
long the year is, and z is that of the daily grid to rounding.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.pixel_series import by_rows, turned

_ITERATIONS = 10
_BELOW = 0.05
"""What an observation below the curve weighs beside one above it, towards the upper envelope."""


def smooth(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    targets: NDArray[np.int32],
    smoothing: float,
    *,
    weights: NDArray[np.float32] | None = None,
    envelope: NDArray[np.bool_] | None = None,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Return each pixel's valid observations smoothed, on the target days.

    values, valid, days  as `eo.pixel_series` has them
    targets              (target,), days since the same one, not decreasing
    smoothing            lambda, above 0: of second differences by the day
    weights              (time, y, x) of the observations, 0 or above; 1 each where None
    envelope             (band,), True where the curve is to follow the upper envelope: observations
                         below it weigh a twentieth of those above, until none changes sides
                         (asymmetric least squares, Eilers and Boelens 2005)
    threads              that may be used, 0 for all
    Returns (target, band, y, x), in the unit of values; NaN before a pixel's first and after its
    last valid observation.

    Raises ValueError where the shapes do not agree, the days decrease, or smoothing is not above 0.
    """
    if not smoothing > 0:
        raise ValueError(f"smoothing is {smoothing}; it must be above 0.")
    upper = np.zeros(values.shape[1], np.bool_) if envelope is None else envelope
    given = np.ones(valid.shape, np.float32) if weights is None else weights
    if given.shape != valid.shape:
        raise ValueError(f"weights (time, y, x) are {given.shape}; they must be {valid.shape}.")
    # The weights go with the values: as one band more, whose rows are cut alike.
    both = np.concatenate([values, given[:, None]], axis=1)
    out, _ = by_rows(
        _smooth, both, valid, days, len(targets), threads, targets, float(smoothing), upper
    )
    return out[:, :-1]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _smooth(values, valid, days, targets, smoothing, upper, out):  # type: ignore[no-untyped-def]
    times, bands, height, width = values.shape
    series, weights = np.empty((2, width, times), np.float32)
    on, at, weight, curve, bend, trial = np.empty((6, times))
    work = np.empty((6, times))
    for y in range(height):
        turned(values[:, bands - 1, y], valid[:, y], weights)
        for band in range(bands - 1):
            turned(values[:, band, y], valid[:, y], series)
            for x in range(width):
                count = weighted(series[x], weights[x], days, on, at, weight)
                fit(on, at, weight, count, smoothing, curve, bend, work)
                if upper[band]:
                    _rise(on, at, weight, count, smoothing, curve, bend, trial, work)
                evaluate(on, curve, bend, count, targets, out[:, band, y, x])


@numba.njit(cache=True, nogil=True)
def weighted(series, weights, days, on, at, weight):  # type: ignore[no-untyped-def]
    """Write the days, the weighted means and the weights of a pixel's observations that weigh
    anything, and return how many days there are."""
    count = 0
    for time in range(len(series)):
        value, its = np.float64(series[time]), np.float64(weights[time])
        if value != value or not its > 0:
            continue
        if count and on[count - 1] == days[time]:
            weight[count - 1] += its
            at[count - 1] += (value - at[count - 1]) * its / weight[count - 1]
        else:
            on[count], at[count], weight[count] = days[time], value, its
            count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fit(on, at, weight, count, smoothing, curve, bend, work):  # type: ignore[no-untyped-def]
    """Fill ``curve`` (the smoothed values) and ``bend`` (their second differences by the day) at
    each observation.

    on, at, weight  of ``count`` observations, whose days increase
    work            (6, time), to work with
    """
    for i in range(count):
        curve[i], bend[i] = at[i], 0.0
    inner = count - 2
    if inner < 1:
        return
    main, one, two, step, inverse, right = work
    for i in range(count - 1):
        step[i] = 1 / (on[i + 1] - on[i])
    for i in range(count):
        inverse[i] = smoothing / weight[i]
    # The lower triangle of the system: its diagonal and the two below, in rows of the inner days.
    for i in range(inner):
        a, b = step[i], step[i + 1]
        before, after = on[i + 1] - on[i], on[i + 2] - on[i + 1]
        hats = ((before + 1) * (2 * before + 1) * a + (after - 1) * (2 * after - 1) * b) / 6
        main[i] = hats + a * a * inverse[i] + (a + b) ** 2 * inverse[i + 1] + b * b * inverse[i + 2]
        right[i] = (at[i + 2] - at[i + 1]) * b - (at[i + 1] - at[i]) * a
        one[i] = two[i] = 0.0
        if i + 1 < inner:
            c = step[i + 2]
            hats = (after * after - 1) * b / 6
            one[i] = hats - (a + b) * b * inverse[i + 1] - b * (b + c) * inverse[i + 2]
        if i + 2 < inner:
            two[i] = step[i + 1] * step[i + 2] * inverse[i + 2]
    # Its square-root-free Cholesky factors, in place, and the two triangular systems.
    for i in range(inner):
        pivot = 1 / main[i]
        if i + 1 < inner:
            below = one[i] * pivot
            main[i + 1] -= below * one[i]
            right[i + 1] -= below * right[i]
            if i + 2 < inner:
                further = two[i] * pivot
                one[i + 1] -= below * two[i]
                main[i + 2] -= further * two[i]
                right[i + 2] -= further * right[i]
                two[i] = further
            one[i] = below
        right[i] *= pivot
    for i in range(inner - 1, -1, -1):
        value = right[i]
        if i + 1 < inner:
            value -= one[i] * bend[i + 2]
        if i + 2 < inner:
            value -= two[i] * bend[i + 3]
        bend[i + 1] = value
    for i in range(count):
        pull = 0.0
        if i > 0:
            pull += (bend[i - 1] - bend[i]) * step[i - 1]
        if i + 1 < count:
            pull += (bend[i + 1] - bend[i]) * step[i]
        curve[i] = at[i] - inverse[i] * pull


@numba.njit(cache=True, nogil=True)
def _rise(on, at, weight, count, smoothing, curve, bend, trial, work):  # type: ignore[no-untyped-def]
    """Fit again with less weight for what is below the curve, until none changes sides."""
    for iteration in range(_ITERATIONS):
        same = iteration > 0
        for i in range(count):
            wanted = weight[i] * (_BELOW if at[i] < curve[i] else 1.0)
            same = same and wanted == trial[i]
            trial[i] = wanted
        if same:
            return
        fit(on, at, trial, count, smoothing, curve, bend, work)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def evaluate(on, curve, bend, count, targets, out):  # type: ignore[no-untyped-def]
    """Write the curve of `fit` on the target days, NaN beyond the observations."""
    piece = 0
    for target in range(len(targets)):
        day = targets[target]
        if count == 0 or day < on[0] or day > on[count - 1]:
            out[target] = np.nan
            continue
        if count == 1:
            out[target] = curve[0]
            continue
        while piece < count - 2 and day >= on[piece + 1]:
            piece += 1
        length, passed = on[piece + 1] - on[piece], day - on[piece]
        share = passed / length
        bent = (bend[piece + 1] - bend[piece]) / length
        out[target] = (
            curve[piece]
            + share * (curve[piece + 1] - curve[piece])
            - bend[piece] * passed * (length - passed) / 2
            + bent * passed * (passed * passed - length * length) / 6
        )
