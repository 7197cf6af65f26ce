"""When the satellites pass, and what their swaths cover.

The geometry of the orbits is the real one (ESA Sentinel-2 User Handbook, Sentinel-1 User Handbook;
USGS Landsat 8 Data Users Handbook). Sentinel-2: 143 orbits in ten days, the satellites half a cycle
apart, inclination 98.62 degrees, descending node at 10:30 local solar time, swath 290 km.
Neighbouring swaths therefore overlap hardly at all at the equator and on half of the ground at 46
degrees. Relative orbit numbers and dates of Sentinel-2 are those of the real mission (S2A passes
orbit 31 on 5 January 2017); of the others they are not. A pass's time is that of its node for all
its places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lc_platform.sources.simulated.coordinates import RADIUS


@dataclass(frozen=True, slots=True)
class Satellite:
    """One of a mission."""

    name: str
    """In keys, for example ``S2A``."""
    platform: str
    """For example ``sentinel-2a``."""
    first_node: datetime
    """UTC, of relative orbit 1 in some cycle, in the mission's first direction."""
    begins: datetime
    """In service from here on."""
    ends: datetime | None = None
    """In service up to here; None where it still is."""


@dataclass(frozen=True, eq=False)
class Mission:
    """Satellites that fly after one another on the same ground tracks."""

    satellites: tuple[Satellite, ...]
    orbits: int
    """In a cycle."""
    cycle: timedelta
    inclination: float
    """Radians."""
    nodes: Mapping[str, float]
    """``descending``, ``ascending`` -> local mean solar time of the node in hours, of the
    directions that it looks in; a second one follows half an orbit after the first."""
    swath: float
    """Metres."""
    aside: float = 0.0
    """Metres that the swath's middle lies to the right of the ground track."""

    @property
    def period(self) -> timedelta:
        return self.cycle / self.orbits

    def passes(self, start: datetime, end: datetime) -> tuple[Pass, ...]:
        """Return all passes over anywhere in the half-open period [start, end), in order of
        time."""
        return _passes(self, start, end)

    def pass_of(self, key: str) -> Pass:
        """Return the pass with a key. Raises ValueError where there is none."""
        satellite, _, rest = key.partition("_")
        date = rest.partition("_")[0]
        day = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
        for found in self.passes(day, day + timedelta(days=1)):
            if found.key == key:
                return found
        raise ValueError(f"no pass of {satellite} with this key on {date}")


@dataclass(frozen=True, slots=True, order=True)
class Pass:
    """One satellite on one half of an orbit."""

    time: datetime
    """UTC, of the node."""
    satellite: str
    """For example ``S2A``."""
    orbit: int
    """Relative orbit, from 1."""
    direction: str
    """``descending`` or ``ascending``."""
    mission: Mission = field(compare=False, repr=False)

    @property
    def key(self) -> str:
        """For example ``S2A_20170703_R022``; where a mission looks in both directions, with the
        first letter of the pass's."""
        way = self.direction[0].upper() if len(self.mission.nodes) > 1 else ""
        return f"{self.satellite}_{self.time:%Y%m%d}_R{self.orbit:03d}{way}"

    @property
    def platform(self) -> str:
        return next(s.platform for s in self.mission.satellites if s.name == self.satellite)

    @property
    def node_longitude(self) -> float:
        """Degrees east, of the node."""
        t = self.time
        hours = t.hour + t.minute / 60 + (t.second + t.microsecond * 1e-6) / 3600
        return _wrapped(15.0 * (self.mission.nodes[self.direction] - hours))

    def across_track(self, longitude: ArrayLike, latitude: ArrayLike) -> NDArray[np.float64]:
        """Return how far places lie from the swath's middle: -1 and 1 at its western and eastern
        edge, beyond that outside; NaN nearer to the poles than the satellite goes.

        longitude, latitude: degrees, any one shape; that of the result.
        """
        mission = self.mission
        lat = np.radians(np.asarray(latitude, dtype=np.float64))
        sine = np.sin(lat) / np.sin(mission.inclination)
        with np.errstate(invalid="ignore"):
            angle = np.arcsin(sine)  # along the orbit, from the node, positive to the north
            # cos of the heading
            turn = np.sqrt(1.0 - np.cos(mission.inclination) ** 2 / np.cos(lat) ** 2)
        # Before a descending node the satellite is further east; the Earth turns beneath it
        # meanwhile. An ascending pass is its mirror image, also in what lies to the right.
        mirror = 1.0 if self.direction == "descending" else -1.0
        days = angle / (2 * np.pi) * (mission.period / timedelta(days=1))
        track = np.degrees(np.arctan(-np.cos(mission.inclination) * np.tan(angle))) + days * 360.0
        half_width = np.degrees(mission.swath / 2 / RADIUS / (np.cos(lat) * turn))
        aside = mission.aside / (mission.swath / 2)
        offset = np.asarray(longitude, dtype=np.float64) - self.node_longitude - mirror * track
        middle = ((offset + 180.0) % 360.0 - 180.0) / half_width
        result: NDArray[np.float64] = middle + mirror * aside
        return result


