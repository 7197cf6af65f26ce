"""`/api/areas`, `/api/transitions` and `/api/wrong_labels`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from fastapi.testclient import TestClient

from lc_platform.artefacts.layout import Partition, key
from lc_platform.artefacts.records import Records
from lc_platform.platform import Platform
from lc_platform.products import area_statistics
from lc_platform.products.evaluation import Evaluation
from lc_platform.products.wrong_labels import LABEL_ERRORS, as_geopackage
from lc_platform.reading import map_areas
from lc_platform.reading.reader import Reader
from lc_platform.storage.store import Store
from lc_platform.viewer.parameters import box_of
from lc_platform.viewer.problems import RequestError
from lc_platform_tests.graphs import YEAR
from lc_platform_tests.reading import stores


def areas(client: TestClient, **query: Any) -> dict[int, dict[str, Any]]:
    answer = client.get("/api/areas", params={"year": YEAR, **query})
    assert answer.status_code == 200, answer.text
    return {one["class"]: one for one in answer.json()}


def within(reader: Reader, *boxes: tuple[float, float, float, float]) -> np.ndarray[Any, Any]:
    """The map's pixels by class whose centres lie in boxes: each centre is looked at."""
    with rasterio.open(reader.store.path(key("mosaic", year=YEAR) + "/land_cover.tif")) as raster:
        values = raster.read(1)
        rows, columns = np.indices(values.shape) + 0.5
        x, y = raster.transform * (columns, rows)
        lon, lat = pyproj.Transformer.from_crs(raster.crs, 4326, always_xy=True).transform(x, y)
    inside = np.zeros(values.shape, np.bool_)
    for west, south, east, north in boxes:
        inside |= (west <= lon) & (lon <= east) & (south <= lat) & (lat <= north)
    return np.bincount(values[inside], minlength=256)


def test_areas_of_the_whole_map_are_its_pixels(client: TestClient, reader: Reader) -> None:
    found = areas(client)
    counts = within(reader, (-180, -90, 180, 90))
    assert list(found) == reader.classes.index.tolist()
    for one, row in found.items():
        assert row["pixels"] == counts[one]
        assert row["hectares"] == pytest.approx(counts[one] / 100)
        assert row["share"] == pytest.approx(counts[one] / counts[1:].sum())
        assert (row["name"], row["color"]) == tuple(reader.classes.loc[one])
        assert (row["estimate"], row["low"], row["high"]) == (None, None, None)
        assert row["approximate"] is False


def test_areas_in_a_box_are_those_of_the_pixels_in_it(client: TestClient, reader: Reader) -> None:
    west, south, east, north = reader.patches.total_bounds.tolist()
    middle = (west + east) / 2
    box = (west + 0.0003, south + 0.0002, middle, north - 0.0005)
    found = areas(client, bbox=",".join(map(str, box)))
    counts = within(reader, box)
    assert 100 < counts[1:].sum() < within(reader, (-180, -90, 180, 90))[1:].sum() / 2
    assert {one: row["pixels"] for one, row in found.items()} == {one: counts[one] for one in found}
    for everywhere in ("-180,-90,180,90", "-500,-90,500,90", "17,46,377,47"):
        whole = {one: row["pixels"] for one, row in areas(client, bbox=everywhere).items()}
        assert whole == {one: row["pixels"] for one, row in areas(client).items()}
    elsewhere = areas(client, bbox="-10,-40,10,-30")
    assert {row["pixels"] for row in elsewhere.values()} == {0}
    assert {row["share"] for row in elsewhere.values()} == {0}
    across = areas(client, bbox=f"170,-90,{middle},90")
    counts = within(reader, (-180, -90, middle, 90))
    assert across[1]["pixels"] == counts[1]


def test_of_a_large_box_the_overviews_are_counted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = areas(client)
    monkeypatch.setattr(map_areas, "_MOST", 1000)
    found = areas(client)
    assert all(row["approximate"] for row in found.values())
    total = sum(row["pixels"] for row in exact.values())
    assert sum(row["pixels"] for row in found.values()) == pytest.approx(total, rel=0.2)


