"""How the artefacts of an asset stand, and whether something of them was changed; no Dagster."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lc_platform.artefacts.layout import EVERY_ASSET, RECORDS, REFERENCE_SAMPLE, Partition, key
from lc_platform.artefacts.versions import State, commonest, summary
from lc_platform.storage.store import Store


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
    running: Mapping[Partition, str] = field(default_factory=dict)
    """Partition -> the run that is to make it, in progress or in the queue; for those that are not
    current."""
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


def changes_in_store(store: Store, years: Sequence[int]) -> object:
    """Return what differs where artefacts of some years, or their records, were changed since;
    None of an object store, which does not tell."""
    if not store.local:
        return None
    paths = {store.plain(REFERENCE_SAMPLE.format(year=year)) for year in years}
    for asset in EVERY_ASSET:
        for year in years:
            folder = PurePosixPath(key(asset, "any", year)).parent
            paths |= {store.plain(str(folder)), store.plain(f"{RECORDS}/{folder}")}
    return [_changed_at(path) for path in sorted(paths)]


def _changed_at(path: str) -> int | None:
    """Return when a file, or what a folder lists, was changed last; None where it is not there."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a tenth of the time
    except OSError:
        return None
