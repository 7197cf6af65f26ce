"""GeoTIFFs over HTTP as archives write them: the same pixels, and no byte twice."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.warp import transform_bounds
from rasterio.windows import Window, from_bounds, intersect
from rio_cogeo.cogeo import cog_translate
from rio_cogeo.profiles import cog_profiles

from lc_platform import config
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area.grid import split
from lc_platform.products.options import AcquisitionOptions
from lc_platform.sources import open_source
from lc_platform.sources.network import remote_files
from lc_platform.sources.protocol import Acquisition, SourceError
from lc_platform.sources.stac.archive import StacArchive
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    ORIGIN,
    YEAR,
    band,
    footprint,
    item,
    write_catalog,
    write_tiff,
)
from lc_platform_tests.stac_server import Request, StacServer, stac_server

SIDE = 1100
"""Pixels along a file's sides; its last tiles of 256 reach beyond them."""
TILE = 256
WHOLE = footprint(ORIGIN[0], ORIGIN[1] - 10 * SIDE, ORIGIN[0] + 10 * SIDE, ORIGIN[1])


def on(rows: slice, columns: slice, resolution: float = 10) -> GeoBox:
    """The grid of some rows and columns of a file."""
    whole = GeoBox((SIDE, SIDE), Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), "EPSG:32633")
    return whole[rows, columns].zoom_to(resolution=resolution)


ACROSS = on(slice(200, 500), slice(230, 560))
"""Of the tiles rows 0 and 1 and columns 0 to 2."""


def noise(seed: int, dtype: str = "uint16") -> NDArray[Any]:
    most = min(10_000, np.iinfo(dtype).max)
    return np.random.default_rng(seed).integers(1, most, (SIDE, SIDE)).astype(dtype)


def by_gdal(path: Path, values: NDArray[Any], metres: float = 10, **options: Any) -> None:
    plain = write_tiff(path.with_suffix(".plain"), values, metres)
    options = {"COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BLOCKSIZE": TILE, **options}
    rasterio.shutil.copy(plain, path, driver="COG", **options)
    plain.unlink()


def by_rio_cogeo(path: Path, values: NDArray[Any]) -> None:
    plain = write_tiff(path.with_suffix(".plain"), values)
    profile = {**cog_profiles.get("deflate"), "blockxsize": TILE, "blockysize": TILE}
    cog_translate(str(plain), str(path), profile, quiet=True, nodata=0)
    plain.unlink()


def tiled(path: Path, values: NDArray[Any]) -> None:
    write_tiff(path, values, tiled=True, blockxsize=TILE, blockysize=TILE, compress="deflate")


def in_strips(path: Path, values: NDArray[Any]) -> None:
    write_tiff(path, values, tiled=False, blockysize=16, compress="deflate", predictor=2)


WRITERS: list[Callable[[Path, NDArray[Any]], None]] = [by_gdal, by_rio_cogeo, tiled, in_strips]
writers = pytest.mark.parametrize("write", WRITERS, ids=[one.__name__ for one in WRITERS])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StacServer]:
    with stac_server(tmp_path) as running:
        yield running


def opened(server: StacServer, *names: str, **settings: Any) -> tuple[StacArchive, Acquisition]:
    """An archive of one acquisition, whose bands are files of these names."""
    assets = {name: band(f"./{name}.tif") for name in names}
    write_catalog(server.folder, [item("a", "2021-07-01T10:00:00Z", assets, WHOLE)])
    source = StacArchive(server.api, COLLECTION, **settings)
    (found,) = source.search(ACROSS.extent, *YEAR)
    server.reset()
    return source, found


def needed(path: Path, grid: GeoBox) -> tuple[int, int]:
    """Bytes of the tiles or strips that a grid is in, by GDAL, and how many rows of them.

    In another projection the grid's edges are bent, and may leave the box of its corners by a
    pixel.
    """
    with rasterio.open(path) as file:
        box = transform_bounds(grid.crs, file.crs, *grid.boundingbox)
        window = from_bounds(*box, transform=file.transform)
        bent = int(grid.crs != file.crs)
        window = Window.from_slices(
            (floor(window.row_off) - bent, ceil(window.row_off + window.height) + bent),
            (floor(window.col_off) - bent, ceil(window.col_off + window.width) + bent),
            boundless=True,
        )
        found = [at for at, of in file.block_windows(1) if intersect(of, window)]
        sizes = [
            int(file.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=1))
            for row, column in found
        ]
        return sum(sizes), len({row for row, _ in found})


