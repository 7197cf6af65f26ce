"""What lies between the ground and the sensor on a day: clouds, their shadows, cirrus, haze, snow.

Weather belongs to a date and a place. How much of the sky is covered varies over hundreds of
kilometres, and a cloud lies where noise of that day exceeds the threshold which leaves that
share of its values above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lc_platform.sources.simulated.coordinates import RADIUS
from lc_platform.sources.simulated.landscape import lattice
from lc_platform.sources.simulated.noise import draw, fractal_noise, gradient_noise, mix, salt

STEP = 40.0
"""Spacing of the lattice the clouds are computed on, in Web Mercator metres."""
_WEATHER_WIDTH = 900e3
_OCTAVES, _GAIN = 9, 0.56
_WEATHER, _CLOUD, _CIRRUS, _SCENE, _SNOW = (np.uint64(salt(0, n)) for n in range(20, 25))
_CLEAR_SKY = -9.0

CLOUD = np.array(
    [1.03, 1.00, 0.98, 0.98, 1.00, 1.02, 1.03, 1.02, 1.03, 0.50, 0.03, 0.62, 0.46]
)  # fmt: skip
"""(band,), brightness of a cloud relative to the blue band; B10 grows with its height."""
CIRRUS = np.array([0.60, 0.56, 0.52, 0.51, 0.51, 0.51, 0.51, 0.50, 0.50, 0.34, 0.16, 0.33, 0.26])
"""(band,), reflectance of cirrus as if it were dense."""
HAZE = np.array([0.34, 0.32, 0.28, 0.26, 0.25, 0.24, 0.24, 0.23, 0.23, 0.10, 0.002, 0.18, 0.15])
"""(band,), reflectance of haze as if it were dense; it never takes more than a tenth."""
HAZE_SHARE = np.array([1.0, 0.85, 0.62, 0.45, 0.40, 0.36, 0.32, 0.28, 0.26, 0.2, 0.1, 0.08, 0.05])
"""(band,), how opaque haze is relative to the first band."""
DIFFUSE = np.array([0.50, 0.44, 0.36, 0.28, 0.26, 0.24, 0.22, 0.20, 0.19, 0.2, 1.0, 0.11, 0.09])
"""(band,), share of the light that also reaches the shadow of a dense cloud."""


@njit(cache=True, nogil=True)
def _sample(n, octaves, gain):  # type: ignore[no-untyped-def]
    out = np.empty(n)
    for k in range(n):
        h = mix(np.uint64(k))
        out[k] = fractal_noise(draw(h, 1) * 4e3, draw(h, 2) * 4e3, _SCENE, octaves, gain)
    return np.sort(out)


@lru_cache(maxsize=8)
def _distribution(octaves: int, gain: float) -> NDArray[np.float64]:
    """Return sorted values of fractal noise."""
    values: NDArray[np.float64] = _sample(16384, octaves, gain)
    return values


def cover_of_rank(rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the sky covered, of weather of a rank in [0, 1]: a third of all weather
    is clear (less than 0.1), a third broken (up to 0.8), a third overcast."""
    return np.interp(rank, [0.0, 0.18, 1 / 3, 2 / 3, 0.78, 1.0], [0.0, 0.01, 0.1, 0.8, 0.97, 1.0])


@dataclass(frozen=True, slots=True)
class Weather:
    """The state of the air on a date."""

    salt: np.uint64
    thresholds: NDArray[np.float64]
    """Of the cloud noise in its standard deviations, at 65 values of the weather noise."""
    scale: float
    """Width of the largest cloud banks, Web Mercator metres."""
    top: float
    """Height of the clouds above the ground, metres."""
    cirrus: float
    """Opacity of the densest cirrus."""
    streak: tuple[float, float]
    """Cosine and sine of the direction the cirrus is drawn out in."""
    haze: float
    """Opacity of the haze in the first band."""
    declination: float
    """Of the sun, radians."""
    days: tuple[float, float]
    """Day of the year north of the equator, 0 on 1 January; south of it the day of equal season."""
    snow_lines: tuple[float, float]
    """Height in metres above which snow lies, north and south of the equator."""


