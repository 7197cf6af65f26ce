"""STAC archives over HTTP on loopback: the same pixels, few requests, and what goes wrong."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from lc_platform import config
from lc_platform.catalogue import PRESETS, HostedCollection, Preset
from lc_platform.runtime import redaction
from lc_platform.sources import open_source
from lc_platform.sources.protocol import (
    Acquisition,
    Cost,
    SourceError,
    TransientSourceError,
)
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
from lc_platform_tests.stac_server import (
    HTML,
    Answer,
    Cut,
    Failure,
    Request,
    Reset,
    Slow,
    StacServer,
    Trickle,
    stac_server,
)

NAMES = ("B02", "B03", "B04")
GRID = GeoBox((300, 300), Affine(10, 0, ORIGIN[0] + 2000, 0, -10, ORIGIN[1] - 2000), "EPSG:32633")
"""Columns and rows 200 to 499 of the files: of their tiles of 256 pixels two rows and columns."""
WHOLE = footprint(ORIGIN[0], ORIGIN[1] - 10240, ORIGIN[0] + 10240, ORIGIN[1])
UNDISTURBED = 3
"""Requests for a band: the file's head, and two rows of tiles. (A row of this file has four tiles,
of which the grid needs two: what lies between two rows is longer than what is worth to join.)"""


def noise(seed: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(1, 9999, (1024, 1024), dtype=np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three acquisitions of three bands in tiled files."""
    folder = tmp_path_factory.mktemp("archive")
    items = []
    for day in (1, 2, 3):
        assets = {}
        for i, name in enumerate(NAMES):
            tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
            write_tiff(folder / f"{day}-{name}.tif", noise(10 * day + i), **tiled)
            assets[name] = band(f"./{day}-{name}.tif")
        items.append(item(f"day-{day}", f"2021-07-0{day}T10:00:00Z", assets, WHOLE))
    write_catalog(folder, items)
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[StacServer]:
    with stac_server(folder) as running:
        yield running


def opened(server: StacServer, **settings: Any) -> tuple[StacArchive, Acquisition]:
    """The archive, and its first acquisition; what that took is not counted."""
    source = StacArchive(server.api, COLLECTION, **settings)
    found = source.search(GRID.extent, *YEAR)
    server.reset()
    return source, found[0]


def expected(day: int = 1) -> NDArray[np.uint16]:
    return np.stack([noise(10 * day + i)[200:500, 200:500] for i in range(len(NAMES))])


def nth(number: int, failure: Failure, of: str = "B03") -> Callable[[Request], Failure | None]:
    """Fails once, at a band's n-th request."""
    seen = iter(range(1, 10_000))
    lock = threading.Lock()

    def fail(request: Request) -> Failure | None:
        if of not in request.path:
            return None
        with lock:
            return failure if next(seen) == number else None

    return fail


# The same as from a folder


def grids_of_flanders() -> list[GeoBox]:
    fine = GeoBox((64, 64), Affine(10, 0, 501360, 0, -10, 5629680), "EPSG:32631")
    coarse = GeoBox((10, 10), Affine(80, 0, 501280, 0, -80, 5629760), "EPSG:32631")
    return [fine, coarse, GeoBox.from_geopolygon(fine.extent, 10, "EPSG:3035")]


@pytest.mark.slow
@pytest.mark.real_data
def test_flanders_from_the_network_is_flanders_from_the_folder(
    shared_data: Path, record_property: Callable[[str, object], None]
) -> None:
    names = ["B02", "B03", "B04", "B08", "B11", "B12", "SCL"]
    year = datetime(2018, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC)
    always = datetime(2017, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC)
    near = StacArchive(str(shared_data / "flanders/l2a/catalog.json"), COLLECTION)
    with stac_server(shared_data / "flanders" / "l2a", page=50) as server:
        far = StacArchive(server.api, COLLECTION)
        files = StacArchive(f"{server.files}/catalog.json", COLLECTION)
        area = grids_of_flanders()[0].extent
        found = near.search(area, *always)
        assert len(found) == 118
        assert far.search(area, *always) == found
        assert files.search(area, *always) == found
        assert len(server.asked("/api/search")) == 3
        for one in found[10:12]:
            for grid in grids_of_flanders():
                expected = near.read(one, grid, names)
                for source in (far, files):
                    pixels = source.read(one, grid, names)
                    np.testing.assert_array_equal(pixels.values, expected.values)
                    np.testing.assert_array_equal(pixels.data_mask, expected.data_mask)
                    assert pixels.scale.tolist() == expected.scale.tolist()
                    assert pixels.offset.tolist() == expected.offset.tolist()
        fresh = StacArchive(server.api, COLLECTION)
        server.reset()
        of_year = fresh.search(area, *year)
        searching = len(server.requests)
        server.reset()
        spent = sum(
            (fresh.read(one, grids_of_flanders()[0], names).cost for one in of_year), Cost()
        )
        assert spent.requests == len(server.of_files) == len(of_year) * len(names)
        assert spent.bytes == sum(request.bytes for request in server.of_files)
    record_property(
        "figure",
        f"Flanders over HTTP, a patch of 2018: {searching} requests to search, "
        f"{spent.requests} requests and {spent.bytes / 1e6:.2f} MB for {len(of_year)} acquisitions "
        f"of {len(names)} bands",
    )


