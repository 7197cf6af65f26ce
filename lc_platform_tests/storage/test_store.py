"""Artefacts appear whole or not at all, in a folder and in an object store."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import uuid
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from lc_platform.artefacts.formats import SamplesFormat
from lc_platform.storage import exclusive
from lc_platform.storage.errors import MissingArtefactError, StorageError
from lc_platform.storage.exclusive import create
from lc_platform.storage.prune import Orphan, prune
from lc_platform.storage.store import Store
from lc_platform_tests.storage.artefacts import (
    FORMATS,
    elsewhere,
    started,
    stored,
    table_version,
    write,
)

KINDS = tuple(FORMATS)


def test_a_folder_makes_a_file_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert exclusive.doubt(store) is None
    assert create(store, "one", b"first")
    assert not create(store, "one", b"second")


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(str(tmp_path / "data" / "store"))
    return Store(f"memory://{uuid.uuid4().hex}/store")


def hidden(store: Store) -> list[str]:
    """Hidden names that no artefact consists of: what a writer left behind."""
    root = Path(str(store.root))
    used = {os.readlink(p) for p in root.rglob("*") if p.is_symlink()}  # noqa: PTH115
    used |= {p.name for p in root.rglob(".*.current")}
    within = [p.relative_to(root) for p in root.rglob(".*")]
    return [str(p) for p in within if p.name not in used and not used & set(p.parts)]


def test_a_file_reads_as_it_was_put_and_replaces_the_one_before(store: Store) -> None:
    store.put("a/b.json", b"old")
    store.put("a/b.json", b"new")
    assert store.exists("a/b.json")
    assert store.read_bytes("a/b.json") == b"new"
    assert store.names("a") == ["b.json"]


def test_a_file_is_created_where_there_is_none(store: Store) -> None:
    assert create(store, "marks/one", b"first")
    assert not create(store, "marks/one", b"second")
    assert store.read_bytes("marks/one") == b"first"


def test_a_file_whose_writer_fails_does_not_appear(store: Store) -> None:
    def fail() -> None:
        with store.file("a/b.json") as path:
            path.write_bytes(b"half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert not store.exists("a/b.json")
    assert store.names("a") == []
    with pytest.raises(MissingArtefactError, match=r"b\.json: is not there"):
        store.read_bytes("a/b.json")


def test_a_folder_whose_writer_fails_leaves_the_one_before(store: Store) -> None:
    def fill(content: bytes, error: Exception | None = None) -> None:
        with store.folder("model/2020") as staging:
            for name in ("x", "y"):
                with staging.file(name) as path:
                    path.write_bytes(content)
            if error:
                raise error

    fill(b"old")
    before = store.physical("model/2020")
    with pytest.raises(KeyError):
        fill(b"half", KeyError("stop"))
    assert store.physical("model/2020") == before
    assert store.fs.cat_file(f"{before}/x") == b"old"
    fill(b"new")
    assert store.fs.cat_file(f"{store.physical('model/2020')}/y") == b"new"
    if not store.local:
        assert store.fs.exists(before), "a reader may still be at it"
        prune(store, timedelta(0))
    assert not store.fs.exists(before), "a version that is replaced is removed"


def test_siblings_lie_side_by_side_and_only_they_are_visible(store: Store) -> None:
    write(store, "cog", 1)
    assert store.names("predictions/2020") == ["p.parquet", "p.png", "p.tif", "p.tif.aux.xml"]
    assert store.read_bytes("predictions/2020/p.png") == b"1"
    assert table_version(store.read_bytes("predictions/2020/p.parquet")) == 1


def test_a_sibling_that_is_no_longer_made_goes_with_its_version(store: Store) -> None:
    for names in (("part.tif", "part.png"), ("part.tif",)):
        with store.siblings("f/p", "part.tif") as staging:
            for name in names:
                with staging.file(name) as path:
                    path.write_bytes(b"x")
    assert store.names("f") == ["p.tif"]
    assert not store.exists("f/p.png")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_removed_is_gone_with_all_that_belongs_to_it(store: Store, kind: str) -> None:
    key, _ = FORMATS[kind]
    write(store, kind, 1)
    assert store.exists(key)
    store.remove(key)
    assert not store.exists(key)
    folder = key.rpartition("/")[0]
    assert store.names(folder) == []
    if store.local:
        assert list(Path(store.path(folder)).iterdir()) == []
    store.remove(key)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_sees_the_old_artefact_or_the_new_one(store: Store, kind: str) -> None:
    write(store, kind, 1)
    seen, written = [1], [1]
    done = threading.Event()
    failed: list[BaseException] = []

    def writing() -> None:
        try:
            # Until the reader has seen several, who waits a while where two writings meet.
            while len(written) < 10 or (len(set(seen)) <= 2 and len(written) < 100):
                if len(written) >= 10:
                    time.sleep(0.5)
                write(store, kind, written[-1] + 1)
                written.append(written[-1] + 1)
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=writing)
    writer.start()
    key, form = FORMATS[kind]
    while not done.is_set():
        assert store.exists(key)
        form.open(store, key)
        try:
            seen.append(stored(store, kind))
        except StorageError as error:
            assert "replaced while it was read" in str(error)  # noqa: PT017
    writer.join()
    assert failed == []
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert stored(store, kind) == written[-1]


def test_siblings_change_in_one_step(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    write(store, "cog", 1)
    done = threading.Event()

    def writing() -> None:
        for version in range(2, 20):
            write(store, "cog", version)
        done.set()

    writer = threading.Thread(target=writing)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(int(store.read_bytes("predictions/2020/p.png")))
        seen.append(table_version(store.read_bytes("predictions/2020/p.parquet")))
    writer.join()
    assert seen == sorted(seen), "one sibling was behind another"
    assert len(set(seen)) > 2


def test_a_cube_opened_before_it_was_replaced_says_so_and_never_gives_fill_values(
    store: Store,
) -> None:
    for kind in ("zarr", "cog"):
        write(store, kind, 1)
        key, form = FORMATS[kind]
        opened = form.open(store, key)
        write(store, kind, 2)
        if not store.local and kind == "zarr":
            prune(store, timedelta(0))
        with pytest.raises(StorageError, match=r"p\.\w+: .*replaced while it was read.*Run again"):
            opened.read(next(iter(opened.layers)))


def _write_for_ever(url: str, kind: str, pipe: object, first: int) -> None:
    store = Store(url)
    pipe.send("started")  # type: ignore[attr-defined]
    for version in range(first, 10_000):
        write(store, kind, version)


def _write(url: str, kind: str, version: int, killed_at: int | None = None) -> str:
    write(Store(url), kind, version, killed_at)
    return "written"


@pytest.mark.parametrize("block", [0, 3, 11])
@pytest.mark.parametrize("kind", ["zarr", "cog"])
def test_a_first_write_that_is_killed_leaves_nothing_to_be_seen(
    tmp_path: Path, kind: str, block: int
) -> None:
    process = started(_write, str(tmp_path), kind, 1, min(block, 5 if kind == "zarr" else 11))
    process.join()
    assert process.exitcode == -9
    store = Store(str(tmp_path))
    key, form = FORMATS[kind]
    assert not store.exists(key)
    assert store.names(key.rpartition("/")[0]) == []
    assert hidden(store), "the writer was killed before it wrote"
    with pytest.raises(MissingArtefactError, match=r"p\.\w+: is not there. Materialize it first"):
        form.open(store, key)
    write(store, kind, 2)
    assert stored(store, kind) == 2
    assert hidden(store) == []


@pytest.mark.parametrize("block", [0, 4])
@pytest.mark.parametrize("kind", ["zarr", "cog"])
def test_a_killed_write_leaves_the_old_artefact(tmp_path: Path, kind: str, block: int) -> None:
    store = Store(str(tmp_path))
    write(store, kind, 1)
    process = started(_write, str(tmp_path), kind, 2, block)
    process.join()
    assert process.exitcode == -9
    assert stored(store, kind) == 1
    write(store, kind, 3)
    assert stored(store, kind) == 3
    assert hidden(store) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_writer_killed_at_any_moment_leaves_a_whole_artefact(tmp_path: Path, kind: str) -> None:
    from multiprocessing import Pipe

    store = Store(str(tmp_path))
    write(store, kind, 1)
    before = 1
    for delay in np.random.default_rng(7).uniform(0, 0.15, 6):
        ours, theirs = Pipe()
        process = started(_write_for_ever, str(tmp_path), kind, theirs, before + 1)
        assert ours.recv() == "started"
        time.sleep(delay)
        process.kill()
        process.join()
        found = stored(store, kind)
        assert found >= before
        before = found
    write(store, kind, 9_999)
    assert stored(store, kind) == 9_999
    assert hidden(store) == []


def test_what_a_living_writer_is_at_is_not_swept(store: Store) -> None:
    with store.folder("m") as staging:
        with staging.file("x") as path:
            path.write_bytes(b"first")
        with store.folder("m") as other, other.file("x") as path:
            path.write_bytes(b"second")
        assert staging.names() == ["x"]
    assert store.fs.cat_file(f"{store.physical('m')}/x") == b"first"


def test_a_version_of_a_host_whose_name_only_begins_like_ours_is_not_swept(tmp_path: Path) -> None:
    import socket

    foreign = tmp_path / f".m@{socket.gethostname()}0-999999999-0badcafe"
    ours = tmp_path / f".m@{socket.gethostname()}-999999999-0badcafe"
    foreign.mkdir()
    ours.mkdir()
    with Store(str(tmp_path)).folder("m") as staging, staging.file("x") as path:
        path.write_bytes(b"x")
    assert foreign.exists()
    assert not ours.exists(), "no process has this number"


def test_what_writers_of_other_hosts_left_is_pruned_when_it_is_old(store: Store) -> None:
    if not store.local:
        pytest.skip("in memory there is one host")
    store.put("m.json", b"current")
    root = Path(store.path(""))
    for name in (".m.json@elsewhere-1-0badcafe.json", ".n.zarr@elsewhere-1-0badcafe"):
        staged = root / name / "c" if name.endswith("e") else root / name
        staged.parent.mkdir(exist_ok=True)
        staged.write_bytes(b"12345")
    assert prune(store, timedelta(hours=1)) == []
    an_hour_ago = time.time() - 3601
    for path in (*root.rglob("*"), *root.rglob(".*")):
        os.utime(path, (an_hour_ago, an_hour_ago))
    found = [
        Orphan(".m.json@elsewhere-1-0badcafe.json", 5),
        Orphan(".n.zarr@elsewhere-1-0badcafe", 5),
    ]
    assert prune(store, timedelta(hours=1), dry_run=True) == found
    assert prune(store, timedelta(hours=1)) == found
    assert os.listdir(root) == ["m.json"]  # noqa: PTH208


def _write_some(url: str, kind: str, first: int) -> str:
    for version in range(first, first + 10):
        write(Store(url), kind, version)
    return "written"


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_that_write_the_same_key_leave_one_whole_artefact(
    tmp_path: Path, kind: str
) -> None:
    url = str(tmp_path)
    processes = [started(_write_some, url, kind, first) for first in (100, 200)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    store = Store(url)
    assert stored(store, kind) in (109, 209)
    write(store, kind, 300)
    assert hidden(store) == []


def _limited(url: str, kind: str, limit: int) -> str:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    return _write(url, kind, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_write_without_room_leaves_the_old_artefact_and_says_what_to_do(
    tmp_path: Path, kind: str, share: float
) -> None:
    store = Store(str(tmp_path))
    write(store, kind, 1)
    key, _ = FORMATS[kind]
    physical = Path(store.physical(key))
    largest = max(p.stat().st_size for p in (*physical.rglob("*"), physical) if p.is_file())
    error, words = elsewhere(_limited, str(tmp_path), kind, int(largest * share))
    assert error == "StorageError"
    assert key.removesuffix(".tif") in words
    assert "room" in words
    assert "run again" in words
    assert stored(store, kind) == 1
    assert hidden(store) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> object:
    import shutil
    import subprocess

    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    tool = shutil.which("mount")
    if tool is None or subprocess.run([tool, *options], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [0, 0.3, 0.8])
def test_a_full_disk_leaves_the_old_artefact_and_says_what_to_do(
    small_disk: Path, kind: str, room: float
) -> None:
    store = Store(str(small_disk / "store"))
    write(store, kind, 1)
    free = os.statvfs(small_disk)
    used = sum(p.stat().st_size for p in small_disk.rglob("*") if p.is_file())
    filler = free.f_bavail * free.f_frsize - int(room * used) // 4096 * 4096
    (small_disk / "filler").write_bytes(b"\0" * filler)
    with pytest.raises(StorageError) as caught:
        write(store, kind, 2)
    words = str(caught.value)
    assert FORMATS[kind][0].removesuffix(".tif") in words
    assert "room" in words
    assert "run again" in words
    assert stored(store, kind) == 1
    assert hidden(store) == []
    (small_disk / "filler").unlink()
    write(store, kind, 3)
    assert stored(store, kind) == 3


def _as_nobody(url: str, kind: str) -> str:
    if os.getuid() == 0:
        # What an environment below a folder of root's own holds is loaded while it can be read.
        with tempfile.TemporaryDirectory() as folder:
            write(Store(folder), kind, 1)
            stored(Store(folder), kind)
            _write(folder, kind, 2)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    assert stored(Store(url), kind) == 1
    return _write(url, kind, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_read_only_can_be_read_and_says_what_to_do_when_written(kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = Store(folder)
        write(store, kind, 1)
        folders = [root, *(p for p in root.rglob("*") if p.is_dir())]
        for path in folders:
            path.chmod(0o555)
        try:
            error, words = elsewhere(_as_nobody, folder, kind)
        finally:
            for path in folders:
                path.chmod(0o755)
        assert error == "StorageError"
        assert FORMATS[kind][0].removesuffix(".tif") in words
        assert "cannot be written (Permission denied)" in words
        assert "Give this user the right to write there, or change `storage`" in words
        assert stored(store, kind) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_storage_that_is_a_file_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "store").write_text("not a folder")
    store = Store(str(tmp_path / "store"))
    assert not store.exists(FORMATS[kind][0])
    with pytest.raises(
        StorageError, match=r"store/.*cannot be written.*A file is where a folder should be"
    ):
        write(store, kind, 1)
    with pytest.raises(StorageError, match="A file is where a folder should be"):
        store.put("patch_grid.parquet", b"x")


def test_a_folder_where_a_link_belongs_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "model" / "2020").mkdir(parents=True)
    (tmp_path / "model" / "2020" / "mine").write_text("mine")
    with pytest.raises(StorageError, match=r"model/2020: is a folder.*Move it away and run again"):
        write(Store(str(tmp_path)), "model", 1)
    assert (tmp_path / "model" / "2020" / "mine").read_text() == "mine"
    assert hidden(Store(str(tmp_path))) == []


def test_an_error_about_a_file_elsewhere_is_not_blamed_on_the_storage(tmp_path: Path) -> None:
    def write_from(missing: Path) -> None:
        with Store(str(tmp_path / "store")).file("a.json"):
            raise PermissionError(13, "Permission denied", str(missing))

    with pytest.raises(PermissionError):
        write_from(tmp_path / "reference.tif")


def test_a_store_can_be_moved(tmp_path: Path) -> None:
    for kind in KINDS:
        write(Store(str(tmp_path / "here")), kind, 1)
    (tmp_path / "here").rename(tmp_path / "there")
    assert [stored(Store(str(tmp_path / "there")), kind) for kind in KINDS] == [1] * len(KINDS)


def test_nothing_in_the_store_is_a_pickle(tmp_path: Path) -> None:
    import pickletools

    for kind in KINDS:
        write(Store(str(tmp_path)), kind, 1)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            with pytest.raises(Exception):  # noqa: B017, PT011
                for _ in pickletools.genops(content):
                    pass
    assert SamplesFormat().open(Store(str(tmp_path)), FORMATS["parquet"][0]).patch == "p"
