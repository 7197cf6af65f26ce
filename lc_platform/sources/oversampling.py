"""Coarse pixels as means of points that are spread evenly over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

MOST_POINTS = 4
"""Points a side of a coarse pixel, at most."""


def divided(geobox: GeoBox, points: int) -> GeoBox:
    """Return a grid with ``points`` x ``points`` pixels in each of a grid's."""
    rows, columns = geobox.shape
    a, b, c, d, e, f = tuple(geobox.affine)[:6]
    affine = Affine(a / points, b / points, c, d / points, e / points, f)
    return GeoBox((rows * points, columns * points), affine, geobox.crs)


def mean_of_points(
    values: NDArray[np.uint16],
    valid: NDArray[np.bool_],
    points: int,
    classifications: Sequence[bool] = (),
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Return one value a pixel, made of the points in it.

    values           (band, y * points, x * points)
    valid            (y * points, x * points)
    classifications  (band,), True for a band that takes the valid point nearest to the pixel's
                     centre and not the mean of the valid ones; none is where not given
    Returns values (band, y, x), 0 where no point is valid, and where one is, (y, x).
    """
    if points == 1:
        if valid.all():
            return values, valid
        return np.where(valid, values, np.uint16(0)), valid
    bands, rows, columns = len(values), valid.shape[0] // points, valid.shape[1] // points
    seen = valid.reshape(rows, points, columns, points)
    count = seen.sum(axis=(1, 3), dtype=np.uint32)
    out = np.zeros((bands, rows, columns), np.uint16)
    apart = values.reshape(bands, rows, points, columns, points)
    order = _from_the_centre(points)
    for band, classification in enumerate(classifications or [False] * bands):
        if classification:
            for y, x in reversed(order):
                np.copyto(out[band], apart[band, :, y, :, x], where=seen[:, y, :, x])
        else:
            total = np.where(seen, apart[band], 0).sum(axis=(1, 3), dtype=np.uint32)
            out[band] = (total + count // 2) // np.maximum(count, 1)
    return out, count > 0


def _from_the_centre(points: int) -> list[tuple[int, int]]:
    middle = (points - 1) / 2
    every = [(y, x) for y in range(points) for x in range(points)]
    return sorted(every, key=lambda point: (point[0] - middle) ** 2 + (point[1] - middle) ** 2)