def test_areas_are_estimated_where_people_have_judged(own: TestClient, copied: Reader) -> None:
    """The statistics are those of the map as it is; of another map they say nothing."""
    assert copied.config is not None
    platform = Platform(copied.config)
    recorded = Records(copied.store).of("mosaic", Partition(year=YEAR))
    assert recorded is not None
    files = copied.artefacts.files("mosaic", Partition(year=YEAR))
    from lc_platform.products.land_cover import LandCover

    land_cover = LandCover(copied.store, key("mosaic", year=YEAR), files, recorded.data)
    made = area_statistics.measure(YEAR, land_cover, platform.area_statistics_options())
    judged = json.loads(json.dumps(made.content))
    judged["total"]["classes"][0]["hectares"] = {
        "value": 12.5, "standard_error": 1.0, "low": 10.5, "high": 14.5
    }  # fmt: skip
    counted = areas(own)
    where = Partition(year=YEAR)
    stores.put(copied.store, "area_statistics", where, area_statistics.AreaStatistics(judged))
    found = areas(own)
    first = found[judged["total"]["classes"][0]["id"]]
    assert (first["estimate"], first["low"], first["high"]) == (12.5, 10.5, 14.5)
    assert {one: row["pixels"] for one, row in found.items()} == {
        one: row["pixels"] for one, row in counted.items()
    }
    judged["mosaic_version"] = "another"
    stores.put(copied.store, "area_statistics", where, area_statistics.AreaStatistics(judged))
    assert areas(own) == counted


def test_a_year_without_a_map_and_a_damaged_one_are_told(own: TestClient, copied: Reader) -> None:
    folder = Path(copied.store.physical(key("mosaic", year=YEAR)))
    (folder / "land_cover.tif").write_bytes(b"damaged")
    answer = own.get(f"/api/areas?year={YEAR}")
    assert answer.status_code == 500
    assert "land_cover.tif is damaged" in answer.json()["detail"]
    copied.store.remove(key("mosaic", year=YEAR))
    answer = own.get(f"/api/areas?year={YEAR}")
    assert answer.status_code == 404
    assert f"`lc-platform run --select mosaic --year {YEAR}" in answer.json()["detail"]


@pytest.mark.parametrize(
    "bbox", ["1,2,3", "a,b,c,d", "nan,0,1,1", "0,91,1,92", "0,2,1,1", "0,0,inf,1", ""]
)
@pytest.mark.parametrize("address", ["/api/areas", "/api/wrong_labels"])
def test_what_is_no_box_is_told(client: TestClient, address: str, bbox: str) -> None:
    answer = client.get(address, params={"year": YEAR, "bbox": bbox})
    assert answer.status_code == 422
    assert "west,south,east,north" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("10,20,30,40", [(10, 20, 30, 40)]),
        ("170,-1,190,1", [(170, -1, 180, 1), (-180, -1, -170, 1)]),
        ("-190,-1,-170,1", [(170, -1, 180, 1), (-180, -1, -170, 1)]),
        ("170,-1,-170,1", [(170, -1, 180, 1), (-180, -1, -170, 1)]),
        ("-300,-90,300,90", [(-180, -90, 180, 90)]),
        ("370,0,380,1", [(10, 0, 20, 1)]),
    ],
)
def test_boxes_may_cross_180_degrees(given: str, parts: list[tuple[float, ...]]) -> None:
    assert box_of(given).parts == parts


def test_a_box_backwards_beyond_180_degrees_is_refused() -> None:
    with pytest.raises(RequestError, match="west,south,east,north"):
        box_of("500,0,-500,1")


