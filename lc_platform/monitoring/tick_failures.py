"""Failures before there is a run: of ticks, searches of the archive, backfills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lc_platform.assets.dagster_internals import BulkActionsFilter, BulkActionStatus, TickStatus
from lc_platform.monitoring.run_failures import Failure, error_text

UPDATE = "schedule update_current_year"
REBUILD = "schedule rebuild_map"
ACQUISITIONS = "sensor new_acquisitions"
_TICKS_BACK = 86400.0
"""Seconds after which a tick has ended, even a late one."""
_BACKFILLS_BACK = 30 * 86400.0
"""Seconds after which a backfill is not read any more."""
_TICKS = 50
_UNREACHABLE = ("Could not reach user code server", "Unable to reach the user code server")
"""Texts of errors after which Dagster tries a tick again: the code server is away for a moment."""


def note(instance: dg.DagsterInstance, name: str, source: str, problem: str, now: float) -> None:
    """Note why a tick could not do its work though it did not fail, so that people are alerted.

    name     of the configuration
    source   `UPDATE`, `REBUILD` or `ACQUISITIONS`
    problem  the reason; nothing is noted where it is empty
    """
    if problem:
        noted = json.dumps({"at": now, "words": problem})
        instance.daemon_cursor_storage.set_cursor_values({_key(name, source): noted})


def failures(
    instance: dg.DagsterInstance, name: str, location: str | None, now: float, since: float
) -> dict[str, Failure]:
    """Return the failures by an id, which is the same when a failure is found again.

    name      of the configuration
    location  the code location whose ticks are read; None for all
    since     seconds since 1970 when they were read last
    """
    found = dict(_noted(instance, name))
    for state in instance.all_instigator_state():
        if location is None or state.selector.location_name == location:
            found.update(_ticks(instance, state, since - _TICKS_BACK))
    filters = BulkActionsFilter(
        statuses=[BulkActionStatus.FAILING, BulkActionStatus.FAILED],
        created_after=datetime.fromtimestamp(now - _BACKFILLS_BACK, UTC),
    )
    for backfill in instance.get_backfills(filters=filters):
        reason = error_text(backfill.error) if backfill.error else "the backfill failed"
        name = backfill.backfill_id
        found[f"backfill {name}"] = Failure("backfill", name, reason, "")
    return found


def _noted(instance: dg.DagsterInstance, name: str) -> Iterator[tuple[str, Failure]]:
    keys = {_key(name, source): source for source in (UPDATE, REBUILD, ACQUISITIONS)}
    for key, text in instance.daemon_cursor_storage.get_cursor_values(set(keys)).items():
        noted = json.loads(text)
        yield f"{keys[key]} {noted['at']}", Failure(keys[key], "", noted["words"], "")


def _ticks(instance: dg.DagsterInstance, state: Any, after: float) -> Iterator[tuple[str, Failure]]:
    source = f"{state.instigator_type.value.lower()} {state.instigator_name}"
    for tick in instance.get_ticks(
        state.instigator_origin_id,
        state.selector_id,
        after=after,
        limit=_TICKS,
        statuses=[TickStatus.FAILURE],
    ):
        reason = error_text(tick.error) if tick.error else "the tick failed"
        if not any(text in reason for text in _UNREACHABLE):
            yield f"tick {tick.tick_id}", Failure(source, "", reason, "")


def _key(name: str, source: str) -> str:
    return f"lc_platform/trouble/{name}/{source}"
