"""Requesting partitions by backfill: in the graph's order, in chunks, and shown as one in the UI.

A backfill takes partitions of any shape, where a run takes a range of them; and it makes what
depends on others after them, where a schedule's runs would all be launched at once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg

from lc_platform.artefacts.layout import Partition
from lc_platform.assets import partitions
from lc_platform.assets.dagster_internals import (
    AssetGraphSubset,
    AssetKeyPartitionKey,
    BaseAssetGraph,
    BulkActionsFilter,
    PartitionBackfill,
)

Wanted = Mapping[str, Collection[Partition]]
"""Asset -> the partitions to make."""
Graph = BaseAssetGraph[Any]
TAG = "lc_platform/requested_by"
"""Tag of runs and backfills that no person has requested."""
LONGEST_NAME = 32
"""Characters that Dagster's tables have for a backfill's name."""


def subset(graph: Graph, wanted: Wanted) -> AssetGraphSubset:
    """Return the wanted partitions as Dagster's subset of the graph."""
    with partitions.quiet():
        return AssetGraphSubset.from_asset_partition_set(
            {
                AssetKeyPartitionKey(dg.AssetKey(asset), partitions.partition_key(partition))
                for asset, own in wanted.items()
                for partition in own
            },
            graph,
        )


def partitions_of(graph: Graph, subset: AssetGraphSubset) -> dict[str, set[Partition]]:
    """Return the partitions of each asset of a subset; an asset without partitions has one, whose
    patch and year are None."""
    found: dict[str, set[Partition]] = {}
    for asset, key in subset.iterate_asset_partitions():
        named = (
            Partition()
            if key is None
            else partitions.partition_of(key, graph.get(asset).partitions_def)
        )
        found.setdefault(asset.path[-1], set()).add(named)
    return found


def in_progress(instance: dg.DagsterInstance, graph: Graph) -> dict[str, set[Partition]]:
    """Return the partitions that backfills have still to make, by asset."""
    found: dict[str, set[Partition]] = {}
    for backfill in instance.get_backfills(
        filters=BulkActionsFilter(statuses=partitions.IN_PROGRESS)
    ):
        if not backfill.is_asset_backfill:
            continue
        data = backfill.get_asset_backfill_data(graph)
        left = data.target_subset - data.materialized_subset - data.failed_and_downstream_subset
        for asset, own in partitions_of(graph, left).items():
            found.setdefault(asset, set()).update(own - {Partition()})
    return found


def without(wanted: Wanted, others: Wanted) -> dict[str, set[Partition]]:
    """Return the wanted partitions that are not among the others; no asset is without any."""
    left = {asset: set(own) - set(others.get(asset, ())) for asset, own in wanted.items()}
    return {asset: own for asset, own in left.items() if own}


def request(
    instance: dg.DagsterInstance, graph: Graph, wanted: Wanted, *, name: str, title: str
) -> str:
    """Start a backfill of the wanted partitions, unless there is one of the same name.

    Returns a message. Raises ValueError where the name is longer than Postgres takes.
    """
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{name}: a backfill's name has at most {LONGEST_NAME} characters")
    if instance.get_backfill(name) is not None:
        return f"backfill {name} exists already"
    with partitions.quiet():
        instance.add_backfill(
            PartitionBackfill.from_asset_graph_subset(
                backfill_id=name,
                backfill_timestamp=time.time(),
                tags={TAG: name.rsplit("-", 1)[0]},
                dynamic_partitions_store=instance,
                asset_graph_subset=subset(graph, wanted),
                title=title,
                description=None,
                run_config=None,
            )
        )
    return f"backfill {name}: {counts(wanted)}"


def counts(wanted: Wanted) -> str:
    """Return the number of wanted partitions of each asset as text."""
    return ", ".join(f"{len(own)} {asset}" for asset, own in wanted.items())
