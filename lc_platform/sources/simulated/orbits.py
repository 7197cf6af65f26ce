"""When the two Sentinel-2 satellites pass, and what their swaths cover.

The orbit's geometry is the real one (ESA Sentinel-2 User Handbook): 143 orbits in ten days, the
satellites half a cycle apart, inclination 98.62 degrees, descending node at 10:30 local solar
time, swath 290 km. Neighbouring swaths therefore overlap hardly at all at the equator and on
half of the ground at 46 degrees. Relative orbit numbers and dates are those of the real mission
(S2A passes orbit 31 on 5 January 2017); a pass's time is that of its descending node for all its
places.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lc_platform.sources.simulated.places import RADIUS

ORBITS = 143
CYCLE = timedelta(days=10)
PERIOD = CYCLE / ORBITS
SWATH = 290e3
"""Metres."""
INCLINATION = np.radians(98.62)
NODE_SOLAR_TIME = 10.5
"""Hours, local mean solar time."""
FIRST_CYCLE = {
    # Node of relative orbit 1 in some cycle, from S2A's orbit 31 on 2017-01-05 about 01:37 UTC.
    "S2A": datetime(2017, 1, 5, 1, 37, tzinfo=UTC) - 30 * PERIOD,
    "S2B": datetime(2017, 1, 5, 1, 37, tzinfo=UTC) - 30 * PERIOD + CYCLE / 2,
}
IN_SERVICE = {"S2A": datetime(2015, 7, 1, tzinfo=UTC), "S2B": datetime(2017, 3, 1, tzinfo=UTC)}
PLATFORMS = {"S2A": "sentinel-2a", "S2B": "sentinel-2b"}


@dataclass(frozen=True, slots=True, order=True)
class Pass:
    """One descending pass of one satellite."""

    time: datetime
    """UTC, of the descending node."""
    satellite: str
    """``S2A`` or ``S2B``."""
    orbit: int
    """Relative orbit, 1 to 143."""

    @property
    def key(self) -> str:
        """For example ``S2A_20170703_R022``."""
        return f"{self.satellite}_{self.time:%Y%m%d}_R{self.orbit:03d}"

    @property
    def node_longitude(self) -> float:
        """Degrees east, of the descending node."""
        t = self.time
        hours = t.hour + t.minute / 60 + (t.second + t.microsecond * 1e-6) / 3600
        return _wrapped(15.0 * (NODE_SOLAR_TIME - hours))

    @classmethod
    def of_key(cls, key: str) -> Pass:
        """The pass with a key. Raises ValueError where there is none."""
        satellite, _, rest = key.partition("_")
        date, _, orbit = rest.partition("_R")
        day = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
        for found in passes(day, day + timedelta(days=1)):
            if found.satellite == satellite and found.orbit == int(orbit):
                return found
        raise ValueError(f"no pass of {satellite} on orbit {orbit} on {date}")


def passes(start: datetime, end: datetime) -> list[Pass]:
    """All passes over anywhere in the half-open period [start, end), in order of time."""
    found = []
    for satellite, first in FIRST_CYCLE.items():
        begin = max(start, IN_SERVICE[satellite])
        number = (begin - first) // PERIOD - 1  # one early, as PERIOD is rounded
        while (time := first + number // ORBITS * CYCLE + number % ORBITS * PERIOD) < end:
            if time >= begin:
                found.append(Pass(time, satellite, int(number % ORBITS) + 1))
            number += 1
    return sorted(found)


def across_track(
    node_longitude: float, longitude: ArrayLike, latitude: ArrayLike
) -> NDArray[np.float64]:
    """How far places lie from a pass's ground track: -1 and 1 at the swath's western and
    eastern edge, beyond that outside; NaN nearer to the poles than the satellite goes.

    longitude, latitude: degrees, any one shape; that of the result.
    """
    lat = np.radians(np.asarray(latitude, dtype=np.float64))
    sine = np.sin(lat) / np.sin(INCLINATION)
    with np.errstate(invalid="ignore"):
        angle = np.arcsin(sine)  # along the orbit, from the node, positive to the north
        turn = np.sqrt(1.0 - np.cos(INCLINATION) ** 2 / np.cos(lat) ** 2)  # cos of the heading
    # Before the node the satellite is further east; the Earth turns beneath it meanwhile.
    days = angle / (2 * np.pi) * (PERIOD / timedelta(days=1))
    track = np.degrees(np.arctan(-np.cos(INCLINATION) * np.tan(angle))) + days * 360.0
    half_width = np.degrees(SWATH / 2 / RADIUS / (np.cos(lat) * turn))
    offset = np.asarray(longitude, dtype=np.float64) - node_longitude - track
    result: NDArray[np.float64] = ((offset + 180.0) % 360.0 - 180.0) / half_width
    return result


def _wrapped(longitude: float) -> float:
    return (longitude + 180.0) % 360.0 - 180.0
