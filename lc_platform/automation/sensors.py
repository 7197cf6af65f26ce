"""What happens when something else has: new acquisitions, failed runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lc_platform.artefacts.layout import ASSETS, Partition
from lc_platform.assets.jobs import JOBS
from lc_platform.automation import archive_search, backfill_remainders, backfills
from lc_platform.automation import lost_retries as retries
from lc_platform.automation.scope import kept_years, known, outside_words
from lc_platform.monitoring import notify, tick_failures
from lc_platform.monitoring.alerting import Alerting
from lc_platform.platform import Platform

NEW_ACQUISITIONS, FAILED_RUNS = "new_acquisitions", "failed_runs"
LOST_RETRIES = "lost_retries"
REMAINDERS = "backfill_remainders"
_AGAIN = 86400.0
"""Seconds after which what was asked for, and was not made, is asked for again."""


def sensors(platform: Platform) -> Sequence[dg.SensorDefinition]:
    """The sensors of a configuration, running where its `operations` say so."""
    operations = platform.config.operations

    @dg.sensor(
        name=NEW_ACQUISITIONS,
        asset_selection=dg.AssetSelection.assets(*JOBS["patch_year"], *JOBS["prediction"]),
        minimum_interval_seconds=operations.acquisitions.every,
        default_status=_status(operations.acquisitions.enabled),
        description="Ask the archive for acquisitions of the current year that the raw bands "
        "lack, and make the patches that they touch.",
    )
    def new_acquisitions(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = datetime.now(UTC)
        years = kept_years(platform.config, now)
        if not years:
            return dg.SensorResult(skip_reason=outside_words(platform.config, now))
        before = json.loads(context.cursor) if context.cursor else {}
        look = platform.versions.look()
        found = archive_search.ask(
            platform,
            look,
            years,
            after=before.get("after", ""),
            seconds=operations.acquisitions.seconds,
        )
        asked = _asked_for(before.get("asked", {}), now.timestamp())
        fresh = {p for p, name in found.new.items() if asked.get(str(p), ("",))[0] != name}
        graph = _graph(context)
        wanted: backfills.Wanted = dict.fromkeys(JOBS["patch_year"], fresh)
        modelled = {
            y for y in years if look.states("model", y)[Partition(year=y)].kind != "missing"
        }
        predicted = {place for place in fresh if place.year in modelled}
        wanted = {**wanted, **dict.fromkeys(JOBS["prediction"], predicted)}
        wanted, unknown = known(context.instance, platform.config, wanted)
        wanted = backfills.left_out(wanted, backfills.under_way(context.instance, graph))
        trouble = found.trouble or unknown
        who = tick_failures.ACQUISITIONS
        tick_failures.note(context.instance, platform.config.name, who, trouble, now.timestamp())
        # What a backfill is at may be found again when that has ended.
        when = now.timestamp()
        asked |= {str(place): (found.new[place], when) for place in wanted.get("raw_bands", ())}
        kept = {str(year) for year in years}
        cursor = json.dumps(
            {
                "after": found.stopped_at,
                "asked": {p: n for p, n in sorted(asked.items()) if p.rpartition(" ")[2] in kept},
            }
        )
        words = f"{found.asked} patches asked, {len(found.new)} lack acquisitions" + (
            f"; {'stopped: ' if found.trouble else ''}{trouble}" if trouble else ""
        )
        if not wanted:
            return dg.SensorResult(skip_reason=words, cursor=cursor)
        context.log.info(f"{words}; asked for: {backfills.told(wanted)}")
        chosen = backfills.subset(graph, wanted)
        launched = dg.RunRequest.for_asset_graph_subset(chosen, {backfills.TAG: NEW_ACQUISITIONS})
        return dg.SensorResult(run_requests=[launched], cursor=cursor)

    @dg.sensor(
        name=FAILED_RUNS,
        minimum_interval_seconds=60,
        default_status=_status(bool(operations.notify.slack or operations.notify.email)),
        description="Tell of what failed, runs and what came to no run: one message a cause, not "
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
        description="Have failed runs started again that Dagster could not start again, as its "
        "database or the code server was away.",
    )
    def lost_retries(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if not context.instance.run_retries_enabled:
            return dg.SensorResult(skip_reason="this instance starts no run again (run_retries)")
        found = retries.look_again(context.instance, time.time())
        return dg.SensorResult(skip_reason=f"{len(found)} runs to be looked at again")

    @dg.sensor(
        name=REMAINDERS,
        asset_selection=dg.AssetSelection.assets(*ASSETS),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ask for what a backfill has left undone as other patches failed: one patch "
        "that cannot be made keeps no other from the map.",
    )
    def remainders_of_backfills(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settled = json.loads(context.cursor) if context.cursor else None
        told, now = backfill_remainders.ask(
            context.instance, _graph(context), platform.config, time.time(), settled
        )
        words = "; ".join(told) or "nothing is to be asked for"
        return dg.SensorResult(skip_reason=words, cursor=json.dumps(sorted(now)))

    return [new_acquisitions, failed_runs, lost_retries, remainders_of_backfills]


def _asked_for(before: Mapping[str, Any], now: float) -> dict[str, tuple[str, float]]:
    """What was asked for in the last day, and when; earlier versions did not note when."""
    found = {
        place: (one, 0.0) if isinstance(one, str) else (str(one[0]), float(one[1]))
        for place, one in before.items()
    }
    return {place: (name, at) for place, (name, at) in found.items() if now - at < _AGAIN}


def _graph(context: dg.SensorEvaluationContext) -> backfills.Graph:
    assert context.repository_def is not None
    return context.repository_def.asset_graph


def _status(enabled: bool) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if enabled else dg.DefaultSensorStatus.STOPPED
