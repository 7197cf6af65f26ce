"""Tiles of a country's map for several people at once, against titiler's own endpoint."""

from __future__ import annotations

import io
import math
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import quote

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from PIL import Image
from pyproj import Transformer

from benchmarks import peer
from benchmarks.agreement import DisagreementError
from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.storage.raster_cube import palette, rgba, tiled
from lc_platform.storage.store import Store

YEAR = 2023
_SIDE = 20_000
"""Pixels along the side of the map: 200 km at 10 m."""
_WINDOW = 1000
_CRS, _WEST, _NORTH = "EPSG:32633", 400_000.0, 5_200_000.0
_CLIENTS = 8
_TILES = 400
_ZOOMS = range(7, 16)
_SECONDS = 120
_COLORS = ("#f2d04a", "#e8902c", "#a5d46a", "#b56bb0", "#8a9a3b", "#3f9b45", "#1b5e35", "#2f6fd0")
_SAME = 0.97
"""Of the pixels of a tile: the two are off by less than a pixel where they interpolate places."""
Place = tuple[int, int, int]
"""(z, x, y)"""


def run(settings: Settings) -> list[Table]:
    """A map of 20,000 x 20,000 pixels, 8 clients, every tile once and then once more."""
    store = settings.folder / "map-store"
    _make(store)
    places, others = _places(_TILES, 1), _places(40, 2)
    file = str(store / key("mosaic", year=YEAR) / "land_cover.tif")

    def ours(place: Place) -> str:
        return "/tiles/land_cover/{}/{}/{}.png?year={}".format(*place, YEAR)

    def theirs(place: Place) -> str:
        path = "/cog/tiles/WebMercatorQuad/{}/{}/{}.png?url={}".format(*place, quote(file))
        return f"{path}&resampling=nearest&reproject=nearest"

    here = [sys.executable, "-m", "benchmarks.map_server", str(store)]
    there = [peer.TITILER.python(), "-m", "benchmarks.titiler_server"]
    rows = []
    with _served(here, settings.folder) as own, _served(there, settings.folder) as titiler:
        _agree(own, titiler, [ours(p) for p in others], [theirs(p) for p in others])
        for name, port, address in (("platform", own, ours), ("titiler.core", titiler, theirs)):
            for what in ("each tile once", "each tile once more"):
                rows.append((name, what, *_figures(port, [address(p) for p in places])))
    return [
        Table(
            "map",
            "Tiles of a country's map",
            ("server", "asked for", "median", "95th percentile", "tiles a second"),
            rows,
            (
                f"{_TILES} tiles of zooms {_ZOOMS[0]} to {_ZOOMS[-1]} of a map of {_SIDE:,} x "
                f"{_SIDE:,} pixels, {_CLIENTS} clients that ask for the next tile when they have "
                "one, clients and servers on the same cores, one process each. The tiles differ "
                "in less than 3 % of their pixels, at edges.",
            ),
        )
    ]