def ranges(server: StacServer) -> dict[str, list[range]]:
    """Bytes that were asked for, by file."""
    asked: dict[str, list[range]] = {}
    for request in server.of_files:
        told = re.fullmatch(r"bytes=(\d+)-(\d+)", request.range or "")
        assert told is not None
        size = (server.folder / request.path.removeprefix("/files/")).stat().st_size
        asked.setdefault(request.path, []).append(range(int(told[1]), min(int(told[2]) + 1, size)))
    return asked


def twice(server: StacServer) -> int:
    """Bytes that were asked for before."""
    again = 0
    for asked in ranges(server).values():
        end = 0
        for one in sorted(asked, key=lambda one: one.start):
            again += max(0, min(end, one.stop) - one.start)
            end = max(end, one.stop)
    return again


GRIDS = {
    "across tiles": ACROSS,
    "one tile, to its edges": on(slice(TILE, 2 * TILE), slice(2 * TILE, 3 * TILE)),
    "the last, which the file cuts": on(slice(1030, SIDE), slice(1030, SIDE)),
    "half a pixel off": ACROSS.translate_pix(0.5, 0.5),
    "twice as fine": on(slice(200, 300), slice(230, 330), 5),
    "means": on(slice(200, 500), slice(230, 530), 30),
    "another projection": GeoBox.from_geopolygon(ACROSS.extent, 10, "EPSG:3035"),
    "another zone": GeoBox.from_geopolygon(ACROSS.extent, 10, "EPSG:32634"),
}


@writers
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_each_tile_is_fetched_once_and_no_other(
    server: StacServer, write: Callable[[Path, NDArray[Any]], None], grid: GeoBox
) -> None:
    path = server.folder / "B02.tif"
    write(path, noise(1))
    source, one = opened(server, "B02")
    far = source.read(one, grid, ["B02"])
    near = StacArchive(str(server.folder / "catalog.json"), COLLECTION).read(one, grid, ["B02"])
    np.testing.assert_array_equal(far.values, near.values)
    np.testing.assert_array_equal(far.data_mask, near.data_mask)
    assert twice(server) == 0
    tiles, rows = needed(path, grid)
    head = remote_files.HEAD_BYTES
    assert far.cost.bytes <= 1.02 * tiles + head
    assert len(server.of_files) <= 1 + rows
    assert far.cost.requests == len(server.of_files)
    assert far.cost.bytes == sum(request.bytes for request in server.of_files)


@writers
def test_pixels_of_the_network_are_those_that_were_written(
    server: StacServer, write: Callable[[Path, NDArray[Any]], None]
) -> None:
    write(server.folder / "B02.tif", noise(1))
    source, one = opened(server, "B02")
    read = source.read(one, ACROSS, ["B02"])
    np.testing.assert_array_equal(read.values[0], noise(1)[200:500, 230:560])
    beyond = source.read(one, ACROSS.translate_pix(700, 800), ["B02"])
    np.testing.assert_array_equal(beyond.values[0, :100, :170], noise(1)[1000:, 930:])
    assert beyond.data_mask.sum() == 100 * 170


OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "deflate": ("uint16", {"compress": "deflate"}),
    "deflate, differences": ("uint16", {"compress": "deflate", "predictor": 2}),
    "deflate, bytes": ("uint8", {"compress": "deflate", "predictor": 2}),
    "deflate, signed": ("int16", {"compress": "deflate", "predictor": 2}),
    "deflate, 32 bits": ("uint32", {"compress": "deflate", "predictor": 2}),
    "deflate, 12 bits": ("uint16", {"compress": "deflate", "nbits": 14}),
    "deflate, big-endian": ("uint16", {"compress": "deflate", "predictor": 2, "endianness": "big"}),
    "deflate, BigTIFF": ("uint16", {"compress": "deflate", "predictor": 2, "bigtiff": "yes"}),
    "LZW": ("uint16", {"compress": "lzw", "predictor": 2}),
    "Zstandard": ("uint16", {"compress": "zstd", "predictor": 2}),
    "none": ("uint16", {}),
    "LERC": ("uint16", {"compress": "lerc", "max_z_error": 0}),
}


@pytest.mark.parametrize("tiles", [True, False], ids=["tiles", "strips"])
@pytest.mark.parametrize(("dtype", "options"), OPTIONS.values(), ids=OPTIONS)
def test_pixels_are_the_same_however_they_are_stored(
    server: StacServer, dtype: str, options: dict[str, Any], tiles: bool
) -> None:
    shape = {"blockxsize": TILE, "blockysize": TILE} if tiles else {"blockysize": 48}
    write_tiff(server.folder / "B02.tif", noise(3, dtype), tiled=tiles, **shape, **options)
    source, one = opened(server, "B02")
    for grid, expected in [
        (ACROSS, noise(3, dtype)[200:500, 230:560]),
        (on(slice(900, SIDE), slice(0, SIDE)), noise(3, dtype)[900:]),
    ]:
        np.testing.assert_array_equal(source.read(one, grid, ["B02"]).values[0], expected)
    assert twice(server) == 0


