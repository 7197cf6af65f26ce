"""The years that are kept up to date, and the partitions that can be requested."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from lc_platform.artefacts.layout import PATCH, Partition
from lc_platform.assets import partitions
from lc_platform.automation.backfills import Wanted
from lc_platform.config import Config


def maintained_years(config: Config, now: datetime) -> list[int]:
    """Return the configured years that are kept up to date: whose season has begun, and did not
    end before the last days."""
    local = now.astimezone(ZoneInfo(config.operations.timezone)).date()
    late = timedelta(days=config.operations.update.late_days)
    season, padding, today = config.season.span, config.features.padding, _today(config, now)
    return [
        year
        for year in config.years
        if season.first(year) <= today and local - late <= season.padded(year, padding)[1]
    ]


def outside_message(config: Config, now: datetime) -> str:
    """Return the message for when no year is kept up to date."""
    season, today = config.season.span, _today(config, now)
    year = season.year_of(today)
    if season.first(year) > today:
        return f"the season of {year} begins on {season.first(year)}"
    return f"{year} is not among the years of the configuration. Add it to `years`"


def _today(config: Config, now: datetime) -> date:
    """Return the day that has begun both locally and in UTC, in which archives count."""
    local = now.astimezone(ZoneInfo(config.operations.timezone)).date()
    return min(local, now.astimezone(UTC).date())


def known_partitions(
    instance: dg.DagsterInstance, config: Config, wanted: Wanted
) -> tuple[dict[str, set[Partition]], str]:
    """Return the wanted partitions that Dagster has, because a backfill of any other fails as a
    whole, and a message about the others; empty where there are none."""
    patches = {None, *instance.get_dynamic_partitions(PATCH)}
    years = {None, *map(int, partitions.years(config.years).get_partition_keys())}
    kept = {
        asset: {one for one in own if one.patch in patches and one.year in years}
        for asset, own in wanted.items()
    }
    every = {one for own in wanted.values() for one in own}
    missing = sorted({str(one.patch) for one in every if one.patch not in patches})
    message = ""
    if missing:
        message = (
            f"{len(missing)} patches, such as {missing[0]}, are no partitions in Dagster, and are "
            "not requested. Materialize patch_grid"
        )
    return {asset: own for asset, own in kept.items() if own}, message