def test_only_the_tiles_of_the_grid_are_asked_for(server: StacServer) -> None:
    source, one = opened(server)
    pixels = source.read(one, GRID, NAMES)
    np.testing.assert_array_equal(pixels.values, expected())
    assert {request.method for request in server.requests} == {"GET"}
    assert len(server.requests) == UNDISTURBED * len(NAMES)
    sizes = [(server.folder / f"1-{name}.tif").stat().st_size for name in NAMES]
    # 4 of 16 tiles, and the head, which has the beginning of the first of them.
    assert sum(sizes) * 4 / 16 < pixels.cost.bytes < 1.01 * sum(sizes) * 4 / 16 + 3 * 2048
    assert pixels.cost == Cost(len(server.requests), 0.0, sum(r.bytes for r in server.requests))


def test_a_coarser_grid_of_what_was_just_read_asks_for_nothing(server: StacServer) -> None:
    source, one = opened(server)
    source.read(one, GRID, NAMES)
    server.reset()
    coarse = source.read(one, GRID.zoom_to(resolution=80), NAMES)
    assert coarse.data_mask.all()
    assert server.requests == []
    assert coarse.cost == Cost()


def test_a_jpeg_2000_file_is_read_by_ranges(tmp_path: Path) -> None:
    values = noise(5)
    profile = {"driver": "JP2OpenJPEG", "height": 1024, "width": 1024, "count": 1}
    with rasterio.open(
        tmp_path / "B02.jp2",
        "w",
        **profile,
        dtype="uint16",
        crs="EPSG:32633",
        transform=Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]),
        QUALITY="100",
        REVERSIBLE="YES",
        BLOCKXSIZE=256,
        BLOCKYSIZE=256,
    ) as file:
        file.write(values, 1)
    assets = {"B02": {**band("./B02.jp2"), "type": "image/jp2"}}
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets, WHOLE)])
    with stac_server(tmp_path) as server:
        source, one = opened(server)
        pixels = source.read(one, GRID, ["B02"])
        np.testing.assert_array_equal(pixels.values[0], values[200:500, 200:500])
        assert pixels.cost.bytes < 0.9 * (tmp_path / "B02.jp2").stat().st_size


def test_the_bound_on_connections_holds_over_all_readers(folder: Path) -> None:
    with stac_server(folder, latency=0.02) as server:
        source = StacArchive(server.api, COLLECTION, connections=3)
        found = source.search(GRID.extent, *YEAR)
        server.reset()
        with ThreadPoolExecutor(6) as readers:
            grids = [GRID, GRID.zoom_to(resolution=25)]
            jobs = [(one, grid) for one in found for grid in grids]
            read = list(readers.map(lambda job: source.read(*job, NAMES), jobs))
        assert server.at_once == 3
    for (one, grid), pixels in zip(jobs, read, strict=True):
        if grid is GRID:
            day = int(one.items[0].removeprefix("day-"))
            np.testing.assert_array_equal(pixels.values, expected(day))


def test_every_range_of_a_file_counts_towards_the_rate(server: StacServer) -> None:
    """600 a minute are 100 ms from one to the next."""
    source, one = opened(server, requests_per_minute=600)
    began = time.monotonic()
    np.testing.assert_array_equal(source.read(one, GRID, NAMES).values, expected())
    at = sorted(request.at for request in server.of_files)
    assert len(at) == UNDISTURBED * len(NAMES)
    # From before the first is asked for, since it may arrive late on a busy machine.
    assert at[-1] - began >= 0.1 * (len(at) - 1)


def test_what_reading_takes_is_reserved_and_settled(server: StacServer) -> None:
    class Counting:
        def __init__(self) -> None:
            self.calls: list[tuple[Cost, ...]] = []

        def reserve(self, cost: Cost) -> None:
            self.calls.append((cost,))

        def settle(self, reserved: Cost, spent: Cost) -> None:
            self.calls.append((reserved, spent))

    ledger = Counting()
    source, one = opened(server, ledger=ledger)
    pixels = source.read(one, GRID, NAMES)
    reserved = source.cost(GRID, NAMES)
    assert ledger.calls == [(reserved,), (reserved, pixels.cost)]
    assert reserved.requests > 0


# Faults in the middle of a read


@pytest.mark.parametrize("number", [1, 3], ids=["head", "last tiles"])
@pytest.mark.parametrize(
    "failure",
    [
        Answer(429, b"slow down", {"Retry-After": "0"}),
        Answer(500),
        Answer(503),
        Answer(408),
        Reset(),
        Cut(),
        pytest.param(Slow(6), marks=pytest.mark.slow),
    ],
    ids=["429", "500", "503", "408", "reset", "cut", "slow"],
)
def test_a_fault_costs_one_more_request_and_changes_nothing(
    server: StacServer, failure: Failure, number: int
) -> None:
    # Only what is slow is given up early: a busy machine is slow at times, too.
    source, one = opened(server, **({"seconds": 2.0} if isinstance(failure, Slow) else {}))
    server.fail = nth(number, failure)
    np.testing.assert_array_equal(source.read(one, GRID, NAMES).values, expected())
    assert len(server.of_files) == UNDISTURBED * len(NAMES) + 1


