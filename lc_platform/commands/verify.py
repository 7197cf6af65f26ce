"""Verification of a store: all of it is read, and what is damaged loses its record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lc_platform import assets
from lc_platform.acquisition.reuse import damaged
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import EVERY_ASSET, Partition, key
from lc_platform.artefacts.records import Version
from lc_platform.commands.instance import chosen
from lc_platform.config import Config
from lc_platform.platform import Platform
from lc_platform.runtime.progress import at
from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError, UnavailableError
from lc_platform.storage.partial_writes import PartialWrite
from lc_platform.storage.zarr_cube import ZarrCube

_TRIES = 3
_OF_FEATURES = ("raw_bands", "cloud_masks")


@dataclass(frozen=True)
class Verified:
    """An artefact that was read again."""

    asset: str
    partition: Partition
    problem: str = ""
    """What is wrong with it; empty if nothing is."""


class Verification:
    """The artefacts of a configuration's store, verified one by one.

    years    of the configuration; all if empty
    patches  all if empty

    Raises RunError naming a year or a patch that does not exist, StorageError where there is no
    grid, or the store is a file.
    """

    def __init__(
        self, config: Config, years: Sequence[int] = (), patches: Sequence[str] = ()
    ) -> None:
        self._platform = Platform(config, [asset.recipe for asset in assets.ALL])
        self._platform.store.expect_folder()
        self._formats = formats(config.processing.threads)
        years = chosen(years, config.years, "--year", "years of the configuration")
        keys = [patch.key for patch in self._platform.grid().patches]
        patches = chosen(patches, keys, "--patch", "patches of the grid")
        snapshot = self._platform.versions.look()
        self._versions = {
            (asset, partition): version
            for asset in EVERY_ASSET
            for year in self._platform.versions.years_of(asset, years)
            for partition, version in sorted(snapshot.recorded(asset, year).items(), key=_name)
            if partition.patch is None or partition.patch in patches
        }
        self.artefacts = list(self._versions)
        """Those that exist, in the order of the graph."""

    def __iter__(self) -> Iterator[Verified]:
        """Read one after the other. A damaged artefact loses its record, so that the next run makes
        it again; of raw_bands, the damaged acquisitions."""
        for asset, partition in self.artefacts:
            with at(asset, str(partition)):
                problem = self._problem(asset, partition)
                if problem:
                    self._forget(asset, partition)
            yield Verified(asset, partition, problem)

    def _forget(self, asset: str, partition: Partition) -> None:
        records = self._platform.versions.records
        records.forget(asset, partition)
        if asset in _OF_FEATURES and not self._platform.config.features.stored:
            records.forget("features", partition)  # it names the raw bands that it is computed from

    def _problem(self, asset: str, partition: Partition) -> str:
        for left in reversed(range(_TRIES)):
            try:
                return self._damage(asset, partition)
            except UnavailableError:  # replaced while it was read, or the store is away
                if not left:
                    raise
        raise AssertionError

    def _damage(self, asset: str, partition: Partition) -> str:
        store, target = self._platform.store, key(asset, partition.patch, partition.year)
        records = self._platform.versions.records
        if record := records.damaged(asset, partition, self._versions[asset, partition]):
            return f"{record}: is no JSON object, as the record of an artefact is"
        try:
            if asset != "raw_bands":
                self._formats[asset].check(store, target)
                return ""
            cube = ZarrCube(store, target)
        except (DamagedArtefactError, MissingArtefactError) as error:
            return str(error)
        keys = damaged(cube, PartialWrite(store, target, cube.opened, (), cube))
        return f"{store.path(target)}: damaged are {', '.join(keys)}" if keys else ""


def _name(recorded: tuple[Partition, Version]) -> str:
    return str(recorded[0])
