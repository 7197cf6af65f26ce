"""Runs of the graph through a Dagster instance, in one warm process or several."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from lc_platform.area.grid import PatchGrid
from lc_platform.artefacts.claim import claim
from lc_platform.artefacts.layout import EVERY_ASSET, PATCH, Partition, dimensions
from lc_platform.artefacts.versions import Snapshot
from lc_platform.assets import partitions
from lc_platform.assets.dagster_internals import SqlRunStorage
from lc_platform.assets.io_manager import UNCHANGED
from lc_platform.automation import JOBS
from lc_platform.commands import preflight
from lc_platform.commands.instance import HOME_VARIABLE as HOME_VARIABLE
from lc_platform.commands.instance import RunError as RunError
from lc_platform.commands.instance import chosen, opened_instance
from lc_platform.commands.instance import dagster_home as dagster_home
from lc_platform.commands.launch import Run, launch
from lc_platform.config import Config
from lc_platform.errors import PlatformError
from lc_platform.monitoring.implausible import implausible
from lc_platform.monitoring.misaligned import misaligned
from lc_platform.monitoring.run_failures import Failure, failures_in
from lc_platform.monitoring.sunless import sunless
from lc_platform.platform import Platform
from lc_platform.runtime.interruption import StopRequested, checkpoint
from lc_platform.runtime.processes import LostWorkerError, Workers
from lc_platform.runtime.progress import at, at_task
from lc_platform.storage import exclusive

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Task:
    """A job's assets on one partition, or on several consecutive ones."""

    job: str
    assets: tuple[str, ...]
    partitions: tuple[Partition, ...] = (Partition(),)

    def __str__(self) -> str:
        first, *others = self.partitions
        text = f"{self.job} {first}".strip()
        return f"{text} and {len(others)} more" if others else text


Artefact = tuple[str, str | None]
"""An asset, and the key of its partition."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task."""

    task: Task
    seconds: float
    work_seconds: float
    """Seconds of these in the platform's own work; the rest is orchestration."""
    errors: Mapping[Partition, str] = field(default_factory=dict)
    """Partition -> why it failed; the others are done."""
    made: frozenset[Artefact] = frozenset()
    """Artefacts that the task has made."""
    current: frozenset[Artefact] = frozenset()
    """Artefacts that were current already."""


@dataclass
class Report:
    """The report of a run."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    notes: str | None = None
    """Repairs of the area's boundary."""
    warnings: list[str] = field(default_factory=list)
    """Problems that did not stop the work."""
    stopped: str | None = None
    """Why later stages were skipped, if they were."""
    missing: dict[int, Sequence[str]] = field(default_factory=dict)
    """Year -> patches that are missing in its map."""
    interrupted: bool = False
    """Whether the work was stopped before all was done."""

    @property
    def failures(self) -> list[tuple[str, Partition, str]]:
        """(job, partition, reason) of each failure."""
        return [(o.task.job, where, why) for o in self.outcomes for where, why in o.errors.items()]

    @property
    def made(self) -> frozenset[Artefact]:
        """Artefacts that were made."""
        return frozenset[Artefact]().union(*(o.made for o in self.outcomes))

    @property
    def current(self) -> frozenset[Artefact]:
        """Artefacts that were current already."""
        return frozenset[Artefact]().union(*(o.current for o in self.outcomes)) - self.made

    @property
    def years(self) -> Collection[int]:
        """The years of which anything was attempted."""
        return {p.year for o in self.outcomes for p in o.task.partitions if p.year}

    @property
    def succeeded(self) -> bool:
        return self.stopped is None and not self.failures and not self.interrupted

    def orchestration(self) -> tuple[float, int]:
        """Return the seconds of orchestration for each patch and year, and the number of these."""
        own = [o for o in self.outcomes if o.task.partitions[0].patch and not o.errors]
        done = {where for o in own for where in o.task.partitions if where.year}
        spent = sum(o.seconds - o.work_seconds for o in own)
        return (spent / len(done) if done else 0.0), len(done)