def weather(seed: int, when: date, cloudiness: float) -> Weather:
    """Return the weather of a date. ``cloudiness`` multiplies the covered share of the sky."""
    s = salt(seed, 2, when.toordinal())
    u = [float(draw(s, n)) for n in range(8)]
    noise = _weather_values()
    ranks = np.linspace(0.0, 1.0, noise.size)
    cover = np.clip(cover_of_rank(ranks) * cloudiness, 0.0, 1.0)
    cloud = _distribution(_OCTAVES, _GAIN)
    thresholds = np.quantile(cloud, 1.0 - cover) / cloud.std()
    thresholds[cover <= 0.0] = -_CLEAR_SKY
    angle = np.pi * u[2]
    day = when.timetuple().tm_yday - 1.0
    days = (day, (day + 182.5) % 365.0)
    sunny = (when.timetuple().tm_yday + 9.0) / 365.25 * 2 * np.pi
    return Weather(
        s,
        thresholds,
        scale=22e3 + 40e3 * u[0],
        top=1000.0 + 4000.0 * u[1] ** 1.5,
        cirrus=min(1.0, cloudiness) * (0.0 if u[3] < 0.4 else 0.55 * (u[3] - 0.4) / 0.6),
        streak=(float(np.cos(angle)), float(np.sin(angle))),
        haze=0.012 + 0.06 * u[4] ** 2,
        declination=float(-np.radians(23.44) * np.cos(sunny)),
        days=days,
        snow_lines=(_snow_line(seed, when, days[0]), _snow_line(seed, when, days[1])),
    )


@lru_cache(maxsize=1)
def _weather_values() -> NDArray[np.float64]:
    noise: NDArray[np.float64] = np.quantile(_distribution(2, 0.5), np.linspace(0.0, 1.0, 65))
    return noise


def _snow_line(seed: int, when: date, day: float) -> float:
    # Lowest in late January, highest in late July; a warm or cold spell lasts some weeks.
    spell = float(gradient_noise(when.toordinal() / 19.0, 0.37, np.uint64(salt(seed, 3))))
    return 1850.0 - 1150.0 * float(np.cos((day - 27.0) / 365.0 * 2 * np.pi)) + 330.0 * spell


