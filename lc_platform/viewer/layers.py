"""``/api/layers``: what can be drawn on the map, a line for each layer."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from lc_platform.errors import PlatformError
from lc_platform.products.applicable_area import APPLICABILITY
from lc_platform.products.mosaic import APPLICABLE, CONFIDENCE, LAND_COVER, VALID_OBSERVATIONS
from lc_platform.reading.errors import NotFoundError, nearest
from lc_platform.storage.errors import UnavailableError
from lc_platform.viewer import colors
from lc_platform.viewer.change_layers import Change, ChangeProbability
from lc_platform.viewer.colors import Ramp
from lc_platform.viewer.imagery_layers import FALSE, TRUE, Clouds, Imagery
from lc_platform.viewer.map_layers import (
    Ambiguity,
    Asked,
    Disagreement,
    Kind,
    LandCover,
    MapLayer,
    MapQuantity,
    PatchQuantity,
    Reference,
    WrongLabels,
)
from lc_platform.viewer.scene import Scene
from lc_platform.viewer.tile_grid import LARGEST_ZOOM
from lc_platform.viewer.view import CurrentView

router = APIRouter(prefix="/api")

_MAP, _SURE, _IMAGES, _REFERENCE, _CHANGE = (
    "Map", "How sure it is", "Imagery", "Reference", "Change",
)  # fmt: skip
_LAND_COVER = LandCover("land_cover", "Land cover", _MAP, LAND_COVER)
LAYERS: dict[str, MapLayer] = {
    one.id: one
    for one in (
        _LAND_COVER,
        MapQuantity("confidence", "Confidence", _SURE, CONFIDENCE,
                    Ramp("percent", 0, 100, colors.SURE, 0)),
        PatchQuantity("entropy", "Entropy", _SURE, "predictions", "entropy",
                      Ramp("percent of the most there can be", 0, 100, colors.UNSURE, 255)),
        PatchQuantity("margin", "Margin over the second class", _SURE, "predictions", "margin",
                      Ramp("percent", 0, 100, colors.SURE, 255)),
        MapQuantity(APPLICABILITY, "Applicability of the model", _SURE, APPLICABLE,
                    Ramp("percent of the threshold, above 100 outside", 0, 200,
                         colors.OUTSIDE, 0)),
        MapQuantity("valid_observations", "Valid observations", _SURE, VALID_OBSERVATIONS,
                    Ramp("acquisitions", 0, 60, colors.MANY, 0)),
        Imagery("true_color", "True colour", _IMAGES, TRUE),
        Imagery("false_color", "False colour (near infrared)", _IMAGES, FALSE),
        Clouds("clouds", "Clouds", _IMAGES),
        Reference("reference", "Reference", _REFERENCE, "reference_rasters"),
        Ambiguity("ambiguity", "Ambiguous reference", _REFERENCE, "reference_rasters"),
        Disagreement("disagreement", "Where reference and map differ", _REFERENCE, "predictions"),
        WrongLabels("wrong_labels", "Labels that are probably wrong", _REFERENCE,
                    "reference_rasters"),
        Change("change", "Change", _CHANGE, _LAND_COVER),
        ChangeProbability("change_probability", "Probability of change", _CHANGE,
                          Ramp("percent", 0, 100, colors.UNSURE, 0)),
    )
}  # fmt: skip
"""By id, in the order in which they are offered."""


class LegendEntry(BaseModel):
    """A number of a layer that stands for something."""

    value: int
    label: str
    color: str


class LegendRamp(BaseModel):
    """The colours of a quantity."""

    min: float
    max: float
    unit: str
    stops: list[tuple[float, str]]
    """Values and their colours; between them colours are mixed."""


class LayerDescription(BaseModel):
    """A layer, and where its tiles are."""

    id: str
    title: str
    group: str
    available: bool
    why: str | None
    """Why it is not available, and what to do."""
    note: str | None
    """What is missing of it."""
    kind: Kind
    legend: list[LegendEntry] | LegendRamp
    takes: list[Literal["classes", "acquisition", "month", "from"]]
    """What may be added to the tiles' address."""
    tiles: str
    """Relative to the map's first page; with {z}, {x} and {y}."""
    min_zoom: int
    """Below it tiles are empty: they would show too many patches at once."""
    max_zoom: int


def _scene(request: Request) -> Scene:
    scene: Scene = request.app.state.scene
    return scene


CurrentScene = Annotated[Scene, Depends(_scene)]
"""A parameter of an endpoint: what tiles are drawn of."""
Year = Annotated[int, Query(ge=1900, le=2999, description="A year of the map.")]


@router.get("/layers")
def layers(scene: CurrentScene, view: CurrentView, year: Year) -> list[LayerDescription]:
    """What can be drawn of a year, and why the rest cannot."""
    view.reader.artefacts.year(year)
    return [describe(scene, layer, year) for layer in LAYERS.values()]


def named(layer: str) -> MapLayer:
    """Return a layer by its id. Raises NotFoundError where there is none."""
    if layer not in LAYERS:
        raise NotFoundError(f"{layer[:60]}: is no layer; {nearest(layer[:60], LAYERS)}")
    return LAYERS[layer]


def describe(scene: Scene, layer: MapLayer, year: int) -> LayerDescription:
    """Return what a layer is in a year. Raises UnavailableError where the store cannot be
    reached."""
    why, version, legend = None, "", list[LegendEntry]()
    zooms = 0, LARGEST_ZOOM
    try:
        layer.check(scene, year)
        version = layer.version(scene, Asked(year))
        legend = [
            LegendEntry(value=one.value, label=one.label, color=one.color)
            for one in layer.entries(scene, year)
        ]
        zooms = layer.min_zoom(scene), layer.max_zoom(scene)
    except UnavailableError:
        raise
    except PlatformError as error:
        why = str(error)
    ramp = layer.ramp()
    return LayerDescription(
        id=layer.id,
        title=layer.title,
        group=layer.group,
        available=why is None,
        why=why,
        note=layer.note(scene, year) if why is None else None,
        kind=layer.kind,
        legend=_of_ramp(ramp) if ramp is not None else legend,
        takes=list(layer.takes),
        tiles=f"tiles/{layer.id}/{{z}}/{{x}}/{{y}}.png?{urlencode({'year': year, 'v': version})}",
        min_zoom=zooms[0],
        max_zoom=zooms[1],
    )


def _of_ramp(ramp: Ramp) -> LegendRamp:
    return LegendRamp(min=ramp.low, max=ramp.high, unit=ramp.unit, stops=ramp.stops)
