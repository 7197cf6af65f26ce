"""``/api/area``: what the map is of, and what there is to see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import BaseModel

from lc_platform.artefacts.layout import EVERY_ASSET, PATCH, REFERENCE_SAMPLE, dimensions, key
from lc_platform.config import Config
from lc_platform.eo import indices as spectral
from lc_platform.eo.season import CALENDAR_YEAR
from lc_platform.reading.reader import Reader
from lc_platform.storage.errors import MissingArtefactError
from lc_platform.viewer.view import CurrentView, View

router = APIRouter(prefix="/api")


class LandCoverClass(BaseModel):
    """A class of the map."""

    id: int
    name: str
    color: str
    """``#rrggbb``"""


class TilesOfOthers(BaseModel):
    """The base map."""

    tiles: str
    attribution: str


class Season(BaseModel):
    """The season of a year, which ends in it."""

    month: int
    """Of the first day, 1 to 12."""
    day: int
    """Of the month."""
    months: int


class Area(BaseModel):
    """What the map is of."""

    name: str
    bounds: tuple[float, float, float, float] | None
    """West, south, east, north in degrees; east is above 180 where the area crosses 180 degrees.
    None where there are no patches yet."""
    crosses_antimeridian: bool
    years: list[int]
    latest_year: int | None
    """The latest year that there is a map of; of those without any, the latest."""
    maps: list[int]
    """The years that there is a map of."""
    classes: list[LandCoverClass]
    bands: list[str]
    indices: list[str]
    assets: list[str]
    """Those that are partitioned by patch."""
    patches: int
    zones: list[int]
    """EPSG codes of the patches' CRSs."""
    dagster: str | None
    base_map: TilesOfOthers | None
    user: str | None
    may_judge: bool
    season: Season
    samples: list[int]
    """The years that there is a reference sample of."""
    message: str | None
    """What is not made yet, and how it is made."""


@router.get("/area")
def area(request: Request, view: CurrentView) -> Area:
    """What the map is of: its place, years, classes, and who is looking."""
    reader = view.reader
    user = view.user(request)
    maps = maps_of(reader)
    years = reader.years
    bounds = None
    patches, zones, message = 0, list[int](), None
    try:
        table = reader.patches
    except MissingArtefactError as error:
        message = str(error)
    else:
        patches = len(table)
        zones = sorted(int(crs.rpartition(":")[2]) for crs in set(table["crs"]))
        bounds = around(table.geometry.explode().bounds.to_numpy())
        if not maps:
            message = _no_map(view, years)
    return Area(
        name=reader.config.name if reader.config else str(reader.store).rpartition("/")[2],
        bounds=bounds,
        crosses_antimeridian=bounds is not None and bounds[2] > 180,
        years=years,
        latest_year=max(maps or years, default=None),
        maps=maps,
        classes=[
            LandCoverClass(id=i, name=name, color=color)
            for i, (name, color) in reader.artefacts.legend.items()
        ],
        bands=list(reader.config.acquired_bands) if reader.config else [],
        indices=_indices(reader.config),
        assets=[asset for asset in EVERY_ASSET if PATCH in dimensions(asset)],
        patches=patches,
        zones=zones,
        dagster=view.dagster,
        base_map=None
        if view.base_map is None
        else TilesOfOthers(tiles=view.base_map.tiles, attribution=view.base_map.attribution),
        user=user,
        may_judge=user is not None,
        season=Season(**_season(reader.config)),
        samples=_samples(reader),
        message=message,
    )


def maps_of(reader: Reader) -> list[int]:
    """Return the years that there is a map of, in order."""
    there = reader.store.there(key("mosaic", year=year) for year in reader.years)
    return [year for year in reader.years if key("mosaic", year=year) in there]


def _samples(reader: Reader) -> list[int]:
    there = reader.store.there(REFERENCE_SAMPLE.format(year=year) for year in reader.years)
    return [year for year in reader.years if REFERENCE_SAMPLE.format(year=year) in there]


def _no_map(view: View, years: Sequence[int]) -> str:
    try:
        view.reader.land_cover(years[-1])
    except MissingArtefactError as error:
        return f"There is no map yet. {error}"
    return "There is no map yet"


def _season(config: Config | None) -> dict[str, int]:
    return (CALENDAR_YEAR if config is None else config.season.span).described


def _indices(config: Config | None) -> list[str]:
    own = () if config is None else config.indices
    return list(dict.fromkeys([*spectral.KNOWN, *(one.name for one in own)]))


def around(boxes: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return (west, south, east, north), the smallest box around boxes (box, 4), in degrees.

    It leaves out the widest stretch of longitudes without any; east is above 180 where 180 degrees
    lie within.
    """
    order = boxes[boxes[:, 0].argsort()]
    reach = np.maximum.accumulate(order[:, 2])
    gaps = order[1:, 0] - reach[:-1]
    south, north = float(boxes[:, 1].min()), float(boxes[:, 3].max())
    west, east = float(order[0, 0]), float(reach[-1])
    if len(gaps) and gaps.max() > west + 360 - east:
        at = int(gaps.argmax())
        west, east = float(order[at + 1, 0]), float(reach[at]) + 360
    return west, south, east, north