def test_a_storm_of_429_is_waited_for_as_long_as_the_server_says(server: StacServer) -> None:
    source, one = opened(server)
    storm = iter([Answer(429, b"", {"Retry-After": "1"})] * 2)
    server.fail = lambda _: next(storm, None)
    np.testing.assert_array_equal(source.read(one, GRID, NAMES).values, expected())
    assert len(server.of_files) == UNDISTURBED * len(NAMES) + 2
    refused = [request.at for request in server.of_files if request.status == 429]
    later = [request.at for request in server.of_files if request.at > max(refused)]
    at_once = 4
    assert min(sorted(later)[at_once:]) - max(refused) >= 1.0


def test_a_server_that_never_answers_ends_after_the_retries(server: StacServer) -> None:
    source, one = opened(server, retries=2)
    server.fail = lambda r: Answer(503) if "B03" in r.path and r.range != "bytes=0-32767" else None
    with pytest.raises(TransientSourceError) as failure:
        source.read(one, GRID, ["B03"])
    assert str(failure.value) == (
        f"acquisition {one.key}, band B03: {server.files}/1-B03.tif: did not answer "
        "(HTTP status 503). (tried 3 times)"
    )
    assert [request.status for request in server.of_files] == [206, 503, 503, 503]
    server.reset()
    server.fail = lambda _: None
    np.testing.assert_array_equal(source.read(one, GRID, NAMES).values, expected())
    # The head of B03 had come, and is not asked for again.
    assert len(server.of_files) == UNDISTURBED * len(NAMES) - 1


def test_a_server_that_never_ends_is_left_alone(server: StacServer) -> None:
    """Of an answer of 32768 bytes, a byte comes in a tenth of a second."""
    source, one = opened(server, seconds=1.0, retries=0)
    server.fail = lambda _: Trickle()
    begun = time.monotonic()
    with pytest.raises(TransientSourceError, match=r"1-B03.tif: did not answer \(it took too long"):
        source.read(one, GRID, ["B03"])
    with pytest.raises(TransientSourceError, match="/api/search: did not answer"):
        source.search(GRID.extent, *YEAR)
    assert time.monotonic() - begun < 600  # the whole answers would take an hour


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[tuple[str, list[float]]]:
    """URL of a server with a certificate that nobody vouches for, and when it was connected to."""
    pem = tmp_path / "server.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(pem), "-out", f"{pem}.crt"]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not there")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pem}.crt", str(pem))
    connected: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                connected.append(time.monotonic())
                with connection, suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listening.getsockname()[1]}", connected
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_certificate_that_is_not_trusted_is_named_and_not_tried_again(
    server: StacServer, untrusted: tuple[str, list[float]]
) -> None:
    url, connected = untrusted

    def elsewhere(found: dict[str, Any]) -> dict[str, Any]:
        assets = {"B03": {**found["assets"]["B03"], "href": f"{url}/B03.tif"}}
        return {**found, "assets": assets}

    server.change = elsewhere
    source, one = opened(server)
    with pytest.raises(SourceError, match=r"B03.tif answers with a certificate") as raised:
        source.read(one, GRID, ["B03"])
    assert not isinstance(raised.value, TransientSourceError)
    with pytest.raises(SourceError, match=rf"imagery.catalog: {url} answers with a certificate"):
        StacArchive(url, COLLECTION).search(GRID.extent, *YEAR)
    assert len(connected) == 2


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (
            Answer(404),
            r"is listed in the catalog but is not there \(HTTP status 404\)\..* or leave the "
            r"acquisition out by imagery\.exclude: \[20\d+T\d+_[\w-]+\]\.$",
        ),
        (Answer(403), r"is refused by the archive \(HTTP status 403\)"),
    ],
    ids=["404", "403"],
)
@pytest.mark.parametrize("number", [1, 3], ids=["head", "last tiles"])
def test_what_is_gone_or_refused_is_named_and_not_asked_for_again(
    server: StacServer, failure: Answer, number: int, words: str
) -> None:
    source, one = opened(server)
    server.fail = nth(number, failure)
    where = rf"acquisition {one.key}, band B03: {server.files}/1-B03.tif {words}"
    with pytest.raises(SourceError, match=where) as raised:
        source.read(one, GRID, ["B03"])
    assert not isinstance(raised.value, TransientSourceError)
    assert len(server.of_files) == number


@pytest.mark.parametrize("number", [1, 3], ids=["head", "last tiles"])
def test_a_web_page_instead_of_an_image_is_named(server: StacServer, number: int) -> None:
    source, one = opened(server)
    server.fail = nth(number, HTML)
    with pytest.raises(SourceError, match=r"1-B03.tif is a web page and no image.*HTTPS_PROXY"):
        source.read(one, GRID, ["B03"])
    assert len(server.of_files) == number


