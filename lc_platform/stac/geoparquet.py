"""Items as stac-geoparquet: a row an item, its properties as columns, its geometry as WKB."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

_TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated")
_TIME = pa.timestamp("us", tz="UTC")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_VERSION = "1.1.0"
"""Of GeoParquet, from which on a column of boxes covers the geometries."""
_BATCH = 512
"""Items that become rows at the same time."""


class Table:
    """The items of a collection, taken one after the other and held as columns."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []
        self._parts: list[pa.Table] = []
        self._kinds: set[str] = set()

    def add(self, item: Mapping[str, Any]) -> None:
        """Add an item, as STAC has it."""
        geometry = shapely.geometry.shape(item["geometry"])
        self._kinds.add(geometry.geom_type)
        row = {
            "type": item["type"],
            "stac_version": item["stac_version"],
            "stac_extensions": item["stac_extensions"],
            "id": item["id"],
            "collection": item["collection"],
            "geometry": shapely.to_wkb(geometry),
            "bbox": dict(zip(_SIDES, item["bbox"], strict=True)),
            "links": item["links"],
            "assets": item["assets"],
            **item["properties"],
        }
        for name in _TIMES:
            if row.get(name) is not None:
                row[name] = datetime.fromisoformat(row[name])
        self._waiting.append(row)
        if len(self._waiting) >= _BATCH:
            self._pack()

    def _pack(self) -> None:
        if not self._waiting:
            return
        # Columns of empty lists and of nothing at all have no type by which Parquet keeps them.
        names = dict.fromkeys(name for row in self._waiting for name in row)
        columns = {}
        for name in names:
            values = [row.get(name) for row in self._waiting]
            if name in _TIMES:
                columns[name] = pa.array(values, _TIME)
                continue
            array = pa.array(values)
            if pa.types.is_list(array.type) and pa.types.is_null(array.type.value_type):
                array = pa.array(values, pa.list_(pa.string()))
            columns[name] = pa.array(values, pa.string()) if pa.types.is_null(array.type) else array
        self._parts.append(pa.table(columns))
        self._waiting = []

    def write(self, path: Path, collection: Mapping[str, Any]) -> None:
        """Write the items to a file.

        collection  the document of their collection, which the file carries too
        """
        self._pack()
        table = pa.concat_tables(self._parts, promote_options="permissive")
        geometry = {
            "encoding": "WKB",
            "geometry_types": sorted(self._kinds),
            "covering": {"bbox": {side: ["bbox", side] for side in _SIDES}},
        }
        geo = {"version": _VERSION, "primary_column": "geometry", "columns": {"geometry": geometry}}
        about = {"version": "1.1.0", "collections": {collection["id"]: dict(collection)}}
        metadata = {"geo": json.dumps(geo), "stac-geoparquet": json.dumps(about)}
        pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts) + len(self._waiting)
