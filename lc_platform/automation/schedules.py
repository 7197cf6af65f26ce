"""Schedules: update of the current year, rebuild of model and map, completeness checks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from lc_platform.artefacts.layout import Partition, dimensions
from lc_platform.artefacts.versions import Snapshot
from lc_platform.assets.jobs import COMPLETENESS, JOBS
from lc_platform.automation import archive_search, backfills
from lc_platform.automation.backfills import Wanted
from lc_platform.automation.scope import known_partitions, maintained_years, outside_message
from lc_platform.monitoring import tick_failures
from lc_platform.platform import Platform

UPDATE, REBUILD = "update_current_year", "rebuild_map"
_CURSOR = "lc_platform/update_current_year/"


def schedules(platform: Platform) -> Sequence[dg.ScheduleDefinition]:
    """Return the schedules of a configuration; its `operations` say which of them run.

    The first two start backfills and no runs, so that Dagster calls their ticks skipped; the reason
    names the backfill. Each is shown at the first job of its backfill.
    """
    operations = platform.config.operations
    zone = operations.timezone

    @dg.schedule(
        name=UPDATE,
        job_name="patch_year",
        cron_schedule=operations.update.cron,
        execution_timezone=zone,
        default_status=_status(operations.update.enabled),
        description="Keep the current year up to date: acquire new acquisitions, make what is "
        "missing or stale of the patches, predict them and update the map.",
    )
    def update(context: dg.ScheduleEvaluationContext) -> dg.SkipReason:
        now = context.scheduled_execution_time
        years = maintained_years(platform.config, now)
        if not years:
            return dg.SkipReason(outside_message(platform.config, now))
        instance, graph = context.instance, _graph(context)
        snapshot = platform.versions.look()
        found = _search(platform, snapshot, instance, years)
        wanted = _union([outdated(snapshot, year, found, platform.config.years) for year in years])
        wanted, unknown = known_partitions(instance, platform.config, wanted)
        wanted = backfills.without(wanted, backfills.in_progress(instance, graph))
        problem = found.problem or unknown
        tick_failures.note(
            instance, platform.config.name, tick_failures.UPDATE, problem, time.time()
        )
        message = _search_message(found) + (f". {unknown}" if unknown else "")
        if not wanted:
            return dg.SkipReason(f"everything is up to date. {message}")
        title = f"Update of {', '.join(map(str, years))}"
        name = _name(UPDATE, now)
        started = backfills.request(instance, graph, wanted, name=name, title=title)
        return dg.SkipReason(f"{started}. {message}")

    @dg.schedule(
        name=REBUILD,
        job_name="training",
        cron_schedule=operations.rebuild.cron,
        execution_timezone=zone,
        default_status=_status(operations.rebuild.enabled),
        description="Rebuild model and map when enough patches have changed since the model was "
        "trained, or when it is a season old and any patch has changed.",
    )
    def rebuild(context: dg.ScheduleEvaluationContext) -> dg.SkipReason:
        now = context.scheduled_execution_time
        instance, graph = context.instance, _graph(context)
        snapshot = platform.versions.look()
        verdicts, wanted = [], []
        for year in maintained_years(platform.config, now):
            why, due = rebuild_due(platform, snapshot, year, trained_at(instance, year), now)
            verdicts.append(f"{year}: {why}")
            if due:
                wanted.append(rebuild_partitions(snapshot, year, platform.config.years))
        if not verdicts:
            return dg.SkipReason(outside_message(platform.config, now))
        message = "; ".join(verdicts)
        both, unknown = known_partitions(instance, platform.config, _union(wanted))
        both = backfills.without(both, backfills.in_progress(instance, graph))
        tick_failures.note(
            instance, platform.config.name, tick_failures.REBUILD, unknown, time.time()
        )
        message += f". {unknown}" if unknown else ""
        if not both:
            return dg.SkipReason(message)
        name = _name(REBUILD, now)
        started = backfills.request(instance, graph, both, name=name, title=f"New map. {message}")
        return dg.SkipReason(f"{started}. {message}")

    completeness = dg.ScheduleDefinition(
        name=COMPLETENESS,
        job_name=COMPLETENESS,
        cron_schedule=operations.checks.cron,
        execution_timezone=zone,
        default_status=_status(operations.checks.enabled),
        description="List the missing, stale and failed partitions of every asset and year.",
    )
    return [update, rebuild, completeness]


def outdated(
    snapshot: Snapshot,
    year: int,
    found: archive_search.SearchOutcome,
    years: Sequence[int] = (),
) -> dict[str, set[Partition]]:
    """Return the partitions of a year that are missing or stale, or will be with new acquisitions.

    found  new acquisitions; patches of which the archive has nothing yet are left for later
    years  the configured ones, of which change may depend on the year

    Predictions and the map are among them where there is a model to predict with. Predictions that
    are stale because the model is are left to the next model.
    """
    wanted: dict[str, set[Partition]] = {}
    for asset in (*JOBS["reference"], *JOBS["patch_year"]):
        own = {
            one for one, state in snapshot.states(asset, year).items() if state.kind != "current"
        }
        if "year" in dimensions(asset):
            own = (own - found.empty) | {p for p in found.new if p.year == year}
        wanted[asset] = own
    here = Partition(year=year)
    if snapshot.states("model", year)[here].kind != "missing":
        remade = {one for asset in JOBS["patch_year"] for one in wanted[asset]}
        own = set(snapshot.places("predictions", year)) - found.empty
        remade |= {
            one for one in own if any(_is_behind(snapshot, a, one) for a in JOBS["prediction"])
        }
        wanted |= dict.fromkeys(JOBS["prediction"], remade)
        joined = remade or _is_behind(snapshot, "mosaic", here)
        for asset in JOBS["mosaicking"]:
            absent = snapshot.states(asset, year)[here].kind == "missing"
            wanted[asset] = {here} if joined or absent else set()
        wanted["change"] = {
            one
            for each in changing_with(snapshot, year, years)
            if joined or _is_behind(snapshot, "change", one := Partition(year=each))
        }
    return {asset: own for asset, own in wanted.items() if own}


def changing_with(snapshot: Snapshot, year: int, years: Sequence[int]) -> Sequence[int]:
    """Return the years whose change is made of a year's predictions, among others, and for which
    the predictions of both years are there, or will be with those of this one."""
    found = []
    for each in years:
        evidence = snapshot.evidence("change", each)
        if year not in evidence:
            continue
        pair = (evidence[evidence.index(each) - 1], each)
        if all(one == year or snapshot.recorded("predictions", one) for one in pair):
            found.append(each)
    return found


def _is_behind(snapshot: Snapshot, asset: str, where: Partition) -> bool:
    """Whether an artefact is not made of its inputs as they are now, such as the present model."""
    return not snapshot.is_current(asset, where, snapshot.expected(asset, where).version)


def rebuild_due(
    platform: Platform, snapshot: Snapshot, year: int, trained: datetime | None, now: datetime
) -> tuple[str, bool]:
    """Return why a year's model is due for a rebuild or not, and whether it is.

    trained  when the model was made; None where that is not known
    """
    here, settings = Partition(year=year), platform.config.operations.rebuild
    samples = snapshot.states("training_samples", year)
    if all(state.kind == "missing" for state in samples.values()):
        return "no patch has samples yet", False
    if snapshot.states("model", year)[here].kind == "missing":
        return "there is no model yet", True
    changed = changed_since_model(platform, snapshot, year)
    share = len(changed) / len(samples)
    message = f"{len(changed)} of {len(samples)} patches have changed since the model"
    if share >= settings.changed_share:
        return message, True
    age = now - trained if trained is not None else timedelta.max
    if age < timedelta(days=settings.max_age):
        return f"{message}, which is {age.days} days old", False
    if changed or any(
        snapshot.states(a, year)[here].kind != "current" for a in ("model", "mosaic")
    ):
        return f"{message}, and it is of the season before", True
    return "nothing has changed since the model", False


def changed_since_model(platform: Platform, snapshot: Snapshot, year: int) -> set[str]:
    """Return the patches whose samples are not those that the year's model was trained on, or that
    will have others when they are made again."""
    here = Partition(year=year)
    version = snapshot.recorded("model", year).get(here)
    read = platform.versions.records.read("model", {here: version}) if version else {}
    trained_on = read.get(here, {}).get("inputs", {}).get("training_samples", {})
    now = {str(p.patch): v.data for p, v in snapshot.recorded("training_samples", year).items()}
    stated = snapshot.states("training_samples", year).items()
    stale = {str(one.patch) for one, state in stated if state.kind == "stale"}
    return stale | {
        patch for patch in {**trained_on, **now} if trained_on.get(patch) != now.get(patch)
    }


def rebuild_partitions(
    snapshot: Snapshot, year: int, years: Sequence[int] = ()
) -> dict[str, set[Partition]]:
    """Return the year's model and all that depends on it, of the patches that have features.

    years  the configured ones, of which change may depend on the year
    """
    here = Partition(year=year)
    changing = {Partition(year=each) for each in changing_with(snapshot, year, years)}
    ready = {p for p, state in snapshot.states("features", year).items() if state.kind != "missing"}
    return {
        **{asset: {here} for asset in JOBS["training"]},
        **dict.fromkeys(JOBS["prediction"], ready),
        **{asset: {here} for asset in JOBS["mosaicking"]},
        **({"change": changing} if changing else {}),
    }


def trained_at(instance: dg.DagsterInstance, year: int) -> datetime | None:
    """Return when a year's model was made last; None where Dagster has no record of it."""
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("model"), asset_partitions=[str(year)]), limit=1
    ).records
    return datetime.fromtimestamp(found[0].timestamp, UTC) if found else None


