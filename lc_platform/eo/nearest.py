"""The nearest of many samples in a space of many dimensions, exactly.

Trees of boxes fail at a hundred dimensions. But features of a season vary together: a rotation to
their principal axes leaves most of a distance in a few, and the length of what is left over bounds
the rest. Samples lie in groups of 16, whose box in that small space tells most of them to be too
far; the others are compared in that space, what remains in single precision, and the few that
remain of that in double precision.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

GROUP = 16
"""Samples that have a box in common."""
AXES = 15
"""Principal axes by which samples are told to be too far, and one for the length of the rest."""


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
        axes = min(AXES, points.shape[1])
        # Whatever the axes are the distances are exact, so that their rounding does not matter.
        self._axes = np.ascontiguousarray(
            np.linalg.eigh(self._points.T @ self._points)[1][:, ::-1][:, :axes]
        )
        small = _reduced(self._points, self._axes)
        groups = _groups(small)
        self._members = np.concatenate(groups).astype(np.int64).reshape(-1, GROUP)
        grouped = small[self._members]  # (group, member, axis)
        self._low = np.ascontiguousarray(grouped.min(axis=1).T)
        self._high = np.ascontiguousarray(grouped.max(axis=1).T)
        self._small = np.ascontiguousarray(grouped)
        self._whole = self._points.astype(np.float32)[self._members]
        self._longest = float(np.sqrt((self._points**2).sum(axis=1).max()))

    def distances(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the distance of each pixel to its nearest sample, (pixel,).

        pixels  (pixel, dimension), finite; it is quickest where neighbours are alike
        """
        pixels = np.ascontiguousarray(pixels, np.float64)
        found = np.empty(len(pixels))
        _search(
            pixels, _reduced(pixels, self._axes), self._points, self._members, self._low,
            self._high, self._small, self._whole, self._longest, found,
        )  # fmt: skip
        return found


def _reduced(points: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Coordinates on the axes, and the length of what is orthogonal to them."""
    small = np.empty((len(points), axes.shape[1] + 1), np.float32)
    _project(points, axes, small)
    return small


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
        # Whole groups on one side, so that few have less than 16.
        half = -(-len(some) // (2 * GROUP)) * GROUP
        waiting += [order[half:], order[:half]]
    return groups


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _project(points, axes, small):  # type: ignore[no-untyped-def]
    count, dimensions = points.shape
    width = axes.shape[1]
    on = np.empty(width)
    for i in range(count):
        on[:] = 0
        length = 0.0
        for d in range(dimensions):
            value = points[i, d]
            length += value * value
            for a in range(width):
                on[a] += value * axes[d, a]
        for a in range(width):
            length -= on[a] * on[a]
            small[i, a] = on[a]
        small[i, width] = np.sqrt(max(length, 0.0))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _search(  # type: ignore[no-untyped-def]
    pixels, reduced, points, members, low, high, small, whole, longest, found
):
    count, dimensions = pixels.shape
    groups = members.shape[0]
    bounds = np.empty(groups, np.float32)
    pixel = np.empty(dimensions, np.float32)
    nearest = members[0, 0]
    for i in range(count):
        length = 0.0
        for d in range(dimensions):
            length += pixels[i, d] * pixels[i, d]
            pixel[d] = pixels[i, d]
        # What single precision may have lost of a distance, several times over.
        lost = 1e-6 * (np.sqrt(length) + longest)
        best = _exact(pixels[i], points[nearest])
        limit = _limit(best, lost)
        _bound(reduced[i], low, high, bounds)
        first = np.argmin(bounds)
        for turn in range(-1, groups):
            group = first if turn < 0 else turn
            if bounds[group] > limit or turn == first:
                continue
            for member in range(GROUP):
                if _rough(reduced[i], small[group, member]) > limit:
                    continue
                if _rough(pixel, whole[group, member]) > limit:
                    continue
                sample = members[group, member]
                exact = _exact(pixels[i], points[sample])
                if exact < best:
                    best, nearest = exact, sample
                    limit = _limit(best, lost)
        found[i] = np.sqrt(best)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _limit(best, lost):  # type: ignore[no-untyped-def]
    return np.float32(((np.sqrt(best) + lost) * 1.00001) ** 2)


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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _bound(pixel, low, high, bounds):  # type: ignore[no-untyped-def]
    bounds[:] = 0
    for a in range(low.shape[0]):
        value, least, most = pixel[a], low[a], high[a]
        for group in range(bounds.shape[0]):
            below, above = least[group] - value, value - most[group]
            outside = below if below > above else above
            outside = outside if outside > np.float32(0) else np.float32(0)
            bounds[group] += outside * outside


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _rough(one, other):  # type: ignore[no-untyped-def]
    """The squared distance in single precision; its sum in any order is within what is lost."""
    total = np.float32(0)
    for i in range(one.shape[0]):
        apart = one[i] - other[i]
        total += apart * apart
    return total
