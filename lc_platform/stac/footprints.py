"""Where things lie, in degrees, as GeoJSON has it: cut at 180 degrees, and their boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from lc_platform.eo.polygons import normalized
from lc_platform.stac.encoding import SharedObject

_DIGITS = 7
"""Of degrees: a centimetre on the ground."""
_TOLERANCE = 1e-5
"""Degrees, a metre, that an edge may be off."""
_SEAM = 1e-6
"""Degrees within which an edge lies at the antimeridian."""


class Footprint(SharedObject):
    """Ground as GeoJSON."""

    @cached_property
    def wkb(self) -> bytes:
        """As WKB."""
        found: bytes = shapely.to_wkb(shapely.geometry.shape(self))
        return found


def footprint(geometry: BaseGeometry) -> Footprint:
    """Return a polygon in degrees as GeoJSON, cut where it crosses 180 degrees (RFC 7946, section
    3.1.9), its outer rings counterclockwise."""
    shape = shapely.orient_polygons(shapely.simplify(normalized(geometry), _TOLERANCE))
    found: dict[str, Any] = shapely.geometry.mapping(shape)
    return Footprint(type=found["type"], coordinates=_rounded(found["coordinates"]))


def _rounded(coordinates: Any) -> Any:
    if isinstance(coordinates[0], float):
        return [round(one, _DIGITS) for one in coordinates]
    return [_rounded(one) for one in coordinates]


def box(geometries: BaseGeometry | Iterable[BaseGeometry]) -> list[float]:
    """Return the smallest box (west, south, east, north) around polygons in degrees, each cut at
    180 degrees. West is above east where it crosses the antimeridian (RFC 7946, section 5.2)."""
    given = [geometries] if isinstance(geometries, BaseGeometry) else list(geometries)
    bounds = shapely.bounds(shapely.get_parts(np.array(given, dtype=object)))
    west, east = _span(bounds[:, [0, 2]].tolist())
    south, north = bounds[:, 1].min(), bounds[:, 3].max()
    return [round(float(one), _DIGITS) for one in (west, south, east, north)]


def _span(intervals: Sequence[list[float]]) -> tuple[float, float]:
    """Return the arc of meridians that holds intervals of longitudes: what is left of the circle
    without the widest gap between them."""
    joined: list[list[float]] = []
    for west, east in sorted(intervals):
        if joined and west <= joined[-1][1] + _SEAM:
            joined[-1][1] = max(joined[-1][1], east)
        else:
            joined.append([west, east])
    around = joined[0][0] + 360 - joined[-1][1]
    gaps = [after[0] - before[1] for before, after in pairwise(joined)]
    if not gaps or around >= max(gaps):
        return joined[0][0], joined[-1][1]
    widest = int(np.argmax(gaps))
    return joined[widest + 1][0], joined[widest][1]
