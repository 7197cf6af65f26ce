"""``/tiles``: layers as pictures of 256 x 256 pixels, for the page and for QGIS."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from lc_platform.viewer.area import around
from lc_platform.viewer.drawing import Drawing, Drawn
from lc_platform.viewer.layers import CurrentScene, Year, describe, named
from lc_platform.viewer.map_layers import Asked
from lc_platform.viewer.problems import Problem, RequestError
from lc_platform.viewer.tile_grid import LARGEST_ZOOM
from lc_platform.viewer.view import CurrentView

router = APIRouter(prefix="/tiles")

PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "It is the picture that was asked for before."},
}
"""How a picture is described."""
_REPLACED: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "What `v` names was made again."}
}


def _asked(
    view: CurrentView,
    year: Year,
    classes: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9]{1,3}(,[0-9]{1,3})*$",
            max_length=1000,
            description="The ids of the classes that are shown, with commas between.",
        ),
    ] = None,
    acquisition: Annotated[
        str | None,
        Query(max_length=300, description="The key of an acquisition, or a day YYYY-MM-DD."),
    ] = None,
    month: Annotated[
        str | None, Query(pattern="^(0[1-9]|1[0-2])$", description="A month, without its clouds.")
    ] = None,
    since: Annotated[
        int | None, Query(alias="from", ge=1900, le=2999, description="A change's first year.")
    ] = None,
    v: Annotated[
        str | None, Query(max_length=200, description="The version that api/layers has named.")
    ] = None,
) -> Asked:
    return Asked(
        view.reader.artefacts.year(year),
        None if classes is None else frozenset(int(one) for one in classes.split(",")),
        acquisition or None,
        None if month is None else int(month),
        since,
        v or None,
    )


CurrentAsked = Annotated[Asked, Depends(_asked)]
LayerId = Annotated[str, Path(max_length=60, description="A layer of api/layers.")]


@router.get("/{layer}/{z}/{x}/{y}.png", response_class=Response, responses={**PNG, **_REPLACED})
async def tile(
    request: Request,
    layer: LayerId,
    z: Annotated[int, Path(ge=0, le=LARGEST_ZOOM)],
    x: Annotated[int, Path(ge=0)],
    y: Annotated[int, Path(ge=0)],
    asked: CurrentAsked,
) -> Response:
    """A tile of a layer, in Web Mercator; transparent where there is nothing."""
    if x >= 2**z or y >= 2**z:
        raise RequestError(f"tile {z}/{x}/{y}: is none; at zoom {z} x and y are below {2**z}")
    drawing: Drawing = request.app.state.drawing
    of = named(layer)
    return answered(request, await drawing.of(lambda: drawing.tile(of, asked, (z, x, y))))


def answered(request: Request, drawn: Drawn) -> Response:
    """Return a picture as an answer: kept by browsers for ever where its address names its
    version, else compared by its tag."""
    headers = {
        "ETag": f'"{drawn.tag}"',
        "Cache-Control": "private, max-age=31536000, immutable" if drawn.current else "no-cache",
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(drawn.content, headers=headers, media_type="image/png")


class TileJson(BaseModel):
    """A layer as TileJSON 3.0.0 describes it."""

    tilejson: str
    name: str
    scheme: str
    tiles: list[str]
    minzoom: int
    maxzoom: int
    bounds: tuple[float, float, float, float]
    """West, south, east, north; across 180 degrees west is above east."""


@router.get("/{layer}/tilejson.json")
def tilejson(
    request: Request, layer: LayerId, asked: CurrentAsked, scene: CurrentScene
) -> TileJson:
    """Where a layer's tiles are, for QGIS and others; it takes what tiles take."""
    of = named(layer)
    of.check(scene, asked.year)
    about = describe(scene, of, asked.year)
    query = {"year": asked.year} | {
        name: value
        for name, value in request.query_params.items()
        if name in ("classes", "acquisition", "month", "from")
    }
    address = f"{request.base_url}tiles/{of.id}/{{z}}/{{x}}/{{y}}.png?{urlencode(query)}"
    west, south, east, north = around(scene.reader.patches.geometry.explode().bounds.to_numpy())
    return TileJson(
        tilejson="3.0.0",
        name=f"{of.title}, {asked.year}",
        scheme="xyz",
        tiles=[address],
        minzoom=about.min_zoom,
        maxzoom=about.max_zoom,
        bounds=(west, south, east - 360 if east > 180 else east, north),
    )
