"""Which patch, and which of its pixels, a place on the ground lies in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lc_platform.area.grid import Patch
from lc_platform.cube import Window
from lc_platform.eo.polygons import transformer
from lc_platform.reading.errors import NotFoundError

_SAME_PLACE = 1e-6
"""Degrees within which a place that is projected and back again is the same."""
_EARTH = 6371.0
"""Kilometres."""


class Pixel(NamedTuple):
    """A pixel of a patch."""

    patch: Patch
    row: int
    """From the north."""
    column: int
    """From the west."""

    @property
    def window(self) -> Window:
        return slice(self.row, self.row + 1), slice(self.column, self.column + 1)

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) in the patch's CRS."""
        x, y = self.patch.geobox.affine * (self.column + 0.5, self.row + 0.5)
        return float(x), float(y)


class Places:
    """The patches, to look places up in."""

    def __init__(self, patches: Sequence[Patch]) -> None:
        self._patches = patches

    @cached_property
    def _boxes(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """By CRS: the patches' positions, and (patch, (xmin, ymin, xmax, ymax))."""
        of: dict[str, list[int]] = {}
        for position, patch in enumerate(self._patches):
            of.setdefault(patch.crs, []).append(position)
        return {
            crs: (np.array(these), np.array([self._patches[i].box for i in these]))
            for crs, these in of.items()
        }

    def pixel(self, longitude: float, latitude: float) -> Pixel:
        """Return the pixel that a place (degrees, EPSG:4326) lies in.

        A pixel has its western and its northern edge: of an edge that two patches share, the
        place is in the eastern or the southern one. The outer edges of the area belong to it. Where
        patches of two zones overlap, the last of the grid's order counts, as in the map.

        Raises NotFoundError where the place is in no patch, naming the nearest.
        """
        if not (math.isfinite(longitude) and abs(longitude) <= 360 and abs(latitude) <= 90):
            raise NotFoundError(
                f"longitude {longitude}, latitude {latitude}: is no place on Earth. Give degrees, "
                "longitude first"
            )
        found: list[tuple[bool, int, float, float]] = []
        for crs, (positions, boxes) in self._boxes.items():
            x, y = transformer("EPSG:4326", crs).transform(longitude, latitude)
            if not (math.isfinite(x) and math.isfinite(y)):
                continue
            left, bottom, right, top = boxes.T
            inside = (left <= x) & (x <= right) & (bottom <= y) & (y <= top)
            if not inside.any() or not _comes_back(crs, x, y, longitude, latitude):
                continue
            own = inside & (x < right) & (bottom < y)
            found += [(bool(own[i]), int(positions[i]), x, y) for i in np.flatnonzero(inside)]
        if not found:
            raise NotFoundError(
                f"longitude {longitude:.6g}, latitude {latitude:.6g}: lies in none of the "
                f"{len(self._patches)} patches; {self._nearest(longitude, latitude)}"
            )
        _, position, x, y = max(found)
        patch = self._patches[position]
        (rows, columns), (left, _, _, top) = patch.shape, patch.box
        row, column = (top - y) / patch.resolution, (x - left) / patch.resolution
        return Pixel(patch, min(int(row), rows - 1), min(int(column), columns - 1))

    def _nearest(self, longitude: float, latitude: float) -> str:
        if not self._patches:
            return "there is none"
        distances = []
        for crs, (positions, boxes) in self._boxes.items():
            lon, lat = transformer(crs, "EPSG:4326").transform(
                (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
            )
            away = _kilometres(longitude, latitude, np.asarray(lon), np.asarray(lat))
            distances.append((float(away.min()), int(positions[away.argmin()])))
        kilometres, position = min(distances)
        return f"the nearest is {self._patches[position].key}, {kilometres:,.0f} km to its middle"


def _comes_back(crs: str, x: float, y: float, longitude: float, latitude: float) -> bool:
    """Whether a projection's answer is of the place itself, and not of one far from its zone."""
    lon, lat = transformer(crs, "EPSG:4326").transform(x, y)
    turn = abs(lon - longitude) % 360
    return bool(min(turn, 360 - turn) < _SAME_PLACE and abs(lat - latitude) < _SAME_PLACE)


def _kilometres(
    longitude: float, latitude: float, lon: NDArray[Any], lat: NDArray[Any]
) -> NDArray[np.float64]:
    """Distances on the sphere (haversine)."""
    a, b = np.radians(latitude), np.radians(lat)
    half = np.sin((a - b) / 2) ** 2
    half = half + np.cos(a) * np.cos(b) * np.sin(np.radians(lon - longitude) / 2) ** 2
    return np.asarray(2 * _EARTH * np.arcsin(np.sqrt(half)))
