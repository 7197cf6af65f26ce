"""``/wmts``: the layers that need no more than a year, as QGIS and others list them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from fastapi import APIRouter, Request
from starlette.responses import Response

from lc_platform.viewer.area import around
from lc_platform.viewer.layers import LAYERS, CurrentScene, LayerDescription, describe
from lc_platform.viewer.tile_grid import HALF, LARGEST_ZOOM, SIZE

router = APIRouter(prefix="/wmts/1.0.0")

_SET = "WebMercatorQuad"
_PIXEL = 0.00028
"""Metres that a pixel is wide on the screen, by OGC's definition of a scale."""
_XML: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/xml": {"schema": {"type": "string"}}}}
}


@router.get("/WMTSCapabilities.xml", response_class=Response, responses=_XML)
def capabilities(request: Request, scene: CurrentScene) -> Response:
    """Every layer and year there is, but those that need an acquisition, as OGC's WMTS 1.0.0."""
    boxes = scene.reader.patches.geometry.explode().bounds.to_numpy()
    west, south, east, north = around(boxes)
    if east > 180:
        west, east = -180.0, 180.0
    corners = f"{west:.7f} {south:.7f}", f"{east:.7f} {north:.7f}"
    base = str(request.base_url)
    listed = "".join(
        _layer(one, year, base, corners)
        for year in scene.reader.years
        for layer in LAYERS.values()
        if "acquisition" not in layer.takes
        for one in [describe(scene, layer, year)]
        if one.available
    )
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1"
 xmlns:xlink="http://www.w3.org/1999/xlink" version="1.0.0">
<ows:ServiceIdentification><ows:Title>{escape(_name(scene))}</ows:Title>
<ows:ServiceType>OGC WMTS</ows:ServiceType>
<ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>
<Contents>
{listed}<TileMatrixSet><ows:Identifier>{_SET}</ows:Identifier>
<ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>
<WellKnownScaleSet>urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible</WellKnownScaleSet>
{"".join(_matrices())}</TileMatrixSet>
</Contents>
<ServiceMetadataURL xlink:href="{_attribute(base)}wmts/1.0.0/WMTSCapabilities.xml"/>
</Capabilities>
"""
    return Response(text, media_type="application/xml", headers={"Cache-Control": "no-cache"})


def _name(scene: CurrentScene) -> str:
    config = scene.reader.config
    return "Land cover" if config is None else config.name


def _layer(one: LayerDescription, year: int, base: str, corners: tuple[str, str]) -> str:
    address = (
        f"{base}tiles/{one.id}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.png?"
        f"{urlencode({'year': year})}"
    )
    return f"""<Layer><ows:Title>{escape(one.title)}, {year}</ows:Title>
<ows:WGS84BoundingBox><ows:LowerCorner>{corners[0]}</ows:LowerCorner>
<ows:UpperCorner>{corners[1]}</ows:UpperCorner></ows:WGS84BoundingBox>
<ows:Identifier>{one.id}_{year}</ows:Identifier>
<Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style>
<Format>image/png</Format>
<TileMatrixSetLink><TileMatrixSet>{_SET}</TileMatrixSet></TileMatrixSetLink>
<ResourceURL format="image/png" resourceType="tile" template="{_attribute(address)}"/>
</Layer>
"""


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def _matrices() -> Iterator[str]:
    for zoom in range(LARGEST_ZOOM + 1):
        scale = 2 * HALF / SIZE / 2**zoom / _PIXEL
        count = 2**zoom
        yield f"""<TileMatrix><ows:Identifier>{zoom}</ows:Identifier>
<ScaleDenominator>{scale!r}</ScaleDenominator>
<TopLeftCorner>{-HALF!r} {HALF!r}</TopLeftCorner>
<TileWidth>{SIZE}</TileWidth><TileHeight>{SIZE}</TileHeight>
<MatrixWidth>{count}</MatrixWidth><MatrixHeight>{count}</MatrixHeight></TileMatrix>
"""
