"""What holds for every answer of the web map, its files, and what it says of the area."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from lc_platform.area.grid import PatchGrid
from lc_platform.config import BaseMap
from lc_platform.reading.reader import Reader
from lc_platform.storage.store import Store
from lc_platform.viewer.app import create_app
from lc_platform.viewer.area import around
from lc_platform_tests.graphs import YEAR

BASE_MAP = BaseMap(tiles="https://tiles.example/{z}/{x}/{y}.png", attribution="Example")


def test_the_area_tells_its_place_years_classes_and_zones(
    client: TestClient, grid: PatchGrid
) -> None:
    found = client.get("/api/area").json()
    west, south, east, north = found["bounds"]
    assert west < 17.9995 < 18.0005 < east
    assert south < 46.700 < 46.7005 < north
    assert east - west < 0.05
    assert found["crosses_antimeridian"] is False
    assert found["years"] == found["maps"] == [YEAR]
    assert found["latest_year"] == YEAR
    assert len(found["classes"]) == 10
    assert found["classes"][0] == {"id": 1, "name": "winter cropland", "color": "#f2d04a"}
    assert found["patches"] == len(grid.patches)
    assert found["zones"] == [32633, 32634]
    assert {"predictions", "raw_bands"} <= set(found["assets"])
    assert "mosaic" not in found["assets"]
    assert "B08" in found["bands"]
    assert "NDVI" in found["indices"]
    assert found["message"] is None


def test_an_area_without_a_map_says_what_makes_one(reader: Reader, tmp_path: Path) -> None:
    shutil.copy(Path(str(reader.store)) / "patch_grid.parquet", tmp_path)
    found = TestClient(create_app(Reader(Store(str(tmp_path)), reader.config))).get("/api/area")
    assert found.json()["maps"] == []
    assert found.json()["message"].startswith("There is no map yet.")
    assert f"`lc-platform run --select mosaic --year {YEAR}" in found.json()["message"]


def test_an_area_without_patches_says_what_makes_them(reader: Reader, tmp_path: Path) -> None:
    found = TestClient(create_app(Reader(Store(str(tmp_path)), reader.config))).get("/api/area")
    assert found.status_code == 200
    assert found.json()["bounds"] is None
    assert "`lc-platform run --select patch_grid" in found.json()["message"]


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([[14, 46, 15, 47], [16, 45, 17, 46]], (14, 45, 17, 47)),
        ([[179, -18, 180, -17], [-180, -18, -179.5, -16]], (179, -18, 180.5, -16)),
        ([[177, -18, 180, -17], [-180, -18, -179, -17], [-178, -19, -177, -18]],
         (177, -19, 183, -17)),
    ],
)  # fmt: skip
def test_bounds_leave_out_the_widest_stretch_without_patches(
    boxes: list[list[float]], expected: tuple[float, ...]
) -> None:
    assert around(np.array(boxes, float)) == expected


def test_nothing_is_loaded_from_elsewhere_but_the_base_map(reader: Reader) -> None:
    plain = TestClient(create_app(reader)).get("/api/area").headers["Content-Security-Policy"]
    assert "unsafe" not in plain
    assert "http" not in plain
    based = create_app(reader, base_map=BASE_MAP)
    policy = TestClient(based).get("/api/area").headers["Content-Security-Policy"]
    assert "img-src 'self' data: blob: https://tiles.example;" in policy
    assert "connect-src 'self' https://tiles.example;" in policy
    assert "script-src 'self';" in policy


@pytest.mark.parametrize("path", ["/api/area", "/nothing", "/vendor/maplibre-gl.js", "/api/x?y=1"])
def test_every_answer_says_what_a_page_may_do(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_an_unknown_address_is_answered_by_a_sentence(client: TestClient) -> None:
    answer = client.get("/nothing")
    assert answer.status_code == 404
    assert answer.json() == {
        "detail": "/nothing: is no address of the map. Begin at its first page"
    }


def test_files_come_compressed_and_are_compared_by_their_tag(client: TestClient) -> None:
    whole = client.get("/vendor/maplibre-gl.js", headers={"Accept-Encoding": "gzip"})
    assert whole.headers["Content-Encoding"] == "gzip"
    assert whole.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert int(whole.headers["Content-Length"]) < 400_000 < len(whole.content)
    plain = client.get("/vendor/maplibre-gl.js", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.content == whole.content
    again = client.get(
        "/vendor/maplibre-gl.js",
        headers={"Accept-Encoding": "gzip", "If-None-Match": whole.headers["ETag"]},
    )
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.parametrize(
    "name",
    ["..%2Fview.py", "..%2f..%2f__init__.py", "%2Fetc%2Fpasswd", ".", "%2e%2e", "view.py", "a%00b"],
)
@pytest.mark.parametrize("folder", ["static", "vendor"])
def test_only_files_of_the_page_are_given(client: TestClient, folder: str, name: str) -> None:
    answer = client.get(f"/{folder}/{name}")
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_the_description_of_the_interface_names_every_kind_of_error(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    answers = described["paths"]["/api/area"]["get"]["responses"]
    assert {"200", "404", "422", "500", "503"} <= set(answers)
    assert client.get("/docs").status_code == 404


@pytest.mark.slow
def test_the_map_is_read_without_dagster() -> None:
    code = "import sys, lc_platform.viewer.app; print('dagster' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
