"""The grids that an archive is asked for, where it answers a limited number of pixels and takes
the nearest of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

MOST_POINTS = 4
"""Points a side that a coarse pixel is the mean of."""


def points_a_side(geobox: GeoBox, native: float) -> int:
    """Into how many points a side each pixel of a grid is divided: one, and of pixels at least
    twice as coarse as the archive's as many as it has there, up to `MOST_POINTS`.

    native  metres between the archive's pixels
    """
    metres = abs(geobox.resolution.x) * _metres_per_unit(geobox)
    ratio = int(metres / native + 1e-6)
    return min(max(ratio, 1), MOST_POINTS)


def _metres_per_unit(geobox: GeoBox) -> float:
    if geobox.crs is not None and geobox.crs.geographic:
        latitude = float(geobox.extent.centroid.coords[0][1])
        return 111_320.0 * float(np.cos(np.radians(latitude)))
    return 1.0


def divided(geobox: GeoBox, points: int) -> GeoBox:
    """A grid with ``points`` x ``points`` pixels in each of a grid's."""
    rows, columns = geobox.shape
    a, b, c, d, e, f = tuple(geobox.affine)[:6]
    affine = Affine(a / points, b / points, c, d / points, e / points, f)
    return GeoBox((rows * points, columns * points), affine, geobox.crs)


def pieces(geobox: GeoBox, most: int) -> Iterator[tuple[tuple[slice, slice], GeoBox]]:
    """A grid cut into as few pieces as have at most ``most`` pixels a side, of about one size:
    where each lies (rows, columns), and its own grid. They touch and do not overlap."""
    for rows in _spans(geobox.shape[0], most):
        for columns in _spans(geobox.shape[1], most):
            yield (rows, columns), geobox[rows, columns]


def _spans(length: int, most: int) -> list[slice]:
    count = -(-length // most)
    edges = [length * n // count for n in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


def joined(
    values: NDArray[np.uint16],
    valid: NDArray[np.bool_],
    points: int,
    classifications: Sequence[bool],
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """The points of each pixel made one value.

    values           (band, y * points, x * points)
    valid            (y * points, x * points)
    classifications  (band,), True of bands that have the point nearest to the pixel's centre
                     that is valid instead of the mean of the valid ones
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
    for band, classification in enumerate(classifications):
        if classification:
            for y, x in reversed(order):
                np.copyto(out[band], apart[band, :, y, :, x], where=seen[:, y, :, x])
        else:
            total = np.where(seen, apart[band], 0).sum(axis=(1, 3), dtype=np.uint32)
            out[band] = (total + count // 2) // np.maximum(count, 1)
    return out, count > 0


def _from_the_centre(points: int) -> list[tuple[int, int]]:
    middle = (points - 1) / 2
    places = [(y, x) for y in range(points) for x in range(points)]
    return sorted(places, key=lambda place: (place[0] - middle) ** 2 + (place[1] - middle) ** 2)
