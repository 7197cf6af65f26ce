"""Which years and partitions there are to be kept, and which of them failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from lc_platform import partitions
from lc_platform.config import Config
from lc_platform.partitions import Place
from lc_platform.storage.layout import dimensions


def kept_years(config: Config, now: datetime) -> list[int]:
    """The years that are kept up to date: the running one, and in its first days the one before.

    Only of the configured ones, and those between them.
    """
    local = now.astimezone(ZoneInfo(config.operations.timezone))
    late = timedelta(days=config.operations.update.late_days)
    running = {local.year, (local - late).year}
    return sorted(running & set(range(min(config.years), max(config.years) + 1)))


def outside_words(config: Config, now: datetime) -> str:
    """What to say where no year is kept up to date."""
    year = now.astimezone(ZoneInfo(config.operations.timezone)).year
    return f"{year} is not among the years of the configuration. Add it to `years`"


def definition(asset: str, years: Sequence[int]) -> dg.PartitionsDefinition | None:
    """An asset's partitions; None where it has none."""
    wanted = dimensions(asset)
    if wanted == {"patch", "year"}:
        return partitions.patch_years(years)
    if wanted == {"patch"}:
        return partitions.patches
    return partitions.years(years) if wanted else None


def failed(
    instance: dg.DagsterInstance, asset: str, places: Iterable[Place], years: Sequence[int]
) -> set[Place]:
    """The places whose last materialization failed."""
    with partitions.quiet():
        partitioned = definition(asset, years)
    if partitioned is None:
        return set()
    named = {str(partitions.partition_key(place)): place for place in places}
    found = instance.get_status_by_partition(dg.AssetKey(asset), list(named), partitioned) or {}
    return {named[key] for key, status in found.items() if status and status.value == "FAILED"}
