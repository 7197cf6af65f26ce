"""The map of a year as polygons, beside its raster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from lc_platform.cube import Legend, Window
from lc_platform.eo.vectorize import Vectorizer

_COLUMNS = pa.schema(
    [
        ("class", pa.uint8()),
        ("class_name", pa.string()),
        ("hectares", pa.float64()),
        ("geometry", pa.binary()),
    ]
)
_AT_ONCE = 10_000
"""Polygons that are written together."""


@dataclass
class MapPolygons:
    """A GeoParquet of the map's pieces of land, which takes the map window by window."""

    writer: pq.ParquetWriter
    grid: GeoBox
    classes: Legend
    vectorizer: Vectorizer
    rows: list[tuple[int, shapely.Polygon]] = field(default_factory=list)
    written: int = 0

    def add(self, window: Window, classes: NDArray[np.uint8]) -> None:
        """Take a window of the map, (y, x)."""
        self._take(self.vectorizer.add(classes, window[0].start, window[1].start))

    def end(self) -> None:
        """Write what lies across windows."""
        self._take(self.vectorizer.rest())
        self._write()

    def _take(self, pieces: Iterator[tuple[int, shapely.Polygon]]) -> None:
        for piece in pieces:
            self.rows.append(piece)
            if len(self.rows) >= _AT_ONCE:
                self._write()

    def _write(self) -> None:
        ids = [class_id for class_id, _ in self.rows]
        corners = np.array([piece for _, piece in self.rows], dtype=object)
        affine = self.grid.affine
        placed = shapely.transform(
            corners,
            lambda at: np.column_stack(
                (affine.c + affine.a * at[:, 0], affine.f + affine.e * at[:, 1])
            ),
        )
        columns: Mapping[str, Any] = {
            "class": ids,
            "class_name": [self.classes.get(i, ("", ""))[0] for i in ids],
            "hectares": shapely.area(placed) / 10_000,
            "geometry": shapely.to_wkb(placed),
        }
        self.writer.write_table(pa.table(columns, schema=self.writer.schema))
        self.written += len(self.rows)
        self.rows.clear()


@contextmanager
def written(path: Path, grid: GeoBox, classes: Legend, year: int) -> Iterator[MapPolygons]:
    """Write the polygons of a map to a file while its windows are added.

    grid     of the map, axis-aligned
    classes  id -> (name, colour)

    The columns are ``class``, ``class_name``, ``hectares`` in the map's CRS, and ``geometry``.
    """
    geometry = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": CRS(str(grid.crs)).to_json_dict(),
    }
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    about = {b"geo": json.dumps(geo).encode(), b"lc_platform": json.dumps({"year": year}).encode()}
    rows, columns = grid.shape
    with pq.ParquetWriter(
        path, _COLUMNS.with_metadata(about), compression="zstd", write_page_checksum=True
    ) as writer:
        polygons = MapPolygons(writer, grid, classes, Vectorizer((rows, columns)))
        yield polygons
        polygons.end()
