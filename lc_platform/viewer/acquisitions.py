"""``/api/acquisitions``: what was acquired, of a patch or on the days of a year."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from lc_platform.viewer.caches import CurrentCaches
from lc_platform.viewer.parameters import Latitude, Longitude, Year
from lc_platform.viewer.problems import RequestError
from lc_platform.viewer.rows import known, times
from lc_platform.viewer.view import CurrentView, View

router = APIRouter(prefix="/api")

_PATIENCE = 20.0
"""Seconds in which the acquisitions of a year are to be listed."""


class Acquisition(BaseModel):
    """An acquisition of a patch."""

    key: str
    time: str
    platform: str
    cloud_cover: float | None
    """Percent, as the archive says."""
    valid_share: float | None
    """Of the patch's pixels, those that show the ground, 0 to 1; None where that is not known."""
    clouds_share: float | None
    """Likewise, those that are cloudy."""
    used: bool | None
    """Whether the features are made of it."""
    link: str | None
    """The archive's page of the first of its items."""


class Day(BaseModel):
    """The acquisitions of a day."""

    key: str
    """The day, ``YYYY-MM-DD`` (UTC)."""
    patches: int
    """How many patches were acquired on that day."""


@router.get("/acquisitions")
def acquisitions(
    view: CurrentView,
    caches: CurrentCaches,
    year: Year,
    patch: Annotated[str | None, Query(max_length=100)] = None,
    lon: Longitude | None = None,
    lat: Latitude | None = None,
) -> list[Acquisition] | list[Day]:
    """The acquisitions of a patch in a year, named or around a place; of no patch, the days of the
    year with how many patches were acquired on each."""
    if (lon is None) != (lat is None):
        raise RequestError("lon and lat: only one of them is given. Give both, or a patch's key")
    if patch is None and lon is not None and lat is not None:
        patch = view.reader.pixel(lon, lat).patch.key
    if patch is not None:
        return _of_patch(view, patch, year)
    days = defaultdict[str, set[str]](set)
    for one in caches.acquisitions.of(year, _PATIENCE).values():
        days[one.day].update(one.patches)
    return [Day(key=day, patches=len(days[day])) for day in sorted(days)]


def _of_patch(view: View, patch: str, year: int) -> list[Acquisition]:
    table = view.reader.acquisitions(patch, year)
    named = {
        "acquisition": "key",
        "platform": "platform",
        "cloud_cover": "cloud_cover",
        "valid_fraction": "valid_share",
        "cloud_fraction": "clouds_share",
        "used": "used",
        "link": "link",
    }
    columns = {name: known(table[column]) for column, name in named.items()}
    return [
        Acquisition(time=time, **{name: values[at] for name, values in columns.items()})
        for at, time in enumerate(times(table.index))
    ]
