"""Whether it is known where the coordinates of a map lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from lc_platform.eo.polygons import wraps
from lc_platform.errors import PlatformError

_ASSIGN = "Assign the one it was drawn in (for example with ogr2ogr -a_srs)"


class CoordinatesError(PlatformError, ValueError):
    """It is not known where on Earth the coordinates of a map lie; the message says what to do."""


def usable(
    crs: str | None, extent: Sequence[float] | None, name: str, assign: str = _ASSIGN
) -> CRS:
    """Return the CRS of a map, where positions on Earth follow from it.

    crs     well-known text, or another form that PROJ reads; None where the map has none
    extent  (west, south, east, north) of its coordinates, None where that is not known
    name    of the map, with which the message begins
    assign  what to do where it has none

    Raises CoordinatesError where there is none, where it is undefined, local or an engineer's, and
    where the coordinates cannot be of it.
    """
    if crs is None:
        raise CoordinatesError(f"{name} has no CRS. {assign}")
    try:
        found = CRS.from_user_input(crs)
    except CRSError as error:
        raise CoordinatesError(
            f"{name} has a CRS that PROJ does not know ({error}). {assign}"
        ) from error
    flat = found.to_2d()
    if "undefined" in flat.name.lower() or not (flat.is_geographic or flat.is_projected):
        raise CoordinatesError(
            f"{name} has the CRS {found.name!r}, which does not say where on Earth its "
            f"coordinates lie. {assign}"
        )
    if extent is None or not np.isfinite(extent).all():
        return flat
    west, south, east, north = extent
    widest, highest = max(abs(west), abs(east)), max(abs(south), abs(north))
    if wraps(flat) and (widest > 720 or highest > 90.0001):
        raise CoordinatesError(
            f"{name} says that its coordinates are degrees ({flat.name}), but they go up to "
            f"({_far(west, east):.7g}, {_far(south, north):.7g}). State the CRS that they are in, "
            "in the file (GeoJSON that states none is in degrees)"
        )
    if flat.is_projected and widest <= 360 and highest <= 90 and (east - west or north - south):
        raise CoordinatesError(
            f"{name} has a projected CRS ({flat.name}), but its coordinates lie from "
            f"({west:.7g}, {south:.7g}) to ({east:.7g}, {north:.7g}), which looks like degrees. "
            "State the CRS that they are in, in the file"
        )
    return flat


def applied(
    affine: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y after an affine transformation."""
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _far(low: float, high: float) -> float:
    return low if abs(low) > abs(high) else high
