"""Small STAC catalogs that tests write, with GeoTIFFs of a few pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import shapely.geometry
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj import Transformer

from lc_platform.sources.protocol import (
    Acquisition,
)
from lc_platform.sources.stac.archive import StacArchive

COLLECTION = "sentinel-2-l2a"
ORIGIN = (600000.0, 5000000.0)
GRID = GeoBox((8, 8), Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), "EPSG:32633")
REFLECTANCE = {"data_type": "uint16", "nodata": 0, "scale": 0.0001, "offset": 0}


def write_tiff(
    path: Path, values: NDArray[Any], resolution: float = 10, epsg: int = 32633, **options: Any
) -> Path:
    """A GeoTIFF whose upper left corner is ORIGIN, or the ``origin`` given."""
    x, y = options.pop("origin", ORIGIN)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype=values.dtype,
        crs=f"EPSG:{epsg}",
        transform=Affine(resolution, 0, x, 0, -resolution, y),
        **options,
    ) as file:
        file.write(values, 1)
    return path


def footprint(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """A rectangle in UTM zone 33N as GeoJSON in longitude and latitude."""
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return {"type": "Polygon", "coordinates": [[to_degrees.transform(*xy) for xy in corners]]}


WHOLE = footprint(ORIGIN[0], ORIGIN[1] - 80, ORIGIN[0] + 80, ORIGIN[1])


def item(
    id_: str, when: str, assets: dict[str, dict[str, Any]], geometry: Any = None, **properties: Any
) -> dict[str, Any]:
    """A STAC item; assets are href and whatever else belongs to them."""
    geometry = geometry or WHOLE
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
        ],
        "id": id_,
        "collection": COLLECTION,
        "geometry": geometry,
        "bbox": list(shapely.geometry.shape(geometry).bounds),
        "properties": {"datetime": when, "platform": "sentinel-2a", **properties},
        "assets": assets,
        "links": [],
    }


def band(href: str, name: str = "", **raster: Any) -> dict[str, Any]:
    """An asset of reflectance, with ``raster:bands`` changed as given."""
    asset: dict[str, Any] = {
        "href": href,
        "type": "image/tiff; application=geotiff",
        "roles": ["data", "reflectance"],
        "raster:bands": [{**REFLECTANCE, **raster}],
    }
    if name:
        asset["eo:bands"] = [{"name": name}]
    return asset


def collection_of(links: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The collection that tests' items are of, as STAC has it."""
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "description": "for a test",
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [[None, None]]},
        },
        "links": list(links),
    }


def write_catalog(folder: Path, items: Sequence[dict[str, Any]]) -> Path:
    """catalog.json -> collection.json -> items; returns the path of catalog.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in items:
        (folder / f"{one['id']}.json").write_text(json.dumps(one))
    links = [{"rel": "item", "href": f"./{one['id']}.json"} for one in items]
    collection = collection_of(links)
    (folder / "collection.json").write_text(json.dumps(collection))
    catalog = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "archive",
        "description": "for a test",
        "links": [{"rel": "child", "href": "./collection.json"}],
    }
    (folder / "catalog.json").write_text(json.dumps(catalog))
    return folder / "catalog.json"


YEAR = (datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC))


def archive(folder: Path, items: Sequence[dict[str, Any]]) -> StacArchive:
    return StacArchive(str(write_catalog(folder, items)), COLLECTION)


def one_acquisition(source: StacArchive, area: Geometry = GRID.extent) -> Acquisition:
    (found,) = source.search(area, *YEAR)
    return found


def ramp(start: int = 1, size: int = 8) -> NDArray[np.uint16]:
    return np.arange(start, start + size * size, dtype=np.uint16).reshape(size, size)
