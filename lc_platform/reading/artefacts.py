"""The artefacts of a store, opened by asset, patch and year."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from lc_platform.area.grid import PatchGrid
from lc_platform.artefacts.grid_format import GridFormat
from lc_platform.artefacts.layout import EVERY_ASSET, PATCH, YEAR, Partition, dimensions, key
from lc_platform.config import FILE_NAME, Config
from lc_platform.cube import MAIN, Legend
from lc_platform.eo.season import CALENDAR_YEAR, Season, season_of
from lc_platform.products.handle import SEASON
from lc_platform.reading.errors import NotFoundError, nearest
from lc_platform.reading.open_artefacts import OpenArtefacts, file_state
from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError
from lc_platform.storage.store import Store

if TYPE_CHECKING:
    from lc_platform.products.cloud_masks import CloudMasks
    from lc_platform.products.features import FeatureStack
    from lc_platform.products.raw_bands import AcquisitionStack
    from lc_platform.reading.datasets import Legends
    from lc_platform.storage.raster_cube import RasterCube
    from lc_platform.storage.shards import KeptChunks
    from lc_platform.storage.zarr_cube import ZarrCube

GRID = key("patch_grid")
_KEPT = 256 * 2**20
"""Bytes of imagery, masks and features that are kept as an object store has them: what is asked for
next is often near."""
_Result = TypeVar("_Result")


class Artefacts:
    """The artefacts of a store, each opened when it is asked for.

    file  of the configuration, where there is one, for messages
    """

    def __init__(self, store: Store, config: Config | None, file: Path | None) -> None:
        self.store = store
        self.config = config
        self._file = file
        self._open = OpenArtefacts(store)
        self.grid_state: object = None
        """What differs where the grid that is kept is another one; None where there is none."""

    def refresh(self) -> bool:
        """Forget the grid, and what goes with it, where it was replaced; returns whether it was."""
        if self.grid_state is None or file_state(self.store, GRID) == self.grid_state:
            return False
        self.grid_state = None
        for name in ("grid", "years", "season", "legend", "_keys"):
            self.__dict__.pop(name, None)
        return True

    @cached_property
    def grid(self) -> PatchGrid:
        """The patches. Raises MissingArtefactError where there is no grid yet."""
        try:
            state = file_state(self.store, GRID)
            found = GridFormat().open(self.store, GRID)
            self.grid_state = state
            return found
        except MissingArtefactError as error:
            raise self._not_made("patch_grid", Partition()) from error

    @cached_property
    def years(self) -> list[int]:
        """The years of the configuration, in order; of a store without one, those that something
        is stored of."""
        if self.config is not None:
            return list(self.config.years)
        folders = {asset for asset in EVERY_ASSET if YEAR in dimensions(asset)}
        names = {PurePosixPath(name).stem for asset in folders for name in self.store.names(asset)}
        return sorted(int(name) for name in names if name.isdigit() and len(name) == 4)

    @cached_property
    def season(self) -> Season:
        """The season of the configuration, or of a store without one, as its imagery says it."""
        if self.config is not None:
            return self.config.season.span
        from lc_platform.storage.zarr_attributes import attributes

        for year in reversed(self.years):
            for name in self.store.names(f"raw_bands/{year}"):
                with suppress(DamagedArtefactError, MissingArtefactError):
                    return season_of(attributes(self.store, f"raw_bands/{year}/{name}").get(SEASON))
        return CALENDAR_YEAR

    @cached_property
    def legend(self) -> Legend:
        """The classes: of the configuration, else as the latest map or reference has them."""
        if self.config is not None:
            return {one.id: (one.name, one.color) for one in self.config.reference.classes}
        for year in reversed(self.years):
            if found := self.stored_legends(f"{key('mosaic', year=year)}/land_cover.tif").get(1):
                return found
            for name in self._rasters(f"predictions/{year}"):
                return self.stored_legends(name).get(1, {})
        for name in self._rasters("reference_rasters"):
            return self.stored_legends(name).get(1, {})
        return {}

    def stored_legends(self, raster: str) -> Mapping[int, Legend]:
        """Return the classes of a raster's bands, as they were when it was made."""
        from lc_platform.storage.raster_cube import legends

        try:
            return legends(self.store.read_bytes(f"{raster}.aux.xml"))
        except MissingArtefactError:
            return {}

    def _rasters(self, folder: str) -> list[str]:
        names = (PurePosixPath(name) for name in self.store.names(folder))
        return [f"{folder}/{one}" for one in names if one.suffixes == [".tif"]]

    def partition(self, asset: str, patch: str | None, year: int | None) -> Partition:
        """Return which partition is asked for. Raises NotFoundError where there is none."""
        if asset not in EVERY_ASSET:
            raise NotFoundError(f"{asset}: is no asset; {nearest(asset, EVERY_ASSET)}")
        of = dimensions(asset)
        if absent := [n for n, v in ((PATCH, patch), (YEAR, year)) if v is None and n in of]:
            raise NotFoundError(f"{asset}: is of a {' and of a '.join(absent)}. Say of which")
        if patch is not None and PATCH in of and patch not in self._keys:
            raise NotFoundError(f"patch {patch}: is not in the grid; {nearest(patch, self._keys)}")
        return Partition(patch, self.year(year) if YEAR in of else None).within(of)

    @cached_property
    def _keys(self) -> dict[str, None]:
        return dict.fromkeys(self.grid.keys)

    def year(self, year: int | None) -> int:
        """Return a year that there is. Raises NotFoundError for another."""
        if year not in self.years:
            there = ", ".join(map(str, self.years)) or "none"
            raise NotFoundError(f"year {year}: is not there; there is {there}")
        assert year is not None
        return year

    def opened(self, asset: str, where: Partition, open_it: Callable[[], _Result]) -> _Result:
        """Return what is opened. Where it is missing, the error says how it is made."""
        try:
            return open_it()
        except MissingArtefactError as error:
            raise self._not_made(asset, where) from error

    def _not_made(self, asset: str, where: Partition) -> MissingArtefactError:
        of = f" of {where}" if str(where) else ""
        select = [f"--patch {where.patch}"] if where.patch else []
        select += [f"--year {where.year}"] if where.year else []
        file = self._file or FILE_NAME
        command = " ".join(["lc-platform run", f"--select {asset}", *select, f"-c {file}"])
        path = self.store.path(key(asset, where.patch, where.year))
        moved = ""
        if asset == "patch_grid" and self.config is not None:
            moved = ". Where the store was moved, say in `storage` where it lies now"
        return MissingArtefactError(
            f"{asset}{of}: is not made yet ({path}). Make it: `{command}`{moved}"
        )

    @staticmethod
    def if_made(open_it: Callable[[], _Result]) -> _Result | None:
        """Return what is opened; None where it is not made yet."""
        try:
            return open_it()
        except MissingArtefactError:
            return None

    def value(self, asset: str, year: int) -> Any:
        """Return the value of a year's artefact, as its format reads it."""
        from lc_platform.artefacts.formats import formats

        where = self.partition(asset, None, year)
        path = key(asset, year=year)
        return self.opened(asset, where, lambda: formats()[asset].open(self.store, path))

    def files(self, asset: str, where: Partition) -> Mapping[str, str]:
        """Return the files of a year's maps: their paths by name."""
        from lc_platform.artefacts.formats import formats

        path = key(asset, where.patch, where.year)
        found: Mapping[str, str] = self.opened(
            asset, where, lambda: formats()[asset].open(self.store, path)
        )
        return found

    def zarr(self, asset: str, where: Partition) -> ZarrCube:
        from lc_platform.storage.zarr_cube import ZarrCube

        path = key(asset, where.patch, where.year)
        return self.opened(
            asset,
            where,
            lambda: self._open.get(path, lambda: ZarrCube(self.store, path, self._kept)),
        )

    @cached_property
    def _kept(self) -> KeptChunks:
        from lc_platform.storage.shards import KeptChunks

        return KeptChunks(_KEPT)

    def raster(self, asset: str, where: Partition) -> RasterCube:
        from lc_platform.storage.raster_cube import RasterCube

        path = key(asset, where.patch, where.year)
        return self.opened(
            asset, where, lambda: self._open.get(path, lambda: RasterCube(self.store, path))
        )

    def imagery(self, where: Partition) -> AcquisitionStack:
        from lc_platform.products.raw_bands import AcquisitionStack

        return AcquisitionStack(self.zarr("raw_bands", where))

    def masks(self, where: Partition) -> CloudMasks:
        from lc_platform.products.cloud_masks import CloudMasks

        return CloudMasks(self.zarr("cloud_masks", where))

    @staticmethod
    def are_stored(features: ZarrCube) -> bool:
        """Return whether features are stored, and not computed when they are read."""
        from lc_platform.products.features import are_stored

        return are_stored(features)

    def features(self, where: Partition) -> FeatureStack:
        """Raises DataError where features that are not stored were made of other imagery or masks
        than there are now."""
        from lc_platform.products.features import FeatureStack, are_stored, recomputed

        cube = self.zarr("features", where)
        if are_stored(cube):
            return FeatureStack(cube)
        return FeatureStack(recomputed(cube.attributes, self.imagery(where), self.masks(where)))

    def legends(self, path: str, raster: RasterCube) -> Legends:
        """Return the classes of a raster's layers, as they were when it was made."""
        stored = self.stored_legends(path)
        found = {name: stored[at] for at, name in enumerate(raster.layers, 1) if at in stored}
        return {MAIN: found.get("class", self.legend), **found}


def read_by(asset: str) -> str:
    """Return what an asset is read by."""
    if asset == "model":
        return "model(year)"
    if asset == "evaluation":
        return "metrics(year)"
    path = key(asset, "patch", 0)
    of = [name for name in (PATCH, YEAR) if name in dimensions(asset)]
    how = "table" if path.endswith(".parquet") else "dataset"
    return f"{how}({', '.join([repr(asset), *(f'{n}={n}' for n in of)])})"
