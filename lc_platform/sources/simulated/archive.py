"""An archive of Sentinel-2 L1C that needs no network and no account: it computes what it is asked.

Every digital number is a function of place, date and seed. The same pixel is the same in any
grid, in any order of reading and in any process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from statistics import fmean

import geopandas
import numpy as np
import pandas
import shapely
from numba import njit
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from lc_platform.catalogue import SENTINEL2_BANDS, SIMULATED_CLASSES
from lc_platform.sources.oversampling import MOST_POINTS, divided, mean_of_points
from lc_platform.sources.passes import mean_sun, utc
from lc_platform.sources.protocol import Acquisition, Cost, MissingBandError, Pixels, SourceError
from lc_platform.sources.simulated import atmosphere, granules, reference, spectra
from lc_platform.sources.simulated.bright_surfaces import SPECTRA, bright_surfaces
from lc_platform.sources.simulated.changes import Changes
from lc_platform.sources.simulated.coordinates import (
    RADIUS,
    check_one_side,
    resolution,
    to_mercator,
)
from lc_platform.sources.simulated.granules import Granule
from lc_platform.sources.simulated.landscape import Ground, Landscape
from lc_platform.sources.simulated.noise import gradient_noise, mix, salt
from lc_platform.sources.simulated.orbits import SENTINEL2, Mission, Pass
from lc_platform.sources.simulated.reference import ReferenceMistakes

BASELINE_0400 = datetime(2022, 1, 25, tzinfo=UTC)
"""From here on digital numbers carry an offset of 1000."""
NATIVE = 10.0
"""Metres between the archive's pixels, in every band."""
BLOCK = 2**20
"""Pixels computed at a time."""

_SHARES = np.array([0.2, 0.4, 0.6, 0.8])
"""Where on a grid's sides it is asked what the reference has there, beside its middle."""
_THICK, _THIN, _SHADOW = 0.5, 0.04, 0.35
_PATCHINESS = np.uint64(salt(0, 40))
_SNOW_SHARE = np.array([0.0, 0.95, 0.95, 0.95, 0.75, 0.70, 0.55, 0.40, 0.15, 0.65, 0.90])


@njit(cache=True, nogil=True)
def _at(field, j, i, fy, fx):  # type: ignore[no-untyped-def]
    low = field[j, i] + fx * (field[j, i + 1] - field[j, i])
    high = field[j + 1, i] + fx * (field[j + 1, i + 1] - field[j + 1, i])
    return low + fy * (high - low)


@njit(cache=True, nogil=True)
def _ramp(v):  # type: ignore[no-untyped-def]
    v = min(max(v, 0.0), 1.0)
    return v * v * (3.0 - 2.0 * v)


@njit(cache=True, nogil=True)
def _air(x, y, i0, j0, depth, shade, veil, cirrus):  # type: ignore[no-untyped-def]
    """Opacity of cloud, depth of it, opacity of the cloud before the sun, of cirrus."""
    fx, fy = x / atmosphere.STEP - i0, y / atmosphere.STEP - j0
    i, j = np.int64(fx), np.int64(fy)
    fx -= i
    fy -= j
    d = _at(depth, j, i, fy, fx)
    opacity = 0.985 * _ramp(d / 0.28 + 0.12)
    before = _ramp(_at(shade, j, i, fy, fx) / 0.28 + 0.12)
    thin = 0.0
    if cirrus > 0.0:
        thin = cirrus * _ramp(_at(veil, j, i, fy, fx) * 0.9 - 0.05)
    return opacity, d, before, thin


@njit(cache=True, nogil=True)
def _snow(metres, x, y, line, s):  # type: ignore[no-untyped-def]
    uneven = 110.0 * gradient_noise(x / 900.0, y / 900.0, s) + 60.0 * gradient_noise(
        x / 160.0, y / 160.0, s
    )
    return _ramp((metres + uneven - line) / 260.0 + 0.5)