class Worker:
    """A process that has the platform loaded and runs tasks one after the other."""

    def __init__(self, config: Config, home: Path) -> None:
        self.config = config
        self.instance = opened_instance(home)

    @cached_property
    def definitions(self) -> dg.Definitions:
        from lc_platform.graph import build

        return build(self.config)

    @cached_property
    def _checked(self) -> set[str]:
        """The assets that have a blocking check."""
        found = self.definitions.asset_checks or ()
        specs = [spec for check in found for spec in check.check_specs]
        return {spec.asset_key.path[-1] for spec in specs if spec.blocking}

    @property
    def _resources(self) -> Any:
        return self.definitions.resources or {}

    def opened(self, asset: str, where: Partition = Partition()) -> Any:  # noqa: B008
        """Open an artefact. Raises StorageError where it does not exist."""
        manager = self._resources["io_manager"]
        from lc_platform.artefacts.layout import key

        return manager.formats[asset].open(manager.store, key(asset, where.patch, where.year))

    def check(self) -> list[str]:
        """Check the store and Dagster's instance before the work.

        Returns warnings. Raises StorageError or PreflightError with what is wrong and what to do.
        """
        platform = self._resources["platform"]
        warnings = [*self.config.doubts, *preflight.check(self.config, self.instance)]
        platform.store.check()
        if doubt := exclusive.doubt(platform.store):
            warnings.append(doubt)
        records = self.instance.run_storage
        assert isinstance(records, SqlRunStorage)
        deployment = records.get_run_storage_id()
        claim(platform.store, deployment, platform.versions.fingerprint, self.config.name)
        snapshot = self.snapshot()
        bare = sum(snapshot.unrecorded("raw_bands", year) for year in self.config.years)
        if bare:
            warnings.append(
                f"{platform.store}: {bare} raw_bands have no record of how they were made, as "
                "those of an earlier release and those that `lc-platform verify` found damaged. "
                "Their acquisitions are read again: those that are whole and current are reused, "
                "all others are acquired again"
            )
        return warnings

    @property
    def platform(self) -> Platform:
        platform: Platform = self._resources["platform"]
        return platform

    def snapshot(self) -> Snapshot:
        """Return the present state of the store."""
        return self.platform.versions.look()

    def exists(self, asset: str, where: Partition = Partition()) -> bool:  # noqa: B008
        """Whether an artefact exists."""
        return bool(self._resources["io_manager"].exists(asset, where))

    def notes(self) -> str | None:
        """Return the repairs of the boundary that the last patch_grid reports."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey("patch_grid"))
        metadata = event and event.asset_materialization and event.asset_materialization.metadata
        note = metadata and metadata.get("notes")
        return str(note.value) if note else None

    def run(self, task: Task) -> Outcome:
        """Materialize a task's assets; failures are in the outcome, not raised.

        If one of several partitions fails, the others are finished one by one. Raises StopRequested
        if the work was stopped before all of it was done: what was done stays.
        """
        checkpoint()
        with at_task(len(task.assets), len(task.partitions)):
            return self._run(task)

    def _run(self, task: Task) -> Outcome:
        clock = self._resources["platform"].clock
        started, worked = time.perf_counter(), clock.seconds
        result = self._execute(task)
        if not result.success:
            checkpoint()
        errors: dict[Partition, str] = {}
        made, current = _materialized(result.all_events)
        if not result.success and len(task.partitions) == 1:
            (where,) = task.partitions
            errors[where] = _reasons(failures_in(result.all_events, str(where), result.run_id))
        elif not result.success:
            failures = failures_in(result.all_events, "", result.run_id)
            for where in task.partitions:
                own = [f for f in failures if f.permanent and f.partition == str(where)]
                rest = _unfinished(result, task, where, self._checked)
                if own:
                    errors[where] = _reasons(own)
                elif rest:
                    alone = self.run(Task(task.job, rest, (where,)))
                    errors |= alone.errors
                    made, current = made | alone.made, current | alone.current
        seconds, work = time.perf_counter() - started, clock.seconds - worked
        return Outcome(task, seconds, work, errors, made, current - made)

    def _execute(self, task: Task) -> Run:
        every = set(task.assets) == set(JOBS[task.job])
        with partitions.quiet():
            job = self.definitions.resolve_job_def(task.job)
            return launch(
                job, task.partitions, self.instance, _QUIET, assets=() if every else task.assets
            )


def _materialized(
    events: Sequence[dg.DagsterEvent],
) -> tuple[frozenset[Artefact], frozenset[Artefact]]:
    """Return the artefacts that a run has made, and those that it has found current."""
    found: dict[bool, set[Artefact]] = {True: set(), False: set()}
    for event in events:
        if event.is_step_materialization:
            metadata = event.step_materialization_data.materialization.metadata
            artefact = (str(event.asset_key and event.asset_key.path[-1]), event.partition)
            found[UNCHANGED in metadata].add(artefact)
    return frozenset(found[False]), frozenset(found[True])


def _unfinished(
    result: Run, task: Task, where: Partition, checked: Collection[str]
) -> tuple[str, ...]:
    """Return a task's assets that a run has not materialized, or not checked, for a partition."""
    key = str(partitions.partition_key(where))
    made = {
        str(event.asset_key and event.asset_key.path[-1])
        for event in result.all_events
        if event.is_step_materialization and event.partition == key
    }
    evaluated = {
        event.asset_check_evaluation_data.asset_key.path[-1]
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and event.asset_check_evaluation_data.partition == key
    }
    done = {asset for asset in made if asset not in checked or asset in evaluated}
    return tuple(asset for asset in task.assets if asset not in done)


