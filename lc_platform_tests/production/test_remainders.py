"""One patch that cannot be made keeps no other of its chunk from the map: also in a backfill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dagster._core.execution.backfill import BulkActionStatus
from odc.geo.geom import Geometry

from lc_platform.artefacts.layout import ASSETS, Partition, dimensions
from lc_platform.assets.jobs import JOBS
from lc_platform.automation import backfill_remainders, backfills
from lc_platform.sources.protocol import Acquisition, Source
from lc_platform_tests.automation.test_automation import YEAR, Deployment, places_of, settings

TERMINAL = {BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.COMPLETED_SUCCESS}


@dataclass
class Blank:
    """An archive that has nothing at a place, given in longitude and latitude."""

    archive: Source
    x: float
    y: float

    def __getattr__(self, name: str) -> object:
        return getattr(self.archive, name)

    def search(self, area: Geometry, start: datetime, end: datetime) -> list[Acquisition]:
        west, south, east, north = area.to_crs("EPSG:4326").boundingbox
        if west < self.x < east and south < self.y < north:
            return []
        return self.archive.search(area, start, end)


DEFINITIONS = """
import json
from pathlib import Path
from lc_platform import config
from lc_platform.sources import open_source
from lc_platform_tests.automation.test_automation import operated
from lc_platform_tests.production.test_remainders import Blank

folder = Path({folder!r})
settings = config.parse(json.loads((folder / "settings.json").read_text()), folder)
defs = operated(settings)
platform = defs.resources["platform"]
platform.reference  # is of the whole simulated planet
platform.source = Blank(open_source(settings), {x!r}, {y!r})
"""


@contextmanager
def daemon(deployment: Deployment, x: float, y: float) -> Iterator[Path]:
    """Dagster's daemon on a deployment whose archive has nothing at a place; its log."""
    folder = deployment.folder
    (folder / "settings.json").write_text(json.dumps(deployment.data), encoding="utf-8")
    file, log = folder / "deployed.py", folder / "daemon.log"
    file.write_text(DEFINITIONS.format(folder=str(folder), x=x, y=y), encoding="utf-8")
    home = folder / "dagster"
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-f", str(file)],
            env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"},
            cwd=folder,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield log
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def test_a_backfill_with_a_patch_that_cannot_be_made_ends_in_a_map_of_the_others(
    tmp_path: Path,
) -> None:
    data = settings(operations={}) | {"processing": {"threads": 1, "chunk": 4}}
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
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
    with daemon(deployment, (box.left + box.right) / 2, (box.bottom + box.top) / 2) as log:
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
    assert backfill_remainders.ask(
        deployment.instance, graph, deployment.config, time.time(), None
    ) == (
        [],
        {"everything"},
    )
    told, settled = backfill_remainders.ask(
        deployment.instance, graph, deployment.config, time.time(), {"everything"}
    )
    assert (told, settled) == ([], {"everything"})
