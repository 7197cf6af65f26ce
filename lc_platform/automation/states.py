"""Which years and partitions there are to be kept, and which of them failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from lc_platform import partitions
from lc_platform.config import Config
from lc_platform.partitions import Place
from lc_platform.storage.layout import dimensions
from lc_platform.storage.versions import State


def kept_years(config: Config, now: datetime) -> list[int]:
    """The years that are kept up to date: the running one, and in its first days the one before.

    Only of the configured ones.
    """
    local = now.astimezone(ZoneInfo(config.operations.timezone))
    late = timedelta(days=config.operations.update.late_days)
    running = {local.year, (local - late).year}
    return sorted(running & set(config.years))


def outside_words(config: Config, now: datetime) -> str:
    """What to say where no year is kept up to date."""
    year = now.astimezone(ZoneInfo(config.operations.timezone)).year
    return f"{year} is not among the years of the configuration. Add it to `years`"


def failed(
    instance: dg.DagsterInstance, asset: str, stated: Mapping[Place, State], years: Sequence[int]
) -> set[Place]:
    """The places that are not as they should be, and whose last materialization failed."""
    with partitions.quiet():
        partitioned = partitions.definition(dimensions(asset), years)
    if partitioned is None:
        return set()
    named = {
        str(partitions.partition_key(place)): place
        for place, state in stated.items()
        if state.kind != "current"
    }
    found = instance.get_status_by_partition(dg.AssetKey(asset), list(named), partitioned) or {}
    return {named[key] for key, status in found.items() if status and status.value == "FAILED"}
