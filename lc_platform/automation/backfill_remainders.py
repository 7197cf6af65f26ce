"""The rest of a backfill in which some partitions failed.

A run makes a chunk of patches step by step. When one patch fails for good, its step fails, and
Dagster skips all later steps of the chunk and all that joins the patches, though nothing is wrong
with the other patches. Those are resubmitted, without what depends on a failure.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime

import dagster as dg

from lc_platform.artefacts.layout import EVERY_ASSET, PATCH, YEAR, Partition, dimensions
from lc_platform.assets.dagster_internals import (
    BACKFILL_ID_TAG,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from lc_platform.automation.backfills import (
    Graph,
    in_progress,
    partitions_of,
    request,
    without,
)
from lc_platform.automation.scope import known_partitions
from lc_platform.config import Config
from lc_platform.monitoring import run_failures

LOOK_BACK = 7 * 86400.0
"""Seconds after which the rest of a backfill that has ended is not resubmitted any more."""
LONGEST = 30 * 86400.0
"""Seconds that such a backfill may have taken."""
_TICK = 15.0
"""Seconds after which a tick begins with no further backfill."""
_REST = "The rest of: "
_PARTS = (frozenset({PATCH, YEAR}), frozenset({PATCH}), frozenset({YEAR}), frozenset[str]())


def resubmit(
    instance: dg.DagsterInstance,
    graph: Graph,
    config: Config,
    now: float,
    settled: Collection[str] | None,
) -> tuple[list[str], set[str]]:
    """Resubmit the rest of each backfill that ended with failures, once.

    now      seconds since 1970
    settled  ids of the backfills that were handled before; None in the first tick, which handles no
             backfill that has ended by then

    Returns messages, and the ids that are settled now.
    """
    began = time.monotonic()
    ended = BulkActionsFilter(
        statuses=[BulkActionStatus.COMPLETED_FAILED],
        created_after=datetime.fromtimestamp(now - LONGEST, UTC),
    )
    found = {
        one.backfill_id: one
        for one in instance.get_backfills(filters=ended)
        if one.is_asset_backfill
        and (one.backfill_end_timestamp or one.backfill_timestamp) > now - LOOK_BACK
    }
    if settled is None:
        return [], set(found)
    done = set(settled) & set(found)
    messages: list[str] = []
    for name in found.keys() - done:
        if time.monotonic() - began > _TICK:
            break
        done.add(name)
        try:
            messages += _resubmitted(instance, graph, config, found[name])
        except Exception as error:  # one that cannot be read stops no other
            messages.append(f"the rest of backfill {name} cannot be determined: {error}")
    return messages, done


def _resubmitted(
    instance: dg.DagsterInstance, graph: Graph, config: Config, backfill: PartitionBackfill
) -> Iterator[str]:
    name = backfill.backfill_id
    wanted, _ = known_partitions(instance, config, remainder(instance, graph, backfill))
    wanted = without(wanted, in_progress(instance, graph))
    if wanted:
        title = _REST + (backfill.title or name).removeprefix(_REST)
        rest = f"rest-{hashlib.blake2s(name.encode(), digest_size=8).hexdigest()}"
        yield f"{request(instance, graph, wanted, name=rest, title=title)}, left by {name}"


def remainder(
    instance: dg.DagsterInstance, graph: Graph, backfill: PartitionBackfill
) -> dict[str, set[Partition]]:
    """Return the partitions that a backfill has not made and that depend on no failure.

    An asset of a year is among them if its patches exist or are resubmitted. Nothing is where no
    partition failed by itself, a person has canceled a run, hundreds of runs have failed, or the
    archive's quota or the budget is spent: then nobody wants a map of half the area.
    """
    failed = _failed(instance, backfill.backfill_id)
    if not failed:
        return {}
    data = backfill.get_asset_backfill_data(graph)
    targeted = partitions_of(graph, data.target_subset)
    left: dict[str, set[Partition]] = {}
    for asset, wanted in partitions_of(
        graph, data.target_subset - data.materialized_subset
    ).items():
        upstream = _with_upstream(graph, asset)
        blocking = {where for name, where in failed if name in upstream}
        left[asset] = {p for p in wanted if blocking.isdisjoint(map(p.within, _PARTS))}
    made = partitions_of(graph, data.materialized_subset)

    def has_patches(asset: str, where: Partition) -> bool:
        """Whether each patch-wise asset upstream of a year's has any patch."""
        return all(
            any(p.year == where.year for p in left.get(name, set()) | made.get(name, set()))
            for name in _with_upstream(graph, asset)
            if name in targeted and dimensions(name) == {PATCH, YEAR}
        )

    return {
        asset: kept
        for asset, own in left.items()
        if (kept := {p for p in own if p.patch or has_patches(asset, p)})
    }


def _failed(instance: dg.DagsterInstance, backfill: str) -> set[tuple[str, Partition]]:
    """Return what failed by itself in a backfill's runs; nothing if the rest must not be made."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    wanted = dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill}, statuses=ended)
    # Where more have failed, what is wrong is not one patch's.
    runs = instance.get_runs(wanted, limit=run_failures.MOST_RUNS + 1)
    if len(runs) > run_failures.MOST_RUNS or any(
        run.status is dg.DagsterRunStatus.CANCELED for run in runs
    ):
        return set()
    found: set[tuple[str, Partition]] = set()
    for run in runs:
        for failure in run_failures.failures_of_run(instance, run.run_id):
            if failure.out_of_budget:
                return set()
            where = _partition_of(failure)
            found |= _planned(instance, run.run_id) if where is None else {(failure.asset, where)}
    return found


def _planned(instance: dg.DagsterInstance, run: str) -> set[tuple[str, Partition]]:
    """Return all that a run was to make; of a lost run it is not known what failed."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    found = set()
    for record in instance.get_records_for_run(run, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        assert event is not None
        data = event.asset_materialization_planned_data
        asset = data.asset_key.path[-1]
        parts = run_failures.Failure(asset, (data.partition or "").replace("|", " "), "", run)
        if (where := _partition_of(parts)) is not None:
            found.add((asset, where))
    return found


def _partition_of(failure: run_failures.Failure) -> Partition | None:
    """Return the partition of a failure; None where it is not known."""
    if failure.asset not in EVERY_ASSET:
        return None
    wanted, parts = dimensions(failure.asset), failure.partition.split()
    if len(parts) != len(wanted) or (YEAR in wanted and not parts[-1].isdecimal()):
        return None
    return Partition(
        parts[0] if PATCH in wanted else None, int(parts[-1]) if YEAR in wanted else None
    )


def _with_upstream(graph: Graph, asset: str) -> set[str]:
    """Return an asset and all that are upstream of it."""
    keys = {dg.AssetKey(asset), *graph.get_ancestor_asset_keys(dg.AssetKey(asset))}
    return {key.path[-1] for key in keys}
