"""Tiles of every layer: what is drawn where, of which version, and what is refused."""

from __future__ import annotations

import io
import math
import shutil
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import pytest
from affine import Affine
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image
from pyproj import Transformer
from rio_tiler.io import Reader as RioTiler

from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import Partition, key
from lc_platform.eo.polygons import transformer
from lc_platform.platform import Platform
from lc_platform.products import mosaic
from lc_platform.reading.reader import Reader
from lc_platform.storage.raster_cube import RasterCube, palette, rgba, tiled
from lc_platform.storage.store import Store
from lc_platform.viewer.app import create_app
from lc_platform.viewer.imagery_layers import TRUE, shades, stretched
from lc_platform.viewer.tile_grid import Tile, boxes_of
from lc_platform_tests.graphs import YEAR
from lc_platform_tests.reading import stores

pytestmark = pytest.mark.slow

ZOOM = 16
"""A pixel of a tile is some 1.6 m wide there, and one of the map 10 m."""


def pixels(answer: Any) -> NDArray[np.uint8]:
    """The (y, x, (red, green, blue, opacity)) of an answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))


def shown_at(patch: Patch, row: int, column: int, zoom: int = ZOOM) -> tuple[str, int, int]:
    """The tile in which the middle of a patch's pixel lies, as z/x/y, and its pixel (y, x)."""
    x, y = patch.geobox.affine * (column + 0.5, row + 0.5)
    lon, lat = Transformer.from_crs(patch.crs, 4326, always_xy=True).transform(x, y)
    across = (lon + 180) / 360 * 2**zoom
    down = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**zoom
    place = f"{zoom}/{int(across)}/{int(down)}"
    return place, int(down % 1 * 256), int(across % 1 * 256)


def color_at(
    client: TestClient, layer: str, patch: Patch, row: int, column: int, **query: Any
) -> tuple[int, ...]:
    place, y, x = shown_at(patch, row, column)
    answer = client.get(f"/tiles/{layer}/{place}.png", params={"year": YEAR, **query})
    return tuple(int(one) for one in pixels(answer)[y, x])


@pytest.fixture
def own(made: tuple[Path, PatchGrid], reader: Reader, tmp_path: Path) -> tuple[Path, TestClient]:
    """A copy of the store, and a client of its map."""
    shutil.copytree(made[0] / "data", tmp_path / "data", symlinks=True)
    copied = Reader(Store(str(tmp_path / "data")), reader.config)
    return tmp_path / "data", TestClient(create_app(copied), raise_server_exceptions=False)


PLACES = [(1, 0), (5, 7), (16, 16), (30, 3), (31, 31)]


@pytest.mark.parametrize("zone", ["33N", "34N"])
def test_a_pixel_has_the_colour_of_its_class_in_both_zones(
    client: TestClient, reader: Reader, grid: PatchGrid, zone: str
) -> None:
    (patch,) = [one for one in grid.patches if one.zone == zone]
    stored = RasterCube(reader.store, key("predictions", patch.key, YEAR)).read("class")
    legend = reader.artefacts.legend
    others = [one for one in grid.patches if one.zone != zone]
    compared = 0
    for row, column in PLACES:
        # Where the zones overlap, the last patch of the grid counts.
        if zone == "33N" and any(_covers(other, patch, row, column) for other in others):
            continue
        compared += 1
        expected = rgba(legend[int(stored[row, column])][1])
        assert color_at(client, "disagreement", patch, row, column)[3] in (0, 70, 255)
        assert color_at(client, "entropy", patch, row, column)[3] == 255
        if zone == "33N":
            assert color_at(client, "land_cover", patch, row, column) == expected
        reference = RasterCube(reader.store, key("reference_rasters", patch.key)).read("class")
        label = int(reference[row, column])
        shown = color_at(client, "reference", patch, row, column)
        assert shown == (rgba(legend[label][1]) if label else (0, 0, 0, 0))
    assert compared


def _covers(other: Patch, patch: Patch, row: int, column: int) -> bool:
    x, y = patch.geobox.affine * (column + 0.5, row + 0.5)
    x, y = Transformer.from_crs(patch.crs, other.crs, always_xy=True).transform(x, y)
    left, bottom, right, top = other.box
    return left <= x <= right and bottom <= y <= top


