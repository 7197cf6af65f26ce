"""Harmonics of a season: a Fourier series of the year, fitted to irregular observations."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.pixel_series import by_rows, merged, turned

YEAR = 365.25
"""Days of the first harmonic's period."""
_ITERATIONS = 10
_ABSOLUTE = 5
"""Of the iterations, those that come near to the least absolute residuals first: least squares is
where outliers drew it, and the biweight would take it for the truth from there."""
_TUKEY = 4.685
"""Scales beyond which an observation is given no weight: 95 % as efficient as least squares where
errors are normal (Huber 1981)."""
_NORMAL = 1.4826
"""The standard deviation of normal errors by their median absolute deviation."""
_SINGULAR = 1e-9
"""The share of a column that may be left when the columns before it are taken out: observations in
less than a season say nothing of a whole year's harmonics."""


def coefficients(order: int) -> tuple[str, ...]:
    """Return the names of what is fitted: the mean, and a cosine and a sine of each harmonic."""
    waves = [f"{wave}{i}" for i in range(1, order + 1) for wave in ("cos", "sin")]
    return ("offset", *waves)


def fit(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    order: int,
    *,
    robust: bool = False,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Return the least-squares coefficients of offset + sum of a_k cos(2 pi k t / 365.25) + b_k
    sin(2 pi k t / 365.25) over each pixel's valid observations.

    values, valid, days  as `eo.pixel_series` has them; t is the day
    order                of the highest harmonic, from 1
    robust               weigh observations by their residuals and fit again, first towards the
                         least absolute residuals, then by Tukey's biweight (iteratively reweighted
                         least squares; Holland and Welsch 1977), so that what clouds and shadows
                         left bends nothing
    threads              that may be used, 0 for all
    Returns (coefficient, band, y, x) in the order of `coefficients`, in the unit of values; NaN
    where a pixel has fewer observations than coefficients, or has them in too short a time.

    Raises ValueError where the shapes do not agree, the days decrease, or the order is below 1.
    """
    if order < 1:
        raise ValueError(f"order is {order}; it must be at least 1.")
    count = 2 * order + 1
    return by_rows(_fit, values, valid, days, count, threads, design(days, order), robust)[0]


def design(days: NDArray[np.int32], order: int) -> NDArray[np.float64]:
    """Return (time, coefficient), what each coefficient is multiplied with on a day, in the order
    of `coefficients`.

    days  (time,), since the one at which the waves begin
    """
    t = np.arange(1, order + 1)[:, None] * (2 * np.pi / YEAR) * days
    found = np.ones((len(days), 2 * order + 1))
    found[:, 1::2], found[:, 2::2] = np.cos(t).T, np.sin(t).T
    return found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit(values, valid, days, design, robust, out):  # type: ignore[no-untyped-def]
    times, bands, height, width = values.shape
    size = design.shape[1]
    series = np.empty((width, times), np.float32)
    on, at, weight, residual, sorted_ = np.empty((5, times))
    rows, matrix = np.empty((times, size)), np.empty((size, size))
    right, found = np.empty(size), np.empty(size)
    for y in range(height):
        for band in range(bands):
            turned(values[:, band, y], valid[:, y], series)
            for x in range(width):
                count = merged(series[x], days, on, at, weight)
                solved = False
                if count >= size:
                    _rows(days, design, on, count, rows)
                    weight[:count] = 1
                    solved = solve(rows, at, weight, count, matrix, right, found)
                    if robust and solved:
                        _reweigh(rows, at, weight, count, matrix, right, found, residual, sorted_)
                for i in range(size):
                    out[i, band, y, x] = found[i] if solved else np.nan


@numba.njit(cache=True, nogil=True)
def _rows(days, design, on, count, rows):  # type: ignore[no-untyped-def]
    time = 0
    for i in range(count):
        while days[time] != on[i]:
            time += 1
        for k in range(design.shape[1]):
            rows[i, k] = design[time, k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def solve(rows, at, weight, count, matrix, right, found):  # type: ignore[no-untyped-def]
    """Solve the normal equations by Cholesky's factors; False where they have no one solution."""
    size = len(found)
    matrix[:], right[:] = 0.0, 0.0
    for time in range(count):
        for i in range(size):
            value = weight[time] * rows[time, i]
            right[i] += value * at[time]
            for j in range(i + 1):
                matrix[i, j] += value * rows[time, j]
    for i in range(size):
        whole = matrix[i, i]
        for j in range(i):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = total * matrix[j, j]  # whose diagonal is inverted
            whole -= matrix[i, j] ** 2
        if not whole > _SINGULAR * matrix[i, i]:
            return False
        matrix[i, i] = 1 / np.sqrt(whole)
    for i in range(size):
        total = right[i]
        for j in range(i):
            total -= matrix[i, j] * found[j]
        found[i] = total * matrix[i, i]
    for i in range(size - 1, -1, -1):
        total = found[i]
        for j in range(i + 1, size):
            total -= matrix[j, i] * found[j]
        found[i] = total * matrix[i, i]
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _reweigh(rows, at, weight, count, matrix, right, found, residual, sorted_):  # type: ignore[no-untyped-def]
    size = len(found)
    last = np.empty(size)
    for iteration in range(_ITERATIONS):
        for time in range(count):
            fitted = 0.0
            for i in range(size):
                fitted += rows[time, i] * found[i]
            residual[time] = at[time] - fitted
            sorted_[time] = abs(residual[time])
        sorted_[:count].sort()
        middle = (sorted_[(count - 1) // 2] + sorted_[count // 2]) / 2
        limit = _TUKEY * _NORMAL * middle
        if not limit > 0:  # half of the observations are met exactly
            return
        for time in range(count):
            share = residual[time] / limit
            if iteration < _ABSOLUTE:
                weight[time] = 1 / max(abs(share), 0.01)
            else:
                weight[time] = (1 - share * share) ** 2 if abs(share) < 1 else 0.0
        for i in range(size):
            last[i] = found[i]
        if not solve(rows, at, weight, count, matrix, right, found):
            for i in range(size):
                found[i] = last[i]
            return
