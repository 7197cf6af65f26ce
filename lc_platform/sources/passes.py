"""Granules that a satellite took in one pass."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
import shapely
import shapely.errors
import shapely.geometry
from odc.geo.geom import Geometry
from pyproj import CRS

from lc_platform.eo import polygons
from lc_platform.sources.protocol import Acquisition

PASS_GAP = timedelta(minutes=10)
"""Granules of one satellite further apart in time than this belong to two passes."""
_TOLERANCE_DEGREES = 1e-6
"""Of an area's edges: 0.1 m, a tenth of a pixel of the finest imagery."""
_WGS84 = CRS.from_epsg(4326)
_log = logging.getLogger(__name__)


class Granule(Protocol):
    """What of an archive's item says to which pass it belongs."""

    @property
    def id(self) -> str: ...

    @property
    def datetime(self) -> datetime: ...

    @property
    def platform(self) -> str: ...

    @property
    def track(self) -> str:
        """What granules of one pass have in common; empty where it is not known."""
        ...


_Granule = TypeVar("_Granule", bound=Granule)


def passes(granules: Iterable[_Granule]) -> dict[str, list[_Granule]]:
    """Return acquisition's key -> granules, in order of time.

    The key is the track; failing that, the time of the earliest granule and the platform.
    """
    found: dict[str, list[_Granule]] = {}
    latest: dict[str, str] = {}
    for granule in sorted(granules, key=lambda granule: (granule.datetime, granule.id)):
        key = granule.track
        if not key:
            key = latest.get(granule.platform, "")
            if not key or granule.datetime - found[key][-1].datetime > PASS_GAP:
                key = f"{granule.datetime:%Y%m%dT%H%M%S}_{granule.platform}"
            latest[granule.platform] = key
        found.setdefault(key, []).append(granule)
    return found


def as_acquisition(
    key: str,
    granules: Sequence[Granule],
    clouds: Iterable[object],
    facts: Mapping[str, Iterable[object]],
    coverage: float,
    suns: Iterable[tuple[object, object]] = (),
) -> Acquisition:
    """Return the granules of one pass, in order of preference, as an acquisition.

    clouds    the cloud cover of each granule as its item has it, None where it has none
    facts     properties by name: of each granule, None where it has none
    coverage  see `Acquisition`
    suns      azimuth and elevation of the sun, of each granule as its item has them
    """
    known = []
    for granule, cover in zip(granules, clouds, strict=True):
        if (found := percent(cover)) is not None:
            known.append(found)
        elif cover is not None:
            _warn_of_cloud_cover(granule.id, repr(cover))
    distinct = {
        name: dict.fromkeys(str(value) for value in of if value is not None)
        for name, of in facts.items()
    }
    return Acquisition(
        key=re.sub(r"[^A-Za-z0-9_-]+", "-", key).strip("_"),
        datetime=min(granule.datetime for granule in granules),
        items=tuple(granule.id for granule in granules),
        platform=granules[0].platform,
        cloud_cover=sum(known) / len(known) if known else None,
        sun=mean_sun(suns),
        properties={name: ",".join(values) for name, values in distinct.items() if values},
        coverage=coverage,
    )


def sun_of(properties: Mapping[str, object]) -> tuple[object, object]:
    """Return the sun's azimuth and elevation as an item's properties have them (STAC's View
    Geometry extension), None each where they have none."""
    return properties.get("view:sun_azimuth"), properties.get("view:sun_elevation")


def mean_sun(suns: Iterable[tuple[object, object]]) -> tuple[float, float] | None:
    """Return the mean azimuth and elevation of the sun, degrees, of granules that tell both as
    angles; None where none does."""
    angles = [(a, e) for a, e in suns if _is_angle(a, 360.0) and _is_angle(e, 90.0)]
    if not angles:
        return None
    azimuths, elevations = np.array(angles, np.float64).T
    turned = np.radians(azimuths)
    azimuth = np.degrees(np.arctan2(np.sin(turned).mean(), np.cos(turned).mean())) % 360.0
    return round(float(azimuth), 6), round(float(elevations.mean()), 6)


def _is_angle(value: object, greatest: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -greatest <= value <= greatest
    )


def clear_enough(
    granules: Iterable[_Granule], cover: Callable[[_Granule], object], max_cloud_cover: float
) -> list[_Granule]:
    """Return the granules, in their order, without those whose own cloud cover is known to be above
    a limit in percent.

    cover  gives what a granule's item tells as its cloud cover
    """
    found = ((granule, percent(cover(granule))) for granule in granules)
    return [one for one, known in found if known is None or known <= max_cloud_cover]


def percent(cover: object) -> float | None:
    """Return a cloud cover as a percentage; None where it is not one and so is not known: NaN, a
    word, empty text, or a number beyond 0 to 100 such as the -1 of scenes that were not
    assessed."""
    if isinstance(cover, bool):
        return None
    try:
        value = float(cover)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return min(value, 100.0) if 0 <= value < 100.5 else None  # a sum of rounded shares


@lru_cache(maxsize=10_000)
def _warn_of_cloud_cover(item: str, cover: str) -> None:
    _log.warning(
        "item %s: its cloud cover is %s, which is no percentage: it is unknown", item, cover
    )


def utc(when: datetime) -> datetime:
    """Return a time in UTC; a time without a zone is in UTC."""
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


NO_GEOJSON = (
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    shapely.errors.ShapelyError,
)
"""What shapely raises of something that is no GeoJSON geometry."""


def footprint(geometry: object) -> shapely.Geometry:
    """Return what an item's geometry covers, from its GeoJSON, in longitudes from -180 to 180.

    It is empty where the geometry has no polygonal part, or is no GeoJSON geometry.
    """
    try:
        drawn = shapely.geometry.shape(geometry)
    except NO_GEOJSON:
        return shapely.Polygon()
    return polygons.normalized(drawn)


def in_degrees(area: Geometry) -> shapely.Geometry:
    """Return an area in longitude and latitude, from -180 to 180, as footprints are told."""
    return polygons.normalized(
        polygons.reprojected(area.geom, CRS(str(area.crs)), _WGS84, _TOLERANCE_DEGREES)
    )
