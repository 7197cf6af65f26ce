"""A day in production: a schedule fires, and one click makes what one process would make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lc_platform.artefacts.layout import ASSETS
from lc_platform.automation import COMPLETENESS
from lc_platform_tests.production import artefacts, history
from lc_platform_tests.production.areas import Area
from lc_platform_tests.production.artefacts import Digests
from lc_platform_tests.production.deployment import Deployment, deployed
from lc_platform_tests.production.supervisor import wait_until

AREA = Area(columns=6, rows=4, years=(2022, 2023), chunk=8)
EACH_MINUTE = {"checks": {"cron": "* * * * *"}}
BACKFILL_SECONDS = 1500.0


def test_a_schedule_fires_and_one_backfill_of_all_makes_what_one_process_makes(
    tmp_path: Path, one_process: Callable[[Area], Digests]
) -> None:
    with deployed(tmp_path / "day", AREA.settings(operations=EACH_MINUTE)) as deployment:
        ui = deployment.graphql
        assert ui.wait_for_run(ui.launch_job("grid"), 180) == "SUCCESS"
        fires(deployment, COMPLETENESS)

        backfill = ui.launch_backfill(ASSETS, "Everything")
        wait_until(lambda: ui.is_over(backfill), "the backfill is over", BACKFILL_SECONDS)
        assert ui.backfill_status(backfill) == "COMPLETED_SUCCESS"

        states = artefacts.states(deployment.config)
        assert {where for where, state in states.items() if state.kind != "current"} == set()
        # One grid; 24 references; of 24 x 2 patches and years six each; of two years three each.
        assert len(states) == AREA.artefacts == 1 + 24 + 48 * 8 + 2 * 6
        with deployment.instance() as instance:
            past = history.read(instance, backfill)
        assert past.made_twice == []
        # The grid was there already.
        assert set(past.found) == {("patch_grid", None)}
        assert len(past.made) == len(states) - 1
        made = artefacts.digests(deployment.config)
    assert made == one_process(AREA)


def fires(deployment: Deployment, schedule: str) -> None:
    """Turn a schedule on that is due each minute, see its run through, and turn it off."""
    ui = deployment.graphql
    ui.start_schedule(schedule)

    def launched() -> bool:
        return any(tick["runIds"] for tick in ui.ticks(schedule))

    wait_until(launched, f"{schedule} has launched a run", 150)
    ui.stop_schedule(schedule)
    # It lists that nothing is made yet; to say so is to succeed.
    (run, *_) = next(tick["runIds"] for tick in ui.ticks(schedule) if tick["runIds"])
    assert ui.wait_for_run(run, 180) == "SUCCESS"
