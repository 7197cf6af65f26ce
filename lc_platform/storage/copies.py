"""Artefacts that one folder has from another, without a second copy on the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from lc_platform.storage.errors import StorageError
from lc_platform.storage.store import Store


def link(key: str, source: Store, target: Store) -> None:
    """Have an artefact of one folder in another one too: its files as hard links, or copied where
    the folders are on different disks. No file of a store is ever changed in place, so that neither
    store notices what happens to the artefact in the other.

    Raises StorageError where one of the stores is no folder, FileNotFoundError where the source
    does not have the artefact.
    """
    for store in (source, target):
        if not store.local:
            raise StorageError(f"{store}: is no folder, and artefacts are linked among folders")
    base = key.removesuffix(PurePosixPath(key).suffix)
    group = source.group(base)
    if source.version_of(group):
        here = Path(source.physical(group))
        with target.siblings(base, main=PurePosixPath(key).name) as staging:
            for name in source.parts(group):
                _link(str(here / name), str(Path(staging.path) / name))
        return
    here = Path(source.physical(key))
    if here.is_dir():
        with target.folder(key) as staging:
            shutil.copytree(here, staging.path, copy_function=_link, dirs_exist_ok=True)
        return
    with target.file(key) as file:
        _link(str(here), str(file))


def _link(source: str, target: str, *, follow_symlinks: bool = True) -> str:
    try:
        os.link(source, target, follow_symlinks=follow_symlinks)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=follow_symlinks)
    return target
