"""Tiles of a store in a bucket, also while it is written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image

from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import Partition, key
from lc_platform.config import ObjectStore
from lc_platform.reading.reader import Reader
from lc_platform.storage.raster_cube import palette, rgba, tiled
from lc_platform.storage.store import Store
from lc_platform.viewer import rasters
from lc_platform.viewer.app import create_app
from lc_platform_tests.graphs import YEAR
from lc_platform_tests.reading import stores
from lc_platform_tests.servers import BUCKET, SeaweedFS
from lc_platform_tests.viewer.places import degrees, own_pixel

PATCH = Patch(
    "one", GeoBox((700, 700), Affine(10, 0, 5e5, 0, -10, 5.2e6), "EPSG:32633"), "33N", 0, 0
)
LEGEND = {1: ("one", "#f2d04a"), 2: ("two", "#e8902c")}
PLACE = f"/tiles/{{}}/12/2218/1441.png?year={YEAR}"


def write(store: Store, value: int) -> None:
    shape = PATCH.shape
    with store.bundle(key("mosaic", year=YEAR), "land_cover.tif") as staging:
        with staging.file("land_cover.tif.aux.xml") as side:
            side.write_text(palette(LEGEND, 1), "utf-8")
        with (
            staging.file("land_cover.tif") as path,
            tiled(path, PATCH.geobox, ["class"], "uint8", 0) as file,
        ):
            values = np.full(shape, value, np.uint8)
            file.write(values, (slice(0, shape[0]), slice(0, shape[1])))


def shown(client: TestClient, layer: str) -> NDArray[np.uint8]:
    answer = client.get(PLACE.format(layer))
    assert answer.status_code == 200, answer.text
    tile = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
    return tile[tile[..., 3] > 0]


def test_tiles_of_a_bucket_are_those_of_the_map_that_is_there(
    server: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasters, "_SECONDS", 0.0)
    settings = ObjectStore(endpoint=server.endpoint, profile="owner", region="us-east-1")
    store = Store(f"s3://{BUCKET}/tiles", settings)
    formats()["patch_grid"].write(store, key("patch_grid"), PatchGrid([PATCH], {"one": False}))
    stores.put(store, "predictions", Partition("one", YEAR), stores.predicted(PATCH, YEAR, LEGEND))
    client = TestClient(create_app(Reader(store)), raise_server_exceptions=False)
    for value, color in ((1, "#f2d04a"), (2, "#e8902c")):
        write(store, value)
        seen = shown(client, "land_cover")
        assert len(seen) > 1000
        assert {tuple(one) for one in seen.tolist()} == {rgba(color)}
    assert len(shown(client, "entropy")) > 1000


def test_imagery_clouds_chips_and_stories_of_a_bucket_are_those_of_the_folder(
    server: SeaweedFS, reader: Reader, grid: PatchGrid, tmp_path: Path
) -> None:
    patch = grid.patches[0]
    settings = ObjectStore(endpoint=server.endpoint, profile="owner", region="us-east-1")
    store = Store(f"s3://{BUCKET}/imagery", settings)
    clients = []
    for one in (store, Store(str(tmp_path))):
        stores.copy(reader, one, patch.key, YEAR)
        clients.append(TestClient(create_app(Reader(one)), raise_server_exceptions=False))
    there, here = clients
    masks = reader.artefacts.masks(Partition(patch.key, YEAR))
    acquired = max(masks.acquisitions, key=lambda one: float(one["cloud_fraction"]))
    lon, lat = degrees(patch, *own_pixel(reader, patch))
    x, y = (int(one) for one in tile_at(lon, lat, 16))
    name, month = acquired["key"], acquired["datetime"][5:7]
    asked = [
        f"/tiles/true_color/16/{x}/{y}.png?year={YEAR}&acquisition={name}",
        f"/tiles/false_color/16/{x}/{y}.png?year={YEAR}&month={month}",
        f"/tiles/clouds/16/{x}/{y}.png?year={YEAR}&acquisition={name}",
        f"/chips/{YEAR}/{name}.png?lon={lon}&lat={lat}&meters=200",
        f"/api/pixel.csv?lon={lon}&lat={lat}&year={YEAR}",
    ]
    for address in asked:
        one, other = there.get(address), here.get(address)
        assert one.status_code == other.status_code == 200, one.text
        assert len(one.content) > 200
        assert one.content == other.content


def tile_at(longitude: float, latitude: float, zoom: int) -> tuple[float, float]:
    """The column and row of the tile that shows a place."""
    down = (1 - np.arcsinh(np.tan(np.radians(latitude))) / np.pi) / 2
    return (longitude + 180) / 360 * 2**zoom, down * 2**zoom
