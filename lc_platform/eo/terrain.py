"""The shape of the ground around each pixel of a terrain model.

Slope and aspect after Horn (1981), "Hill shading and the reflectance map", Proceedings of the IEEE
69(1); curvature after Zevenbergen and Thorne (1987), "Quantitative analysis of land surface
topography", Earth Surface Processes and Landforms 12(1).

All take elevations in metres, (y + 2, x + 2), north up, NaN where missing, with a pixel more on
each side than they return, and the size of a pixel in metres. A pixel is missing where one of the
nine is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Elevation = NDArray[np.floating]


def slope(elevation: Elevation, pixel: float) -> NDArray[np.float32]:
    """Return by how many degrees the ground rises, (y, x), 0 to 90."""
    east, north = _gradient(elevation, pixel)
    return np.degrees(np.arctan(np.hypot(east, north))).astype(np.float32)


def aspect(elevation: Elevation, pixel: float) -> NDArray[np.float32]:
    """Return the sine and the cosine of the direction in which the ground falls, clockwise from
    north, (2, y, x): the parts of it to the east and to the north, -1 to 1. Both are 0 where the
    ground is flat, which falls in none.
    """
    east, north = _gradient(elevation, pixel)
    rise = np.hypot(east, north)
    flat = rise == 0
    rise[flat] = 1
    return np.stack([-east / rise, -north / rise]).astype(np.float32)


def curvature(elevation: Elevation, pixel: float) -> NDArray[np.float32]:
    """Return profile and plan curvature, (2, y, x), in 1/m: of the ground along its fall, positive
    where it is convex, as on a shoulder, and across it, positive where it is concave, as in a
    hollow. Both are 0 where the ground is flat. Profile less plan is the whole curvature.
    """
    (_, up, _), (left, middle, right), (_, down, _) = nine = _nine(elevation)
    (north_west, _, north_east), _, (south_west, _, south_east) = nine
    area = pixel * pixel
    d = ((left + right) / 2 - middle) / area
    e = ((up + down) / 2 - middle) / area
    f = (north_east + south_west - north_west - south_east) / (4 * area)
    g = (right - left) / (2 * pixel)
    h = (up - down) / (2 * pixel)
    fall = g * g + h * h
    flat = fall == 0
    fall[flat] = 1
    along = -2 * (d * g * g + e * h * h + f * g * h) / fall
    across = 2 * (d * h * h + e * g * g - f * g * h) / fall
    # Where it is flat all is 0 already: but a hole beside it is none of these products.
    found = np.stack([along, across])
    found[:, np.isnan(north_west + north_east + south_west + south_east + middle)] = np.nan
    return found.astype(np.float32)


def _gradient(
    elevation: Elevation, pixel: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by how many metres the ground rises on a metre to the east, and to the north."""
    (a, b, c), (d, middle, f), (g, h, i) = _nine(elevation)
    east = ((c + 2 * f + i) - (a + 2 * d + g)) / (8 * pixel)
    north = ((a + 2 * b + c) - (g + 2 * h + i)) / (8 * pixel)
    missing = np.isnan(middle)
    east[missing] = np.nan
    north[missing | np.isnan(east)] = np.nan
    east[np.isnan(north)] = np.nan
    return east, north


def _nine(elevation: Elevation) -> list[list[NDArray[np.float64]]]:
    """Return the pixel to the north-west of each, to the north, and so on: three rows of three,
    (y, x) each."""
    wide = np.asarray(elevation, np.float64)
    rows, columns = wide.shape[0] - 2, wide.shape[1] - 2
    return [[wide[r : r + rows, c : c + columns] for c in range(3)] for r in range(3)]