def _wrapped(longitude: float) -> float:
    return (longitude + 180.0) % 360.0 - 180.0


_S2_CYCLE = timedelta(days=10)
# S2A's orbit 31 is on 2017-01-05 about 01:37 UTC.
_S2A_NODE = datetime(2017, 1, 5, 1, 37, tzinfo=UTC) - 30 * (_S2_CYCLE / 143)
SENTINEL2 = Mission(
    (
        Satellite("S2A", "sentinel-2a", _S2A_NODE, datetime(2015, 7, 1, tzinfo=UTC)),
        Satellite(
            "S2B", "sentinel-2b", _S2A_NODE + _S2_CYCLE / 2, datetime(2017, 3, 1, tzinfo=UTC)
        ),
    ),
    orbits=143,
    cycle=_S2_CYCLE,
    inclination=np.radians(98.62),
    nodes={"descending": 10.5},
    swath=290e3,
)

_S1_CYCLE = timedelta(days=12)
_S1A_NODE = datetime(2014, 10, 3, 0, 20, tzinfo=UTC)
_S1B_NODE = _S1A_NODE + _S1_CYCLE / 2
SENTINEL1 = Mission(
    (
        Satellite("S1A", "sentinel-1a", _S1A_NODE, datetime(2014, 10, 3, tzinfo=UTC)),
        Satellite(
            "S1B",
            "sentinel-1b",
            _S1B_NODE,
            datetime(2016, 9, 26, tzinfo=UTC),
            datetime(2021, 12, 23, tzinfo=UTC),
        ),
        Satellite("S1C", "sentinel-1c", _S1B_NODE, datetime(2025, 3, 26, tzinfo=UTC)),
    ),
    orbits=175,
    cycle=_S1_CYCLE,
    inclination=np.radians(98.18),
    nodes={"ascending": 18.0, "descending": 6.0},
    swath=250e3,
    aside=480e3,
)
"""In the mode IW, which looks to the right at incidence angles of 29 to 46 degrees."""

_LANDSAT_CYCLE = timedelta(days=16)
_L8_NODE = datetime(2013, 4, 11, 0, 10, tzinfo=UTC)
LANDSAT = Mission(
    (
        Satellite("LC08", "landsat-8", _L8_NODE, datetime(2013, 4, 11, tzinfo=UTC)),
        Satellite(
            "LC09", "landsat-9", _L8_NODE + _LANDSAT_CYCLE / 2, datetime(2021, 10, 31, tzinfo=UTC)
        ),
    ),
    orbits=233,
    cycle=_LANDSAT_CYCLE,
    inclination=np.radians(98.2),
    nodes={"descending": 10.2},
    swath=185e3,
)


@lru_cache(maxsize=64)
def _passes(mission: Mission, start: datetime, end: datetime) -> tuple[Pass, ...]:
    # Remembered, as every patch asks for those of the same year.
    found = []
    period = mission.period
    for satellite in mission.satellites:
        begin = max(start, satellite.begins)
        until = end if satellite.ends is None else min(end, satellite.ends)
        for after, direction in enumerate(mission.nodes):
            first = satellite.first_node + after * period / 2
            number = (begin - first) // period - 1  # one early, as the period is rounded
            while (
                time := first
                + number // mission.orbits * mission.cycle
                + number % mission.orbits * period
            ) < until:
                if time >= begin:
                    orbit = int(number % mission.orbits) + 1
                    found.append(Pass(time, satellite.name, orbit, direction, mission))
                number += 1
    return tuple(sorted(found))
