"""The dashboard's panels on a real Prometheus that scrapes a small area's metrics."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from lc_platform.acquisition.budget import StoreLedger
from lc_platform.assets.partitions import patch_year_key
from lc_platform.sources.protocol import Cost
from lc_platform_tests.automation.deployments import YEAR, Deployment, settings
from lc_platform_tests.infra import servers
from lc_platform_tests.servers import free_ports, lacking

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "dashboards"
BOARD = json.loads((FOLDER / "lc-platform.json").read_text(encoding="utf-8"))
EXPRESSIONS = [
    (panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]
]
LABELS = [v["query"]["query"] for v in BOARD["templating"]["list"] if v["type"] == "query"]


class Prometheus:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **query: str) -> Any:
        """Raises HTTPError where Prometheus refuses the query."""
        asked = f"{self.url}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        return [float(one["value"][1]) for one in self.get("query", query=expression)["result"]]

    def wait(self, expression: str, wanted: Callable[[list[float]], bool]) -> None:
        deadline = time.monotonic() + 90
        while True:
            try:
                found = self.values(expression)
            except OSError:
                found = []
            if wanted(found):
                return
            assert time.monotonic() < deadline, f"{expression}: {found}"
            time.sleep(0.5)


def spend(deployment: Deployment) -> None:
    """Some processing units, as an archive that charges them has them recorded."""
    ledger = StoreLedger(deployment.platform.store, deployment.config.imagery.budget)
    ledger.settle(Cost(), Cost(3, 12.5, 4000))
    ledger.flush()
    told = {"requests": 3, "processing_units": 12.5}
    deployment.instance.report_runless_asset_event(
        dg.AssetMaterialization("raw_bands", partition=f"elsewhere|{YEAR}", metadata=told)
    )


def look_at_the_map(port: int, api: Prometheus) -> None:
    """Ask for a tile until Prometheus has seen one drawn, and others from the cache."""
    address = f"http://127.0.0.1:{port}/map"
    with urllib.request.urlopen(f"{address}/api/patches", timeout=60) as answer:
        (west, south), *_ = json.load(answer)["features"][0]["geometry"]["coordinates"][0]
    x, y, z = tile_at(west, south, 14)
    tile = f"{address}/tiles/reference/{z}/{x}/{y}.png?year={YEAR}"

    def kept(found: list[float]) -> bool:
        with urllib.request.urlopen(tile, timeout=60) as drawn:
            drawn.read()
        return found > [0]

    api.wait('rate(lc_platform_map_tiles_total{origin="cache"}[15m])', kept)


def tile_at(lon: float, lat: float, z: int) -> tuple[int, int, int]:
    down = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return int((lon + 180) / 360 * 2**z), int(down * 2**z), z


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen one patch made, then another, and one that failed."""
    program = shutil.which("prometheus")
    if program is None:
        lacking("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    budget = {"budget": {"processing_units": 1000}}
    deployment = Deployment(folder, settings(columns=2, rows=1, imagery=budget))
    (folder / "lc.yaml").write_text(yaml.safe_dump(deployment.data))
    assert deployment.launch("grid").success
    first, second = deployment.patches

    def make(patch: str) -> None:
        assert deployment.launch("reference", patch).success
        assert deployment.launch("patch_year", str(patch_year_key(patch, YEAR))).success
        spend(deployment)

    make(first)
    exported, port, viewed = free_ports(3)
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                "scrape_configs": [
                    {
                        "job_name": "lc-platform",
                        "static_configs": [{"targets": [f"127.0.0.1:{exported}"]}],
                    }
                ],
            }
        )
    )
    exporter = [
        *(sys.executable, "-m", "lc_platform", "metrics", "-c", str(folder / "lc.yaml")),
        *("--port", str(exported), "--every", "0.5"),
        *("--map", f"http://127.0.0.1:{viewed}/metrics"),
    ]
    web_map = [
        *(sys.executable, "-m", "lc_platform", "map", "-c", str(folder / "lc.yaml")),
        *("--port", str(viewed)),
    ]
    server = [
        *(program, f"--config.file={folder / 'prometheus.yml'}", "--log.level=warn"),
        *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    with ExitStack() as both:
        both.enter_context(servers.started(web_map))
        both.enter_context(servers.started(exporter))
        both.enter_context(servers.started(server))
        api = Prometheus(port)
        counted = "lc_platform_step_seconds_count{asset='training_samples'}"
        api.wait(counted, lambda found: found == [1])
        make(second)
        clear = deployment.changed(imagery={"max_cloud_cover": 0})
        assert not clear.launch("patch_year", str(patch_year_key(first, YEAR))).success
        api.wait(counted, lambda found: found == [2])
        api.wait("lc_platform_failures_total", lambda found: found == [1])
        api.wait("increase(lc_platform_processing_units_total[1h])", lambda found: found > [0])
        look_at_the_map(viewed, api)
        yield api


@pytest.mark.slow
@pytest.mark.parametrize(("panel", "expression"), EXPRESSIONS, ids=[one for one, _ in EXPRESSIONS])
def test_every_panel_has_numbers(prometheus: Prometheus, panel: str, expression: str) -> None:
    for variable in ("$asset", "$year"):
        expression = expression.replace(variable, ".*")
    assert "$" not in expression
    values = prometheus.values(expression)
    assert any(map(math.isfinite, values)), panel


@pytest.mark.parametrize("query", LABELS)
def test_every_variable_has_values(prometheus: Prometheus, query: str) -> None:
    metric, label = query.removeprefix("label_values(").removesuffix(")").split(", ")
    assert prometheus.get(f"label/{label}/values", **{"match[]": metric})


def test_the_units_of_the_month_are_those_that_were_charged(prometheus: Prometheus) -> None:
    [units] = [panel for panel in BOARD["panels"] if panel["title"].startswith("Processing units")]
    spent, left, budget = (prometheus.values(one["expr"]) for one in units["targets"])
    assert (spent, left, budget) == ([25], [975], [1000])


def test_the_map_is_up(prometheus: Prometheus) -> None:
    assert prometheus.values("lc_platform_map_up") == [1]


def test_the_scrape_s_configuration_and_its_alerts_are_valid() -> None:
    program = shutil.which("promtool")
    if program is None:
        lacking("prometheus")
    command = [program, "check", "config", str(FOLDER / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
