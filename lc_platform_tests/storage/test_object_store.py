"""Artefacts in a real S3 server, and what is told when it, or the way to it, fails."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.fs
import pyarrow.parquet
import pystac
import pytest
import rasterio
import xarray as xr

import lc_platform
from lc_platform.artefacts.formats import CogFormat, EvaluationFormat, formats
from lc_platform.artefacts.layout import REFERENCE_SAMPLE, Partition, key
from lc_platform.artefacts.records import Records, Version
from lc_platform.commands import run
from lc_platform.commands import run as running
from lc_platform.commands.instance import RunError
from lc_platform.commands.verify import Verification
from lc_platform.config import Config, ObjectStore
from lc_platform.cube import Layer
from lc_platform.errors.transient import is_transient
from lc_platform.platform import Platform
from lc_platform.products.evaluation import Evaluation
from lc_platform.products.judgements import Judgement, JudgementRecords
from lc_platform.products.judgements import Records as JudgementsRead
from lc_platform.products.mosaic import CONFIDENCE, LAND_COVER, VALID_OBSERVATIONS
from lc_platform.products.reference_sample import sample_file
from lc_platform.reading.errors import NotFoundError
from lc_platform.reading.reader import Reader
from lc_platform.sources.protocol import TransientSourceError
from lc_platform.storage import exclusive, zarr_cube
from lc_platform.storage.errors import (
    DamagedArtefactError,
    MissingArtefactError,
    StorageError,
    UnavailableError,
)
from lc_platform.storage.exclusive import create
from lc_platform.storage.prune import prune
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store
from lc_platform.viewer import server as server_of_map
from lc_platform_tests.faulty_proxy import (
    Cut,
    Failure,
    FaultyProxy,
    Refuse,
    Request,
    Reset,
    Slow,
    faulty_proxy,
)
from lc_platform_tests.graphs import YEAR, configured
from lc_platform_tests.judged_maps import JudgedMap, map_of_three
from lc_platform_tests.reading import stores
from lc_platform_tests.servers import BUCKET, KEYS, SeaweedFS, free_ports
from lc_platform_tests.stac import catalogs
from lc_platform_tests.storage.artefacts import (
    FORMATS,
    artefact,
    cube,
    geobox,
    noise,
    started,
    stored,
    write,
)
from lc_platform_tests.storage.growing import Archive, Site, acquisition, fresh, same

KINDS = tuple(FORMATS)
NOW = timedelta(0)


@pytest.fixture
def proxy(server: SeaweedFS) -> Iterator[FaultyProxy]:
    with faulty_proxy(server.endpoint) as running:
        yield running


@pytest.fixture
def url() -> str:
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


def settings(endpoint: str, **given: Any) -> ObjectStore:
    return ObjectStore(endpoint=endpoint, **{"profile": "owner", "region": "us-east-1"} | given)


@pytest.fixture
def store(server: SeaweedFS, url: str) -> Store:
    return Store(url, settings(server.endpoint))


@pytest.fixture
def proxied(proxy: FaultyProxy, url: str) -> Store:
    """The store by way of the proxy, which gives up soon."""
    return Store(url, settings(proxy.endpoint, retries=2, read_timeout=2, connect_timeout=2))


def objects(store: Store) -> list[str]:
    """All there is, below the store's prefix."""
    root = str(store.root.path)
    found = store.fs.find(root, detail=True).items()
    return sorted(path.removeprefix(f"{root}/") for path, one in found if one["type"] == "file")


# What is there


def test_a_store_that_can_be_used_passes_the_check_and_is_left_as_it_was(store: Store) -> None:
    store.put("a.json", b"{}")
    store.check()
    assert objects(store) == ["a.json"]


