"""Rasters of the store while they are looked at: opened once, and each of one writing.

A raster that is made again while it is looked at is opened again. Who draws from one that he has
got already goes on with it, or is told that it is gone: what is drawn is old or new, and never a
mixture.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import Legend
from lc_platform.runtime.bounded_cache import BoundedCache
from lc_platform.storage.errors import MissingArtefactError, UnavailableError
from lc_platform.storage.raster_cube import legends, opened_file
from lc_platform.storage.raster_opener import ByteRanges
from lc_platform.storage.store import Store
from lc_platform.storage.tiff_blocks import Level, UnknownLayoutError, levels, within
from lc_platform.viewer.tile_grid import Box, boxes_of

_OPEN = 512
"""Rasters that are open at the same time."""
_REPLACED = 16
"""Rasters that were replaced, and are kept for those who still look at them."""
_BLOCK_BYTES = 128 * 2**20
"""Of pixels that are kept decompressed."""
_SECONDS = 3.0
"""For which what an object store has said of a file is believed."""
_numbers = itertools.count()


class LocalFile:
    """A file of a folder, read by ranges; it stays what it was where it is replaced meanwhile."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - closed with the last reader
        self.state = state_of(os.fstat(self._file.fileno()))

    @property
    def size(self) -> int:
        return self.state[-1]

    def read(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges, (start, stop), fewer where the file ends before."""
        number = self._file.fileno()
        return [os.pread(number, stop - start, start) for start, stop in ranges]


def state_of(found: os.stat_result) -> tuple[int, ...]:
    """Return what differs of a file where it is another one; its size is the last of it."""
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


@dataclass(frozen=True, eq=False)
class Raster:
    """A Cloud-Optimized GeoTIFF of the store, in one writing of it."""

    store: Store
    key: str
    """Of the file."""
    file: LocalFile | ByteRanges
    number: int
    """Of this opening of it; no other has it."""
    geobox: GeoBox
    levels: Sequence[Level]
    """The raster, and its overviews, finest first."""
    dtype: np.dtype[Any]
    layers: Sequence[str]
    """The names of the bands."""
    tags: Mapping[str, str]
    legends: Mapping[int, Legend]
    """The classes of bands, counted from 1, as they were when it was made."""
    blocks: BoundedCache[tuple[int, int, int, int, int], NDArray[Any]]

    @cached_property
    def version(self) -> str:
        """Another one where the file was replaced."""
        return hashlib.sha256(repr(self.file.state).encode()).hexdigest()[:16]

    @cached_property
    def boxes(self) -> list[Box]:
        """Where it lies in Web Mercator."""
        return boxes_of(self.geobox)

    @property
    def resolution(self) -> float:
        """Units of the CRS that a pixel is wide."""
        return float(self.geobox.affine.a)

    def level(self, pixels: float) -> int:
        """Return the overview from which every so manieth pixel is picked: the coarsest that does
        not leave any out.

        pixels  of the raster, between the middles of two neighbours that are picked
        """
        width = self.levels[0].shape[1]
        fitting = [i for i, one in enumerate(self.levels) if width / one.shape[1] <= pixels * 1.01]
        return fitting[-1] if fitting else 0

    def read(self, level: int, band: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return some rows and columns of a band in an overview, (y, x).

        band  counted from 0

        Raises DamagedArtefactError where it is damaged, UnavailableError where the store cannot be
        reached, or where the raster was replaced and is not there any more.
        """
        image = self.levels[level]
        wanted = within(image, rows, columns)
        found = {at: self.blocks.get((self.number, level, band, *at)) for at in wanted}
        absent = [at for at, block in found.items() if block is None]
        with self.store.reaching(self.store.path(self.key)):
            try:
                places = [image.place(band, *at) for at in absent]
                packed = iter(self.file.read([place for place in places if place[1]]))
                for at, place in zip(absent, places, strict=True):
                    if place[1]:
                        block = image.decode(next(packed), band, self.dtype)
                    else:
                        block = np.zeros(image.block, self.dtype)
                    self.blocks.put((self.number, level, band, *at), block)
                    found[at] = block
            except (UnknownLayoutError, EOFError) as error:
                raise self.store.unreadable(
                    self.key, self.store.physical(self.key), f"is damaged ({error})"
                ) from error
        return _joined(found, image.block, rows, columns, self.dtype)  # type: ignore[arg-type]


def _joined(
    blocks: Mapping[tuple[int, int], NDArray[Any]],
    size: tuple[int, int],
    rows: slice,
    columns: slice,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Return some rows and columns of what blocks hold, by (row, column) of the block."""
    if len(blocks) == 1:
        (((row, column), block),) = blocks.items()
        top, left = row * size[0], column * size[1]
        return block[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    found = np.empty((rows.stop - rows.start, columns.stop - columns.start), dtype)
    for (row, column), block in blocks.items():
        top, left = row * size[0], column * size[1]
        down = slice(max(rows.start, top), min(rows.stop, top + size[0]))
        across = slice(max(columns.start, left), min(columns.stop, left + size[1]))
        found[
            down.start - rows.start : down.stop - rows.start,
            across.start - columns.start : across.stop - columns.start,
        ] = block[down.start - top : down.stop - top, across.start - left : across.stop - left]
    return found


class Rasters:
    """The rasters of a store, as they are now; several threads may ask at once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._open: BoundedCache[str, tuple[Raster, float]] = BoundedCache(_OPEN)
        self._before: BoundedCache[tuple[str, str], Raster] = BoundedCache(_REPLACED)
        self._blocks: BoundedCache[tuple[int, int, int, int, int], NDArray[Any]] = BoundedCache(
            _BLOCK_BYTES, lambda block: block.nbytes
        )

    def get(self, key: str) -> Raster:
        """Return a raster as it is now.

        Raises MissingArtefactError where it is not there, DamagedArtefactError where it is damaged,
        UnavailableError where the store cannot be reached.
        """
        kept = self._open.get(key)
        if kept is not None and self._is_as_it_was(*kept):
            return kept[0]
        if kept is not None:
            self._before.put((key, kept[0].version), kept[0])
        self._open.forget(key)
        raster = self._opened(key)
        self._open.put(key, (raster, time.monotonic()))
        return raster

    def before(self, key: str, version: str) -> Raster | None:
        """Return a raster as it was in a version that was replaced, None where it is not kept."""
        return self._before.get((key, version))

    def forget(self) -> None:
        """Open every raster again when it is asked for next."""
        self._open.clear()
        self._before.clear()

    def _is_as_it_was(self, raster: Raster, asked: float) -> bool:
        if isinstance(raster.file, LocalFile):
            try:
                return state_of(os.stat(self.store.plain(raster.key))) == raster.file.state  # noqa: PTH116
            except OSError:
                return False
        if time.monotonic() - asked < _SECONDS:
            return True
        assert isinstance(raster.file, ByteRanges)
        now = self._file(raster.key)
        assert isinstance(now, ByteRanges)
        if now.state == raster.file.state:
            self._open.put(raster.key, (raster, time.monotonic()))
            return True
        return False

    def _file(self, key: str) -> LocalFile | ByteRanges:
        path = self.store.plain(key)
        try:
            with self.store.reaching(self.store.path(key)):
                return LocalFile(path) if self.store.local else ByteRanges(self.store.fs, path)
        except FileNotFoundError as error:
            raise MissingArtefactError(
                f"{self.store.path(key)}: is not there. Materialize it first"
            ) from error

    def _opened(self, key: str) -> Raster:
        for _ in range(3):
            file = self._file(key)
            if (raster := self._described(key, file)) is not None:
                return raster
        raise UnavailableError(f"{self.store.path(key)}: is being replaced. Ask again")

    def _described(self, key: str, file: LocalFile | ByteRanges) -> Raster | None:
        """Return what a file holds; None where another one is there meanwhile."""
        ranges = file if isinstance(file, ByteRanges) else None
        with opened_file(self.store, key, file.path, ranges) as raster:
            crs = raster.crs.to_string()
            geobox = GeoBox(raster.shape, raster.transform, crs)
            names = [name or f"band {i}" for i, name in enumerate(raster.descriptions, 1)]
            tags, dtype = raster.tags(), np.dtype(raster.dtypes[0])
        if isinstance(file, LocalFile):
            try:
                if state_of(os.stat(file.path)) != file.state:  # noqa: PTH116
                    return None
            except FileNotFoundError:
                return None
        try:
            with self.store.reaching(self.store.path(key)):
                found = levels(file, dtype)
        except (UnknownLayoutError, OSError) as error:
            raise self.store.unreadable(
                key, self.store.physical(key), f"is damaged ({error})"
            ) from error
        return Raster(
            self.store, key, file, next(_numbers), geobox, found, dtype, names, tags,
            self._legends(key), self._blocks,
        )  # fmt: skip

    def _legends(self, key: str) -> Mapping[int, Legend]:
        try:
            return legends(self.store.read_bytes(f"{key}.aux.xml"))
        except MissingArtefactError:
            return {}


def beside(raster: Raster) -> Mapping[str, Any]:
    """Return the layers that lie in files of their own beside a raster."""
    found: Mapping[str, Any] = json.loads(raster.tags.get("LC_PLATFORM_BESIDE", "{}"))
    return found
