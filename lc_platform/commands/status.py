"""The artefacts of each asset and year: done, missing, stale, failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lc_platform import assets
from lc_platform.artefacts.layout import EVERY_ASSET, Partition
from lc_platform.artefacts.versions import State, commonest, summary
from lc_platform.commands.instance import existing_instance
from lc_platform.config import Config
from lc_platform.monitoring.implausible import implausible
from lc_platform.monitoring.local_archive import changed
from lc_platform.monitoring.misaligned import misaligned
from lc_platform.monitoring.partition_status import PartitionStatus
from lc_platform.platform import Platform

_WARNINGS = {"raw_bands": implausible, "alignment": misaligned}
"""What a person should look at in the artefacts of an asset and year."""


@dataclass(frozen=True)
class AssetStatus:
    """The states of an asset's artefacts of a year."""

    asset: str
    year: int | None
    states: Mapping[Partition, State]
    failed: Mapping[Partition, str]
    """Partition -> the last error; for those that are not current, or whose check failed."""
    not_reached: Mapping[Partition, str] = field(default_factory=dict)
    """Partition -> what it waited for; for others that are not current."""
    warnings: Sequence[str] = ()
    """What a person should look at in those that exist."""

    def count(self, kind: str) -> int:
        return sum(state.kind == kind for state in self.states.values())

    @property
    def done(self) -> int:
        """Return how many are current and passed their check."""
        states = self.states.items()
        return sum(s.kind == "current" and where not in self.failed for where, s in states)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was made, and nothing failed."""
        return not self.failed and all(s.kind == "missing" for s in self.states.values())

    @property
    def why_stale(self) -> str:
        """The commonest reasons, with the number of stale artefacts for each."""
        return summary(self.states.values())

    @property
    def why_missing(self) -> str:
        """The commonest reasons why missing artefacts were not reached."""
        waited = self.not_reached.items()
        return commonest(why for where, why in waited if self.states[where].kind == "missing")


def status(config: Config) -> list[AssetStatus]:
    """Return the status of every asset and year.

    Without a patch grid, it is that of the grid alone. Nothing is computed and nothing written, so
    that neither the science nor the graph is imported.

    Raises StorageError where the store cannot be read, is a file, or has artefacts and has lost its
    grid.
    """
    platform = Platform(config, [asset.recipe for asset in assets.ALL])
    platform.store.expect_folder()
    snapshot = platform.versions.look()
    for each in config.years:
        snapshot.outdate("raw_bands", changed(platform, snapshot, each))
        for asset in ("area_statistics", "change"):
            snapshot.outdate(asset, platform.judged_since(snapshot, asset, each))
        snapshot.outdate("report", platform.changed_since(snapshot, each))
    partition_status = PartitionStatus(
        existing_instance(config), platform.versions, snapshot, config.years
    )
    if (
        partition_status.assets != EVERY_ASSET
        and not partition_status.of["patch_grid"].failed
        and any(snapshot.recorded("raw_bands", year) for year in config.years)
    ):
        snapshot.patches()
    rows = []
    for asset in partition_status.assets:
        attempts = partition_status.of[asset]
        for year in platform.versions.years_of(asset, config.years):
            states = snapshot.states(asset, year)
            failed = {where: attempts.failed[where] for where in states if where in attempts.failed}
            not_reached = {
                where: attempts.not_reached[where]
                for where in states
                if where in attempts.not_reached
            }
            look = _WARNINGS.get(asset)
            warnings = look(snapshot, year) if look and year else ()
            rows.append(AssetStatus(asset, year, states, failed, not_reached, warnings))
    return rows