def test_a_damaged_image_is_named_and_not_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "B02.tif").write_bytes(b"II*\x00" + b"no directory of a TIFF" * 100)
    cut = write_tiff(tmp_path / "B03.tif", noise(1), tiled=True, compress="deflate")
    cut.write_bytes(cut.read_bytes()[:500_000])
    assets = {name: band(f"./{name}.tif") for name in ("B02", "B03")}
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets, WHOLE)])
    with stac_server(tmp_path) as server:
        source, one = opened(server)
        for name in ("B02", "B03"):
            server.reset()
            with pytest.raises(SourceError, match=rf"band {name}: .*{name}.tif") as raised:
                source.read(one, GRID, [name])
            assert not isinstance(raised.value, TransientSourceError)
            asked = [request.range for request in server.of_files]
            assert len(asked) == len(set(asked))


def test_a_file_that_was_mended_is_read_anew(tmp_path: Path) -> None:
    whole = write_tiff(tmp_path / "B02.tif", noise(1), tiled=True, compress="deflate").read_bytes()
    (tmp_path / "B02.tif").write_bytes(whole[:30_000] + bytes(len(whole) - 30_000))
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"B02": band("./B02.tif")}, WHOLE)])
    with stac_server(tmp_path) as server:
        source, one = opened(server)
        with pytest.raises(SourceError, match=r"B02.tif cannot be read; it is damaged"):
            source.read(one, GRID, ["B02"])
        (tmp_path / "B02.tif").write_bytes(whole)
        values = source.read(one, GRID, ["B02"]).values[0]
        np.testing.assert_array_equal(values, noise(1)[200:500, 200:500])


def test_a_search_of_a_fresh_archive_takes_three_requests(server: StacServer) -> None:
    """The landing page, the collection, and a page of results."""
    StacArchive(server.api, COLLECTION).search(GRID.extent, *YEAR)
    asked = [(request.method, request.path) for request in server.requests]
    expected = ["/api", f"/api/collections/{COLLECTION}", "/api/search"]
    assert asked == list(zip(("GET", "GET", "POST"), expected, strict=True))


def test_an_area_across_180_degrees_is_searched_on_both_sides(tmp_path: Path) -> None:
    easting, northing = Transformer.from_crs(4326, 32760, always_xy=True).transform(180, -16.8)
    across = Affine(10, 0, round(easting, -1) - 5000, 0, -10, round(northing, -1) + 5000)
    area = GeoBox((1000, 1000), across, "EPSG:32760").extent

    def at(name: str, west: float) -> dict[str, Any]:
        ring = [(0, -17), (1, -17), (1, -16), (0, -16), (0, -17)]
        placed = [[[west + x, y] for x, y in ring]]
        box = [west, -17, west + 1, -16]
        time_ = f"2021-07-0{len(items) + 1}T10:00:00Z"
        return {
            **item(name, time_, {}, WHOLE),
            "geometry": {"type": "Polygon", "coordinates": placed},
            "bbox": box,
        }

    items: list[dict[str, Any]] = []
    for name, west in [("west-of-it", 179), ("east-of-it", -180), ("far", 0), ("near", 178)]:
        items.append(at(name, west))
    write_catalog(tmp_path, items)
    with stac_server(tmp_path) as server:
        for catalog in (str(tmp_path / "catalog.json"), server.api):
            found = StacArchive(catalog, COLLECTION).search(area, *YEAR)
            assert [one.items for one in found] == [("west-of-it",), ("east-of-it",)]
            assert [one.coverage for one in found] == pytest.approx([0.5, 0.5], abs=0.01)
        assert len(server.asked("/api/search")) == 2


@pytest.mark.slow
def test_of_what_was_found_long_ago_items_are_asked_for_anew(folder: Path) -> None:
    """So that a worker's memory has a bound: of more than 1000 items none is kept."""
    with stac_server(folder) as server:
        (like,) = [one for one in server.items if one["id"] == "day-1"]
        server.items = [*server.items, *({**like, "id": f"copy-{n}"} for n in range(1100))]
        source, one = opened(server)
        source.read(one, GRID, ["B02"])
        assert server.asked("/api/search") == []
        later = datetime(2021, 7, 3, tzinfo=UTC), datetime(2021, 7, 4, tzinfo=UTC)
        source.search(GRID.extent, *later)
        server.reset()
        source.read(one, GRID, ["B03"])
        assert len(server.asked("/api/search")) > 0


def test_a_search_is_retried_page_by_page(server: StacServer) -> None:
    server.page = 1
    failures = iter([None, Answer(503, b"", {"Retry-After": "0"}), Reset(), None])
    source = StacArchive(server.api, COLLECTION)
    source.bands()
    server.reset()
    server.fail = lambda r: next(failures, None) if r.path == "/api/search" else None
    found = source.search(GRID.extent, *YEAR)
    assert [one.items[0] for one in found] == ["day-1", "day-2", "day-3"]
    assert len(server.requests) == 3 + 2


# Signed links


