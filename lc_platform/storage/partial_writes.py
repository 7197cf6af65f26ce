"""What is there of a Zarr store that is written again: it is taken over as it is, by a hard link in
a folder, by a copy within an object store.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray

from lc_platform.cube import Checkpoint, Cube
from lc_platform.storage.errors import DamagedArtefactError, UnavailableError
from lc_platform.storage.staging import MARKS
from lc_platform.storage.store import Store


@dataclass(frozen=True)
class PartialWrite:
    """A version of a Zarr store: the current one, or one whose writing did not end."""

    store: Store
    key: str
    path: str
    """In the store's file system."""
    marks: tuple[Mapping[str, Any], ...] = ()
    """What a writing that did not end has marked as whole."""
    cube: Cube | None = None
    """None where the writing did not end: then what is marked can be taken over, and not read."""

    def part(self, layer: str, position: int) -> NDArray[Any]:
        """A layer's values at a position. Raises DamagedArtefactError where they are damaged."""
        if self.cube is None:
            raise DamagedArtefactError(f"{self.path}: its writing did not end", self.key)
        (time, *_) = self.cube.layers[layer].dims
        return self.cube.read(layer, None, **{time.rpartition("/")[2]: position})

    def take_over(self, at: int, array: zarr.Array[Any], path: str, position: int) -> None:
        """Have the files of a position of an array here in a store in the making at ``path``.

        Raises DamagedArtefactError where they are not all there, UnavailableError where the
        writing that they are of did not end, or another one has ended since.
        """
        lengths = array.shards or array.chunks
        counts = [-(-n // length) for n, length in zip(array.shape, lengths, strict=True)]
        for rest in itertools.product(*map(range, counts[1:])):
            name = "/".join(map(str, rest))
            source = f"{self.path}/{array.path}/c/{at}/{name}"
            target = f"{path}/{array.path}/c/{position}/{name}"
            try:
                self._same(source, target)
            except FileNotFoundError as error:
                if self.cube is not None:
                    problem = f"{source} is missing"
                    raise self.store.unreadable(self.key, self.path, problem) from error
                unmark(self.store, self.path)
                raise UnavailableError(
                    f"{source}: was taken away while it was read. Run again"
                ) from error

    def _same(self, source: str, target: str) -> None:
        if not self.store.local:
            self.store.fs.cp_file(source, target)
            return
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links
            shutil.copyfile(source, target)


def mark(store: Store, path: str, one: Checkpoint) -> None:
    """Write a mark into a store in the making."""
    content = json.dumps(one.content).encode()
    target = f"{path}/{MARKS}/{one.name}.json"
    if store.local:
        Path(target).parent.mkdir(exist_ok=True)
        Path(f"{target}.part").write_bytes(content)
        Path(f"{target}.part").replace(target)
    else:
        store.fs.pipe_file(target, content)


def unmark(store: Store, path: str) -> None:
    """Take the marks out of a store that is whole."""
    if store.fs.isdir(f"{path}/{MARKS}"):
        store.fs.rm(f"{path}/{MARKS}", recursive=True)


def marks(store: Store, path: str) -> Iterator[Mapping[str, Any]]:
    """The content of the marks in a version of a store; none where its writing ended."""
    for file in store.fs.find(f"{path}/{MARKS}"):
        try:
            yield json.loads(store.content(str(file)))
        except (ValueError, FileNotFoundError):
            continue  # its writer ended with it, or the next one has taken it away
