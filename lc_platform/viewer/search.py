"""``/api/search``: patches, places and acquisitions by what a person types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from lc_platform.reading.acquisition_index import IndexedAcquisition
from lc_platform.reading.errors import NotFoundError
from lc_platform.storage.errors import UnavailableError
from lc_platform.viewer.area import around
from lc_platform.viewer.caches import Caches, CurrentCaches
from lc_platform.viewer.view import CurrentView, View

router = APIRouter(prefix="/api")

_MOST = 20
"""Results of a kind."""
_PATIENCE = 3.0
"""Seconds in which the acquisitions of a year are to be listed; later they are found."""
_AROUND = 0.005
"""Degrees around a place that is found."""
_NUMBER = r"([+-]?\d{1,3}(?:\.\d+)?)\s*°?\s*"
_PLAIN = re.compile(rf"\s*{_NUMBER}([NS]?)(\s*[,;]\s*|\s+|(?<=[NSns])){_NUMBER}([EW]?)\s*", re.I)
_EAST_FIRST = re.compile(rf"\s*{_NUMBER}([EW])\s*[,;]?\s*{_NUMBER}([NS])\s*", re.I)


class Found(BaseModel):
    """A patch, a place or an acquisition."""

    kind: Literal["patch", "place", "acquisition"]
    title: str
    lon: float
    lat: float
    bounds: tuple[float, float, float, float]
    """West, south, east, north in degrees; east is above 180 where 180 degrees lie within."""
    patch: str | None
    """Its key; None of a place in none, and of an acquisition of several."""
    acquisition: str | None
    year: int | None
    """Of an acquisition."""


@router.get("/search")
def search(
    view: CurrentView, caches: CurrentCaches, q: Annotated[str, Query(max_length=200)]
) -> list[Found]:
    """What a text may mean: a patch by the beginning of its key, a place by its coordinates in
    decimal degrees ("46.1, 14.5", "46.1N 14.5E", "14.5 46.1", where two plain numbers with a comma
    begin with the latitude), or an acquisition by its key or its day ("2023-07-11")."""
    text = q.strip()
    if not text:
        return []
    return [*_places(view, text), *_patches(view, text), *_acquisitions(view, caches, text)]


def coordinates(text: str) -> list[tuple[float, float]]:
    """Return the places, (longitude, latitude), that a text may mean, the likeliest first."""
    if found := _EAST_FIRST.fullmatch(text):
        lon, east, lat, north = found.groups()
        pairs = [(_signed(lon, east), _signed(lat, north))]
    elif found := _PLAIN.fullmatch(text):
        first, north, between, second, east = found.groups()
        one, other = _signed(first, north), _signed(second, east)
        pairs = [(other, one)]
        if not north and not east:
            pairs = [(other, one), (one, other)]
            if not re.search("[,;]", between):
                pairs.reverse()
    else:
        return []
    return [(lon, lat) for lon, lat in pairs if abs(lat) <= 90 and abs(lon) <= 180]


def _signed(number: str, letter: str) -> float:
    return -float(number) if letter.upper() in ("S", "W") and letter else float(number)


def _places(view: View, text: str) -> Iterator[Found]:
    """Yield the place that coordinates mean: of two readings the one in the area."""
    readings = [(lon, lat, _patch_at(view, lon, lat)) for lon, lat in coordinates(text)]
    for lon, lat, patch in sorted(readings, key=lambda one: one[2] is None)[:1]:
        yield Found(
            kind="place",
            title=f"{abs(lat):g}° {'N' if lat >= 0 else 'S'}, {abs(lon):g}° "
            f"{'E' if lon >= 0 else 'W'}",
            lon=lon,
            lat=lat,
            bounds=(lon - _AROUND, lat - _AROUND, lon + _AROUND, lat + _AROUND),
            patch=patch,
            acquisition=None,
            year=None,
        )


def _patch_at(view: View, lon: float, lat: float) -> str | None:
    try:
        return view.reader.pixel(lon, lat).patch.key
    except NotFoundError:
        return None


def _patches(view: View, text: str) -> Iterator[Found]:
    wanted = text.lower()
    keys = [key for key in view.reader.patches.index if key.lower().startswith(wanted)]
    for key in keys[:_MOST]:
        yield _found(view, "patch", key, [key])


def _acquisitions(view: View, caches: Caches, text: str) -> Iterator[Found]:
    """Yield acquisitions whose key, or whose day, begins with a text; none of a year that is still
    being listed."""
    if len(text) < 4:
        return
    left = _MOST
    for year in reversed(view.reader.years):
        try:
            listed = caches.acquisitions.of(year, _PATIENCE)
        except UnavailableError:
            continue
        for one in listed.values():
            in_area = any(key in view.reader.patches.index for key in one.patches)
            if (
                left
                and in_area
                and (one.day.startswith(text) or one.key.lower().startswith(text.lower()))
            ):
                left -= 1
                yield _acquisition(view, one, year)


def _acquisition(view: View, one: IndexedAcquisition, year: int) -> Found:
    there = [key for key in one.patches if key in view.reader.patches.index]
    title = f"{one.day} {one.key}"
    if len(there) > 1:
        title += f" ({len(there):,} patches)"
    return _found(view, "acquisition", title, there, one.key, year)


def _found(
    view: View,
    kind: Literal["patch", "acquisition"],
    title: str,
    patches: list[str],
    acquisition: str | None = None,
    year: int | None = None,
) -> Found:
    boxes = view.reader.patches.loc[patches].geometry.explode().bounds.to_numpy()
    west, south, east, north = around(boxes)
    lon = (west + east) / 2
    return Found(
        kind=kind,
        title=title,
        lon=lon if lon <= 180 else lon - 360,
        lat=(south + north) / 2,
        bounds=(west, south, east, north),
        patch=patches[0] if len(patches) == 1 else None,
        acquisition=acquisition,
        year=year,
    )
