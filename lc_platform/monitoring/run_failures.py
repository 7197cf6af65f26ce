"""The failures of runs: assets, partitions, reasons and causes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lc_platform.assets.dagster_internals import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    WILL_RETRY_TAG,
    SerializableErrorInfo,
)
from lc_platform.assets.io_manager import FAILED, PERMANENT, REFUSAL, REFUSED

_CHUNK = re.compile(r"(\w+): \d+ of \d+ partitions failed\.")
_STATUS = r"(?:HTTP|status|status code|error|errno)[ :]*\d{1,3}\b"
_VARYING = re.compile(
    rf"({_STATUS})|\b(?:https?|s3|gs|gcs|az|abfss?)://\S+|[\w.@+#-]*(?:/[\w.@+#-]+){{2,}}"
    r"|[\w:.+-]*\d[\w:.+-]*",
    re.IGNORECASE,
)
_CAUSE_LENGTH = 160
_WRAPPERS = {"SensorExecutionError", "ScheduleExecutionError", "DagsterUserCodeProcessError"}
"""Dagster's errors around that of a tick."""


@dataclass(frozen=True)
class Failure:
    """A partition that a run did not make, the run itself, or a failure before there was a run."""

    asset: str
    """Empty where the run failed before any asset was computed. Where there was no run: the
    schedule, the sensor or the backfill that failed."""
    partition: str
    """Patch and year, or the backfill's id; empty where that is not known."""
    reason: str
    """The error's text."""
    run: str
    """The run's id; empty where there is none."""
    out_of_budget: bool = False
    """Whether the archive's quota or the budget was spent."""
    permanent: bool = False
    """Whether no further attempt is worth it: a check failed, or the step says so."""

    @property
    def cause(self) -> str:
        return cause(self.reason, self.partition.split())


def cause(reason: str, names: Collection[str] = ()) -> str:
    """Return what the texts of failures of one cause have in common.

    names  by which they call the partition

    Partitions, numbers, paths and addresses become ``#``; HTTP statuses stay. The result has at
    most 160 characters of the first line.
    """
    text = next(iter(reason.strip().splitlines()), "")
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "#", text)
    text = _VARYING.sub(lambda match: match.group(1) or "#", text)
    text = re.sub(r"(#[\s,;/]*)+#", "#", text)
    return text if len(text) <= _CAUSE_LENGTH else f"{text[: _CAUSE_LENGTH - 3]}..."


def error_text(error: SerializableErrorInfo) -> str:
    """Return the text of an error in Dagster's records, without Dagster's own errors around it and
    without the names of modules."""
    while error.cause is not None and (
        error.cls_name in _WRAPPERS or error.cls_name == error.cause.cls_name
    ):
        error = error.cause
    return re.sub(r"^(?:lc_platform[\w.]*: |(?:\w+\.)+(?=\w+(?::|$)))", "", error.message.strip())


def failures_of_run(instance: dg.DagsterInstance, run_id: str) -> list[Failure]:
    """Return what a failed run did not make, and why; the run's own failure where no step says it.

    A run that Dagster will try again has no failures yet.
    """
    run = instance.get_run_by_id(run_id)
    if run is not None and run.tags.get(WILL_RETRY_TAG) == "true":
        return []
    wanted = {
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.RUN_FAILURE,
    }
    events = [
        record.event_log_entry.dagster_event
        for record in instance.get_records_for_run(run_id, of_type=wanted).records
    ]
    partition = _partition(run.tags if run else {})
    return failures_in([event for event in events if event is not None], partition, run_id)


def failures_in(events: Sequence[dg.DagsterEvent], partition: str, run_id: str) -> list[Failure]:
    """Return what the events of a failed run say it did not make, and why.

    partition  the one that the run is of; empty where it is of several
    """
    found: list[Failure] = []
    for event in events:
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found += _of_check(event.asset_check_evaluation_data, partition, run_id)
        elif event.is_step_failure:
            found += _of_step(event, partition, run_id)
    if not found:
        texts = [event.message for event in events if event.is_run_failure and event.message]
        found = [Failure("", partition, texts[-1] if texts else "the run failed", run_id)]
    return list(dict.fromkeys(found))


def _partition(tags: Mapping[str, str]) -> str:
    """Return the one partition that a run is of; the empty string where it is of several."""
    first, last = tags.get(ASSET_PARTITION_RANGE_START_TAG), tags.get(ASSET_PARTITION_RANGE_END_TAG)
    named = tags.get(PARTITION_NAME_TAG, "") or (first if first and first == last else "")
    return named.replace("|", " ")


def _of_check(evaluation: Any, partition: str, run: str) -> Iterator[Failure]:
    if evaluation.passed or evaluation.severity is not dg.AssetCheckSeverity.ERROR:
        return
    if not evaluation.blocking:
        return
    asset = evaluation.asset_key.path[-1]
    named = evaluation.metadata.get(FAILED)
    for where in named.value if named is not None else [partition]:
        yield Failure(asset, str(where), str(evaluation.description), run, permanent=True)


def _of_step(event: Any, partition: str, run: str) -> Iterator[Failure]:
    data = event.step_failure_data
    error = data.error
    if error is not None and error.cls_name == "DagsterAssetCheckFailedError":
        return  # the check's own evaluation has the reason
    asset = str(event.step_key or "")
    described = data.user_failure_data
    named = described.metadata.get(FAILED) if described else None
    if described and named is not None:
        refused, permanent = (
            set(entry.value) if (entry := described.metadata.get(name)) is not None else set()
            for name in (REFUSED, PERMANENT)
        )
        for where, reason in named.value.items():
            yield Failure(asset, where, reason, run, where in refused, where in permanent)
        return
    text = described.description if described else None
    if text and _CHUNK.match(text):
        for line in text.splitlines()[1:]:
            first, _, rest = line.partition(": ")
            named = re.fullmatch(r"[\w-]+( \d{4})?", first)
            found = re.match(r"patch ([\w-]+), (\d{4})", first)
            if found:
                yield Failure(asset, " ".join(found.groups()), line, run)
            else:
                yield Failure(asset, first if named else "", rest if named else line, run)
        return
    while error is not None and error.cause is not None:
        error = error.cause
    reason = text or (error.message.strip() if error else "failed without an error")
    out_of_budget = error is not None and error.cls_name == REFUSAL
    yield Failure(asset, partition, reason, run, out_of_budget)


GIVEN_UP = "lc_platform/given_up"
"""Tag of failed runs that were to be started again, and never will be."""
LOOK_BACK = 7 * 86400.0
"""Seconds for which a run that is to be started again is waited for."""
MOST_RUNS = 500
"""Failed runs that are read at once."""


def failed_runs(
    instance: dg.DagsterInstance, tag: str, after: float, before: float | None = None
) -> Sequence[dg.DagsterRun]:
    """Return the runs with a tag that failed, or were tagged, between two times in seconds since
    1970; at most `MOST_RUNS`, the newest."""
    wanted = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={tag: "true"},
        updated_after=datetime.fromtimestamp(after, UTC),
        updated_before=None if before is None else datetime.fromtimestamp(before, UTC),
    )
    return instance.get_runs(wanted, limit=MOST_RUNS)
