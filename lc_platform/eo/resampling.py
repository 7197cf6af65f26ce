"""Values between the pixels of a raster, at any points.

What a point gets hangs on its own place alone, never on the window that is read: so ground that is
read in parts equals the same ground read at once, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Interpolation = Literal["nearest", "bilinear", "cubic"]
Points = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Rows and columns in pixels, (y, x) each: 0 is the outer edge of a raster's first pixel, 0.5 its
centre. NaN is no point."""
REACH = 2
"""Pixels around a point that count, at most."""


def interpolate(
    values: NDArray[np.float32], points: Points, method: Interpolation
) -> NDArray[np.float32]:
    """Return the values at points, (band, y, x); NaN where missing.

    values  (band, row, column), NaN where missing
    method  ``nearest``: of the pixel that a point lies in; ``bilinear``: of the four around it;
            ``cubic``: of sixteen, by convolution (Keys 1981, with a = -1/2), which reproduces
            parabolas and goes beyond its neighbours beside a step

    A point is missing where the pixel that it lies in is, so that holes neither grow nor shrink.
    Beside a hole or the raster's edge the known ones of the four count, by their weights.
    """
    rows, columns = points
    shape = values.shape[1:]
    out = np.full((len(values), *rows.shape), np.nan, np.float32)
    with np.errstate(invalid="ignore"):
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    if not inside.any():
        return out
    down, across = rows[inside], columns[inside]
    own = down.astype(np.intp) * shape[1] + across.astype(np.intp)
    near = _Neighbours(down, across, shape, method) if method != "nearest" else None
    for band, found in zip(values, out, strict=True):
        flat = np.ascontiguousarray(band).reshape(-1)
        nearest = flat[own]
        found[inside] = nearest if near is None else near.blended(flat, nearest)
    return out


def mean(
    values: NDArray[np.float32], points: Iterable[Points], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the means of the pixels that several points of each place lie in, (band, y, x).

    values  (band, row, column), NaN where missing
    points  of each place the first one, then of each place the second one, and so on
    shape   (y, x), of each

    Missing pixels do not count; NaN where none counts.
    """
    sums = np.zeros((len(values), *shape))
    counts = np.zeros((len(values), *shape), np.int32)
    for of_all in points:
        found = interpolate(values, of_all, "nearest")
        known = ~np.isnan(found)
        np.add(sums, found, out=sums, where=known)
        counts += known
    out = np.full(sums.shape, np.nan, np.float32)
    np.divide(sums, counts, out=out, where=counts > 0, casting="same_kind")
    return out


def _linear(at: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [1 - at, at]


def _keys(at: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the weights of four pixels in a row, of which a point lies ``at`` (0 to 1) between the
    second and the third (Keys 1981, equation 15)."""
    square, cube = at * at, at * at * at
    return [
        (-cube + 2 * square - at) / 2,
        (3 * cube - 5 * square + 2) / 2,
        (-3 * cube + 4 * square + at) / 2,
        (cube - square) / 2,
    ]


_WEIGHTS: Mapping[str, Callable[[NDArray[np.float64]], list[NDArray[np.float64]]]] = {
    "bilinear": _linear,
    "cubic": _keys,
}


class _Neighbours:
    """The pixels around points, and what each weighs."""

    def __init__(
        self,
        rows: NDArray[np.float64],
        columns: NDArray[np.float64],
        shape: tuple[int, ...],
        method: Interpolation,
    ) -> None:
        self._linear = list(_around(rows, columns, shape, "bilinear"))
        self._cubic = list(_around(rows, columns, shape, "cubic")) if method == "cubic" else []

    def blended(
        self, flat: NDArray[np.float32], nearest: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return the values at the points, of a band (row * column,); ``nearest`` are those of the
        pixels that they lie in."""
        total, weight = np.zeros(len(nearest)), np.zeros(len(nearest))
        for at, inside, share in self._linear:
            value = flat[at]
            known = inside & ~np.isnan(value)
            np.add(total, value * share, out=total, where=known)
            np.add(weight, share, out=weight, where=known)
        found = np.full(len(nearest), np.nan)
        np.divide(total, weight, out=found, where=(weight > 0) & ~np.isnan(nearest))
        if not self._cubic:
            return found
        total, whole = np.zeros(len(nearest)), ~np.isnan(nearest)
        for at, inside, share in self._cubic:
            value = flat[at]
            total += value * share
            whole &= inside & ~np.isnan(value)
        return np.where(whole, total, found)


def _around(
    rows: NDArray[np.float64], columns: NDArray[np.float64], shape: tuple[int, ...], method: str
) -> Iterable[tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.float64]]]:
    """Yield, of one neighbour of each point after the other, its position in a flat band, whether
    it is in the band, and what it weighs."""
    sides = []
    for position, length in ((rows, shape[0]), (columns, shape[1])):
        first = np.floor(position - 0.5)
        weights = _WEIGHTS[method](position - 0.5 - first)
        begin = first.astype(np.intp) - (len(weights) // 2 - 1)
        sides.append([(begin + i, length, weight) for i, weight in enumerate(weights)])
    for row, height, down in sides[0]:
        for column, width, across in sides[1]:
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            at = np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)
            yield at, inside, down * across
