"""What a backfill has left undone for others' failures.

A run makes a chunk of patches step by step. Where one patch fails for good its step fails, and with
it Dagster leaves out all later steps of the chunk and all that joins the patches, though nothing
is wrong with the others. Those are asked for again, without what cannot be made.
"""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg
from dagster._core.execution.backfill import (
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.storage.tags import BACKFILL_ID_TAG

from lc_platform import failures
from lc_platform.automation.backfills import Graph, places, request
from lc_platform.automation.states import known
from lc_platform.config import Config
from lc_platform.partitions import PATCH, YEAR, Place
from lc_platform.storage.layout import ASSETS, dimensions

LOOK_BACK = 7 * 86400.0
"""Seconds: backfills that ended earlier are left as they are."""
_SUFFIX = "-rest"
_REST = "The rest of: "


def ask(
    instance: dg.DagsterInstance,
    graph: Graph,
    config: Config,
    now: float,
    settled: Collection[str],
) -> tuple[list[str], set[str]]:
    """Ask for the remainder of each backfill that ended with failures, once.

    now      seconds since 1970
    settled  ids of those that were looked at before

    Returns what was asked for in words, and the ids that are settled now.
    """
    ended = BulkActionsFilter(statuses=[BulkActionStatus.COMPLETED_FAILED])
    found = {
        one.backfill_id: one
        for one in instance.get_backfills(filters=ended)
        if one.is_asset_backfill
        and (one.backfill_end_timestamp or one.backfill_timestamp) > now - LOOK_BACK
    }
    told = []
    for name, backfill in found.items():
        if name in settled:
            continue
        wanted, _ = known(instance, config, remainder(instance, graph, backfill))
        if wanted:
            title = _REST + (backfill.title or name).removeprefix(_REST)
            done = request(instance, graph, wanted, name=f"{name}{_SUFFIX}", title=title)
            told.append(f"{done}, left by backfill {name}")
    return told, set(found)


def remainder(
    instance: dg.DagsterInstance, graph: Graph, backfill: PartitionBackfill
) -> dict[str, set[Place]]:
    """What a backfill was to make, has not made, and what nothing that failed stands in the way of.

    Of the years' assets, those whose patches are there or are asked for. Nothing where no partition
    failed by itself, where it is not known which, or where the archive's quota or the budget is
    spent: then nobody wants a map of half the area.
    """
    failed = _failed(instance, backfill.backfill_id)
    if not failed:
        return {}
    data = backfill.get_asset_backfill_data(graph)
    targeted = places(graph, data.target_subset)
    left: dict[str, set[Place]] = {}
    for asset, wanted in places(graph, data.target_subset - data.materialized_subset).items():
        above = _above(graph, asset)
        in_the_way = [where for name, where in failed if name in above]
        left[asset] = {p for p in wanted if not any(where.covers(p) for where in in_the_way)}
    made = places(graph, data.materialized_subset)

    def has_patches(asset: str, where: Place) -> bool:
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


def _failed(instance: dg.DagsterInstance, backfill: str) -> set[tuple[str, Place]]:
    """What failed by itself in a backfill's runs; empty where that is not to be worked around."""
    wanted = dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill}, statuses=[dg.DagsterRunStatus.FAILURE])
    found: set[tuple[str, Place]] = set()
    for run in instance.get_runs(wanted):
        for failure in failures.of_run(instance, run.run_id):
            where = _place(failure)
            if where is None or failure.refused:
                return set()
            found.add((failure.asset, where))
    return found


def _place(failure: failures.Failure) -> Place | None:
    """The partition that a failure is of; None where that is not known."""
    if failure.asset not in ASSETS:
        return None
    wanted, parts = dimensions(failure.asset), failure.where.split()
    if len(parts) != len(wanted):
        return None
    return Place(parts[0] if PATCH in wanted else None, int(parts[-1]) if YEAR in wanted else None)


def _above(graph: Graph, asset: str) -> set[str]:
    """An asset, and all that it is made of."""
    keys = {dg.AssetKey(asset), *graph.get_ancestor_asset_keys(dg.AssetKey(asset))}
    return {key.path[-1] for key in keys}
