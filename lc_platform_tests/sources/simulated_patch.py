"""A patch of the simulated planet, and its archive."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.sources.protocol import Acquisition
from lc_platform.sources.simulated import (
    SimulatedArchive,
)

YEAR = (datetime(2018, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC))


def grid(
    west: float, north: float, size: int = 64, resolution: float = 10.0, crs: str = "EPSG:32633"
) -> GeoBox:
    return GeoBox((size, size), Affine(resolution, 0, west, 0, -resolution, north), crs)


PATCH = grid(600000, 5200000, 256)


@cache
def archive() -> SimulatedArchive:
    return SimulatedArchive()


@cache
def acquisitions() -> list[Acquisition]:
    return archive().search(PATCH.extent, *YEAR)
