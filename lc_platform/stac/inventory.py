"""What there is in a store: which artefacts, of which versions, in which files. Records and
listings alone are read, and what a few artefacts say of themselves; no pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from lc_platform.area.grid import Patch, PatchGrid, grid_table
from lc_platform.artefacts.layout import PATCH, YEAR, Partition, dimensions, key
from lc_platform.artefacts.records import Records, Version
from lc_platform.artefacts.versions import Snapshot, Versions
from lc_platform.errors import PlatformError
from lc_platform.stac.described import COLLECTIONS
from lc_platform.storage import listing
from lc_platform.storage.errors import UnavailableError
from lc_platform.storage.listing import ListedFile
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_attributes import attributes

_AT_ONCE = 16
"""Patches that are read at the same time: an object store answers many as fast as one."""
_HASHED = 16 * 2**20
"""Bytes of the largest file whose checksum is computed."""
LISTED = tuple(COLLECTIONS)
"""The assets that have a collection, in the order of the work."""


def identity(snapshot: Snapshot, year: int) -> str:
    """Return what differs where any artefact of a year was made or made again since, the grid and
    the references too."""
    found = {
        asset: sorted(
            [str(where), *version] for where, version in snapshot.recorded(asset, year).items()
        )
        for asset in (*LISTED, "report")
    }
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Stored:
    """A file, or a Zarr store, of an artefact."""

    key: str
    """Its path in the store."""
    name: str
    """What it is called in its item."""
    file: ListedFile | None
    """None of a Zarr store, and where it is not known."""


class Inventory:
    """What there is of some years.

    Raises MissingArtefactError where there is no patch grid, UnavailableError where the store
    cannot be reached; what is damaged is left out where it cannot be described.
    """

    def __init__(self, store: Store, grid: PatchGrid, years: Sequence[int]) -> None:
        self.store = store
        self.grid = grid
        self.years = list(years)
        self._snapshot = Snapshot(Versions(Records(store), (), lambda _: None, lambda: grid))
        self._files: dict[str, Mapping[str, ListedFile]] = {}
        self._siblings: dict[str, Mapping[str, Sequence[str]]] = {}
        self._cubes: dict[str, Mapping[str, str]] = {}
        self._partitions: dict[str, Mapping[Partition, Version]] = {}

    @cached_property
    def patches(self) -> Mapping[str, Patch]:
        """The grid's, by their keys."""
        return {patch.key: patch for patch in self.grid.patches}

    @cached_property
    def outlines(self) -> Mapping[str, BaseGeometry]:
        """The patches' boxes in degrees, cut at 180 degrees, by their keys."""
        table = grid_table(self.grid.patches)
        return dict(zip(table["key"], table.geometry, strict=True))

    def outline(self, patches: Sequence[str]) -> BaseGeometry:
        """Return the ground of some patches in degrees."""
        return shapely.union_all([self.outlines[patch] for patch in patches])

    def years_of(self, asset: str) -> Sequence[int | None]:
        """Return the years that an asset's partitions are of, None alone where they are of none."""
        return self.years if YEAR in dimensions(asset) else [None]

    def partitions(self, asset: str) -> Mapping[Partition, Version]:
        """Return the versions of those partitions that are there, in the grid's order: one that is
        being made, or whose patch is no longer in the grid, is not among them."""
        if asset not in self._partitions:
            found: dict[Partition, Version] = {}
            for year in self.years_of(asset):
                recorded = self._snapshot.recorded(asset, year)
                if PATCH in dimensions(asset):
                    places = (Partition(patch, year) for patch in self.patches)
                    found |= {where: recorded[where] for where in places if where in recorded}
                else:
                    found |= recorded
            self._partitions[asset] = found
        return self._partitions[asset]

    def missing(self, asset: str) -> Sequence[str]:
        """Return the partitions of an asset of patches that are not there: patch, or patch and
        year."""
        if PATCH not in dimensions(asset):
            return []
        there = self.partitions(asset)
        wanted = (Partition(p, y) for y in self.years_of(asset) for p in self.patches)
        return [str(where) for where in wanted if where not in there]

    def stored(self, asset: str, where: Partition) -> list[Stored]:
        """Return the files of an artefact: that at its key first."""
        path = key(asset, where.patch, where.year)
        folder, _, file = path.rpartition("/")
        stem, dot, suffix = file.partition(".")
        if suffix == "zarr":
            href = self._cubes_in(folder).get(file)
            return [] if href is None else [Stored(f"{folder}/{href}", "data", None)]
        if not dot:
            return self._in_folder(path)
        files = self._files_in(folder)
        beside = self._beside(folder).get(stem, ())
        at = f"{folder}/" if folder else ""
        return [
            Stored(f"{at}{name}", _name(name.removeprefix(f"{stem}."), suffix), files[name])
            for name in (file, *(name for name in beside if name != file))
            if name in files
        ]

    def _in_folder(self, folder: str) -> list[Stored]:
        files = self._files_in(folder)
        stems = [name.partition(".")[0] for name in files]
        return [
            Stored(
                f"{folder}/{name}",
                stem if name.endswith(".tif") or stems.count(stem) == 1 else name.replace(".", "_"),
                file,
            )
            for (name, file), stem in zip(files.items(), stems, strict=True)
        ]

    def _beside(self, folder: str) -> Mapping[str, Sequence[str]]:
        """The names in a folder by what they begin with, up to the first dot."""
        if folder not in self._siblings:
            found: dict[str, list[str]] = {}
            for name in self._files_in(folder):
                found.setdefault(name.partition(".")[0], []).append(name)
            self._siblings[folder] = found
        return self._siblings[folder]

    def _files_in(self, folder: str) -> Mapping[str, ListedFile]:
        if folder not in self._files:
            self._files[folder] = listing.files(self.store, folder)
        return self._files[folder]

    def _cubes_in(self, folder: str) -> Mapping[str, str]:
        if folder not in self._cubes:
            self._cubes[folder] = listing.cubes(self.store, folder)
        return self._cubes[folder]

    def record(self, asset: str, where: Partition) -> Mapping[str, Any]:
        """Return what the record of an artefact of a year says; nothing where it cannot be read."""
        version = self.partitions(asset)[where]
        found = self._snapshot.records.read(asset, {where: version})
        return found.get(where, {})

    def checksum(self, stored: Stored) -> str | None:
        """Return the SHA-256 of a file (hexadecimal); None where it is large, or is gone."""
        if stored.file is None or stored.file.size > _HASHED:
            return None
        try:
            content = self.store.current(stored.key, self.store.content)
        except (FileNotFoundError, UnavailableError):
            return None
        return hashlib.sha256(content).hexdigest()

    def imagery(self, places: Sequence[Partition]) -> Mapping[Partition, Mapping[str, Any]]:
        """Return what the imagery of patches says of itself, without those that are damaged."""

        def read(where: Partition) -> Mapping[str, Any] | None:
            try:
                return attributes(self.store, key("raw_bands", where.patch, where.year))
            except UnavailableError:
                raise
            except PlatformError:
                return None  # who reads the imagery is told

        if self.store.local:  # small files, which threads would but wait for one another to parse
            found = {where: read(where) for where in places}
        else:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="catalog") as pool:
                found = dict(zip(places, pool.map(read, places), strict=True))
        return {where: about for where, about in found.items() if about is not None}


def modified(files: Sequence[Stored]) -> datetime | None:
    """Return when the last of an artefact's files was written, where that is known."""
    times = [one.file.modified for one in files if one.file is not None]
    return max((when for when in times if when is not None), default=None)


_BESIDE = {"tif.aux.xml": "legend", "parquet": "table", "json": "summary", "png": "figure"}
"""What the files beside that at an artefact's key are called, by their endings."""


def _name(ending: str, suffix: str) -> str:
    if ending == suffix:
        return "data"
    return _BESIDE.get(ending, ending.replace(".tif", "").replace(".", "_"))