def _make(folder: Path) -> None:
    """Make a store of a map alone, fields of eight classes with noise, where it is not there."""
    target = folder / key("mosaic", year=YEAR) / "land_cover.tif"
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    geobox = GeoBox((_SIDE, _SIDE), Affine(10, 0, _WEST, 0, -10, _NORTH), _CRS)
    draw = np.random.default_rng(1)
    colormap = {0: (0, 0, 0, 0)} | {i: rgba(color) for i, color in enumerate(_COLORS, 1)}
    with tiled(target, geobox, ["class"], "uint8", 0, colormap, "mode") as file:
        for row in range(0, _SIDE, _WINDOW):
            for column in range(0, _SIDE, _WINDOW):
                fields = draw.integers(1, 9, (_WINDOW // 25, _WINDOW // 25), np.uint8)
                values = np.kron(fields, np.ones((25, 25), np.uint8))
                noisy = draw.random(values.shape) < 0.03
                values[noisy] = draw.integers(1, 9, int(noisy.sum()), np.uint8)
                window = slice(row, row + _WINDOW), slice(column, column + _WINDOW)
                file.write(values, window)
    legend = {i: (f"class {i}", color) for i, color in enumerate(_COLORS, 1)}
    target.with_name(f"{target.name}.aux.xml").write_text(palette(legend, 1), encoding="utf-8")
    patches = [
        Patch(
            f"33N-r{row:03d}-c{column:03d}",
            GeoBox((1000, 1000), Affine(10, 0, _WEST + column * 1e4, 0, -10, _NORTH - row * 1e4),
                   _CRS),
            "33N", row, column,
        )
        for row in range(_SIDE // 1000)
        for column in range(_SIDE // 1000)
    ]  # fmt: skip
    grid = PatchGrid(patches, {patch.key: False for patch in patches})
    formats()["patch_grid"].write(Store(str(folder)), key("patch_grid"), grid)


def _places(count: int, seed: int) -> list[Place]:
    """Tiles within the map, as many of each zoom."""
    draw = random.Random(seed)
    degrees = Transformer.from_crs(_CRS, 4326, always_xy=True).transform
    found = []
    for i in range(count):
        z = _ZOOMS[i % len(_ZOOMS)]
        x, y = (draw.uniform(0.02, 0.98) * _SIDE * 10 for _ in range(2))
        lon, lat = degrees(_WEST + x, _NORTH - y)
        down = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
        found.append((z, int((lon + 180) / 360 * 2**z), int(down * 2**z)))
    draw.shuffle(found)
    return found


@contextmanager
def _served(command: Sequence[str], folder: Path) -> Iterator[int]:
    """A server in a process of its own; gives its port when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    settings = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "VSI_CACHE": "TRUE"}
    log = folder / f"{Path(command[2]).name}.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, str(port)], env=os.environ | settings, stdout=out, stderr=out
        )
        try:
            until = time.monotonic() + _SECONDS
            while True:
                try:
                    with socket.create_connection(("127.0.0.1", port), 1):
                        break
                except OSError:
                    if time.monotonic() > until or server.poll() is not None:
                        raise RuntimeError(f"{command[2]} does not answer; see {log}") from None
                    time.sleep(0.2)
            yield port
        finally:
            server.terminate()
            server.wait()


def _get(connection: HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise DisagreementError(f"{path}: answers {answer.status} ({content[:200]!r})")
    return content


def _agree(own: int, other: int, ours: Sequence[str], theirs: Sequence[str]) -> None:
    """Compare tiles that are not timed. Raises DisagreementError where they differ."""
    one, two = (HTTPConnection("127.0.0.1", port, timeout=_SECONDS) for port in (own, other))
    for mine, its in zip(ours, theirs, strict=True):
        pictures = [
            np.asarray(Image.open(io.BytesIO(_get(connection, path))).convert("RGBA"))
            for connection, path in ((one, mine), (two, its))
        ]
        same = (pictures[0] == pictures[1]).all(axis=-1).mean()
        zoom = int(mine.split("/")[3])
        # From overviews of another level where a tile's pixels are coarser than the map's.
        if zoom >= 14 and same < _SAME:
            raise DisagreementError(f"{mine}: {same:.1%} of the pixels are those of {its}")


def _figures(port: int, paths: Sequence[str]) -> tuple[str, str, str]:
    """Return the median and the 95th percentile of the milliseconds of an answer, and how many
    come in a second."""
    waiting, took = list(reversed(paths)), list[float]()
    failed: list[Exception] = []

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
        try:
            while True:
                try:
                    path = waiting.pop()
                except IndexError:
                    return
                started = time.perf_counter()
                _get(connection, path)
                took.append((time.perf_counter() - started) * 1000)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    started = time.perf_counter()
    clients = [threading.Thread(target=client) for _ in range(_CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    whole = time.perf_counter() - started
    if failed:
        raise failed[0]
    late = sorted(took)[math.ceil(len(took) * 0.95) - 1]
    return f"{median(took):.0f} ms", f"{late:.0f} ms", f"{len(took) / whole:.0f}"
