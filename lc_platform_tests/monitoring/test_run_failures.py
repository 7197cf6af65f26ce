"""Which failures have one cause."""

from __future__ import annotations

import dagster as dg
import pytest

from lc_platform.monitoring.run_failures import Failure, cause, failures_of_run

NOTHING = (
    "patch 33N-r001-c002, 2023: no acquisition between 2023-01-01 and 2023-12-31 in "
    "sentinel-2-l1c. Check years, imagery.collection and the area (aoi): the patch lies at "
    "46.10N 14.50E"
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            Failure("raw_bands", "33N-r001-c002 2023", NOTHING, "a"),
            Failure(
                "raw_bands",
                "33N-r010-c117 2024",
                NOTHING.replace("r001-c002", "r010-c117")
                .replace("2023", "2024")
                .replace("46.10N 14.50E", "5.00S 170.25W"),
                "b",
            ),
        ),
        (
            Failure("features", "east 2023", "east 2023: /data/x/2023/east.zarr: is damaged", "a"),
            Failure("features", "west 2023", "west 2023: /data/x/2023/west.zarr: is damaged", "a"),
        ),
        (
            Failure("model", "2023", "s3://bucket/a/2023: HTTP 503 after 12.5 s", "a"),
            Failure("model", "2024", "s3://bucket/b/2024: HTTP 503 after 3 s", "a"),
        ),
        (
            Failure("raw_bands", "a 2023", "raw_bands/2023/a.zarr: ExpiredToken", "a"),
            Failure("features", "b 2023", "features/2023/b.zarr: ExpiredToken", "a"),
        ),
    ],
)
def test_failures_that_differ_in_place_and_number_alone_have_one_cause(
    one: Failure, other: Failure
) -> None:
    assert one.cause == other.cause


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the server answers HTTP 503", "the server answers HTTP 404"),
        ("band B04 is missing", "band B04 is damaged"),
    ],
)
def test_failures_that_differ_in_what_is_wrong_have_two_causes(one: str, other: str) -> None:
    assert cause(one) != cause(other)


def test_a_cause_is_short_and_of_one_line() -> None:
    text = cause("word " * 200 + "\nTraceback")
    assert len(text) == 160
    assert "\n" not in text


@dg.op
def work() -> None:
    raise OSError("disk\nfull") from ConnectionError("the server answers HTTP 503")


@dg.job
def daily() -> None:
    work()


def test_an_error_is_told_by_what_began_it() -> None:
    instance = dg.DagsterInstance.ephemeral()
    done = daily.execute_in_process(instance=instance, raise_on_error=False)
    [failure] = failures_of_run(instance, done.run_id)
    assert failure.asset == "work"
    assert "ConnectionError: the server answers HTTP 503" in failure.reason


def test_a_run_whose_worker_died_tells_so() -> None:
    instance = dg.DagsterInstance.ephemeral()
    run = instance.create_run_for_job(daily)
    instance.report_run_failed(run, "Run worker exited unexpectedly")
    assert failures_of_run(instance, run.run_id) == [
        Failure("", "", "Run worker exited unexpectedly", run.run_id)
    ]