def _reasons(failures: Sequence[Failure]) -> str:
    return "\n".join(f"{one.asset or f'run {one.run}'}: {one.reason}" for one in failures)


def _start(config: Config, home: Path) -> Callable[[Task], Outcome]:
    return Worker(config, home).run


_LOST = (
    "a worker's process ended without a message: it was killed, or memory ran out (fewer "
    "--workers need less). Run again: what is finished is not made again"
)


Progress = Callable[[str, int, Iterable[Outcome]], Iterator[Outcome]]
"""(stage, number of partitions, outcomes as they come) -> the same outcomes, shown on the way."""
_REPORTED = ("model", "evaluation", "mosaic", "area_statistics", "objects")
"""What a year must have for its report."""
_CHUNK_PIXELS = 2**21
_CHUNK_PATCHES = 16
"""Pixels and patches of one run in a process that is already running."""


def run(
    config: Config,
    progress: Progress,
    *,
    years: Sequence[int] = (),
    patches: Sequence[str] = (),
    select: Sequence[str] = (),
    workers: int = 1,
) -> Report:
    """Materialize the graph, or a part of it.

    years    of the configured ones; all where empty
    patches  keys; all where empty. With patches given, what is made of all patches together
             (model, evaluation, mosaic, area_statistics, change) is made only where ``select``
             names it
    select   assets; all where empty

    One patch's failure stops no other patch: the report lists it. Raises RunError where a year, a
    patch or an asset does not exist.
    """
    started = time.perf_counter()
    report = Report()
    wanted_years = chosen(years, config.years, "--year", "years of the configuration")
    present = [a for a in EVERY_ASSET if a != "change" or config.change_years]
    assets = chosen(select, present, "--select", "assets of the configuration")
    if patches and not select:
        assets = tuple(a for a in assets if "patch" in dimensions(a) or not dimensions(a))
    home = dagster_home(config)
    try:
        with contextlib.ExitStack() as stack:
            with at("loading the platform"):
                worker = Worker(config, home)
                report.warnings += worker.check()
            processes = None
            if workers > 1:
                processes = stack.enter_context(Workers(workers, _start, config, home))
            _run(config, report, worker, processes, progress, wanted_years, patches, assets)
    except StopRequested:
        report.interrupted = True
    report.seconds = time.perf_counter() - started
    return report


