"""Metrics scraped from the real endpoint, of real runs."""

from __future__ import annotations

import json
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from lc_platform.acquisition.budget import StoreLedger
from lc_platform.artefacts.layout import ASSETS, Partition, key
from lc_platform.assets.partitions import patch_year_key
from lc_platform.commands import ports
from lc_platform.commands.metrics import CAUSES, OTHERS, STATES, EventLog, Exporter, serve
from lc_platform.monitoring.run_failures import Failure
from lc_platform.reading.reader import Reader
from lc_platform.sources.protocol import Cost
from lc_platform.viewer import server as viewer_server
from lc_platform.viewer.app import create_app
from lc_platform_tests.automation.deployments import YEAR, Deployment, settings

pytestmark = pytest.mark.slow

DASHBOARDS = Path(__file__).resolve().parents[2] / "infra" / "dashboards"
Samples = dict[tuple[str, ...], float]


class Scraped(dict[str, Samples]):
    """Name of a sample -> values of its labels, in the order of their names -> value."""

    families: set[str]
    """Names of samples that may come, those without any included."""


class Served(NamedTuple):
    exporter: Exporter
    url: str

    def look(self) -> Scraped:
        """What a scrape tells after another look."""
        self.exporter.refresh()
        return self.scrape()

    def scrape(self) -> Scraped:
        return scrape(self.url)


@contextmanager
def serving(deployment: Deployment, web_map: str | None = None) -> Iterator[Served]:
    exporter = Exporter(deployment.instance, deployment.platform, web_map)
    server = serve(exporter, port=0)
    try:
        yield Served(exporter, f"http://127.0.0.1:{server.server_port}/metrics")
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def map_of(deployment: Deployment) -> Iterator[str]:
    """The address of the deployment's web map."""
    with ports.listening("127.0.0.1", 0) as listening:
        app = create_app(Reader(deployment.platform.store, deployment.config))
        server = viewer_server.server_of(app, path="/map")
        thread = threading.Thread(target=viewer_server.serve, args=(server, listening))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def ask(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}


