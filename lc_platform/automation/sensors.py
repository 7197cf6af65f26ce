"""Sensors: new acquisitions, failed runs, lost retries, remainders of backfills."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lc_platform.artefacts.layout import Partition
from lc_platform.assets.jobs import JOBS
from lc_platform.automation import (
    archive_search,
    backfill_remainders,
    backfills,
    lost_retries,
)
from lc_platform.automation.scope import known_partitions, maintained_years, outside_message
from lc_platform.monitoring import notify, tick_failures
from lc_platform.monitoring.alerting import Alerting
from lc_platform.platform import Platform

NEW_ACQUISITIONS, FAILED_RUNS = "new_acquisitions", "failed_runs"
LOST_RETRIES = "lost_retries"
REMAINDERS = "backfill_remainders"
_AGAIN = 86400.0
"""Seconds after which partitions that were requested and not made are requested again."""


def sensors(platform: Platform) -> Sequence[dg.SensorDefinition]:
    """Return the sensors of a configuration; its `operations` say which of them run."""
    operations = platform.config.operations

    @dg.sensor(
        name=NEW_ACQUISITIONS,
        asset_selection=dg.AssetSelection.assets(*JOBS["patch_year"], *JOBS["prediction"]),
        minimum_interval_seconds=operations.acquisitions.every,
        default_status=_status(operations.acquisitions.enabled),
        description="Search the archive for acquisitions of the current year that the raw bands "
        "lack, and make the patches that they touch.",
    )
    def new_acquisitions(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = datetime.now(UTC)
        years = maintained_years(platform.config, now)
        if not years:
            return dg.SensorResult(skip_reason=outside_message(platform.config, now))
        before = json.loads(context.cursor) if context.cursor else {}
        snapshot = platform.versions.look()
        found = archive_search.search(
            platform,
            snapshot,
            years,
            after=before.get("after", ""),
            seconds=operations.acquisitions.seconds,
        )
        requested = _requested(before.get("asked", {}), now.timestamp())
        fresh = {p for p, name in found.new.items() if requested.get(str(p), ("",))[0] != name}
        graph = _graph(context)
        wanted: backfills.Wanted = dict.fromkeys(JOBS["patch_year"], fresh)
        modelled = {
            y for y in years if snapshot.states("model", y)[Partition(year=y)].kind != "missing"
        }
        predicted = {partition for partition in fresh if partition.year in modelled}
        wanted = {**wanted, **dict.fromkeys(JOBS["prediction"], predicted)}
        wanted, unknown = known_partitions(context.instance, platform.config, wanted)
        wanted = backfills.without(wanted, backfills.in_progress(context.instance, graph))
        problem = found.problem or unknown
        source = tick_failures.ACQUISITIONS
        tick_failures.note(context.instance, platform.config.name, source, problem, now.timestamp())
        # Partitions of a running backfill are not noted: they may be found again when it has ended.
        when = now.timestamp()
        requested |= {str(p): (found.new[p], when) for p in wanted.get("raw_bands", ())}
        kept = {str(year) for year in years}
        cursor = json.dumps(
            {
                "after": found.stopped_at,
                "asked": {
                    p: n for p, n in sorted(requested.items()) if p.rpartition(" ")[2] in kept
                },
            }
        )
        message = f"{found.searched} patches searched, {len(found.new)} lack acquisitions" + (
            f"; {'stopped: ' if found.problem else ''}{problem}" if problem else ""
        )
        if not wanted:
            return dg.SensorResult(skip_reason=message, cursor=cursor)
        context.log.info(f"{message}; requested: {backfills.counts(wanted)}")
        chosen = backfills.subset(graph, wanted)
        launched = dg.RunRequest.for_asset_graph_subset(chosen, {backfills.TAG: NEW_ACQUISITIONS})
        return dg.SensorResult(run_requests=[launched], cursor=cursor)

    @dg.sensor(
        name=FAILED_RUNS,
        minimum_interval_seconds=60,
        default_status=_status(bool(operations.notify.slack or operations.notify.email)),
        description="Alert people to failed runs, ticks and backfills: one message a cause, not "
        "one a patch or a run.",
    )
    def failed_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        channels = notify.channels(platform.config)
        if not channels:
            return dg.SensorResult(skip_reason="operations.notify has neither slack nor email")
        alerting = Alerting(platform.config, context.instance, channels, context.cursor)
        origin = context.code_location_origin
        alerting.gather(origin.location_name if origin else None)
        alerting.deliver()
        for problem in alerting.problems:
            context.log.warning(problem)
        return dg.SensorResult(skip_reason=alerting.summary, cursor=alerting.cursor)

    @dg.sensor(
        name=LOST_RETRIES,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Start failed runs again that Dagster could not start again, because its "
        "database or the code server was away.",
    )
    def restart_lost_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if not context.instance.run_retries_enabled:
            return dg.SensorResult(skip_reason="run_retries is off in this instance")
        found = lost_retries.retry(context.instance, time.time())
        return dg.SensorResult(skip_reason=f"{len(found)} lost runs are retried")

    @dg.sensor(
        name=REMAINDERS,
        asset_selection=dg.AssetSelection.assets(*platform.partition_years),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Resubmit the rest of a backfill in which some patches failed, without what "
        "depends on them.",
    )
    def remainders_of_backfills(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settled = json.loads(context.cursor) if context.cursor else None
        resubmitted, now = backfill_remainders.resubmit(
            context.instance, _graph(context), platform.config, time.time(), settled
        )
        message = "; ".join(resubmitted) or "nothing to resubmit"
        return dg.SensorResult(skip_reason=message, cursor=json.dumps(sorted(now)))

    return [new_acquisitions, failed_runs, restart_lost_runs, remainders_of_backfills]


def _requested(before: Mapping[str, Any], now: float) -> dict[str, tuple[str, float]]:
    """Return what was requested in the last day, and when."""
    return {
        partition: (str(name), float(at))
        for partition, (name, at) in before.items()
        if now - at < _AGAIN
    }


def _graph(context: dg.SensorEvaluationContext) -> backfills.Graph:
    assert context.repository_def is not None
    return context.repository_def.asset_graph


def _status(enabled: bool) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if enabled else dg.DefaultSensorStatus.STOPPED
