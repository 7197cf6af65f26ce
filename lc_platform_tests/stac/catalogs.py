"""Small stores of which catalogs are made, and how these are checked without a network."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from pystac.validation import RegisteredValidator
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from lc_platform import stac
from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import Partition, key
from lc_platform.cube import MAIN, Block, Calibration, InMemoryCube, LazyCube, Summary, whole
from lc_platform.products.catalog_options import CatalogOptions
from lc_platform.products.mosaic import Mosaic
from lc_platform.products.options import MosaicOptions
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store
from lc_platform_tests.products.cubes import stack
from lc_platform_tests.products.patches import patch
from lc_platform_tests.reading.stores import predicted, put

YEAR = 2018
CLASSES = {1: ("forêt & bois", "#1b5e35"), 3: ("水", "#2f6fd0")}
ARCHIVE = "https://stac.example.org/v1/collections/sentinel-2-l2a/items/"
OPTIONS = CatalogOptions(name="Two patches", classes=CLASSES, archives={"": ARCHIVE})
SCHEMAS = "LC_PLATFORM_STAC_SCHEMAS"
"""Names a wheel of `eopf`, or a zip file like it, in which the schemas of most extensions are:
``.../extensions/raster_v2.0.0.json``. Where it is set, they are validated too."""


def grid() -> PatchGrid:
    """Three patches in a row."""
    patches = [patch(0, column, (32, 32)) for column in range(3)]
    return PatchGrid(patches, {one.key: True for one in patches})


def _again(cube: InMemoryCube) -> LazyCube:
    def blocks(_: Summary) -> Iterator[Block]:
        for name, values in cube.arrays.items():
            index = tuple(slice(0, side) for side in values.shape[:-2])
            yield Block(name, index, whole(cube.grids[MAIN]), values)

    layers = {
        name: replace(layer, chunks=cube.arrays[name].shape[:-2])
        for name, layer in cube.layers.items()
    }
    scale = np.full((len(cube.coordinates["time"]), 2), 1e-4)
    calibration = Calibration(scale, np.zeros_like(scale), "reflectance", 0)
    return LazyCube(
        cube.grids, layers, blocks, cube.coordinates, dict(cube.attributes),
        calibrations=lambda: {"bands": calibration},
    )  # fmt: skip


def imagery(of: Patch, year: int = YEAR, days: Sequence[int] = (10, 200)) -> LazyCube:
    """Two acquisitions of a patch, of an item each."""
    numbers = np.full((len(days), 2, *of.shape), 1000)
    numbers[:, 1] += np.arange(numbers[:, 1].size).reshape(numbers[:, 1].shape)
    found = stack(numbers, days, ("B04", "B08"), year=year, geobox=of.geobox, patch=of.key)
    cube = found.cube
    assert isinstance(cube, InMemoryCube)
    for fact in cube.attributes["acquisitions"]:
        fact |= {"items": [f"S2A_{fact['key']}"], "platform": "sentinel-2a", "cloud_cover": 3.5}
    return _again(replace(cube, attributes={**cube.attributes, "collection": "sentinel-2-l2a"}))


def make(store: Store, year: int = YEAR) -> PatchGrid:
    """Imagery and predictions of two of three patches, and their map."""
    found = grid()
    put(store, "patch_grid", Partition(), found)
    for one in found.patches[:2]:
        here = Partition(one.key, year)
        put(store, "raw_bands", here, imagery(one, year))
        put(store, "predictions", here, predicted(one, year, CLASSES))
    maps = {p.key: RasterCube(store, key("predictions", p.key, year)) for p in found.patches[:2]}
    options = MosaicOptions(classes=CLASSES, crs=None, area=None, polygons=False)
    put(store, "mosaic", Partition(year=year), Mosaic(year, found.patches, maps, {}, options))
    return found


def write(store: Store, made: PatchGrid, options: CatalogOptions = OPTIONS) -> int:
    """Write the catalog of the year, as the asset does; returns the number of its items."""
    catalog = stac.of_year(store, made, YEAR, options)
    formats()["catalog"].write(store, key("catalog", year=YEAR), catalog)
    count: int = catalog.summary.facts["items"]
    return count


def documents(folder: Path) -> dict[str, dict[str, Any]]:
    """All JSON documents of a catalog's folder, by their paths in it."""
    return {
        str(path.relative_to(folder)): json.loads(path.read_text("utf-8"))
        for path in sorted(folder.rglob("*.json"))
    }


class _Offline(JsonSchemaSTACValidator):  # type: ignore[misc]
    """The validator of pystac, with those extensions' schemas that a folder has."""

    def validate_extension(self, stac_dict: Any, stac_object_type: Any, *args: Any) -> str | None:
        address = str(args[1])
        if address not in self.schema_cache:
            schema = _schema(address)
            if schema is None:
                return None
            self.schema_cache[address] = schema
        found: str | None = super().validate_extension(stac_dict, stac_object_type, *args)
        return found


def _schema(address: str) -> dict[str, Any] | None:
    """The schema of an extension, where there is one without a network."""
    wheel = os.environ.get(SCHEMAS)
    name = "_".join(address.split("/")[-3:-1])
    if not wheel:
        return None
    with zipfile.ZipFile(wheel) as file:
        for path in file.namelist():
            if path.endswith(f"/extensions/{name}.json"):
                found: dict[str, Any] = json.loads(file.read(path))
                return found
    return None


def validate(catalog: pystac.Catalog) -> int:
    """Validate a catalog and all that is in it by pystac, core and extensions as far as their
    schemas are there; returns how many documents that are."""
    before = RegisteredValidator.get_validator()
    RegisteredValidator.set_validator(_Offline())
    try:
        count: int = catalog.validate_all()
        return count
    finally:
        RegisteredValidator.set_validator(before)
