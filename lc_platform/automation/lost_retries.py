"""Failed runs that Dagster should have started again and did not.

Its daemon handles a failed run once. If the database or the code server is away at that moment, the
run is never started again, and its backfill waits for it for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from lc_platform.assets.dagster_internals import (
    AUTO_RETRY_RUN_ID_TAG,
    BACKFILL_ID_TAG,
    BULK_ACTION_TERMINAL_STATUSES,
    WILL_RETRY_TAG,
    retry_cursor_key,
)
from lc_platform.monitoring.run_failures import GIVEN_UP, LOOK_BACK, MOST_RUNS, failed_runs

PATIENCE = 60.0
"""Seconds in which the daemon starts a run again by itself."""
_RECENT = 86400.0
"""Seconds for which failed runs are read that are not tagged to be started again."""
_MOST_TRIES = 10
_COULD_NOT = "Failed to retry run"
_WILL_NOT = ("Run does not have an external job origin", "Could not find ")
"""Messages of the daemon in the run's log: of problems that may pass, and of others."""
_CURSOR = retry_cursor_key(dg.DagsterEventType.RUN_FAILURE)


def retry(instance: dg.DagsterInstance, now: float) -> list[str]:
    """Have the daemon handle the failed runs of the last week again that it has not started again.

    now  seconds since 1970

    Returns their ids. Handling a run twice does no harm: the daemon starts none twice. A run that
    is too old, or was handled too often, is given up: its tags change, so that its backfill does
    not wait for it.
    """
    recent = instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(
            dg.DagsterEventType.RUN_FAILURE,
            after_timestamp=now - _RECENT,
            before_timestamp=now - PATIENCE,
        ),
        limit=MOST_RUNS,
    ).records
    older = failed_runs(instance, WILL_RETRY_TAG, now - LOOK_BACK, now - _RECENT)
    overdue = failed_runs(instance, WILL_RETRY_TAG, now - 2 * LOOK_BACK, now - LOOK_BACK)
    runs = [*_found(instance, [record.run_id for record in recent]), *older, *overdue]
    too_old = {run.run_id for run in overdue}
    lost = []
    for run in _lost(instance, {run.run_id: run for run in runs}.values()):
        if run.run_id in too_old or _tries(instance, run.run_id) > _MOST_TRIES:
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false", GIVEN_UP: "true"})
            continue
        if run.tags.get(WILL_RETRY_TAG) != "true":
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "true"})
        lost.append(run.run_id)
    if not lost:
        return []
    cursors = instance.daemon_cursor_storage.get_cursor_values({_CURSOR})
    before = min((at for run in lost if (at := _failed_at(instance, run))), default=0) - 1
    if before >= 0 and int(cursors.get(_CURSOR) or 0) > before:
        instance.daemon_cursor_storage.set_cursor_values({_CURSOR: str(before)})
    return lost


def _found(instance: dg.DagsterInstance, runs: Sequence[str]) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(run_ids=list(dict.fromkeys(runs)))) if runs else []


def _failed_at(instance: dg.DagsterInstance, run: str) -> int:
    """Return the position of a run's failure in the event log; 0 where the log was trimmed."""
    failure = dg.DagsterEventType.RUN_FAILURE
    records = instance.get_records_for_run(run, of_type=failure).records
    return max((record.storage_id for record in records), default=0)


def _lost(instance: dg.DagsterInstance, runs: Iterable[dg.DagsterRun]) -> Iterator[dg.DagsterRun]:
    """Return the runs that are tagged to be started again, and those that the daemon could not
    start."""
    wanted = [
        run
        for run in runs
        if run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(GIVEN_UP) != "true"
    ]
    successors = {found for run in wanted if (found := run.tags.get(AUTO_RETRY_RUN_ID_TAG))}
    not_submitted = {
        run.run_id
        for run in _found(instance, sorted(successors))
        if run.status == dg.DagsterRunStatus.NOT_STARTED
    }
    over: dict[str | None, bool] = {}
    for run in wanted:
        successor = run.tags.get(AUTO_RETRY_RUN_ID_TAG)
        if successor is not None and successor not in not_submitted:
            continue
        will_retry = run.tags.get(WILL_RETRY_TAG) == "true"
        if (successor is not None or not will_retry) and not _tries(instance, run.run_id):
            continue  # the daemon is starting it, or the run has failed for good
        backfill = run.tags.get(BACKFILL_ID_TAG)
        if backfill not in over:
            over[backfill] = _is_over(instance, backfill)
        if not over[backfill]:
            yield run


def _is_over(instance: dg.DagsterInstance, backfill: str | None) -> bool:
    if backfill is None:
        return False
    found = instance.get_backfill(backfill)
    return found is None or found.status in BULK_ACTION_TERMINAL_STATUSES


def _tries(instance: dg.DagsterInstance, run: str) -> int:
    """Return how often the daemon could not, or would not start a run again."""
    records = instance.get_records_for_run(run, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    messages = (_COULD_NOT, *_WILL_NOT)
    return sum(record.event_log_entry.message.startswith(messages) for record in records)
