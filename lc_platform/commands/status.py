"""The artefacts of each asset and year: done, missing, stale, failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg

from lc_platform import assets
from lc_platform.artefacts.layout import EVERY_ASSET
from lc_platform.artefacts.versions import Snapshot
from lc_platform.commands.asset_status import AssetStatus, changes_in_store
from lc_platform.commands.instance import existing_instance
from lc_platform.config import Config
from lc_platform.monitoring.implausible import implausible
from lc_platform.monitoring.local_archive import changed
from lc_platform.monitoring.misaligned import misaligned
from lc_platform.monitoring.partition_status import Known, PartitionStatus
from lc_platform.monitoring.sunless import sunless
from lc_platform.platform import Platform

_WARNINGS = {"raw_bands": implausible, "cloud_masks": sunless, "alignment": misaligned}
"""What a person should look at in the artefacts of an asset and year."""


def status(config: Config) -> list[AssetStatus]:
    """Return the status of every asset and year.

    Without a patch grid, it is that of the grid alone. Nothing is computed and nothing written, so
    that neither the science nor the graph is imported.

    Raises StorageError where the store cannot be read, is a file, or has artefacts and has lost its
    grid.
    """
    return StatusReader(config, existing_instance(config)).read(config.years)


class StatusReader:
    """Reads the status, also again and again: of failed runs, what was read of their logs stays."""

    def __init__(self, config: Config, instance: dg.DagsterInstance | None) -> None:
        """``instance``, Dagster's records, is None where there are none."""
        self._platform = Platform(config, [asset.recipe for asset in assets.ALL])
        self._instance = instance
        self._known: dict[tuple[int, ...], Known] = {}
        """By the years that were asked for."""

    def changes(self, years: Sequence[int]) -> object:
        """Return what differs where something may have changed since, in a few milliseconds: files
        of the store, and Dagster's runs. Of an object store, where a look costs listings, it is
        what Dagster has recorded, by which all is made. Files that the configuration names, and an
        archive's, are not looked at.

        Raises what Dagster's database does where it cannot be asked.
        """
        store, instance = self._platform.store, self._instance
        if instance is None:
            return changes_in_store(store, years)
        latest = instance.get_run_records(limit=1, order_by="update_timestamp")
        runs = [(one.dagster_run.run_id, one.update_timestamp) for one in latest]
        if store.local:
            return runs, changes_in_store(store, years)
        return runs, instance.event_log_storage.get_maximum_record_id()

    def read(self, years: Sequence[int]) -> list[AssetStatus]:
        """Return the status of every asset and of some of the configured years; see `status`."""
        platform = self._platform
        platform.store.expect_folder()
        snapshot = platform.versions.look()
        for each in years:
            snapshot.outdate("raw_bands", changed(platform, snapshot, each))
            for asset in ("area_statistics", "change"):
                snapshot.outdate(asset, platform.judged_since(snapshot, asset, each))
            snapshot.outdate("report", platform.changed_since(snapshot, each))
            snapshot.outdate("catalog", platform.listed_since(snapshot, each))
        known = self._known.setdefault(tuple(years), {})
        partition_status = PartitionStatus(
            self._instance, platform.versions, snapshot, years, known
        )
        if (
            partition_status.assets != EVERY_ASSET
            and not partition_status.of["patch_grid"].failed
            and any(snapshot.recorded("raw_bands", year) for year in years)
        ):
            snapshot.patches()
        return list(_rows(partition_status, platform, snapshot, years))


def _rows(
    partition_status: PartitionStatus,
    platform: Platform,
    snapshot: Snapshot,
    years: Sequence[int],
) -> Iterator[AssetStatus]:
    for asset in partition_status.assets:
        attempts = partition_status.of[asset]
        for year in platform.versions.years_of(asset, years):
            states = snapshot.states(asset, year)
            failed, not_reached, running = (
                {where: why for where, why in of.items() if where in states}
                for of in (attempts.failed, attempts.not_reached, attempts.running)
            )
            look = _WARNINGS.get(asset)
            warnings = look(snapshot, year) if look and year else ()
            yield AssetStatus(asset, year, states, failed, not_reached, running, warnings)