def test_a_tile_is_what_rio_tiler_draws_of_the_same_file(
    client: TestClient, reader: Reader, grid: PatchGrid
) -> None:
    place, _, _ = shown_at(grid.patches[0], 16, 16, 15)
    z, x, y = map(int, place.split("/"))
    found = pixels(client.get(f"/tiles/land_cover/{place}.png", params={"year": YEAR}))
    with RioTiler(reader.store.path(f"mosaic/{YEAR}/land_cover.tif")) as file:
        image = file.tile(x, y, z, resampling_method="nearest", reproject_method="nearest")
    legend = reader.artefacts.legend
    table = np.array([rgba(legend[i][1]) if i in legend else (0, 0, 0, 0) for i in range(256)])
    expected = table[np.where(image.mask > 0, image.data[0], 0)]
    assert (expected[..., 3] > 0).sum() > 1000
    # GDAL interpolates places too: a pixel's edge may be off by a pixel of the tile.
    assert (found == expected).all(axis=-1).mean() > 0.985


def test_only_the_classes_that_are_asked_for_are_shown(
    client: TestClient, reader: Reader, grid: PatchGrid
) -> None:
    patch = grid.patches[0]
    stored = RasterCube(reader.store, key("predictions", patch.key, YEAR)).read("class")
    shown = int(stored[5, 4])
    assert color_at(client, "land_cover", patch, 5, 4, classes=f"{shown},200")[3] == 255
    assert color_at(client, "land_cover", patch, 5, 5, classes=f"{shown},200")[3] == 0


def test_imagery_is_shown_of_an_acquisition_a_day_and_a_month(
    client: TestClient, reader: Reader, grid: PatchGrid
) -> None:
    patch = grid.patches[0]
    stack = reader.artefacts.imagery(Partition(patch.key, YEAR))
    seen = int(stack.data_mask((slice(9, 10), slice(9, 10)))[:, 0, 0].argmax())
    first = stack.acquisitions[seen]
    of_key = color_at(client, "true_color", patch, 9, 9, acquisition=first["key"])
    reflectance = stack.reflectance((slice(9, 10), slice(9, 10)), [seen], ["B04", "B03", "B02"])
    brighter = (np.clip((reflectance[0, :, 0, 0] - 0.01) / 0.24, 0, 1)) ** (1 / 1.4) * 255
    assert np.abs(np.array(of_key[:3]) - brighter).max() <= 1
    assert of_key[3] == 255
    assert color_at(client, "true_color", patch, 9, 9, acquisition=first["datetime"][:10]) == of_key
    months = {one["datetime"][5:7] for one in stack.acquisitions}
    assert any(
        color_at(client, "false_color", patch, 9, 9, month=month)[3] == 255 for month in months
    )
    masks = reader.artefacts.masks(Partition(patch.key, YEAR))
    time = int(np.argmax([one["cloud_fraction"] for one in masks.acquisitions]))
    cloud = masks.cloud(times=[time])[0]
    place = np.argwhere(cloud)
    row, column = place[len(place) // 2] if len(place) else (0, 0)
    shown = color_at(client, "clouds", patch, row, column, acquisition=stack.keys[time])
    assert (shown[3] > 0) == bool(cloud[row, column])


def test_imagery_says_that_an_acquisition_or_a_month_is_needed(client: TestClient) -> None:
    answer = client.get("/tiles/true_color/14/0/0.png", params={"year": YEAR})
    assert answer.status_code == 422
    assert "acquisition=KEY" in answer.json()["detail"]


@pytest.mark.parametrize("place", ["0/0/0", "3/0/0", "22/0/0", "22/4194303/4194303"])
def test_a_tile_elsewhere_is_empty(client: TestClient, place: str) -> None:
    for layer in ("land_cover", "entropy", "reference"):
        answer = client.get(f"/tiles/{layer}/{place}.png", params={"year": YEAR})
        assert place == "0/0/0" or not pixels(answer)[..., 3].any()


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("land_cover/23/0/0", {}, 422),
        ("land_cover/2/4/0", {}, 422),
        ("land_cover/2/0/4", {}, 422),
        ("land_cover/-1/0/0", {}, 422),
        ("land_cover/2/1/1", {"year": 1999}, 404),
        ("land_cover/2/1/1", {"year": "x"}, 422),
        ("land_cover/2/1/1", {"classes": "1,,2"}, 422),
        ("land_cover/2/1/1", {"classes": "1;2"}, 422),
        ("true_color/2/1/1", {"month": "13"}, 422),
        ("nothing/2/1/1", {}, 404),
        ("change/2/1/1", {}, 404),
    ],
)
def test_what_is_no_tile_is_refused_by_a_sentence(
    client: TestClient, path: str, query: dict[str, Any], status: int
) -> None:
    answer = client.get(f"/tiles/{path}.png", params={"year": YEAR, **query})
    assert answer.status_code == status
    assert len(answer.json()["detail"]) > 20


