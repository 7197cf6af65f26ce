"""What goes wrong before there is a run: ticks, looks at the archive, backfills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lc_platform.assets.dagster_internals import BulkActionsFilter, BulkActionStatus, TickStatus
from lc_platform.monitoring.run_failures import Failure, told_by

UPDATE = "schedule update_current_year"
REBUILD = "schedule rebuild_map"
ACQUISITIONS = "sensor new_acquisitions"
_TICKS_BACK = 86400.0
"""Seconds: ticks that were due earlier have ended, late ones too."""
_BACKFILLS = 30 * 86400.0
"""Seconds: backfills that were asked for earlier are left out."""
_TICKS = 50
_AWAY = ("Could not reach user code server", "Unable to reach the user code server")
"""What Dagster says where it tries a tick again, as the code server is away for a moment."""


def note(instance: dg.DagsterInstance, name: str, who: str, words: str, now: float) -> None:
    """Have it told that a tick, though it did not fail, could not do its work.

    name   of the configuration
    who    one of the above
    words  why; nothing is noted where they are empty
    """
    if words:
        noted = json.dumps({"at": now, "words": words})
        instance.daemon_cursor_storage.set_cursor_values({_key(name, who): noted})


def wrong(
    instance: dg.DagsterInstance, name: str, location: str | None, now: float, since: float
) -> dict[str, Failure]:
    """What has gone wrong, by an id each; what is found again has the same.

    name      of the configuration
    location  the code location whose ticks are looked at; None for all
    since     seconds since 1970 of the last look
    """
    found = dict(_noted(instance, name))
    for state in instance.all_instigator_state():
        if location is None or state.selector.location_name == location:
            found.update(_ticks(instance, state, since - _TICKS_BACK))
    filters = BulkActionsFilter(
        statuses=[BulkActionStatus.FAILING, BulkActionStatus.FAILED],
        created_after=datetime.fromtimestamp(now - _BACKFILLS, UTC),
    )
    for backfill in instance.get_backfills(filters=filters):
        words = told_by(backfill.error) if backfill.error else "the backfill failed"
        there = backfill.backfill_id
        found[f"backfill {there}"] = Failure("backfill", there, words, "")
    return found


def _noted(instance: dg.DagsterInstance, name: str) -> Iterator[tuple[str, Failure]]:
    keys = {_key(name, who): who for who in (UPDATE, REBUILD, ACQUISITIONS)}
    for key, text in instance.daemon_cursor_storage.get_cursor_values(set(keys)).items():
        noted = json.loads(text)
        yield f"{keys[key]} {noted['at']}", Failure(keys[key], "", noted["words"], "")


def _ticks(instance: dg.DagsterInstance, state: Any, after: float) -> Iterator[tuple[str, Failure]]:
    who = f"{state.instigator_type.value.lower()} {state.instigator_name}"
    for tick in instance.get_ticks(
        state.instigator_origin_id,
        state.selector_id,
        after=after,
        limit=_TICKS,
        statuses=[TickStatus.FAILURE],
    ):
        words = told_by(tick.error) if tick.error else "the tick failed"
        if not any(away in words for away in _AWAY):
            yield f"tick {tick.tick_id}", Failure(who, "", words, "")


def _key(name: str, who: str) -> str:
    return f"lc_platform/trouble/{name}/{who}"
