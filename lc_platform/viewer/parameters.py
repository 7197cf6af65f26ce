"""What requests say, as endpoints take it."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from fastapi import Depends, Query

from lc_platform.viewer.problems import RequestError

Longitude = Annotated[float, Query(ge=-360, le=360, allow_inf_nan=False)]
"""Degrees."""
Latitude = Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)]
"""Degrees."""
Year = Annotated[int, Query(ge=1, le=9999)]


class Box(NamedTuple):
    """A box of longitudes and latitudes, degrees; it crosses 180 degrees where west > east."""

    west: float
    south: float
    east: float
    north: float

    @property
    def parts(self) -> list[tuple[float, float, float, float]]:
        """(west, south, east, north) of one box, or of two on either side of 180 degrees."""
        if self.west <= self.east:
            return [(self.west, self.south, self.east, self.north)]
        return [
            (self.west, self.south, 180.0, self.north),
            (-180.0, self.south, self.east, self.north),
        ]


def box_of(given: str) -> Box:
    """Return the box that a text means: ``west,south,east,north``, also with longitudes beyond 180
    degrees. Raises RequestError."""
    try:
        west, south, east, north = (float(part) for part in given.split(","))
    except ValueError:
        raise RequestError(
            f"bbox {given[:80]}: is no box. Give west,south,east,north in degrees"
        ) from None
    finite = all(map(math.isfinite, (west, south, east, north)))
    across = -180 <= east < west <= 180
    if not (finite and -90 <= south <= north <= 90 and (across or west <= east)):
        raise RequestError(
            f"bbox {given[:80]}: is no box on Earth. Give west,south,east,north in degrees, west "
            "before east and south before north"
        )
    if east - west >= 360:
        return Box(-180.0, south, 180.0, north)
    return Box(_turned(west), south, _turned(east), north)


def _turned(longitude: float) -> float:
    """Return a longitude from -180 to 180."""
    return longitude if -180 <= longitude <= 180 else (longitude + 180) % 360 - 180


def _box(bbox: Annotated[str | None, Query(max_length=200)] = None) -> Box | None:
    return None if bbox is None else box_of(bbox)


OptionalBox = Annotated[Box | None, Depends(_box)]
"""Of ``bbox=west,south,east,north``."""