def test_tiles_that_a_file_leaves_out_are_no_data(server: StacServer) -> None:
    values = noise(1)
    values[:TILE, TILE : 2 * TILE] = 0
    for name, nodata in (("B02", 0), ("B03", None)):
        options = {"compress": "deflate", "predictor": 2, "nodata": nodata, "sparse_ok": True}
        shape = {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
        write_tiff(server.folder / f"{name}.tif", values, **shape, **options)
    source, one = opened(server, "B02", "B03")
    read = source.read(one, ACROSS, ["B02", "B03"])
    for found in read.values:
        np.testing.assert_array_equal(found, values[200:500, 230:560])
    np.testing.assert_array_equal(read.data_mask, values[200:500, 230:560] > 0)


def test_bands_of_one_file_are_fetched_together(server: StacServer) -> None:
    """Each pixel with all its bands, as images of three or four bands mostly are."""
    profile = {"driver": "GTiff", "height": SIDE, "width": SIDE, "count": 3, "dtype": "uint16"}
    layout = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "interleave": "pixel"}
    grid = {"crs": "EPSG:32633", "transform": Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])}
    with rasterio.open(
        server.folder / "all.tif", "w", **profile, **layout, **grid, compress="deflate"
    ) as file:
        file.write(np.stack([noise(n) for n in range(3)]))
    names = ["B02", "B03", "B04"]
    told = [
        {"data_type": "uint16", "nodata": 0, "scale": 0.0001, "offset": 0, "name": name}
        for name in names
    ]
    asset = {**band("./all.tif"), "raster:bands": told, "eo:bands": [{"name": n} for n in names]}
    write_catalog(server.folder, [item("a", "2021-07-01T10:00:00Z", {"all": asset}, WHOLE)])
    source = StacArchive(server.api, COLLECTION)
    (one,) = source.search(ACROSS.extent, *YEAR)
    server.reset()
    read = source.read(one, ACROSS, names)
    for n, found in enumerate(read.values):
        np.testing.assert_array_equal(found, noise(n)[200:500, 230:560])
    assert twice(server) == 0


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_tile_that_was_changed_on_its_way_is_no_image(server: StacServer, place: float) -> None:
    path = server.folder / "B02.tif"
    by_gdal(path, noise(1))
    with rasterio.open(path) as file:
        first, size = (
            int(file.get_tag_item(f"BLOCK_{what}_1_1", "TIFF", bidx=1))
            for what in ("OFFSET", "SIZE")
        )
    content = bytearray(path.read_bytes())
    content[first + int(place * size)] ^= 0x55
    path.write_bytes(content)
    source, one = opened(server, "B02")
    with pytest.raises(SourceError, match=r"band B02: .*B02.tif cannot be read; it is damaged"):
        source.read(one, ACROSS, ["B02"])


def test_a_file_that_ends_within_its_last_tile_is_named(server: StacServer) -> None:
    path = server.folder / "B02.tif"
    by_gdal(path, noise(1), OVERVIEWS="NONE")
    path.write_bytes(path.read_bytes()[:-100])
    source, one = opened(server, "B02")
    with pytest.raises(
        SourceError, match=r"B02.tif is shorter than its own directory says"
    ) as said:
        source.read(one, on(slice(1000, SIDE), slice(1000, SIDE)), ["B02"])
    advice = f"or leave the acquisition out by imagery.exclude: [{one.key}]."
    assert str(said.value).endswith(f"Fetch the file again, {advice}")


