"""``python -m benchmarks.scale``: what thousands of patches ask of Dagster, the store and the UI.

On each database it registers the patches, writes what Dagster's own runs write of every partition,
lays a record of each artefact in a store, and times what a person waits for. Apart from that it
runs hundreds of tiny runs and watches the daemon's memory.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import sys
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import numpy as np
import psutil  # type: ignore[import-untyped]
import yaml
from dagster._core.definitions.partitions.utils.multi import get_tags_from_multi_partition_key
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from benchmarks import estimate, report
from benchmarks.report import Table
from lc_platform import config
from lc_platform.artefacts.layout import ASSETS, Partition, dimensions, key
from lc_platform.assets import partitions
from lc_platform.automation import JOBS
from lc_platform.commands import run as running
from lc_platform.commands.status import status as statuses
from lc_platform.config import Config
from lc_platform_tests.infra import servers
from lc_platform_tests.servers import free_ports

LIMIT = 30.0
"""Seconds: what a person waits for is a matter of seconds, not minutes."""
TICK = 30.0
"""Seconds between two looks of the daemon at its backfills."""
STILL = 75.0
"""Seconds in which the daemon would have looked twice."""
METRES = 10_000
"""Side of a patch."""
FIRST_YEAR = 2017
GROWTH = 0.1
"""Share of its memory that the daemon may gain over all tiny runs."""
WARM = 0.2
"""Share of the tiny runs after which the daemon has loaded all it needs."""
PARTS = {
    "sqlite": "the queries on SQLite",
    "postgres": "the queries on a Postgres of its own",
    "memory": "the daemon's memory over tiny runs",
}


_STANDSTILL = {"concurrency": {"runs": {"max_concurrent_runs": 0}}}
"""Runs stay in the queue, where they are counted."""


Problems = list[str]
"""What is more than a person waits for, or than a machine has."""


def main() -> int:
    arguments = _arguments()
    if arguments.paper:
        _show(estimate.tables(), arguments.write)
        return 0
    failed = False
    # So that the servers that were started are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with _folder(arguments.folder) as folder:
        for part in arguments.parts or PARTS:
            home = folder / part
            home.mkdir(parents=True)
            if part == "postgres" and not _postgres_installed():
                print("postgres: Debian's postgresql, or dagster-postgres, is not installed")
                continue
            if part == "memory":
                table, problems = memory(home, arguments.runs)
            else:
                table, problems = queries(home, part, arguments.patches, arguments.years)
            _show([table], arguments.write)
            for problem in problems:
                failed = True
                print(f"{part}: {problem}", file=sys.stderr)
    return int(failed)


# Queries


@dataclass
class Timed:
    """What took how long, in the order it was done."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    def add(
        self, what: str, seconds: float, cpu: float | None, note: str = "", limit: float = LIMIT
    ) -> None:
        """``cpu`` seconds of processors, where known: the rest was waiting, also for them."""
        busy = "" if cpu is None else report.seconds([cpu])
        print(f"  {what}: {seconds:.2f} s, processor {busy or '?'} {note}", flush=True)
        self.rows.append((what, report.seconds([seconds]), busy, note))
        if seconds >= limit:
            self.slow.append(f"{what}: {seconds:.0f} s, and {limit:.0f} s are the limit")

    def call(self, what: str, done: Callable[[], Any], limit: float = LIMIT) -> Any:
        started, busy = time.perf_counter(), time.process_time()
        found = done()
        self.add(what, time.perf_counter() - started, time.process_time() - busy, limit=limit)
        return found


