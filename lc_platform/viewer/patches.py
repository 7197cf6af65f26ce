"""``/api/patches``: the patch grid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from lc_platform.reading.reader import Reader
from lc_platform.viewer.answers import Tagged, tagged
from lc_platform.viewer.caches import CurrentCaches
from lc_platform.viewer.view import CurrentView

router = APIRouter(prefix="/api")

_DIGITS = 6
"""Of degrees: a decimetre."""
_STRAIGHT = 5e-6
"""Degrees by which an edge may be off: an edge that is straight in the patch's CRS has vertices all
along in degrees."""


class PatchProperties(BaseModel):
    """What is known of a patch."""

    key: str
    zone: str
    has_reference: bool


class PatchFeature(BaseModel):
    """A patch."""

    type: str
    id: int
    """Its position in the grid's order."""
    properties: PatchProperties
    geometry: dict[str, Any]


class PatchCollection(BaseModel):
    """The patches in the grid's order, as GeoJSON."""

    type: str
    order: str
    """Names the patches in their order, see `/api/states`."""
    features: list[PatchFeature]


@router.get("/patches", response_model=PatchCollection)
def patches(request: Request, view: CurrentView, caches: CurrentCaches) -> Response:
    """The patches in the grid's order, in longitudes and latitudes; one that crosses 180 degrees
    is cut there."""
    reader = view.reader
    reader.refresh()
    reader.patches  # noqa: B018 - read before it is asked which grid it is
    found = caches.kept.get("patches", reader.grid_state, lambda: _answer(reader))
    return tagged(request, found)


def order_of(keys: Iterable[str]) -> str:
    """Return a name for patches in an order."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]


def _answer(reader: Reader) -> Tagged:
    table = reader.patches
    straight = shapely.simplify(table.geometry.to_numpy(), _STRAIGHT)
    outlines = shapely.transform(straight, lambda points: np.round(points, _DIGITS))
    features = [
        f'{{"type":"Feature","id":{at},"properties":{{"key":{json.dumps(key)},'
        f'"zone":{json.dumps(zone)},"has_reference":{json.dumps(bool(covered))}}},'
        f'"geometry":{outline}}}'
        for at, (key, zone, covered, outline) in enumerate(
            zip(
                table.index,
                table["zone"],
                table["has_reference"],
                shapely.to_geojson(outlines),
                strict=True,
            )
        )
    ]
    head = f'{{"type":"FeatureCollection","order":"{order_of(table.index)}","features":['
    return Tagged.of(f"{head}{','.join(features)}]}}".encode(), "application/geo+json")