@njit(cache=True, nogil=True)
def _render(  # type: ignore[no-untyped-def]
    x,
    y,
    code,
    other,
    vigour,
    shift,
    blend,
    bright,
    metres,
    east,
    north,
    pixel,
    pale,
    pale_of,
    seen,
    season,
    path,
    snow_of,
    cloud_of,
    cirrus_of,
    haze_of,
    diffuse,
    i0,
    j0,
    depth,
    shade,
    veil,
    cirrus,
    snow_lines,
    sun,
    noise,
    band_keys,
    addend,
    out,
):
    rows, columns = x.shape
    bands = path.size
    for a in range(rows):
        for b in range(columns):
            if not seen[a, b]:
                for k in range(bands):
                    out[k, a, b] = 0
                continue
            opacity, d, before, thin = _air(x[a, b], y[a, b], i0, j0, depth, shade, veil, cirrus)
            c = code[a, b]
            south = 1 if y[a, b] < 0.0 else 0
            lit = 1.0 + 0.7 * (east[a, b] * sun[south, 0] + north[a, b] * sun[south, 1])
            lit = min(max(lit, 0.6), 1.35)
            white = 0.0
            if metres[a, b] > snow_lines[south] - 320.0:
                white = _SNOW_SHARE[c] * _snow(
                    metres[a, b], x[a, b], y[a, b], snow_lines[south], _PATCHINESS
                )
            dense = min(max(d * 0.55, 0.0), 1.0)
            albedo = 0.44 + 0.50 * dense + 0.08 * min(max(d - 1.6, 0.0), 2.0)
            for k in range(bands):
                ground = season[south, c, vigour[a, b], shift[a, b], k]
                if blend[a, b] > 0.02:
                    alike = season[south, other[a, b], vigour[a, b], shift[a, b], k]
                    ground += blend[a, b] * (alike - ground)
                ground *= bright[a, b]
                if pale[a, b] > 0:
                    ground = pale_of[pale[a, b] - 1, k]
                ground += white * (snow_of[k] - ground)
                direct = lit * (1.0 - before * (1.0 - diffuse[k]))
                value = path[k] + max(ground - path[k], 0.0) * direct
                value += haze_of[k, 0] * (haze_of[k, 1] - value)
                value += thin * (cirrus_of[k] - value)
                value += opacity * (albedo * cloud_of[k] - value)
                h = mix(np.uint64(pixel[a, b]) ^ noise ^ band_keys[k])
                # sums of two uniform numbers
                relative = (h & np.uint64(0xFFFF)) + ((h >> np.uint64(16)) & np.uint64(0xFFFF))
                absolute = ((h >> np.uint64(32)) & np.uint64(0xFFFF)) + (h >> np.uint64(48))
                value *= 1.0 + 0.018 * (relative * (1.0 / 65535.0) - 1.0)
                value += 0.0018 * (absolute * (1.0 / 65535.0) - 1.0)
                number = np.floor(value * 1e4 + 0.5) + addend
                out[k, a, b] = np.uint16(min(max(number, 1.0), 65535.0))


@njit(cache=True, nogil=True)
def _label_air(x, y, i0, j0, depth, shade, veil, cirrus, out):  # type: ignore[no-untyped-def]
    for a in range(x.shape[0]):
        for b in range(x.shape[1]):
            opacity, _, before, thin = _air(x[a, b], y[a, b], i0, j0, depth, shade, veil, cirrus)
            out[0, a, b] = opacity >= _THICK
            out[1, a, b] = opacity < _THICK and (opacity > _THIN or thin > _THIN)
            out[2, a, b] = opacity < _THICK and before > _SHADOW


