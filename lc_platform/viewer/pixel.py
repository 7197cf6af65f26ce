"""``/api/pixel``: what is known of the pixel at a place."""

from __future__ import annotations

from math import isnan
from typing import Annotated, Any

import numpy as np
import pandas as pd
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from lc_platform.artefacts.layout import Partition
from lc_platform.eo.polygons import transformer
from lc_platform.reading.errors import NotFoundError
from lc_platform.reading.places import Pixel
from lc_platform.reading.story import MapPixel, ReferencePixel, Story
from lc_platform.viewer.class_model import OfClass, class_fields
from lc_platform.viewer.dagster_links import partition_link
from lc_platform.viewer.parameters import Latitude, Longitude, Year
from lc_platform.viewer.rows import known, numbers, times
from lc_platform.viewer.view import CurrentView, View

router = APIRouter(prefix="/api")

Series = Annotated[str | None, Query(max_length=200)]
"""The name of a band or of an index."""
_ABOUT = ("acquisition", "data", "valid", "cloud", "cloud_probability", "used")
"""Columns of observations that are no bands and no indices."""


class Probability(OfClass):
    """How probable a class is."""

    percent: float | None


class MapOfPixel(OfClass):
    """What a map says of a pixel."""

    confidence: float | None = None
    """Percent, as all that follow."""
    entropy: float | None = None
    margin: float | None = None
    applicability: float | None = None
    probabilities: list[Probability]
    """Empty where the map does not keep them."""
    model_version: str | None


class YearOfPixel(OfClass):
    """A pixel in a year."""

    year: int
    confidence: float | None
    probabilities: list[Probability]


class ReferenceOfPixel(OfClass):
    """What the reference says of a pixel."""

    ambiguous: bool
    polygon: int | None
    """Its position in the reference's file, from 1."""


class Observation(BaseModel):
    """What an acquisition shows of a pixel."""

    time: str
    acquisition: str
    valid: bool | None
    """Whether it shows the ground; None where that is not known yet."""
    cloud: bool | None
    cloud_probability: float | None
    """0 to 1."""
    data: bool
    used: bool | None
    """Whether the features are made of the acquisition."""
    values: dict[str, float | None]
    """Bands (reflectance) and indices by name; of one series where that was asked for."""
    link: str | None
    """The archive's page of the first of its items."""


class FeaturesOfDate(BaseModel):
    """What the classifier reads of a date."""

    date: str
    values: dict[str, float | None]


class Model(BaseModel):
    """The classifier that the map was made with."""

    version: str | None
    link: str | None
    """Its page in Dagster."""


class Links(BaseModel):
    """Pages that tell more."""

    dagster: str | None
    """The page of the patch's map in Dagster."""


class NoPixel(BaseModel):
    """That a place lies in no patch."""

    patch: None = None
    message: str
    """In words, with the nearest patch."""


class PixelStory(BaseModel):
    """What is known of a pixel."""

    patch: str
    row: int
    column: int
    crs: str
    x: float
    y: float
    lon: float
    """Of the pixel's centre, degrees."""
    lat: float
    outline: dict[str, Any]
    """The pixel as a GeoJSON polygon, degrees."""
    year: int
    map: MapOfPixel | None
    by_year: list[YearOfPixel]
    reference: ReferenceOfPixel | None
    observations: list[Observation]
    series: list[str]
    """The bands and indices that the observations may be told by."""
    features: list[FeaturesOfDate] | None
    undated_features: dict[str, float | None] | None
    """What the classifier reads beside: measures of the season, and what else has no date."""
    model: Model
    links: Links
    missing: list[str]
    """What is not made yet, or cannot be read, and what to do."""


