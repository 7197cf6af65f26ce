"""``/api/wrong_labels``: polygons of the reference whose label is probably wrong."""

from __future__ import annotations

import io
from typing import Any

import geopandas
import numpy as np
import shapely
from fastapi import APIRouter
from pydantic import BaseModel

from lc_platform.artefacts.layout import key
from lc_platform.products.wrong_labels import LABEL_ERRORS
from lc_platform.storage.errors import DamagedArtefactError
from lc_platform.viewer.caches import CurrentCaches
from lc_platform.viewer.parameters import OptionalBox, Year
from lc_platform.viewer.view import CurrentView, View

router = APIRouter(prefix="/api")

_MOST = 2000
"""Polygons in an answer."""


class WrongLabel(BaseModel):
    """What is known of a polygon's label."""

    polygon: int
    """Its position in the reference's file, from 1."""
    label: str
    """The class's name."""
    probable_class: str
    probability: float
    """Of the probable class, 0 to 1."""
    samples: int
    """That it was judged by."""
    left_out: bool
    """Whether training goes without it."""


class WrongLabelFeature(BaseModel):
    """A polygon whose label is probably wrong."""

    type: str
    properties: WrongLabel
    geometry: dict[str, Any]


class WrongLabels(BaseModel):
    """Polygons whose label is probably wrong, those first that are to be looked at first, as
    GeoJSON."""

    type: str
    features: list[WrongLabelFeature]
    total: int
    """How many there are, in the box where one is given."""
    cut: bool
    """Whether there are more than are told of."""
    message: str | None
    """What is left out, or why there is none."""


@router.get("/wrong_labels")
def wrong_labels(
    view: CurrentView, caches: CurrentCaches, year: Year, bbox: OptionalBox = None
) -> WrongLabels:
    """The polygons of a year's reference whose label is probably wrong, in a box where one is
    given; at most 2000 of them."""
    artefacts = view.reader.artefacts
    artefacts.value("evaluation", year)
    state = view.reader.store.state(key("evaluation", year=year))
    table = caches.kept.get(f"wrong labels {year}", state, lambda: _table(view, year))
    if table is None:
        return WrongLabels(
            type="FeatureCollection", features=[], total=0, cut=False,
            message=f"Labels of {year} were not judged: that takes validation.folds",
        )  # fmt: skip
    drawn = table[~table.geometry.isna()]
    message = None
    if absent := len(table) - len(drawn):
        message = f"{absent} more have no outline: the reference is a raster, or has changed"
    if bbox is not None:
        inside = np.zeros(len(drawn), np.bool_)
        for part in bbox.parts:
            inside |= shapely.intersects(drawn.geometry.to_numpy(), shapely.box(*part))
        drawn = drawn[inside]
    shown = drawn.head(_MOST)
    return WrongLabels(
        type="FeatureCollection",
        features=[_feature(row) for row in shown.itertuples()],
        total=len(drawn),
        cut=len(shown) < len(drawn),
        message=message,
    )


def _table(view: View, year: int) -> geopandas.GeoDataFrame | None:
    """Return the polygons as the evaluation keeps them; None where it has none."""
    store, path = view.reader.store, key("evaluation", year=year)
    try:
        (content,) = store.read_together(path, LABEL_ERRORS)
    except FileNotFoundError:
        return None
    try:
        return geopandas.read_file(io.BytesIO(content), layer="label_errors")
    except Exception as error:
        raise DamagedArtefactError(
            f"{store.path(path)}/{LABEL_ERRORS}: is damaged ({error}). Materialize evaluation "
            "again",
            path,
        ) from error


def _feature(row: Any) -> WrongLabelFeature:
    about = WrongLabel(**{name: getattr(row, name) for name in WrongLabel.model_fields})
    geometry = shapely.geometry.mapping(shapely.set_precision(row.geometry, 1e-7))
    return WrongLabelFeature(type="Feature", properties=about, geometry=dict(geometry))
