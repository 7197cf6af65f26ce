"""Partitions: patches, years, and the mapping between them."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

import dagster as dg

from lc_platform.artefacts.layout import PATCH, YEAR, Partition
from lc_platform.assets.dagster_internals import BulkActionsFilter, BulkActionStatus

IN_PROGRESS = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
"""Statuses of backfills that launch runs or wait for them."""
_log = logging.getLogger(__name__)

patches = dg.DynamicPartitionsDefinition(name=PATCH)
"""The patches, which the asset patch_grid adds."""


def years(configured: Sequence[int]) -> dg.TimeWindowPartitionsDefinition:
    """Return yearly windows of the configured years, which have begun, and those among them whose
    season began in the year before."""
    between = set(range(min(configured), max(configured))) - set(configured)
    return dg.TimeWindowPartitionsDefinition(
        start=str(min(configured)),
        end=str(max(configured) + 1),
        fmt="%Y",
        cron_schedule="0 0 1 1 *",
        end_offset=2,  # `end` is before any other
        exclusions=[datetime(year, 1, 1) for year in sorted(between)] or None,
    )


def patch_years(configured: Sequence[int]) -> dg.MultiPartitionsDefinition:
    return dg.MultiPartitionsDefinition({PATCH: patches, YEAR: years(configured)})


def definition(
    dimensions: Collection[str], configured: Sequence[int]
) -> dg.PartitionsDefinition | None:
    """Return the partitions of an asset with these dimensions; None if it has none."""
    if set(dimensions) == {PATCH, YEAR}:
        return patch_years(configured)
    if set(dimensions) == {PATCH}:
        return patches
    return years(configured) if dimensions else None


def partition_of(key: str, partitions: dg.PartitionsDefinition | None) -> Partition:
    """Return the patch and year of a partition key of one of the definitions above."""
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        both = partitions.get_partition_key_from_str(key).keys_by_dimension
        return Partition(both[PATCH], int(both[YEAR]))
    if isinstance(partitions, dg.DynamicPartitionsDefinition):
        return Partition(patch=key)
    return Partition(year=int(key))


def patch_year_key(patch: str, year: int) -> dg.MultiPartitionKey:
    return dg.MultiPartitionKey({PATCH: patch, YEAR: str(year)})


def partition_key(where: Partition) -> str | None:
    """Return Dagster's key of a partition; None for an asset without partitions."""
    if where.patch is not None and where.year is not None:
        return patch_year_key(where.patch, where.year)
    return where.patch if where.year is None else str(where.year)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide Dagster's warnings that a feature is beta or preview: its version is bounded."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=dg.BetaWarning)
        warnings.filterwarnings("ignore", category=dg.PreviewWarning)
        yield


with quiet():
    of_patch = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=PATCH)
    of_year = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=YEAR)


def fill(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    """Make ``keys`` the set of patches: add new ones and remove all others.

    None is removed while a backfill is in progress, which would fail as a whole if one of its
    partitions were gone.
    """
    existing = set(instance.get_dynamic_partitions(PATCH))
    instance.add_dynamic_partitions(PATCH, [k for k in keys if k not in existing])
    gone = existing - set(keys)
    if gone and instance.get_backfills(filters=BulkActionsFilter(statuses=IN_PROGRESS), limit=1):
        _log.warning(
            "%d patches are no longer in the area, and are kept while backfills are in progress",
            len(gone),
        )
        return
    for key in gone:
        instance.delete_dynamic_partition(PATCH, key)
