"""Parcels on a small grid, and what is kept of the probabilities there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.config.input_files import InputFile
from lc_platform.cube import MAIN, Cube, InMemoryCube, Layer
from lc_platform.products.options import ObjectOptions
from lc_platform_tests.products import cubes

CLASSES = {3: ("maize", "#f2c94c"), 8: ("grassland", "#8bc34a"), 20: ("built-up", "#d64545")}
GRID = cubes.grid(60, 80)
LEFT, TOP = GRID.affine.c, GRID.affine.f


def box(column: float, row: float, columns: float, rows: float) -> shapely.Polygon:
    """A rectangle by its upper left corner and size in pixels of GRID."""
    west, north = LEFT + 10 * column, TOP - 10 * row
    return shapely.box(west, north - 10 * rows, west + 10 * columns, north)


def prediction(percent: NDArray[np.uint8], grid: GeoBox, **attributes: Any) -> Cube:
    layers = {f"probability_{i}": values for i, values in zip(CLASSES, percent, strict=True)}
    layers["class"] = np.array([*CLASSES], np.uint8)[percent.argmax(axis=0)]
    return InMemoryCube(
        {MAIN: grid},
        {name: Layer((), "uint8") for name in layers},
        layers,
        attributes={"model_version": "one", **attributes},
    )


def drawn(
    folder: Path, shapes: list[Any], crs: str = "EPSG:32633", **columns: list[Any]
) -> ObjectOptions:
    path = folder / "parcels.gpkg"
    table = geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32633").to_crs(crs)
    table.to_file(path)
    names = InputFile("parcels.gpkg", str(path))
    attribute = next(iter(columns), None)
    return ObjectOptions(classes=CLASSES, polygons=names, attribute=attribute, window=32)