def queries(
    home: Path, database: str, patches: int, years: int, still: float = STILL
) -> tuple[Table, Problems]:
    """Time everything on a database, in a folder of its own.

    still  seconds without a new run after which a backfill has launched its first ones

    Returns the table, and what a person waits too long for.
    """
    timed = Timed()
    with ExitStack() as stack:
        settings = _database(stack, database)
        configuration = _configure(home, patches, years)
        _instance(
            home / "dagster", settings | {"concurrency": {"runs": {"max_concurrent_runs": 0}}}
        )
        _register(timed, configuration)
        count = _laid(timed, configuration)
        written = _recorded(timed, configuration)
        timed.call("lc-platform status", lambda: _status(configuration, count))
        _new_runs(timed, configuration)
        environment = {
            config.ENVIRONMENT_VARIABLE: str(configuration.folder / config.FILE_NAME),
            running.HOME_VARIABLE: str(home / "dagster"),
        }
        ui = stack.enter_context(_webserver(environment))
        _asked(timed, ui, configuration)
        _backfilled(timed, ui, environment, configuration, still)
    notes = (
        f"{patches:,} patches x {years} years on {database}: {count:,} artefacts with a record "
        f"each, {written:,} events of {_runs(configuration):,} runs. A backfill waits for the "
        f"daemon, which looks every {TICK:.0f} s; the limit is {LIMIT:.0f} s, and that beside.",
    )
    columns = ("what", "time", "of processors", "")
    table = Table(f"scale-{database}", f"Many partitions, {database}", columns, timed.rows, notes)
    return table, timed.slow


def _configure(home: Path, patches: int, years: int) -> Config:
    """A configuration whose area has that many patches, in a folder."""
    rows = max(n for n in range(1, math.isqrt(patches) + 1) if patches % n == 0)
    columns = patches // rows
    west, south = 3_000_000, 2_000_000
    inside = METRES / 100
    east, north = west + columns * METRES, south + rows * METRES
    edges = [
        (x, y) for x in (west + inside, east - inside) for y in (south + inside, north - inside)
    ]
    ring = [edges[0], edges[1], edges[3], edges[2], edges[0]]
    _polygon(home / "area.geojson", ring)
    settings = {
        "name": "scale",
        "storage": "./store",
        "years": list(range(FIRST_YEAR, FIRST_YEAR + years)),
        "aoi": {"boundary": "area.geojson", "crs": "EPSG:3035", "patch_size": METRES},
        "imagery": {"source": "simulated"},
        "reference": {
            "path": "area.geojson",
            "attribute": "kind",
            "classes": [
                {"id": 1, "name": "land", "color": "#22aa44"},
                {"id": 2, "name": "sea", "color": "#2244aa"},
            ],
        },
    }
    file = home / config.FILE_NAME
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return config.load(file)


def _polygon(file: Path, ring: Sequence[tuple[float, float]]) -> None:
    """A polygon in EPSG:3035 of the class 1."""
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    shape = {"type": "Polygon", "coordinates": [ring]}
    one = {"type": "Feature", "properties": {"kind": 1}, "geometry": shape}
    text = {"type": "FeatureCollection", "crs": crs, "features": [one]}
    file.write_text(json.dumps(text), encoding="utf-8")


def _instance(home: Path, settings: Mapping[str, Any]) -> None:
    home.mkdir()
    quiet = {"telemetry": {"enabled": False}, "nux": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump({**quiet, **settings}), encoding="utf-8")


def _database(stack: ExitStack, database: str) -> dict[str, Any]:
    """Dagster's setting of a database, which runs until the stack is closed."""
    if database == "sqlite":
        return {}
    variables = stack.enter_context(servers.postgres()).create("dagster")
    found = {name.removeprefix("LC_PLATFORM_POSTGRES_").lower(): v for name, v in variables.items()}
    login = {
        "scheme": "postgresql+psycopg2",
        "hostname": found["host"],
        "port": int(found["port"]),
        "username": found["user"],
        "password": found["password"],
        "db_name": found["database"],
    }
    return {"storage": {"postgres": {"postgres_db": login}}}


def _postgres_installed() -> bool:
    import importlib.util

    there = any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return there and importlib.util.find_spec("dagster_postgres") is not None


def _register(timed: Timed, configuration: Config) -> None:
    """Materialize the patch grid, which makes the patches' partitions."""
    worker = _worker(configuration)
    _ = worker.definitions
    outcome = timed.call(
        "patch grid materialized",
        lambda: worker.run(running.Task("grid", JOBS["grid"])),
        limit=np.inf,
    )
    if outcome.errors:
        raise RuntimeError(next(iter(outcome.errors.values())))


