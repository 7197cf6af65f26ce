"""What single scenes hide: clouds and shadows that stand out of a pixel's own season, and bright
ground that only looks like cloud.

In the manner of Tmask (Zhu and Woodcock 2014, "Automated cloud, cloud shadow, and snow detection in
multitemporal Landsat data", Remote Sensing of Environment 152): a harmonic model of each band is
fitted robustly to a pixel's clear observations, and an observation far from it is cloud or shadow.
As in Hagolle et al. (2010), "A multi-temporal method for cloud detection", Remote Sensing of
Environment 114, it must stand out of the observations before and after it too: what stays, such as
a harvest, is a change of the ground.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.harmonics import design
from lc_platform.eo.pixel_series import sort_first

BANDS = ("B02", "B8A", "B11")
"""Blue, near and shortwave infrared, in the order of the arrays here."""
UNUSED, CLEAR, CLOUD = range(3)
"""What a single scene says of an observation: nothing to judge, as no data or snow; the ground; a
cloud."""
MISSED_CLOUD, NOT_CLOUD, DARK, SHADOW = 1, 2, 4, 8
"""Flags of what the season says of an observation: cloud that was called clear; ground that was
called cloud; near infrared that is dark for the pixel, as in a shadow; shadow beyond doubt."""

COEFFICIENTS = 5
"""Of the model: mean, and the cosine and sine of a year and of half a year."""
LEAST = 12
"""Clear observations that the full model takes; with fewer it is of a year's wave alone."""
FEWEST = 6
"""Clear observations below which there is no model."""

_CLOUD = np.float32(0.04)
"""Reflectance above the model (Tmask)."""
_SHADOW = np.float32(0.04)
"""Reflectance below the model, in both infrared bands (Tmask)."""
_DARK = np.float32(0.85)
"""Of the near infrared around it in time, below which an observation is dark."""
_DARKER = np.float32(0.62)
"""Likewise of a shadow that needs no other evidence."""
_WATER = np.float32(0.08)
"""Near infrared that a pixel's season must exceed to darken: water's is below."""
_ALIKE = np.float32(0.015)
"""Reflectance that a clear observation may lie above the darkest ones, beside a share of it."""
_ALIKE_SHARE = np.float32(0.10)
_BRIGHT = np.float32(0.20)
"""Blue that is as bright as cloud."""
_SAME_SHARE = np.float32(0.15)
"""Share of a band's median that an observation of bright ground may differ by, beside
``_ALIKE``."""
_MOSTLY = 0.4
"""Share of a pixel's observations that agree in all bands where its ground is bright; clouds do
not."""
_ORDER = 2
"""Of the model's harmonics: a year's and half a year's."""


def season_flags(
    numbers: NDArray[np.uint16],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    state: NDArray[np.uint8],
    days: NDArray[np.int32],
) -> NDArray[np.uint8]:
    """Return what each observation is by its pixel's season, as flags.

    numbers        (time, band, y, x), digital numbers of ``BANDS``
    scale, offset  (time, band): reflectance = number * scale + offset
    state          (time, y, x), UNUSED, CLEAR or CLOUD
    days           (time,), not decreasing
    Returns (time, y, x): a sum of MISSED_CLOUD, NOT_CLOUD, DARK and SHADOW, or 0. Only what is
    CLEAR can be MISSED_CLOUD, DARK or SHADOW, and only what is CLOUD can be NOT_CLOUD. A pixel
    with fewer than ``FEWEST`` clear observations has no MISSED_CLOUD and no SHADOW. Each pixel is
    judged by itself.
    """
    out = np.zeros(state.shape, np.uint8)
    _flag(numbers, scale, offset, state, design(days, _ORDER), out)
    return out


