"""Failed runs that Dagster's daemon could not start again are looked at again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, BACKFILL_ID_TAG, WILL_RETRY_TAG

from lc_platform.automation import lost_retries
from lc_platform.monitoring.run_failures import GIVEN_UP, failed_runs

pytestmark = pytest.mark.slow

CURSOR = f"EVENT_LOG_CONSUMER_CURSOR-{dg.DagsterEventType.RUN_FAILURE.value}"
LATER = 120.0
"""Seconds after the failure."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    settings = {"run_retries": {"enabled": True, "max_retries": 3}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=settings) as made:
        yield made


def failed(instance: dg.DagsterInstance, tags: Mapping[str, str] = {}) -> str:
    """A run that has failed, and that the daemon has passed by."""
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run)
    instance.add_run_tags(run.run_id, dict(tags))
    newest = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    instance.daemon_cursor_storage.set_cursor_values({CURSOR: str(newest[0].storage_id)})
    return run.run_id


def given_up(instance: dg.DagsterInstance, now: float) -> list[str]:
    return [run.run_id for run in failed_runs(instance, GIVEN_UP, now - 7 * 86400)]


@dg.job
def job() -> None:
    pass


def cursor(instance: dg.DagsterInstance) -> int:
    return int(instance.daemon_cursor_storage.get_cursor_values({CURSOR})[CURSOR])


def seen_again(instance: dg.DagsterInstance) -> list[str]:
    """The failed runs that the daemon reads next."""
    found = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        after_cursor=cursor(instance), dagster_event_type={dg.DagsterEventType.RUN_FAILURE}
    )
    return [event.run_id for event in found.values()]


def test_a_run_that_was_to_be_started_again_and_was_not_is_read_again(
    instance: dg.DagsterInstance,
) -> None:
    lost = failed(instance, {WILL_RETRY_TAG: "true"})
    assert seen_again(instance) == []
    assert lost_retries.retry(instance, time.time() + LATER) == [lost]
    assert seen_again(instance) == [lost]


def test_the_daemon_is_given_a_minute(instance: dg.DagsterInstance) -> None:
    failed(instance, {WILL_RETRY_TAG: "true"})
    assert lost_retries.retry(instance, time.time() + 30) == []
    assert seen_again(instance) == []


def test_a_run_that_the_daemon_tried_to_start_is_to_be_started(
    instance: dg.DagsterInstance,
) -> None:
    run = failed(instance, {WILL_RETRY_TAG: "false"})
    instance.report_engine_event("Failed to retry run", instance.get_run_by_id(run))
    assert lost_retries.retry(instance, time.time() + LATER) == [run]
    found = instance.get_run_by_id(run)
    assert found is not None
    assert found.tags[WILL_RETRY_TAG] == "true"
    for _ in range(10):
        instance.report_engine_event("Failed to retry run", found)
    assert lost_retries.retry(instance, time.time() + LATER) == []  # it is given up


def test_a_run_that_the_daemon_will_not_start_is_given_up(instance: dg.DagsterInstance) -> None:
    run = failed(instance, {WILL_RETRY_TAG: "true"})
    found = instance.get_run_by_id(run)
    assert found is not None
    for _ in range(11):
        assert lost_retries.retry(instance, time.time() + LATER) in ([run], [])
        words = "Run does not have an external job origin, unable to retry the run."
        instance.report_engine_event(words, found)
    assert lost_retries.retry(instance, time.time() + LATER) == []


def tags(instance: dg.DagsterInstance, run: str) -> Mapping[str, str]:
    found = instance.get_run_by_id(run)
    assert found is not None
    return found.tags


def test_a_run_that_was_lost_at_a_weekend_is_found_after_it(instance: dg.DagsterInstance) -> None:
    lost = failed(instance, {WILL_RETRY_TAG: "true"})
    assert lost_retries.retry(instance, time.time() + 3 * 86400) == [lost]
    assert seen_again(instance) == [lost]


def test_a_run_that_was_lost_for_a_week_is_given_up(instance: dg.DagsterInstance) -> None:
    lost = failed(instance, {WILL_RETRY_TAG: "true"})
    now = time.time() + 8 * 86400
    assert given_up(instance, now) == []
    assert lost_retries.retry(instance, now) == []
    assert seen_again(instance) == []
    assert tags(instance, lost)[WILL_RETRY_TAG] == "false"  # no backfill waits for it
    assert given_up(instance, time.time()) == [lost]


def test_a_run_that_was_looked_at_in_vain_is_given_up(instance: dg.DagsterInstance) -> None:
    run = failed(instance, {WILL_RETRY_TAG: "true"})
    for _ in range(11):
        assert lost_retries.retry(instance, time.time() + LATER) == [run]
        words = "Run does not have an external job origin, unable to retry the run."
        instance.report_engine_event(words, instance.get_run_by_id(run))
    assert lost_retries.retry(instance, time.time() + LATER) == []
    assert tags(instance, run)[WILL_RETRY_TAG] == "false"
    assert given_up(instance, time.time()) == [run]


@pytest.mark.parametrize(
    "told",
    [
        {WILL_RETRY_TAG: "true", AUTO_RETRY_RUN_ID_TAG: "another"},
        {WILL_RETRY_TAG: "false"},
        {WILL_RETRY_TAG: "true", BACKFILL_ID_TAG: "deleted"},
    ],
    ids=["was started again", "failed for good", "of a backfill that is no more"],
)
def test_no_other_run_is_given_up(instance: dg.DagsterInstance, told: dict[str, str]) -> None:
    failed(instance, told)
    assert lost_retries.retry(instance, time.time() + 8 * 86400) == []
    assert given_up(instance, time.time()) == []


def test_a_run_that_was_made_and_never_queued_is_looked_at_again(
    instance: dg.DagsterInstance,
) -> None:
    made = instance.create_run_for_job(job, status=dg.DagsterRunStatus.NOT_STARTED)
    run = failed(instance, {WILL_RETRY_TAG: "false", AUTO_RETRY_RUN_ID_TAG: made.run_id})
    assert lost_retries.retry(instance, time.time() + LATER) == []  # the daemon is at it
    instance.report_engine_event("Failed to retry run", instance.get_run_by_id(run))
    assert lost_retries.retry(instance, time.time() + LATER) == [run]


@pytest.mark.parametrize(
    "tags",
    [
        {WILL_RETRY_TAG: "true", AUTO_RETRY_RUN_ID_TAG: "another"},
        {WILL_RETRY_TAG: "false"},
        {WILL_RETRY_TAG: "true", BACKFILL_ID_TAG: "deleted"},
    ],
    ids=["was started again", "failed for good", "of a backfill that is no more"],
)
def test_no_other_run_is_read_again(instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    failed(instance, tags)
    assert lost_retries.retry(instance, time.time() + LATER) == []
    assert seen_again(instance) == []
