"""Artefacts in real servers of Azure's and Google's kind, and what is told when they fail."""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec import AbstractFileSystem

from lc_platform.acquisition.budget import StoreLedger
from lc_platform.artefacts.formats import CogFormat, formats
from lc_platform.artefacts.layout import key
from lc_platform.commands import run as running
from lc_platform.config import Budget, Config, ConfigError, ObjectStore
from lc_platform.cube import Block, Layer
from lc_platform.errors.transient import is_transient
from lc_platform.products.mosaic import CONFIDENCE, LAND_COVER, VALID_OBSERVATIONS
from lc_platform.sources.protocol import Cost, QuotaError, TransientSourceError
from lc_platform.storage import zarr_cube
from lc_platform.storage.errors import (
    DamagedArtefactError,
    MissingArtefactError,
    StorageError,
    UnavailableError,
)
from lc_platform.storage.exclusive import create, doubt
from lc_platform.storage.prune import prune
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store
from lc_platform_tests.breakable import BreakableHandler, serving
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
from lc_platform_tests.infra import servers
from lc_platform_tests.servers import AZURITE, BUCKET, Emulator, azurite, fake_gcs, free_ports
from lc_platform_tests.storage.artefacts import (
    FORMATS,
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
def url(emulator: Emulator) -> str:
    return f"{emulator.scheme}://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def store(emulator: Emulator, url: str) -> Store:
    return Store(url, ObjectStore(endpoint=emulator.endpoint))


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[FaultyProxy]:
    # An account of Azurite's is a path.
    address, account = emulator.endpoint[:7], emulator.endpoint[7:].partition("/")
    with faulty_proxy(address + account[0]) as running:
        running.endpoint += account[1] + account[2]
        yield running


@pytest.fixture
def proxied(proxy: FaultyProxy, url: str) -> Store:
    """The store by way of the proxy, which gives up soon."""
    return Store(url, by(proxy, retries=2))


def by(proxy: FaultyProxy, **given: Any) -> ObjectStore:
    return ObjectStore(endpoint=proxy.endpoint, **{"read_timeout": 2, "connect_timeout": 2} | given)


def objects(store: Store) -> list[str]:
    """All there is, below the store's prefix."""
    root = str(store.root.path)
    return sorted(path.removeprefix(f"{root}/") for path in store.fs.find(root))


# What is there


def test_a_store_that_can_be_used_passes_the_check_and_is_left_as_it_was(store: Store) -> None:
    store.put("a.json", b"{}")
    store.check()
    assert objects(store) == ["a.json"]


def test_a_whole_bucket_may_be_the_store(emulator: Emulator) -> None:
    store = Store(f"{emulator.scheme}://{BUCKET}", ObjectStore(endpoint=emulator.endpoint))
    store.check()
    store.put("only/here.json", b"{}")
    assert "only" in store.names("")
    assert store.names("only") == ["here.json"]
    store.remove("only/here.json")
    assert store.names("only") == []


def test_a_file_of_no_bytes_reads_as_such(store: Store) -> None:
    store.put("empty", b"")
    assert store.read_bytes("empty") == b""
    assert store.names("") == ["empty"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_reads_as_it_was_written_and_replaces_the_one_before(
    store: Store, kind: str
) -> None:
    key, form = FORMATS[kind]
    with pytest.raises(MissingArtefactError, match=r"://.* not .*there.*Materialize it first"):
        form.open(store, key)
    assert not store.exists(key)
    for version in (1, 2):
        write(store, kind, version)
        assert stored(store, kind) == version
    assert store.exists(key)


def test_of_several_who_create_a_file_one_does(store: Store) -> None:
    contents = [str(i).encode() for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        created = list(pool.map(lambda content: create(store, "marks/one", content), contents))
    assert created.count(True) == 1
    assert store.read_bytes("marks/one") == contents[created.index(True)]
    assert not create(store, "marks/one", b"late")
    assert doubt(store) is None


def test_what_is_removed_is_gone(store: Store) -> None:
    for kind in KINDS:
        write(store, kind, 1)
        store.remove(FORMATS[kind][0])
        assert not store.exists(FORMATS[kind][0])
        assert store.names(FORMATS[kind][0].rpartition("/")[0]) == []
    prune(store, NOW)
    assert objects(store) == []


def test_names_of_longer_ones_are_not_taken_for_a_folders(store: Store) -> None:
    for one in ("a/p.json", "a/p.more.json", "a/p.d/deeper.json", "a-b/p.json", "ab/p.json"):
        store.put(one, b"{}")
    assert store.names("a") == ["p.d", "p.json", "p.more.json"]
    assert store.files("a", "p.") == ["p.json", "p.more.json"]
    assert store.files("a", "q") == store.names("b") == []
    many = [f"a/{n}.json" for n in range(20)]
    assert store.there([*many, "a/p.json"]) == {"a/p.json"}


def test_files_lie_at_their_keys_and_nothing_beside_them(emulator: Emulator, store: Store) -> None:
    for kind in ("cog", "model"):
        for version in (1, 2):
            write(store, kind, version)
    expected = [
        "model/2020/model.txt",
        "model/2020/model_card.json",
        "predictions/2020/p.parquet",
        "predictions/2020/p.png",
        "predictions/2020/p.tif",
        "predictions/2020/p.tif.aux.xml",
    ]
    assert objects(store) == expected
    text = emulator.client().cat_file(f"{store.root.path}/model/2020/model.txt")
    assert text.startswith(b"tree 2\n")


def test_files_of_two_writings_are_damaged(store: Store) -> None:
    write(store, "model", 1)
    write(other := Store(f"{store}-other", store.settings), "model", 2)
    card = "model/2020/model_card.json"
    store.fs.cp_file(other.plain(card), store.plain(card))
    store.patience = 0.5
    with pytest.raises(DamagedArtefactError, match=r"do not belong together.*Materialize it again"):
        stored(store, "model")


def test_a_large_file_says_which_writing_it_came_by(store: Store) -> None:
    with store.bundle("mosaic/2020", "a.tif") as staging:
        for name, size in (("a.tif", 40 * 2**20), ("b.tif", 1)):
            with staging.file(name) as path:
                path.write_bytes(os.urandom(size))
    read = store.read_together("mosaic/2020", "a.tif", "b.tif")
    assert [len(content) for content in read] == [40 * 2**20, 1]
    wanted = [(store.plain(f"mosaic/2020/{name}.tif"), 0, 10) for name in "ab"]
    found = store.fs.fetch_all(wanted, origin=True)
    assert found[0].writing == found[1].writing is not None
    assert [one.size for one in found] == [40 * 2**20, 1]
    assert store.fs.fetch(store.plain("mosaic/2020/a.tif"), 5, 9).content == found[0].content[5:9]


# One version or the other


def _write_versions(
    url: str,
    endpoint: str,
    environment: Mapping[str, str],
    kinds: tuple[str, ...],
    versions: range,
    at: int | None = None,
) -> None:
    os.environ.update(environment)
    store = Store(url, ObjectStore(endpoint=endpoint))
    for version in versions:
        for kind in kinds:
            write(store, kind, version, at)


def test_readers_see_one_version_while_a_process_writes(emulator: Emulator, store: Store) -> None:
    seen: dict[str, set[int]] = {kind: set() for kind in KINDS}
    for kind in KINDS:
        write(store, kind, 1)
    given = str(store.root), emulator.endpoint, emulator.environment, KINDS, range(2, 5)
    writer = started(_write_versions, *given)
    while writer.is_alive():
        for kind in KINDS:
            with suppress(UnavailableError):  # it was replaced while it was read
                seen[kind].add(stored(store, kind))
    assert writer.exitcode == 0
    assert all(len(found) > 1 for found in seen.values())
    prune(store, NOW)
    assert {stored(store, kind) for kind in KINDS} == {4}


def test_a_killed_write_leaves_the_old_artefact_and_prune_what_it_left(
    emulator: Emulator, store: Store
) -> None:
    write(store, "zarr", 1)
    whole = objects(store)
    given = str(store.root), emulator.endpoint, emulator.environment, ("zarr",), range(2, 3), 4
    writer = started(_write_versions, *given)
    writer.join()
    assert writer.exitcode == -9
    assert stored(store, "zarr") == 1
    assert len(objects(store)) > len(whole)
    prune(store, NOW)
    assert objects(store) == whole
    assert stored(store, "zarr") == 1


def test_what_was_replaced_is_left_to_its_readers_until_it_is_pruned(store: Store) -> None:
    for kind in ("zarr", "cog"):
        write(store, kind, 1)
    opened = {kind: FORMATS[kind][1].open(store, FORMATS[kind][0]) for kind in ("zarr", "cog")}
    for kind in ("zarr", "cog"):
        write(store, kind, 2)
    before = objects(store)
    assert np.array_equal(opened["zarr"].read("values"), noise(1, (2, *geobox().shape), "uint16"))
    with pytest.raises(UnavailableError, match=r"replaced while it was read.*Run again"):
        opened["cog"].read("class")
    assert prune(store, timedelta(hours=1)) == []
    planned = prune(store, NOW, dry_run=True)
    assert objects(store) == before
    assert sum(one.bytes for one in planned) > 100_000
    assert [one.key.partition("@")[0] for one in planned] == ["raw_bands/2020/.p.zarr"]
    assert prune(store, NOW) == planned
    assert prune(store, NOW) == []
    assert {stored(store, kind) for kind in ("zarr", "cog")} == {2}
    with pytest.raises(StorageError, match=r"replaced while it was read.*Run again"):
        opened["zarr"].read("values")


# Requests


def test_a_window_of_a_large_raster_is_read_by_ranges(
    proxy: FaultyProxy, proxied: Store, record_property: Callable[[str, object], None]
) -> None:
    grid = geobox(2048, 2048)
    bands = {"class": Layer((), "uint8"), "confidence": Layer((), "uint8")}
    size = CogFormat(lambda raster: raster).write(proxied, "a/p.tif", cube(1, bands, grid=grid))
    proxy.requests.clear()
    raster = RasterCube(proxied, "a/p.tif")
    opening = len(proxy.requests), sum(one.bytes for one in proxy.requests)
    proxy.requests.clear()
    window = slice(1030, 1530), slice(1030, 1530)
    values = raster.read("confidence", window)
    assert np.array_equal(values, noise(1, grid.shape, "uint8")[window])
    reading = len(proxy.requests), sum(one.bytes for one in proxy.requests)
    record_property(
        "figure",
        f"{proxied}: COG of {size / 1e6:.0f} MB: opened by {opening[0]} requests and "
        f"{opening[1] / 1e3:.0f} kB, a window of one block read by {reading[0]} and "
        f"{reading[1] / 1e3:.0f} kB",
    )
    assert opening[1] < 100_000
    assert reading[0] <= 3
    assert reading[1] < 600_000


def test_a_window_of_a_cube_is_read_by_ranges(
    proxy: FaultyProxy, proxied: Store, record_property: Callable[[str, object], None]
) -> None:
    grid = geobox(1024, 1024)
    layer = Layer(("time",), "uint16", fill=0, chunks=(2,), compressed=(1,), tile=1024)

    def blocks(_: Any) -> Iterator[Block]:
        whole = slice(0, 1024), slice(0, 1024)
        yield Block("values", (slice(0, 2),), whole, noise(1, (2, 1024, 1024), "uint16"))

    computed = dataclasses.replace(cube(1, {"values": layer}, grid=grid), blocks=blocks)
    zarr_cube.write(proxied, "a/p.zarr", computed)
    stack = zarr_cube.ZarrCube(proxied, "a/p.zarr")
    proxy.requests.clear()
    window = slice(256, 512), slice(512, 768)
    values = stack.read("values", window)
    assert np.array_equal(values, noise(1, (2, 1024, 1024), "uint16")[(..., *window)])
    read = sum(one.bytes for one in proxy.requests)
    record_property(
        "figure",
        f"{proxied}: Zarr shard of 4 MB: a window of 256 x 256 of 2 dates read by "
        f"{len(proxy.requests)} requests and {read / 1e3:.0f} kB",
    )
    # The shard's index, which Azure must be asked the length for, and a chunk of each date.
    assert len(proxy.requests) <= 2 + 2
    assert read < 4 * values.nbytes


def test_a_large_file_goes_up_in_parts(proxy: FaultyProxy, url: str, emulator: Emulator) -> None:
    # 16 MB through the proxy take a busy machine longer than what the other tests wait for.
    store, content = Store(url, by(proxy, read_timeout=60)), os.urandom(40 * 2**20)
    store.put("large.bin", content)
    sent = [one for one in proxy.requests if one.method in ("PUT", "POST")]
    beside = {"az": "the list of its parts", "gs": "the beginning of the upload"}
    assert len(sent) == 3 + 1, f"parts of 16 MB, and {beside[emulator.scheme]}"
    assert store.read_bytes("large.bin") == content
    brought = [one for one in proxy.requests if one.bytes > 2**20]
    assert len(brought) == 1, "of one object, also where it is replaced meanwhile"


def test_no_more_requests_are_under_way_than_there_may_be(proxy: FaultyProxy, url: str) -> None:
    store = Store(url, by(proxy, connections=3))
    write(store, "zarr", 1)
    assert stored(store, "zarr") == 1
    for number in range(12):
        store.put(f"many/{number}.json", b"{}")
    store.fs.cat_ranges([store.plain(f"many/{n}.json") for n in range(12)], [0] * 12, [None] * 12)
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
    "a storm of refusals": Refuse(503, "ServerBusy"),
    "an answer that stops for too long": Slow(1.0),
    "a broken connection": Reset(),
    "a body that is cut short": Cut(),
}


@pytest.mark.parametrize("failure", PASSING)
def test_failures_that_pass_are_tried_again(proxy: FaultyProxy, url: str, failure: str) -> None:
    store = Store(url, by(proxy, retries=4, read_timeout=0.5))
    proxy.fail = sometimes(PASSING[failure], every=19)
    for kind in ("zarr", "cog"):
        write(store, kind, 1)
        assert stored(store, kind) == 1
    assert len(proxy.requests) >= 19


def test_too_many_requests_at_google_are_tried_again_later(
    emulator: Emulator, proxy: FaultyProxy, url: str
) -> None:
    if emulator.scheme != "gs":
        pytest.skip("Azure says so by 503")
    store = Store(url, by(proxy, retries=4))
    proxy.fail = sometimes(Refuse(429, "rateLimitExceeded"), every=2)
    store.put("a", b"1")
    assert store.read_bytes("a") == b"1"


@pytest.mark.parametrize("kind", ["zarr", "parquet"])
@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Refuse(503, "ServerBusy"), "cannot serve this now"),
        (Reset(), "cannot be reached|broke off"),
    ],
    ids=["busy", "reset"],
)
def test_failures_that_stay_may_be_tried_again_later_and_nothing_is_half_written(
    proxy: FaultyProxy, url: str, kind: str, failure: Failure, words: str
) -> None:
    store = Store(url, by(proxy, retries=0))
    write(store, kind, 1)
    uploads = 0

    def fail(request: Request) -> Failure | None:
        nonlocal uploads
        uploads += request.method in ("PUT", "POST")
        return failure if uploads > (kind != "parquet") else None

    proxy.fail = fail
    with pytest.raises(UnavailableError, match=words) as caught:
        write(store, kind, 2)
    assert is_transient(caught.value)
    assert FORMATS[kind][0].removesuffix(".tif") in str(caught.value)
    proxy.fail = lambda _: failure
    with pytest.raises(UnavailableError, match=words):
        stored(store, kind)
    with pytest.raises(UnavailableError, match=words):
        store.remove(FORMATS[kind][0])
    with pytest.raises(UnavailableError, match=words):
        prune(store, NOW)
    proxy.fail = lambda _: None
    assert stored(store, kind) in ({1, 2} if kind == "parquet" else {1})


