"""What the extensions' README files say of the fields that items have: where each may stand, and
which values it takes. A check beside the extensions' own schemas, which are on the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# https://github.com/stac-extensions/eo/tree/v2.0.0#common-band-names
_COMMON_NAMES = {
    "pan", "coastal", "blue", "green", "green05", "yellow", "red", "rededge", "rededge071",
    "rededge075", "rededge078", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22", "lwir",
    "lwir11", "lwir12",
}  # fmt: skip


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _class(one: Mapping[str, Any]) -> bool:
    return (
        isinstance(one["value"], int)
        and re.fullmatch(r"[0-9A-Za-z-_]+", one["name"]) is not None
        and re.fullmatch(r"[0-9A-Fa-f]{6}", one.get("color_hint", "000000")) is not None
        and isinstance(one.get("title", ""), str)
        and isinstance(one.get("nodata", False), bool)
    )


def _classes(value: Any) -> bool:
    values, names = ([one[of] for one in value] for of in ("value", "name"))
    distinct = len(set(values)) == len(set(names)) == len(value) > 0
    return distinct and all(map(_class, value))


ITEM, ASSET, BAND = "properties", "assets", "bands"
FIELDS: Mapping[str, tuple[set[str], Callable[[Any], bool]]] = {
    "proj:code": ({ITEM, ASSET}, lambda v: v is None or bool(re.fullmatch(r"[A-Z]+:\w+", v))),
    "proj:wkt2": ({ITEM, ASSET}, _text),
    "proj:shape": ({ITEM, ASSET}, lambda v: [type(one) for one in v] == [int, int]),
    "proj:transform": ({ITEM, ASSET}, lambda v: len(v) in (6, 9) and all(map(_number, v))),
    "raster:spatial_resolution": ({ASSET, BAND}, lambda v: _number(v) and v > 0),
    "raster:scale": ({ASSET, BAND}, _number),
    "raster:offset": ({ASSET, BAND}, _number),
    "eo:common_name": ({ASSET, BAND}, _COMMON_NAMES.__contains__),
    "classification:classes": ({ITEM, ASSET, BAND}, _classes),
    "file:size": ({ASSET}, lambda v: type(v) is int and v >= 0),
    "file:checksum": ({ASSET}, lambda v: bool(re.fullmatch(r"([0-9a-f]{2})+", v))),
    "processing:lineage": ({ITEM, ASSET}, _text),
    "processing:level": ({ITEM, ASSET}, lambda v: bool(re.fullmatch(r"L[0-4]", v))),
    "version": ({ITEM, ASSET}, _text),
}
"""Of projection 2.0, raster 2.0, eo 2.0, classification 2.0, file 2.1, processing 1.2 and
version 1.2."""


def problems(item: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an item's fields have that no extension has, or has elsewhere or otherwise."""
    places = [(ITEM, item["properties"])]
    for asset in item["assets"].values():
        places += [(ASSET, asset), *((BAND, band) for band in asset.get("bands", ()))]
    for place, fields in places:
        for name, value in fields.items():
            if name in FIELDS:
                where, fits = FIELDS[name]
                if place not in where:
                    yield f"{item['id']}: {name} stands in {place}"
                elif not fits(value):
                    yield f"{item['id']}: {name} is {value!r}"
            elif ":" in name and not name.startswith("lc_platform:"):
                yield f"{item['id']}: {name} is of no extension"
