"""The compiled walk of many pixels through a forest on bytes; see `lc_platform.eo.forest`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray

CLUSTER = 256
"""Pixels that walk together."""
LEAF = 255
"""The bin of a leaf: nothing is above it."""

_SAMPLE = 128
"""Pixels that are asked where to part a set of them."""
_TOGETHER = 8192
"""Pixels that take a tree one after the other, while its nodes are in the first-level cache."""


@njit(nogil=True, cache=True)
def to_probability(scores: NDArray[np.float64], sigmoid: float) -> None:
    """Scores (pixel, 1) become probabilities."""
    for pixel in range(scores.shape[0]):
        scores[pixel, 0] = 1.0 / (1.0 + math.exp(-sigmoid * scores[pixel, 0]))


@njit(nogil=True, cache=True)
def to_probabilities(scores: NDArray[np.float64]) -> None:
    """Scores (pixel, class) become probabilities by softmax."""
    for pixel in range(scores.shape[0]):
        highest = scores[pixel, 0]
        for k in range(1, scores.shape[1]):
            highest = max(highest, scores[pixel, k])
        total = 0.0
        for k in range(scores.shape[1]):
            scores[pixel, k] = math.exp(scores[pixel, k] - highest)
            total += scores[pixel, k]
        for k in range(scores.shape[1]):
            scores[pixel, k] /= total


@njit(nogil=True, cache=True, error_model="numpy")
def _bin(features, used, thresholds, steps, columns, bins):  # type: ignore[no-untyped-def]
    """Fill bins (column, pixel): how many of its feature's thresholds a value is above."""
    count = features.shape[0]
    zero = features.dtype.type(0)
    tiny = features.dtype.type(np.float32(1e-35))
    values = np.zeros(CLUSTER, features.dtype)
    positions = np.empty(CLUSTER, np.uint32)
    for j in range(used.shape[0]):
        feature, row = used[j], thresholds[j]
        left, right = columns[j, 0], columns[j, 1]
        for first in range(0, count, CLUSTER):
            size = min(CLUSTER, count - first)
            for i in range(size):
                value = features[first + i, feature]
                # LightGBM drops what is as small as this when it reads a row.
                values[i] = zero if abs(value) <= tiny else value
            positions[:] = 0
            # All pixels take a step of their binary searches at once, which is vectorized.
            for bit in range(steps[j] - 1, -1, -1):
                middle = np.uint32((1 << bit) - 1)
                for i in range(CLUSTER):
                    above = np.uint32(row[positions[i] + middle] < values[i])
                    positions[i] += above << np.uint32(bit)
            for i in range(size):
                missing = values[i] != values[i]
                if left >= 0:
                    bins[left, first + i] = 0 if missing else positions[i]
                if right >= 0:
                    bins[right, first + i] = 255 if missing else positions[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _gather_alike(bins, telling, order, spare):  # type: ignore[no-untyped-def]
    """Reorder pixels so that those with similar bins are near each other: sets of them are
    parted at the median of the telling column in which they differ most."""
    stack = np.empty((64, 2), np.int64)
    stack[0, 0], stack[0, 1] = 0, len(order)
    waiting = 1
    histogram = np.empty(256, np.int64)
    while waiting:
        waiting -= 1
        start, stop = stack[waiting, 0], stack[waiting, 1]
        step = max(1, (stop - start) // _SAMPLE)
        widest, lowest, column = np.int64(0), np.int64(0), -1
        for k in telling:
            low, high = np.int64(255), np.int64(0)
            for i in range(start, stop, step):
                found = np.int64(bins[k, order[i]])
                low = min(low, found)
                high = max(high, found)
            if high - low > widest:
                widest, lowest, column = high - low, low, k
        if column < 0:
            continue
        histogram[:] = 0
        sampled = 0
        for i in range(start, stop, step):
            histogram[bins[column, order[i]]] += 1
            sampled += 1
        cut = lowest
        below = histogram[cut]
        while 2 * below < sampled and cut + 1 < lowest + widest:
            cut += 1
            below += histogram[cut]
        near, far = start, np.int64(0)
        for i in range(start, stop):
            pixel = order[i]
            above = np.int64(bins[column, pixel] > cut)
            order[near] = pixel
            spare[far] = pixel
            near += 1 - above
            far += above
        for i in range(far):
            order[near + i] = spare[i]
        # The smaller set waits on top, so that the stack stays as short as a logarithm.
        parts = (
            ((start, near), (near, stop)) if far < near - start else ((near, stop), (start, near))
        )
        for first, last in parts:
            if last - first > CLUSTER:
                stack[waiting, 0], stack[waiting, 1] = first, last
                waiting += 1


@njit(nogil=True, cache=True, error_model="numpy")
def _arrange(bins, order, first, size, arranged, low, high):  # type: ignore[no-untyped-def]
    """Fill arranged (cluster, column, pixel) with ``size`` pixels of the order from ``first`` on,
    the last of them repeated to fill its cluster, and the extremes (cluster, column)."""
    for c in range((size + CLUSTER - 1) // CLUSTER):
        for k in range(bins.shape[0]):
            least, most = np.uint8(255), np.uint8(0)
            for i in range(CLUSTER):
                found = bins[k, order[first + min(c * CLUSTER + i, size - 1)]]
                arranged[c, k, i] = found
                least, most = min(least, found), max(most, found)
            low[c, k], high[c, k] = least, most


@njit(nogil=True, cache=True, error_model="numpy")
def _walk(  # type: ignore[no-untyped-def]
    arranged, low, high, decisions, columns, values, root, reached, places, waiting, names, totals
):
    """Add a tree's leaves to the totals (cluster, pixel).

    A cluster goes down as one. Where a node's bin lies between its extremes, those of its pixels
    that go right get a new name and wait, and the others go left.
    """
    for c in range(totals.shape[0]):
        node = root
        name, named, stacked = np.uint16(0), 0, 0
        while True:
            decision = decisions[node]
            bin_ = np.uint8(decision)
            if bin_ == LEAF:
                reached[name] = values[node]
                if stacked == 0:
                    break
                stacked -= 1
                node, name = waiting[stacked], names[stacked]
                continue
            left = np.uint64(decision >> np.uint32(8))
            column = columns[node]
            if high[c, column] <= bin_:
                node = left
            elif low[c, column] > bin_:
                node = left + np.uint64(1)
            else:
                if named == 0:
                    places[:] = 0
                named += 1
                other = np.uint16(named)
                for i in range(CLUSTER):
                    goes = (places[i] == name) & (arranged[c, column, i] > bin_)
                    places[i] = other if goes else places[i]
                waiting[stacked], names[stacked] = left + np.uint64(1), other
                stacked += 1
                node = left
        if named == 0:
            for i in range(CLUSTER):
                totals[c, i] += reached[0]
        else:
            for i in range(CLUSTER):
                totals[c, i] += reached[places[i]]


def _score(  # type: ignore[no-untyped-def]
    features, used, thresholds, steps, bin_columns, count_of_columns, telling,
    decisions, columns, values, roots, most_leaves, scores
):  # fmt: skip
    """Fill scores (pixel, output) with the sums of the leaves, in the order of the trees."""
    count, outputs = scores.shape
    bins = np.empty((count_of_columns, count), np.uint8)
    _bin(features, used, thresholds, steps, bin_columns, bins)
    order = np.arange(count, dtype=np.int32)
    _gather_alike(bins, telling, order, np.empty(count, np.int32))
    block = max(CLUSTER, min(_TOGETHER, 65536 // max(count_of_columns, 1) // CLUSTER * CLUSTER))
    clusters = min(block, count + CLUSTER - 1) // CLUSTER
    arranged = np.empty((clusters, count_of_columns, CLUSTER), np.uint8)
    low, high = np.empty((2, clusters, count_of_columns), np.uint8)
    totals = np.empty((outputs, clusters, CLUSTER))
    reached = np.empty(most_leaves)
    places = np.empty(CLUSTER, np.uint16)
    waiting, names = np.empty(most_leaves, np.uint64), np.empty(most_leaves, np.uint16)
    for first in range(0, count, block):
        size = min(block, count - first)
        here = (size + CLUSTER - 1) // CLUSTER
        _arrange(bins, order, first, size, arranged, low, high)
        totals[:] = 0
        for tree in range(roots.shape[0]):
            _walk(
                arranged, low, high, decisions, columns, values, roots[tree],
                reached, places, waiting, names, totals[tree % outputs, :here],
            )  # fmt: skip
        for i in range(size):
            for k in range(outputs):
                scores[order[first + i], k] = totals[k, i // CLUSTER, i % CLUSTER]


@cache
def scoring(dtype: str) -> Callable[..., None]:
    """``_score`` compiled for features of the type in any layout, read-only or not: one variant."""

    def array(of: Any, dimensions: int, layout: Literal["A", "C"] = "C") -> Any:
        return numba.types.Array(of, dimensions, layout, readonly=True)

    real = getattr(numba.types, dtype)
    integer = numba.types.int64
    signature = numba.types.void(
        array(real, 2, "A"),
        array(integer, 1),
        array(real, 2),
        array(integer, 1),
        array(integer, 2),
        integer,
        array(integer, 1),
        array(numba.types.uint32, 1),
        array(numba.types.uint16, 1),
        array(numba.types.float64, 1),
        array(numba.types.uint64, 1),
        integer,
        numba.types.Array(numba.types.float64, 2, "C"),
    )
    compiled: Callable[..., None] = njit(signature, nogil=True, cache=True, error_model="numpy")(
        _score
    )
    return compiled