@pytest.fixture
def signed(folder: Path) -> Iterator[tuple[StacServer, Preset]]:
    with stac_server(folder, signed=True) as server:
        yield server, Preset(server.api, {}, f"{server.tokens}/", signed_hosts="127.0.0.1")


def test_one_token_signs_all_links(signed: tuple[StacServer, Preset]) -> None:
    server, preset = signed
    source, one = opened(server, preset=preset)
    for _ in range(2):
        np.testing.assert_array_equal(source.read(one, GRID, NAMES).values, expected())
    assert len(server.asked("/sas/token/sentinel-2-l2a")) == 1
    assert len(server.of_files) == UNDISTURBED * len(NAMES)


def test_a_token_that_is_about_to_end_is_replaced(signed: tuple[StacServer, Preset]) -> None:
    server, preset = signed
    server.token_seconds = 2
    source, one = opened(server, preset=preset)
    source.read(one, GRID, ["B02"])
    assert len(server.asked("/sas")) == 1
    threading.Event().wait(1.1)
    source.read(one, GRID, ["B03"])
    assert len(server.asked("/sas")) == 2
    assert all(request.status == 206 for request in server.of_files)


def test_a_token_that_ends_in_the_middle_is_renewed(signed: tuple[StacServer, Preset]) -> None:
    server, preset = signed
    source, one = opened(server, preset=preset, connections=1)

    def fail(request: Request) -> None:
        if "B03" in request.path and len(server.of_files) == 5:
            server.revoke()

    server.fail = fail
    for name, values in zip(NAMES, expected(), strict=True):
        np.testing.assert_array_equal(source.read(one, GRID, [name]).values[0], values)
    assert len(server.asked("/sas")) == 2
    assert [request.status for request in server.of_files].count(403) == 1
    assert len(server.of_files) == UNDISTURBED * len(NAMES) + 1


