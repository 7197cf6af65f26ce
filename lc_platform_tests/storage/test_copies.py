"""Artefacts that one folder has from another."""

from __future__ import annotations

from pathlib import Path

import pytest

from lc_platform.storage import copies
from lc_platform.storage.errors import StorageError
from lc_platform.storage.store import Store


@pytest.fixture
def source(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "source"))
    store.put("patch_grid.parquet", b"grid")
    with store.siblings("predictions/2020/p", "part.tif") as staging:
        for name, content in (("part.tif", b"map"), ("part.png", b"picture")):
            with staging.file(name) as path:
                path.write_bytes(content)
    with store.folder("raw_bands/2020/p.zarr") as staging:
        (Path(staging.path) / "bands").mkdir()
        (Path(staging.path) / "bands" / "zarr.json").write_bytes(b"{}")
    with store.bundle("model/2020", "model.txt") as staging, staging.file("model.txt") as path:
        path.write_bytes(b"tree")
    return store


KEYS = {
    "patch_grid.parquet": ["patch_grid.parquet"],
    "predictions/2020/p.tif": ["predictions/2020/p.tif", "predictions/2020/p.png"],
    "raw_bands/2020/p.zarr": ["raw_bands/2020/p.zarr/bands/zarr.json"],
    "model/2020": ["model/2020/model.txt"],
}


@pytest.mark.parametrize("key", KEYS)
def test_a_linked_artefact_is_whole_and_outlives_the_one_it_was_linked_from(
    source: Store, tmp_path: Path, key: str
) -> None:
    target = Store(str(tmp_path / "target"))
    copies.link(key, source, target)
    before = {name: Path(source.path(name)).read_bytes() for name in KEYS[key]}
    assert all(Path(target.path(name)).stat().st_nlink == 2 for name in KEYS[key])
    source.remove(key)
    assert {name: Path(target.path(name)).read_bytes() for name in KEYS[key]} == before
    target.remove(key)
    assert not target.exists(key)


def test_what_is_not_there_or_no_folder_is_refused(source: Store, tmp_path: Path) -> None:
    target = Store(str(tmp_path / "target"))
    with pytest.raises(FileNotFoundError):
        copies.link("raw_bands/2020/q.zarr", source, target)
    assert not target.exists("raw_bands/2020/q.zarr")
    with pytest.raises(StorageError, match=r"memory://.*is no folder"):
        copies.link("model/2020", source, Store("memory://store"))