EVIL = [
    "/vsicurl/http://127.0.0.1:9/x.tif", "file:///etc/passwd", "../../../etc/passwd",
    "/etc/passwd", "..%2f..%2f", "/vsizip/x.zip", "s3://other/bucket", "a\x00b", "' OR 1=1", "*",
]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
def test_no_part_of_a_request_becomes_a_path(
    client: TestClient, grid: PatchGrid, evil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    plain = Store.plain

    def watched(store: Store, of: str) -> str:
        asked.append(of)
        return plain(store, of)

    monkeypatch.setattr(Store, "plain", watched)
    place = shown_at(grid.patches[0], 5, 5)[0]
    lon, lat = grid.patches[0].centre
    answers = [
        client.get(f"/tiles/{quote(evil, safe='')}/{place}.png", params={"year": YEAR}),
        client.get(f"/tiles/true_color/{place}.png", params={"year": YEAR, "acquisition": evil}),
        client.get(f"/tiles/land_cover/{place}.png", params={"year": evil}),
        client.get(f"/tiles/land_cover/{place}.png", params={"year": YEAR, "v": evil}),
        client.get(f"/tiles/land_cover/{place}.png", params={"year": YEAR, "classes": evil}),
        client.get(f"/tiles/{quote(evil, safe='')}/tilejson.json", params={"year": YEAR}),
        client.get(f"/chips/{YEAR}/{quote(evil, safe='')}.png", params={"lon": lon, "lat": lat}),
    ]
    assert all(answer.status_code < 500 for answer in answers)
    assert all(evil not in path for path in asked)
    assert not pixels(answers[1])[..., 3].any()


def test_a_chip_goes_on_in_the_patches_beside_it(
    client: TestClient, reader: Reader, grid: PatchGrid
) -> None:
    middle = reader.patches.union_all().centroid
    here = reader.pixel(middle.x, middle.y)
    stack = reader.artefacts.imagery(Partition(here.patch.key, YEAR))
    clear = int(stack.data_mask().mean(axis=(1, 2)).argmax())
    asked = {"lon": middle.x, "lat": middle.y, "meters": 640, "size": 64}
    answer = client.get(f"/chips/{YEAR}/{stack.keys[clear]}.png", params=asked)
    seen = pixels(answer)
    assert seen.shape == (64, 64, 4)
    rows, columns = np.indices((64, 64)) - 31 + np.array([here.row, here.column])[:, None, None]
    height, width = here.patch.shape
    own = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    has_data = stack.data_mask(times=[clear])[0][rows[own], columns[own]]
    assert np.array_equal(seen[own][:, 3] == 255, has_data)
    assert has_data.any()
    beyond: dict[int, set[tuple[int, ...]]] = {}
    for patch in grid.patches:
        other = reader.artefacts.imagery(Partition(patch.key, YEAR))
        day = stack.acquisitions[clear]["datetime"][:10]
        (same,) = (i for i, one in enumerate(other.acquisitions) if one["datetime"][:10] == day)
        numbers = other.digital_numbers(times=[same], bands=("B04", "B03", "B02"))[0]
        colors = stretched(shades(other, [same], TRUE, numbers.reshape(1, 3, -1))[0], TRUE)
        x, y = here.patch.geobox.affine * (columns[~own] + 0.5, rows[~own] + 0.5)
        x, y = transformer(here.patch.crs, patch.crs).transform(x, y)
        at_column, at_row = (~patch.geobox.affine) * (np.asarray(x), np.asarray(y))
        for n, (row, column) in enumerate(zip(np.floor(at_row), np.floor(at_column), strict=True)):
            if 0 <= row < patch.shape[0] and 0 <= column < patch.shape[1]:
                color = tuple(colors[int(row) * patch.shape[1] + int(column)].tolist())
                beyond.setdefault(n, set()).add(color)
    assert len(beyond) > 500
    shown = [tuple(one) for one in seen[~own].tolist()]
    # What two patches of different zones show is of either.
    assert all(shown[n] in colors for n, colors in beyond.items())
    assert all(shown[n][3] == 0 for n in range(len(shown)) if n not in beyond)


def test_a_chip_of_no_acquisition_or_no_patch_is_none(
    client: TestClient, reader: Reader, grid: PatchGrid
) -> None:
    lon, lat = grid.patches[0].centre
    first = reader.artefacts.imagery(Partition(grid.patches[0].key, YEAR)).keys[0]
    for name, place in (("nothing", (lon, lat)), (first, (3, 50))):
        asked = {"lon": place[0], "lat": place[1]}
        assert client.get(f"/chips/{YEAR}/{name}.png", params=asked).status_code == 404


def test_layers_tell_what_there_is_and_what_makes_the_rest(client: TestClient) -> None:
    found = {one["id"]: one for one in client.get("/api/layers", params={"year": YEAR}).json()}
    assert found["land_cover"]["available"]
    assert found["land_cover"]["takes"] == ["classes"]
    assert found["land_cover"]["legend"][0] == {
        "value": 1, "label": "winter cropland", "color": "#f2d04a",
    }  # fmt: skip
    assert found["confidence"]["legend"]["stops"][0] == [0.0, "#440154"]
    assert not found["wrong_labels"]["available"]
    assert f"`lc-platform run --select model --year {YEAR}" in found["wrong_labels"]["why"]
    assert not found["change"]["available"]
    tile = found["land_cover"]["tiles"].format(z=2, x=2, y=1)
    kept = client.get(f"/{tile}")
    assert kept.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    tag = {"If-None-Match": kept.headers["ETag"]}
    assert client.get(f"/{tile}", headers=tag).status_code == 304


def test_tiles_are_listed_for_other_programs(client: TestClient, grid: PatchGrid) -> None:
    told = client.get("/tiles/land_cover/tilejson.json", params={"year": YEAR, "classes": "1,2"})
    place = shown_at(grid.patches[0], 5, 5)[0].split("/")
    address = told.json()["tiles"][0].format(**dict(zip("zxy", place, strict=True)))
    assert pixels(client.get(address))[..., 3].any()
    root = ElementTree.fromstring(client.get("/wmts/1.0.0/WMTSCapabilities.xml").content)
    space = "{http://www.opengis.net/wmts/1.0}"
    templates = [one.attrib["template"] for one in root.iter(f"{space}ResourceURL")]
    assert any("/tiles/land_cover/" in one for one in templates)
    names = dict(zip(("{TileMatrix}", "{TileCol}", "{TileRow}"), place, strict=True))
    address = next(one for one in templates if "/tiles/land_cover/" in one)
    for name, value in names.items():
        address = address.replace(name, value)
    assert pixels(client.get(address))[..., 3].any()


def test_a_map_that_is_made_again_is_seen_as_it_was_or_as_it_is(
    own: tuple[Path, TestClient], grid: PatchGrid, reader: Reader
) -> None:
    data, client = own
    patch = grid.patches[0]
    place = shown_at(patch, 5, 5)[0]
    of = {one["id"]: one for one in client.get("/api/layers", params={"year": YEAR}).json()}
    old = dict(x.split("=") for x in of["land_cover"]["tiles"].partition("?")[2].split("&"))
    before = pixels(client.get(f"/tiles/land_cover/{place}.png", params=old))

    store = Store(str(data))
    predictions = {patch.key: RasterCube(store, key("predictions", patch.key, YEAR))}
    assert reader.config is not None
    options = Platform(reader.config).mosaic_options()
    changed = mosaic.Mosaic(YEAR, [patch], predictions, {}, options)
    stores.put(store, "mosaic", Partition(year=YEAR), changed)

    now = pixels(client.get(f"/tiles/land_cover/{place}.png", params={"year": YEAR}))
    kept = client.get(f"/tiles/land_cover/{place}.png", params=old)
    assert (pixels(kept) == before).all()
    assert (now != before).any()
    gone = client.get(f"/tiles/land_cover/{place}.png", params={"year": YEAR, "v": "another"})
    assert gone.status_code == 409
    assert "api/layers" in gone.json()["detail"]


def test_a_tile_is_never_of_two_writings_of_a_map(
    own: tuple[Path, TestClient], grid: PatchGrid
) -> None:
    data, client = own
    store, folder = Store(str(data)), key("mosaic", year=YEAR)
    patch = grid.patches[0]
    geobox = patch.geobox.pad(300)  # several blocks, which are read one after the other
    shape = (int(geobox.shape[0]), int(geobox.shape[1]))
    x, y = (part for part in shown_at(patch, 16, 16, 13)[0].split("/")[1:])

    def write(value: int) -> None:
        with store.bundle(folder, "land_cover.tif") as staging:
            with staging.file("land_cover.tif.aux.xml") as side:
                side.write_text(palette({1: ("one", "#f2d04a"), 2: ("two", "#e8902c")}, 1), "utf-8")
            with (
                staging.file("land_cover.tif") as path,
                tiled(path, geobox, ["class"], "uint8", 0) as file,
            ):
                file.write(
                    np.full(shape, value, np.uint8), (slice(0, shape[0]), slice(0, shape[1]))
                )

    write(1)
    seen: list[set[tuple[int, ...]]] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            tile = pixels(client.get(f"/tiles/land_cover/13/{x}/{y}.png?year={YEAR}"))
            shown = tile[tile[..., 3] > 0]
            seen.append({tuple(int(v) for v in one) for one in np.unique(shown, axis=0)})

    looking = threading.Thread(target=look)
    looking.start()
    for i in range(40):
        write(i % 2 + 1)
        if i % 2 and len(seen) > 8:
            break
    over.set()
    looking.join()
    assert seen
    assert all(len(colors) == 1 for colors in seen)
    last = pixels(client.get(f"/tiles/land_cover/13/{x}/{y}.png?year={YEAR}"))
    assert {tuple(one) for one in last[last[..., 3] > 0].tolist()} == {rgba("#e8902c")}


def test_half_of_the_patches_are_drawn_and_said_to_be_half(
    own: tuple[Path, TestClient], grid: PatchGrid
) -> None:
    data, client = own
    first, second = grid.patches
    Store(str(data)).remove(key("predictions", second.key, YEAR))
    layer = {one["id"]: one for one in client.get("/api/layers", params={"year": YEAR}).json()}
    assert layer["entropy"]["available"]
    assert layer["entropy"]["note"] == "predictions is made of 1 of 2 patches so far"
    assert color_at(client, "entropy", first, 16, 3)[3] == 255
    alone = [
        (row, column)
        for row in range(1, 31, 4)
        for column in range(1, 31, 4)
        if not _covers(first, second, row, column)
    ]
    assert alone
    assert color_at(client, "entropy", second, *alone[-1])[3] == 0


def test_a_damaged_map_is_told_and_a_damaged_patch_hides_no_other(
    own: tuple[Path, TestClient], grid: PatchGrid
) -> None:
    data, client = own
    first, second = grid.patches
    map_file = (data / "mosaic" / str(YEAR) / "land_cover.tif").resolve()
    content = bytearray(map_file.read_bytes())
    content[-300:] = bytes(300)
    map_file.write_bytes(content)
    place = shown_at(first, 16, 16)[0]
    answer = client.get(f"/tiles/land_cover/{place}.png", params={"year": YEAR})
    assert answer.status_code == 500
    assert "damaged" in answer.json()["detail"]
    assert "Materialize it again" in answer.json()["detail"]

    patch_file = (data / key("predictions", second.key, YEAR)).resolve()
    patch_file.write_bytes(b"no GeoTIFF")
    assert color_at(client, "entropy", first, 16, 3)[3] == 255


def test_classes_that_the_configuration_no_longer_has_keep_their_colours(
    own: tuple[Path, TestClient], grid: PatchGrid, reader: Reader
) -> None:
    data, _ = own
    assert reader.config is not None
    classes = reader.config.reference.classes[:3]
    reference = reader.config.reference.model_copy(update={"classes": classes})
    config = reader.config.model_copy(update={"reference": reference})
    client = TestClient(create_app(Reader(Store(str(data)), config)))
    layer = client.get("/api/layers", params={"year": YEAR}).json()[0]
    assert len(layer["legend"]) == 10
    assert color_at(client, "land_cover", grid.patches[0], 5, 5)[3] == 255


@pytest.mark.parametrize(
    ("crs", "west", "north", "lon", "lat"),
    [
        ("EPSG:32760", 815_000.0, 8_010_000.0, -179.99, -17.98),
        ("EPSG:3035", 4_600_000.0, 2_600_000.0, 13.73, 46.45),
    ],
)
def test_a_map_in_another_crs_and_across_180_degrees_is_drawn_where_it_lies(
    tmp_path: Path, reader: Reader, crs: str, west: float, north: float, lon: float, lat: float
) -> None:
    geobox = GeoBox((400, 700), Affine(10, 0, west, 0, -10, north), crs)
    values = np.ones((400, 700), np.uint8)
    values[:, 350:] = 2
    folder = tmp_path / "mosaic" / str(YEAR)
    folder.mkdir(parents=True)
    colormap = {0: (0, 0, 0, 0), 1: rgba("#f2d04a"), 2: rgba("#e8902c")}
    with tiled(folder / "land_cover.tif", geobox, ["class"], "uint8", 0, colormap, "mode") as file:
        file.write(values, (slice(0, 400), slice(0, 700)))
    patches = [Patch("one", geobox, "60S", 0, 0)]
    store = Store(str(tmp_path))
    formats()["patch_grid"].write(store, key("patch_grid"), PatchGrid(patches, {"one": False}))
    client = TestClient(create_app(Reader(store, reader.config)))
    to_crs = Transformer.from_crs(4326, crs, always_xy=True)
    for row, column in [(5, 5), (200, 348), (200, 352), (395, 690)]:
        expected = rgba("#f2d04a" if column < 350 else "#e8902c")
        for zoom in (10, 14):
            place, y, x = shown_at(patches[0], row, column, zoom)
            seen = pixels(client.get(f"/tiles/land_cover/{place}.png", params={"year": YEAR}))
            near = seen[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(-1, 4)
            assert tuple(expected) in {tuple(int(v) for v in one) for one in near}
            if zoom == 14:
                assert tuple(seen[y, x]) == tuple(expected)
    area = client.get("/api/area").json()
    assert area["crosses_antimeridian"] == (crs == "EPSG:32760")
    assert to_crs.transform(lon, lat)[0] != math.inf


def test_places_between_projected_ones_are_off_by_less_than_a_quarter_of_a_pixel() -> None:
    for crs, lon, lat in (("EPSG:32633", 12.2, 46.5), ("EPSG:3035", 4.0, 60.0)):
        for zoom in (3, 5, 9, 13):
            across = int((lon + 180) / 360 * 2**zoom)
            down = int((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**zoom)
            tile = Tile.at(zoom, across, down)
            x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
            half = min(tile.resolution * 128, 400_000)
            geobox = GeoBox.from_bbox(
                (x - half, y - half, x + half, y + half), crs=crs, resolution=half / 50
            )
            part = tile.part(boxes_of(geobox))
            assert part is not None
            places = tile.places(part, crs)
            middle_x = (places.x[:-1, :-1] + places.x[1:, 1:] + places.x[:-1, 1:]
                        + places.x[1:, :-1]) / 4  # fmt: skip
            rows, columns = places.x.shape
            height, width = (side.stop - side.start for side in part)
            exact_x = tile.west + tile.resolution * (
                part[1].start + (np.arange(columns - 1) + 0.5) * width / (columns - 1)
            )
            exact_y = tile.north - tile.resolution * (
                part[0].start + (np.arange(rows - 1) + 0.5) * height / (rows - 1)
            )
            transform = Transformer.from_crs(3857, crs, always_xy=True).transform
            exact, _ = transform(*np.meshgrid(exact_x, exact_y))
            assert np.abs(middle_x - exact).max() < 0.25 * places.step
