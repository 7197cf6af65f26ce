"""Failures of Dagster's steps: transient errors are retried, all others fail at once, by name."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import dagster as dg

from lc_platform.artefacts.layout import Partition
from lc_platform.assets.dagster_internals import RETRY_ON_ASSET_OR_OP_FAILURE_TAG
from lc_platform.errors import PlatformError
from lc_platform.errors.transient import is_transient
from lc_platform.runtime.redaction import conceal, hidden
from lc_platform.sources.protocol import QuotaError


class Step(NamedTuple):
    """The step that is being executed."""

    instance: dg.DagsterInstance
    run: str
    """The run's id."""
    asset: str
    """The asset or the check."""
    log: Any
    """Dagster's log of the run."""


@contextmanager
def explained(step: Step, where: Partition = Partition()) -> Iterator[None]:  # noqa: B008
    """Turn a permanent error into a failure that is not retried, with the partition's name. The
    traceback of an unexpected one is in the run's log. A transient error is raised as it is."""
    try:
        yield
    except Exception as error:
        conceal(error)
        if is_transient(error) or isinstance(error, dg.RetryRequested):
            raise
        forbid_retry(step)
        log_traceback(step, where, error)
        # A spent quota concerns all partitions alike, and names none.
        for_all = isinstance(error, QuotaError)
        text = plain_message(step, error) if for_all else message(step, where, error)
        raise dg.Failure(text, allow_retries=False) from error


def forbid_retry(step: Step) -> None:
    """Keep Dagster from starting a run again that failed permanently."""
    if step.instance.has_run(step.run):
        step.instance.add_run_tags(step.run, {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "false"})


def canceled(step: Step) -> None:
    """Let a run that was stopped end as canceled instead of failed."""
    run = step.instance.get_run_by_id(step.run)
    if run is not None and run.status is dg.DagsterRunStatus.STARTED:
        step.instance.report_run_canceling(run)


def message(step: Step, where: Partition, error: BaseException) -> str:
    """Return an error's text for people, with the partition's name if it lacks it; that of an
    unexpected error also says what was being computed and where to read more."""
    text = plain_message(step, error)
    named = where.patch or where.year
    return text if named is None or str(named) in text else f"{where}: {text}"


def plain_message(step: Step, error: BaseException) -> str:
    """Return the same without the partition's name: equal for partitions of one cause."""
    if _is_expected(error):
        return str(error) or type(error).__name__
    text = hidden(" ".join(str(error).split()))
    kind = type(error).__name__
    at = "".join(f"{note}: " for note in reversed(getattr(error, "__notes__", ())))
    return (
        f"{at}{f'{text} ({kind})' if text else kind} in {step.asset}. This error is unexpected: it "
        f"is not retried, and its traceback is in the log of run {step.run}"
    )


def log_traceback(step: Step, where: Partition, error: BaseException) -> None:
    """Log the traceback of an unexpected error."""
    if not _is_expected(error):
        trace = "".join(traceback.format_exception(error))
        step.log.error(hidden(f"{where}: {step.asset} failed.\n{trace}".removeprefix(": ")))


def _is_expected(error: BaseException) -> bool:
    return isinstance(error, PlatformError | dg.Failure)