def sun(declination: float, latitude: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return the east and north of one metre towards the sun per metre of height, at 10:30 solar
    time.

    latitude: radians. The sun is never taken to be lower than 10 degrees.
    """
    hour = np.radians(-22.5)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(
        declination
    ) * np.cos(hour)
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(
        hour
    )
    up = np.maximum(up, np.sin(np.radians(10.0)))
    return east / up, north / up


def sun_angles(now: Weather, y: float) -> tuple[float, float]:
    """Return the azimuth and elevation of the sun, degrees, at a northing of Web Mercator."""
    east, north = (float(v[0]) for v in sun(now.declination, np.arctan(np.sinh([y / RADIUS]))))
    return float(np.degrees(np.arctan2(east, north)) % 360.0), float(
        np.degrees(np.arctan2(1.0, np.hypot(east, north)))
    )


def sun_direction(now: Weather) -> NDArray[np.float64]:
    """Return the east and north of the direction the sun stands in, for 45 degrees north and south
    (2, 2)."""
    direction = np.stack(sun(now.declination, np.radians([45.0, -45.0])), axis=1)
    result: NDArray[np.float64] = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return result


@njit(cache=True, nogil=True)
def _cloud_depth(x, y, s, scale, thresholds, levels, spread):  # type: ignore[no-untyped-def]
    # The offsets keep the zeros of the noise's lattice from falling on the same places each day.
    ox, oy = draw(s, 20) * 512.0, draw(s, 21) * 512.0
    w = fractal_noise(x / _WEATHER_WIDTH + ox, y / _WEATHER_WIDTH + oy, s ^ _WEATHER, 2, 0.5)
    n = 0
    last = levels.size - 2
    while n < last and w >= levels[n + 1]:
        n += 1
    f = min(max((w - levels[n]) / (levels[n + 1] - levels[n]), 0.0), 1.0)
    t = thresholds[n] + f * (thresholds[n + 1] - thresholds[n])
    if t > 4.0:
        return _CLEAR_SKY
    return fractal_noise(x / scale + oy, y / scale + ox, s ^ _CLOUD, _OCTAVES, _GAIN) / spread - t


@njit(cache=True, nogil=True)
def _sky(  # type: ignore[no-untyped-def]
    i0,
    j0,
    columns,
    rows,
    toward_x,
    toward_y,
    s,
    scale,
    thresholds,
    levels,
    spread,
    cirrus,
    cosine,
    sine,
):
    depth = np.empty((rows, columns), np.float32)
    shade = np.empty((rows, columns), np.float32)
    veil = np.zeros((rows, columns), np.float32)
    for j in range(rows):
        y = (j0 + j) * STEP
        for i in range(columns):
            x = (i0 + i) * STEP
            depth[j, i] = _cloud_depth(x, y, s, scale, thresholds, levels, spread)
            shade[j, i] = _cloud_depth(
                x + toward_x[j], y + toward_y[j], s, scale, thresholds, levels, spread
            )
            if cirrus > 0.0:
                u = (cosine * x + sine * y) / 45000.0 + draw(s, 22) * 512.0
                v = (cosine * y - sine * x) / 14000.0 + draw(s, 23) * 512.0
                veil[j, i] = fractal_noise(u, v, s ^ _CIRRUS, 5, 0.5) * 1.6
    return depth, shade, veil


@dataclass(frozen=True, slots=True)
class Sky:
    """Fields of a date on the lattice of spacing ``STEP`` from node (i0, j0) on, (row, column)."""

    i0: int
    j0: int
    depth: NDArray[np.float32]
    """Of the clouds, in standard deviations of their noise above the threshold."""
    shade: NDArray[np.float32]
    """Depth of the cloud that stands between the place and the sun."""
    veil: NDArray[np.float32]
    """Noise of the cirrus."""


def sky(now: Weather, box: tuple[float, float, float, float]) -> Sky:
    """Return the sky over a box (west, south, east, north) in Web Mercator metres."""
    i0, j0, columns, rows = lattice(box, STEP, margin=0.0, ring=1)
    latitude = np.arctan(np.sinh((j0 + np.arange(rows)) * STEP / RADIUS))
    east, north = sun(now.declination, latitude)
    stretch = now.top / np.cos(latitude)  # ground metres are shorter than Mercator's
    return Sky(
        i0,
        j0,
        *_sky(
            i0, j0, columns, rows, east * stretch, north * stretch, now.salt, now.scale,
            now.thresholds, _weather_values(), float(_distribution(_OCTAVES, _GAIN).std()),
            now.cirrus, *now.streak,
        ),
    )  # fmt: skip


def cloud_cover(now: Weather, x: float, y: float) -> float:
    """Return the percent of the sky that clouds cover around a place, thin ones counted by half."""
    ox, oy = float(draw(now.salt, 20)) * 512.0, float(draw(now.salt, 21)) * 512.0
    w = fractal_noise(x / _WEATHER_WIDTH + ox, y / _WEATHER_WIDTH + oy, now.salt ^ _WEATHER, 2, 0.5)
    threshold = float(np.interp(w, _weather_values(), now.thresholds))
    cloud = _distribution(_OCTAVES, _GAIN)
    share = 1.0 - np.searchsorted(cloud, threshold * cloud.std()) / cloud.size
    return round(100.0 * float(share + (1.0 - share) * 0.25 * now.cirrus), 2)
