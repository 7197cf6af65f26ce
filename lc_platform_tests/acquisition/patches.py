"""A patch, and the configuration that its acquisitions are chosen by."""

from __future__ import annotations

from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.area.grid import Patch
from lc_platform.config import Config, parse

LEFT = 600_000.0
TOP = 5_199_360.0  # both multiples of 80 and of 10


def patch(columns: int = 24, rows: int = 16, column: int = 0, key: str = "33N-r000-c000") -> Patch:
    """A patch whose left edge lies ``column`` pixels right of LEFT."""
    geobox = GeoBox((rows, columns), Affine(10, 0, LEFT + 10 * column, 0, -10, TOP), "EPSG:32633")
    return Patch(key, geobox, "33N", 0, 0)


def configured(imagery: dict[str, Any] | None = None, **sections: Any) -> Config:
    return parse(
        {
            "name": "test",
            "storage": "data",
            "years": [2023],
            "aoi": {"bbox": [16, 46, 17, 47], "crs": "EPSG:32633", "patch_size": 160},
            "imagery": {
                "source": "stac",
                "catalog": "catalog.json",
                "bands": ["B04", "B08"],
                **(imagery or {}),
            },
            "reference": {
                "path": "r.gpkg",
                "attribute": "a",
                "classes": [{"id": 1, "name": "x", "color": "#000000"}],
            },
            "features": {"indices": []},
            **sections,
        }
    )


L2A = {"collection": "sentinel-2-l2a"}
SCL = {"method": "scl"}