def test_tiles_are_not_fetched_again_for_a_coarser_grid_while_others_are_read(
    server: StacServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the cloud detector's grid after the patch's, of several acquisitions at the same time."""
    monkeypatch.setattr(remote_files, "KEPT_BYTES", 1_000_000)
    items = []
    for day in range(1, 7):
        by_gdal(server.folder / f"{day}.tif", noise(day))
        assets = {"B02": band(f"./{day}.tif")}
        items.append(item(f"day-{day}", f"2021-07-0{day}T10:00:00Z", assets, WHOLE))
    write_catalog(server.folder, items)
    source = StacArchive(server.api, COLLECTION)
    found = source.search(ACROSS.extent, *YEAR)
    coarse = ACROSS.zoom_to(resolution=80)
    read = threading.Barrier(len(found))

    def both(one: Acquisition) -> None:
        source.read(one, ACROSS, ["B02"])
        read.wait(60)
        assert source.read(one, coarse, ["B02"]).cost.requests == 0

    with ThreadPoolExecutor(len(found)) as readers:
        list(readers.map(both, found))
    assert twice(server) == 0


def test_the_head_of_a_file_is_not_asked_for_again_for_a_neighbouring_patch(
    server: StacServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_files, "KEPT_BYTES", 1)
    for name in ("B02", "B03"):
        by_gdal(server.folder / f"{name}.tif", noise(1))
    source, one = opened(server, "B02", "B03")
    source.read(one, on(slice(0, TILE), slice(0, TILE)), ["B02", "B03"])
    server.reset()
    read = source.read(one, on(slice(0, TILE), slice(TILE, 2 * TILE)), ["B02", "B03"])
    np.testing.assert_array_equal(read.values[0], noise(1)[:TILE, TILE : 2 * TILE])
    assert all(asked[0].start > 0 for asked in ranges(server).values())
    assert read.cost.requests == 2


@pytest.mark.slow
@pytest.mark.parametrize("connections", [4, 16, 64])
def test_all_connections_that_are_allowed_are_used(server: StacServer, connections: int) -> None:
    """No answer comes before as many are asked for as there may be."""
    items = []
    names = [f"B0{n}" for n in range(2, 9)]
    by_gdal(server.folder / "one.tif", noise(1))
    for day in range(1, 13):
        for name in names:
            (server.folder / f"{day}-{name}.tif").symlink_to("one.tif")
        assets = {name: band(f"./{day}-{name}.tif") for name in names}
        items.append(item(f"day-{day}", f"2021-07-{day:02d}T10:00:00Z", assets, WHOLE))
    write_catalog(server.folder, items)
    source = StacArchive(server.api, COLLECTION, connections=connections)
    found = source.search(ACROSS.extent, *YEAR)
    server.reset()
    all_there = threading.Event()

    def wait(request: Request) -> None:
        if request.path.startswith("/files"):
            if server.at_once == connections:
                all_there.set()
            assert all_there.wait(60)

    server.fail = wait
    with ThreadPoolExecutor(len(found)) as readers:
        list(readers.map(lambda one: source.read(one, ACROSS, names), found))
    assert server.at_once == connections


def test_a_patch_s_year_takes_each_tile_once(server: StacServer, tmp_path: Path) -> None:
    """Fine and coarse bands and the classification, searched, read and stored."""
    side = {"B04": 10, "B08": 10, "B11": 20, "SCL": 20}
    items = []
    for day in range(1, 6):
        for name, metres in side.items():
            values = noise(day)[:: metres // 10, :: metres // 10]
            by_gdal(server.folder / f"{day}-{name}.tif", values, metres)
        assets = {name: band(f"./{day}-{name}.tif") for name in side}
        items.append(item(f"day-{day}", f"2021-07-0{day}T10:00:00Z", assets, WHOLE))
    write_catalog(server.folder, items)
    west, south, east, north = ACROSS.boundingbox
    settings = config.parse(
        {
            "name": "test",
            "storage": str(tmp_path / "data"),
            "years": [2021],
            "aoi": {"bbox": [14.5, 45.0, 14.6, 45.1], "crs": "EPSG:32633", "patch_size": 1000},
            "imagery": {
                "source": "stac",
                "catalog": server.api,
                "collection": COLLECTION,
                "bands": ["B04", "B08", "B11"],
                "connections": 8,
            },
            "features": {"indices": ["NDVI"]},
            "clouds": {"method": "scl"},
            "reference": {
                "path": "r.gpkg",
                "attribute": "c",
                "classes": [{"id": 1, "name": "a", "color": "#00ff00"}],
            },
        },
        tmp_path,
    )
    (patch,) = split(
        shapely.box(west, south, east, north),
        "EPSG:32633",
        buffer=0,
        target_crs="EPSG:32633",
        resolution=10,
        columns_rows=(1, 1),
    )
    source = open_source(settings)
    found = search_acquisitions(source, patch, 2021, AcquisitionOptions.of(settings))
    computed = acquire(source, found)
    cube = computed.load()
    np.testing.assert_array_equal(cube.read("bands")[2, 0], noise(3)[200:500, 230:560])
    assert len(found.acquisitions) == 5
    tiles, rows = np.sum(
        [
            needed(server.folder / f"{day}-{name}.tif", patch.geobox)
            for day in range(1, 6)
            for name in side
        ],
        axis=0,
    )
    files = 5 * len(side)
    told = computed.summary.facts
    assert twice(server) == 0
    assert told["bytes_moved"] <= 1.02 * tiles + files * remote_files.HEAD_BYTES
    assert told["requests"] == len(server.of_files) <= files + rows
    assert told["bytes_moved"] == sum(request.bytes for request in server.of_files)
