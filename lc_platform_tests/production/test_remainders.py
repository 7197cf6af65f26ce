"""One patch that cannot be made keeps no other of its chunk from the map: also in a backfill."""

from __future__ import annotations

import time
from pathlib import Path

from dagster._core.execution.backfill import BulkActionStatus

from lc_platform.artefacts.layout import ASSETS, Partition, dimensions
from lc_platform.assets.jobs import JOBS
from lc_platform.automation import backfill_remainders, backfills
from lc_platform_tests.automation.deployments import YEAR, Deployment, daemon, places_of, settings

TERMINAL = {BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.COMPLETED_SUCCESS}


CHANGES = """
from lc_platform.sources import open_source
from lc_platform_tests.graphs import Blank

platform = defs.resources["platform"]
platform.reference  # is of the whole simulated planet
platform.source = Blank(open_source(settings), {x!r}, {y!r})
"""


def test_a_backfill_with_a_patch_that_cannot_be_made_ends_in_a_map_of_the_others(
    tmp_path: Path,
) -> None:
    data = settings(operations={}) | {"processing": {"threads": 1, "chunk": 4}}
    deployment = Deployment(tmp_path, data)
    assert deployment.launch("grid").success
    blank = deployment.patches[1]
    box = deployment.platform.grid()[blank].geobox.geographic_extent.boundingbox
    graph = deployment.definitions.resolve_asset_graph()
    asked = {
        asset: {
            Partition(patch, YEAR if "year" in dimensions(asset) else None)
            for patch in (deployment.patches if "patch" in dimensions(asset) else [None])
        }
        for asset in ASSETS
        if asset != "patch_grid"
    }
    backfills.request(deployment.instance, graph, asked, name="everything", title="Everything")
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    with daemon(deployment, CHANGES.format(x=x, y=y)) as log:
        stop = time.monotonic() + 600
        while time.monotonic() < stop:
            there = deployment.instance.get_backfills()
            if len(there) == 2 and all(one.status in TERMINAL for one in there):
                break
            time.sleep(1)
        words = log.read_text(encoding="utf-8")[-3000:]
    titled = {one.title: one for one in deployment.instance.get_backfills()}
    assert set(titled) == {"Everything", "The rest of: Everything"}, words
    first, second = titled["Everything"], titled["The rest of: Everything"]
    assert first.status is BulkActionStatus.COMPLETED_FAILED
    assert second.status is BulkActionStatus.COMPLETED_SUCCESS, words
    again = places_of(second.get_asset_backfill_data(graph).target_subset)
    healthy = {place for place in deployment.places if place.patch != blank}
    assert again == {
        **{a: healthy for a in (*JOBS["patch_year"], *JOBS["prediction"]) if a != "raw_bands"},
        **{a: {Partition(year=YEAR)} for a in (*JOBS["training"], *JOBS["mosaicking"])},
    }
    look = deployment.platform.versions.look()
    assert look.states("mosaic", YEAR)[Partition(year=YEAR)].kind == "current"
    assert set(look.recorded("predictions", YEAR)) == healthy
    # Looked at again: nothing more is asked for, also where nobody remembers the first look.
    assert backfill_remainders.resubmit(
        deployment.instance, graph, deployment.config, time.time(), None
    ) == (
        [],
        {"everything"},
    )
    told, settled = backfill_remainders.resubmit(
        deployment.instance, graph, deployment.config, time.time(), {"everything"}
    )
    assert (told, settled) == ([], {"everything"})
