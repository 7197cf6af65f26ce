"""How thousands of items are written: as text that shares parts, and as a table in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from hypothesis import given

from lc_platform.stac.encoding import SharedList, SharedObject, encoded
from lc_platform.stac.footprints import footprint
from lc_platform.stac.geoparquet import Table

texts = st.text(max_size=8) | st.sampled_from(["\uffff", '"', "水"])
objects = st.dictionaries(texts, texts | st.integers(), max_size=3)
leaves = texts | st.integers() | st.none()
values = st.recursive(
    leaves
    | objects.map(SharedObject)
    | st.lists(objects, max_size=2).map(SharedList)
    | st.lists(objects.map(SharedObject), max_size=3)
    | st.tuples(objects, objects.map(SharedObject)).map(list),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(texts, values, max_size=5))
def test_text_that_shares_parts_is_that_of_the_whole_document(item: dict[str, Any]) -> None:
    assert encoded(item) == json.dumps(item, ensure_ascii=False, separators=(",", ":"))


def item(number: int, bands: SharedList, **properties: Any) -> dict[str, Any]:
    west = number / 1000
    ground = shapely.box(west, 45, west + 0.001, 46)
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": f"item {number}",
        "collection": "imagery",
        "geometry": footprint(ground),
        "bbox": list(ground.bounds),
        "properties": {"datetime": "2018-01-01T00:00:00Z", "number": number, **properties},
        "links": [],
        "assets": {"data": {"href": f"./{number}.tif", "bands": bands}},
    }


def test_items_that_wait_in_a_file_become_one_table_with_the_columns_of_all(
    tmp_path: Path,
) -> None:
    bands = SharedList([{"name": "B04", "nodata": 0}, {"name": "B08", "unit": "1"}])
    items = [item(number, bands) for number in range(1200)]
    items[0]["properties"]["first"] = [{"key": "a"}]
    items[1199]["properties"] |= {"last": "only", "first": [{"key": "b", "more": 2.5}]}
    items[1199]["assets"]["legend"] = {"href": "./legend.xml"}
    with Table() as table:
        for one in items:
            table.add(one)
        assert len(table) == 1200
        table.write(tmp_path / "items.parquet", {"id": "imagery"})
    found = geopandas.read_parquet(tmp_path / "items.parquet")
    assert found["id"].tolist() == [one["id"] for one in items]
    assert found["number"].tolist() == list(range(1200))
    assert found.geometry.iloc[700].equals(shapely.box(0.7, 45, 0.701, 46))
    rows = pq.read_table(tmp_path / "items.parquet").to_pylist()
    assert all(row["assets"]["data"]["bands"][1]["unit"] == "1" for row in rows)
    assert rows[600]["assets"]["data"]["href"] == "./600.tif"
    assert rows[600]["assets"]["legend"] is None
    assert rows[1199]["assets"]["legend"] == {"href": "./legend.xml"}
    assert [row["last"] for row in rows[-2:]] == [None, "only"]
    assert rows[0]["first"] == [{"key": "a", "more": None}]
    assert rows[1]["first"] is None
    assert rows[1199]["first"] == [{"key": "b", "more": 2.5}]


def test_a_table_of_one_item_has_types_that_parquet_keeps(tmp_path: Path) -> None:
    with Table() as table:
        table.add(item(0, SharedList(), title=None))
        table.write(tmp_path / "items.parquet", {"id": "imagery"})
    schema = pq.read_schema(tmp_path / "items.parquet")
    assert schema.field("links").type == pa.list_(pa.string())
    assert schema.field("datetime").type == pa.timestamp("us", tz="UTC")
