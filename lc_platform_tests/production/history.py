"""What Dagster's records tell of a backfill: its runs, and how often each artefact was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import BACKFILL_ID_TAG, PARENT_RUN_ID_TAG, RETRY_NUMBER_TAG

from lc_platform.artefacts.layout import ASSETS

Partition = tuple[str, str | None]
"""An asset and one of its partitions' keys."""


@dataclass(frozen=True)
class History:
    """A backfill's past."""

    runs: Mapping[str, int]
    """How many runs ended how."""
    retries: int
    """Runs that took up another one's work."""
    made: Counter[Partition]
    """How often a run said that it had made an artefact."""
    found: Counter[Partition]
    """How often a run said that the artefact was there already as it would have made it."""

    @property
    def made_twice(self) -> list[Partition]:
        return sorted((p for p, count in self.made.items() if count > 1), key=str)


def read(instance: dg.DagsterInstance, backfill_id: str) -> History:
    runs = instance.get_runs(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill_id}))
    own = {run.run_id for run in runs}
    made: Counter[Partition] = Counter()
    found: Counter[Partition] = Counter()
    for asset in ASSETS:
        cursor = None
        while True:
            page = instance.fetch_materializations(
                dg.AssetKey(asset), limit=1000, cursor=cursor, ascending=True
            )
            for record in page.records:
                event = record.asset_materialization
                if event is None or record.event_log_entry.run_id not in own:
                    continue
                unchanged = event.metadata.get("unchanged")
                counted = found if unchanged is not None and unchanged.value else made
                counted[asset, event.partition] += 1
            if not page.has_more:
                break
            cursor = page.cursor
    return History(
        dict(Counter(run.status.value for run in runs)),
        sum(PARENT_RUN_ID_TAG in run.tags or RETRY_NUMBER_TAG in run.tags for run in runs),
        made,
        found,
    )
