"""Checks of Dagster's instance before the platform works on it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import sqlalchemy as sa

from lc_platform import assets
from lc_platform.config import Config, ConfigError
from lc_platform.errors import PlatformError

OLDEST_POSTGRES = 14
"""Major release; older ones get no security fixes."""
CLOCK_TOLERANCE = 60.0
"""Seconds that this machine's clock and the database's may differ by."""
_OF = "lc_platform/configuration"


class PreflightError(PlatformError):
    """Dagster's instance cannot be used as it is; the message has one line a problem."""


def check(config: Config, instance: dg.DagsterInstance) -> list[str]:
    """Look at an instance before the first run on it.

    Returns what should be mended and does not stop the work, one sentence each. Raises
    PreflightError where the work would go wrong: all problems that there are, one line each.
    """
    problems = [*_of_schema(instance), *_of_postgres(instance), *_of_pools(instance)]
    if problems := problems or list(_of_another(config, instance)):
        raise PreflightError("\n".join([f"{config.name}: Dagster is not ready", *problems]))
    own = json.dumps({"name": config.name, "storage": config.storage_url})
    instance.daemon_cursor_storage.set_cursor_values({_OF: own})
    return [*_of_monitoring(instance), *_of_base_map(config)]


def _is_shared(instance: dg.DagsterInstance) -> bool:
    """Whether its records are in a Postgres, and not in files of this machine."""
    return hasattr(instance.run_storage, "postgres_url")


def _of_schema(instance: dg.DagsterInstance) -> Iterator[str]:
    versions = {
        storage.alembic_version()
        for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
        if storage is not None
    }
    for here, wanted in sorted({v for v in versions if v is not None}, key=str):
        if here != wanted:
            yield (
                f"Dagster's database: its schema is {here or 'of no known release'}, and this "
                f"release of Dagster expects {wanted}. Stop all of Dagster's processes and run "
                "`dagster instance migrate`"
            )


def _of_postgres(instance: dg.DagsterInstance) -> Iterator[str]:
    storage: Any = instance.run_storage
    if not _is_shared(instance):
        return
    with storage.connect() as connection:
        number = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
        before = time.time()
        there = float(
            connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
        )
        here = (before + time.time()) / 2
    if number < OLDEST_POSTGRES * 10_000:
        yield (
            f"PostgreSQL {number // 10_000}: is too old. Move Dagster's database to "
            f"PostgreSQL {OLDEST_POSTGRES} or newer"
        )
    if abs(there - here) > CLOCK_TOLERANCE:
        ahead = "ahead of" if here > there else "behind"
        yield (
            f"this machine's clock: is {abs(there - here):.0f} s {ahead} the database's. Start "
            "time synchronization (chrony, systemd-timesyncd) on both"
        )


def _of_pools(instance: dg.DagsterInstance) -> Iterator[str]:
    if not _is_shared(instance):
        return
    if instance.get_concurrency_config().pool_config.default_pool_limit is not None:
        return
    limited = {pool.name for pool in instance.event_log_storage.get_pool_limits()}
    for pool in sorted({pool for a in assets.ALL if (pool := a.arguments.get("pool"))}):
        if pool not in limited:
            yield (
                f"pool {pool}: has no limit, so every run would use it at once. Set "
                "concurrency.pools.default_limit in dagster.yaml, or run "
                f"`dagster instance concurrency set {pool} 4`"
            )


def _of_another(config: Config, instance: dg.DagsterInstance) -> Iterator[str]:
    """One that is renamed, or whose store is moved, is the same."""
    known = instance.daemon_cursor_storage.get_cursor_values({_OF}).get(_OF)
    told = json.loads(known) if known else {}
    if told and told["name"] != config.name and told["storage"] != config.storage_url:
        yield (
            f"Dagster's records: are those of the configuration {told['name']}, whose artefacts "
            f"are in {told['storage']}; each would take the other's patches away. Give this one "
            "records of its own (DAGSTER_HOME, or the database). If it is the same one, renamed "
            "and moved, change `name` first, run `lc-platform check`, and then change `storage`"
        )


def _of_monitoring(instance: dg.DagsterInstance) -> Iterator[str]:
    if not instance.run_monitoring_enabled:
        yield (
            "run monitoring: is off, so a run whose process is killed stays started for ever. Set "
            "run_monitoring.enabled in dagster.yaml"
        )
    elif not instance.run_monitoring_max_runtime_seconds:
        yield (
            "run monitoring: has no maximum run time, so a run that hangs is never ended. Set "
            "run_monitoring.max_runtime_seconds in dagster.yaml"
        )


def _of_base_map(config: Config) -> Iterator[str]:
    """The map alone cannot be opened without what its base map needs."""
    if config.viewer.base_map is None:
        return
    try:
        _ = config.viewer.base_map.url
    except ConfigError as error:
        yield str(error)