REFUSED = {
    "azure-denied": (Refuse(403, "AuthorizationPermissionMismatch"), "may not do this.*the right"),
    "azure-key": (Refuse(403, "AuthenticationFailed"), "is not accepted.*machine's clock"),
    "gcs-denied": (Refuse(403, "forbidden"), "may not do this.*Give them the right"),
    "gcs-expired": (Refuse(401, "authError"), "not accepted, or have expired.*Renew them"),
    "other": (Refuse(409, "SomethingElse"), r"refuses this \((SomethingElse|409)\)"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_stays_refused_in_the_middle_is_told_and_leaves_the_old_artefact(
    proxy: FaultyProxy, proxied: Store, emulator: Emulator, why: str
) -> None:
    if why.partition("-")[0] not in ("other", {"az": "azure", "gs": "gcs"}[emulator.scheme]):
        pytest.skip("an answer of the other provider")
    failure, words = REFUSED[why]
    for kind in ("zarr", "parquet"):
        write(proxied, kind, 1)
        opened = FORMATS[kind][1].open(proxied, FORMATS[kind][0])
        uploads = 0

        def fail(request: Request, free: int = kind != "parquet") -> Failure | None:
            nonlocal uploads
            uploads += request.method in ("PUT", "POST")
            return failure if uploads > free else None

        proxy.fail = fail
        with pytest.raises(StorageError, match=words) as caught:
            write(proxied, kind, 2)
        assert not is_transient(caught.value)
        assert AZURITE[1] not in str(caught.value)
        proxy.fail = lambda _: failure
        if kind == "zarr":
            with pytest.raises(StorageError, match=words):
                opened.read("values")
        proxy.fail = lambda _: None
        assert stored(proxied, kind) == 1


# Found at start


def test_a_missing_bucket_is_found_at_start(emulator: Emulator) -> None:
    store = Store(f"{emulator.scheme}://no-such-bucket/a", ObjectStore(endpoint=emulator.endpoint))
    words = r"there is no (bucket|container) of this name at http.*Make it, or change `storage`"
    with pytest.raises(StorageError, match=words) as caught:
        store.check()
    assert not is_transient(caught.value)


def test_a_server_that_does_not_answer_is_found_at_start(url: str) -> None:
    (port,) = free_ports(1)
    store = Store(url, ObjectStore(endpoint=f"http://127.0.0.1:{port}", retries=1))
    words = f"http://127.0.0.1:{port} cannot be reached. Check object_store.endpoint"
    with pytest.raises(UnavailableError, match=words):
        store.check()


def test_another_server_is_found_at_start(url: str) -> None:
    with serving(_handler(lambda *_: (404, b"no such page"))) as other:
        store = Store(url, ObjectStore(endpoint=other, retries=0))
        with pytest.raises(StorageError, match=r"object_store\.endpoint|change `storage`"):
            store.check()


def test_what_the_store_refuses_is_told_at_start(proxy: FaultyProxy, proxied: Store) -> None:
    proxy.fail = lambda _: Refuse(403, "AuthorizationFailure")
    with pytest.raises(StorageError, match=r"these credentials may not do this.*Give them the"):
        proxied.check()


def _azure(**environment: str | None) -> dict[str, str | None]:
    names = ("ACCOUNT_NAME", "ACCOUNT_KEY", "CONNECTION_STRING", "SAS_TOKEN", "CLIENT_ID")
    given = zip(names, (*AZURITE, None, None, None), strict=True)
    return {**{f"AZURE_STORAGE_{name}": value for name, value in given}, **environment}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (
            _azure(AZURE_STORAGE_ACCOUNT_KEY=base64.b64encode(b"forged" * 8).decode()),
            r"(may not do this|is not accepted)",
        ),
        (_azure(AZURE_STORAGE_ACCOUNT_KEY="secret!"), "the account key is none. Check AZURE_STOR"),
        (
            _azure(AZURE_STORAGE_ACCOUNT_NAME=None),
            "no Azure storage account is named. Set AZURE_STORAGE_ACCOUNT_NAME",
        ),
        (_azure(AZURE_STORAGE_ACCOUNT_KEY=None), "go over https only"),
        (
            _azure(AZURE_STORAGE_CONNECTION_STRING="AccountName=a;AccountKey=secret"),
            "names an endpoint of its own. Unset it",
        ),
    ],
    ids=["forged key", "no key", "no account", "http", "two endpoints"],
)
def test_azures_credentials_that_do_not_suffice_are_found_at_start(
    azure: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    environment: Mapping[str, str | None],
    words: str,
) -> None:
    _set(monkeypatch, environment)
    with pytest.raises(StorageError, match=words) as caught:
        Store(f"az://{BUCKET}/a", ObjectStore(endpoint=azure.endpoint)).check()
    assert str(caught.value).startswith(f"az://{BUCKET}/a")
    assert "secret" not in str(caught.value).lower()


