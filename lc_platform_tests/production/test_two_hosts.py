"""Two hosts with a worker each: one is cut off in the middle of a backfill, and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import BACKFILL_ID_TAG
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from lc_platform.artefacts.layout import ASSETS
from lc_platform_tests.production import artefacts, history
from lc_platform_tests.production.areas import Area
from lc_platform_tests.production.artefacts import Digests
from lc_platform_tests.production.deployment import Deployment, deployed, start_worker
from lc_platform_tests.production.network import network
from lc_platform_tests.production.supervisor import wait_until

AREA = Area(columns=2, rows=3, years=(2023,), chunk=2)
CUT_SECONDS = 60.0
"""Longer than it takes to give the cut-off run to the other host."""
SECONDS = 1500.0


def test_a_backfill_survives_a_host_that_is_cut_off_and_comes_back(
    tmp_path: Path, one_process: Callable[[Area], Digests]
) -> None:
    expected = one_process(AREA)
    with (
        network(2) as net,
        deployed(
            tmp_path / "hosts",
            AREA.settings(),
            cluster=True,
            host=net.head,
            changes={"concurrency": {"runs": {"max_concurrent_runs": len(net.hosts)}}},
        ) as deployment,
    ):
        for number, host in enumerate(net.hosts):
            start_worker(deployment, f"worker-{number}", prefix=host.prefix)
        ui = deployment.graphql
        assert ui.wait_for_run(ui.launch_job("grid"), 180) == "SUCCESS"
        backfill = ui.launch_backfill(ASSETS, "Everything, on two hosts")

        lost = net.hosts[1]
        wait_until(lambda: bool(has_begun(deployment, "worker-1")), "it is at a run", SECONDS)
        (cut,) = has_begun(deployment, "worker-1")
        lost.cut_off()
        time.sleep(CUT_SECONDS)
        lost.bring_back()

        wait_until(lambda: ui.is_over(backfill), "the backfill is over", SECONDS)
        assert ui.backfill_status(backfill) == "COMPLETED_SUCCESS"
        with deployment.instance() as instance:
            past = history.read(instance, backfill)
            runs = instance.get_runs(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill}))
        print(past)
        # It was given up and taken over; what it went on with when it was back did no harm.
        assert cut in {run.parent_run_id for run in runs}
        states = artefacts.states(deployment.config)
        assert {where for where, state in states.items() if state.kind != "current"} == set()
        assert artefacts.digests(deployment.config) == expected


def has_begun(deployment: Deployment, worker: str) -> list[str]:
    """The runs that a worker is at, beyond their start."""
    tasks = deployment.tasks([worker])
    with deployment.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    return [
        run.run_id
        for run in runs
        if run.tags.get(DAGSTER_CELERY_TASK_ID_TAG) in tasks and BACKFILL_ID_TAG in run.tags
    ]