@router.get("/pixel")
def pixel(
    view: CurrentView, lon: Longitude, lat: Latitude, year: Year, series: Series = None
) -> PixelStory | NoPixel:
    """What is known of the pixel at a place: its observations in a year, what the classifier read
    of them, its classes in all years, its reference, and what it all was made of. Of a place in no
    patch that is said.

    Observations have the values of one band or index (``series``), for which less imagery is
    decompressed, or of all where none is named; where there is none of that name, of the first."""
    view.reader.artefacts.year(year)
    try:
        view.reader.pixel(lon, lat)
    except NotFoundError as error:
        return NoPixel(message=str(error))
    story = view.reader.story(lon, lat, year, series)
    here = story.pixel
    outline, centre = _in_degrees(here)
    x, y = here.centre
    own = story.maps.get(year)
    of_patch = Partition(here.patch.key, year)
    return PixelStory(
        patch=here.patch.key,
        row=here.row,
        column=here.column,
        crs=here.patch.crs,
        x=x,
        y=y,
        lon=centre[0],
        lat=centre[1],
        outline={"type": "Polygon", "coordinates": [outline]},
        year=year,
        map=None if own is None else _map(own),
        by_year=[_year(each, found) for each, found in story.maps.items()],
        reference=_reference(story.reference),
        observations=_observations(view, story),
        series=list(story.series),
        features=_features(story.features),
        undated_features=_undated(story.features),
        model=Model(
            version=None if own is None else own.model_version,
            link=partition_link(view.dagster, "model", of_patch),
        ),
        links=Links(dagster=partition_link(view.dagster, "predictions", of_patch)),
        missing=list(story.missing),
    )


@router.get("/pixel.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def pixel_csv(view: CurrentView, lon: Longitude, lat: Latitude, year: Year) -> Response:
    """The observations of the pixel at a place in a year, as a table."""
    table = view.reader.at(lon, lat, year)
    about = table.attrs
    name = f"{about['patch']}-r{about['row']}-c{about['column']}-{year}.csv"
    return Response(
        table.to_csv(date_format="%Y-%m-%dT%H:%M:%SZ"),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _in_degrees(pixel: Pixel) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """Return a pixel's closed ring, and its centre: longitudes and latitudes, those of the ring
    beyond 180 degrees where it crosses them."""
    affine = pixel.patch.geobox.affine
    columns = pixel.column + np.array([0, 1, 1, 0, 0, 0.5])
    rows = pixel.row + np.array([1, 1, 0, 0, 1, 0.5])
    lons, lats = transformer(pixel.patch.crs, "EPSG:4326").transform(
        affine.c + affine.a * columns, affine.f + affine.e * rows
    )
    lons = lons - 360 * np.round((lons - lons[-1]) / 360)
    *ring, centre = zip(np.round(lons, 9).tolist(), np.round(lats, 9).tolist(), strict=True)
    return ring, centre


def _map(found: MapPixel) -> MapOfPixel:
    named = ("confidence", "entropy", "margin", "applicability")
    return MapOfPixel(
        **class_fields(found.legend, found.class_id),
        **{name: found.values.get(name) for name in named},
        probabilities=_probabilities(found),
        model_version=found.model_version,
    )


def _year(year: int, found: MapPixel) -> YearOfPixel:
    return YearOfPixel(
        **class_fields(found.legend, found.class_id),
        year=year,
        confidence=found.values.get("confidence"),
        probabilities=_probabilities(found),
    )


def _probabilities(found: MapPixel) -> list[Probability]:
    return [
        Probability(**class_fields(found.legend, one), percent=percent)
        for one, percent in found.probabilities.items()
    ]


def _reference(found: ReferencePixel | None) -> ReferenceOfPixel | None:
    if found is None or found.class_id is None:
        return None
    return ReferenceOfPixel(
        **class_fields(found.legend, found.class_id),
        ambiguous=found.ambiguous,
        polygon=found.polygon,
    )


def _observations(view: View, story: Story) -> list[Observation]:
    table = story.observations
    if table is None:
        return []
    links = view.reader.item_links(story.pixel.patch.key, story.year)
    names = [name for name in table.columns if name not in _ABOUT]
    about = {name: known(table[name]) for name in _ABOUT}
    about["cloud_probability"] = [one[0] for one in numbers(table[["cloud_probability"]])]
    return [
        Observation(
            time=time,
            values=dict(zip(names, values, strict=True)),
            link=links.get(about["acquisition"][at]),
            **{name: column[at] for name, column in about.items()},
        )
        for at, (time, values) in enumerate(
            zip(times(table.index), numbers(table[names]), strict=True)
        )
    ]


def _features(table: pd.DataFrame | None) -> list[FeaturesOfDate] | None:
    if table is None:
        return None
    return [
        FeaturesOfDate(date=date[:10], values=dict(zip(table.columns, values, strict=True)))
        for date, values in zip(times(table.index), numbers(table), strict=True)
    ]


def _undated(table: pd.DataFrame | None) -> dict[str, float | None] | None:
    if table is None:
        return None
    return {name: None if isnan(value) else value for name, value in table.attrs["undated"].items()}