def _run(
    config: Config,
    report: Report,
    worker: Worker,
    processes: Workers[Task, Outcome] | None,
    progress: Progress,
    wanted_years: Sequence[int],
    patches: Sequence[str],
    assets: tuple[str, ...],
) -> None:
    workers = processes.count if processes else 1

    def stage(name: str, tasks: Sequence[Task]) -> bool:
        tasks = [t for t in tasks if t.assets]
        if not tasks:
            return True
        before, total = len(report.failures), sum(len(task.partitions) for task in tasks)
        ended: Iterable[Outcome] = map(worker.run, tasks)
        if processes is not None and len(tasks) > 1:
            ended = _outcomes(processes, tasks)
        for outcome in progress(name, total, ended):
            report.outcomes.append(outcome)
        return len(report.failures) - before < total

    def of(job: str) -> tuple[str, ...]:
        return tuple(a for a in JOBS[job] if a in assets)

    if (of("grid") or not worker.exists("patch_grid")) and not stage(
        "patch grid", [Task("grid", JOBS["grid"])]
    ):
        report.stopped = "there is no patch grid"
        return
    grid = worker.opened("patch_grid")
    partitions.fill(worker.instance, [patch.key for patch in grid.patches])
    report.notes = worker.notes()
    keys = chosen(patches, [p.key for p in grid.patches], "--patch", "patches of the grid")

    def chunks(job: str, wanted: Sequence[Partition]) -> list[Task]:
        size = config.processing.chunk or _chunk_size(grid, len(wanted), workers)
        return [Task(job, of(job), chunk) for chunk in _consecutive(worker, wanted, size)]

    if {"raw_bands", "model"} <= set(assets) and not patches:
        why = _untrainable(config, worker, grid)
        if why is not None:
            report.stopped = why
            return

    if not stage("reference", chunks("reference", [Partition(key) for key in keys])):
        report.stopped = "no patch has a reference"
        return

    def made(year: int) -> str | None:
        """Make a year; return why it could not be finished, if it could not."""
        here = [Partition(key, year) for key in keys]
        any_made = stage(f"imagery and features {year}", chunks("patch_year", here))
        for look in (implausible, sunless, misaligned):
            report.warnings += look(worker.snapshot(), year)
        if not any_made:
            return f"no patch of {year} could be made"
        if not stage(f"model {year}", [Task("training", of("training"), (Partition(year=year),))]):
            return f"there is no model of {year}"
        if of("training") and worker.exists("model", Partition(year=year)):
            card = worker.opened("model", Partition(year=year)).card
            report.warnings += [f"{year}: {said}" for said in card.get("split_warnings", ())]
        ready = [p for p in here if worker.exists("features", p)]
        if of("prediction") and not worker.exists("model", Partition(year=year)):
            if not patches:
                return f"there is no model of {year} to predict with"
            ready = []
        if not stage(f"predictions {year}", chunks("prediction", ready)):
            return f"no patch of {year} could be predicted"
        joined = tuple(a for a in of("mosaicking") if a not in ("report", "catalog"))
        name = "mosaic" if "mosaic" in joined else ", ".join(joined)
        stage(f"{name} {year}", [Task("mosaicking", joined, (Partition(year=year),))])
        if of("mosaicking") and worker.exists("area_statistics", Partition(year=year)):
            areas = worker.opened("area_statistics", Partition(year=year)).content
            report.warnings += [f"areas of {year}: {said}" for said in areas["warnings"]]
        if of("mosaicking") and worker.exists("objects", Partition(year=year)):
            about = worker.opened("objects", Partition(year=year)).about
            report.warnings += [f"objects of {year}: {said}" for said in about["warnings"]]
        if of("prediction"):
            report.missing[year] = [
                str(p.patch) for p in here if not worker.exists("predictions", p)
            ]
        return None

    # A year that cannot be made stops no other.
    reasons = [why for year in wanted_years if (why := made(year))]
    report.stopped = "; ".join(reasons) or None
    for year in wanted_years if of("change_detection") else ():
        report.warnings += _changed(config, worker, stage, year)
    for asset, needed in (("report", _REPORTED), ("catalog", (*_REPORTED, "report"))):
        for year in wanted_years if asset in assets else ():
            if all(worker.exists(one, Partition(year=year)) for one in needed):
                stage(f"{asset} {year}", [Task("mosaicking", (asset,), (Partition(year=year),))])