@pytest.mark.parametrize(
    "failure", [Answer(403), Answer(404), Answer(503), Reset(), HTML, Answer(206, b"II*\x00")]
)
def test_a_signature_is_in_no_error_and_no_log(
    signed: tuple[StacServer, Preset], failure: Failure, caplog: pytest.LogCaptureFixture
) -> None:
    server, preset = signed
    caplog.set_level(logging.DEBUG)
    source, one = opened(server, preset=preset, retries=1)
    np.testing.assert_array_equal(source.read(one, GRID, ["B02"]).values[0], expected()[0])
    server.fail = lambda request: failure if "B03" in request.path else None
    with pytest.raises(SourceError) as raised:
        source.read(one, GRID, ["B03"])
    told = [repr(source), repr(one)]
    error: BaseException | None = raised.value
    while error is not None:
        told += [str(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    told += [record.getMessage() for record in caplog.records]
    signatures = {request.query.split("sig=")[1] for request in server.of_files}
    assert signatures
    assert not [words for words in told for signature in signatures if signature in words]


def test_a_signature_of_the_archive_s_own_links_is_told_nowhere(server: StacServer) -> None:
    def signed(found: dict[str, Any]) -> dict[str, Any]:
        assets = found["assets"]
        links = {
            "B02": f"{server.files}/gone.tif?sig=its-own-signature",
            "B03": "s3://another-bucket/B03.tif?sig=its-own-signature",
            "B04": f"{server.files}/1-B04.tif?sig=its-own-signature",
        }
        return {
            **found,
            "assets": {name: {**assets[name], "href": to} for name, to in links.items()},
        }

    server.change = signed
    source, one = opened(
        server, preset=Preset(server.api, {COLLECTION: HostedCollection(bucket="a-bucket")})
    )
    for name in ("B02", "B03"):
        with pytest.raises(SourceError, match=r"/\w+\.tif is ") as raised:
            source.read(one, GRID, [name])
        assert "its-own" not in str(raised.value)
    np.testing.assert_array_equal(source.read(one, GRID, ["B04"]).values[0], expected()[2])
    assert {request.query for request in server.of_files} == {"sig=its-own-signature"}


def test_a_secret_of_the_catalog_s_url_is_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ARCHIVE_KEY", "a-key-for-the-archive-7a31")
    key = redaction.read("ARCHIVE_KEY")
    nowhere = {**item("a", "2021-07-01T10:00:00Z", {}, WHOLE), "geometry": None}
    del nowhere["bbox"]
    write_catalog(tmp_path, [nowhere])
    with stac_server(tmp_path) as server:
        StacArchive(f"{server.files}/catalog.json?key={key}", COLLECTION).search(GRID.extent, *YEAR)
    (warning,) = (r for r in caplog.records if r.name.startswith("lc_platform"))
    assert "catalog.json?key=${ARCHIVE_KEY}: 1 items" in warning.getMessage()


def test_no_other_host_is_told_a_token(signed: tuple[StacServer, Preset]) -> None:
    server, preset = signed
    elsewhere = replace(preset, signed_hosts=".blob.core.windows.net")
    source, one = opened(server, preset=elsewhere)
    with pytest.raises(SourceError, match="HTTP status 403"):
        source.read(one, GRID, ["B02"])
    assert server.asked("/sas") == []
    assert [request.query for request in server.of_files] == [""]


def test_a_collection_without_tokens_is_named(signed: tuple[StacServer, Preset]) -> None:
    server, preset = signed
    source, one = opened(server, preset=preset)
    server.fail = lambda r: Answer(404, b"no such collection") if "/sas/" in r.path else None
    with pytest.raises(SourceError, match=rf"{server.tokens}/{COLLECTION} answered with HTTP"):
        source.read(one, GRID, ["B02"])


# Buckets whose readers pay


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No account but what a test sets."""
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    return monkeypatch


def paying(server: StacServer) -> Preset:
    return Preset(
        server.api, {COLLECTION: HostedCollection(bucket="a-bucket", region="eu-central-1")}
    )


def test_whoever_reads_pays_with_an_account(tmp_path: Path, amazon: pytest.MonkeyPatch) -> None:
    amazon.setenv("AWS_ACCESS_KEY_ID", "an-account")
    amazon.setenv("AWS_SECRET_ACCESS_KEY", "its-secret-key")
    with stac_server(tmp_path) as server:
        write_tiff(tmp_path / "a-bucket" / "B02.tif", noise(1), tiled=True, compress="deflate")
        assets = {"B02": band("s3://a-bucket/B02.tif")}
        write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets, WHOLE)])
        amazon.setenv("AWS_ENDPOINT_URL_S3", server.files)
        source, one = opened(server, preset=paying(server))
        faults = iter([Answer(503, b"", {"Retry-After": "0"}), None, Cut(), Reset()])
        server.fail = lambda _: next(faults, None)
        values = source.read(one, GRID, ["B02"]).values[0]
        np.testing.assert_array_equal(values, noise(1)[200:500, 200:500])
        assert [request.status for request in server.of_files] == [503, 206, 206, 0, 206, 206]
        for request in server.of_files:
            assert request.headers["x-amz-request-payer"] == "requester"
            assert "/eu-central-1/s3/aws4_request" in request.headers["Authorization"]
            assert request.range is not None
        (tmp_path / "a-bucket" / "B02.tif").unlink()
        fresh, one = opened(server, preset=paying(server))
        with pytest.raises(SourceError, match=r"s3://a-bucket/B02.tif is listed .*status 404"):
            fresh.read(one, GRID, ["B02"])


@pytest.fixture
def bucket(tmp_path: Path, amazon: pytest.MonkeyPatch) -> Iterator[StacServer]:
    """A bucket with a file, and an account."""
    amazon.setenv("AWS_ACCESS_KEY_ID", "an-account")
    amazon.setenv("AWS_SECRET_ACCESS_KEY", "its-secret-key")
    assets = {"B02": band("s3://a-bucket/B02.tif")}
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets, WHOLE)])
    with stac_server(tmp_path) as server:
        amazon.setenv("AWS_ENDPOINT_URL_S3", server.files)
        yield server


@pytest.mark.parametrize("status", [400, 403])
def test_why_a_bucket_refuses_is_told(bucket: StacServer, status: int) -> None:
    words = "The difference between the request time and the current time is too large."
    body = f"<Error><Code>RequestTimeTooSkewed</Code><Message>{words}</Message></Error>"
    source, one = opened(bucket, preset=paying(bucket))
    bucket.fail = lambda _: Answer(status, body.encode(), {"Content-Type": "application/xml"})
    with pytest.raises(SourceError, match=rf"B02.tif is refused .*{words}.*clock") as raised:
        source.read(one, GRID, ["B02"])
    assert not isinstance(raised.value, TransientSourceError)
    assert len(bucket.of_files) == 1


def test_a_profile_that_is_not_there_is_named_and_not_tried_again(
    bucket: StacServer, amazon: pytest.MonkeyPatch
) -> None:
    amazon.setenv("AWS_PROFILE", "no-such-profile")
    source, one = opened(bucket, preset=paying(bucket))
    with pytest.raises(SourceError, match=r"no-such-profile.*AWS_PROFILE") as raised:
        source.read(one, GRID, ["B02"])
    assert not isinstance(raised.value, TransientSourceError)
    assert bucket.of_files == []


def test_nobody_pays_for_files_of_another_bucket(tmp_path: Path) -> None:
    assets = {"B02": band("s3://another-bucket/B02.tif")}
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets, WHOLE)])
    with stac_server(tmp_path) as server:
        source, one = opened(server, preset=paying(server))
        with pytest.raises(SourceError, match=r"another-bucket/B02.tif is not in s3://a-bucket/"):
            source.read(one, GRID, ["B02"])


def test_without_an_account_nothing_is_asked_of_a_bucket_whose_readers_pay(
    tmp_path: Path, amazon: pytest.MonkeyPatch
) -> None:
    assets = {"B02": band("s3://a-bucket/B02.tif")}
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets, WHOLE)])
    with stac_server(tmp_path) as server:
        amazon.setenv("AWS_ENDPOINT_URL_S3", server.files)
        source, one = opened(server, preset=paying(server))
        with pytest.raises(SourceError, match=r"no AWS account to pay. Set AWS_ACCESS_KEY_ID"):
            source.read(one, GRID, ["B02"])
        assert server.of_files == []


# What archives are known for


@pytest.mark.parametrize("name", PRESETS)
def test_an_archive_goes_by_its_name_in_the_configuration(tmp_path: Path, name: str) -> None:
    data = {
        "name": "test",
        "storage": "./data",
        "years": [2023],
        "aoi": {"bbox": [14.5, 45.8, 14.6, 45.9], "crs": "EPSG:32633", "patch_size": 1000},
        "imagery": {"source": "stac", "catalog": name, "collection": "sentinel-2-l2a"},
        "clouds": {"method": "scl"},
        "reference": {
            "path": "r.gpkg",
            "attribute": "c",
            "classes": [{"id": 1, "name": "a", "color": "#00ff00"}],
        },
    }
    source = open_source(config.parse(data, tmp_path))
    assert isinstance(source, StacArchive)
    assert source.catalog == PRESETS[name].url
    assert source.remote


def test_the_offset_that_an_archive_documents_is_used_where_its_items_do_not_tell_it(
    tmp_path: Path,
) -> None:
    """As the Planetary Computer has Sentinel-2 L2A: ESA's numbers, without raster:bands."""
    write_tiff(tmp_path / "B02.tif", noise(1))
    assets = {"B02": {"href": "./B02.tif", "type": "image/tiff", "roles": ["data"]}}
    told = PRESETS["planetary-computer"]
    for baseline, offset in [("05.10", -0.1), ("04.00", -0.1), ("03.01", 0.0)]:
        properties = {"s2:processing_baseline": baseline}
        one_item = item("a", "2021-07-01T10:00:00Z", assets, WHOLE, **properties)
        catalog = str(write_catalog(tmp_path, [one_item]))
        source = StacArchive(catalog, COLLECTION, preset=replace(told, url=catalog, tokens=""))
        (one,) = source.search(GRID.extent, *YEAR)
        pixels = source.read(one, GRID, ["B02"])
        assert (pixels.scale[0], pixels.offset[0]) == (0.0001, offset)
        unknown = StacArchive(catalog, COLLECTION)
        if offset:
            with pytest.raises(SourceError, match="does not tell scale and offset of band B02"):
                unknown.read(one, GRID, ["B02"])


def test_bands_go_by_the_names_that_an_archive_has_in_other_letters(tmp_path: Path) -> None:
    write_tiff(tmp_path / "vv.tif", noise(1))
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"vv": band("./vv.tif")}, WHOLE)])
    source = StacArchive(str(tmp_path / "catalog.json"), COLLECTION)
    (one,) = source.search(GRID.extent, *YEAR)
    np.testing.assert_array_equal(
        source.read(one, GRID, ["VV"]).values, source.read(one, GRID, ["vv"]).values
    )