def test_a_file_of_no_bytes_reads_as_such(store: Store) -> None:
    store.put("empty", b"")
    assert store.read_bytes("empty") == b""
    assert store.names("") == ["empty"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_reads_as_it_was_written_and_replaces_the_one_before(
    store: Store, kind: str
) -> None:
    form = FORMATS[kind]
    with pytest.raises(MissingArtefactError, match=r"s3://.* not .*there.*Materialize it first"):
        form[1].open(store, form[0])
    for version in (1, 2):
        write(store, kind, version)
        assert stored(store, kind) == version


def test_of_several_who_create_a_file_one_does(store: Store) -> None:
    contents = [str(i).encode() for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        created = list(pool.map(lambda content: create(store, "marks/one", content), contents))
    assert created.count(True) == 1
    assert store.read_bytes("marks/one") == contents[created.index(True)]
    assert not create(store, "marks/one", b"late")


def unconditional(method: str, path: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers without the condition of a write, signed anew: a server that ignores it."""
    lowered = {name.lower() for name in headers}
    if method != "PUT" or "if-none-match" not in lowered:
        return headers
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    left = {n: v for n, v in headers.items() if n.lower() not in ("if-none-match", "authorization")}
    signed = AWSRequest(method, f"http://{headers['Host']}{path}", left)
    SigV4Auth(Credentials(*KEYS["owner"]), "s3", "us-east-1").add_auth(signed)
    return dict(signed.headers.items())


def test_a_store_that_makes_a_file_twice_is_told_and_another_is_not(
    store: Store, proxy: FaultyProxy, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    ignoring = Store(url, settings(proxy.endpoint))
    assert exclusive.doubt(store) is exclusive.doubt(ignoring) is None
    proxy.alter = unconditional
    said = exclusive.doubt(ignoring)
    assert said is not None
    assert said.startswith(f"{url}: overwrites a file")
    assert "Run one server of the map" in said
    assert objects(store) == []
    place = {"storage": url, "object_store": settings(proxy.endpoint)}
    config = configured(tmp_path).model_copy(update=place)
    assert said in run.check(config)
    assert server_of_map.doubt(Reader(ignoring, config)) == said
    # Of two servers both take the first opinion there; of one server, one person alone.
    here, there = (JudgementRecords(ignoring, "reference_sample/2023") for _ in range(2))
    ana, bor = judged_by("ana"), judged_by("bor")
    assert here.is_first(ana, JudgementsRead([], []))
    assert there.is_first(bor, JudgementsRead([], []))
    assert not here.is_first(bor, JudgementsRead([], []))
    assert here.is_first(ana, JudgementsRead([], []))


def judged_by(who: str) -> Judgement:
    return Judgement(
        id=f"id-{who}", who=who, when="2024-01-01T00:00:00.000000Z", point="p",
        longitude=15.0, latitude=46.0, mosaic_version="m", opinion="first", blind=True,
        class_id=5, class_name="water",
    )  # fmt: skip


def test_a_store_that_may_only_be_read_is_no_matter_of_judgements(
    server: SeaweedFS, url: str
) -> None:
    store = Store(url, settings(server.endpoint, profile="reader"))
    with pytest.raises(StorageError, match="may not do this"):
        exclusive.doubt(store)
    assert server_of_map.doubt(Reader(store)) is None


def test_what_is_removed_is_gone(store: Store) -> None:
    for kind in KINDS:
        write(store, kind, 1)
        store.remove(FORMATS[kind][0])
        assert not store.exists(FORMATS[kind][0])
        # This server keeps an empty folder.
        left = ["2020"] if kind == "model" else []
        assert store.names(FORMATS[kind][0].rpartition("/")[0]) == left
    prune(store, NOW)
    assert objects(store) == []


def test_files_lie_at_their_keys_and_nothing_beside_them(store: Store) -> None:
    for kind in ("cog", "model", "parquet"):
        for version in (1, 2):
            write(store, kind, version)
    assert objects(store) == [
        "model/2020/model.txt",
        "model/2020/model_card.json",
        "predictions/2020/p.parquet",
        "predictions/2020/p.png",
        "predictions/2020/p.tif",
        "predictions/2020/p.tif.aux.xml",
        "training_samples/2020/p.parquet",
    ]


def test_what_an_artefact_no_longer_has_goes_and_what_others_laid_there_stays(
    store: Store,
) -> None:
    with store.bundle("mosaic/2020", "a.tif") as staging:
        for name in ("a.tif", "b.tif"):
            with staging.file(name) as path:
                path.write_bytes(b"1")
    store.fs.pipe_file(f"{store.plain('mosaic/2020')}/a.qml", b"a style of QGIS")
    with store.bundle("mosaic/2020", "a.tif") as staging, staging.file("a.tif") as path:
        path.write_bytes(b"2")
    assert objects(store) == ["mosaic/2020/a.qml", "mosaic/2020/a.tif"]


def test_other_programs_read_what_lies_at_the_keys(
    server: SeaweedFS, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in KINDS:
        write(store, kind, 1)
    metrics = {"classes": [{"id": 1, "name": "forest"}], "overall_accuracy": 0.9}
    evaluation = Evaluation(metrics, {"confusion.png": b"png", "report.html": b"<p>1</p>"})
    EvaluationFormat().write(store, "evaluation/2020", evaluation)
    access, secret = KEYS["owner"]
    url, path = str(store.root), str(store.root.path)

    for name, value in {
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_S3_ENDPOINT": server.endpoint.removeprefix("http://"),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }.items():
        monkeypatch.setenv(name, value)
    with rasterio.open(f"/vsis3/{path}/predictions/2020/p.tif") as raster:
        assert np.array_equal(raster.read(2), noise(1, geobox().shape, "uint8"))
        assert raster.colormap(1)[1] == (0, 0x64, 0, 255)

    plain = {"key": access, "secret": secret, "endpoint_url": server.endpoint}
    table = pd.read_parquet(f"{url}/predictions/2020/p.parquet", storage_options=plain)
    assert list(table["version"]) == [1]
    found = pd.read_json(f"{url}/evaluation/2020/metrics.json", storage_options=plain)
    assert found["overall_accuracy"][0] == 0.9

    arrow = pyarrow.fs.S3FileSystem(
        access_key=access,
        secret_key=secret,
        endpoint_override=server.endpoint,
        region="us-east-1",
    )
    samples = pyarrow.parquet.read_table(
        f"{path}/training_samples/2020/p.parquet", filesystem=arrow
    )
    assert samples.num_rows == 20_000

    client = server.client()
    assert client.cat_file(f"{path}/model/2020/model.txt").startswith(b"tree 1\n")
    assert json.loads(client.cat_file(f"{path}/model/2020/model_card.json"))["year"] == 1
    report = client.info(f"{path}/evaluation/2020/report.html")
    assert report["ContentType"] == "text/html", "a browser shows it"

    version = client.cat_file(f"{path}/raw_bands/2020/.p.zarr.pointer").decode()
    with xr.open_zarr(
        f"{url}/raw_bands/2020/.p.zarr@{version}", storage_options=plain, chunks=None
    ) as cube:
        expected = noise(1, (2, *geobox().shape), "uint16")
        assert np.array_equal(cube["values"].values, expected)


# One version or the other


@pytest.fixture
def impatient(store: Store) -> Store:
    """The store, of which files that do not belong together are soon told to be damaged."""
    store.patience = 0.5
    return store


def of_one_writing(store: Store, kind: str) -> int | None:
    """The version of an artefact; None where it says that it is to be made again, or read again.
    Raises AssertionError where it is a mixture, and does not say so."""
    key, form = FORMATS[kind]
    try:
        version = stored(store, kind)
        if kind == "cog":
            form.check(store, key)
    except DamagedArtefactError as error:
        assert "Materialize it again" in str(error)  # noqa: PT017
        return None
    except UnavailableError as error:
        assert "replaced while it was read" in str(error)  # noqa: PT017
        return None
    return version


@pytest.mark.parametrize("kind", ["cog", "model"])
def test_a_writer_that_is_killed_between_two_files_leaves_no_mixture_that_is_read(
    server: SeaweedFS, proxy: FaultyProxy, impatient: Store, kind: str
) -> None:
    write(impatient, kind, 1)
    last = {"cog": 4, "model": 2}[kind]
    given = str(impatient.root), proxy.endpoint, str(server.credentials), kind
    seen, before = set(), 1
    for version in range(2, last + 2):
        puts = itertools.count(1)
        killed_at = version - 1
        proxy.fail = lambda _: None
        writer = started(_write_versions, *given, range(version, version + 1))

        def kill(
            request: Request, at: int = killed_at, count: Any = puts, of: Any = writer
        ) -> None:
            if request.method == "PUT" and next(count) == at:
                os.kill(of.pid, signal.SIGKILL)

        proxy.fail = kill
        while writer.is_alive():
            seen.add(of_one_writing(impatient, kind))
        assert writer.exitcode == -9
        assert of_one_writing(impatient, kind) in {None, before, version}
        write(impatient, kind, version)
        assert of_one_writing(impatient, kind) == version
        before = version
    assert seen <= {None, *range(1, last + 2)}


def test_a_killed_writer_leaves_no_record_and_the_next_one_mends(
    server: SeaweedFS, store: Store
) -> None:
    records, where = Records(store), Partition(None, 2020)
    write(store, "model", 1)
    records.write("model", where, Version("a", "b", "c"), {})
    assert records.of("model", where) == Version("a", "b", "c")
    given = str(store.root), server.endpoint, str(server.credentials)
    writer = started(_change_and_be_killed, *given)
    writer.join()
    assert writer.exitcode == -9
    assert records.of("model", where) is None
    write(store, "model", 3)
    assert stored(store, "model") == 3


def _change_and_be_killed(url: str, endpoint: str, credentials: str) -> None:
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = credentials
    store = Store(url, settings(endpoint))
    with Records(store).changing("model", Partition(None, 2020)):
        write(store, "model", 2)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("kind", ["cog", "model", "parquet"])
@pytest.mark.parametrize("changed", [False, True])
def test_a_record_comes_back_where_a_failed_write_left_all_files_as_they_were(
    proxy: FaultyProxy, proxied: Store, kind: str, changed: bool
) -> None:
    key, _ = FORMATS[kind]
    asset = key.partition("/")[0]
    where = Partition("p" if kind != "model" else None, 2020)
    records, version = Records(proxied), Version("a", "b", "c")
    write(proxied, kind, 1)
    records.write(asset, where, version, {"made": 1})

    def write_and_fail() -> None:
        with records.changing(asset, where):
            if changed:
                write(proxied, kind, 2)
            proxy.fail = lambda r: Refuse(403, "AccessDenied") if r.method == "PUT" else None
            try:
                write(proxied, kind, 3)
            finally:
                proxy.fail = lambda _: None

    with pytest.raises(StorageError, match="may not do this"):
        write_and_fail()
    assert records.of(asset, where) == (None if changed else version)


def test_a_lasting_mixture_is_damaged_and_one_that_passes_is_waited_for(impatient: Store) -> None:
    write(impatient, "model", 1)
    card = impatient.plain("model/2020/model_card.json")
    impatient.fs.cp_file(impatient.plain("model/2020/model.txt"), card)
    about = impatient.fs.fetch(card, origin=True)
    other = Store(f"{impatient}-other", impatient.settings)
    write(other, "model", 2)
    impatient.fs.cp_file(other.plain("model/2020/model_card.json"), card)
    assert impatient.fs.fetch(card, origin=True).writing != about.writing
    with pytest.raises(DamagedArtefactError, match=r"do not belong together.*Materialize it again"):
        stored(impatient, "model")
    impatient.patience = 60
    mending = threading.Timer(1.0, write, (Store(str(impatient), impatient.settings), "model", 3))
    mending.start()
    assert stored(impatient, "model") == 3
    mending.join()


def _before(store: Store, kind: str, version: int, folder: Path) -> None:
    """Lay an artefact out as the releases before did: in a hidden version, with a pointer to it,
    and siblings also at their keys."""
    key, form = FORMATS[kind]
    local = Store(str(folder))
    form.write(local, key, artefact(kind, version))
    name = f"host-1-{version:08x}"
    parent, _, last = store.plain(key).rpartition("/")
    if kind == "model":
        files = {f"{parent}/.{last}@{name}/{p.name}": p for p in (folder / key).iterdir()}
        pointer = f"{parent}/.{last}.pointer"
    else:
        found = sorted((folder / key).parent.glob("p.*"))
        files = {f"{parent}/..p.current@{name}/part{p.name[1:]}": p for p in found}
        files |= {f"{parent}/{p.name}": p for p in found}
        pointer = f"{parent}/..p.current.pointer"
    for path, file in files.items():
        store.fs.pipe_file(path, file.read_bytes())
    store.fs.pipe_file(pointer, name.encode())


@pytest.mark.parametrize("kind", ["cog", "model"])
def test_a_store_of_the_layout_before_is_read_and_added_to(
    impatient: Store, kind: str, tmp_path: Path
) -> None:
    key, _ = FORMATS[kind]
    _before(impatient, kind, 1, tmp_path)
    assert impatient.exists(key)
    assert of_one_writing(impatient, kind) == 1
    write(impatient, kind, 2)
    assert of_one_writing(impatient, kind) == 2
    prune(impatient, NOW)
    assert of_one_writing(impatient, kind) == 2
    assert not [name for name in objects(impatient) if "/." in name]


@pytest.mark.parametrize("kind", ["cog", "model"])
def test_prune_lays_the_layout_before_out_anew(impatient: Store, kind: str, tmp_path: Path) -> None:
    _before(impatient, kind, 1, tmp_path)
    before = objects(impatient)
    assert prune(impatient, timedelta(hours=1)) == []
    planned = prune(impatient, NOW, dry_run=True)
    assert objects(impatient) == before
    assert prune(impatient, NOW) == planned
    assert of_one_writing(impatient, kind) == 1
    expected = {
        "cog": ["p.parquet", "p.png", "p.tif", "p.tif.aux.xml"],
        "model": ["model.txt", "model_card.json"],
    }[kind]
    assert [name.rpartition("/")[2] for name in objects(impatient)] == expected
    assert prune(impatient, NOW) == []


def _write_versions(
    url: str, endpoint: str, credentials: str, kind: str, versions: range, at: int | None = None
) -> None:
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = credentials
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    for version in versions:
        write(Store(url, settings(endpoint)), kind, version, at)


def _write_until(
    url: str, endpoint: str, credentials: str, kind: str, versions: range, enough: Path
) -> None:
    for version in versions:
        _write_versions(url, endpoint, credentials, kind, range(version, version + 1))
        if enough.exists():
            break
    enough.with_suffix(f".{versions[0]}").write_text(str(version))


@pytest.mark.parametrize("kind", KINDS)
def test_readers_see_one_version_while_two_processes_write(
    server: SeaweedFS, store: Store, kind: str, tmp_path: Path
) -> None:
    write(store, kind, 1)
    enough = tmp_path / "enough"
    given = str(store.root), server.endpoint, str(server.credentials), kind
    writers = [started(_write_until, *given, range(n, n + 100), enough) for n in (100, 200)]
    seen = {stored(store, kind)}
    while any(writer.is_alive() for writer in writers):
        seen.add(of_one_writing(store, kind))
        if len(seen - {None}) > 2:
            enough.touch()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(seen - {None}) > 2
    last = {int(enough.with_suffix(f".{n}").read_text()) for n in (100, 200)}
    assert of_one_writing(store, kind) in last
    prune(store, NOW)
    assert of_one_writing(store, kind) in last


@pytest.mark.parametrize("kind", ["zarr", "cog"])
def test_a_killed_write_leaves_the_old_artefact_and_prune_what_it_left(
    server: SeaweedFS, store: Store, kind: str
) -> None:
    write(store, kind, 1)
    whole = objects(store)
    given = str(store.root), server.endpoint, str(server.credentials), kind
    writer = started(_write_versions, *given, range(2, 3), 4)
    writer.join()
    assert writer.exitcode == -9
    assert stored(store, kind) == 1
    prune(store, NOW)
    assert objects(store) == whole
    assert stored(store, kind) == 1


def test_a_cube_that_was_replaced_is_left_to_its_readers_until_it_is_pruned(store: Store) -> None:
    write(store, "zarr", 1)
    key, form = FORMATS["zarr"]
    opened = form.open(store, key)
    write(store, "zarr", 2)
    before = objects(store)
    assert np.array_equal(opened.read("values"), noise(1, (2, *geobox().shape), "uint16"))
    assert prune(store, timedelta(hours=1)) == []
    assert objects(store) == before
    planned = prune(store, NOW, dry_run=True)
    assert objects(store) == before
    assert sum(one.bytes for one in planned) > 100_000
    assert [one.key.partition("@")[0] for one in planned] == ["raw_bands/2020/.p.zarr"]
    assert prune(store, NOW) == planned
    assert prune(store, NOW) == []
    assert stored(store, "zarr") == 2
    with pytest.raises(StorageError, match=r"replaced while it was read.*Run again"):
        opened.read("values")


def test_a_raster_that_was_replaced_says_so_to_its_readers(store: Store) -> None:
    write(store, "cog", 1)
    opened = FORMATS["cog"][1].open(store, FORMATS["cog"][0])
    write(store, "cog", 2)
    with pytest.raises(UnavailableError, match=r"p\.tif: was replaced while.*Run again"):
        opened.read("class")
    assert stored(store, "cog") == 2
    assert prune(store, NOW) == []


def test_an_upload_that_was_never_finished_is_pruned(server: SeaweedFS, store: Store) -> None:
    client, path = server.client(), f"{store.root.path}/raw_bands/large.tif"
    about = {"Bucket": BUCKET, "Key": path.partition("/")[2]}
    begun = client.call_s3("create_multipart_upload", **about)
    part = {"PartNumber": 1, "UploadId": begun["UploadId"], "Body": b"x" * 1000}
    client.call_s3("upload_part", **about, **part)
    assert prune(store, timedelta(hours=1)) == []
    time.sleep(1.1)  # the server tells whole seconds
    assert [one.key for one in prune(store, NOW)] == ["raw_bands/large.tif"]
    assert prune(store, NOW) == []


# Requests


def test_a_window_of_a_large_raster_is_read_by_ranges(
    proxy: FaultyProxy, proxied: Store, record_property: Callable[[str, object], None]
) -> None:
    grid = geobox(4096, 4096)
    bands = {"class": Layer((), "uint8"), "confidence": Layer((), "uint8")}
    size = CogFormat(lambda raster: raster).write(proxied, "a/p.tif", cube(1, bands, grid=grid))
    assert size > 2 * 4096**2
    proxy.requests.clear()
    raster = RasterCube(proxied, "a/p.tif")
    opening = len(proxy.requests), sum(one.bytes for one in proxy.requests)
    proxy.requests.clear()
    window = slice(1030, 1530), slice(1030, 1530)
    values = raster.read("confidence", window)
    assert np.array_equal(values, noise(1, grid.shape, "uint8")[window])
    reading = len(proxy.requests), sum(one.bytes for one in proxy.requests)
    assert all(one.range for one in proxy.requests if one.method == "GET")
    record_property(
        "figure",
        f"COG of {size / 1e6:.0f} MB: opened by {opening[0]} requests and {opening[1] / 1e3:.0f} "
        f"kB, a window of one block read by {reading[0]} and {reading[1] / 1e3:.0f} kB",
    )
    assert reading[0] <= 3
    assert reading[1] < 600_000


def test_a_window_of_a_cube_is_read_by_ranges_at_the_same_time(
    proxy: FaultyProxy, proxied: Store, record_property: Callable[[str, object], None]
) -> None:
    grid = geobox(2048, 2048)
    layer = Layer(("time",), "uint16", fill=0, chunks=(2,), compressed=(1,), tile=2048)

    def blocks(_: Any) -> Iterator[Any]:
        from lc_platform.cube import Block

        yield Block(
            "values", (slice(0, 2),), (slice(0, 2048), slice(0, 2048)),
            noise(1, (2, 2048, 2048), "uint16"),
        )  # fmt: skip

    computed = dataclasses.replace(cube(1, {"values": layer}, grid=grid), blocks=blocks)
    zarr_cube.write(proxied, "a/p.zarr", computed)
    proxy.requests.clear()
    stack = zarr_cube.ZarrCube(proxied, "a/p.zarr")
    opening = len(proxy.requests)
    proxy.requests.clear()
    window = slice(256, 512), slice(512, 768)
    values = stack.read("values", window)
    assert np.array_equal(values, noise(1, (2, 2048, 2048), "uint16")[(..., *window)])
    read = sum(one.bytes for one in proxy.requests)
    record_property(
        "figure",
        f"Zarr shard of 16 MB: opened by {opening} requests, a window of 256 x 256 of 2 dates read "
        f"by {len(proxy.requests)} and {read / 1e3:.0f} kB",
    )
    assert all(one.range for one in proxy.requests)
    assert len(proxy.requests) == 1 + 1, "the shard's index, and both dates, which lie together"
    assert read < 4 * values.nbytes


def test_a_large_file_goes_up_in_parts(proxy: FaultyProxy, url: str) -> None:
    store, content = Store(url, settings(proxy.endpoint)), os.urandom(40 * 2**20)
    store.put("large.bin", content)
    parts = {re.findall(r"partNumber=(\d+)", one.path)[0] for one in proxy.requests[1:-1]}
    assert parts == {"1", "2", "3"}
    assert store.read_bytes("large.bin") == content


def test_no_more_requests_are_under_way_than_there_may_be(proxy: FaultyProxy, url: str) -> None:
    store = Store(url, settings(proxy.endpoint, connections=3))
    write(store, "zarr", 1)
    assert stored(store, "zarr") == 1
    assert 1 < proxy.at_once <= 2 * 3


# Failures that pass, and that do not


def sometimes(failure: Failure, every: int) -> Callable[[Request], Failure | None]:
    """A failure of each ``every``-th request."""
    lock, asked = threading.Lock(), iter(range(1, 10**9))

    def fail(_: Request) -> Failure | None:
        with lock:
            return failure if next(asked) % every == 0 else None

    return fail


PASSING = {
    "an error of the server": Refuse(500, "InternalError"),
    "a storm of refusals": Refuse(503, "SlowDown"),
    "a gateway": Refuse(502, "BadGateway"),
    "a slow answer": Slow(0.5),
    "an answer that stops for too long": Slow(3.0),
    "a broken connection": Reset(),
    "a body that is cut short": Cut(),
}


@pytest.mark.parametrize("kind", ["zarr", "cog"])
@pytest.mark.parametrize("failure", PASSING)
def test_failures_that_pass_are_tried_again(
    proxy: FaultyProxy, url: str, kind: str, failure: str
) -> None:
    store = Store(url, settings(proxy.endpoint, retries=4, read_timeout=2))
    proxy.fail = sometimes(PASSING[failure], every=7)
    write(store, kind, 1)
    assert stored(store, kind) == 1
    assert len(proxy.requests) >= 7


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Refuse(503, "SlowDown"), "cannot serve this now"),
        (Refuse(500, "InternalError"), "cannot serve this now"),
        (Reset(), "cannot be reached|broke off"),
    ],
)
def test_failures_that_stay_may_be_tried_again_later_and_nothing_is_half_written(
    proxy: FaultyProxy, url: str, kind: str, failure: Failure, words: str
) -> None:
    store = Store(url, settings(proxy.endpoint, retries=1))
    write(store, kind, 1)
    uploads = 0

    def fail(request: Request) -> Failure | None:
        nonlocal uploads
        uploads += request.method == "PUT"
        return failure if uploads > (kind != "parquet") else None

    proxy.fail = fail
    with pytest.raises(UnavailableError, match=words) as caught:
        write(store, kind, 2)
    assert is_transient(caught.value)
    assert FORMATS[kind][0].removesuffix(".tif") in str(caught.value)
    proxy.fail = lambda _: failure
    with pytest.raises(UnavailableError, match=words):
        stored(store, kind)
    proxy.fail = lambda _: None
    store.patience = 0.5
    # Of a model one of two files has come.
    left = {"model": {None}, "parquet": {1, 2}}.get(kind, {1})
    assert (stored(store, kind) if kind == "cog" else of_one_writing(store, kind)) in left
    write(store, kind, 3)
    assert of_one_writing(store, kind) == 3


REFUSED = {
    "expired": (Refuse(403, "ExpiredToken"), "the credentials have expired.*Renew them"),
    "skewed": (Refuse(403, "RequestTimeTooSkewed"), "this machine's clock is too far.*Set it"),
    "full": (Refuse(507, "InsufficientStorage"), "is full, or over its quota.*Make room"),
    "quota": (Refuse(403, "QuotaExceeded"), "is full, or over its quota.*Make room"),
    "denied": (Refuse(403, "AccessDenied"), "may not do this.*Give them the right"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("why", REFUSED)
def test_what_stays_refused_in_the_middle_is_told_and_leaves_no_mixture_that_is_read(
    proxy: FaultyProxy, proxied: Store, kind: str, why: str
) -> None:
    write(proxied, kind, 1)
    failure, words = REFUSED[why]
    uploads = 0

    def fail(request: Request) -> Failure | None:
        nonlocal uploads
        uploads += request.method == "PUT"
        return failure if uploads > (kind != "parquet") else None

    proxy.fail = fail
    with pytest.raises(StorageError, match=words) as caught:
        write(proxied, kind, 2)
    assert not is_transient(caught.value)
    assert "owner-secret" not in str(caught.value)
    proxy.fail = lambda _: None
    proxied.patience = 0.5
    left = of_one_writing(proxied, kind) if kind == "model" else stored(proxied, kind)
    assert left == (None if kind == "model" else 1), "of a model one of two files has come"
    write(proxied, kind, 3)
    assert of_one_writing(proxied, kind) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_credentials_that_expire_while_reading_are_not_taken_for_damage(
    proxy: FaultyProxy, proxied: Store, kind: str
) -> None:
    write(proxied, kind, 1)
    key, form = FORMATS[kind]
    opened = form.open(proxied, key)
    proxy.fail = lambda _: Refuse(403, "ExpiredToken")
    with pytest.raises(StorageError, match="the credentials have expired"):
        form.open(proxied, key)
    if kind in ("zarr", "cog"):
        with pytest.raises(StorageError, match="the credentials have expired"):
            opened.read(next(iter(opened.layers)))


# Found at start


def _no_bucket(server: SeaweedFS) -> Store:
    return Store("s3://no-such-bucket/a", settings(server.endpoint))


def _nobody_listens(_: SeaweedFS) -> Store:
    (port,) = free_ports(1)
    return Store(f"s3://{BUCKET}/a", settings(f"http://127.0.0.1:{port}", retries=1))


def _no_object_store(server: SeaweedFS) -> Store:
    master = next(one for one in server.command if one.startswith("-master.port="))
    endpoint = f"http://127.0.0.1:{master.partition('=')[2]}"
    return Store(f"s3://{BUCKET}/a", settings(endpoint, retries=1))


def _as(profile: str) -> Callable[[SeaweedFS], Store]:
    return lambda server: Store(f"s3://{BUCKET}/a", settings(server.endpoint, profile=profile))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (_no_bucket, r"there is no bucket of this name at http.*Make it, or change `storage`"),
        (_nobody_listens, r"cannot be reached. Check object_store.endpoint and the network"),
        (_no_object_store, r"object_store.endpoint"),
        (_as("reader"), r"may not do this.*Give them the right"),
        (_as("forged"), r"the secret key does not belong to the access key.*AWS_SECRET_ACCESS_KEY"),
        (_as("stranger"), r"the access key is not known at http.*AWS_ACCESS_KEY_ID"),
        (_as("missing"), r"no such profile.*object_store.profile"),
    ],
    ids=["bucket", "nobody", "other server", "reader", "secret", "key", "profile"],
)
def test_a_store_that_cannot_be_used_is_found_at_start(
    server: SeaweedFS, place: Callable[[SeaweedFS], Store], words: str
) -> None:
    with pytest.raises(StorageError, match=words) as caught:
        place(server).check()
    told = str(caught.value)
    assert told.startswith("s3://")
    assert "secret" not in told.replace("the secret key", "").lower().replace(
        "aws_secret_access_key", ""
    )


def test_a_store_without_credentials_is_found_at_start(
    server: SeaweedFS, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    store = Store(url, ObjectStore(endpoint=server.endpoint, region="us-east-1", retries=1))
    with pytest.raises(StorageError, match=r"no credentials were found\. Set AWS_ACCESS_KEY_ID"):
        store.check()


@pytest.mark.parametrize("why", ["skewed", "expired", "full"])
def test_what_the_store_says_is_told_at_start(proxy: FaultyProxy, proxied: Store, why: str) -> None:
    failure, words = REFUSED[why]
    proxy.fail = lambda _: failure
    with pytest.raises(StorageError, match=words):
        proxied.check()


def test_a_protocol_that_is_not_known_is_refused() -> None:
    with pytest.raises(StorageError, match=r"Write a folder, or s3://, gs:// or az://"):
        Store("s4://bucket/a")


# Behind our back


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["deleted", "cut short"])
def test_an_object_that_is_deleted_or_cut_short_is_named(
    server: SeaweedFS, impatient: Store, kind: str, how: str
) -> None:
    store = impatient
    write(store, kind, 1)
    key, _ = FORMATS[kind]
    other = server.client()
    inner = [f for f in other.find(store.root.path) if "@" in f or kind != "zarr"]
    victim = max(inner, key=lambda path: int(other.info(path)["size"]))
    if how == "deleted":
        other.rm_file(victim)
    else:
        content = other.cat_file(victim)
        other.pipe_file(victim, content[: len(content) * 2 // 3])
    with pytest.raises(StorageError, match=r"[Mm]aterialize") as caught:
        stored(store, kind)
    assert key in str(caught.value)
    assert not is_transient(caught.value)
    write(store, kind, 2)
    assert stored(store, kind) == 2


# The whole graph


def graph(configuration: Config) -> float:
    start = time.perf_counter()
    report = running.run(configuration, lambda _, __, outcomes: iter(list(outcomes)))
    assert report.succeeded, report.failures
    return time.perf_counter() - start


def test_the_graph_in_an_object_store_equals_that_in_a_folder(
    server: SeaweedFS,
    url: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "bucket").mkdir()
    in_folder = configured(tmp_path / "folder")
    in_bucket = configured(tmp_path / "bucket").model_copy(
        update={"storage": url, "object_store": settings(server.endpoint)}
    )
    seconds = graph(in_folder), graph(in_bucket)
    record_property(
        "figure",
        f"4 patches of 32 x 32 through the graph: {seconds[0]:.1f} s in a folder, "
        f"{seconds[1]:.1f} s in an object store",
    )
    stores = Store.of(in_folder), Store.of(in_bucket)
    of = formats()
    grids = [of["patch_grid"].open(store, key("patch_grid")) for store in stores]
    assert grids[0].patches == grids[1].patches
    for patch in grids[0].patches:
        for asset in ("raw_bands", "cloud_masks", "features", "predictions", "observation_stats"):
            one, other = (of[asset].open(s, key(asset, patch.key, YEAR)) for s in stores)
            one, other = (getattr(value, "cube", value) for value in (one, other))
            assert list(one.layers) == list(other.layers)
            for layer in one.layers:
                np.testing.assert_array_equal(one.read(layer), other.read(layer))
    models = [of["model"].open(store, key("model", year=YEAR)) for store in stores]
    assert models[0].text == models[1].text
    metrics = [of["evaluation"].open(s, key("evaluation", year=YEAR)).metrics for s in stores]
    assert json.dumps(metrics[0]) == json.dumps(metrics[1])
    maps = [of["mosaic"].open(store, key("mosaic", year=YEAR)) for store in stores]
    assert maps[1][LAND_COVER] == f"{stores[1].root.path}/mosaic/{YEAR}/land_cover.tif"
    hidden = [name for name in objects(stores[1]) if "/." in name]
    assert all(".zarr" in name for name in hidden), "all else lies at its key"
    for name in (LAND_COVER, CONFIDENCE, VALID_OBSERVATIONS):
        one, other = (s.fs.cat_file(m[name]) for s, m in zip(stores, maps, strict=True))
        assert one == other


def test_a_sample_and_its_areas_in_a_bucket_are_those_in_a_folder(
    server: SeaweedFS, url: str, tmp_path: Path
) -> None:
    reached = settings(server.endpoint).model_dump(exclude_unset=True)
    found = []
    for made in (
        JudgedMap(tmp_path / "folder"),
        JudgedMap(tmp_path / "bucket", storage=url, object_store=reached),
    ):
        made.write(map_of_three())
        made.sample(points=60)
        file = made.platform.reference_sample(2023)
        assert file is not None
        points = file.read().points
        with pytest.raises(RunError, match="is there already"):
            made.sample(points=60)
        judged = points.assign(reference=points["map_class"])
        local = tmp_path / "judged.gpkg"
        local.write_bytes(file.content)
        judged.to_file(local, layer="reference_sample", driver="GPKG")
        made.platform.store.put(REFERENCE_SAMPLE.format(year=2023), local.read_bytes())
        complemented = made.sample(points=90, again=True)
        assert (complemented.kept, complemented.set_aside) == (60, 0)
        drawn = made.platform.reference_sample(2023)
        assert drawn is not None
        sample = drawn.read()
        columns = (made.codes(), sample.written, sample.points["map_class_name"])
        for code, written, seen in zip(*columns, strict=True):
            if not written:
                made.say(code, "ana", seen)
        made.platform.filled_sample(2023)
        filled = sample_file(made.platform.store, REFERENCE_SAMPLE.format(year=2023))
        assert filled is not None
        assert filled.read().judged == 90
        statistics, key_of = made.statistics(), key("area_statistics", year=2023)
        formats()["area_statistics"].write(made.platform.store, key_of, statistics)
        formats()["area_statistics"].check(made.platform.store, key_of)
        stored = formats()["area_statistics"].open(made.platform.store, key_of)
        found.append((points.drop(columns="geometry").to_dict(), stored.content["total"]))
    assert found[0] == found[1]


# A year that grows


@pytest.fixture
def site(server: SeaweedFS, url: str, tmp_path: Path) -> Site:
    reached = settings(server.endpoint).model_dump(exclude_unset=True)
    found = Site.at(tmp_path, {"storage": url, "object_store": reached})
    assert not found.store.local
    return found


def test_a_year_that_grew_is_acquired_where_it_is_new(site: Site, tmp_path: Path) -> None:
    archive = Archive([acquisition(n) for n in (1, 3)])
    site.made(archive)
    archive.asked.clear()
    archive.acquisitions = [acquisition(n) for n in (1, 2, 3, 4)]
    site.made(archive)
    assert set(archive.asked) == {"A02", "A04"}
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


def test_what_has_come_before_a_failure_is_kept_until_it_is_pruned(
    site: Site, tmp_path: Path
) -> None:
    archive = Archive(
        [acquisition(n) for n in range(1, 7)], {"A04": TransientSourceError("it did not answer")}
    )
    with pytest.raises(TransientSourceError):
        site.made(archive)
    came = set(archive.asked) - {"A04"}
    assert came >= {"A01", "A02", "A03"}
    assert prune(site.store, NOW) == []
    assert len(prune(site.store, NOW, unfinished=NOW, dry_run=True)) == 1
    archive.asked.clear()
    archive.failing.clear()
    site.made(archive)
    assert set(archive.asked) == {"A04", "A05", "A06"} - came
    same(site.stack(), fresh(tmp_path, archive.acquisitions))
    prune(site.store, NOW)
    assert site.store.versions(site.key) == []
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


def test_what_was_damaged_in_a_year_is_acquired_again(site: Site, tmp_path: Path) -> None:
    archive = Archive([acquisition(n) for n in (1, 2, 3)])
    site.made(archive)
    version = site.store.physical(site.key)
    (part,) = site.store.fs.find(f"{version}/bands/c/1")
    content = site.store.fs.cat_file(part)
    site.store.fs.pipe_file(part, content[:-1] + bytes([content[-1] ^ 1]))
    (found,) = Verification(site.config)
    assert found.problem.endswith("damaged are A02")
    archive.asked.clear()
    site.made(archive)
    assert set(archive.asked) == {"A02"}
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


def test_a_catalog_in_a_bucket_leads_to_files_that_others_read(
    store: Store, server: SeaweedFS, tmp_path: Path
) -> None:
    """As a copy of the bucket shows, in which nothing of the platform is used."""
    assert catalogs.write(store, catalogs.make(store)) == 6
    root = str(store.root.path)
    for path in store.fs.find(root):
        target = tmp_path / path.removeprefix(f"{root}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(store.fs.cat_file(path))
    catalog = pystac.Catalog.from_file(tmp_path / "catalog" / str(catalogs.YEAR) / "catalog.json")
    assert catalogs.validate(catalog) == 6
    items = {item.collection_id: item for item in catalog.get_items(recursive=True)}
    files = [asset.get_absolute_href() for one in items.values() for asset in one.assets.values()]
    assert len(files) > 6
    assert all(Path(str(file)).exists() for file in files)
    of_map = items["mosaic"].assets["land_cover"].get_absolute_href()
    with rasterio.open(of_map) as raster:
        assert set(np.unique(raster.read(1))) == {0, 1, 3}
    imagery = xr.open_zarr(str(items["raw_bands"].assets["data"].get_absolute_href()))
    assert float(imagery.bands.isel(band=0, time=0).mean()) == pytest.approx(0.1)
    # The same from the bucket itself.
    where = {"endpoint": server.endpoint, "profile": "owner", "region": "us-east-1"}
    now = lc_platform.open(str(store.root), object_store=where).to_stac()
    mosaic = now.get_child("mosaic")
    assert mosaic is not None
    (item,) = mosaic.get_items()
    href = str(item.assets["land_cover"].get_absolute_href())
    assert href == f"{store.root}/mosaic/{catalogs.YEAR}/land_cover.tif"
    assert item.properties == items["mosaic"].properties


def test_what_lies_in_a_bucket_is_opened_lazily(
    server: SeaweedFS, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"endpoint": server.endpoint, "profile": "owner", "region": "us-east-1"}
    with pytest.raises(NotFoundError, match="is no store of the platform"):
        lc_platform.open(url, object_store=where)
    config = configured(tmp_path, 1, 1)
    bucket = config.model_copy(
        update={"storage": url, "object_store": ObjectStore.model_validate(where)}
    )
    bucket._folder = config._folder
    grid = stores.make(Platform(bucket))
    reader = lc_platform.open(url, object_store=where)
    assert list(reader.patches.index) == grid.keys
    assert reader.years == [YEAR]
    assert len(reader.classes) == 10
    read: list[Any] = []
    monkeypatch.setattr(zarr_cube.ZarrCube, "read", lambda *given, **_: read.append(given))
    imagery = reader.dataset("raw_bands", grid.keys[0], YEAR)
    assert read == []
    monkeypatch.undo()
    here = reader.patches.geometry.iloc[0]
    story = reader.at(here.centroid.x, here.centroid.y, YEAR)
    pixel = imagery.reflectance.sel(x=story.attrs["x"], y=story.attrs["y"], band="B08")
    np.testing.assert_array_equal(story.B08, pixel)
    assert len(reader.series(here)) == len(story)
    assert int(reader.land_cover(YEAR).max()) in reader.classes.index
    assert reader.status().loc[("predictions", YEAR)].tolist() == [1, 1, 0]
