"""How often satellites pass over a place: what an archive will have of it, without asking."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lc_platform.sources.protocol import SourceError

EARTH = 40_075.0
"""Kilometres around the equator."""


@dataclass(frozen=True, slots=True)
class Orbit:
    """The satellites of a collection, all on one orbit."""

    satellites: int
    cycle: float
    """Days after which a satellite's ground tracks repeat."""
    revolutions: int
    """In a cycle; half of each is on the day's side, or ascending."""
    swath: float
    """Kilometres."""
    inclination: float
    """Degrees."""
    sees_clouds: bool = True

    def passes(self, latitude: float, width: float, days: float) -> float:
        """Passes that touch a place of ``width`` metres at a latitude in degrees, in ``days``;
        by day, or those of radar in one direction. A mean over places of that latitude.

        Tracks lie evenly around a parallel, which is shorter towards the poles: swaths overlap
        there, and a place is seen more often.
        """
        parallel = EARTH * max(math.cos(math.radians(latitude)), 1e-6)
        # Of the track with the meridian: along the parallel a swath is wider than across.
        sine = math.cos(math.radians(self.inclination)) / max(math.cos(math.radians(latitude)), 0.2)
        along = (self.swath + width / 1000) / math.sqrt(1 - min(sine**2, 0.9))
        rate = self.satellites * self.revolutions / self.cycle
        return rate * min(1.0, along / parallel) * days


ORBITS = {
    "sentinel-2": Orbit(2, 10, 143, 290, 98.62),
    "landsat": Orbit(2, 16, 233, 185, 98.2),
    "sentinel-1": Orbit(2, 12, 175, 250, 98.18, sees_clouds=False),
}
"""By what the names of collections contain: Sentinel-2 A and B, Landsat 8 and 9, Sentinel-1's wide
swath."""

_COVER = (0.0, 20.0, 80.0, 100.0)
_SHARE = (0.0, 1 / 3, 2 / 3, 1.0)


def share_kept(max_cloud_cover: float) -> float:
    """Share of scenes with at most so many percent of cloud, very roughly: a third of scenes is
    nearly clear, a third nearly overcast, over the year and the land of the Earth."""
    return float(np.interp(max_cloud_cover, _COVER, _SHARE))


def orbit_of(collection: str) -> Orbit:
    """The orbit of a collection's satellites. Raises SourceError where it is not known."""
    for part, orbit in ORBITS.items():
        if part in collection.lower():
            return orbit
    raise SourceError(
        f"imagery.collection: how often {collection} is taken is not known. Plan without --offline"
    )
