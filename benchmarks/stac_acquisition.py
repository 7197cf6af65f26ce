"""A patch's year of imagery from a STAC archive over HTTP: searched, read and stored as Zarr,
by the platform and by ``odc.stac.load``. ``python -m benchmarks.acquisition stac`` runs it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import odc.stac
import pystac_client
import rasterio
import rasterio.shutil
import shapely
import zarr
from affine import Affine
from isal import isal_zlib
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import intersect

from benchmarks.agreement import DisagreementError
from benchmarks.archive import TiledArchive, real_scenes
from benchmarks.report import Table, ratios, seconds
from benchmarks.settings import Settings
from lc_platform import config
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area.grid import Patch, split
from lc_platform.products.options import AcquisitionOptions
from lc_platform.sources import open_source
from lc_platform.storage import zarr_cube
from lc_platform.storage.store import Store
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    band,
    footprint,
    item,
    write_catalog,
)
from lc_platform_tests.stac_server import stac_server

FINE = ("B02", "B03", "B04", "B08")
"""At 10 m; the others at 20 m."""
BANDS = (*FINE, "B11", "B12", "SCL")
ACQUISITIONS, DISTINCT = 24, 3
"""The files of a few acquisitions are there under the names of all: of the network and of what
either side keeps they are others."""
SIDE, TILE = 3072, 1024
"""Pixels of 10 m along a file's side, of which an archive's have 10,980, and along a tile's."""
CRS, WEST, NORTH = "EPSG:32633", 460_000, 5_100_000
YEAR = 2021
PATCH = shapely.box(WEST + 5_300, NORTH - 15_000, WEST + 15_300, NORTH - 5_000)
"""1000 x 1000 pixels on four tiles of the fine bands."""
LATENCIES = (0.05, 0.2)
CONNECTIONS = (4, 16, 64)
_OPENED = 1.1
"""Times the connections that are allowed, from which on odc.stac is taken to open more."""


class Served(NamedTuple):
    """What a server was asked for since its last turn."""

    requests: int
    bytes: int
    connections: int
    """The most requests for files that were under way at the same time."""


@dataclass(frozen=True)
class Run:
    """One acquiring of a patch's year."""

    seconds: float
    processor: float
    """Seconds, of all cores, without the server's."""
    served: Served
    pixels: NDArray[np.uint16]
    """(time, band, y, x)"""


def run(settings: Settings) -> list[Table]:
    """The platform and ``odc.stac.load`` in turns, by latency and connections."""
    folder = settings.folder / "stac_acquisition"
    files, stores = folder / "archive", folder / "stores"
    files.mkdir(parents=True)
    stores.mkdir()
    try:
        write_archive(files, real_scenes(settings.scenes))
        needed, decoding = tiles(files)
        with served(files) as turn:
            bench = _Bench(turn, stores)
            bench.pair(0.0, 16)  # what is made once, is
            rows = [
                bench.row(latency, connections, settings.pairs, decoding)
                for latency in LATENCIES
                for connections in CONNECTIONS
            ]
    finally:
        shutil.rmtree(folder)
    return [_table(rows, bench, needed, decoding)]


class _Bench:
    def __init__(self, turn: Callable[[float], tuple[str, Served]], stores: Path) -> None:
        self._turn, self._stores = turn, stores
        self.last: dict[str, Run] = {}
        """The latest run of each contestant."""

    def row(self, latency: float, connections: int, pairs: int, decoding: float) -> tuple[str, ...]:
        theirs, ours = zip(*(self.pair(latency, connections) for _ in range(pairs)), strict=True)
        mine, other = self.last["ours"], self.last["odc"]
        opened = other.served.connections
        held = as_many = ""
        if opened > connections * _OPENED:
            alone = self._timed("held", latency, connections)
            held = f"{alone:.3g} s ({alone / median(ours):.1f})"
            wide = self._timed("ours", latency, opened)
            as_many = f"{wide:.3g} s ({median(theirs) / wide:.1f})"
        limit = max(latency * mine.served.requests / connections, decoding)
        return (
            f"{latency * 1000:.0f} ms",
            str(connections),
            f"{seconds(theirs)}, opens {opened}",
            f"{seconds(ours)}, opens {mine.served.connections}",
            ratios(theirs, ours),
            held,
            as_many,
            f"{limit:.3g} s",
            f"{median(ours) / limit:.2f}",
            f"{other.processor:.1f} s / {mine.processor:.1f} s",
        )

    def pair(self, latency: float, connections: int) -> tuple[float, float]:
        """Seconds of odc.stac's and of the platform's, with results that are equal to the pixel."""
        took = (
            self._timed("odc", latency, connections),
            self._timed("ours", latency, connections),
        )
        mine, other = (self.last[name].pixels for name in ("ours", "odc"))
        if mine.shape != other.shape or not np.array_equal(mine, other):
            raise DisagreementError("the platform's pixels are not those of odc.stac")
        return took

    def _timed(self, name: str, latency: float, connections: int) -> float:
        """Seconds of one contestant: ``ours``, ``odc``, or ``held``, odc.stac with one request a
        thread."""
        folder = self._stores / name
        folder.mkdir()
        api, _ = self._turn(latency)
        before, started = time.process_time(), time.perf_counter()
        if name == "ours":
            by_platform(api, connections, folder)
        else:
            by_odc(api, connections, folder, one_request=name == "held")
        took, spent = time.perf_counter() - started, time.process_time() - before
        _, asked = self._turn(0.0)
        self.last[name] = Run(took, spent, asked, stored(folder))
        shutil.rmtree(folder)
        return took


