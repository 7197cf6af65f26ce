"""Texture: how the grey levels around a pixel lie beside one another.

The co-occurrence matrix of a direction counts which levels are neighbours in a window, each pair in
both orders; its statistics are those of Haralick, Shanmugam and Dinstein (1973), "Textural features
for image classification", IEEE Transactions on Systems, Man, and Cybernetics 3(6), each the mean of
the four directions. Levels are between fixed limits, and not between the least and the most of an
image, so that they mean the same everywhere.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.runtime.threads import parallel_for

MEASURES = (
    "contrast",
    "dissimilarity",
    "homogeneity",
    "entropy",
    "angular_second_moment",
    "correlation",
)
"""The statistics of a matrix p whose entries sum to one: contrast, the sum of p (i - j)^2;
dissimilarity, of p abs(i - j); homogeneity, of p / (1 + (i - j)^2); entropy, of -p ln p; angular
second moment, of p^2; and the correlation of i and j, which is 1 where all levels are the same."""
LARGEST_WINDOW = 31
"""Pixels along its side."""
MOST_LEVELS = 256
_DIRECTIONS = np.array([(0, 1), (1, 1), (1, 0), (1, -1)])
"""Rows down and columns to the right from a pixel to its neighbour."""
_ONE = 2**32
"""One, in the fixed point in which sums of fractions are kept: they are exact, so that a window
that is left says nothing of the next, whichever way the image is divided."""
_ROWS = 16
"""Rows that a thread measures at a time."""


def margin(window: int) -> int:
    """How many pixels beyond an area its texture depends on.

    window  side of the neighbourhood in pixels
    """
    return window // 2


def grey_levels(
    values: NDArray[np.float32], low: float, high: float, levels: int
) -> NDArray[np.int16]:
    """Return which of ``levels`` equal steps from ``low`` to ``high`` values of any shape are in.

    Returns 0 to ``levels`` - 1, the first and the last of which have what lies beyond, and -1 where
    a value is NaN. Raises ValueError where ``low`` is not below ``high``, or for a number of levels
    that is not 2 to 256.
    """
    if not low < high or not 2 <= levels <= MOST_LEVELS:
        raise ValueError(
            f"{levels} grey levels from {low:g} to {high:g}: there must be 2 to {MOST_LEVELS}, and "
            "the first limit must be below the second."
        )
    steps = np.floor((values - np.float32(low)) * np.float32(levels / (high - low)))
    missing = np.isnan(steps)
    steps[missing] = 0
    found: NDArray[np.int16] = np.clip(steps, 0, levels - 1).astype(np.int16)
    found[missing] = -1
    return found


def measure(
    grey: NDArray[np.int16], levels: int, window: int, *, threads: int = 0
) -> NDArray[np.float32]:
    """Return the texture around each pixel.

    grey     (band, y + 2 margin, x + 2 margin), 0 to ``levels`` - 1, negative where missing; with
             ``margin(window)`` pixels more on each side than are returned
    levels   2 to 256
    window   pixels along the side of the square around a pixel, odd, 3 to 31
    threads  that may be used, 0 for all
    Returns (measure, band, y, x) in the order of ``MEASURES``. Pairs of which a pixel is missing do
    not count, and neither does a direction without pairs; NaN where there is none in any, and where
    the pixel itself is missing.

    Raises ValueError where the window or the levels are not such, or the image is smaller than the
    window.
    """
    if not 3 <= window <= LARGEST_WINDOW or window % 2 == 0:
        raise ValueError(f"A window of {window} pixels is not odd, or not 3 to {LARGEST_WINDOW}.")
    bands, rows, columns = grey.shape
    height, width = (length - 2 * margin(window) for length in (rows, columns))
    if min(height, width) < 1:
        raise ValueError(f"An image of {rows} x {columns} pixels has no window of {window}.")
    if grey.size and not (2 <= levels <= MOST_LEVELS and grey.max() < levels):
        raise ValueError(
            f"Of {levels} grey levels, 2 to {MOST_LEVELS}, the highest is {levels - 1}, and the "
            f"image has {grey.max()}."
        )
    out = np.empty((len(MEASURES), bands, height, width), np.float32)
    counts = np.arange(2 * window * window + 1, dtype=np.float64)
    information = np.round(counts * np.log(np.maximum(counts, 1)) * _ONE).astype(np.int64)
    nearness = np.round(_ONE / (1 + np.arange(levels, dtype=np.float64) ** 2)).astype(np.int64)

    def rows_measured(part: slice) -> None:
        image = np.ascontiguousarray(grey[:, part.start : part.stop + 2 * margin(window)])
        result = np.empty((len(MEASURES), bands, part.stop - part.start, width), np.float32)
        _measure(image, levels, window, _DIRECTIONS, information, nearness, result)
        out[:, :, part] = result

    parallel_for(rows_measured, height, _ROWS, threads)
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _measure(image, levels, window, directions, information, nearness, out):  # type: ignore[no-untyped-def]
    measures, bands, height, width = out.shape
    half = window // 2
    matrix = np.zeros((levels, levels), np.int32)
    total, counted = np.empty((measures, width)), np.empty(width, np.int64)
    # Pairs; their differences, squared ones and nearness; levels, squared ones and products;
    # k ln k and k^2 of the matrix's entries k.
    sums = np.empty(9, np.int64)
    for band in range(bands):
        grey = image[band]
        for y in range(height):
            total[:], counted[:] = 0, 0
            for direction in range(len(directions)):
                down, right = directions[direction]
                across, turn = abs(right), 1 if right < 0 else 0
                last = y + window - down
                sums[:] = 0
                for left in range(window - 1 - across):
                    _count(
                        grey, y, last, left + turn, down, right, 1,
                        matrix, information, nearness, sums,
                    )  # fmt: skip
                for x in range(width):
                    _count(
                        grey, y, last, x + window - 1 - across + turn, down, right, 1,
                        matrix, information, nearness, sums,
                    )  # fmt: skip
                    if sums[0]:
                        counted[x] += 1
                        _describe(sums, total[:, x])
                    _count(
                        grey, y, last, x + turn, down, right, -1,
                        matrix, information, nearness, sums,
                    )  # fmt: skip
                for left in range(width, width + window - 1 - across):
                    _count(
                        grey, y, last, left + turn, down, right, -1,
                        matrix, information, nearness, sums,
                    )  # fmt: skip
            for x in range(width):
                known = counted[x] > 0 and grey[y + half, x + half] >= 0
                for i in range(measures):
                    out[i, band, y, x] = total[i, x] / counted[x] if known else np.nan


@numba.njit(cache=True, nogil=True, inline="always")
def _count(grey, first, last, column, down, right, sign, matrix, information, nearness, sums):  # type: ignore[no-untyped-def]
    """Add the pairs of a column of a window, or take them out."""
    for row in range(first, last):
        one, other = grey[row, column], grey[row + down, column + right]
        if one < 0 or other < 0:
            continue
        if one > other:
            one, other = other, one
        a, b = np.int64(one), np.int64(other)
        apart = b - a
        sums[0] += sign
        sums[1] += sign * apart
        sums[2] += sign * apart * apart
        sums[3] += sign * nearness[apart]
        sums[4] += sign * (a + b)
        sums[5] += sign * (a * a + b * b)
        sums[6] += sign * a * b
        before = np.int64(matrix[a, b])
        after = before + sign
        matrix[a, b] = after
        if apart:
            # Its other order is another entry of the matrix.
            sums[7] += 2 * (information[after] - information[before])
            sums[8] += 2 * (after * after - before * before)
        else:
            sums[7] += information[2 * after] - information[2 * before]
            sums[8] += 4 * (after * after - before * before)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _describe(sums, total):  # type: ignore[no-untyped-def]
    """Add the measures of a direction to ``total``."""
    pairs = float(sums[0])
    entries = 2 * sums[0]
    total[0] += sums[2] / pairs
    total[1] += sums[1] / pairs
    total[2] += sums[3] / (pairs * _ONE)
    total[3] += max(0.0, np.log(2 * pairs) - sums[7] / (2 * pairs * _ONE))
    total[4] += sums[8] / (4 * pairs * pairs)
    spread = entries * sums[5] - sums[4] * sums[4]
    together = entries * 2 * sums[6] - sums[4] * sums[4]
    total[5] += together / spread if spread else 1.0
