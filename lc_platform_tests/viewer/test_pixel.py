"""`/api/pixel` against what the store's files hold, as other programs read them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import shapely
import zarr
from affine import Affine
from fastapi.testclient import TestClient
from odc.geo.geobox import GeoBox

from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import Partition, key
from lc_platform.reading.reader import Reader
from lc_platform.storage.store import Store
from lc_platform.viewer.app import create_app
from lc_platform_tests.graphs import YEAR
from lc_platform_tests.reading import stores
from lc_platform_tests.viewer.places import degrees, own_pixel


def query(patch: Patch, row: float, column: float) -> dict[str, float]:
    """The query of a place in a patch, in pixels from its north-western corner."""
    lon, lat = degrees(patch, row, column)
    return {"lon": lon, "lat": lat, "year": YEAR}


def story(client: TestClient, patch: Patch, row: int, column: int) -> Any:
    answer = client.get("/api/pixel", params=query(patch, row + 0.5, column + 0.5))
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module", params=["EPSG:32633", "EPSG:32634"])
def patch(request: pytest.FixtureRequest, grid: PatchGrid) -> Patch:
    """A patch of each of the two zones."""
    return next(one for one in grid.patches if one.crs == request.param)


@pytest.fixture(scope="module")
def at(reader: Reader, patch: Patch) -> tuple[int, int]:
    """Row and column of the pixel that is looked at."""
    return own_pixel(reader, patch)


@pytest.fixture(scope="module")
def told(client: TestClient, patch: Patch, at: tuple[int, int]) -> Any:
    return story(client, patch, *at)


def files(reader: Reader, asset: str, patch: Patch) -> str:
    return reader.store.path(key(asset, patch.key, YEAR))


def test_a_pixel_is_told_with_its_place_and_outline(
    told: Any, patch: Patch, at: tuple[int, int]
) -> None:
    row, column = at
    assert (told["patch"], told["row"], told["column"]) == (patch.key, row, column)
    assert (told["crs"], told["year"]) == (patch.crs, YEAR)
    assert (told["x"], told["y"]) == patch.geobox.affine * (column + 0.5, row + 0.5)
    outline = shapely.geometry.shape(told["outline"])
    back = pyproj.Transformer.from_crs(4326, patch.crs, always_xy=True)
    square = shapely.transform(outline, lambda x, y: back.transform(x, y), interleaved=False)
    left, bottom, right, top = square.bounds
    assert (right - left, top - bottom) == pytest.approx((10, 10), abs=1e-3)
    assert shapely.Point(told["lon"], told["lat"]).within(outline)
    assert told["missing"] == []


def test_observations_equal_the_stored_numbers(
    told: Any, patch: Patch, reader: Reader, at: tuple[int, int]
) -> None:
    raw = zarr.open_group(files(reader, "raw_bands", patch), mode="r")
    masks = zarr.open_group(files(reader, "cloud_masks", patch), mode="r")
    about = raw.attrs["lc_platform"]["attributes"]
    margin = about["margin"]
    within = margin + at[0], margin + at[1]
    bands = [str(one) for one in raw["band"][:]]
    assert len(told["observations"]) == len(about["acquisitions"]) > 3
    used = zarr.open_group(files(reader, "features", patch), mode="r")
    used = used.attrs["lc_platform"]["attributes"]["acquisitions"]
    for i, (found, facts) in enumerate(
        zip(told["observations"], about["acquisitions"], strict=True)
    ):
        assert found["acquisition"] == facts["key"]
        assert found["time"] == f"{facts['datetime']}Z"
        numbers = raw["bands"][i, :, *within]
        expected = numbers * np.array(facts["scale"]) + np.array(facts["offset"])
        for band, number, value in zip(bands, numbers, expected, strict=True):
            assert found["values"][band] == (pytest.approx(value, rel=1e-6) if number else None)
        red, nir = found["values"]["B04"], found["values"]["B08"]
        if red is not None:
            assert found["values"]["NDVI"] == pytest.approx((nir - red) / (nir + red), rel=1e-5)
        assert found["data"] == bool(raw["data_mask"][i, *within])
        assert found["valid"] == bool(masks["valid"][i, *at])
        assert found["cloud"] == bool(masks["cloud_mask"][i, *at])
        stored = int(masks["cloud_probability"][i, *at])
        probability = None if stored == 255 else pytest.approx(stored / 200, rel=1e-6)
        assert found["cloud_probability"] == probability
        assert found["used"] == (facts["key"] in used)
        assert found["link"] is None


def test_one_series_is_told_alone_and_the_others_by_name(
    client: TestClient, told: Any, patch: Patch, at: tuple[int, int]
) -> None:
    place = query(patch, at[0] + 0.5, at[1] + 0.5)
    every = list(told["observations"][0]["values"])
    assert told["series"] == every
    assert {"B04", "B08", "NDVI"} < set(every)
    for asked, expected in (("NDVI", "NDVI"), ("B08", "B08"), ("EVI9", every[0])):
        found = client.get("/api/pixel", params={**place, "series": asked}).json()
        for one, whole in zip(found["observations"], told["observations"], strict=True):
            assert one == {**whole, "values": {expected: whole["values"][expected]}}
        assert {**found, "observations": None} == {**told, "observations": None}


def test_features_equal_the_stored_numbers(
    told: Any, patch: Patch, reader: Reader, at: tuple[int, int]
) -> None:
    features = zarr.open_group(files(reader, "features", patch), mode="r")
    stored = features["features"][:, :, *at]
    names = [str(one) for one in features["feature"][:]]
    dates = pd.to_datetime(features["date"][:], unit="s").strftime("%Y-%m-%d").tolist()
    assert [one["date"] for one in told["features"]] == dates
    found = [[one["values"][name] for name in names] for one in told["features"]]
    np.testing.assert_array_equal(np.array(found, np.float32), stored)


def test_features_without_a_date_equal_the_stored_numbers(
    told: Any, patch: Patch, reader: Reader, at: tuple[int, int]
) -> None:
    stored = zarr.open_group(files(reader, "features", patch), mode="r")["undated"][:, *at]
    assert list(told["undated_features"]) == ["NDVI_p50", "NDVI_day_of_maximum"]
    found = np.array(list(told["undated_features"].values()), np.float32)
    np.testing.assert_array_equal(found, stored)
    assert 1 <= found[1] <= 366


def test_the_map_and_the_reference_equal_the_files(
    told: Any, patch: Patch, reader: Reader, at: tuple[int, int]
) -> None:
    row, column = at
    window = (row, row + 1), (column, column + 1)
    with rasterio.open(files(reader, "predictions", patch)) as raster:
        values = raster.read(window=window)[:, 0, 0].tolist()
        stored = dict(zip(raster.descriptions, values, strict=True))
    classes = {i: (row["name"], row["color"]) for i, row in reader.classes.iterrows()}
    name, color = classes[stored["class"]]
    found = told["map"]
    assert (found["class"], found["name"], found["color"]) == (stored["class"], name, color)
    assert (found["confidence"], found["entropy"]) == (stored["confidence"], stored["entropy"])
    assert found["margin"] is None
    assert found["model_version"] == told["model"]["version"] == "m1"
    assert {one["class"]: one["percent"] for one in found["probabilities"]} == {
        int(name.removeprefix("probability_")): value
        for name, value in stored.items()
        if name.startswith("probability_")
    }
    (of_year,) = told["by_year"]
    assert (of_year["year"], of_year["class"]) == (YEAR, stored["class"])
    with rasterio.open(reader.store.path(key("reference_rasters", patch.key))) as raster:
        label = int(raster.read(raster.descriptions.index("class") + 1, window=window)[0, 0])
    assert (told["reference"] or {"class": 0})["class"] == label


def test_a_pixel_without_data_is_of_no_class(
    client: TestClient, patch: Patch, at: tuple[int, int]
) -> None:
    found = story(client, patch, 0, at[1])["map"]
    assert (found["class"], found["name"], found["confidence"]) == (0, "no data", None)


def test_the_table_has_the_same_numbers(
    client: TestClient, told: Any, patch: Patch, at: tuple[int, int]
) -> None:
    row, column = at
    answer = client.get("/api/pixel.csv", params=query(patch, row + 0.5, column + 0.5))
    assert answer.headers["content-type"].startswith("text/csv")
    assert f"{patch.key}-r{row}-c{column}-{YEAR}.csv" in answer.headers["content-disposition"]
    table = pd.read_csv(io.StringIO(answer.text))
    assert table["time"].tolist() == [one["time"] for one in told["observations"]]
    expected = [one["values"]["B08"] for one in told["observations"]]
    np.testing.assert_allclose(table["B08"], np.array(expected, float), rtol=1e-6)
    assert table["valid"].tolist() == [one["valid"] for one in told["observations"]]


def test_links_lead_to_the_partition_in_dagster(
    reader: Reader, patch: Patch, at: tuple[int, int]
) -> None:
    client = TestClient(create_app(reader, dagster="https://lc.example/dagster/"))
    found = story(client, patch, *at)
    page = "https://lc.example/dagster/assets/predictions?view=partitions&partition="
    assert found["links"]["dagster"] == f"{page}{patch.key}%7C{YEAR}"
    assert found["model"]["link"].endswith(f"/assets/model?view=partitions&partition={YEAR}")


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("lon=nan&lat=46&year=2023", 422, "lon"),
        ("lon=inf&lat=46&year=2023", 422, "lon"),
        ("lon=18&lat=91&year=2023", 422, "lat"),
        ("lon=18&lat=46", 422, "year"),
        ("lon=18&lat=46.701&year=1999", 404, "year 1999: is not there; there is 2023"),
        ("lon=east&lat=46&year=2023", 422, "lon"),
    ],
)
@pytest.mark.parametrize("address", ["/api/pixel", "/api/pixel.csv"])
def test_what_is_no_place_or_year_is_told(
    client: TestClient, address: str, query: str, status: int, words: str
) -> None:
    answer = client.get(f"{address}?{query}")
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_a_place_in_no_patch_is_said(client: TestClient) -> None:
    nowhere = client.get("/api/pixel?lon=0&lat=0&year=2023")
    assert nowhere.status_code == 200
    assert nowhere.json()["patch"] is None
    assert "lies in none of the" in nowhere.json()["message"]
    table = client.get("/api/pixel.csv?lon=0&lat=0&year=2023")
    assert table.status_code == 404
    assert "lies in none of the" in table.json()["detail"]


def test_what_is_not_made_yet_is_said_and_the_rest_is_told(
    own: TestClient, copied: Reader, grid: PatchGrid
) -> None:
    patch = grid.patches[0]
    at = own_pixel(copied, patch)
    whole = story(own, patch, *at)
    for asset in ("raw_bands", "features", "predictions"):
        copied.store.remove(key(asset, patch.key, YEAR))
    found = story(own, patch, *at)
    assert found["observations"] == found["by_year"] == []
    assert found["map"] is found["features"] is None
    assert found["reference"] == whole["reference"]
    for asset in ("raw_bands", "features", "predictions"):
        (said,) = [one for one in found["missing"] if one.startswith(f"{asset} of")]
        assert f"`lc-platform run --select {asset} --patch {patch.key} --year {YEAR}" in said
    table = own.get("/api/pixel.csv", params=query(patch, *at))
    assert table.status_code == 404
    assert "raw_bands of" in table.json()["detail"]


def test_a_damaged_file_is_said_and_the_rest_is_told(
    own: TestClient, copied: Reader, grid: PatchGrid
) -> None:
    patch = grid.patches[0]
    at = own_pixel(copied, patch)
    path = Path(copied.store.physical(key("predictions", patch.key, YEAR)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    folder = Path(copied.store.physical(key("raw_bands", patch.key, YEAR)))
    for part in folder.rglob("bands/c/**/0"):
        if part.is_file():
            part.write_bytes(b"damaged")
    found = story(own, patch, *at)
    assert found["map"] is None
    assert found["observations"] == []
    assert len(found["features"]) > 3
    assert sum("is damaged" in one for one in found["missing"]) == 2
    assert all(one.endswith("again") for one in found["missing"])


def test_what_was_rewritten_is_told_as_it_is_now(
    own: TestClient, copied: Reader, grid: PatchGrid
) -> None:
    """What stays open is of the version before."""
    patch = grid.patches[0]
    at = own_pixel(copied, patch)
    before = story(own, patch, *at)["map"]
    legend = {52: ("marsh", "#123456")}
    here = Partition(patch.key, YEAR)
    stores.put(copied.store, "predictions", here, stores.predicted(patch, YEAR, legend))
    after = story(own, patch, *at)["map"]
    assert before["name"] != "marsh"
    assert (after["class"], after["name"], after["color"]) == (52, "marsh", "#123456")


def test_classes_are_named_as_they_were_when_the_map_was_made(
    own: TestClient, copied: Reader, grid: PatchGrid
) -> None:
    """The configuration has no class 42; where the map does not tell its name, its number does."""
    patch = grid.patches[0]
    at = own_pixel(copied, patch)
    here = Partition(patch.key, YEAR)
    legend = {42: ("heath", "#663399")}
    stores.put(copied.store, "predictions", here, stores.predicted(patch, YEAR, legend))
    found = story(own, patch, *at)
    assert found["map"]["name"] == found["by_year"][0]["name"] == "heath"
    Path(f"{copied.store.physical(key('predictions', patch.key, YEAR))}.aux.xml").unlink()
    assert story(own, patch, *at)["map"]["name"] == "class 42"


def test_masks_of_other_imagery_are_said_not_to_fit(
    own: TestClient, copied: Reader, grid: PatchGrid
) -> None:
    patch = grid.patches[0]
    at = own_pixel(copied, patch)
    folder = Path(copied.store.physical(key("cloud_masks", patch.key, YEAR)))
    about = json.loads((folder / "zarr.json").read_text())
    about["attributes"]["lc_platform"]["attributes"]["acquisitions"].pop()
    (folder / "zarr.json").write_text(json.dumps(about))
    found = story(own, patch, *at)
    assert found["observations"] == []
    assert any("cloud_masks were made of other raw_bands" in one for one in found["missing"])


def test_a_pixel_on_either_side_of_180_degrees_has_its_outline_in_one_piece(
    tmp_path: Path,
) -> None:
    # In UTM zone 60, 180 degrees at the equator lie 333.978 km east of the zone's middle.
    corner = 500_000 + 333_900, 5_000
    box = GeoBox((16, 16), Affine(10, 0, corner[0], 0, -10, corner[1]), "EPSG:32660")
    patch = Patch("60N-r0-c0", box, "60N", 0, 0)
    store = Store(str(tmp_path))
    grid = PatchGrid([patch], {patch.key: False})
    formats()["patch_grid"].write(store, key("patch_grid"), grid)
    here = Partition(patch.key, YEAR)
    stores.put(store, "predictions", here, stores.predicted(patch, YEAR, {1: ("sea", "#0000ff")}))
    client = TestClient(create_app(Reader(store)))
    seen = set()
    for column in range(16):
        found = story(client, patch, 5, column)
        assert found["column"] == column
        west, _, east, _ = shapely.geometry.shape(found["outline"]).bounds
        assert east - west < 1e-3
        seen.add(found["lon"] > 0)
    assert seen == {True, False}
