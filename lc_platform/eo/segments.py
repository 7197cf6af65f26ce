"""Segments: small pieces of ground of pixels that are alike (superpixels), each of one class.

Achanta et al. (2012), "SLIC superpixels compared to state-of-the-art superpixel methods", IEEE
Transactions on Pattern Analysis and Machine Intelligence 34(11): k-means over what pixels show and
where they lie, in which a pixel compares the segments around it alone. Here segments begin as
squares that are counted from the origin of the CRS, a pixel belongs to the segment of its own
square or of one of the eight around that, wherever the segments' means move, and the number of
iterations is fixed. So a pixel depends on nothing beyond `margin`, and windows with it give what
the whole gives, to the bit.

SNIC (Achanta and Suesstrunk 2017) lets all segments of an image grow in one order, and SLIC joins
pieces that are cut off to the segment beside them, one after the other. Both reach as far as the
image does, and neither is done here: a segment may be in several pieces.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import objects
from lc_platform.runtime.threads import parallel_for

ITERATIONS = 3
"""The first ones bring the most, and each makes a pixel depend on more ground."""
NO_SEGMENT = -1
_ROWS = 16
"""Rows that a thread works on at a time."""
_SQUARES = 2
"""Likewise, rows of squares."""


def margin(size: int) -> int:
    """How many pixels beyond a window's border its segments, and what they say, depend on.

    size  pixels along the side of the squares

    A pixel's segment depends on squares that end ``2 * size - 1`` pixels away. What they have
    become by an iteration depends on pixels that are ``size`` further, whose segments depend on
    squares again; and so does the mean of a segment.
    """
    return (ITERATIONS + 1) * (2 * size - 1) + ITERATIONS * size


def segment(
    values: NDArray[np.float32],
    *,
    origin: tuple[int, int],
    size: int,
    compactness: float,
    threads: int = 0,
) -> NDArray[np.int32]:
    """Divide a window into segments.

    values       (layer, y, x), what pixels are compared by, in one unit; NaN without data
    origin       row and column of the window's first pixel, counted in pixels from the origin of
                 the CRS, southwards and eastwards
    size         pixels along the side of the squares that segments begin as, 2 and above
    compactness  how much in ``values`` a distance of ``size`` pixels counts, 0 and above: the
                 higher, the more segments stay squares
    threads      that may be used, 0 for all
    Returns (y, x), the number of each pixel's segment, 0 and above, `NO_SEGMENT` where a layer has
    no data. Of segments that are as near, a pixel takes the northernmost, and of these the
    westernmost. By ``margin(size)`` pixels more on each side, a window's segments are those of the
    whole; their numbers are not.

    Raises ValueError where a parameter is outside of its range.
    """
    if size < 2 or not 0 <= compactness < np.inf:
        raise ValueError(
            f"Squares of {size} pixels with a compactness of {compactness} make no segments: the "
            "size must be 2 or above, the compactness 0 or above."
        )
    layers, height, width = values.shape
    north, west = origin[0] % size, origin[1] % size
    down, across = -(-(north + height) // size), -(-(west + width) // size)
    pixels = np.ascontiguousarray(np.moveaxis(values, 0, -1), np.float32)
    valid = ~np.isnan(values).any(axis=0)
    rows, columns = (np.arange(n) + at for n, at in ((height, north), (width, west)))
    squares = rows[:, np.newaxis] // size * across + columns // size
    segments = np.where(valid, squares, NO_SEGMENT).astype(np.int32)
    means = np.full((down, across, layers + 2), np.nan)
    weight = (compactness / size) ** 2

    def averaged(part: slice) -> None:
        _average(pixels, segments, north, west, size, part.start, part.stop, means)

    def assigned(part: slice) -> None:
        _assign(pixels, means, north, west, size, weight, part.start, part.stop, segments)

    if valid.any():
        for _ in range(ITERATIONS):
            parallel_for(averaged, down, _SQUARES, threads)
            parallel_for(assigned, height, _ROWS, threads)
    return segments


def smooth(probabilities: NDArray[np.float32], segments: NDArray[np.int32]) -> NDArray[np.float32]:
    """Give each pixel the probabilities of its segment.

    probabilities  (class, y, x), 0 to 1, summing to one; NaN without data
    segments       (y, x), their numbers, `NO_SEGMENT` for none
    Returns (class, y, x), summing to one: of each segment the geometric mean over its pixels with
    data, so scaled; NaN where the pixel has no data. A pixel of no segment keeps its own.

    Raises ValueError where the shapes do not agree, or the probabilities are none.
    """
    sums = objects.accumulate(segments + 1, probabilities)
    found = probabilities.copy()
    if len(sums.ids):
        means = objects.mean_probabilities(sums).astype(np.float32)
        here = (segments != NO_SEGMENT) & ~np.isnan(probabilities).any(axis=0)
        found[:, here] = means[np.searchsorted(sums.ids, segments[here] + 1)].T
    return found


# Offsets within a square are small whole numbers wherever the window begins, so that means and
# distances are the same to the bit in every window.


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _average(pixels, segments, north, west, size, start, stop, means):  # type: ignore[no-untyped-def]
    """Fill means with those of the squares' segments, then of their rows' and columns' offsets; of
    a segment without a pixel they stay."""
    height, width, layers = pixels.shape
    across = means.shape[1]
    totals = np.empty(layers, np.float64)
    for i in range(start, stop):
        for j in range(across):
            top, left = i * size - north, j * size - west
            count, rows, columns = 0, 0, 0
            totals[:] = 0
            for y in range(max(top - size, 0), min(top + 2 * size, height)):
                for x in range(max(left - size, 0), min(left + 2 * size, width)):
                    if segments[y, x] == i * across + j:
                        count += 1
                        rows += y - top
                        columns += x - left
                        for k in range(layers):
                            totals[k] += pixels[y, x, k]
            if count > 0:
                for k in range(layers):
                    means[i, j, k] = totals[k] / count
                means[i, j, layers] = rows / count
                means[i, j, layers + 1] = columns / count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _assign(pixels, means, north, west, size, weight, start, stop, segments):  # type: ignore[no-untyped-def]
    """Give each pixel of some rows that has a segment the nearest of those around it."""
    down, across, layers = means.shape[0], means.shape[1], pixels.shape[2]
    for y in range(start, stop):
        row = y + north
        for x in range(segments.shape[1]):
            if segments[y, x] < 0:
                continue
            column, least = x + west, np.inf
            for i in range(max(row // size - 1, 0), min(row // size + 2, down)):
                for j in range(max(column // size - 1, 0), min(column // size + 2, across)):
                    south = row - i * size - means[i, j, layers]
                    east = column - j * size - means[i, j, layers + 1]
                    apart = weight * (south * south + east * east)
                    for k in range(layers):
                        by = pixels[y, x, k] - means[i, j, k]
                        apart += by * by
                    if apart < least:
                        least = apart
                        segments[y, x] = i * across + j
