"""What a backfill has left undone for others' failures.

A run makes a chunk of patches step by step. Where one patch fails for good its step fails, and with
it Dagster leaves out all later steps of the chunk and all that joins the patches, though nothing
is wrong with the others. Those are asked for again, without what cannot be made.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime

import dagster as dg

from lc_platform.artefacts.layout import ASSETS, PATCH, YEAR, Partition, dimensions
from lc_platform.assets.dagster_internals import (
    BACKFILL_ID_TAG,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from lc_platform.automation.backfills import Graph, left_out, places, request, under_way
from lc_platform.automation.scope import known
from lc_platform.config import Config
from lc_platform.monitoring import run_failures

LOOK_BACK = 7 * 86400.0
"""Seconds: backfills that ended earlier are left as they are."""
LONGEST = 30 * 86400.0
"""Seconds that a backfill may take, to be looked at."""
_TICK = 15.0
"""Seconds after which no further backfill is looked at."""
_REST = "The rest of: "
_PARTS = (frozenset({PATCH, YEAR}), frozenset({PATCH}), frozenset({YEAR}), frozenset[str]())


def ask(
    instance: dg.DagsterInstance,
    graph: Graph,
    config: Config,
    now: float,
    settled: Collection[str] | None,
) -> tuple[list[str], set[str]]:
    """Ask for the remainder of each backfill that ended with failures, once.

    now      seconds since 1970
    settled  ids of those that were looked at before; None where nobody has looked before: then
             what has ended by now is left as it is

    Returns what was asked for in words, and the ids that are settled now.
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
    told: list[str] = []
    for name in found.keys() - done:
        if time.monotonic() - began > _TICK:
            break
        done.add(name)
        try:
            told += _asked(instance, graph, config, found[name])
        except Exception as error:  # one that cannot be read keeps no other from its rest
            told.append(f"what backfill {name} has left cannot be told: {error}")
    return told, done


def _asked(
    instance: dg.DagsterInstance, graph: Graph, config: Config, backfill: PartitionBackfill
) -> Iterator[str]:
    name = backfill.backfill_id
    wanted, _ = known(instance, config, remainder(instance, graph, backfill))
    wanted = left_out(wanted, under_way(instance, graph))
    if wanted:
        title = _REST + (backfill.title or name).removeprefix(_REST)
        rest = f"rest-{hashlib.blake2s(name.encode(), digest_size=8).hexdigest()}"
        yield f"{request(instance, graph, wanted, name=rest, title=title)}, left by {name}"


def remainder(
    instance: dg.DagsterInstance, graph: Graph, backfill: PartitionBackfill
) -> dict[str, set[Partition]]:
    """What a backfill was to make, has not made, and what nothing that failed stands in the way of.

    Of the years' assets, those whose patches are there or are asked for. Nothing where no partition
    failed by itself, where somebody has cancelled a run, where hundreds of runs have failed, or
    where the archive's quota or the budget is spent: then nobody wants a map of half the area.
    """
    failed = _failed(instance, backfill.backfill_id)
    if not failed:
        return {}
    data = backfill.get_asset_backfill_data(graph)
    targeted = places(graph, data.target_subset)
    left: dict[str, set[Partition]] = {}
    for asset, wanted in places(graph, data.target_subset - data.materialized_subset).items():
        above = _above(graph, asset)
        in_the_way = {where for name, where in failed if name in above}
        left[asset] = {p for p in wanted if in_the_way.isdisjoint(map(p.within, _PARTS))}
    made = places(graph, data.materialized_subset)

    def has_patches(asset: str, where: Partition) -> bool:
        """Whether each asset of patches that a year's is made of has any."""
        return all(
            any(p.year == where.year for p in left.get(name, set()) | made.get(name, set()))
            for name in _above(graph, asset)
            if name in targeted and dimensions(name) == {PATCH, YEAR}
        )

    return {
        asset: kept
        for asset, own in left.items()
        if (kept := {p for p in own if p.patch or has_patches(asset, p)})
    }


def _failed(instance: dg.DagsterInstance, backfill: str) -> set[tuple[str, Partition]]:
    """What failed by itself in a backfill's runs; empty where that is not to be worked around."""
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
        for failure in run_failures.of_run(instance, run.run_id):
            if failure.refused:
                return set()
            where = _place(failure)
            found |= _planned(instance, run.run_id) if where is None else {(failure.asset, where)}
    return found


def _planned(instance: dg.DagsterInstance, run: str) -> set[tuple[str, Partition]]:
    """All that a run was to make, for where it was lost and nothing tells what of it failed."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    found = set()
    for record in instance.get_records_for_run(run, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        assert event is not None
        data = event.asset_materialization_planned_data
        asset = data.asset_key.path[-1]
        parts = run_failures.Failure(asset, (data.partition or "").replace("|", " "), "", run)
        if (where := _place(parts)) is not None:
            found.add((asset, where))
    return found


def _place(failure: run_failures.Failure) -> Partition | None:
    """The partition that a failure is of; None where that is not known."""
    if failure.asset not in ASSETS:
        return None
    wanted, parts = dimensions(failure.asset), failure.where.split()
    if len(parts) != len(wanted) or (YEAR in wanted and not parts[-1].isdecimal()):
        return None
    return Partition(
        parts[0] if PATCH in wanted else None, int(parts[-1]) if YEAR in wanted else None
    )


def _above(graph: Graph, asset: str) -> set[str]:
    """An asset, and all that it is made of."""
    keys = {dg.AssetKey(asset), *graph.get_ancestor_asset_keys(dg.AssetKey(asset))}
    return {key.path[-1] for key in keys}
