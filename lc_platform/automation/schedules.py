"""What is made at set times: the current year kept up to date, model and map made anew."""

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
from lc_platform.automation.scope import kept_years, known, outside_words
from lc_platform.monitoring import tick_failures
from lc_platform.platform import Platform

UPDATE, REBUILD = "update_current_year", "rebuild_map"
_CURSOR = "lc_platform/update_current_year/"


def schedules(platform: Platform) -> Sequence[dg.ScheduleDefinition]:
    """The schedules of a configuration, running where its `operations` say so.

    The first two ask for backfills, which is why their ticks are said to be skipped: each is shown
    at the job that it begins with, and the reason names the backfill.
    """
    operations = platform.config.operations
    zone = operations.timezone

    @dg.schedule(
        name=UPDATE,
        job_name="patch_year",
        cron_schedule=operations.update.cron,
        execution_timezone=zone,
        default_status=_status(operations.update.enabled),
        description="Keep the current year up to date: acquire what the archive has gained, make "
        "again what is missing or stale of its patches, predict them and join the map.",
    )
    def update(context: dg.ScheduleEvaluationContext) -> dg.SkipReason:
        now = context.scheduled_execution_time
        years = kept_years(platform.config, now)
        if not years:
            return dg.SkipReason(outside_words(platform.config, now))
        instance, graph = context.instance, _graph(context)
        look = platform.versions.look()
        found = _asked(platform, look, instance, years)
        wanted = _together([outdated(look, year, found) for year in years])
        wanted, unknown = known(instance, platform.config, wanted)
        wanted = backfills.left_out(wanted, backfills.under_way(instance, graph))
        trouble = found.trouble or unknown
        tick_failures.note(
            instance, platform.config.name, tick_failures.UPDATE, trouble, time.time()
        )
        words = _asked_words(found) + (f". {unknown}" if unknown else "")
        if not wanted:
            return dg.SkipReason(f"nothing is to be made. {words}")
        title = f"Update of {', '.join(map(str, years))}"
        name = _name(UPDATE, now)
        done = backfills.request(instance, graph, wanted, name=name, title=title)
        return dg.SkipReason(f"{done}. {words}")

    @dg.schedule(
        name=REBUILD,
        job_name="training",
        cron_schedule=operations.rebuild.cron,
        execution_timezone=zone,
        default_status=_status(operations.rebuild.enabled),
        description="Make model and map anew when enough patches have changed since the model "
        "learnt from them, or when it is a season old and any have.",
    )
    def rebuild(context: dg.ScheduleEvaluationContext) -> dg.SkipReason:
        now = context.scheduled_execution_time
        instance, graph = context.instance, _graph(context)
        look = platform.versions.look()
        verdicts, wanted = [], []
        for year in kept_years(platform.config, now):
            why, due = rebuild_due(platform, look, year, learnt_at(instance, year), now)
            verdicts.append(f"{year}: {why}")
            if due:
                wanted.append(of_rebuild(look, year))
        if not verdicts:
            return dg.SkipReason(outside_words(platform.config, now))
        words = "; ".join(verdicts)
        both, unknown = known(instance, platform.config, _together(wanted))
        both = backfills.left_out(both, backfills.under_way(instance, graph))
        tick_failures.note(
            instance, platform.config.name, tick_failures.REBUILD, unknown, time.time()
        )
        words += f". {unknown}" if unknown else ""
        if not both:
            return dg.SkipReason(words)
        name = _name(REBUILD, now)
        done = backfills.request(instance, graph, both, name=name, title=f"New map. {words}")
        return dg.SkipReason(f"{done}. {words}")

    completeness = dg.ScheduleDefinition(
        name=COMPLETENESS,
        job_name=COMPLETENESS,
        cron_schedule=operations.checks.cron,
        execution_timezone=zone,
        default_status=_status(operations.checks.enabled),
        description="List what is missing, stale or failed, of every asset and year.",
    )
    return [update, rebuild, completeness]


def outdated(look: Snapshot, year: int, found: archive_search.Found) -> dict[str, set[Partition]]:
    """What of a year's patches is missing or stale, or will be with new acquisitions.

    found  what the archive has gained; patches that it has nothing of yet are left for later

    Predictions and the map come with it where there is a model to predict with. Predictions that
    are stale because the model is are left to the next model.
    """
    wanted: dict[str, set[Partition]] = {}
    for asset in (*JOBS["reference"], *JOBS["patch_year"]):
        own = {
            place for place, state in look.states(asset, year).items() if state.kind != "current"
        }
        if "year" in dimensions(asset):
            own = (own - found.empty) | {p for p in found.new if p.year == year}
        wanted[asset] = own
    here = Partition(year=year)
    if look.states("model", year)[here].kind != "missing":
        remade = {place for asset in JOBS["patch_year"] for place in wanted[asset]}
        own = set(look.places("predictions", year)) - found.empty
        remade |= {place for place in own if _behind(look, "predictions", place)}
        wanted |= dict.fromkeys(JOBS["prediction"], remade)
        joined = remade or _behind(look, "mosaic", here)
        wanted |= dict.fromkeys(JOBS["mosaicking"], {here} if joined else set())
    return {asset: places for asset, places in wanted.items() if places}


