"""Failed runs that Dagster was to start again and did not.

Its daemon looks at a failed run once. Where the database or the code server is away at that moment
the run is never started again, and a backfill waits for it without end.
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
"""Seconds that the daemon has to start a run again."""
_RECENT = 86400.0
"""Seconds for which failed runs are looked at that are not marked to be started again."""
_TRIES = 10
_COULD_NOT = "Failed to retry run"
_WILL_NOT = ("Run does not have an external job origin", "Could not find ")
"""What the daemon writes into the run's log, where it can: of what may pass, and of what stays."""
_CURSOR = retry_cursor_key(dg.DagsterEventType.RUN_FAILURE)


def look_again(instance: dg.DagsterInstance, now: float) -> list[str]:
    """Have the daemon look again at the failed runs of the last week that it has not started again.

    now  seconds since 1970

    Returns their ids. To look at a run twice does no harm: one that was started again is not
    started another time. One that is too old, or was looked at too often, is given up: it is
    tagged, and no longer as one that is to be started, for which its backfill would wait.
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
        if run.run_id in too_old or _tries(instance, run.run_id) > _TRIES:
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
    """Where a run's failure is in the log of all events; 0 where that was trimmed."""
    failure = dg.DagsterEventType.RUN_FAILURE
    records = instance.get_records_for_run(run, of_type=failure).records
    return max((record.storage_id for record in records), default=0)


def _lost(instance: dg.DagsterInstance, runs: Iterable[dg.DagsterRun]) -> Iterator[dg.DagsterRun]:
    """Those that are to be started again, or were when the daemon could not."""
    wanted = [
        run
        for run in runs
        if run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(GIVEN_UP) != "true"
    ]
    again = {found for run in wanted if (found := run.tags.get(AUTO_RETRY_RUN_ID_TAG))}
    not_submitted = {
        run.run_id
        for run in _found(instance, sorted(again))
        if run.status == dg.DagsterRunStatus.NOT_STARTED
    }
    over: dict[str | None, bool] = {}
    for run in wanted:
        again_as = run.tags.get(AUTO_RETRY_RUN_ID_TAG)
        if again_as is not None and again_as not in not_submitted:
            continue
        is_to_be = run.tags.get(WILL_RETRY_TAG) == "true"
        if (again_as is not None or not is_to_be) and not _tries(instance, run.run_id):
            continue  # the daemon is at it, or the run has failed for good
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
    """How often the daemon could not, or would not."""
    told = instance.get_records_for_run(run, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    words = (_COULD_NOT, *_WILL_NOT)
    return sum(record.event_log_entry.message.startswith(words) for record in told)