def by_platform(api: str, connections: int, folder: Path) -> None:
    """As the asset ``raw_bands``."""
    settings = config.parse(
        {
            "name": "benchmark",
            "storage": str(folder),
            "years": [YEAR],
            "aoi": {"bbox": list(_in_degrees(PATCH)), "crs": CRS, "patch_size": 10_000},
            "imagery": {
                "source": "stac",
                "catalog": api,
                "collection": COLLECTION,
                "bands": list(BANDS[:-1]),
                "connections": connections,
            },
            "clouds": {"method": "scl"},
            "reference": {
                "path": "none.gpkg",
                "attribute": "class",
                "classes": [{"id": 1, "name": "any", "color": "#00ff00"}],
            },
        },
        folder,
    )
    source = open_source(settings)
    cube = acquire(
        source, search_acquisitions(source, patch(), YEAR, AcquisitionOptions.of(settings))
    )
    zarr_cube.write(Store(str(folder)), "raw_bands.zarr", cube)


def by_odc(api: str, connections: int, folder: Path, *, one_request: bool = False) -> None:
    """With a thread a connection, and GDAL's settings for files in clouds.

    one_request  of a thread at a time: GDAL asks for two rows of tiles on two connections
    """
    serial = {"GDAL_HTTP_MULTIRANGE": "SERIAL"} if one_request else {}
    odc.stac.configure_rio(cloud_defaults=True, **serial)
    found = pystac_client.Client.open(api).search(
        collections=[COLLECTION],
        bbox=_in_degrees(PATCH),
        datetime=f"{YEAR}-01-01/{YEAR}-12-31",
        limit=100,
    )
    items = sorted(found.items(), key=lambda one: one.datetime)
    loaded = odc.stac.load(
        items, bands=BANDS, geobox=patch().geobox, pool=connections, groupby="id"
    )
    loaded.to_zarr(folder / "raw_bands.zarr", consolidated=False)


def stored(folder: Path) -> NDArray[np.uint16]:
    """What either has stored, (time, band, y, x)."""
    group = zarr.open_group(folder / "raw_bands.zarr", mode="r")
    if "bands" in group:
        return np.asarray(group["bands"])
    return np.stack([np.asarray(group[name]) for name in BANDS], axis=1)


def patch() -> Patch:
    (found,) = split(PATCH, CRS, buffer=0, target_crs=CRS, resolution=10, columns_rows=(1, 1))
    return found


def _in_degrees(box: shapely.Polygon) -> tuple[float, float, float, float]:
    corners = GeoBox.from_bbox(box.bounds, CRS, resolution=10).extent.to_crs("EPSG:4326")
    return tuple(corners.boundingbox)


# The archive


def write_archive(folder: Path, scenes: NDArray[np.uint16]) -> None:
    """A static STAC catalog of Cloud-Optimized GeoTIFFs by GDAL's driver."""
    scene = TiledArchive(scenes)
    always = datetime(2017, 1, 1, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC)
    dates = scene.search(None, *always)
    items = []
    for number in range(ACQUISITIONS):
        assets = {}
        for name in BANDS:
            grid = _grid(name)
            path = folder / f"{number}-{name}.tif"
            if number < DISTINCT:
                values = scene.read(dates[number], grid, ["B8A" if name == "SCL" else name])
                # Some classes: a digital number of reflectance is no class.
                found = values.values[0] // 500 + 1 if name == "SCL" else values.values[0]
                _write_cog(path, found.astype(np.uint8) if name == "SCL" else found, grid)
            else:
                path.symlink_to(f"{number % DISTINCT}-{name}.tif")
            assets[name] = {
                **band(f"./{path.name}"),
                "proj:code": CRS,
                "proj:shape": list(grid.shape),
                "proj:transform": list(grid.affine)[:6],
            }
        edge = 10 * SIDE
        outline = footprint(WEST, NORTH - edge, WEST + edge, NORTH)
        date = f"{YEAR}-{1 + number // 28:02d}-{1 + number % 28:02d}T10:00:00Z"
        items.append(item(f"item-{number:03d}", date, assets, outline))
    write_catalog(folder, items)