def _changed(
    config: Config, worker: Worker, stage: Callable[[str, Sequence[Task]], bool], year: int
) -> list[str]:
    """Make the change of a year, after the predictions of all years; return warnings."""
    evidence = config.change_evidence(year)
    if not evidence:
        return []
    recorded = worker.snapshot().recorded
    for one in (evidence[evidence.index(year) - 1], year):
        if not recorded("predictions", one):
            return [f"change of {year}: is not made, since there are no predictions of {one}"]
    here = Partition(year=year)
    stage(f"change {year}", [Task("change_detection", JOBS["change_detection"], (here,))])
    if not worker.exists("change", here):
        return []
    return [
        f"change of {year}: {said}" for said in worker.opened("change", here).content["warnings"]
    ]


def _outcomes(processes: Workers[Task, Outcome], tasks: Sequence[Task]) -> Iterator[Outcome]:
    """Return the outcomes of tasks. The task of a lost process is done by another one after all
    others, when there is more memory; if that process is lost too, the task has failed."""
    lost: list[Task] = []
    for task, result in processes.run(tasks):
        if isinstance(result, LostWorkerError):
            lost.append(task)
        else:
            yield result
    for task, result in processes.run(lost) if lost else ():
        if isinstance(result, LostWorkerError):
            yield Outcome(task, 0.0, 0.0, dict.fromkeys(task.partitions, _LOST))
        else:
            yield result


def _untrainable(config: Config, worker: Worker, grid: PatchGrid) -> str | None:
    """Return why no model can be trained, or the one that is given cannot be used, which would show
    only after the imagery is acquired."""
    from lc_platform.commands.inputs import look_at_labels, untrainable, unusable_model

    why = unusable_model(worker.platform)
    if why is not None or config.trained_elsewhere:
        return why

    covered = [patch for patch in grid.patches if grid.has_reference[patch.key]]
    try:
        labels = look_at_labels(worker.platform, covered, until_enough=True)
    except PlatformError:
        return None  # the reference's own stage names the patch
    return untrainable(config, replace(labels, of=len(grid.patches)))


def _chunk_size(grid: PatchGrid, count: int, workers: int) -> int:
    """Return the patches in a run: so many that orchestration is a small share, and no worker waits
    for another."""
    pixels = max(patch.shape[0] * patch.shape[1] for patch in grid.patches)
    fair = -(-count // workers)
    return max(1, min(_CHUNK_PIXELS // pixels, fair, _CHUNK_PATCHES))


def _consecutive(
    worker: Worker, partitions: Sequence[Partition], size: int
) -> Iterator[tuple[Partition, ...]]:
    """Yield groups of at most ``size`` partitions that are consecutive in Dagster's set: a run over
    several has a range of them."""
    wanted = {one.patch: one for one in partitions}
    group: list[Partition] = []
    for key in worker.instance.get_dynamic_partitions(PATCH):
        if key in wanted and len(group) < size:
            group.append(wanted[key])
            continue
        if group:
            yield tuple(group)
        group = [wanted[key]] if key in wanted else []
    if group:
        yield tuple(group)


def check(config: Config) -> list[str]:
    """See `Worker.check`."""
    return Worker(config, dagster_home(config)).check()
