"""Metrics in Prometheus' form, served by a process of their own.

Runs are short-lived processes, so nothing is counted in them: the exporter reads Dagster's event
log and the store. What it says is a function of these alone. After a restart it reads the log from
its beginning and its counters stand where they stood; in between it reads what is new. The web map
counts for itself: what it counts is asked of it, and passed on.

Reading may take minutes where the area is large, longer than Prometheus waits for an answer: the
exporter reads at intervals, and answers with the last result at once. What cannot be reached has no
series, and one series says so.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from wsgiref.simple_server import WSGIServer

import dagster as dg
import requests
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from lc_platform.acquisition.budget import Spending
from lc_platform.artefacts.layout import EVERY_ASSET
from lc_platform.assets.io_manager import UNCHANGED
from lc_platform.config import Config
from lc_platform.monitoring.partition_status import Known, PartitionStatus
from lc_platform.monitoring.run_failures import failures_of_run
from lc_platform.platform import Platform
from lc_platform.sources.protocol import Cost
from lc_platform.storage.errors import StorageError

SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
BYTES = tuple(float(10**power) for power in range(3, 12))
"""Upper bounds of the histograms' buckets."""
CAUSES = 20
"""Causes of failure that have a series of their own; the others are counted together."""
OTHERS = "others"
STATES = ("current", "stale", "missing", "failed")
EVERY = 60.0
"""Seconds between two refreshes."""
_PAGE = 500
_MAP_SECONDS = 10
"""That the web map is given to answer."""
_OF_MAP = "lc_platform_map_"
_logger = logging.getLogger(__name__)
_STATUSES = {
    "queued": [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED],
    "running": [
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
}

Labels = tuple[str, ...]


@dataclass
class _Histogram:
    """Counts of values by bucket, and their sum."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def observe(self, value: float) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return (upper bound, number of values not above it) of each bucket."""
        names = [*map(str, self.bounds), "+Inf"]
        reached = 0
        found: list[tuple[str, float]] = []
        for name, count in zip(names, self.counts, strict=True):
            reached += count
            found.append((name, float(reached)))
        return found


class EventLog:
    """Counts of what was done and spent, from Dagster's event log as far as it was read."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.seconds: dict[Labels, _Histogram] = {}
        self.bytes: dict[Labels, _Histogram] = {}
        self.requests: Counter[Labels] = Counter()
        self.units: Counter[Labels] = Counter()
        self.failures: Counter[Labels] = Counter()
        self._read: dict[str, str | None] = {}

    def read(self) -> None:
        """Count new events."""
        for asset in EVERY_ASSET:
            self._materializations(asset)
        self._failures()

    def _materializations(self, asset: str) -> None:
        while True:
            found = self.instance.fetch_materializations(
                dg.AssetKey(asset), limit=_PAGE, cursor=self._read.get(asset), ascending=True
            )
            for record in found.records:
                if record.asset_materialization is not None:
                    self._count(asset, record.asset_materialization)
            self._read[asset] = found.cursor
            if not found.has_more:
                return

    def _count(self, asset: str, made: dg.AssetMaterialization) -> None:
        # An artefact that is only reported again has been counted.
        if UNCHANGED in made.metadata:
            return
        facts = {
            name: float(entry.value)
            for name in ("seconds", "bytes", "requests", "processing_units")
            if isinstance(
                entry := made.metadata.get(name), dg.IntMetadataValue | dg.FloatMetadataValue
            )
            and entry.value is not None
        }
        if "seconds" in facts:
            self.seconds.setdefault((asset,), _Histogram(SECONDS)).observe(facts["seconds"])
            if "bytes" in facts:
                self.bytes.setdefault((asset,), _Histogram(BYTES)).observe(facts["bytes"])
        for counter, name in ((self.requests, "requests"), (self.units, "processing_units")):
            if name in facts:
                counter[asset,] += facts[name]  # type: ignore[assignment]

    def _failures(self) -> None:
        while True:
            found = self.instance.fetch_run_status_changes(
                dg.DagsterEventType.RUN_FAILURE,
                limit=_PAGE,
                cursor=self._read.get("failures"),
                ascending=True,
            )
            for record in found.records:
                for failure in failures_of_run(self.instance, record.event_log_entry.run_id):
                    self.failures[failure.asset, failure.cause] += 1
            if found.records:
                self._read["failures"] = found.cursor
            if not found.has_more:
                return


class Exporter(Collector):
    """The metrics of a platform, as of the last `refresh`."""

    def __init__(
        self, instance: dg.DagsterInstance, platform: Platform, web_map: str | None = None
    ) -> None:
        """
        web_map  the URL of the web map's own metrics; None where there is no map to watch
        """
        self.instance = instance
        self.platform = platform
        self.web_map = web_map
        self._log = EventLog(instance)
        self._known: Known = {}
        self._of_records: Sequence[Metric] = ()
        self._of_store: Sequence[Metric] = ()
        self._of_map: Sequence[Metric] = ()
        self._of_refresh: Sequence[Metric] = ()
        self._refreshed: float | None = None
        self._away: set[str] = set()

    def describe(self) -> Iterator[Metric]:
        """Return nothing, so that the registry does not collect on registration."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Return the metrics of the last refresh; nothing before the first."""
        started = time.perf_counter()
        yield from self._of_records
        yield from self._of_store
        yield from self._of_map
        yield from self._of_refresh
        yield _gauge(
            "lc_platform_scrape_seconds",
            "Seconds that this answer took.",
            (),
            {(): time.perf_counter() - started},
        )

    def refresh(self) -> None:
        """Read Dagster's records and the store, one after the other."""
        started = time.perf_counter()
        away: dict[str, Exception] = {}
        try:
            self._log.read()
            self._of_records = list(self._recorded())
        except (SQLAlchemyError, dg.DagsterError) as error:
            self._of_records, away["records"] = (), error
        try:
            self._of_store = list(self._stored())
        except (StorageError, OSError) as error:
            self._of_store, away["store"] = (), error
        except (SQLAlchemyError, dg.DagsterError) as error:
            self._of_store, away["records"] = (), error
        if self.web_map is not None:
            try:
                self._of_map = list(_of_map(self.web_map))
            except (requests.RequestException, ValueError) as error:
                self._of_map, away["map"] = (), error
        for what in away.keys() - self._away:
            _logger.warning("the %s cannot be read: %s", what, away[what])
        self._away = set(away)
        if away.keys() <= {"map"}:
            self._refreshed = time.time()
        self._of_refresh = list(self._about_refresh(time.perf_counter() - started))

    def _about_refresh(self, seconds: float) -> Iterator[Metric]:
        yield _gauge(
            "lc_platform_store_up",
            "Whether the store could be read at the last refresh.",
            (),
            {(): "store" not in self._away},
        )
        yield _gauge(
            "lc_platform_records_up",
            "Whether Dagster's records could be read at the last refresh.",
            (),
            {(): "records" not in self._away},
        )
        if self.web_map is not None:
            yield _gauge(
                "lc_platform_map_up",
                "Whether the web map answered at the last refresh.",
                (),
                {(): "map" not in self._away},
            )
        yield _gauge(
            "lc_platform_look_seconds", "Seconds that the last refresh took.", (), {(): seconds}
        )
        if self._refreshed is not None:
            yield _gauge(
                "lc_platform_last_look_timestamp_seconds",
                "When the last refresh ended that could read everything, in seconds since 1970.",
                (),
                {(): self._refreshed},
            )

    def _stored(self) -> Iterator[Metric]:
        store = self.platform.store
        if store.local and not Path(store.plain("")).is_dir():
            raise StorageError(f"{store}: is not there")
        yield _gauge(
            "lc_platform_partitions",
            "Partitions by state; those that are current are done.",
            ("asset", "year", "state"),
            dict(self._counted()),
        )
        yield from _spent(self.platform.ledger.spending())

    def _counted(self) -> Iterator[tuple[Labels, int]]:
        versions, years = self.platform.versions, self.platform.config.years
        snapshot = versions.look()
        status = PartitionStatus(self.instance, versions, snapshot, years, self._known)
        for asset in status.assets:
            for year in versions.years_of(asset, years):
                count = status.of[asset].count(snapshot.states(asset, year))
                for state in STATES:
                    yield (asset, str(year or ""), state), count[state]

    def _recorded(self) -> Iterator[Metric]:
        log = self._log
        yield _gauge(
            "lc_platform_runs",
            "Runs that are queued or running.",
            ("status",),
            {
                (name,): self.instance.get_runs_count(dg.RunsFilter(statuses=statuses))
                for name, statuses in _STATUSES.items()
            },
        )
        yield _histogram(
            "lc_platform_step_seconds",
            "Seconds that making one partition took.",
            log.seconds,
        )
        yield _histogram(
            "lc_platform_step_bytes",
            "Bytes of the artefact of one partition.",
            log.bytes,
        )
        # There is no series where no source reports them: unknown is not zero.
        yield _counter(
            "lc_platform_requests",
            "Requests to the archive for what was made.",
            ("asset",),
            log.requests,
        )
        yield _counter(
            "lc_platform_processing_units",
            "Processing units that the archive charged for what was made.",
            ("asset",),
            log.units,
        )
        yield _counter(
            "lc_platform_failures",
            "Partitions that a run failed to make, by cause.",
            ("asset", "cause"),
            _commonest(log.failures),
        )


def _of_map(url: str) -> Iterator[Metric]:
    """Yield what the web map counts. Raises RequestException or ValueError where it does not
    answer with that."""
    answer = requests.get(url, timeout=_MAP_SECONDS)
    answer.raise_for_status()
    for family in text_string_to_metric_families(answer.text):
        if family.name.startswith(_OF_MAP) and not family.name.endswith("_created"):
            yield family


def _spent(now: Spending) -> Iterator[Metric]:
    """Yield the month's spending, also for what failed, and what is left of a budget."""
    limits = now.budget.model_dump(exclude_none=True)
    for name, text, values in (
        ("spent", "Spent in the archive this month, also for what failed.", now.spent),
        ("left", "Left of this month's budget, without what workers have set aside.", now.left),
        ("budget", "What may be spent in a month.", limits),
    ):
        of = dataclasses.asdict(values) if isinstance(values, Cost) else values
        by_unit: dict[Labels, float] = {(unit,): value for unit, value in of.items()}
        yield _gauge(f"lc_platform_month_{name}", text, ("unit",), by_unit)


def _commonest(failures: Counter[Labels]) -> Mapping[Labels, float]:
    """Return the counts of failures; the first causes keep their series: no counter falls."""
    found: Counter[Labels] = Counter()
    for position, ((asset, cause), count) in enumerate(failures.items()):
        found[(asset, cause) if position < CAUSES else (OTHERS, OTHERS)] += count
    return found


def _gauge(name: str, text: str, labels: Labels, values: Mapping[Labels, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for labelled, value in values.items():
        family.add_metric(labelled, value)
    return family


def _counter(name: str, text: str, labels: Labels, values: Mapping[Labels, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for labelled, value in values.items():
        family.add_metric(labelled, value)
    return family


def _histogram(name: str, text: str, values: Mapping[Labels, _Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=("asset",))
    for labelled, histogram in values.items():
        family.add_metric(labelled, histogram.buckets(), histogram.total)
    return family


def serve(exporter: Exporter, *, port: int, host: str = "127.0.0.1") -> WSGIServer:
    """Serve metrics under /metrics in a thread; ``shutdown`` of what is returned ends it.

    port  0 takes a free one: it is ``server_port`` of what is returned
    """
    registry = CollectorRegistry()
    registry.register(exporter)
    server, _ = start_http_server(port, addr=host, registry=registry)
    return server


def run(
    configuration: Config,
    *,
    port: int,
    host: str,
    every: float = EVERY,
    web_map: str | None = None,
) -> None:
    """Serve a configuration's metrics until Ctrl+C.

    every    seconds between two refreshes
    web_map  as `Exporter` takes it

    Raises RunError where the port is in use, before anything else is done.
    """
    from lc_platform.commands import ports
    from lc_platform.commands.instance import dagster_home, opened_instance
    from lc_platform.graph import build

    ports.expect_free(host, port)
    platform = (build(configuration).resources or {})["platform"]
    with opened_instance(dagster_home(configuration)) as instance:
        exporter = Exporter(instance, platform, web_map)
        try:
            server = serve(exporter, port=port, host=host)
        except OSError as error:  # another process was faster
            raise ports.refused(host, port, error) from error
        print(f"Metrics at http://{host}:{server.server_port}/metrics; Ctrl+C ends it.", flush=True)
        while True:
            exporter.refresh()
            time.sleep(every)