def _worker(configuration: Config) -> running.Worker:
    return running.Worker(configuration, running.dagster_home(configuration))


def _places(configuration: Config, patches: Sequence[str], asset: str) -> Iterator[Partition]:
    wanted = dimensions(asset)
    for year in configuration.years if "year" in wanted else (None,):
        for patch in patches if "patch" in wanted else (None,):
            yield Partition(patch, year)


def _laid(timed: Timed, configuration: Config) -> int:
    """Lay what every partition leaves in a store: a name, and a record that it is current."""
    worker = _worker(configuration)
    patches = worker.snapshot().patches()
    started, count = time.perf_counter(), 0
    records = worker._resources["io_manager"].records
    for asset in ASSETS[1:]:
        look = worker.snapshot()
        for where in _places(configuration, patches, asset):
            path = Path(records.store.path(key(asset, where.patch, where.year)))
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix:
                path.touch()
            else:  # a folder of several files, in which other artefacts may lie
                path.mkdir()
            expected = look.expected(asset, where)
            target = Path(records.store.path(_record(asset, where, expected.version)))
            target.parent.mkdir(parents=True, exist_ok=True)
            # Not by Records.write, which looks after other writers of the folder at each.
            target.write_text(json.dumps(expected.content), encoding="utf-8")
            count += 1
    seconds = time.perf_counter() - started
    timed.add(f"{count:,} records laid", seconds, None, "preparation", limit=np.inf)
    return count + 1


def _record(asset: str, where: Partition, version: Any) -> str:
    from lc_platform.artefacts import records

    return records._name(asset, where, version)


def _recorded(timed: Timed, configuration: Config) -> int:
    """Write to Dagster what runs over chunks of patches write of every partition: one run by its
    API, event by event, and the rest a transaction each."""
    worker = _worker(configuration)
    patches = sorted(worker.snapshot().patches())
    chunks = [
        (job, assets, places[start : start + size])
        for job, assets in JOBS.items()
        if (places := list(_places(configuration, patches, assets[0]))) and job != "grid"
        for size in [configuration.patches_per_run if places[0].patch else 1]
        for start in range(0, len(places), size)
    ]
    job, assets, places = next(chunk for chunk in chunks if chunk[0] == "patch_year")
    events = _events(job, assets, places)
    run_id = _run_added(worker.instance, job, assets, places)
    started = time.perf_counter()
    for event in events:
        worker.instance.report_dagster_event(event, run_id)
    seconds = time.perf_counter() - started
    each = f"{seconds / len(events) * 1e3:.1f} ms each"
    timed.add(f"a run's {len(events)} events written by Dagster's API", seconds, None, each, np.inf)
    started, count = time.perf_counter(), len(events)
    for job, assets, places in chunks:
        run_id = _run_added(worker.instance, job, assets, places)
        events = _events(job, assets, places)
        _stored(worker.instance, run_id, events)
        count += len(events)
    seconds = time.perf_counter() - started
    timed.add(
        f"{count:,} events written, a transaction a run", seconds, None, "preparation", np.inf
    )
    return count


def _run_added(
    instance: dg.DagsterInstance, job: str, assets: Sequence[str], places: Sequence[Partition]
) -> str:
    """A finished run over a range of partitions; returns its id."""
    names = [str(partitions.partition_key(where)) for where in places]
    run = dg.DagsterRun(
        job_name=job,
        run_id=str(uuid.uuid4()),
        status=dg.DagsterRunStatus.SUCCESS,
        tags={
            "dagster/asset_partition_range_start": names[0],
            "dagster/asset_partition_range_end": names[-1],
        },
        asset_selection=frozenset(dg.AssetKey(asset) for asset in assets),
    )
    instance.add_run(run)
    return run.run_id


def _events(job: str, assets: Sequence[str], places: Sequence[Partition]) -> list[DagsterEvent]:
    """What a run tells of its partitions."""
    names = [partitions.partition_key(where) for where in places]
    planned = [_planned(job, asset, str(name)) for asset in assets for name in names]
    return planned + [_materialized(job, asset, name) for asset in assets for name in names]


