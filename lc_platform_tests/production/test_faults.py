"""Each kind of process is killed once in the middle of a backfill, and nobody does anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lc_platform.artefacts.layout import ASSETS
from lc_platform_tests.production import artefacts, faults
from lc_platform_tests.production.areas import Area
from lc_platform_tests.production.artefacts import Digests
from lc_platform_tests.production.deployment import Deployment, deployed, start_worker
from lc_platform_tests.production.faults import Outcome

AREA = Area(columns=3, rows=2, years=(2023,), chunk=2)
SEED = 20
SECONDS = 1500.0


def survived(
    deployment: Deployment, outcome: Outcome, targets: tuple[str, ...], expected: Digests
) -> None:
    """Everything is there once, as if nothing had happened, and nothing was done for nothing."""
    print(outcome.told())
    assert sorted(kill.target for kill in outcome.kills) == sorted(targets)
    assert outcome.status == "COMPLETED_SUCCESS"
    assert set(outcome.history.runs) <= {"SUCCESS", "FAILURE"}
    assert outcome.not_current == []
    assert outcome.again == {}
    assert artefacts.digests(deployment.config) == expected


def test_a_backfill_survives_the_kill_of_every_kind_of_process(
    tmp_path: Path, one_process: Callable[[Area], Digests]
) -> None:
    expected = one_process(AREA)
    with deployed(tmp_path / "faults", AREA.settings()) as deployment:
        ui = deployment.graphql
        assert ui.wait_for_run(ui.launch_job("grid"), 180) == "SUCCESS"
        backfill = ui.launch_backfill(ASSETS, "Everything, under fire")
        outcome = faults.shoot_at(deployment, backfill, faults.TARGETS, SEED, seconds=SECONDS)
        survived(deployment, outcome, faults.TARGETS, expected)


def test_a_backfill_survives_the_kill_of_a_celery_worker(
    tmp_path: Path, one_process: Callable[[Area], Digests]
) -> None:
    expected = one_process(AREA)
    slots = {"concurrency": {"runs": {"max_concurrent_runs": 2}}}
    settings = AREA.settings()
    with deployed(tmp_path / "celery", settings, cluster=True, changes=slots) as deployment:
        start_worker(deployment, "worker-1")
        start_worker(deployment, "worker-2")
        ui = deployment.graphql
        assert ui.wait_for_run(ui.launch_job("grid"), 180) == "SUCCESS"
        backfill = ui.launch_backfill(ASSETS, "Everything, on two workers")
        targets = ("worker-1", faults.RUN)
        outcome = faults.shoot_at(deployment, backfill, targets, SEED, seconds=SECONDS)
        survived(deployment, outcome, targets, expected)
