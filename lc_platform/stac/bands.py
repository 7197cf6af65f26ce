"""The bands of artefacts, as STAC has them, and their grids: of one of an asset's artefacts, which
the others are like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from lc_platform.artefacts.layout import Partition, key
from lc_platform.cube import MAIN, Cube, Legend
from lc_platform.errors import PlatformError
from lc_platform.products.layers import meaning
from lc_platform.products.mosaic import LAND_COVER
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.stac.extensions import COMMON_NAMES, classes
from lc_platform.stac.inventory import Inventory
from lc_platform.storage import raster_cube
from lc_platform.storage.errors import MissingArtefactError, UnavailableError
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.zarr_cube import ZarrCube

_CODE = re.compile(r"[A-Z]+:\w+")


@dataclass(frozen=True)
class Bands:
    """What an artefact's files hold."""

    by_asset: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The bands of each file, by what it is called in its item."""
    grid: GeoBox | None = None
    """Of all of them; None where they are no rasters."""


def projection(grid: GeoBox) -> dict[str, Any]:
    """Return a grid as the projection extension has it."""
    crs = str(grid.crs)
    known = bool(_CODE.fullmatch(crs))
    named = {"proj:code": crs} if known else {"proj:code": None, "proj:wkt2": grid.crs.to_wkt()}  # type: ignore[union-attr]
    return {
        **named,
        "proj:shape": [int(side) for side in grid.shape],
        "proj:transform": [float(one) for one in list(grid.affine)[:6]],
    }


def bands_of(inventory: Inventory, asset: str, where: Partition, legend: Legend) -> Bands:
    """Return what the files of an artefact hold; nothing where they are no rasters, or where it
    cannot be opened. Raises UnavailableError where the store cannot be reached."""
    path = key(asset, where.patch, where.year)
    try:
        if asset == "mosaic":
            return _of_mosaic(inventory, where, legend)
        if asset == "raw_bands":
            return _of_imagery(AcquisitionStack(ZarrCube(inventory.store, path)))
        if path.endswith(".zarr"):
            return _of_cube(ZarrCube(inventory.store, path), legend)
        if asset == "change":
            return _of_change(inventory, where, legend)
        if path.endswith(".tif"):
            return _of_raster(RasterCube(inventory.store, path), legend)
    except UnavailableError:
        raise
    except PlatformError:
        return Bands()  # who reads the artefact is told
    return Bands()


def _band(
    name: str, dtype: str, nodata: float | None, legend: Legend, metres: float
) -> dict[str, Any]:
    means = meaning(name, legend)
    nodata = means.missing if nodata is None else nodata
    found: dict[str, Any] = {
        "name": name,
        "description": means.long_name,
        "data_type": dtype,
        "raster:spatial_resolution": metres,
    }
    if means.kind == "class":
        return found | {"nodata": 0, "classification:classes": classes(legend)}
    if nodata is not None:
        found["nodata"] = "nan" if np.isnan(nodata) else nodata
    if means.units != "1":
        found["unit"] = "%" if means.units == "percent" else means.units
    return found


def _of_raster(cube: RasterCube, legend: Legend) -> Bands:
    grid = cube.grids[MAIN]
    metres = abs(float(grid.affine.a))
    own: dict[str, list[dict[str, Any]]] = {"data": []}
    for name, layer in cube.layers.items():
        file = name if name in cube.beside else "data"
        band = _band(name, str(layer.dtype), layer.fill, legend, metres)
        own.setdefault(file, []).append(band)
    return Bands(own, grid)


def _of_cube(cube: Cube, legend: Legend) -> Bands:
    grid = cube.grids[MAIN]
    metres = abs(float(grid.affine.a))
    named = [str(one) for one in cube.coordinates.get("feature", ())]
    layers = {n: one for n, one in cube.layers.items() if one.grid == MAIN and n != "features"}
    found = [
        *({"name": name, "raster:spatial_resolution": metres} for name in named),
        *(_band(n, str(one.dtype), one.fill, legend, metres) for n, one in layers.items()),
    ]
    return Bands({"data": found} if found else {}, grid)


def _of_imagery(stack: AcquisitionStack) -> Bands:
    layer = stack.cube.layers["bands"]
    metres = abs(float(stack.geobox.affine.a))
    found = []
    for position, band in enumerate(stack.bands):
        about: dict[str, Any] = {
            "name": band,
            "data_type": str(layer.dtype),
            "raster:spatial_resolution": metres,
        }
        if band in COMMON_NAMES:
            about["eo:common_name"] = COMMON_NAMES[band]
        if layer.fill is not None:
            about["nodata"] = "nan" if np.isnan(layer.fill) else layer.fill
        for name in ("scale", "offset"):
            # Where acquisitions differ, each of them says its own.
            values = {one[name][position] for one in stack.acquisitions if name in one}
            if len(values) == 1:
                about[f"raster:{name}"] = values.pop()
        found.append(about)
    return Bands({"data": found}, stack.cube.grids[MAIN])


def _of_mosaic(inventory: Inventory, where: Partition, legend: Legend) -> Bands:
    store, path = inventory.store, key("mosaic", year=where.year)
    by_name = {one.name: one for one in inventory.stored("mosaic", where)}
    found, grid = {}, None
    for name, one in by_name.items():
        if not one.key.endswith(".tif"):
            continue
        physical = store.physical(path) + one.key.removeprefix(path)
        with raster_cube.opened_file(store, path, physical) as raster:
            metres, dtype, nodata = abs(raster.transform.a), raster.dtypes[0], raster.nodata
            band = raster.descriptions[0]
            if one.key.endswith(LAND_COVER):
                grid = GeoBox(raster.shape, raster.transform, raster.crs.to_string())
        found[name] = [_band(band, dtype, nodata, legend, metres)]
    return Bands(found, grid)


def _of_change(inventory: Inventory, where: Partition, legend: Legend) -> Bands:
    store, path = inventory.store, key("change", year=where.year)
    with raster_cube.opened_file(store, path, store.physical(path)) as raster:
        grid = GeoBox(raster.shape, raster.transform, raster.crs.to_string())
        names, dtypes, nodata = raster.descriptions, raster.dtypes, raster.nodata
    try:
        legends = raster_cube.legends(store.read_bytes(f"{path}.aux.xml"))
    except MissingArtefactError:
        legends = {}
    metres = abs(float(grid.affine.a))
    found = [
        _band(name, dtype, nodata, legends.get(band, legend), metres)
        for band, (name, dtype) in enumerate(zip(names, dtypes, strict=True), 1)
    ]
    return Bands({"data": found}, grid)
