"""`/api/patches`, `/api/acquisitions` and `/api/search`."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely
import zarr
from affine import Affine
from fastapi.testclient import TestClient
from odc.geo.geobox import GeoBox

from lc_platform import config
from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.reading import acquisition_index
from lc_platform.reading.acquisitions import item_links
from lc_platform.reading.reader import Reader
from lc_platform.storage.store import Store
from lc_platform.viewer.app import create_app
from lc_platform.viewer.search import coordinates
from lc_platform_tests.graphs import YEAR, settings
from lc_platform_tests.reading import stores
from lc_platform_tests.viewer.places import degrees, own_pixel


def facts_of(reader: Reader, patch: str) -> list[dict[str, Any]]:
    stored = zarr.open_group(reader.store.path(key("raw_bands", patch, YEAR)), mode="r")
    found: list[dict[str, Any]] = stored.attrs["lc_platform"]["attributes"]["acquisitions"]
    return found


def test_patches_are_geojson_in_the_grids_order(client: TestClient, reader: Reader) -> None:
    answer = client.get("/api/patches")
    found = geopandas.read_file(answer.text)
    stored = geopandas.read_parquet(reader.store.path("patch_grid.parquet"))
    assert found["key"].tolist() == stored["key"].tolist()
    assert found["zone"].tolist() == stored["zone"].tolist()
    assert found["has_reference"].tolist() == stored["has_reference"].tolist()
    assert [one["id"] for one in answer.json()["features"]] == list(range(len(stored)))
    for one, other in zip(found.geometry, stored.geometry, strict=True):
        assert one.hausdorff_distance(other) < 1e-5
    again = client.get("/api/patches", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_grid_that_was_replaced_is_told_by_the_same_server(
    reader: Reader, tmp_path: Path
) -> None:
    shutil.copy(reader.store.path("patch_grid.parquet"), tmp_path)
    client = TestClient(create_app(Reader(Store(str(tmp_path)))))
    before = client.get("/api/patches")
    assert len(before.json()["features"]) == len(reader.patches)
    larger = stores.country(Store(str(tmp_path)), 5, 4, ())
    after = client.get("/api/patches", headers={"If-None-Match": before.headers["etag"]})
    assert [one["properties"]["key"] for one in after.json()["features"]] == larger.keys
    assert after.json()["order"] != before.json()["order"]
    formats()["patch_grid"].write(Store(str(tmp_path)), key("patch_grid"), PatchGrid([], {}))
    assert client.get("/api/patches").json()["features"] == []


@pytest.mark.slow
def test_ten_thousand_patches_are_told(tmp_path: Path) -> None:
    stores.country(Store(str(tmp_path)), 100, 100, ())
    answer = TestClient(create_app(Reader(Store(str(tmp_path))))).get("/api/patches")
    assert len(answer.json()["features"]) == 10_000
    assert answer.headers["content-encoding"] == "gzip"


def test_a_patch_across_180_degrees_is_cut_there(tmp_path: Path) -> None:
    box = GeoBox((64, 64), Affine(10, 0, 833_700, 0, -10, 5_000), "EPSG:32660")
    grid = PatchGrid([Patch("60N-r0-c0", box, "60N", 0, 0)], {"60N-r0-c0": False})
    formats()["patch_grid"].write(Store(str(tmp_path)), key("patch_grid"), grid)
    client = TestClient(create_app(Reader(Store(str(tmp_path)))))
    (feature,) = client.get("/api/patches").json()["features"]
    parts = shapely.geometry.shape(feature["geometry"]).geoms
    assert sorted(part.bounds[0] < 0 for part in parts) == [False, True]
    (found,) = client.get("/api/search", params={"q": "60n"}).json()
    west, _, east, _ = found["bounds"]
    assert west < 180 < east < 180.01


def test_acquisitions_of_a_patch_equal_what_is_stored(
    client: TestClient, reader: Reader, grid: PatchGrid
) -> None:
    patch = grid.keys[0]
    found = client.get("/api/acquisitions", params={"patch": patch, "year": YEAR}).json()
    facts = facts_of(reader, patch)
    masks = zarr.open_group(reader.store.path(key("cloud_masks", patch, YEAR)), mode="r")
    valid, cloudy = masks["valid"][:], masks["cloud_mask"][:]
    assert [one["key"] for one in found] == [one["key"] for one in facts]
    for i, (one, fact) in enumerate(zip(found, facts, strict=True)):
        assert one["time"] == f"{fact['datetime']}Z"
        assert one["platform"] == fact["platform"]
        assert one["cloud_cover"] == fact["cloud_cover"]
        assert one["valid_share"] == pytest.approx(valid[i].astype(bool).mean())
        assert one["clouds_share"] == pytest.approx(cloudy[i].astype(bool).mean())
        assert one["link"] is None
    features = zarr.open_group(reader.store.path(key("features", patch, YEAR)), mode="r")
    used = features.attrs["lc_platform"]["attributes"]["acquisitions"]
    assert [one["key"] for one in found if one["used"]] == used
    lon, lat = degrees(grid.patches[0], *own_pixel(reader, grid.patches[0]))
    around = {"lon": lon, "lat": lat, "year": YEAR}
    assert client.get("/api/acquisitions", params=around).json() == found


def test_the_days_of_a_year_tell_their_patches(client: TestClient, reader: Reader) -> None:
    found = client.get("/api/acquisitions", params={"year": YEAR}).json()
    days = Counter(
        day
        for patch in reader.patches.index
        for day in {one["datetime"][:10] for one in facts_of(reader, patch)}
    )
    assert found == [{"key": day, "patches": days[day]} for day in sorted(days)]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("year=1999", 404, "year 1999: is not there"),
        ("year=2023&patch=elsewhere", 404, "patch elsewhere: is not in the grid"),
        ("year=2023&patch=../../etc", 404, "is not in the grid"),
        ("year=2023&lon=18", 422, "only one of them is given"),
        ("year=2023&lon=0&lat=0", 404, "lies in none of the"),
        ("year=2023&lon=nan&lat=0", 422, "lon"),
        ("", 422, "year"),
    ],
)
def test_what_has_no_acquisitions_is_told(
    client: TestClient, query: str, status: int, words: str
) -> None:
    answer = client.get(f"/api/acquisitions?{query}")
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_a_patch_that_is_not_acquired_yet_says_how_it_is(reader: Reader, tmp_path: Path) -> None:
    shutil.copy(reader.store.path("patch_grid.parquet"), tmp_path)
    client = TestClient(create_app(Reader(Store(str(tmp_path)), reader.config)))
    patch = reader.patches.index[0]
    answer = client.get("/api/acquisitions", params={"year": YEAR, "patch": patch})
    assert answer.status_code == 404
    assert f"`lc-platform run --select raw_bands --patch {patch}" in answer.json()["detail"]
    assert client.get("/api/acquisitions", params={"year": YEAR}).json() == []


def test_only_what_was_acquired_since_is_listed_again(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(str(reader.store), tmp_path / "store", symlinks=True)
    monkeypatch.setattr(acquisition_index, "_AGAIN", 0.0)
    own = Reader(Store(str(tmp_path / "store")), reader.config)
    index = acquisition_index.AcquisitionIndex(own.artefacts)
    read: list[str] = []
    original = index._read
    monkeypatch.setattr(
        index, "_read", lambda patch, year: read.append(patch) or original(patch, year)
    )
    first = index.of(YEAR, 20)
    assert sorted(read) == sorted(reader.patches.index)
    read.clear()
    assert index.of(YEAR, 20) == first
    assert read == []
    gone = str(reader.patches.index[0])
    for record in (tmp_path / "store" / ".records" / "raw_bands" / str(YEAR)).glob(f"{gone}.*"):
        record.unlink()
    index.of(YEAR, 20)
    assert gone not in {patch for one in index.of(YEAR, 20).values() for patch in one.patches}
    assert read == []


@pytest.mark.parametrize(
    ("catalog", "link"),
    [
        ("https://stac.example/v1", "https://stac.example/v1/collections/c-1/items/S2A%2F1"),
        ("earth-search", "https://earth-search.aws.element84.com/v1/collections/c-1/items/S2A%2F1"),
        ("https://stac.example/all/catalog.json", "https://stac.example/items/S2A%231.json"),
        ("archive/catalog.json", None),
        ("https://${HOST}/all/catalog.json", None),
        ("https://me:secret@stac.example/v1", None),
        ("https://stac.example/v1?token=secret", None),
        ("https://${HOST}/v1", None),
    ],
)
def test_items_have_a_url_where_it_tells_no_secret(
    catalog: str, link: str | None, tmp_path: Path
) -> None:
    classes = [{"id": 1, "name": "land", "color": "#22aa44"}]
    reference = {"path": "land.gpkg", "attribute": "kind", "classes": classes}
    imagery = {"source": "stac", "catalog": catalog, "collection": "c-1"}
    data = settings(imagery=imagery, reference=reference)
    found = config.parse(data, tmp_path)
    addresses = ["../items/S2A#1.json", "../items/S2A#2.json"]
    facts = {"items": ["S2A/1", "S2A/2"], "addresses": addresses}
    assert item_links(found, [facts, {"items": []}]) == [link, None]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("46.1, 14.5", [(14.5, 46.1), (46.1, 14.5)]),
        ("14.5 46.1", [(14.5, 46.1), (46.1, 14.5)]),
        ("46.1N 14.5E", [(14.5, 46.1)]),
        ("46.1°N, 14.5°E", [(14.5, 46.1)]),
        ("14.5E 46.1N", [(14.5, 46.1)]),
        ("33.5S 70.6W", [(-70.6, -33.5)]),
        ("-33.5,-70.6", [(-70.6, -33.5), (-33.5, -70.6)]),
        ("120.5 14.5", [(120.5, 14.5)]),
        ("91N 14E", []),
        ("2023-07-11", []),
        ("33N-r000-c000", []),
        ("46.1", []),
        ("nan nan", []),
        ("1e5 3", []),
    ],
)
def test_coordinates_are_understood_as_people_write_them(
    text: str, places: list[tuple[float, float]]
) -> None:
    assert coordinates(text) == places


def test_a_search_finds_patches_places_and_acquisitions(
    client: TestClient, reader: Reader, grid: PatchGrid
) -> None:
    patch = grid.patches[0]

    def found(text: str) -> Any:
        answer = client.get("/api/search", params={"q": text})
        assert answer.status_code == 200
        return answer.json()

    (one,) = found(f" {patch.key.lower()} ")
    assert (one["kind"], one["title"], one["patch"]) == ("patch", patch.key, patch.key)
    box = shapely.box(*one["bounds"])
    outline = reader.patches.geometry.loc[patch.key]
    assert box.equals(shapely.box(*outline.bounds))
    assert shapely.Point(one["lon"], one["lat"]).within(outline)
    zone = found(patch.zone)
    assert {one["patch"] for one in zone} == {p.key for p in grid.patches if p.zone == patch.zone}

    lon, lat = degrees(grid.patches[0], *own_pixel(reader, grid.patches[0]))
    for text in (f"{lat:.7f}, {lon:.7f}", f"{lon:.7f} {lat:.7f}", f"{lon:.7f}, {lat:.7f}"):
        (place,) = found(text)
        assert (place["kind"], place["patch"]) == ("place", patch.key)
        assert (place["lon"], place["lat"]) == pytest.approx((lon, lat), abs=1e-6)
    assert found("0, 0")[0]["patch"] is None

    fact = facts_of(reader, patch.key)[2]
    for text in (fact["key"], fact["datetime"][:10]):
        hits = [one for one in found(text) if one["acquisition"] == fact["key"]]
        assert [(one["kind"], one["year"]) for one in hits] == [("acquisition", YEAR)]
    assert found("nothing of this name") == found("") == []
    assert client.get("/api/search", params={"q": "x" * 300}).status_code == 422
