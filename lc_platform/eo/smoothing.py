"""Bayesian smoothing of class probabilities over a neighbourhood.

Camara et al. (2024), "Bayesian inference for post-processing of remote sensing image
classification", Remote Sensing 16(23), 4572. A pixel's logit of a class is taken as one
observation of an unknown mean with the variance that is set for the class; the neighbourhood gives
that mean's prior. Where neighbours agree, the pixel follows them; where they do not, as at a
border, it keeps what its own observation says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import probabilities as class_probabilities
from lc_platform.runtime.threads import parallel_for

LEAST = 1e-4
"""Probability that stands for all below it, and one less it for all above: a logit has an end."""
_ROWS = 16
"""Rows that a thread smooths at a time."""
_COLUMNS = 128
"""Columns that are sorted side by side; what is sorted stays in the cache."""

Comparison = tuple[int, int]


def margin(window: int) -> int:
    """How many pixels beyond a window's border its smoothed probabilities depend on.

    window  side of the neighbourhood in pixels
    """
    return window // 2


def smooth(
    probabilities: NDArray[np.float32],
    variances: Sequence[float],
    *,
    window: int = 7,
    fraction: float = 0.5,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Smooth class probabilities, each by the best of its neighbours.

    probabilities  (class, y, x), 0 to 1, summing to one; NaN without data
    variances      (class,), of a pixel's logit, 0 and above: the higher, the more its neighbours
                   count. 0 leaves the class's logits as they are; 20 is the paper's usual value
    window         side of the square neighbourhood in pixels, odd; the pixel is in its middle
    fraction       of the neighbours with data, above 0 to 1, that give the prior: those with the
                   highest logits of the class, rounded up
    threads        that may be used, 0 for all
    Returns (class, y, x), summing to one; NaN where the pixel itself has no data. Pixels without
    data, and what lies outside of the array, have no say. By ``margin(window)`` pixels more on
    each side, a window's values are those of the whole, to the bit.

    Raises ValueError where the probabilities are none, or a parameter is outside of its range.
    """
    classes, height, width = probabilities.shape if probabilities.ndim == 3 else (0, 0, 0)
    if window < 1 or window % 2 == 0:
        raise ValueError(f"A neighbourhood of {window} pixels has no middle: give an odd number.")
    if not 0 < fraction <= 1:
        raise ValueError(f"A fraction of {fraction} is not above 0 and at most 1.")
    valid = class_probabilities.check(probabilities)
    variance = np.asarray(variances, np.float32)
    if variance.shape != (classes,) or not (np.isfinite(variance) & (variance >= 0)).all():
        raise ValueError(
            f"The variances {list(variances)} must be one of 0 or above for each of the {classes} "
            "classes."
        )
    best = [max(1, math.ceil(round(fraction * count, 9))) for count in range(window**2 + 1)]
    operations, first, second = _program(window)
    logits = np.empty(probabilities.shape, np.float32)
    smoothed = np.empty(probabilities.shape, np.float32)

    def to_logits(rows: slice) -> None:
        _logits(probabilities[:, rows], valid[rows], np.float32(LEAST), logits[:, rows])

    def rows_smoothed(rows: slice) -> None:
        _smooth(
            logits, valid, variance, np.array(best, np.int32), window,
            operations, first, second, rows.start, rows.stop, smoothed,
        )  # fmt: skip

    if width:
        parallel_for(to_logits, height, _ROWS, threads)
        parallel_for(rows_smoothed, height, _ROWS, threads)
    return smoothed