def test_transitions_equal_what_is_stored(own: TestClient, copied: Reader) -> None:
    missing = own.get(f"/api/transitions?year={YEAR}")
    assert missing.status_code == 200
    assert (missing.json()["from_year"], missing.json()["transitions"]) == (None, [])
    assert "change of 2023: is not made yet" in missing.json()["message"]
    estimate = {"value": 3.0, "standard_error": 0.5, "low": 2.0, "high": 4.0}
    rows = [
        {"from": 1, "from_name": "winter cropland", "to": 1, "to_name": "winter cropland",
         "is_change": False, "pixels": 900, "mapped_hectares": 9.0, "confirmed_pixels": 0,
         "hectares": None},
        {"from": 1, "from_name": "winter cropland", "to": 77, "to_name": "quarry",
         "is_change": True, "pixels": 100, "mapped_hectares": 1.0, "confirmed_pixels": 40,
         "hectares": estimate},
    ]  # fmt: skip
    content = {
        "year": YEAR, "from_year": YEAR - 1, "years": [YEAR - 1, YEAR], "denied_pixels": 0,
        "no_data_pixels": 5, "no_estimate_because": None, "warnings": [], "transitions": rows,
        "changed": {"pixels": 100, "mapped_hectares": 1.0, "percent": 10.0,
                    "confirmed_pixels": 40},
    }  # fmt: skip
    copied.store.put(f"change/{YEAR}.json", json.dumps(content).encode())
    found = own.get(f"/api/transitions?year={YEAR}").json()
    assert (found["year"], found["from_year"]) == (YEAR, YEAR - 1)
    assert (found["changed_pixels"], found["changed_percent"]) == (100, 10.0)
    stays, changes = found["transitions"]
    assert stays["before"] == stays["after"]
    assert stays["before"]["color"] == copied.classes.color[1]
    assert (stays["is_change"], stays["estimate"]) == (False, None)
    assert changes["after"] == {"class": 77, "name": "quarry", "color": "#808080"}
    assert (changes["pixels"], changes["confirmed_pixels"]) == (100, 40)
    assert (changes["estimate"], changes["low"], changes["high"]) == (3.0, 2.0, 4.0)
    copied.store.put(f"change/{YEAR}.json", b"{")
    assert own.get(f"/api/transitions?year={YEAR}").status_code == 500


def suspected(count: int) -> geopandas.GeoDataFrame:
    """Squares along a line from 10 to 20 degrees east, the last without an outline."""
    lons = np.linspace(10, 20, count)
    shapes = [shapely.box(lon, 46, lon + 0.001, 46.001) for lon in lons]
    return geopandas.GeoDataFrame(
        {
            "polygon": np.arange(1, count + 1),
            "label": "forest",
            "probable_class": "water",
            "probability": 0.9,
            "margin": np.linspace(-0.9, -0.1, count),
            "samples": 12,
            "left_out": True,
        },
        geometry=[*shapes[:-1], None],
        crs="EPSG:4326",
    )


def put_evaluation(store: Store, files: dict[str, bytes]) -> None:
    stores.put(store, "evaluation", Partition(year=YEAR), Evaluation({"classes": []}, files))


def test_suspected_labels_are_told_in_a_box(own: TestClient, copied: Reader) -> None:
    missing = own.get(f"/api/wrong_labels?year={YEAR}")
    assert missing.status_code == 404
    assert "evaluation" in missing.json()["detail"]
    put_evaluation(copied.store, {})
    without = own.get(f"/api/wrong_labels?year={YEAR}").json()
    assert (without["features"], without["total"]) == ([], 0)
    assert "validation.folds" in without["message"]
    put_evaluation(copied.store, {LABEL_ERRORS: as_geopackage(suspected(11))})
    found = own.get(f"/api/wrong_labels?year={YEAR}").json()
    assert (found["total"], found["cut"]) == (10, False)
    assert found["message"].startswith("1 more have no outline")
    first = found["features"][0]
    assert first["properties"] == {
        "polygon": 1, "label": "forest", "probable_class": "water", "probability": 0.9,
        "samples": 12, "left_out": True,
    }  # fmt: skip
    shape = shapely.geometry.shape(first["geometry"])
    assert shape.hausdorff_distance(shapely.box(10, 46, 10.001, 46.001)) < 1e-6
    some = own.get(f"/api/wrong_labels?year={YEAR}&bbox=11.5,45,14.5,47").json()
    assert [one["properties"]["polygon"] for one in some["features"]] == [3, 4, 5]
    across = own.get(f"/api/wrong_labels?year={YEAR}&bbox=18.5,45,10.5,47").json()
    assert [one["properties"]["polygon"] for one in across["features"]] == [1, 10]


def test_of_many_suspected_labels_the_first_are_told(own: TestClient, copied: Reader) -> None:
    put_evaluation(copied.store, {LABEL_ERRORS: as_geopackage(suspected(2105))})
    found = own.get(f"/api/wrong_labels?year={YEAR}").json()
    assert (len(found["features"]), found["total"], found["cut"]) == (2000, 2104, True)


def test_damaged_labels_are_told(own: TestClient, copied: Reader) -> None:
    put_evaluation(copied.store, {LABEL_ERRORS: b"no GeoPackage"})
    answer = own.get(f"/api/wrong_labels?year={YEAR}")
    assert answer.status_code == 500
    assert f"{LABEL_ERRORS}: is damaged" in answer.json()["detail"]
