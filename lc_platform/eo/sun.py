"""Where the sun stands, by time and place.

The equations of NOAA's Solar Calculator (Global Monitoring Laboratory, "Solar Calculation
Details"), which are the low-accuracy ones of Meeus (1998), "Astronomical Algorithms", chapter 25.
Between 1950 and 2050 they agree with full theories within some 0.01 degrees.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_J2000 = np.datetime64("2000-01-01T12:00:00", "ms")


class SunPosition(NamedTuple):
    """Where the sun stands, degrees."""

    azimuth: NDArray[np.float64]
    """Clockwise from north, 0 to 360."""
    elevation: NDArray[np.float64]
    """Above the horizon, geometric: without refraction. Negative at night."""


def sun_position(times: ArrayLike, longitude: ArrayLike, latitude: ArrayLike) -> SunPosition:
    """Return where the sun stands; the arguments are broadcast against one another.

    times      datetime64, UTC
    longitude  degrees, east positive
    latitude   degrees, north positive
    """
    when = np.asarray(times, "datetime64[ms]")
    days = (when - _J2000) / np.timedelta64(1, "D")
    declination, equation = _declination_and_equation_of_time(days / 36525.0)
    minutes = (when - when.astype("datetime64[D]")) / np.timedelta64(1, "m")
    # Hour angle: degrees west of the meridian.
    hour = np.radians((minutes + equation) / 4.0 + np.asarray(longitude, np.float64) - 180.0)
    phi = np.radians(np.asarray(latitude, np.float64))
    sine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(hour)
    return SunPosition(
        np.degrees(np.arctan2(east, north)) % 360.0, np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))
    )


def towards_sun(azimuth: float, elevation: float) -> tuple[float, float]:
    """Return the metres to the east and to the north that a line towards the sun goes for each
    metre that it rises.

    azimuth, elevation  degrees
    Raises ValueError where the sun is not above the horizon.
    """
    if not 0 < elevation <= 90:
        raise ValueError(f"A sun at an elevation of {elevation:g} degrees casts no shadow.")
    run = 1.0 / np.tan(np.radians(elevation))
    return float(run * np.sin(np.radians(azimuth))), float(run * np.cos(np.radians(azimuth)))


def _declination_and_equation_of_time(
    centuries: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sun's declination (radians) and the equation of time (minutes), of Julian
    centuries since J2000."""
    t = centuries
    longitude = np.radians((280.46646 + t * (36000.76983 + t * 0.0003032)) % 360.0)
    anomaly = np.radians(357.52911 + t * (35999.05029 - 0.0001537 * t))
    eccentricity = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    centre = (
        np.sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t))
        + np.sin(2 * anomaly) * (0.019993 - 0.000101 * t)
        + np.sin(3 * anomaly) * 0.000289
    )
    node = np.radians(125.04 - 1934.136 * t)
    apparent = longitude + np.radians(centre - 0.00569 - 0.00478 * np.sin(node))
    mean_obliquity = 23 + (26 + (21.448 - t * (46.815 + t * (0.00059 - t * 0.001813))) / 60) / 60
    obliquity = np.radians(mean_obliquity + 0.00256 * np.cos(node))
    declination = np.arcsin(np.sin(obliquity) * np.sin(apparent))
    y = np.tan(obliquity / 2) ** 2
    equation = 4.0 * np.degrees(
        y * np.sin(2 * longitude)
        - 2 * eccentricity * np.sin(anomaly)
        + 4 * eccentricity * y * np.sin(anomaly) * np.cos(2 * longitude)
        - 0.5 * y**2 * np.sin(4 * longitude)
        - 1.25 * eccentricity**2 * np.sin(2 * anomaly)
    )
    return declination, equation
