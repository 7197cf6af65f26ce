"""Which years are kept up to date, and which partitions there are to ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from lc_platform.artefacts.layout import PATCH, Partition
from lc_platform.assets import partitions
from lc_platform.automation.backfills import Wanted
from lc_platform.config import Config


def kept_years(config: Config, now: datetime) -> list[int]:
    """The years that are kept up to date: the running one, and in its first days the one before.

    Only of the configured ones.
    """
    local = now.astimezone(ZoneInfo(config.operations.timezone))
    late = timedelta(days=config.operations.update.late_days)
    running = {_running(config, now), (local - late).year}
    return sorted(running & set(config.years))


def outside_words(config: Config, now: datetime) -> str:
    """What to say where no year is kept up to date."""
    year = _running(config, now)
    return f"{year} is not among the years of the configuration. Add it to `years`"


def _running(config: Config, now: datetime) -> int:
    """The year that has begun here and in UTC, which is where Dagster's partitions begin."""
    return min(now.astimezone(ZoneInfo(config.operations.timezone)).year, now.astimezone(UTC).year)


def known(
    instance: dg.DagsterInstance, config: Config, wanted: Wanted
) -> tuple[dict[str, set[Partition]], str]:
    """What is wanted of the patches and years that Dagster has: a backfill of any other fails as a
    whole. And what to say of the others; nothing where there are none."""
    patches = {None, *instance.get_dynamic_partitions(PATCH)}
    years = {None, *map(int, partitions.years(config.years).get_partition_keys())}
    kept = {
        asset: {place for place in places if place.patch in patches and place.year in years}
        for asset, places in wanted.items()
    }
    every = {place for places in wanted.values() for place in places}
    missing = sorted({str(place.patch) for place in every if place.patch not in patches})
    words = ""
    if missing:
        words = (
            f"{len(missing)} patches, such as {missing[0]}, are no partitions in Dagster, and are "
            "not asked for. Materialize patch_grid"
        )
    return {asset: places for asset, places in kept.items() if places}, words