def fit(design: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficients of the harmonic model that fits observations robustly: iteratively
    reweighted least squares with Tukey's bisquare and the median absolute deviation, five times.

    design  (observation, coefficient)
    values  (observation,)
    Returns (coefficient,). Raises ValueError where there are fewer observations than coefficients.
    """
    count, size = design.shape
    if count < size:
        raise ValueError(
            f"{count} observations do not determine {size} coefficients. Give at least {size}"
        )
    coefficients = np.zeros(size)
    work = np.empty(count), np.empty(count), np.empty((size, size)), np.empty(count)
    _fit(np.ascontiguousarray(design), values, count, size, coefficients, *work)
    return coefficients


_TUNING = 4.685
"""Of the bisquare: 95 % efficient where errors are normal."""
_TO_SIGMA = 1.4826
_ITERATIONS = 5
_NO_LESS = 0.003
"""Reflectance that residuals are taken to spread by at least."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _median(values, count):  # type: ignore[no-untyped-def]
    """The median of the first values, which are sorted in place."""
    sort_first(values, count)
    half = count // 2
    return values[half] if count % 2 else 0.5 * (values[half - 1] + values[half])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit(design, values, count, size, coefficients, weights, spread, normal, residual):  # type: ignore[no-untyped-def]
    for i in range(count):
        weights[i] = 1.0
    for iteration in range(_ITERATIONS + 1):
        right = np.zeros(COEFFICIENTS)
        for a in range(size):
            for b in range(size):
                normal[a, b] = 0.0
        for i in range(count):
            w = weights[i]
            if w > 0.0:
                for a in range(size):
                    wa = w * design[i, a]
                    right[a] += wa * values[i]
                    for b in range(a + 1):
                        normal[a, b] += wa * design[i, b]
        # Cholesky; the ridge keeps observations of few dates from a singular matrix.
        for a in range(size):
            normal[a, a] += 1e-6 * count
            for b in range(a + 1):
                total = normal[a, b]
                for k in range(b):
                    total -= normal[a, k] * normal[b, k]
                normal[a, b] = np.sqrt(max(total, 1e-12)) if a == b else total / normal[b, b]
        for a in range(size):
            total = right[a]
            for k in range(a):
                total -= normal[a, k] * right[k]
            right[a] = total / normal[a, a]
        for a in range(size - 1, -1, -1):
            total = right[a]
            for k in range(a + 1, size):
                total -= normal[k, a] * right[k]
            right[a] = total / normal[a, a]
            coefficients[a] = right[a]
        if iteration == _ITERATIONS:
            return
        for i in range(count):
            predicted = 0.0
            for a in range(size):
                predicted += design[i, a] * coefficients[a]
            residual[i] = values[i] - predicted
            spread[i] = abs(residual[i])
        reach = _TUNING * max(_TO_SIGMA * _median(spread, count), _NO_LESS)
        for i in range(count):
            u = residual[i] / reach
            weights[i] = (1.0 - u * u) ** 2 if abs(u) < 1.0 else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _beside(values, clear, at, count, step, three):  # type: ignore[no-untyped-def]
    """The median of the up to three nearest clear observations before or after one; -1 where there
    is none."""
    found = 0
    i = at + step
    while 0 <= i < count and found < 3:
        if clear[i]:
            three[found] = values[i]
            found += 1
        i += step
    return _median(three, found) if found else -1.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _is_alike(seen, at, middle):  # type: ignore[no-untyped-def]
    for k in range(3):  # noqa: SIM110  # numba knows no all of a generator
        if abs(seen[k, at] - middle[k]) > _SAME_SHARE * middle[k] + _ALIKE:
            return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _flag(numbers, scale, offset, state, design, out):  # type: ignore[no-untyped-def]
    times, rows, columns = state.shape
    when = np.empty(times, np.int64)
    seen = np.empty((3, times))
    clear = np.empty(times, np.bool_)
    own = np.empty((times, COEFFICIENTS))
    values = np.empty(times)
    weights, spread, residual = np.empty(times), np.empty(times), np.empty(times)
    normal = np.empty((COEFFICIENTS, COEFFICIENTS))
    model = np.zeros((3, COEFFICIENTS))
    three, middle = np.empty(3), np.empty(3)
    dark_blue = np.empty(4)
    for y in range(rows):
        for x in range(columns):
            count, sure = 0, 0
            for t in range(times):
                if state[t, y, x] != UNUSED:
                    when[count] = t
                    for k in range(3):
                        seen[k, count] = numbers[t, k, y, x] * scale[t, k] + offset[t, k]
                    clear[count] = state[t, y, x] == CLEAR
                    sure += clear[count]
                    count += 1
            if count == 0:
                continue
            size = 0
            if sure >= FEWEST:
                size = COEFFICIENTS if sure >= LEAST else 3
                for k in range(3):
                    n = 0
                    for i in range(count):
                        if clear[i]:
                            values[n] = seen[k, i]
                            for a in range(size):
                                own[n, a] = design[when[i], a]
                            n += 1
                    _fit(own, values, n, size, model[k], weights, spread, normal, residual)
            # The darkest blue but for the two lowest, which may lie in shadow or be damaged.
            lowest = min(4, count)
            for i in range(lowest):
                dark_blue[i] = np.inf
            for i in range(count):
                v = seen[0, i]
                for j in range(lowest):
                    if v < dark_blue[j]:
                        dark_blue[j], v = v, dark_blue[j]
            ground = dark_blue[min(2, lowest - 1)]
            alike = 0
            if sure <= count // 2:
                for k in range(3):
                    for i in range(count):
                        values[i] = seen[k, i]
                    middle[k] = _median(values, count)
                if middle[0] >= _BRIGHT:
                    for i in range(count):
                        alike += _is_alike(seen, i, middle)
            bright = alike >= _MOSTLY * count
            for i in range(count):
                t = when[i]
                blue, near, short = seen[0, i], seen[1, i], seen[2, i]
                before = _beside(seen[1], clear, i, count, -1, three)
                after = _beside(seen[1], clear, i, count, 1, three)
                low = before if after < 0 or (before >= 0 and before < after) else after
                flags = 0
                if low >= _WATER and near < _DARK * low:
                    flags |= DARK
                if not clear[i]:
                    dark_enough = not flags and blue <= ground * (1 + _ALIKE_SHARE) + _ALIKE
                    if count > 4 and (dark_enough or (bright and _is_alike(seen, i, middle))):
                        out[t, y, x] = NOT_CLOUD
                    continue
                if size:
                    expected_blue, expected_near, expected_short = 0.0, 0.0, 0.0
                    for a in range(size):
                        expected_blue += design[t, a] * model[0, a]
                        expected_near += design[t, a] * model[1, a]
                        expected_short += design[t, a] * model[2, a]
                    high = max(
                        _beside(seen[0], clear, i, count, -1, three),
                        _beside(seen[0], clear, i, count, 1, three),
                    )
                    if blue - max(expected_blue, high) > _CLOUD:
                        flags |= MISSED_CLOUD
                    if (
                        flags & DARK
                        and near < _DARKER * low
                        and expected_near - near > _SHADOW
                        and expected_short - short > _SHADOW
                    ):
                        flags |= SHADOW
                out[t, y, x] = flags
