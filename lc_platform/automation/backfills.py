"""Asking for partitions by backfill: in the graph's order, in chunks, and shown as one in the UI.

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
"""asset -> the places that are to be made"""
Graph = BaseAssetGraph[Any]
TAG = "lc_platform/requested_by"
"""Tag of runs and backfills that nobody asked for by hand."""
LONGEST_NAME = 32
"""Characters that Dagster's tables have for a backfill's name."""


def subset(graph: Graph, wanted: Wanted) -> AssetGraphSubset:
    """What is wanted, as Dagster knows it."""
    with partitions.quiet():
        return AssetGraphSubset.from_asset_partition_set(
            {
                AssetKeyPartitionKey(dg.AssetKey(asset), partitions.partition_key(place))
                for asset, places in wanted.items()
                for place in places
            },
            graph,
        )


def places(graph: Graph, subset: AssetGraphSubset) -> dict[str, set[Partition]]:
    """The places of each asset of a subset; of an asset without partitions, the one without a
    name."""
    found: dict[str, set[Partition]] = {}
    for asset, key in subset.iterate_asset_partitions():
        named = (
            Partition() if key is None else partitions.place(key, graph.get(asset).partitions_def)
        )
        found.setdefault(asset.path[-1], set()).add(named)
    return found


def under_way(instance: dg.DagsterInstance, graph: Graph) -> dict[str, set[Partition]]:
    """What backfills are still to make, by asset."""
    found: dict[str, set[Partition]] = {}
    for backfill in instance.get_backfills(
        filters=BulkActionsFilter(statuses=partitions.UNDER_WAY)
    ):
        if not backfill.is_asset_backfill:
            continue
        data = backfill.get_asset_backfill_data(graph)
        left = data.target_subset - data.materialized_subset - data.failed_and_downstream_subset
        for asset, own in places(graph, left).items():
            found.setdefault(asset, set()).update(own - {Partition()})
    return found


def left_out(wanted: Wanted, others: Wanted) -> dict[str, set[Partition]]:
    """What is wanted, without what others are at; assets of which nothing is left are left out."""
    left = {asset: set(places) - set(others.get(asset, ())) for asset, places in wanted.items()}
    return {asset: places for asset, places in left.items() if places}


def request(
    instance: dg.DagsterInstance, graph: Graph, wanted: Wanted, *, name: str, title: str
) -> str:
    """Have a backfill make what is wanted; one of the same name is not made twice.

    Returns what was done, in words. Raises ValueError where the name is longer than Postgres takes.
    """
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{name}: a backfill's name has at most {LONGEST_NAME} characters")
    if instance.get_backfill(name) is not None:
        return f"backfill {name} is there already"
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
    return f"backfill {name}: {told(wanted)}"


def told(wanted: Wanted) -> str:
    """How much is wanted, in words."""
    return ", ".join(f"{len(places)} {asset}" for asset, places in wanted.items())
