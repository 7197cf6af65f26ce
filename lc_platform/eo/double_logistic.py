"""Beck's double logistic curve, fitted to the observations of one season (Beck et al. 2006).

f(t) = base + height (1 / (1 + exp(-u (t - rise))) - 1 / (1 + exp(-d (t - fall))))
"""

from __future__ import annotations

import numba
import numpy as np

from lc_platform.eo.harmonics import solve

PARAMETERS = 6
"""base, height, rise (its day), u (by the day), fall (its day), d (by the day)."""
_ITERATIONS = 40
_ENOUGH = 1e-7
"""Of the squared residuals: a step that brings less ends the fit."""
_STEEPEST = 2.0
"""By the day: what rises faster has risen between two observations."""


@numba.njit(cache=True, nogil=True)
def value(parameters, day):  # type: ignore[no-untyped-def]
    """Return the curve on a day."""
    up = 1 / (1 + np.exp(-parameters[3] * (day - parameters[2])))
    down = 1 / (1 + np.exp(-parameters[5] * (day - parameters[4])))
    return parameters[0] + parameters[1] * (up - down)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fit(on, at, first, last, parameters, work, matrix):  # type: ignore[no-untyped-def]
    """Fit the curve by Levenberg and Marquardt's least squares; False where there are fewer
    observations than parameters.

    on, at       of all observations; those from ``first`` to before ``last`` are fitted
    parameters   (6,), where to begin, and the result
    work         (time + 6, 8), to work with
    matrix       (6, 6), likewise
    """
    count = last - first
    if count < PARAMETERS:
        return False
    rows, left, weight = work[:, :PARAMETERS], work[:, PARAMETERS], work[:, PARAMETERS + 1]
    right, step, trial = np.empty(PARAMETERS), np.empty(PARAMETERS), np.empty(PARAMETERS)
    size = count + PARAMETERS
    weight[:size] = 1.0
    damping, error = 1e-2, _error(on, at, first, last, parameters)
    for _ in range(_ITERATIONS):
        _derivatives(on, at, first, last, parameters, rows, left)
        rows[count:size], left[count:size] = 0.0, 0.0
        for i in range(PARAMETERS):
            total = 0.0
            for time in range(count):
                total += rows[time, i] ** 2
            # A row of its own for each parameter holds it back.
            rows[count + i, i] = np.sqrt(damping * max(total, 1e-12))
        if not solve(rows, left, weight, size, matrix, right, step):
            return True
        for i in range(PARAMETERS):
            trial[i] = parameters[i] + step[i]
        trial[3] = min(max(trial[3], 1e-3), _STEEPEST)
        trial[5] = min(max(trial[5], 1e-3), _STEEPEST)
        found = _error(on, at, first, last, trial)
        if found < error:
            done = error - found <= _ENOUGH * error
            parameters[:], error, damping = trial, found, damping / 5
            if done:
                return True
        else:
            damping *= 4
            if damping > 1e8:
                return True
    return True


@numba.njit(cache=True, nogil=True)
def _error(on, at, first, last, parameters):  # type: ignore[no-untyped-def]
    total = 0.0
    for time in range(first, last):
        total += (at[time] - value(parameters, on[time])) ** 2
    return total


@numba.njit(cache=True, nogil=True)
def _derivatives(on, at, first, last, parameters, rows, left):  # type: ignore[no-untyped-def]
    for time in range(first, last):
        i, day = time - first, on[time]
        up = 1 / (1 + np.exp(-parameters[3] * (day - parameters[2])))
        down = 1 / (1 + np.exp(-parameters[5] * (day - parameters[4])))
        rising, falling = parameters[1] * up * (1 - up), parameters[1] * down * (1 - down)
        rows[i, 0], rows[i, 1] = 1.0, up - down
        rows[i, 2], rows[i, 3] = -rising * parameters[3], rising * (day - parameters[2])
        rows[i, 4], rows[i, 5] = falling * parameters[5], -falling * (day - parameters[4])
        left[i] = at[time] - parameters[0] - parameters[1] * (up - down)