def test_a_connection_string_names_account_key_and_endpoint(
    azure: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = (
        f"DefaultEndpointsProtocol=http;AccountName={AZURITE[0]};AccountKey={AZURITE[1]};"
        f"BlobEndpoint={azure.endpoint}"
    )
    none = {"AZURE_STORAGE_ACCOUNT_NAME": None, "AZURE_STORAGE_ACCOUNT_KEY": None}
    _set(monkeypatch, {"AZURE_STORAGE_CONNECTION_STRING": told, **none})
    Store(f"az://{BUCKET}/{uuid.uuid4().hex}").check()
    _set(monkeypatch, {"AZURE_STORAGE_CONNECTION_STRING": "secret", **none})
    with pytest.raises(StorageError, match=r"is no connection string\. Copy it anew") as caught:
        Store(f"az://{BUCKET}/a")
    assert "secret" not in str(caught.value)


def test_a_signature_suffices_to_write_read_and_copy(
    azure: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    rights = ContainerSasPermissions(read=True, write=True, delete=True, list=True, create=True)
    until = datetime.now(UTC) + timedelta(hours=1)
    name, key = AZURITE
    signature = generate_container_sas(name, BUCKET, key, permission=rights, expiry=until)
    _set(monkeypatch, _azure(AZURE_STORAGE_ACCOUNT_KEY=None, AZURE_STORAGE_SAS_TOKEN=signature))
    store = Store(f"az://{BUCKET}/{uuid.uuid4().hex}", ObjectStore(endpoint=azure.endpoint))
    store.check()
    write(store, "cog", 1)
    assert stored(store, "cog") == 1
    assert store.names("predictions/2020") == ["p.parquet", "p.png", "p.tif", "p.tif.aux.xml"]
    until = datetime.now(UTC) - timedelta(hours=1)
    expired = generate_container_sas(name, BUCKET, key, permission=rights, expiry=until)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", expired)
    late = Store(f"az://{BUCKET}/b", ObjectStore(endpoint=azure.endpoint, retries=1))
    with pytest.raises(StorageError, match=r"may not do this|is not accepted") as caught:
        late.check()
    assert "sig=" not in str(caught.value)


def test_google_without_credentials_is_found_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    servers.module("gcsfs", "gcsfs")
    _no_google(monkeypatch, tmp_path)
    words = "no Google credentials were found.*GOOGLE_APPLICATION_CREDENTIALS"
    with pytest.raises(StorageError, match=words):
        Store(f"gs://{BUCKET}/a")
    (tmp_path / "key.json").write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(StorageError, match=words):
        Store(f"gs://{BUCKET}/a")


# By https, and with credentials that are tokens


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1 and of nobody's authority, with its key."""
    servers.module("cryptography", "adlfs")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, form, serialization.NoEncryption()) + made.public_bytes(pem)
    )
    return file