def _grid(name: str) -> GeoBox:
    metres = 10 if name in FINE else 20
    side = SIDE * 10 // metres
    return GeoBox((side, side), Affine(metres, 0, WEST, 0, -metres, NORTH), CRS)


def _write_cog(path: Path, values: NDArray[Any], grid: GeoBox) -> None:
    rows, columns = grid.shape
    profile = {"height": rows, "width": columns, "count": 1, "dtype": values.dtype, "nodata": 0}
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", crs=CRS, transform=grid.affine, **profile) as plain:
            plain.write(values, 1)
        options = {"COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BLOCKSIZE": TILE}
        with memory.open() as plain:
            rasterio.shutil.copy(plain, path, driver="COG", NUM_THREADS="ALL_CPUS", **options)


def tiles(folder: Path) -> tuple[int, float]:
    """Bytes of the tiles that all acquisitions of the patch need, and the seconds that all cores
    take to inflate them."""
    packed: list[bytes] = []
    for number in range(ACQUISITIONS):
        for name in BANDS:
            path = folder / f"{number}-{name}.tif"
            content = path.read_bytes()
            with rasterio.open(path) as file:
                window = file.window(*PATCH.bounds).round_offsets().round_lengths()
                for (row, column), of in file.block_windows(1):
                    if intersect(of, window):
                        first, size = (
                            int(file.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1))
                            for what in ("OFFSET", "SIZE")
                        )
                        packed.append(content[first : first + size])
    took = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in range(3):
            started = time.perf_counter()
            for _ in pool.map(lambda one: len(isal_zlib.decompress(one)), packed):
                pass
            took.append(time.perf_counter() - started)
    return sum(map(len, packed)), min(took)


# The server


@contextmanager
def served(folder: Path) -> Iterator[Callable[[float], tuple[str, Served]]]:
    """A STAC API in a process of its own; gives what begins its next turn, with a latency in
    seconds: the API's URL, and what the last turn was asked for.

    In each turn files have other links, so that nothing is there from the last one.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, str(folder)), daemon=True)
    process.start()
    there.close()

    def turn(latency: float) -> tuple[str, Served]:
        here.send(latency)
        api, asked = here.recv()
        return api, Served(*asked)

    try:
        yield turn
    finally:
        here.close()
        process.join()


def _serve(pipe: Connection, folder: str) -> None:
    number = 0

    def of_this_turn(found: dict[str, Any]) -> dict[str, Any]:
        assets = {
            name: {**asset, "href": f"{asset['href']}?turn={number}"}
            for name, asset in found["assets"].items()
        }
        return {**found, "assets": assets}

    with stac_server(Path(folder), change=of_this_turn) as server:
        while True:
            try:
                latency = pipe.recv()
            except EOFError:
                return
            number += 1
            received = sum(request.bytes for request in server.requests)
            asked = Served(len(server.requests), received, server.at_once)
            server.latency = latency
            server.reset()
            pipe.send((server.api, asked))


def _table(rows: list[tuple[str, ...]], bench: _Bench, needed: int, decoding: float) -> Table:
    ours, theirs = bench.last["ours"].served, bench.last["odc"].served
    return Table(
        "stac-acquisition",
        f"A patch's year from a STAC archive: {ACQUISITIONS} acquisitions of {len(BANDS)} bands",
        ("latency", "connections", "odc.stac", "lc_platform", "times as fast",
         "odc.stac held to them", "lc_platform with as many as odc.stac opens", "limit",
         "times the limit", "processor"),
        rows,
        (f"1000 x 1000 pixels of Cloud-Optimized GeoTIFFs by GDAL, in tiles of {TILE}, from the "
         "tests' STAC API in another process on the same cores: searched, read and stored as Zarr, "
         "all pixels equal. `odc.stac.load` has as many threads as connections are allowed, and "
         "opens more where GDAL asks for two rows of tiles at once (the most that were under way "
         "are told). There it was also held to one request a thread, and the platform was allowed "
         "as many connections as it opens, once each; in brackets how many times as fast the "
         "platform is. Processor: seconds of odc.stac and of the platform on all cores, without "
         "the server's.",
         f"The tiles that are needed have {needed / 1e6:.0f} MB. The platform fetched "
         f"{ours.bytes / 1e6:.0f} MB ({ours.bytes / needed:.3f} times that) in {ours.requests} "
         f"requests, odc.stac {theirs.bytes / 1e6:.0f} MB in {theirs.requests}. The limit is the "
         "longer of the platform's requests one after the other on each connection, and of "
         f"inflating the tiles on all cores, {decoding:.2g} s."),
    )  # fmt: skip
