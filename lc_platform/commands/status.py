"""What is done, missing, stale and failed, of each asset and year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lc_platform import assets
from lc_platform.artefacts.layout import ASSETS, Partition, years_of
from lc_platform.artefacts.versions import State, commonest, summary
from lc_platform.commands.instance import existing_instance
from lc_platform.config import Config
from lc_platform.monitoring.implausible import implausible
from lc_platform.monitoring.local_archive import changed
from lc_platform.monitoring.partition_status import PartitionStatus
from lc_platform.platform import Platform


@dataclass(frozen=True)
class AssetStatus:
    """How an asset's artefacts of a year stand."""

    asset: str
    year: int | None
    states: Mapping[Partition, State]
    failed: Mapping[Partition, str]
    """Why they failed last, of those that are not current, or whose check failed."""
    not_reached: Mapping[Partition, str] = field(default_factory=dict)
    """What others waited for, of those that are not current."""
    warnings: Sequence[str] = ()
    """What a person should look at in those that are there."""

    def count(self, kind: str) -> int:
        return sum(state.kind == kind for state in self.states.values())

    @property
    def done(self) -> int:
        """How many are current, and have not failed their check."""
        states = self.states.items()
        return sum(s.kind == "current" and where not in self.failed for where, s in states)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was made, and nothing was tried."""
        return not self.failed and all(s.kind == "missing" for s in self.states.values())

    @property
    def why_stale(self) -> str:
        """The commonest reasons, with how many artefacts each makes stale."""
        return summary(self.states.values())

    @property
    def why_missing(self) -> str:
        """The commonest reasons why artefacts were not reached that are missing."""
        waited = self.not_reached.items()
        return commonest(why for where, why in waited if self.states[where].kind == "missing")


def status(config: Config) -> list[AssetStatus]:
    """What of every asset and year is done, missing, stale, and what failed last.

    Where there is no patch grid yet, it alone is told of. Nothing is computed and nothing written,
    so that neither the science nor the graph is imported.

    Raises StorageError where the store cannot be read, is a file, or has artefacts and has lost its
    grid.
    """
    platform = Platform(config, [asset.recipe for asset in assets.ALL])
    platform.store.expect_folder()
    look = platform.versions.look()
    for each in config.years:
        look.outdate("raw_bands", changed(platform, look, each))
    attempts = PartitionStatus(existing_instance(config), platform.versions, look, config.years)
    if (
        attempts.assets != ASSETS
        and not attempts.of["patch_grid"].failed
        and any(look.recorded("raw_bands", year) for year in config.years)
    ):
        look.patches()
    rows = []
    for asset in attempts.assets:
        unmade = attempts.of[asset]
        for year in years_of(asset, config.years):
            states = look.states(asset, year)
            failed = {where: unmade.failed[where] for where in states if where in unmade.failed}
            waited = {
                where: unmade.not_reached[where] for where in states if where in unmade.not_reached
            }
            warnings = implausible(look, year) if asset == "raw_bands" and year else ()
            rows.append(AssetStatus(asset, year, states, failed, waited, warnings))
    return rows