def _search(
    platform: Platform, snapshot: Snapshot, instance: dg.DagsterInstance, years: Sequence[int]
) -> archive_search.SearchOutcome:
    """Search the archive, from where the schedule's last search stopped."""
    cursor = f"{_CURSOR}{platform.config.name}"
    after = instance.daemon_cursor_storage.get_cursor_values({cursor}).get(cursor, "")
    found = archive_search.search(
        platform,
        snapshot,
        years,
        after=after,
        seconds=platform.config.operations.acquisitions.seconds,
    )
    instance.daemon_cursor_storage.set_cursor_values({cursor: found.stopped_at})
    return found


def _search_message(found: archive_search.SearchOutcome) -> str:
    message = f"The archive was searched for {found.searched} patches; {len(found.new)} are new"
    message += f". Then it failed: {found.problem}" if found.problem else ""
    return message + (". The next search goes on there" if found.stopped_at else "")


def _union(parts: Sequence[Wanted]) -> Mapping[str, set[Partition]]:
    assets = dict.fromkeys(asset for part in parts for asset in part)
    return {a: {one for part in parts for one in part.get(a, ())} for a in assets}


def _graph(context: dg.ScheduleEvaluationContext) -> backfills.Graph:
    return context.repository_def.asset_graph


def _name(schedule: str, when: datetime) -> str:
    """Return the backfill's name, the same for a tick that is tried again: none starts twice."""
    return f"{schedule}-{when.astimezone(UTC):%y%m%d%H%M}"


def _status(enabled: bool) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if enabled else dg.DefaultScheduleStatus.STOPPED
