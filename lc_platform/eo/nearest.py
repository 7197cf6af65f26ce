"""The nearest of many samples in a space of many dimensions, exactly.

Trees of boxes fail at a hundred dimensions. But features of a season vary together: a rotation to
their principal axes leaves most of a distance in a few, and the length of what is left over bounds
the rest. Samples lie in groups of 16, and groups in sets of 16, whose boxes in that small space
tell most of them to be too far; the others are compared in that space, what remains in single
precision, and the one or two that may be the nearest by that in double precision.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

GROUP = 16
"""Samples that have a box in common, and groups that have one."""
AXES = 11
"""Principal axes by which samples are told to be too far."""
WIDTH = AXES + 1
"""Of the small space: one more for the length of the rest."""
_TOGETHER = 64
"""Pixels that are placed in the space at a time, while they are in the cache."""


class NearestSample:
    """Distances to the nearest of some samples."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        """Arrange the samples.

        points  (sample, dimension), finite, one or more

        Raises ValueError where there are none.
        """
        if points.ndim != 2 or not points.size:
            raise ValueError(f"Samples (sample, dimension) of shape {points.shape} are none.")
        self._points = np.ascontiguousarray(points, np.float64)
        # Whatever the axes are the distances are exact, so that their rounding does not matter.
        principal = np.linalg.eigh(self._points.T @ self._points)[1][:, ::-1][:, :AXES]
        self._axes = np.zeros((points.shape[1], AXES))
        self._axes[:, : principal.shape[1]] = principal
        on = self._points @ self._axes
        rest = (self._points**2).sum(axis=1) - (on**2).sum(axis=1)
        small = np.column_stack([on, np.sqrt(np.maximum(rest, 0))]).astype(np.float32)
        groups = _groups(small)
        groups += [groups[-1]] * (-len(groups) % GROUP)
        self._members = np.concatenate(groups).astype(np.int64).reshape(-1, GROUP)
        grouped = small[self._members]  # (group, member, axis)
        self._small = np.ascontiguousarray(grouped.transpose(0, 2, 1))  # (group, axis, member)
        boxes = np.stack([grouped.min(axis=1), -grouped.max(axis=1)])
        boxes = boxes.reshape(2, -1, GROUP, small.shape[1])  # (low or -high, set, group, axis)
        self._boxes = np.ascontiguousarray(boxes.transpose(1, 0, 3, 2))
        self._sets = np.ascontiguousarray(boxes.min(axis=2).transpose(0, 2, 1))
        self._whole = self._points.astype(np.float32)
        self._longest = float(np.sqrt((self._points**2).sum(axis=1).max()))

    def distances(
        self,
        values: NDArray[np.floating[Any]],
        *,
        used: NDArray[np.int64] | None = None,
        means: NDArray[np.float64] | None = None,
        factors: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return the distance of each pixel to its nearest sample, (pixel,).

        values   (value, pixel), finite, or NaN where missing, which is 0 in the space; it is
                 quickest where neighbours are alike
        used     (dimension,), the positions of the values that are the space's dimensions; all as
                 they are where None
        means    (dimension,), subtracted from the values; 0 where None
        factors  (dimension,), multiplied with what remains; 1 where None
        Returns NaN where all used values are missing. A pixel's distance does not depend on other
        pixels, to the bit.
        """
        width, (_, count) = self._points.shape[1], values.shape
        found = np.empty(count)
        _search(
            values,
            np.arange(width) if used is None else used,
            np.zeros(width) if means is None else means,
            np.ones(width) if factors is None else factors,
            self._axes, self._points, self._members, self._sets, self._boxes, self._small,
            self._whole, self._longest, found,
        )  # fmt: skip
        return found