@cache
def _program(
    window: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """How the values of all windows along a row are sorted, many windows side by side.

    A line holds a value for each column. Lines 0 to window - 1 hold the values of a column, one a
    row. They are sorted, then columns are merged to pairs, pairs to fours and so on, each serving
    all the windows in which it lies.

    Returns operations (operation, 3): (a, b, -1) leaves the greater value in line a and the lesser
    in b, (a, b, shift) copies line b from ``shift`` columns to the right into line a; and
    the lines of two sorted parts of the window at each column, greatest first: its first columns,
    as many as the highest power of two has, and the rest.
    """
    operations: list[tuple[int, int, int]] = []
    count = window
    order, comparisons = _sorted(list(range(window)))
    operations += [(a, b, -1) for a, b in comparisons]
    levels = {1: order}

    def merged(one: list[int], other: list[int], shift: int) -> list[int]:
        nonlocal count
        lines = list(range(count, count + len(one) + len(other)))
        count += len(lines)
        operations.extend((line, source, 0) for line, source in zip(lines, one, strict=False))
        operations.extend(
            (line, source, shift) for line, source in zip(lines[len(one) :], other, strict=True)
        )
        merging, pairs = _merged(lines[: len(one)], lines[len(one) :])
        operations.extend((a, b, -1) for a, b in pairs)
        return merging

    size = 1
    while 2 * size <= window:
        levels[2 * size] = merged(levels[size], levels[size], size)
        size *= 2
    first = levels[size]
    # The rest of the columns: merged where it lies, then moved to the window's first column.
    rest: list[int] = []
    start, left, at = size, window - size, size
    while left:
        part = 1 << (left.bit_length() - 1)
        rest = merged(rest, levels[part], start - at) if rest else levels[part]
        start, left = start + part, left - part
    moved = list(range(count, count + len(rest)))
    operations += [(line, source, at) for line, source in zip(moved, rest, strict=True)]
    return (
        np.array(operations, np.int32).reshape(-1, 3),
        np.array(first, np.int32),
        np.array(moved, np.int32),
    )


def _sorted(lines: list[int]) -> tuple[list[int], list[Comparison]]:
    if len(lines) < 2:
        return lines, []
    half = len(lines) // 2
    one, before = _sorted(lines[:half])
    other, after = _sorted(lines[half:])
    order, merging = _merged(one, other)
    return order, before + after + merging


def _merged(one: list[int], other: list[int]) -> tuple[list[int], list[Comparison]]:
    """Batcher's odd-even merge of two sorted lists of lines, of any lengths (Knuth 5.3.4)."""
    if not one or not other:
        return one + other, []
    if len(one) == len(other) == 1:
        return [one[0], other[0]], [(one[0], other[0])]
    odd, first = _merged(one[::2], other[::2])
    even, second = _merged(one[1::2], other[1::2])
    order, last = odd[:1], []
    for i in range(max(len(odd) - 1, len(even))):
        pair = [lines[at] for lines, at in ((even, i), (odd, i + 1)) if at < len(lines)]
        if len(pair) == 2:
            last.append((pair[0], pair[1]))
        order += pair
    return order, first + second + last


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _logits(probabilities, valid, least, logits):  # type: ignore[no-untyped-def]
    classes, height, width = probabilities.shape
    for k in range(classes):
        for y in range(height):
            for x in range(width):
                value = np.float32(probabilities[k, y, x])
                value = min(max(value, least), np.float32(1) - least)
                logit = math.log(value / (np.float32(1) - value))
                logits[k, y, x] = logit if valid[y, x] else np.float32(-np.inf)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _smooth(  # type: ignore[no-untyped-def]
    logits, valid, variances, best, window, operations, first, second, start, stop, smoothed
):
    classes, _, width = logits.shape
    reach = window // 2
    columns = min(width, _COLUMNS)
    lines = window
    for i in range(operations.shape[0]):
        lines = max(lines, operations[i, 0] + 1)
    held = np.full((lines, columns + 2 * reach), np.float32(-np.inf), np.float32)
    mean, variance, mean_of, variance_of, total = np.empty((5, columns), np.float32)
    chosen, occurs = np.empty(columns, np.int32), np.empty(best.shape[0], np.bool_)
    for y in range(start, stop):
        for left in range(0, width, columns):
            size = min(columns, width - left)
            fewest, most = _count(valid, best, y, left, size, reach, chosen, occurs)
            total[:] = 0
            if most == 0:
                smoothed[:, y, left : left + size] = np.float32(np.nan)
                continue
            for k in range(classes):
                _load(logits[k], y, left, size, reach, held)
                _run(operations, held, size + 2 * reach)
                for count in range(fewest, most + 1):
                    if fewest == most:
                        _moments(held, first, second, count, size, mean, variance)
                    elif occurs[count]:
                        _moments(held, first, second, count, size, mean_of, variance_of)
                        for x in range(size):
                            here = chosen[x] == count
                            mean[x] = mean_of[x] if here else mean[x]
                            variance[x] = variance_of[x] if here else variance[x]
                for x in range(size):
                    own = logits[k, y, left + x]
                    both = variance[x] + variances[k]
                    if both > 0:
                        own = (variance[x] * own + variances[k] * mean[x]) / both
                    share = np.float32(1) / (np.float32(1) + math.exp(-own))
                    smoothed[k, y, left + x] = share
                    total[x] += share
            for k in range(classes):
                for x in range(size):
                    if valid[y, left + x]:
                        smoothed[k, y, left + x] /= total[x]
                    else:
                        smoothed[k, y, left + x] = np.float32(np.nan)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(valid, best, y, left, size, reach, chosen, occurs):  # type: ignore[no-untyped-def]
    """Fill chosen with how many neighbours give the prior, and return the fewest and the most.

    What a pixel without data is given does not matter.
    """
    height, width = valid.shape
    fewest, most = best.shape[0], 0
    occurs[:] = False
    for x in range(size):
        count = 0
        for row in range(max(0, y - reach), min(height, y + reach + 1)):
            for column in range(max(0, left + x - reach), min(width, left + x + reach + 1)):
                count += valid[row, column]
        chosen[x] = best[count]
        if valid[y, left + x]:
            fewest, most = min(fewest, chosen[x]), max(most, chosen[x])
            occurs[chosen[x]] = True
    return fewest, most


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _load(logits, y, left, size, reach, held):  # type: ignore[no-untyped-def]
    height, width = logits.shape
    for line in range(2 * reach + 1):
        row = y - reach + line
        for x in range(size + 2 * reach):
            column = left - reach + x
            inside = 0 <= row < height and 0 <= column < width
            held[line, x] = logits[row, column] if inside else np.float32(-np.inf)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _run(operations, held, width):  # type: ignore[no-untyped-def]
    for i in range(operations.shape[0]):
        shift = operations[i, 2]
        one, other = held[operations[i, 0]], held[operations[i, 1]]
        if shift >= 0:
            for x in range(width - shift):
                one[x] = other[x + shift]
        else:
            for x in range(width):
                a, b = one[x], other[x]
                one[x] = a if a > b else b
                other[x] = b if a > b else a


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _moments(held, first, second, count, size, mean, variance):  # type: ignore[no-untyped-def]
    """Mean and variance of the ``count`` greatest of two lists that are sorted.

    Of the greatest, the i-th of one list and the last but i of the other the greater is one.
    """
    mean[:size] = 0
    variance[:size] = 0
    for step in range(2):
        for i in range(count):
            here, there = i < first.shape[0], count - 1 - i < second.shape[0]
            one = held[first[i if here else 0]]
            other = held[second[count - 1 - i]] if there else one
            if not here:
                one = other
            if step == 0:
                for x in range(size):
                    mean[x] += one[x] if one[x] > other[x] else other[x]
            else:
                for x in range(size):
                    apart = (one[x] if one[x] > other[x] else other[x]) - mean[x]
                    variance[x] += apart * apart
        if step == 0:
            for x in range(size):
                mean[x] /= np.float32(count)
        elif count > 1:
            for x in range(size):
                variance[x] /= np.float32(count - 1)
