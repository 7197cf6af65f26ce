"""Small files of references, as people bring them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely


def polygons(path: Path, **columns: list[Any]) -> str:
    """A file of squares side by side near Ljubljana, with attributes."""
    count = len(next(iter(columns.values())))
    squares = [shapely.box(14 + i / 100, 46, 14.01 + i / 100, 46.01) for i in range(count)]
    table = geopandas.GeoDataFrame(columns, geometry=squares, crs="EPSG:4326")
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_file(path, engine="pyogrio", encoding="UTF-8")
    return str(path)


ODD = "Feldblöcke 2021 (final).shp"


def odd_shapefile(folder: Path) -> Path:
    """A shapefile as offices send them: 2 x 2 km in a national CRS, Latin-1, codes with leading
    zeros, names with umlauts, blanks and none, a bow tie, and a feature without geometry."""
    west, south, side = 645_000.4, 484_000.8, 400
    rings: list[Any] = [
        shapely.box(x, y, x + side - 5, y + side - 5)
        for y in np.arange(south, south + 5 * side, side)
        for x in np.arange(west, west + 5 * side, side)
    ]
    left, low, right, high = rings[7].bounds
    rings[7] = shapely.Polygon([(left, low), (right, high), (right, low), (left, high)])
    rings[12] = None
    names = ["Acker", "Grünland", "Straße / Siedlung", "Acker", "Grünland"] * 5
    names[3:6] = ["k.A.", " ", None]
    codes = {"Acker": "010", "Grünland": "020", "Straße / Siedlung": "030"}
    table = geopandas.GeoDataFrame(
        {
            "FID_1": range(25),
            "KULT_ART": names,
            "SCHL_NR": [codes.get(name) for name in names],
            "STAND": ["2021-06-01"] * 25,
        },
        geometry=rings,
        crs="EPSG:31287",
    )
    table.to_file(folder / ODD, encoding="ISO-8859-1")
    return folder / ODD