def _groups(small: NDArray[np.float32]) -> list[NDArray[np.intp]]:
    """Halve the samples where they are widest until 16 or fewer are together; the last one of a
    group that has fewer is in it several times."""
    waiting, groups = [np.arange(len(small))], []
    while waiting:
        some = waiting.pop()
        if len(some) <= GROUP:
            groups.append(np.concatenate([some, np.repeat(some[-1:], GROUP - len(some))]))
            continue
        widest = int(np.argmax(small[some].var(axis=0)))
        order = some[np.argsort(small[some, widest], kind="stable")]
        # Whole sets, or else whole groups, on one side, so that few have less than 16.
        whole = GROUP * GROUP if len(some) > GROUP * GROUP else GROUP
        half = -(-len(some) // (2 * whole)) * whole
        waiting += [order[half:], order[:half]]
    return groups


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _search(  # type: ignore[no-untyped-def]
    values, used, means, factors, axes, points, members, sets, boxes, small, whole, longest, found
):
    count, dimensions = values.shape[1], used.shape[0]
    placed = np.empty((dimensions, _TOGETHER))
    rows = np.empty((_TOGETHER, dimensions))
    on = np.empty((WIDTH, _TOGETHER))
    lengths = np.empty(_TOGETHER)
    known = np.empty(_TOGETHER, np.int64)
    pixel = np.empty(dimensions, np.float32)
    reduced = np.empty(WIDTH, np.float32)
    far_sets = np.empty(sets.shape[2], np.float32)
    far_groups = np.empty(GROUP, np.float32)
    far_members = np.empty(GROUP, np.float32)
    candidates = np.empty(members.size + 1, np.int64)
    apart = np.empty(members.size + 1, np.float32)
    nearest = members[0, 0]
    for first in range(0, count, _TOGETHER):
        size = min(_TOGETHER, count - first)
        _place(values, first, size, used, means, factors, placed, known)
        _project(placed, axes, on, lengths)
        for d in range(dimensions):
            for i in range(size):
                rows[i, d] = placed[d, i]
        for i in range(size):
            if not known[i]:
                found[first + i] = np.nan
                continue
            row = rows[i]
            for d in range(dimensions):
                pixel[d] = row[d]
            for axis in range(WIDTH):
                reduced[axis] = on[axis, i]
            # What single precision may have lost of a distance, several times over.
            lost = 1e-6 * (np.sqrt(lengths[i]) + longest)
            least = _rough(pixel, whole[nearest])
            limit = _limit(least, lost)
            candidates[0], apart[0] = nearest, least
            waiting = 1
            _outside(reduced, sets[0], sets[1], far_sets)
            closest_set = np.argmin(far_sets)
            # The closest ones first, which tell most of the others to be too far.
            for set_turn in range(-1, far_sets.shape[0]):
                one = closest_set if set_turn < 0 else set_turn
                if far_sets[one] > limit or set_turn == closest_set:
                    continue
                _outside(reduced, boxes[one, 0], boxes[one, 1], far_groups)
                closest_group = np.argmin(far_groups)
                for group_turn in range(-1, GROUP):
                    place = closest_group if group_turn < 0 else group_turn
                    if far_groups[place] > limit or group_turn == closest_group:
                        continue
                    group = one * GROUP + place
                    _squares(reduced, small[group], far_members)
                    closest = np.argmin(far_members)
                    for turn in range(-1, GROUP):
                        member = closest if turn < 0 else turn
                        if far_members[member] > limit or turn == closest:
                            continue
                        sample = members[group, member]
                        rough = _rough(pixel, whole[sample])
                        if rough > limit:
                            continue
                        candidates[waiting], apart[waiting] = sample, rough
                        waiting += 1
                        if rough < least:
                            least, nearest = rough, sample
                            limit = _limit(least, lost)
            best = np.inf
            for candidate in range(waiting):
                if apart[candidate] <= limit:
                    best = min(best, _exact(row, points[candidates[candidate]]))
            found[first + i] = np.sqrt(best)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _place(values, first, size, used, means, factors, placed, known):  # type: ignore[no-untyped-def]
    """Fill placed (dimension, pixel), and how many dimensions are known (pixel,)."""
    known[:] = 0
    for d in range(used.shape[0]):
        feature, mean, factor = used[d], means[d], factors[d]
        for i in range(size):
            value = (np.float64(values[feature, first + i]) - mean) * factor
            there = value == value
            placed[d, i] = value if there else 0.0
            known[i] += there
        placed[d, size:] = 0


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _project(placed, axes, on, lengths):  # type: ignore[no-untyped-def]
    """Fill coordinates on the axes and, last, the length of what is orthogonal to them, (axis,
    pixel); and the squared lengths (pixel,)."""
    on[:] = 0
    lengths[:] = 0
    width = axes.shape[1]
    for d in range(placed.shape[0]):
        for i in range(_TOGETHER):
            lengths[i] += placed[d, i] * placed[d, i]
        for a in range(width):
            axis = axes[d, a]
            for i in range(_TOGETHER):
                on[a, i] += placed[d, i] * axis
    for i in range(_TOGETHER):
        rest = lengths[i]
        for a in range(width):
            rest -= on[a, i] * on[a, i]
        on[width, i] = np.sqrt(max(rest, 0.0))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _limit(least, lost):  # type: ignore[no-untyped-def]
    """Return the squared distance in single precision that no sample exceeds which is nearer than
    one at ``least``, of which both may have lost."""
    return np.float32(((np.sqrt(np.float64(least)) + 2 * lost) * 1.00002) ** 2)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _exact(one, other):  # type: ignore[no-untyped-def]
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = one.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        a += (one[i] - other[i]) ** 2
        b += (one[i + 1] - other[i + 1]) ** 2
        c += (one[i + 2] - other[i + 2]) ** 2
        d += (one[i + 3] - other[i + 3]) ** 2
    for i in range(whole, one.shape[0]):
        a += (one[i] - other[i]) ** 2
    return (a + b) + (c + d)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _outside(pixel, low, less_high, squares):  # type: ignore[no-untyped-def]
    """Fill the squared distances (box,) to boxes from low to - less_high, (axis, box) each."""
    for box in range(squares.shape[0]):
        total = np.float32(0)
        for a in range(WIDTH):  # a constant, so that it is unrolled and boxes lie side by side
            below, above = low[a, box] - pixel[a], pixel[a] + less_high[a, box]
            apart = below if below > above else above
            apart = apart if apart > np.float32(0) else np.float32(0)
            total += apart * apart
        squares[box] = total


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _squares(pixel, others, squares):  # type: ignore[no-untyped-def]
    """Fill the squared distances (member,) to others (axis, member) in single precision."""
    for member in range(GROUP):
        total = np.float32(0)
        for a in range(WIDTH):
            apart = others[a, member] - pixel[a]
            total += apart * apart
        squares[member] = total


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _rough(one, other):  # type: ignore[no-untyped-def]
    """The squared distance in single precision; its sum in any order is within what is lost."""
    total = np.float32(0)
    for i in range(one.shape[0]):
        apart = one[i] - other[i]
        total += apart * apart
    return total
