"""Small reference maps of many kinds, and how they are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.config import Config, parse
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_map import Reference, open_reference
from lc_platform.sources.reference_options import ReferenceOptions
from lc_platform.sources.simulated import SimulatedArchive

LEFT, TOP = 500_000.0, 5_100_000.0
GRID = GeoBox((20, 20), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32633")
FOREST = {"id": 3, "name": "forest", "color": "#000000", "values": [30, 31]}
WATER = {"id": 8, "name": "water", "color": "#000000", "values": [80]}


def configuration(path: Path | str, **reference: Any) -> Config:
    given = {"attribute": "kind", "classes": [FOREST, WATER], **reference}
    return parse(
        {
            "name": "test",
            "storage": "data",
            "years": [2023],
            "aoi": {"bbox": [14, 45, 15, 46], "patch_size": 1000},
            "imagery": {"source": "stac", "catalog": "catalog.json"},
            "reference": {"path": str(path), **given},
        }
    )


def opened(path: Path | str, **reference: Any) -> Reference:
    # The archive is only asked where the configuration names no file.
    return open_reference(ReferenceOptions.of(configuration(path, **reference)), SimulatedArchive())


def refusal(path: Path | str, **reference: Any) -> str:
    """Why a reference is refused when it is opened, or at the latest when it is burnt."""
    with pytest.raises(SourceError) as caught:
        opened(path, **reference).burnt(GRID)
    return str(caught.value)


def box(column: float, row: float, columns: float, rows: float) -> shapely.Polygon:
    """A rectangle by its upper left corner and size in pixels of GRID."""
    west, north = LEFT + 10 * column, TOP - 10 * row
    return shapely.box(west, north - 10 * rows, west + 10 * columns, north)


def table(kinds: list[Any], shapes: list[Any], **columns: Any) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({"kind": kinds, **columns}, geometry=shapes, crs="EPSG:32633")


def raster(
    path: Path,
    values: NDArray[Any],
    transform: Affine | None = GRID.affine,
    crs: str | None = "EPSG:32633",
    **options: Any,
) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1,
        dtype=values.dtype, crs=crs, transform=transform, **options,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


WOODS, LAKES = box(0, 0, 10, 10), box(10, 10, 5, 5)


def expected() -> np.ndarray:
    """The classes of WOODS and LAKES, burnt on a grid of 20 x 20 pixels."""
    classes = np.zeros((20, 20), np.uint8)
    classes[:10, :10] = 3
    classes[10:15, 10:15] = 8
    return classes


def polygons(
    path: Path, shapes: list[Any], crs: str | None = "EPSG:32633", **columns: list[Any]
) -> Path:
    table = geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32633")
    if crs is None:
        table = table.set_crs(None, allow_override=True)
    elif crs != "EPSG:32633":
        table = table.to_crs(crs)
    table.to_file(path)
    return path