@njit(cache=True, nogil=True)
def _label_snow(x, y, code, metres, lines, out):  # type: ignore[no-untyped-def]
    for a in range(x.shape[0]):
        for b in range(x.shape[1]):
            share = _SNOW_SHARE[code[a, b]]
            line = lines[1 if y[a, b] < 0.0 else 0]
            out[a, b] = share * _snow(metres[a, b], x[a, b], y[a, b], line, _PATCHINESS) > 0.15


class SimulatedArchive:
    """Sentinel-2 L1C of a simulated planet.

    seed       any whole number; another seed is another planet
    cloudiness factor on the share of the sky that clouds cover; 0 is a planet without clouds
    mistakes   how often and by how much the reference is wrong
    changes    what changes on the ground from year to year; nothing where None
    bright     share of the places in towns and on bare ground that are bright roofs and quarries
    """

    remote = False
    mission: Mission = SENTINEL2
    bands: tuple[str, ...] = SENTINEL2_BANDS

    def __init__(
        self,
        seed: int = 42,
        cloudiness: float = 1.0,
        mistakes: ReferenceMistakes | None = None,
        changes: Changes | None = None,
        bright: float = 0.0,
    ) -> None:
        if cloudiness < 0:
            raise ValueError(f"cloudiness: {cloudiness} is negative. Give 0 or more; 1 is usual.")
        self.seed = seed
        self.cloudiness = cloudiness
        self.mistakes = mistakes or ReferenceMistakes()
        self.changes = changes
        self.bright = bright
        self._landscape = Landscape(seed, changes)
        self._weather = lru_cache(maxsize=512)(self._weather_of)

    def stop(self) -> None:
        """Nothing waits."""

    def search(
        self, area: Geometry, start: datetime, end: datetime, around: Geometry | None = None
    ) -> list[Acquisition]:
        """Return the acquisitions that touch ``area`` (any CRS) in the half-open period [start,
        end), UTC.

        An acquisition is a whole pass and one item, unless granules are left out for their clouds:
        then each granule that remains is an item. Its time is that of the pass's descending node,
        and its cloud cover the mean of those of the granules that ``around`` touches, or else the
        area.
        """
        if area.crs is None:
            raise SourceError("the area searched has no CRS. Give the geometry one.")
        if area.is_empty:
            raise SourceError("the area searched is empty. Give one that has an inside.")
        # Swaths reach from pole to pole: what touches one does so with its outline.
        outline = granules.outline(area)
        check_one_side(
            shapely.get_coordinates(outline)[:, 0],
            f"the area searched ({area.geom.bounds} in {area.crs})",
        )
        own = granules.touched(outline)
        there = own if around is None else granules.touched(granules.outline(around))
        imaged: dict[tuple[int, str], dict[Granule, bool]] = {}
        found = []
        for flown in self.mission.passes(utc(start), utc(end)):
            track = (flown.orbit, flown.direction)
            if track not in imaged:
                imaged[track] = {
                    granule: granule in own and _touches(flown, own[granule])
                    for granule, corners in there.items()
                    if _touches(flown, corners)
                }
            if any(imaged[track].values()):
                found.append(self._acquisition(flown, imaged[track]))
        return found

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        """Return the acquisition's ``bands`` (B01 to B12, B8A), in the order asked for, on
        ``geobox``.

        The archive has no pixel grid of its own: it computes the places at the grid's pixel
        centres. A pixel of at least twice 10 m is the mean of up to 4 x 4 such places spread
        evenly over it. Outside the swath ``data_mask`` is False.

        Raises SourceError naming a band or an acquisition the archive does not have.
        """
        return self._read(acquisition, geobox, bands, places_a_side(geobox))

    def points(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        """As `read`, but of the pixel centres alone, however coarse the grid."""
        return self._read(acquisition, geobox, bands, 1)

    def _read(
        self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str], split: int
    ) -> Pixels:
        self._check(acquisition, bands)
        flown = self._pass(acquisition)
        only = granules.of_items(flown.key, acquisition.items)
        shifted = flown.time >= BASELINE_0400
        addend = 1000.0 if shifted else 0.0
        values, data_mask = sampled(
            geobox,
            len(bands),
            split,
            lambda block: self._numbers(flown, block, tuple(bands), addend, only),
        )
        return Pixels(
            values,
            data_mask,
            scale=np.full(len(bands), 1e-4),
            offset=np.full(len(bands), -0.1 if shifted else 0.0),
        )

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:  # noqa: ARG002
        """Nothing but time."""
        return Cost()

    def truth(self, geobox: GeoBox, year: int | None = None) -> NDArray[np.uint8]:
        """Return the class id, 1 to 10, at each pixel centre of a grid, (y, x), in a year; before
        anything has changed where None."""
        out = np.empty(geobox.shape, np.uint8)
        for rows, block in blocks_of(geobox, 1):
            out[rows] = self._landscape.ground(block, year).code
        return out

    def reference_polygons(self, area: Geometry) -> geopandas.GeoDataFrame:
        """Return the reference, mistakes included: whole polygons that intersect ``area``, in its
        CRS.

        Columns: ``class_id`` (1 to 10), ``class_name``, ``parcel``, ``geometry``. The same polygon
        is the same for every area. Raises SourceError where the area has no CRS.
        """
        if area.crs is None:
            raise SourceError("the area of the reference has no CRS. Give the geometry one.")
        return reference.reference_polygons(self.seed, area, self.mistakes, self.changes)

    def reference_on(self, geobox: GeoBox) -> pandas.DataFrame:
        """Return the attributes of some polygons of the reference that lie on a grid, without
        drawing one: ``class_id``, ``class_name``, ``parcel``. Where it is empty there may be
        others."""
        share = np.array([0.5, *np.repeat(_SHARES, len(_SHARES))])
        column = share * geobox.shape[1]
        row = np.array([0.5, *np.tile(_SHARES, len(_SHARES))]) * geobox.shape[0]
        a = geobox.affine
        x, y = to_mercator(str(geobox.crs)).transform(
            a.a * column + a.b * row + a.c, a.d * column + a.e * row + a.f
        )
        return reference.reference_at(self.seed, x, y, self.mistakes, self.changes)

    def reference_classes(self) -> pandas.DataFrame:
        """Return the attributes that the reference's polygons have, a row a class; of ``parcel``,
        which every polygon has its own of, none."""
        return pandas.DataFrame(
            {
                "class_id": [one.id for one in SIMULATED_CLASSES],
                "class_name": [one.name for one in SIMULATED_CLASSES],
                "parcel": None,
            }
        )

    def write_reference(self, path: Path, area: Geometry) -> Path:
        """Writes the reference of ``area`` as a GeoPackage, layer ``reference``."""
        return reference.write_reference(self.reference_polygons(area), path)

    def cloud_truth(
        self, acquisition: Acquisition, geobox: GeoBox
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return what the sky is at each pixel centre of a grid: thick cloud (at least half
        opaque), thin cloud or cirrus (at least 4 % opaque), and shadow on ground not under thick
        cloud, each (y, x); whether the swath covers the pixel or not."""
        now = self._weather(self._pass(acquisition).time.date())
        out = np.empty((3, *geobox.shape), np.bool_)
        for rows, block in blocks_of(geobox, 1):
            ground = self._landscape.ground(block)
            air = atmosphere.sky(now, _box(ground))
            _label_air(
                ground.x, ground.y, air.i0, air.j0, air.depth, air.shade, air.veil, now.cirrus,
                out[:, rows],
            )  # fmt: skip
        return out[0], out[1], out[2]

    def snow_truth(self, acquisition: Acquisition, geobox: GeoBox) -> NDArray[np.bool_]:
        """Return where snow covers more than 15 % of the ground, (y, x)."""
        when = self._pass(acquisition).time.date()
        now = self._weather(when)
        out = np.empty(geobox.shape, np.bool_)
        for rows, block in blocks_of(geobox, 1):
            ground = self._landscape.ground(block, when.year)
            _label_snow(ground.x, ground.y, ground.code, ground.metres, now.snow_lines, out[rows])
        return out

    def bright_truth(self, geobox: GeoBox, year: int | None = None) -> NDArray[np.bool_]:
        """Return where there is a bright roof or a quarry, (y, x), in a year; before anything has
        changed where None."""
        out = np.empty(geobox.shape, np.bool_)
        for rows, block in blocks_of(geobox, 1):
            ground = self._landscape.ground(block, year)
            out[rows] = bright_surfaces(ground, self.seed, self.bright) > 0
        return out

    def _numbers(
        self,
        flown: Pass,
        block: GeoBox,
        bands: tuple[str, ...],
        addend: float,
        only: Sequence[Granule] | None,
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint16]]:
        """Return which places are covered (y, x), and reflectance x 10 000 + ``addend`` (band, y,
        x) in bands of Sentinel-2.

        only  granules of the pass beside which nothing is covered; None for the whole pass
        """
        ground = self._landscape.ground(block, flown.time.year)
        seen = covered(flown, ground)
        if only is not None:
            seen &= granules.inside(only, ground.x, ground.y)
        out = np.empty((len(bands), *block.shape), np.uint16)
        if not seen.any():
            out[:] = 0
            return seen, out
        now = self._weather(flown.time.date())
        air = atmosphere.sky(now, _box(ground))
        index = [SENTINEL2_BANDS.index(band) for band in bands]
        cloud = atmosphere.CLOUD.copy()
        cloud[SENTINEL2_BANDS.index("B10")] *= (now.top / 5000.0) ** 2
        haze = np.stack([now.haze * atmosphere.HAZE_SHARE, atmosphere.HAZE], axis=1)
        _render(
            ground.x, ground.y, ground.code, ground.other, ground.vigour, ground.shift,
            ground.blend, ground.bright, ground.metres, ground.east, ground.north, ground.pixel,
            bright_surfaces(ground, self.seed, self.bright), SPECTRA[:, index],
            seen,
            spectra.season(now.days, bands), spectra.PATH[index], spectra.SNOW[index], cloud[index],
            atmosphere.CIRRUS[index], haze[index], atmosphere.DIFFUSE[index],
            air.i0, air.j0, air.depth, air.shade, air.veil, now.cirrus, now.snow_lines,
            atmosphere.sun_direction(now),
            salt(self.seed, 4, flown.time.date().toordinal(), flown.orbit),
            np.array([salt(5, n) for n in index], np.uint64),
            addend,
            out,
        )  # fmt: skip
        return seen, out

    def _acquisition(
        self, flown: Pass, imaged: Mapping[Granule, bool], *, whole: bool = True
    ) -> Acquisition:
        """Return an acquisition of granules of a pass.

        imaged  granule -> whether it shows the area searched, and not only what is around it
        whole   whether none of those granules is left out
        """
        now = self._weather(flown.time.date())
        covers = {one: atmosphere.cloud_cover(now, *granules.middle(one)) for one in imaged}

        def of_granules(max_cloud_cover: float) -> Acquisition | None:
            clear = {one: own for one, own in imaged.items() if covers[one] <= max_cloud_cover}
            if not any(clear.values()):
                return None
            return self._acquisition(flown, clear, whole=whole and len(clear) == len(imaged))

        items = [flown.key] if whole else [granules.item(flown.key, one) for one in imaged]
        return Acquisition(
            key=flown.key,
            datetime=flown.time,
            items=tuple(items),
            platform=flown.platform,
            cloud_cover=fmean(covers.values()),
            sun=mean_sun(
                atmosphere.sun_angles(now, granules.middle(one)[1])
                for one, own in imaged.items()
                if own
            ),
            properties={
                "s2:processing_baseline": "04.00" if flown.time >= BASELINE_0400 else "02.05",
                "sat:relative_orbit": str(flown.orbit),
            },
            of_granules=of_granules,
        )

    def _check(self, acquisition: Acquisition, bands: Sequence[str]) -> None:
        for band in bands:
            if band not in self.bands:
                raise MissingBandError(
                    f"acquisition {acquisition.key}: the simulated archive has no band {band}. "
                    f"It has {', '.join(self.bands)}.",
                    band,
                )

    def _weather_of(self, when: date) -> atmosphere.Weather:
        return atmosphere.weather(self.seed, when, self.cloudiness)

    def _pass(self, acquisition: Acquisition) -> Pass:
        try:
            return _pass_of(self.mission, acquisition.key)
        except ValueError as error:
            raise SourceError(
                f"acquisition {acquisition.key}: not in the simulated archive ({error}). Give one "
                "that its search returned."
            ) from error


_pass_of = lru_cache(maxsize=1024)(Mission.pass_of)


def places_a_side(geobox: GeoBox) -> int:
    """Return into how many places a side a pixel of a grid is divided."""
    coarser = int(resolution(geobox) / NATIVE + 1e-6)
    return min(max(coarser, 1), MOST_POINTS)


def blocks_of(geobox: GeoBox, split: int) -> Iterator[tuple[slice, GeoBox]]:
    """Yield rows of a grid with the finer grid of the places in them, so many rows at a time that
    memory stays bounded."""
    rows, columns = geobox.shape
    height = max(1, BLOCK // max(1, columns * split * split))
    for first in range(0, rows, height):
        block = slice(first, min(first + height, rows))
        yield block, divided(geobox[block, :], split)


def sampled(
    geobox: GeoBox,
    bands: int,
    split: int,
    numbers: Callable[[GeoBox], tuple[NDArray[np.bool_], NDArray[np.uint16]]],
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Return the digital numbers (band, y, x) and the data mask (y, x) of a grid.

    split    places a side of each pixel, whose mean it is
    numbers  gives where the places of a grid have data, and their digital numbers
    """
    values = np.zeros((bands, *geobox.shape), np.uint16)
    data_mask = np.zeros(geobox.shape, np.bool_)
    for rows, block in blocks_of(geobox, split):
        seen, found = numbers(block)
        values[:, rows], data_mask[rows] = mean_of_points(found, seen, split)
    return values, data_mask


def covered(flown: Pass, ground: Ground) -> NDArray[np.bool_]:
    """Return which places the swath covers, (y, x)."""
    # A swath's edge is nearly straight: a grid whose rim is clear of it lies on one side.
    rim_x = np.concatenate([ground.x[[0, -1]].ravel(), ground.x[:, [0, -1]].ravel()])
    rim_y = np.concatenate([ground.y[[0, -1]].ravel(), ground.y[:, [0, -1]].ravel()])
    rim = _across(flown, rim_x, rim_y)
    if (np.abs(rim) < 0.98).all():
        return np.ones(ground.x.shape, np.bool_)
    if (rim > 1.02).all() or (rim < -1.02).all():
        return np.zeros(ground.x.shape, np.bool_)
    inside: NDArray[np.bool_] = np.abs(_across(flown, ground.x, ground.y)) <= 1.0
    return inside


def _touches(flown: Pass, corners: NDArray[np.float64]) -> bool:
    """Whether a swath covers one of some places (place, 2)."""
    return bool((np.abs(_across(flown, *corners.T)) <= 1.0).any())


def _across(flown: Pass, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    latitude = np.degrees(np.arctan(np.sinh(y / RADIUS)))
    return flown.across_track(np.degrees(x / RADIUS), latitude)


def _box(ground: Ground) -> tuple[float, float, float, float]:
    return (
        float(ground.x.min()), float(ground.y.min()), float(ground.x.max()), float(ground.y.max())
    )  # fmt: skip
