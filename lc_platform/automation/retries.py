"""Failed runs that Dagster was to start again and did not.

Its daemon looks at a failed run once. Where the database or the code server is away at that moment
the run is never started again, and a backfill waits for it without end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, BACKFILL_ID_TAG, WILL_RETRY_TAG
from dagster._daemon.auto_run_reexecution.event_log_consumer import _create_cursor_key

DAY = 86400.0
PATIENCE = 60.0
"""Seconds that the daemon has to start a run again."""
_TRIES = 10
_RUNS = 500
_COULD_NOT = "Failed to retry run"
_WILL_NOT = ("Run does not have an external job origin", "Could not find ")
"""What the daemon writes into the run's log, where it can: of what may pass, and of what stays."""
_CURSOR = _create_cursor_key(dg.DagsterEventType.RUN_FAILURE)


def look_again(instance: dg.DagsterInstance, now: float) -> list[str]:
    """Have the daemon look again at the failed runs of the last day that it has not started again.

    now  seconds since 1970

    Returns their ids. To look at a run twice does no harm: one that was started again is not
    started another time.
    """
    failed = instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(
            dg.DagsterEventType.RUN_FAILURE,
            after_timestamp=now - DAY,
            before_timestamp=now - PATIENCE,
        ),
        limit=_RUNS,
    ).records
    latest: dict[str, int] = {}
    for record in failed:
        latest.setdefault(record.run_id, record.storage_id)
    lost = list(_lost(instance, latest))
    if not lost:
        return []
    cursors = instance.daemon_cursor_storage.get_cursor_values({_CURSOR})
    before = min(latest[run] for run in lost) - 1
    if int(cursors.get(_CURSOR) or 0) > before:
        instance.daemon_cursor_storage.set_cursor_values({_CURSOR: str(before)})
    return lost


def _lost(instance: dg.DagsterInstance, runs: Iterable[str]) -> Iterator[str]:
    """Those that are to be started again, or were when the daemon could not."""
    wanted = list(runs)
    found = instance.get_runs(dg.RunsFilter(run_ids=wanted)) if wanted else []
    for run in found:
        if run.status != dg.DagsterRunStatus.FAILURE:
            continue
        if _is_over(instance, run.tags.get(BACKFILL_ID_TAG)):
            continue
        again = run.tags.get(AUTO_RETRY_RUN_ID_TAG)
        if again is not None and not _was_not_submitted(instance, again):
            continue
        tries = _tries(instance, run.run_id)
        if again is not None and not tries:
            continue  # the daemon is at it
        if run.tags.get(WILL_RETRY_TAG) == "true" and tries <= _TRIES:
            yield run.run_id
        elif 0 < tries <= _TRIES:
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "true"})
            yield run.run_id


def _is_over(instance: dg.DagsterInstance, backfill: str | None) -> bool:
    if backfill is None:
        return False
    found = instance.get_backfill(backfill)
    return found is None or found.status in BULK_ACTION_TERMINAL_STATUSES


def _was_not_submitted(instance: dg.DagsterInstance, run: str) -> bool:
    """Whether a run was made, and the daemon failed before it was queued."""
    found = instance.get_run_by_id(run)
    return found is not None and found.status == dg.DagsterRunStatus.NOT_STARTED


def _tries(instance: dg.DagsterInstance, run: str) -> int:
    """How often the daemon could not, or would not."""
    told = instance.get_records_for_run(run, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    words = (_COULD_NOT, *_WILL_NOT)
    return sum(record.event_log_entry.message.startswith(words) for record in told)
