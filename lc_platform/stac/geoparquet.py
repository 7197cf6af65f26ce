"""Items as stac-geoparquet: a row an item, its properties as columns, its geometry as WKB."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated")
_TIME = pa.timestamp("us", tz="UTC")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_VERSION = "1.1.0"
"""Of GeoParquet, from which on a column of boxes covers the geometries."""
_BATCH = 512
"""Items that are held, and become rows at the same time."""


class Table:
    """The items of a collection, taken one after the other.

    Hundreds of them are held at a time; the others wait in a file without a name, and become one
    table, whose columns are those of all, when it is written.
    """

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []
        self._kinds: set[str] = set()
        self._packed = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the table
        self._schemas: list[pa.Schema] = []
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._packed.close()

    def add(self, item: Mapping[str, Any]) -> None:
        """Add an item, as STAC has it."""
        self._kinds.add(item["geometry"]["type"])
        row = {
            "type": item["type"],
            "stac_version": item["stac_version"],
            "stac_extensions": item["stac_extensions"],
            "id": item["id"],
            "collection": item["collection"],
            "geometry": item["geometry"].wkb,
            "bbox": dict(zip(_SIDES, item["bbox"], strict=True)),
            "links": item["links"],
            "assets": item["assets"],
            **item["properties"],
        }
        for name in _TIMES:
            if row.get(name) is not None:
                row[name] = datetime.fromisoformat(row[name])
        self._waiting.append(row)
        self._count += 1
        if len(self._waiting) >= _BATCH:
            self._pack()

    def _pack(self) -> None:
        if not self._waiting:
            return
        names = dict.fromkeys(name for row in self._waiting for name in row)
        columns = {
            name: pa.array(values, _TIME) if name in _TIMES else _array(values)
            for name in names
            for values in [[row.get(name) for row in self._waiting]]
        }
        table = pa.table(columns)
        with pa.ipc.new_stream(self._packed, table.schema) as stream:
            stream.write_table(table)
        self._schemas.append(table.schema)
        self._waiting = []

    def write(self, path: Path, collection: Mapping[str, Any]) -> None:
        """Write the items to a file.

        collection  the document of their collection, which the file carries too
        """
        self._pack()
        geometry = {
            "encoding": "WKB",
            "geometry_types": sorted(self._kinds),
            "covering": {"bbox": {side: ["bbox", side] for side in _SIDES}},
        }
        geo = {"version": _VERSION, "primary_column": "geometry", "columns": {"geometry": geometry}}
        about = {"version": "1.1.0", "collections": {collection["id"]: dict(collection)}}
        metadata = {"geo": json.dumps(geo), "stac-geoparquet": json.dumps(about)}
        schema = pa.unify_schemas(self._schemas, promote_options="permissive")
        empty = schema.empty_table()
        self._packed.seek(0)
        with pq.ParquetWriter(path, schema.with_metadata(metadata), compression="zstd") as writer:
            for _ in self._schemas:
                with pa.ipc.open_stream(self._packed) as stream:
                    part = stream.read_all()
                part = pa.concat_tables([part, empty], promote_options="permissive")
                writer.write_table(part.select(schema.names).cast(schema))

    def __len__(self) -> int:
        return self._count


def _array(values: Sequence[Any]) -> pa.Array:
    """Return values as a column. An object that several items share is taken once: of thousands of
    them, most have the bands and the acquisitions of others.

    Columns of empty lists and of nothing at all have no type by which Parquet keeps them: they are
    of strings.
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds and all(issubclass(kind, list) for kind in kinds):
        return _each_once(values, _lists)
    if kinds and all(issubclass(kind, dict) for kind in kinds):
        return _each_once(values, _structs)
    found = pa.array(values)
    return pa.array(values, pa.string()) if pa.types.is_null(found.type) else found


def _each_once(values: Sequence[Any], convert: Callable[[Sequence[Any]], pa.Array]) -> pa.Array:
    positions: dict[int, int] = {}
    places = [positions.setdefault(id(value), len(positions)) for value in values]
    if len(positions) == len(values):
        return convert(values)
    first = dict(zip(reversed(places), reversed(values), strict=True))
    return convert([first[one] for one in range(len(positions))]).take(pa.array(places))


def _lists(values: Sequence[list[Any] | None]) -> pa.Array:
    lengths = [0 if value is None else len(value) for value in values]
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
    elements = _array([one for value in values if value is not None for one in value])
    missing = pa.array([value is None for value in values])
    return pa.ListArray.from_arrays(pa.array(ends), elements, mask=missing)


def _structs(values: Sequence[dict[str, Any] | None]) -> pa.Array:
    names = dict.fromkeys(name for value in values if value is not None for name in value)
    columns = [_array([None if v is None else v.get(name) for v in values]) for name in names]
    missing = pa.array([value is None for value in values])
    return pa.StructArray.from_arrays(columns, list(names), mask=missing)
