"""How a step of Dagster's fails: what may pass is tried again, all else fails at once, by name."""

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
    """The step that is at work."""

    instance: dg.DagsterInstance
    run: str
    """The id of its run."""
    asset: str
    """Or the check."""
    log: Any
    """Dagster's log of the run."""


@contextmanager
def explained(step: Step, where: Partition = Partition()) -> Iterator[None]:  # noqa: B008
    """An error that no retry mends becomes a failure that is not retried, with the partition's name
    and, where nobody foresaw it, its traceback in the run's log; one that may pass is raised as it
    is."""
    try:
        yield
    except Exception as error:
        conceal(error)
        if is_transient(error) or isinstance(error, dg.RetryRequested):
            raise
        not_again(step)
        log_traceback(step, where, error)
        # A spent quota is no partition's: it is told in the same words of all.
        of_all = isinstance(error, QuotaError)
        said = plain_words(step, error) if of_all else words(step, where, error)
        raise dg.Failure(said, allow_retries=False) from error


def not_again(step: Step) -> None:
    """Have a run that failed for good not started again, where Dagster's retries of runs are on."""
    if step.instance.has_run(step.run):
        step.instance.add_run_tags(step.run, {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "false"})


def canceled(step: Step) -> None:
    """Have a run that was asked to stop end as canceled, and not as failed."""
    run = step.instance.get_run_by_id(step.run)
    if run is not None and run.status is dg.DagsterRunStatus.STARTED:
        step.instance.report_run_canceling(run)


def words(step: Step, where: Partition, error: BaseException) -> str:
    """What to say of an error: its own words where it has some that were written for people, with
    the partition's name where they lack it; else also what was at work, and where to read more."""
    said = plain_words(step, error)
    named = where.patch or where.year
    return said if named is None or str(named) in said else f"{where}: {said}"


def plain_words(step: Step, error: BaseException) -> str:
    """The same without the partition's name: equal for partitions that failed of the same."""
    if _foreseen(error):
        return str(error) or type(error).__name__
    said = hidden(" ".join(str(error).split()))
    kind = type(error).__name__
    at = "".join(f"{note}: " for note in reversed(getattr(error, "__notes__", ())))
    return (
        f"{at}{f'{said} ({kind})' if said else kind} in {step.asset}. Nobody foresaw this: it is "
        f"not tried again, and its traceback is in the log of run {step.run}"
    )


def log_traceback(step: Step, where: Partition, error: BaseException) -> None:
    """Log where an error that nobody foresaw comes from."""
    if not _foreseen(error):
        told = "".join(traceback.format_exception(error))
        step.log.error(hidden(f"{where}: {step.asset} failed.\n{told}".removeprefix(": ")))


def _foreseen(error: BaseException) -> bool:
    return isinstance(error, PlatformError | dg.Failure)