def test_an_image_with_control_points_alone_is_read_by_these(tmp_path: Path) -> None:
    """As Sentinel-1 GRD: no grid of its own, but points in degrees, here on a grid's corners."""
    rows, columns = np.mgrid[:600, :600]
    values = (10 * rows + columns + 1).astype(np.uint16)
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    points = [
        GroundControlPoint(row, column, *to_degrees.transform(x, y))
        for row in range(0, 601, 100)
        for column in range(0, 601, 100)
        for x, y in [(ORIGIN[0] + 10 * column, ORIGIN[1] - 10 * row)]
    ]
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    profile = {"driver": "GTiff", "count": 1, "height": 600, "width": 600, "dtype": "uint16"}
    with rasterio.open(tmp_path / "vv.tif", "w", **profile, **options) as file:
        file.write(values, 1)
        file.gcps = (points, CRS.from_epsg(4326))
    assets = {"vv": {"href": "./vv.tif", "type": "image/tiff", "roles": ["data"]}}
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", assets, WHOLE)])
    with stac_server(tmp_path) as server:
        source, one = opened(server)
        fine = source.read(one, GRID, ["VV"])
        np.testing.assert_array_equal(fine.values[0], values[200:500, 200:500])
        window = source.read(one, GRID[50:90, 20:100], ["VV"])
        np.testing.assert_array_equal(window.values, fine.values[:, 50:90, 20:100])
        coarse = source.read(one, GRID.zoom_to(resolution=50), ["VV"]).values[0]
        means = values[200:500, 200:500].reshape(60, 5, 60, 5).mean(axis=(1, 3))
        np.testing.assert_allclose(coarse, means, atol=3)
        assert not source.read(one, GRID.translate_pix(2000, 0), ["VV"]).data_mask.any()


def test_bit_fields_are_never_averaged(tmp_path: Path) -> None:
    """As Landsat's qa_pixel: bits of two pixels have no mean."""
    values = np.where(noise(1) % 2, 21824, 22280).astype(np.uint16)
    write_tiff(tmp_path / "qa.tif", values)
    asset = {**band("./qa.tif"), "roles": ["cloud"], "classification:bitfields": []}
    del asset["raster:bands"]
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", {"qa_pixel": asset}, WHOLE)])
    source = StacArchive(str(tmp_path / "catalog.json"), COLLECTION)
    (one,) = source.search(GRID.extent, *YEAR)
    coarse = source.read(one, GRID.zoom_to(resolution=40), ["qa_pixel"])
    assert set(np.unique(coarse.values)) == {21824, 22280}