def _behind(look: Snapshot, asset: str, place: Partition) -> bool:
    """Whether an artefact is not made of what there is now, such as the model as it is."""
    return not look.is_current(asset, place, look.expected(asset, place).version)


def rebuild_due(
    platform: Platform, look: Snapshot, year: int, learnt: datetime | None, now: datetime
) -> tuple[str, bool]:
    """Why a year's model is to be made anew or not, in words, and whether it is.

    learnt  when the model was made; None where that is not known
    """
    here, settings = Partition(year=year), platform.config.operations.rebuild
    samples = look.states("training_samples", year)
    if all(state.kind == "missing" for state in samples.values()):
        return "no patch has samples yet", False
    if look.states("model", year)[here].kind == "missing":
        return "there is no model yet", True
    changed = changed_since_model(platform, look, year)
    share = len(changed) / len(samples)
    told = f"{len(changed)} of {len(samples)} patches have changed since the model"
    if share >= settings.changed_share:
        return told, True
    age = now - learnt if learnt is not None else timedelta.max
    if age < timedelta(days=settings.max_age):
        return f"{told}, which is {age.days} days old", False
    if changed or any(look.states(a, year)[here].kind != "current" for a in ("model", "mosaic")):
        return f"{told}, and it is of the season before", True
    return "nothing has changed since the model", False


def changed_since_model(platform: Platform, look: Snapshot, year: int) -> set[str]:
    """The patches whose samples are not those that the year's model has learnt from, or that will
    have others when they are made again."""
    here = Partition(year=year)
    version = look.recorded("model", year).get(here)
    read = platform.versions.records.read("model", {here: version}) if version else {}
    learnt = read.get(here, {}).get("inputs", {}).get("training_samples", {})
    now = {str(p.patch): v.data for p, v in look.recorded("training_samples", year).items()}
    stated = look.states("training_samples", year).items()
    stale = {str(place.patch) for place, state in stated if state.kind == "stale"}
    return stale | {patch for patch in {**learnt, **now} if learnt.get(patch) != now.get(patch)}


def of_rebuild(look: Snapshot, year: int) -> dict[str, set[Partition]]:
    """The year's model and all that is made with it, of the patches that have features."""
    here = Partition(year=year)
    ready = {p for p, state in look.states("features", year).items() if state.kind != "missing"}
    return {
        **{asset: {here} for asset in JOBS["training"]},
        **dict.fromkeys(JOBS["prediction"], ready),
        **{asset: {here} for asset in JOBS["mosaicking"]},
    }


def learnt_at(instance: dg.DagsterInstance, year: int) -> datetime | None:
    """When a year's model was made last; None where Dagster has no record of it."""
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("model"), asset_partitions=[str(year)]), limit=1
    ).records
    return datetime.fromtimestamp(found[0].timestamp, UTC) if found else None


def _asked(
    platform: Platform, look: Snapshot, instance: dg.DagsterInstance, years: Sequence[int]
) -> archive_search.Found:
    """Look at the archive, from where the schedule's last look stopped."""
    cursor = f"{_CURSOR}{platform.config.name}"
    after = instance.daemon_cursor_storage.get_cursor_values({cursor}).get(cursor, "")
    found = archive_search.ask(
        platform,
        look,
        years,
        after=after,
        seconds=platform.config.operations.acquisitions.seconds,
    )
    instance.daemon_cursor_storage.set_cursor_values({cursor: found.stopped_at})
    return found


def _asked_words(found: archive_search.Found) -> str:
    words = f"The archive was asked about {found.asked} patches; {len(found.new)} have gained"
    words += f". Then it failed: {found.trouble}" if found.trouble else ""
    return words + (". The next look goes on there" if found.stopped_at else "")


def _together(parts: Sequence[Wanted]) -> Mapping[str, set[Partition]]:
    assets = dict.fromkeys(asset for part in parts for asset in part)
    return {a: {place for part in parts for place in part.get(a, ())} for a in assets}


def _graph(context: dg.ScheduleEvaluationContext) -> backfills.Graph:
    return context.repository_def.asset_graph


def _name(schedule: str, when: datetime) -> str:
    """The same for a tick that is tried again, so that nothing is launched twice."""
    return f"{schedule}-{when.astimezone(UTC):%y%m%d%H%M}"


def _status(enabled: bool) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if enabled else dg.DefaultScheduleStatus.STOPPED
