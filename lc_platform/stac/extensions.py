"""What STAC and its extensions call things: schemas, media types, classes, bands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lc_platform.catalogue import BAND_ALIASES
from lc_platform.cube import Legend

VERSION = "1.1.0"
"""Of STAC."""
OWN = "lc_platform"
"""What fields of no extension begin with."""
_SCHEMAS = "https://stac-extensions.github.io"
PROJECTION = f"{_SCHEMAS}/projection/v2.0.0/schema.json"
RASTER = f"{_SCHEMAS}/raster/v2.0.0/schema.json"
CLASSIFICATION = f"{_SCHEMAS}/classification/v2.0.0/schema.json"
EO = f"{_SCHEMAS}/eo/v2.0.0/schema.json"
FILE = f"{_SCHEMAS}/file/v2.1.0/schema.json"
PROCESSING = f"{_SCHEMAS}/processing/v1.2.0/schema.json"
VERSIONS = f"{_SCHEMAS}/version/v1.2.0/schema.json"
_PREFIXES = {
    "proj:": PROJECTION,
    "raster:": RASTER,
    "classification:": CLASSIFICATION,
    "eo:": EO,
    "file:": FILE,
    "processing:": PROCESSING,
}
"""The extension of a field, by its beginning."""

JSON = "application/json"
GEOJSON = "application/geo+json"
ZARR = "application/vnd+zarr"
PARQUET = "application/vnd.apache.parquet"
_MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".parquet": PARQUET,
    ".json": JSON,
    ".png": "image/png",
    ".html": "text/html",
    ".txt": "text/plain",
    ".gpkg": "application/geopackage+sqlite3",
    ".sld": "application/vnd.ogc.sld+xml",
    ".qml": "application/xml",
    ".xml": "application/xml",
    ".zarr": ZARR,
}
_ROLES = {
    ".png": "overview",
    ".json": "metadata",
    ".html": "metadata",
    ".xml": "metadata",
    ".sld": "style",
    ".qml": "style",
}
"""Of a file in its item, by its ending; all others are data."""

COMMON_NAMES: Mapping[str, str] = {
    **{band: name for name, band in BAND_ALIASES.items() if band != "SCL"},
    **{name: name for name, band in BAND_ALIASES.items() if band != "SCL"},
}
"""The common name of a band, by its name."""


def media_type(name: str) -> str:
    """Return the media type of a file or a Zarr store, by its name."""
    return _MEDIA_TYPES.get(name[name.rfind(".") :], "application/octet-stream")


def role(name: str) -> str:
    """Return what a file is for, by its name."""
    return _ROLES.get(name[name.rfind(".") :], "data")


def used_by(document: Mapping[str, Any]) -> list[str]:
    """Return the extensions whose fields an item or a collection has, in its properties, its
    assets, their bands and its summaries."""
    found: set[str] = set()
    _gather(document.get("properties", {}), found)
    _gather(document.get("summaries", {}), found)
    for of in ("assets", "item_assets"):
        for asset in document.get(of, {}).values():
            _gather(asset, found)
            for band in asset.get("bands", ()):
                _gather(band, found)
    if "version" in document.get("properties", {}):
        found.add(VERSIONS)
    return sorted(found)


def _gather(fields: Mapping[str, Any], found: set[str]) -> None:
    for name in fields:
        prefix, colon, _ = name.partition(":")
        if colon and (schema := _PREFIXES.get(prefix + colon)):
            found.add(schema)


def classes(legend: Legend) -> list[dict[str, Any]]:
    """Return classes as the classification extension has them: the name of each, of letters, digits
    and hyphens, is made of what people read, its title. The first is 0, no data."""
    found: list[dict[str, Any]] = [
        {"value": 0, "name": "no-data", "title": "no data", "nodata": True}
    ]
    taken = {"no-data", ""}
    for value, (title, color) in legend.items():
        name = slug(title)
        name = f"class-{value}" if name in taken else name
        taken.add(name)
        found.append({"value": value, "name": name, "title": title, "color_hint": color[1:]})
    return found


def slug(text: str) -> str:
    """Return a text of lower-case letters, digits and hyphens; empty where it has none."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def multihash(sha256: str) -> str:
    """Return the multihash of a SHA-256, both hexadecimal: its code is 0x12, its length 0x20."""
    return f"1220{sha256}"