# Bad input


def refusal(folder: Path) -> str:
    """What a search of the grid says of a catalog, the same from a folder and from an API."""
    said = []
    with stac_server(folder) as server:
        for catalog in (str(folder / "catalog.json"), server.api):
            with pytest.raises(SourceError) as raised:
                StacArchive(catalog, COLLECTION).search(GRID.extent, *YEAR)
            said.append(str(raised.value))
    assert said[1].startswith(said[0].split(" (")[0]), said[1]
    return said[0]


def test_items_of_no_geometry_are_passed_over_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [item(f"i{n}", f"2021-07-0{n + 1}T10:00:00Z", {}, WHOLE) for n in range(3)]
    items[1]["geometry"] = None
    del items[1]["bbox"]
    write_catalog(tmp_path, items)
    with stac_server(tmp_path) as server:
        for catalog in (str(tmp_path / "catalog.json"), server.api):
            caplog.clear()
            found = StacArchive(catalog, COLLECTION).search(GRID.extent, *YEAR)
            assert [one.items for one in found] == [("i0",), ("i2",)]
            (warning,) = caplog.records
            assert warning.getMessage() == (
                f"{catalog}: 1 items of {COLLECTION} tell no geometry and are passed over: i1"
            )


def test_an_item_that_cannot_be_understood_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    items = [item(name, "2021-07-01T10:00:00Z", {}, WHOLE) for name in ("good", "bad")]
    items[1]["properties"]["datetime"] = None
    write_catalog(tmp_path, items)
    catalog = str(tmp_path / "catalog.json")
    with pytest.raises(
        SourceError, match=r"bad\.json is not valid STAC .*imagery\.exclude: \[bad\]"
    ):
        StacArchive(catalog, COLLECTION).search(GRID.extent, *YEAR)
    without = StacArchive(catalog, COLLECTION, exclude=["bad"])
    assert [one.items for one in without.search(GRID.extent, *YEAR)] == [("good",)]


def test_two_items_of_one_id_are_refused_where_they_differ(tmp_path: Path) -> None:
    write_catalog(tmp_path, [item("a", "2021-07-01T10:00:00Z", {}, WHOLE)])
    other = item("a", "2021-07-09T10:00:00Z", {}, WHOLE)
    (tmp_path / "b.json").write_text(json.dumps(other))
    collection = json.loads((tmp_path / "collection.json").read_text())
    collection["links"].append({"rel": "item", "href": "./b.json"})
    (tmp_path / "collection.json").write_text(json.dumps(collection))
    assert refusal(tmp_path).startswith("item a: two different items have this id")
    (tmp_path / "b.json").write_text((tmp_path / "a.json").read_text())
    source = StacArchive(str(tmp_path / "catalog.json"), COLLECTION)
    assert len(source.search(GRID.extent, *YEAR)) == 1


def test_an_item_of_an_answer_that_is_no_stac_is_named(server: StacServer) -> None:
    def without_a_time(found: dict[str, Any]) -> dict[str, Any]:
        if found["id"] != "day-2":
            return found
        return {**found, "properties": {**found["properties"], "datetime": "yesterday"}}

    server.change = without_a_time
    with pytest.raises(SourceError, match=rf"item day-2: {server.api} gives it, and it is not"):
        StacArchive(server.api, COLLECTION).search(GRID.extent, *YEAR)


@pytest.mark.parametrize("path", ["/api", f"/api/collections/{COLLECTION}", "/api/search"])
def test_a_web_page_instead_of_an_answer_is_named(server: StacServer, path: str) -> None:
    server.fail = lambda request: HTML if request.path == path else None
    where = rf"imagery.catalog: {server.url}{path} answered with a web page .*HTTPS_PROXY"
    with pytest.raises(SourceError, match=where) as raised:
        StacArchive(server.api, COLLECTION).search(GRID.extent, *YEAR)
    assert not isinstance(raised.value, TransientSourceError)


def test_a_collection_that_an_archive_of_many_lacks_is_named_with_the_nearest(
    folder: Path,
) -> None:
    with stac_server(folder) as server:
        one = server.collections[COLLECTION]
        server.collections.update({f"dem-{n}": {**one, "id": f"dem-{n}"} for n in range(40)})
        with pytest.raises(SourceError) as raised:
            StacArchive(server.api, "sentinel-2-12a").search(GRID.extent, *YEAR)
    assert str(raised.value) == (
        f"imagery.collection: {server.api} has no collection sentinel-2-12a. "
        f"Of its 41 the nearest are: {COLLECTION}."
    )


def test_a_band_of_another_collection_is_named_with_those_there_are(server: StacServer) -> None:
    source, one = opened(server)
    with pytest.raises(SourceError, match=r"no band B10 \(item day-1\). It has: B02, B03, B04"):
        source.read(one, GRID, ["B02", "B10"])
    assert server.requests == []
