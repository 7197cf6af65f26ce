"""What a backfill has left undone as one patch failed of what nobody foresaw."""

from __future__ import annotations

from pathlib import Path

from lc_platform.artefacts.layout import Partition
from lc_platform.assets.dagster_internals import BACKFILL_ID_TAG
from lc_platform.assets.partitions import quiet
from lc_platform.automation.backfill_remainders import remainder
from lc_platform.automation.backfills import request, subset
from lc_platform_tests.assets.failing_archive import failing, unforeseen_key
from lc_platform_tests.graphs import YEAR, Platform, configured

ASKED = ("raw_bands", "cloud_masks")


def test_the_rest_is_of_the_others_alone(tmp_path: Path) -> None:
    platform = Platform(configured(tmp_path))
    assert platform.launch("grid").success
    places = [Partition(patch, YEAR) for patch in platform.patches]
    failed = places[1]
    graph = platform.definitions.resolve_asset_graph()
    wanted = dict.fromkeys(ASKED, places)
    request(platform.instance, graph, wanted, name="all", title="All")
    source = failing(platform.definitions, platform, {1: unforeseen_key})
    result = platform.launch("patch_year", platform.patch_years, ASKED, **{BACKFILL_ID_TAG: "all"})
    assert not result.success
    assert source.searched[str(failed.patch)] == 1
    backfill = platform.instance.get_backfill("all")
    assert backfill is not None
    with quiet():
        # As the daemon writes it down when the run has ended.
        made = subset(graph, {"raw_bands": [place for place in places if place != failed]})
        data = backfill.get_asset_backfill_data(graph)._replace(materialized_subset=made)
        backfill = backfill.with_asset_backfill_data(data, platform.instance, graph)
        rest = remainder(platform.instance, graph, backfill)
    assert rest == {"cloud_masks": {place for place in places if place != failed}}
