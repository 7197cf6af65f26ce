"""What tiles are drawn of: the patches, and the artefacts that are open."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lc_platform.artefacts.layout import MODEL_WRONG_LABELS, Partition, dimensions, key
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.tables import read_columns
from lc_platform.artefacts.versions import digest
from lc_platform.reading.reader import Reader
from lc_platform.runtime.bounded_cache import BoundedCache
from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError
from lc_platform.viewer.cubes import Cubes
from lc_platform.viewer.patch_index import PatchIndex
from lc_platform.viewer.rasters import Raster, Rasters
from lc_platform.viewer.tile_grid import Tile, take, window

_SECONDS = 5.0
"""For which a listing of a folder is believed."""
_LOG = logging.getLogger(__name__)
_Opened = TypeVar("_Opened")


class Scene:
    """What tiles are drawn of; the same for every request."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.rasters = Rasters(reader.store)
        self.cubes = Cubes(reader)
        self._patches: PatchIndex | None = None
        self._made: BoundedCache[tuple[str, int | None], tuple[float, frozenset[str], str]]
        self._made = BoundedCache(256)
        self._wrong: BoundedCache[str, tuple[float, NDArray[np.uint32] | None]] = BoundedCache(64)

    @property
    def patches(self) -> PatchIndex:
        """The patches. Raises MissingArtefactError where there is no grid yet."""
        grid = self.reader.artefacts.grid
        if self._patches is None or self._patches.patches is not grid.patches:
            self._patches = PatchIndex(grid.patches)
        return self._patches

    def forget(self) -> None:
        """Open everything again when it is asked for next."""
        self.rasters.forget()
        self.cubes.forget()
        self._made.clear()
        self._wrong.clear()

    def made(self, asset: str, year: int | None) -> tuple[frozenset[str], str]:
        """Return the patches of which an asset is made, and what differs where one of them was made
        again; of some seconds ago."""
        of = asset, year if "year" in dimensions(asset) else None
        kept = self._made.get(of)
        if kept is not None and time.monotonic() - kept[0] < _SECONDS:
            return kept[1:]
        store, some = self.reader.store, PurePosixPath(key(asset, "patch", of[1]))
        # By its file, and not by its record, which is away while an artefact is made again.
        patches = frozenset(
            name.removesuffix(some.suffix)
            for name in store.names(str(some.parent))
            if name.endswith(some.suffix) and name.count(".") == 1
        )
        versions = Records(store).of_year(*of)
        version = digest(
            [sorted(patches), {str(where): list(one) for where, one in versions.items()}]
        )
        self._made.put(of, (time.monotonic(), patches, version))
        return patches, version

    def incomplete(self, asset: str, year: int | None) -> str | None:
        """Return in words of how many patches an asset is made, None where it is of all."""
        made = self.made(asset, year)[0].intersection(self.patches.by_key)
        count = len(self.patches.patches)
        if len(made) == count:
            return None
        return f"{asset} is made of {len(made)} of {count} patches so far"

    def rasters_of(
        self, asset: str, year: int | None, tile: Tile, file: str = ".tif"
    ) -> list[Raster]:
        """Return the rasters of those patches that a tile shows, in the grid's order."""

        def opened(patch: str) -> Raster:
            path = key(asset, patch, year)
            return self.rasters.get(path.removesuffix(".tif") + file)

        made = self.made(asset, year)[0]
        return existing(opened, (p.key for p in self.patches.within(tile) if p.key in made))

    def first_raster(self, asset: str, year: int | None, file: str = ".tif") -> Raster:
        """Return the raster of any patch. Raises MissingArtefactError, which says how they are
        made, where there is none, DamagedArtefactError where all of the first few are damaged."""
        made = self.made(asset, year)[0]
        error: Exception | None = None
        for patch in [one for one in self.reader.artefacts.grid.keys if one in made][:8]:
            try:
                return self.rasters.get(key(asset, patch, year).removesuffix(".tif") + file)
            except (MissingArtefactError, DamagedArtefactError) as found:
                error = found
        raise error or self.not_made(asset, Partition(None, year))

    def wrong_polygons(self, where: Partition) -> NDArray[np.uint32] | None:
        """Return the polygons of the reference whose label is probably wrong, by a year's model;
        None where it has not judged them. Raises MissingArtefactError where there is no model."""
        store, folder = self.reader.store, key("model", year=where.year)
        kept = self._wrong.get(folder)
        if kept is not None and time.monotonic() - kept[0] < _SECONDS:
            return kept[1]
        if not store.exists(folder):
            raise self.not_made("model", where)
        try:
            (content,) = store.read_together(folder, MODEL_WRONG_LABELS)
            found = np.asarray(read_columns(content)["polygon"], np.uint32)
        except FileNotFoundError:
            found = None
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise DamagedArtefactError(
                f"{store.path(folder)}/{MODEL_WRONG_LABELS}: is damaged ({error}). Materialize "
                "model again",
                folder,
            ) from error
        self._wrong.put(folder, (time.monotonic(), found))
        return found

    def not_made(self, asset: str, where: Partition) -> MissingArtefactError:
        """Return the error that says how an artefact is made."""
        here = where.within(dimensions(asset))

        def missing() -> None:
            raise MissingArtefactError

        try:
            self.reader.artefacts.opened(asset, here, missing)
        except MissingArtefactError as error:
            return error
        raise AssertionError


def existing(open_it: Callable[[str], _Opened], keys: Iterable[str]) -> list[_Opened]:
    """Return what is opened of those that there are, without damaged ones, which are logged.

    Raises DamagedArtefactError where all there are are damaged.
    """
    found: list[_Opened] = []
    damaged: DamagedArtefactError | None = None
    for one in keys:
        try:
            found.append(open_it(one))
        except MissingArtefactError:
            continue
        except DamagedArtefactError as error:
            _LOG.warning("%s", error)
            damaged = error
    if damaged is not None and not found:
        raise damaged
    return found


def picked(
    tile: Tile, sources: Sequence[tuple[Raster, int]], missing: int, dtype: str, empty: int = 0
) -> NDArray[Any]:
    """Return a tile's pixels, (y, x), each that of the last source that has one there.

    sources  rasters and which band of each, counted from 0
    missing  the number that says nothing; below 0 where there is none
    empty    what is where no source has a pixel
    """
    out = np.full((tile.size, tile.size), empty, dtype)
    for raster, band in sources:
        part = tile.part(raster.boxes)
        if part is None:
            continue
        places = tile.places(part, str(raster.geobox.crs))
        level = raster.level(places.step / raster.resolution)
        shape = raster.levels[level].shape
        rows, columns = places.in_pixels(raster.geobox, shape)
        there = window(rows, columns, shape)
        if there is None:
            continue
        values = raster.read(level, band, *there)
        if values.dtype != out.dtype:
            values = np.minimum(values, np.iinfo(out.dtype).max)
        values = np.ascontiguousarray(values, out.dtype)
        take(rows, columns, values, there[0].start, there[1].start, missing, out[part])
    return out