@pytest.fixture(scope="module")
def azure_by_https(
    certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    with azurite(tmp_path_factory.mktemp("azure-https"), certificate) as running:
        yield running


@pytest.fixture(scope="module")
def google_by_https(
    certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    with fake_gcs(tmp_path_factory.mktemp("google-https"), certificate) as running:
        yield running


def test_azures_authority_must_be_trusted(
    azure_by_https: Emulator, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _set(monkeypatch, _azure())
    _only_trusted(f"az://{BUCKET}/{uuid.uuid4().hex}", azure_by_https, certificate, tmp_path)


def test_googles_authority_must_be_trusted(
    google_by_https: Emulator, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _no_google(monkeypatch, tmp_path)
    with _tokens() as issuer:
        _account(monkeypatch, tmp_path, issuer.url)
        _only_trusted(f"gs://{BUCKET}/{uuid.uuid4().hex}", google_by_https, certificate, tmp_path)


def _only_trusted(url: str, server: Emulator, certificate: Path, tmp_path: Path) -> None:
    def reached(verify: bool | str) -> Store:
        return Store(url, ObjectStore(endpoint=server.endpoint, retries=0, verify=verify))

    with pytest.raises(StorageError, match=r"certificate of https.* is not trusted.*verify"):
        reached(True).check()
    for verify in (str(certificate), False):
        reached(verify).check()
        write(reached(verify), "zarr", 1)
        assert stored(reached(verify), "zarr") == 1
    with pytest.raises(StorageError, match=r"object_store\.verify: .*is no file of certificates"):
        reached(str(tmp_path / "none.pem"))


def test_azures_default_credentials_are_taken_where_there_is_no_key(
    azure_by_https: Emulator, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ObjectStore(endpoint=azure_by_https.endpoint, verify=str(certificate), retries=0)
    with _tokens() as issuer:
        identity = {"IDENTITY_ENDPOINT": issuer.url, "IDENTITY_HEADER": "secret"}
        _set(monkeypatch, _azure(AZURE_STORAGE_ACCOUNT_KEY=None, **identity))
        store = Store(f"az://{BUCKET}/{uuid.uuid4().hex}", settings)
        store.check()
        write(store, "cog", 1)
        assert stored(store, "cog") == 1
        issuer.refuses = True
        refused = Store(f"az://{BUCKET}/b", settings.model_copy(update={"retries": 1}))
        with pytest.raises(StorageError, match="no Azure credentials were found, or they are ref"):
            refused.check()


def test_googles_credentials_are_those_of_the_file(
    google_by_https: Emulator,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    _no_google(monkeypatch, tmp_path)
    given = {"endpoint": google_by_https.endpoint, "verify": str(certificate)}
    with _tokens() as issuer:
        _account(monkeypatch, tmp_path, issuer.url)
        Store(f"gs://{BUCKET}/{uuid.uuid4().hex}", ObjectStore(**given, retries=0)).check()
        assert issuer.given > 0
        issuer.refuses = True
        refused = Store(f"gs://{BUCKET}/b", ObjectStore(**given, retries=1))
        with pytest.raises(StorageError, match=r"not accepted, or have expired.*Renew them") as no:
            refused.check()
        assert not is_transient(no.value)


@dataclasses.dataclass
class Issuer:
    """Gives tokens, as Google's server does to an account and Azure's to a machine."""

    url: str = ""
    given: int = 0
    refuses: bool = False

    def answer(self, *_: str) -> tuple[int, bytes]:
        if self.refuses:
            return 400, b'{"error": "invalid_grant", "error_description": "no such account"}'
        self.given += 1
        now = int(time.time())
        claims = {
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + 3600,
            "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
            "aud": "https://storage.azure.com",
        }
        parts = ({"alg": "none", "typ": "JWT"}, claims, {})
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in parts
        )
        told = {"access_token": token, "token_type": "Bearer", "expires_in": 3600, "resource": ""}
        return 200, json.dumps({**told, "expires_on": str(now + 3600)}).encode()


class _tokens:  # noqa: N801
    """A running `Issuer`."""

    def __enter__(self) -> Issuer:
        issuer = Issuer()
        self._server = serving(_handler(issuer.answer))
        issuer.url = f"{self._server.__enter__()}/token"
        return issuer

    def __exit__(self, *error: Any) -> None:
        self._server.__exit__(*error)


def _handler(answer: Callable[..., tuple[int, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BreakableHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = answer(self.command, self.path)
            self.send_response_only(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _answer  # noqa: N815

    return Handler


def _account(monkeypatch: pytest.MonkeyPatch, folder: Path, issuer: str) -> None:
    """A Google service account, whose tokens an issuer gives."""
    servers.module("cryptography", "gcsfs")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    told = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": key.private_bytes(
            serialization.Encoding.PEM, form, serialization.NoEncryption()
        ).decode(),
        "client_email": "platform@p.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": issuer,
    }
    (folder / "account.json").write_text(json.dumps(told))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "account.json"))


def _no_google(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    _set(
        monkeypatch,
        {
            "GOOGLE_APPLICATION_CREDENTIALS": None,
            "STORAGE_EMULATOR_HOST": None,
            "CLOUDSDK_CONFIG": str(folder),
            "NO_GCE_CHECK": "true",
        },
    )


def _known(kind: type[AbstractFileSystem] = AbstractFileSystem) -> Iterator[Any]:
    for one in kind.__subclasses__():
        yield one
        yield from _known(one)


def _set(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    # A file system that was made before knows the environment of then.
    for kind in _known():
        kind.clear_instance_cache()


# Behind our back


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["deleted", "cut short"])
def test_an_object_that_is_deleted_or_cut_short_is_named(
    emulator: Emulator, store: Store, kind: str, how: str
) -> None:
    write(store, kind, 1)
    store.patience = 0.5
    key, _ = FORMATS[kind]
    other = emulator.client()
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


# The budget


def test_the_budget_ends_all_ledgers(store: Store) -> None:
    budget = Budget(processing_units=60)
    charged = [0.0] * 3
    start = threading.Barrier(3)

    def work(index: int) -> None:
        ledger = StoreLedger(store, budget)
        cost = Cost(1, 1.0)
        start.wait()
        while True:
            try:
                ledger.reserve(cost)
            except QuotaError:
                ledger.flush()
                return
            ledger.settle(cost, cost)
            charged[index] += 1.0

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.9 * 60 <= sum(charged) <= 60
    assert StoreLedger(store, budget).spending().spent.processing_units == sum(charged)


# The whole graph


def graph(configuration: Config) -> float:
    start = time.perf_counter()
    report = running.run(configuration, lambda _, __, outcomes: iter(list(outcomes)))
    assert report.succeeded, report.failures
    return time.perf_counter() - start


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A small graph that is made."""
    configuration = configured(tmp_path_factory.mktemp("folder"), columns=1, rows=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        graph(configuration)
    return configuration


@pytest.mark.slow
@pytest.mark.proof
def test_the_graph_in_an_object_store_equals_that_in_a_folder(
    emulator: Emulator,
    in_folder: Config,
    url: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    in_bucket = configured(tmp_path, columns=1, rows=2).model_copy(
        update={"storage": url, "object_store": ObjectStore(endpoint=emulator.endpoint)}
    )
    record_property(
        "figure", f"2 patches of 32 x 32 through the graph at {url[:5]}: {graph(in_bucket):.1f} s"
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
    maps = [of["mosaic"].open(store, key("mosaic", year=YEAR)) for store in stores]
    for name in (LAND_COVER, CONFIDENCE, VALID_OBSERVATIONS):
        one, other = (s.fs.cat_file(m[name]) for s, m in zip(stores, maps, strict=True))
        assert one == other


def test_what_has_come_before_a_failure_is_taken_over(
    emulator: Emulator, url: str, tmp_path: Path
) -> None:
    site = Site.at(tmp_path, {"storage": url, "object_store": {"endpoint": emulator.endpoint}})
    archive = Archive(
        [acquisition(n) for n in range(1, 7)], {"A04": TransientSourceError("it did not answer")}
    )
    with pytest.raises(TransientSourceError):
        site.made(archive)
    came = set(archive.asked) - {"A04"}
    archive.asked.clear()
    archive.failing.clear()
    site.made(archive)
    assert set(archive.asked) == {"A04", "A05", "A06"} - came
    prune(site.store, NOW)
    assert site.store.versions(site.key) == []
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


# Keys that are another provider's


@pytest.mark.parametrize("storage", ["az://c/a", "abfs://c/a", "gs://b/a", "${LC_TEST_PLACE}"])
@pytest.mark.parametrize("given", [{"region": "r"}, {"profile": "p"}, {"path_style": False}])
def test_what_is_s3s_own_is_refused_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, given: dict[str, Any]
) -> None:
    monkeypatch.setenv("LC_TEST_PLACE", "gs://b/a")
    (name,) = given
    with pytest.raises(
        ConfigError, match=rf"object_store\.{name}: does nothing at \w+://, it is S3's"
    ):
        _ = Site.at(tmp_path, {"storage": storage, "object_store": given}).config.store_settings


def test_googles_endpoint_has_no_path(tmp_path: Path) -> None:
    given = {"endpoint": "https://gcs.example.org/storage"}
    with pytest.raises(ConfigError, match=r"object_store\.endpoint: .* has a path"):
        Site.at(tmp_path, {"storage": "gs://b/a", "object_store": given})