def scrape(url: str) -> Scraped:
    with urllib.request.urlopen(url, timeout=60) as answer:
        text = answer.read().decode()
    found = Scraped()
    found.families = set()
    for family in text_string_to_metric_families(text):
        found.families |= {family.name + suffix for suffix in SUFFIXES[family.type]}
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Two patches, everything made; then one patch fails for want of clear acquisitions, and one
    prediction is taken away."""
    folder = tmp_path_factory.mktemp("metrics")
    deployment = Deployment(folder, settings(columns=2, rows=1))
    deployment.everything()
    first, second = deployment.patches
    clear = deployment.changed(imagery={"max_cloud_cover": 0})
    assert not clear.launch("patch_year", str(patch_year_key(first, YEAR))).success
    deployment.platform.store.remove(key("predictions", second, YEAR))
    return Deployment(folder, settings(columns=2, rows=1))


@pytest.fixture(scope="module")
def scraped(made: Deployment) -> Scraped:
    with map_of(made) as address, serving(made, f"{address}/metrics") as served:
        assert ask(f"{address}/map/api/area") == 200
        assert ask(f"{address}/map/api/pixel?lon=0") == 422
        assert ask(f"{address}/map/{'x' * 20}") == 404
        for _ in range(2):
            assert ask(f"{address}/map/tiles/patches/0/0/0.png?year={YEAR}") == 404
        return served.look()


def test_the_map_s_answers_are_counted_by_route_and_status(scraped: Scraped) -> None:
    assert scraped["lc_platform_map_up"] == {(): 1}
    assert scraped["lc_platform_map_requests_total"] == {
        ("/api/area", "200"): 1,
        ("/api/pixel", "422"): 1,
        ("unknown", "404"): 1,
        ("/tiles/{layer}/{z}/{x}/{y}.png", "404"): 2,
    }
    counted = scraped["lc_platform_map_request_seconds_count"]
    assert counted["/tiles/{layer}/{z}/{x}/{y}.png",] == 2


def test_a_map_that_is_gone_is_down_and_leaves_no_old_numbers(made: Deployment) -> None:
    with map_of(made) as address:
        with serving(made, f"{address}/metrics") as served:
            assert served.look()["lc_platform_map_up"] == {(): 1}
        with serving(made, f"{address}/map/api/area") as other:
            assert "lc_platform_map_requests_total" not in other.look()
    with serving(made, f"{address}/metrics") as served:
        gone = served.look()
        assert gone["lc_platform_map_up"] == {(): 0}
        assert "lc_platform_map_requests_total" not in gone
        assert gone["lc_platform_store_up"] == {(): 1}
        assert gone["lc_platform_last_look_timestamp_seconds"]
    with serving(made) as unwatched:
        assert "lc_platform_map_up" not in unwatched.look()


def test_partitions_are_counted_by_asset_year_and_state(scraped: Scraped) -> None:
    counted = scraped["lc_platform_partitions"]
    assert len(counted) == len(ASSETS) * len(STATES)
    assert counted["predictions", "missing", str(YEAR)] == 1
    assert counted["predictions", "current", str(YEAR)] == 1
    assert counted["reference_rasters", "current", ""] == 2
    by_asset: dict[str, float] = {}
    for (asset, _, _), value in counted.items():
        by_asset[asset] = by_asset.get(asset, 0) + value
    assert by_asset["raw_bands"] == by_asset["features"] == 2
    assert by_asset["model"] == by_asset["patch_grid"] == 1


def test_seconds_and_bytes_are_those_of_the_materializations(
    scraped: Scraped, made: Deployment
) -> None:
    records = made.instance.fetch_materializations(dg.AssetKey("features"), limit=100).records
    facts = [r.asset_materialization.metadata for r in records if r.asset_materialization]
    seconds = [float(fact["seconds"].value) for fact in facts if "seconds" in fact]  # type: ignore[arg-type]
    sizes = [float(fact["bytes"].value) for fact in facts if "seconds" in fact]  # type: ignore[arg-type]
    assert len(seconds) == 2
    assert scraped["lc_platform_step_seconds_count"]["features",] == 2
    assert scraped["lc_platform_step_seconds_sum"]["features",] == pytest.approx(sum(seconds))
    assert scraped["lc_platform_step_bytes_sum"]["features",] == sum(sizes)
    buckets = scraped["lc_platform_step_seconds_bucket"]
    assert buckets["features", "+Inf"] == 2
    assert buckets["features", "0.1"] == sum(second <= 0.1 for second in seconds)


def test_failures_are_counted_by_cause(scraped: Scraped) -> None:
    [((asset, cause), count)] = scraped["lc_platform_failures_total"].items()
    assert (asset, count) == ("raw_bands", 1)
    assert cause.startswith("patch #: none of # acquisitions between #")


def test_what_no_source_tells_is_absent_and_not_zero(scraped: Scraped) -> None:
    assert "lc_platform_requests_total" not in scraped
    assert "lc_platform_processing_units_total" not in scraped


def test_requests_and_units_are_added_up_where_a_source_tells_them(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        for requests, units in ((3, 1.5), (4, 0.25)):
            told = {"requests": requests, "processing_units": units}
            instance.report_runless_asset_event(
                dg.AssetMaterialization("raw_bands", partition="a|2023", metadata=told)
            )
        log = EventLog(instance)
        log.read()
    assert log.requests == {("raw_bands",): 7}
    assert log.units == {("raw_bands",): 1.75}
    assert log.seconds == {}


@pytest.mark.proof
def test_what_was_up_to_date_and_only_reported_counts_as_no_work(made: Deployment) -> None:
    with serving(made) as served:
        before = served.look()["lc_platform_step_seconds_count"]["reference_rasters",]
        assert made.launch("reference", made.patches[0]).success
        assert served.look()["lc_platform_step_seconds_count"]["reference_rasters",] == before


@pytest.mark.proof
def test_counters_stand_where_they_stood_after_a_restart(made: Deployment) -> None:
    with serving(made) as served:
        served.look()
        before = served.look()
    with serving(made) as served:
        after = served.look()
    for name in (n for n in before if n.startswith(("lc_platform_step", "lc_platform_failures"))):
        assert after[name] == before[name]


@pytest.mark.proof
def test_a_scrape_waits_for_no_look(made: Deployment) -> None:
    place = Partition(made.patches[1], YEAR)
    stored, missing = made.platform.store, ("observation_stats", "missing", str(YEAR))
    with serving(made) as served:
        assert set(served.scrape()) == {"lc_platform_scrape_seconds"}
        assert served.look()["lc_platform_partitions"][missing] == 0
        stored.remove(key("observation_stats", *place))
        assert served.scrape()["lc_platform_partitions"][missing] == 0
        assert served.look()["lc_platform_partitions"][missing] == 1


@pytest.mark.proof
def test_what_only_waited_for_another_is_not_counted_as_failed(made: Deployment) -> None:
    clear = made.changed(imagery={"max_cloud_cover": 0})
    with serving(clear) as served:
        counted = served.look()["lc_platform_partitions"]
    assert counted["raw_bands", "failed", str(YEAR)] == 1
    failed = [asset for (asset, state, _), n in counted.items() if state == "failed" and n]
    assert failed == ["raw_bands"]


@pytest.fixture
def own(made: Deployment, tmp_path: Path) -> Deployment:
    """The same in a folder of its own."""
    shutil.copytree(made.folder, tmp_path / "own", symlinks=True)
    return Deployment(tmp_path / "own", made.data)


def test_a_store_that_is_gone_leaves_no_old_numbers(own: Deployment) -> None:
    data, aside = own.folder / "data", own.folder / "aside"
    with serving(own) as served:
        before = served.look()
        assert before["lc_platform_store_up"][()] == 1
        data.rename(aside)
        away = served.look()
        assert away["lc_platform_store_up"][()] == 0
        gone = ("lc_platform_partitions", "lc_platform_month_spent")
        assert all(name in before and name not in away for name in gone)
        assert away["lc_platform_step_seconds_count"] == before["lc_platform_step_seconds_count"]
        looked = "lc_platform_last_look_timestamp_seconds"
        assert away[looked] == before[looked]
        aside.rename(data)
        back = served.look()
        assert back["lc_platform_store_up"][()] == 1
        assert back["lc_platform_partitions"] == before["lc_platform_partitions"]
        assert back[looked][()] > before[looked][()]


def test_records_that_are_gone_leave_no_old_numbers(own: Deployment) -> None:
    with serving(own) as served:
        assert served.look()["lc_platform_records_up"][()] == 1
        (own.folder / "dagster" / "history" / "runs.db").write_bytes(b"no database" * 100)
        away = served.look()
        assert away["lc_platform_records_up"][()] == 0
        assert "lc_platform_runs" not in away


def test_before_the_grid_is_laid_it_alone_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with serving(Deployment(tmp_path, settings())) as served:
        told = served.look()
    assert told["lc_platform_store_up"][()] == 1
    counted = {name for name, value in told["lc_platform_partitions"].items() if value}
    assert counted == {("patch_grid", "missing", "")}


def test_the_month_counts_what_came_to_nothing_too(own: Deployment) -> None:
    budgeted = own.changed(imagery={"budget": {"processing_units": 100}})
    worker = StoreLedger(own.platform.store, budgeted.config.imagery.budget)
    price = Cost(3, 12.5)
    worker.reserve(price)
    worker.settle(price, Cost(3, 12.5, 4000))  # and no artefact came of it
    worker.flush()
    with serving(budgeted) as served:
        told = served.look()
    spent = {("requests",): 3, ("processing_units",): 12.5, ("bytes",): 4000}
    assert told["lc_platform_month_spent"] == spent
    assert told["lc_platform_month_left"] == {("processing_units",): 87.5}
    assert told["lc_platform_month_budget"] == {("processing_units",): 100}
    assert "lc_platform_processing_units_total" not in told


def test_causes_beyond_the_first_are_told_together_and_no_counter_falls() -> None:
    from collections import Counter

    from lc_platform.commands.metrics import _commonest

    words = ["".join(chr(97 + int(digit)) for digit in str(n)) for n in range(CAUSES + 5)]
    failures = Counter(("model", Failure("model", "", word, "").cause) for word in words)
    shown = _commonest(failures)
    assert len(shown) == CAUSES + 1
    assert shown[OTHERS, OTHERS] == 5


def test_every_metric_of_the_dashboard_and_of_its_alerts_is_exported(scraped: Scraped) -> None:
    board = json.loads((DASHBOARDS / "lc-platform.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [
        v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"
    ]
    rules = yaml.safe_load((DASHBOARDS / "alerts.yml").read_text(encoding="utf-8"))
    expressions += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    named = {name for text in expressions for name in re.findall(r"lc_platform_\w+", text)}
    assert len(named) >= 8
    assert named <= scraped.families


def test_every_metric_is_on_the_dashboard(scraped: Scraped) -> None:
    text = (DASHBOARDS / "lc-platform.json").read_text(encoding="utf-8")
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in scraped.families}
    assert [name for name in bases if name.startswith("lc_platform") and name not in text] == []


def test_panels_neither_overlap_nor_leave_the_dashboard() -> None:
    board = json.loads((DASHBOARDS / "lc-platform.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