def _stored(instance: dg.DagsterInstance, run_id: str, events: Sequence[DagsterEvent]) -> None:
    """Store a run's events in the tables that all runs share, which are those the UI asks, in one
    transaction; as Dagster does for materializations on Postgres."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    entries = [
        EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None,
            level=logging.DEBUG,
            user_message="",
            run_id=run_id,
            timestamp=time.time(),
            step_key=event.step_key,
            job_name=event.job_name,
            dagster_event=event,
        )
        for event in events
    ]
    column = SqlEventLogStorageTable.c.id
    insert = SqlEventLogStorageTable.insert().returning(column, sort_by_parameter_order=True)
    with storage.index_transaction() as connection:
        rows = [storage._event_to_row(entry) for entry in entries]
        found = [int(row[0]) for row in connection.execute(insert, rows)]
        storage._store_asset_event_tags(connection, entries, found)
        last = {entry.get_dagster_event().asset_key: i for i, entry in enumerate(entries)}
        for i in last.values():
            storage._store_asset_event(connection, entries[i], found[i])


def _planned(job: str, asset: str, name: str) -> DagsterEvent:
    data = AssetMaterializationPlannedData(dg.AssetKey(asset), partition=name)
    return DagsterEvent.build_asset_materialization_planned_event(job, asset, data)


def _materialized(job: str, asset: str, name: Any) -> DagsterEvent:
    tags = {"dagster/code_version": "1", "dagster/data_version": uuid.uuid4().hex * 2}
    if isinstance(name, dg.MultiPartitionKey):
        tags |= get_tags_from_multi_partition_key(name)
    metadata: dict[str, Any] = {
        "version": uuid.uuid4().hex[:17],
        "bytes": 500_000_000,
        "seconds": 3.5,
        "path": dg.MetadataValue.path(f"s3://land-cover/slovenia/{asset}/{name}"),
        "preview": dg.MetadataValue.md("x" * 2500),
    }
    return DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name=job,
        step_key=asset,
        message=f"Materialized {asset}.",
        event_specific_data=StepMaterializationData(
            dg.AssetMaterialization(
                dg.AssetKey(asset), partition=str(name), metadata=metadata, tags=tags
            )
        ),
    )


def _runs(configuration: Config) -> int:
    worker = _worker(configuration)
    return worker.instance.get_runs_count()


def _status(configuration: Config, count: int) -> None:
    rows = statuses(configuration)
    current = sum(row.count("current") for row in rows)
    if current != count:
        odd = [r for r in rows if r.count("current") < len(r.states)]
        raise RuntimeError(f"{current} of {count} are current: {odd[0].asset} {odd[0].why_stale}")


def _new_runs(timed: Timed, configuration: Config) -> None:
    """What a run does for each of its patches, beside the patch's own work."""
    worker = _worker(configuration)
    patches = worker.snapshot().patches()
    where = Partition(patches[len(patches) // 2], configuration.years[0])

    def looked() -> None:
        look = worker.snapshot()
        for asset in ("raw_bands", "cloud_masks", "features"):
            look.is_current(asset, where, look.expected(asset, where).version)

    timed.call("a run of three assets looks what is current", looked, limit=1.0)
    records = worker._resources["io_manager"].records
    expected = worker.snapshot().expected("features", where)

    def again() -> None:
        records.forget("features", where)
        records.write("features", where, *expected)

    timed.call("a record is taken away and written", again, limit=1.0)


# The UI

_STATUSES = """
__typename
... on DefaultPartitionStatuses {
  materializedPartitions materializingPartitions failedPartitions unmaterializedPartitions
}
... on TimePartitionStatuses { ranges { startKey endKey startTime endTime status } }
... on MultiPartitionStatuses {
  primaryDimensionName
  ranges {
    primaryDimStartKey primaryDimEndKey primaryDimStartTime primaryDimEndTime
    secondaryDim {
      ... on DefaultPartitionStatuses {
        materializedPartitions materializingPartitions failedPartitions
      }
      ... on TimePartitionStatuses { ranges { startKey endKey startTime endTime status } }
    }
  }
}
"""
_PARTITIONS = (
    """query Partitions($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { __typename
... on AssetNode {
  id
  partitionKeysByDimension { name type partitionKeys }
  assetPartitionStatuses {"""
    + _STATUSES
    + "} } } }"
)
_PARTITION = """query Partition($key: AssetKeyInput!, $name: String!) {
assetNodeOrError(assetKey: $key) { __typename ... on AssetNode {
  id
  latestMaterializationForPartition: assetMaterializations(partitions: [$name], limit: 1) {
    timestamp runId partition metadataEntries { label } tags { key value }
  }
  staleStatus(partition: $name) staleCauses(partition: $name) { reason }
  partitionRuns: latestRunForPartition(partition: $name) { id status }
} } }"""
_LINEAGE = """query Lineage { assetNodes {
  id groupName opNames kinds isPartitioned isMaterializable computeKind
  assetKey { path } dependencyKeys { path } dependedByKeys { path }
  partitionDefinition { name type description }
  repository { id name location { id name } }
} }"""
_LIVE = """query Live($keys: [AssetKeyInput!]!) {
assetNodes(assetKeys: $keys) {
  id opNames
  assetMaterializations(limit: 1) { timestamp runId }
  partitionStats { numMaterialized numMaterializing numPartitions numFailed }
  assetChecksOrError { __typename ... on AssetChecks {
    checks { name executionForLatestMaterialization { id status timestamp } }
  } }
}
assetsLatestInfo(assetKeys: $keys) {
  id unstartedRunIds inProgressRunIds latestRun { id status }
} }"""
_STALE = """query Stale($keys: [AssetKeyInput!]!) { assetNodes(assetKeys: $keys) {
  id staleStatus staleCauses { reason category }
} }"""
_RUNS = """query Runs { runsOrError(limit: 25) { __typename ... on Runs {
  results { id status jobName startTime endTime tags { key value } }
} } }"""
_EVENTS = """query Events($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
... on AssetNode { id assetMaterializations(limit: 50) { timestamp partition runId } }
} }"""
_LAUNCH = """mutation Launch($given: LaunchBackfillParams!) {
launchPartitionBackfill(backfillParams: $given) { __typename
  ... on LaunchBackfillSuccess { backfillId }
  ... on PythonError { message stack }
} }"""
_BACKFILL = """query Backfill($id: String!) { partitionBackfillOrError(backfillId: $id) { __typename
... on PartitionBackfill {
  id status numPartitions
  assetBackfillData { assetBackfillStatuses { __typename
    ... on AssetPartitionsStatusCounts {
      assetKey { path } numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized
      numPartitionsFailed
    }
  } }
} ... on PythonError { message } } }"""
_CANCEL = """mutation Cancel($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename
} }"""


@dataclass(frozen=True)
class UI:
    """A running webserver."""

    url: str
    process: psutil.Process

    @property
    def cpu(self) -> float:
        """Seconds that it and its code server have been computing."""
        times = [one.cpu_times() for one in (self.process, *self.process.children(recursive=True))]
        return float(sum(t.user + t.system for t in times))

    def ask(self, query: str, **variables: Any) -> Any:
        """The answer's data. Raises RuntimeError with the server's words where it is an error."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                found = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error
        if found.get("errors"):
            raise RuntimeError(json.dumps(found["errors"])[:2000])
        errors = [v for v in found["data"].values() if _is_error(v)]
        if errors:
            raise RuntimeError(json.dumps(errors)[:2000])
        return found["data"]


def _is_error(value: Any) -> bool:
    return isinstance(value, dict) and "Error" in value.get("__typename", "")


@contextmanager
def _webserver(environment: Mapping[str, str]) -> Iterator[UI]:
    (port,) = free_ports(1)
    program = str(Path(sys.executable).parent / "dagster-webserver")
    command = [program, "-h", "127.0.0.1", "-p", str(port), "-m", "lc_platform.definitions"]
    with servers.started(command, environment=environment) as process:
        servers.wait_until(lambda: servers.listens(port), "the webserver listens", 180)
        yield UI(f"http://127.0.0.1:{port}", psutil.Process(process.pid))


def _asked(timed: Timed, ui: UI, configuration: Config) -> None:
    """What the UI asks for when a person opens its pages: at first, and once more."""
    asset = {"path": ["features"]}
    keys = [{"path": [name]} for name in ASSETS]
    found = ui.ask(_PARTITIONS, key={"path": ["reference_rasters"]})
    patch = found["assetNodeOrError"]["partitionKeysByDimension"][0]["partitionKeys"][0]
    name = str(partitions.patch_year_key(patch, configuration.years[0]))
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("global lineage: the graph", _LINEAGE, {}),
        ("global lineage: counts and states of all assets", _LIVE, {"keys": keys}),
        ("global lineage: what is stale", _STALE, {"keys": keys}),
        ("an asset's page: its partitions' states", _PARTITIONS, {"key": asset}),
        ("an asset's page: counts", _LIVE, {"keys": [asset]}),
        ("an asset's page: one partition", _PARTITION, {"key": asset, "name": name}),
        ("an asset's page: its last 50 events", _EVENTS, {"key": asset}),
        ("the page of runs", _RUNS, {}),
    ]
    for what, query, variables in asked:
        started, busy = time.perf_counter(), ui.cpu
        ui.ask(query, **variables)
        first, busy = time.perf_counter() - started, ui.cpu - busy
        started = time.perf_counter()
        ui.ask(query, **variables)
        timed.add(what, first, busy, f"again: {time.perf_counter() - started:.2f} s")


def _backfilled(
    timed: Timed, ui: UI, environment: Mapping[str, str], configuration: Config, still: float
) -> None:
    """Launch backfills, with a daemon whose queue lets no run begin."""
    program = str(Path(sys.executable).parent / "dagster-daemon")
    command = [program, "run", "-m", "lc_platform.definitions"]
    instance = _worker(configuration).instance
    with servers.started(command, environment=environment) as process:
        daemon = psutil.Process(process.pid)
        servers.wait_until(lambda: _beats(instance), "the daemon works", 180)
        for what, assets in (
            ("the whole graph", ASSETS),
            ("all that patches and years have", ASSETS[1:]),
        ):
            given = {
                "assetSelection": [{"path": [asset]} for asset in assets],
                "allPartitions": True,
            }
            started, busy = time.perf_counter(), ui.cpu
            before = _computed(daemon)
            launched = ui.ask(_LAUNCH, given=given)
            answered = time.perf_counter() - started
            timed.add(f"backfill of {what}: launched", answered, ui.cpu - busy)
            backfill = launched["launchPartitionBackfill"]["backfillId"]
            runs = dg.RunsFilter(tags={"dagster/backfill": backfill})
            servers.wait_until(lambda: instance.get_runs_count(runs) > 0, what, 600)  # noqa: B023
            timed.add(
                f"backfill of {what}: first run in the queue",
                time.perf_counter() - started,
                _computed(daemon) - before,
                limit=LIMIT + TICK,
            )
            queued = _settled(lambda: instance.get_runs_count(runs), still)  # noqa: B023
            timed.add(
                f"backfill of {what}: all first runs in the queue",
                queued[0] - started,
                None,
                f"{queued[1]:,} runs",
                limit=np.inf,
            )
            started = time.perf_counter()
            busy = ui.cpu
            ui.ask(_BACKFILL, id=backfill)
            timed.add("the backfill's page", time.perf_counter() - started, ui.cpu - busy)
            ui.ask(_CANCEL, id=backfill)


def _computed(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _beats(instance: dg.DagsterInstance) -> bool:
    return "BACKFILL" in instance.get_daemon_heartbeats()


def _settled(count: Callable[[], int], still: float) -> tuple[float, int]:
    """When a count was reached that did not change for some seconds, and the count."""
    last, when = count(), time.perf_counter()
    while time.perf_counter() - when < still:
        time.sleep(0.5)
        now = count()
        if now != last:
            last, when = now, time.perf_counter()
    return when, last


# Memory

_TINY = """
import dagster as dg

RUNS, A_TICK = {runs}, 20

@dg.op
def nothing() -> None: ...

@dg.job(executor_def=dg.in_process_executor)
def tiny():
    nothing()

@dg.sensor(job=tiny, minimum_interval_seconds=10, default_status=dg.DefaultSensorStatus.RUNNING)
def launch(context):
    done = int(context.cursor or 0)
    upto = min(done + A_TICK, RUNS)
    requests = [dg.RunRequest(run_key=str(i)) for i in range(done, upto)]
    return dg.SensorResult(requests, cursor=str(upto))

defs = dg.Definitions(jobs=[tiny], sensors=[launch])
"""


def memory(home: Path, runs: int, seconds: float = 3600.0) -> tuple[Table, Problems]:
    """The daemon's memory over tiny runs that a sensor asks for and the queue launches, or as many
    of them as there is time for; and what is wrong where it grows by more than GROWTH."""
    module = home / "tiny_location.py"
    module.write_text(textwrap.dedent(_TINY.format(runs=runs)), encoding="utf-8")
    queue = {"runs": {"max_concurrent_runs": os.cpu_count()}}
    _instance(home / "dagster", {"concurrency": queue})
    program = str(Path(sys.executable).parent / "dagster-daemon")
    command = [program, "run", "-f", str(module)]
    samples: list[tuple[int, int]] = []
    finished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
    with (
        dg.DagsterInstance.from_config(str(home / "dagster")) as instance,
        servers.started(command, environment={running.HOME_VARIABLE: str(home / "dagster")}) as own,
    ):
        daemon = psutil.Process(own.pid)
        deadline = time.monotonic() + seconds
        while (done := instance.get_runs_count(finished)) < runs and time.monotonic() < deadline:
            samples.append((done, daemon.memory_info().rss))
            if len(samples) % 30 == 0:
                print(f"  {done} runs, {samples[-1][1] / 2**20:.1f} MiB", flush=True)
            time.sleep(1)
        samples.append((done, daemon.memory_info().rss))
    slope, error = _slope([s for s in samples if s[0] >= WARM * done])
    first = next(rss for n, rss in samples if n >= WARM * done)
    last = samples[-1][1]
    rows = [
        ("runs", f"{done:,}"),
        (f"memory after {WARM:.0%} of them", f"{first / 2**20:.1f} MiB"),
        ("memory after all", f"{last / 2**20:.1f} MiB"),
        (
            "slope from there, least squares",
            f"{slope / 2**10:.2f} KiB a run (± {error / 2**10:.2f})",
        ),
    ]
    table = Table("scale-memory", "The daemon's memory", ("what", ""), [*map(tuple, rows)])
    grows = f"the daemon's memory grows by {slope / 2**10:.1f} KiB a run"
    return table, [grows] if slope * done > GROWTH * first else []


def _slope(samples: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Bytes a run by least squares, and its standard error."""
    x, y = np.array(samples, np.float64).T
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    rest = y - y.mean() - slope * x
    return slope, float(np.sqrt(rest @ rest / max(len(x) - 2, 1) / (x @ x)))


# The command


def _arguments() -> argparse.Namespace:
    parts = "\n".join(f"  {name:10} {what}" for name, what in PARTS.items())
    parser = argparse.ArgumentParser(
        "python -m benchmarks.scale",
        description=__doc__,
        epilog=f"parts:\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="which to run; all by default")
    parser.add_argument("--patches", type=int, default=3000, help="(3000)")
    parser.add_argument("--years", type=int, default=6, help="(6)")
    parser.add_argument("--runs", type=int, default=500, help="tiny runs (500)")
    parser.add_argument("--folder", type=Path, help="for stores; temporary by default")
    parser.add_argument("--paper", action="store_true", help="only the tables on paper")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into FILE")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such part; there are {', '.join(PARTS)}")
    return arguments


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with TemporaryDirectory(prefix="lc-scale-") as temporary:
        yield Path(temporary)


def _show(tables: Iterable[Table], document: Path | None) -> None:
    tables = list(tables)
    for table in tables:
        print(f"\n## {table.title}\n\n{report.markdown(table)}", flush=True)
    if document is not None:
        report.write(tables, document)


if __name__ == "__main__":
    sys.exit(main())
