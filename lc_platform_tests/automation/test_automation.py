"""What the platform does by itself: what is asked for, when, and who is told what failed."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import geopandas as gpd
import pytest
import shapely
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

from lc_platform import config
from lc_platform.artefacts.layout import ASSETS, PATCH, Partition
from lc_platform.assets.jobs import COMPLETENESS, JOBS, completeness_name
from lc_platform.assets.partitions import patch_year_key
from lc_platform.automation.schedules import rebuild_due
from lc_platform.automation.scope import maintained_years, outside_message
from lc_platform.config import ConfigError
from lc_platform.graph import build
from lc_platform.monitoring import alerting, tick_failures
from lc_platform.monitoring.run_failures import GIVEN_UP
from lc_platform_tests.automation.deployments import (
    NIGHT,
    PATCH_WISE,
    YEAR,
    Deployment,
    daemon,
    places_of,
    settings,
)
from lc_platform_tests.graphs import degrees
from lc_platform_tests.receivers import Webhook, mail_server, webhook
from lc_platform_tests.sentinel_hub_site import REFERENCE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything is made."""
    folder = tmp_path_factory.mktemp("made")
    Deployment(folder, settings()).everything()
    return folder


@pytest.fixture
def deployment(made: Path, tmp_path: Path) -> Deployment:
    """The same in a folder of its own."""
    folder = tmp_path / "own"
    shutil.copytree(made, folder, symlinks=True)
    return Deployment(folder, settings())


# What is configured.


def test_nothing_runs_by_itself_unless_it_is_enabled() -> None:
    definitions = build(config.parse(settings()))
    repository = definitions.get_repository_def()
    repository.load_all_definitions()
    assert {s.name for s in repository.schedule_defs} == {
        "update_current_year",
        "rebuild_map",
        COMPLETENESS,
    }
    sensors = {s.name: s.default_status for s in repository.sensor_defs}
    # What Dagster was told to start again is started again, without being enabled here.
    assert sensors.pop("lost_retries") is dg.DefaultSensorStatus.RUNNING
    assert sensors.pop("backfill_remainders") is dg.DefaultSensorStatus.RUNNING
    assert set(sensors) == {"new_acquisitions", "failed_runs"}
    for schedule in repository.schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert set(sensors.values()) == {dg.DefaultSensorStatus.STOPPED}


def test_times_and_zone_are_those_of_the_configuration() -> None:
    operations = {
        "timezone": "Europe/Ljubljana",
        "update": {"enabled": True, "cron": "15 4 * * *"},
        "acquisitions": {"enabled": True, "every": 600},
        "notify": {"slack": "${HOOK}"},
    }
    repository = build(config.parse(settings(operations=operations))).get_repository_def()
    update = repository.get_schedule_def("update_current_year")
    assert (update.cron_schedule, update.execution_timezone) == ("15 4 * * *", "Europe/Ljubljana")
    assert update.default_status is dg.DefaultScheduleStatus.RUNNING
    sensor = repository.get_sensor_def("new_acquisitions")
    assert sensor.minimum_interval_seconds == 600
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert repository.get_sensor_def("failed_runs").default_status is (
        dg.DefaultSensorStatus.RUNNING
    )


JOINED = {asset: {Partition(year=YEAR)} for asset in JOBS["mosaicking"]}
"""What is made anew of a year where a patch is predicted anew."""


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        ({"timezone": "Ljubljana"}, "operations.timezone.*no time zone.*Europe/Ljubljana"),
        ({"update": {"cron": "at night"}}, "operations.update.cron.*no cron string"),
        ({"rebuild": {"changed_share": 20}}, r"operations.rebuild.changed_share.*write 0\.2"),
        ({"notify": {"slack": "https://hooks/x"}}, r"operations.notify.slack.*secret.*\$\{NAME\}"),
        (
            {"notify": {"email": {"host": "h", "sender": "a", "to": ["b"], "user": "u"}}},
            "operations.notify.email.password.*missing",
        ),
        ({"map_age": [130, 100]}, "operations.map_age.*late before it is overdue"),
        ({"schedule": {}}, "operations.schedule: this key is not known"),
    ],
)
def test_what_is_wrong_in_operations_is_refused(operations: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config.parse(settings(operations=operations))


@pytest.mark.parametrize(
    ("now", "years"),
    [
        (datetime(2024, 6, 1, tzinfo=UTC), [2024]),
        (datetime(2024, 1, 20, tzinfo=UTC), [2023, 2024]),
        (datetime(2023, 12, 31, 23, 30, tzinfo=UTC), [2023]),  # it is 2024 in Ljubljana alone
        (datetime(2024, 1, 1, tzinfo=UTC), [2023, 2024]),
        (datetime(2025, 1, 20, tzinfo=UTC), [2024]),
        (datetime(2026, 1, 1, tzinfo=UTC), []),
    ],
)
def test_the_year_before_is_kept_up_to_date_in_january(now: datetime, years: list[int]) -> None:
    data = settings(operations={"timezone": "Europe/Ljubljana"}) | {"years": [2022, 2023, 2024]}
    assert maintained_years(config.parse(data), now) == years


def test_a_year_is_kept_up_to_date_where_it_has_begun_here_too() -> None:
    data = settings(operations={"timezone": "America/Los_Angeles"}) | {"years": [2023, 2024]}
    early = datetime(2024, 1, 1, 5, tzinfo=UTC)  # it is 2023 there
    assert maintained_years(config.parse(data), early) == [2023]


@pytest.mark.parametrize(
    ("now", "years"),
    [
        (datetime(2023, 9, 30, 12, tzinfo=UTC), [2023]),
        (datetime(2023, 10, 1, 12, tzinfo=UTC), [2023, 2024]),
        (datetime(2023, 11, 20, 12, tzinfo=UTC), [2023, 2024]),  # 20 days around it, 31 late ones
        (datetime(2023, 11, 21, 12, tzinfo=UTC), [2024]),
        (datetime(2024, 10, 1, 12, tzinfo=UTC), [2024]),
    ],
)
def test_a_season_is_kept_up_to_date_from_its_first_day(now: datetime, years: list[int]) -> None:
    data = settings(season={"begins": "10-01"}, features={"padding": 20})
    assert maintained_years(config.parse(data | {"years": [2022, 2023, 2024]}), now) == years


def test_it_is_said_which_season_is_missing_or_to_come() -> None:
    data = settings(season={"begins": "04-01", "months": 6}) | {"years": [2022]}
    parsed = config.parse(data)
    assert outside_message(parsed, datetime(2023, 5, 1, tzinfo=UTC)).startswith("2023 is not among")
    message = outside_message(parsed, datetime(2023, 11, 1, tzinfo=UTC))
    assert message == "the season of 2024 begins on 2024-04-01"


# The current year.


def test_a_year_that_is_up_to_date_is_left_alone(deployment: Deployment) -> None:
    said = deployment.tick("update_current_year")
    assert said.startswith("everything is up to date. The archive was searched for 4 patches; 0")
    assert deployment.backfills() == []


def test_a_patch_with_new_acquisitions_is_made_and_predicted(deployment: Deployment) -> None:
    patch = deployment.patches[2]
    deployment.acquired_earlier(patch)
    said = deployment.tick("update_current_year")
    assert said.endswith("The archive was searched for 4 patches; 1 are new")
    here = {Partition(patch, YEAR)}
    assert deployment.backfills() == [{**dict.fromkeys(PATCH_WISE, here), **JOINED}]


def test_only_what_is_missing_is_asked_for_again(deployment: Deployment) -> None:
    patch = deployment.patches[1]
    deployment.take_away("training_samples", patch)
    deployment.tick("update_current_year")
    here = {Partition(patch, YEAR)}
    predicted = dict.fromkeys(JOBS["prediction"], here)
    assert deployment.backfills() == [{"training_samples": here, **predicted, **JOINED}]


def test_a_tick_that_is_tried_again_asks_once(deployment: Deployment) -> None:
    deployment.take_away("features", deployment.patches[0])
    deployment.tick("update_current_year")
    assert deployment.tick("update_current_year").startswith("everything is up to date")
    assert len(deployment.backfills()) == 1


def test_what_is_under_way_is_not_asked_for_again(deployment: Deployment) -> None:
    first, second, *_ = deployment.patches
    deployment.take_away("features", first)
    deployment.tick("update_current_year")
    deployment.take_away("features", second)
    deployment.tick("update_current_year", NIGHT + timedelta(days=1))
    assert deployment.backfills()[1] == {
        "features": {Partition(second, YEAR)},
        "training_samples": {Partition(second, YEAR)},
        **{asset: {Partition(second, YEAR)} for asset in JOBS["prediction"]},
    }


def test_what_failed_is_asked_for_again_the_next_night(deployment: Deployment) -> None:
    deployment.take_away("features", deployment.patches[0])
    deployment.tick("update_current_year")
    [running] = deployment.instance.get_backfills()
    deployment.instance.update_backfill(running.with_status(BulkActionStatus.COMPLETED_FAILED))
    deployment.tick("update_current_year", NIGHT + timedelta(days=1))
    first, second = deployment.backfills()
    assert first == second


def test_a_year_outside_the_configuration_is_said(deployment: Deployment) -> None:
    said = deployment.tick("update_current_year", NIGHT.replace(year=YEAR + 3))
    assert said == f"{YEAR + 3} is not among the years of the configuration. Add it to `years`"


def test_a_patch_that_the_archive_has_nothing_of_yet_is_left_for_later(
    deployment: Deployment,
) -> None:
    patch = deployment.patches[0]
    imagery = ("raw_bands", "cloud_masks", "observation_stats", "alignment")
    for asset in (*imagery, "features", "training_samples"):
        deployment.take_away(asset, patch)
    deployment.take_away("predictions", patch)
    clear = deployment.changed(imagery={"max_cloud_cover": 0})
    clear.tick("update_current_year")
    asked = clear.backfills()
    assert all(Partition(patch, YEAR) not in places for one in asked for places in one.values())


def test_patches_that_are_no_partitions_are_not_asked_for(deployment: Deployment) -> None:
    gone, there, *_ = deployment.patches
    deployment.instance.delete_dynamic_partition(PATCH, gone)
    for patch in (gone, there):
        deployment.take_away("features", patch)
    said = deployment.tick("update_current_year")
    assert f"1 patches, such as {gone}, are no partitions in Dagster" in said
    assert [one["features"] for one in deployment.backfills()] == [{Partition(there, YEAR)}]


# The sensor of new acquisitions.


def requested(tick: Any) -> dict[str, set[Partition]]:
    [request] = tick.run_requests
    return places_of(request.asset_graph_subset)


def test_a_patch_with_new_acquisitions_is_asked_for_once(deployment: Deployment) -> None:
    patch = deployment.patches[2]
    deployment.acquired_earlier(patch)
    first = deployment.sense("new_acquisitions")
    here = {Partition(patch, YEAR)}
    assert requested(first) == dict.fromkeys(PATCH_WISE, here)
    second = deployment.sense("new_acquisitions", first.cursor)
    assert not second.run_requests
    assert second.skip_message == "4 patches searched, 1 lack acquisitions"


def test_a_patch_that_was_asked_for_and_not_made_is_asked_for_again_after_a_day(
    deployment: Deployment,
) -> None:
    patch = deployment.patches[2]
    deployment.acquired_earlier(patch)
    cursor = json.loads(deployment.sense("new_acquisitions").cursor)
    [[place, (name, at)]] = cursor["asked"].items()
    cursor["asked"] = {place: [name, at - 23 * 3600]}
    assert not deployment.sense("new_acquisitions", json.dumps(cursor)).run_requests
    cursor["asked"] = {place: [name, at - 25 * 3600]}
    again = deployment.sense("new_acquisitions", json.dumps(cursor))
    assert requested(again)["raw_bands"] == {Partition(patch, YEAR)}


def test_still_newer_acquisitions_are_asked_for_again(deployment: Deployment) -> None:
    first = deployment.changed(imagery={"max_cloud_cover": 30}).sense("new_acquisitions")
    more = deployment.changed(imagery={"max_cloud_cover": 60})
    assert requested(more.sense("new_acquisitions", first.cursor))["raw_bands"] == more.places


def test_a_look_that_runs_out_of_time_goes_on_where_it_stopped(deployment: Deployment) -> None:
    short = deployment.changed(
        imagery={"max_cloud_cover": 30}, operations={"acquisitions": {"seconds": 1e-9}}
    )
    cursor, asked = None, []
    for _ in range(5):
        tick = short.sense("new_acquisitions", cursor)
        cursor = tick.cursor
        asked += [sorted(map(str, requested(tick)["raw_bands"]))] if tick.run_requests else []
    assert asked == [[f"{patch} {YEAR}"] for patch in deployment.patches]


def test_the_cursor_forgets_years_that_are_over(deployment: Deployment) -> None:
    now = time.time()
    asked = {f"a {YEAR - 1}": ["x", now], f"b {YEAR}": ["y", now]}
    before = json.dumps({"after": "", "asked": asked})
    tick = deployment.sense("new_acquisitions", before)
    assert json.loads(tick.cursor)["asked"] == {f"b {YEAR}": ["y", now]}


# Model and map.


def test_a_model_whose_samples_are_as_they_were_is_kept(deployment: Deployment) -> None:
    said = deployment.tick("rebuild_map", datetime.now(UTC))
    assert said.startswith(f"{YEAR}: 0 of 4 patches have changed")
    assert deployment.backfills() == []


def resample(deployment: Deployment, patch: str) -> Deployment:
    """Have one patch's samples drawn anew, in another way, and no other's."""
    other = deployment.changed(sampling={"pixels_per_patch": 200})
    assert other.launch("patch_year", str(patch_year_key(patch, YEAR))).success
    return deployment


def test_enough_changed_patches_make_model_and_map_anew(deployment: Deployment) -> None:
    resample(deployment, deployment.patches[0])
    said = deployment.tick("rebuild_map", datetime.now(UTC))
    assert "1 of 4 patches have changed since the model" in said
    year = {Partition(year=YEAR)}
    assert deployment.backfills() == [
        {"model": year, **dict.fromkeys(JOBS["prediction"], deployment.places), **JOINED}
    ]


def test_too_few_changed_patches_wait_for_the_season(deployment: Deployment) -> None:
    patient = resample(deployment, deployment.patches[0]).changed(
        operations={"rebuild": {"changed_share": 0.5, "max_age": 60}}
    )
    now = datetime.now(UTC)
    assert "which is 0 days old" in patient.tick("rebuild_map", now)
    assert patient.backfills() == []
    look = patient.platform.versions.look()
    for days, due in ((59, False), (61, True)):
        said, found = rebuild_due(patient.platform, look, YEAR, now - timedelta(days=days), now)
        assert found is due, said


def test_a_season_in_which_nothing_changed_makes_nothing(deployment: Deployment) -> None:
    now = datetime.now(UTC)
    look = deployment.platform.versions.look()
    said, due = rebuild_due(deployment.platform, look, YEAR, now - timedelta(days=400), now)
    assert (said, due) == ("nothing has changed since the model", False)


# Failed runs.


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as server:
        monkeypatch.setenv("HOOK", server.url)
        yield server


def listening(deployment: Deployment, hours: float = 6, **notify: Any) -> Deployment:
    """No acquisition is clear enough for anybody, and somebody wants to know."""
    return deployment.changed(
        imagery={"max_cloud_cover": 0},
        operations={"notify": {"slack": "${HOOK}", "quiet": hours, **notify}},
    )


def test_one_cause_is_one_message_however_many_patches(
    deployment: Deployment, hook: Webhook
) -> None:
    broken = listening(deployment, ui="https://dagster.example.org/")
    before = broken.sense("failed_runs")
    first, *others = broken.patch_years()
    runs = [broken.launch("patch_year", first), broken.launch("patch_year", *others)]
    assert not any(run.success for run in runs)
    after = broken.sense("failed_runs", before.cursor)
    assert after.skip_message == "2 failures, 1 messages"
    [text] = hook.received
    assert text.startswith("*small: raw_bands failed (4 partitions): patch #")
    for patch in broken.patches:
        assert f"{patch} {YEAR}" in text
    assert f"https://dagster.example.org/runs/{runs[0].run_id}" in text
    again = broken.sense("failed_runs", after.cursor)
    assert again.skip_message == "0 failures, 0 messages"
    assert len(hook.received) == 1


def test_what_fails_in_the_quiet_time_is_told_together_when_it_ends(
    deployment: Deployment, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = listening(deployment, hours=1)
    first, second, third, _ = broken.patch_years()
    cursor = broken.sense("failed_runs").cursor
    broken.launch("patch_year", first)
    cursor = broken.sense("failed_runs", cursor).cursor
    for one in (second, third):
        broken.launch("patch_year", one)
        cursor = broken.sense("failed_runs", cursor).cursor
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    broken.sense("failed_runs", cursor)
    assert ["again (2 partitions)" in text for text in hook.received] == [False, True]


def test_what_failed_before_anybody_listened_is_not_told(
    deployment: Deployment, hook: Webhook
) -> None:
    broken = listening(deployment)
    broken.launch("patch_year", broken.patch_years()[0])
    cursor = broken.sense("failed_runs").cursor
    broken.sense("failed_runs", cursor)
    assert hook.received == []


def test_a_message_that_did_not_go_out_is_sent_later(deployment: Deployment, hook: Webhook) -> None:
    broken = listening(deployment)
    cursor = broken.sense("failed_runs").cursor
    broken.launch("patch_year", broken.patch_years()[0])
    hook.status = 500
    tick = broken.sense("failed_runs", cursor)
    assert "operations.notify.slack" in tick.skip_message
    hook.status = 200
    broken.sense("failed_runs", tick.cursor)
    assert len(hook.received) == 1


def test_a_run_that_dagster_tries_again_is_no_failure_yet(
    deployment: Deployment, hook: Webhook
) -> None:
    broken = listening(deployment)
    cursor = broken.sense("failed_runs").cursor
    run = broken.launch("patch_year", broken.patch_years()[0])
    broken.instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    broken.sense("failed_runs", cursor)
    assert hook.received == []


# What came to no run.


def failed_tick(
    instance: dg.DagsterInstance, name: str, words: str, location: str = "here"
) -> None:
    """As Dagster's daemon records it."""
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(
            GrpcServerCodeLocationOrigin("localhost", 4000, location_name=location), "all"
        ),
        name,
    )
    kind = InstigatorType.SENSOR
    state = InstigatorState(origin, kind, InstigatorStatus.DECLARED_IN_CODE, SensorInstigatorData())
    if instance.get_instigator_state(origin.get_id(), state.selector_id) is None:
        instance.add_instigator_state(state)
    own = SerializableErrorInfo(f"lc_platform.config.ConfigError: {words}\n", [], "ConfigError")
    error = SerializableErrorInfo("dagster: an error\n", [], "SensorExecutionError", own)
    now = time.time()
    instance.create_tick(
        TickData(
            origin.get_id(), name, kind, TickStatus.FAILURE, now,
            error=error, end_timestamp=now, selector_id=state.selector_id,
        )
    )  # fmt: skip


def test_a_tick_that_failed_is_told_once(deployment: Deployment, hook: Webhook) -> None:
    heard = listening(deployment)
    failed_tick(heard.instance, "new_acquisitions", "what was before")
    cursor = heard.sense("failed_runs").cursor
    for _ in range(2):
        failed_tick(heard.instance, "new_acquisitions", "imagery.catalog: ${KEY} is not set")
    for _ in range(2):
        cursor = heard.sense("failed_runs", cursor).cursor
    assert hook.received == [
        "*small: sensor new_acquisitions failed (2 times): imagery.catalog: ${KEY} is not set*\n"
        "imagery.catalog: ${KEY} is not set\n\nsensor new_acquisitions: 2 times"
    ]


def test_the_ticks_of_another_code_location_are_not_told(deployment: Deployment) -> None:
    instance, now = deployment.instance, time.time()
    for location in ("here", "there"):
        failed_tick(instance, "new_acquisitions", location, location)
    found = tick_failures.failures(instance, "small", "here", now, now)
    assert [failure.reason for failure in found.values()] == ["here"]


def test_a_server_that_was_away_for_a_moment_is_not_told(deployment: Deployment) -> None:
    instance, now = deployment.instance, time.time()
    failed_tick(instance, "x", "Could not reach user code server. gRPC Error code: UNAVAILABLE")
    assert tick_failures.failures(instance, "small", "here", now, now) == {}


@pytest.mark.parametrize("looker", ["update_current_year", "new_acquisitions"])
def test_an_archive_that_cannot_be_asked_is_told(
    deployment: Deployment, hook: Webhook, looker: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/catalog.json"
    land = {"class": [1], "geometry": [shapely.box(*degrees(2, 2))]}
    gpd.GeoDataFrame(land, crs="EPSG:4326").to_file(deployment.folder / "reference.gpkg")
    away = listening(deployment).changed(
        imagery={"source": "stac", "catalog": address, "retries": 0}, reference=REFERENCE
    )
    cursor = away.sense("failed_runs").cursor
    said = (
        away.tick(looker) if looker.startswith("update") else away.sense(looker).skip_message or ""
    )
    for _ in range(2):
        cursor = away.sense("failed_runs", cursor).cursor
    [text] = hook.received
    assert f" {looker} failed (once): " in text
    assert address in text
    assert address in said


def test_a_backfill_that_failed_as_a_whole_is_told(deployment: Deployment, hook: Webhook) -> None:
    heard = listening(deployment)
    heard.take_away("features", heard.patches[0])
    heard.changed(imagery={"max_cloud_cover": 12}).tick("update_current_year")
    cursor = heard.sense("failed_runs").cursor
    [backfill] = heard.instance.get_backfills()
    words = "dagster._core.errors.DagsterBackfillFailedError: partitions have been removed"
    error = SerializableErrorInfo(words, [], "DagsterBackfillFailedError")
    for status in (BulkActionStatus.FAILING, BulkActionStatus.FAILED):
        heard.instance.update_backfill(backfill.with_status(status).with_error(error))
        cursor = heard.sense("failed_runs", cursor).cursor
    [text] = hook.received
    assert text.startswith(
        f"*small: backfill failed ({backfill.backfill_id}): DagsterBackfillFailedError: partitions"
    )


def test_a_run_that_is_given_up_is_told(deployment: Deployment, hook: Webhook) -> None:
    broken = listening(deployment)
    cursor = broken.sense("failed_runs").cursor
    run = broken.launch("patch_year", broken.patch_years()[0])
    broken.instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    cursor = broken.sense("failed_runs", cursor).cursor
    assert hook.received == []
    broken.instance.add_run_tags(run.run_id, {"dagster/will_retry": "false", GIVEN_UP: "true"})
    for _ in range(2):
        cursor = broken.sense("failed_runs", cursor).cursor
    assert len(hook.received) == 1


# How long a look takes, and which way.


def test_mail_that_was_refused_is_sent_when_it_is_taken_and_slack_is_told_once(
    deployment: Deployment, hook: Webhook
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    email = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "a@a.org"}
    heard = listening(deployment, email={**email, "to": ["b@a.org"]})
    cursor = heard.sense("failed_runs").cursor
    failed_tick(heard.instance, "new_acquisitions", "no archive")
    tick = heard.sense("failed_runs", cursor)
    assert tick.skip_message.startswith("1 failures, 1 messages; operations.notify.email")
    with mail_server(port=port) as server:
        heard.sense("failed_runs", tick.cursor)
        assert len(server.received) == 1
    assert len(hook.received) == 1


@pytest.mark.proof
def test_a_look_ends_in_time_and_the_next_tells_the_rest(
    deployment: Deployment, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerting, "_TICK", 5.0)
    heard = listening(deployment, timeout=2)
    cursor = heard.sense("failed_runs").cursor
    for word in ("one", "two", "three", "four", "five", "six"):
        failed_tick(heard.instance, "new_acquisitions", f"the cause is {word}")
    hook.delay = 0.9
    ticks = 0
    while len(hook.received) < 6 and ticks < 6:
        cursor = heard.sense("failed_runs", cursor).cursor
        ticks += 1
    assert ticks > 1
    assert len(set(hook.received)) == len(hook.received) == 6


@pytest.mark.proof
def test_ways_that_hang_do_not_keep_a_look(deployment: Deployment, hook: Webhook) -> None:
    heard = listening(deployment, timeout=3)
    cursor = heard.sense("failed_runs").cursor
    for word in ("one", "two", "three", "four", "five", "six"):
        failed_tick(heard.instance, "new_acquisitions", f"the cause is {word}")
    hook.delay = 5
    began = time.monotonic()
    tick = heard.sense("failed_runs", cursor)
    assert time.monotonic() - began < 15  # six that are waited for take 18 s
    assert tick.skip_message.startswith("6 failures, 0 messages; operations.notify.slack")


# The completeness checks, and how old the map is.


def evaluations(deployment: Deployment) -> dict[str, dg.AssetCheckEvaluation]:
    done = deployment.launch(COMPLETENESS)
    assert done.success
    return {e.check_name: e for e in done.get_asset_check_evaluations()}


def test_completeness_checks_pass_where_everything_is_made(deployment: Deployment) -> None:
    found = evaluations(deployment)
    assert len(found) == len(ASSETS) - 1  # the grid has none
    assert all(evaluation.passed for evaluation in found.values())


def test_a_completeness_check_lists_what_is_missing(deployment: Deployment) -> None:
    gone = deployment.patches[0]
    deployment.take_away("predictions", gone)
    found = evaluations(deployment)
    assert {name for name, one in found.items() if not one.passed} == {
        completeness_name("predictions"),
        completeness_name("mosaic"),  # it is of a prediction that is gone
        completeness_name("area_statistics"),
        completeness_name("report"),
        completeness_name("catalog"),
        completeness_name("objects"),
    }
    missing = found[completeness_name("predictions")]
    assert missing.severity is dg.AssetCheckSeverity.WARN
    assert missing.description == "predictions: 1 missing"
    assert missing.metadata["partitions"].value == f"- `{gone} {YEAR}` missing"


def test_a_completeness_check_lists_what_failed_first(deployment: Deployment) -> None:
    broken = deployment.patches[-1]
    clear = deployment.changed(imagery={"max_cloud_cover": 0})
    assert not clear.launch("patch_year", str(patch_year_key(broken, YEAR))).success
    failed = evaluations(clear)[completeness_name("raw_bands")]
    assert failed.severity is dg.AssetCheckSeverity.ERROR
    assert str(failed.description).startswith("raw_bands: 1 failed")
    first, *_ = str(failed.metadata["partitions"].value).splitlines()
    assert first == f"- `{broken} {YEAR}` failed"


def test_a_completeness_check_tells_what_only_waited_from_what_failed(
    deployment: Deployment,
) -> None:
    broken = deployment.patches[-1]
    deployment.take_away("features", broken)
    clear = deployment.changed(imagery={"max_cloud_cover": 0})
    assert not clear.launch("patch_year", str(patch_year_key(broken, YEAR))).success
    waited = evaluations(clear)[completeness_name("features")]
    assert waited.severity is dg.AssetCheckSeverity.WARN
    assert waited.description == "features: 1 missing, 3 stale"
    why = f"not reached: raw_bands of {broken} {YEAR} failed"
    told = str(waited.metadata["partitions"].value)
    assert f"- `{broken} {YEAR}` missing: {why}" in told.splitlines()


def test_materializing_a_patch_runs_no_completeness_check(deployment: Deployment) -> None:
    done = deployment.launch("grid")
    names = {e.check_name for e in done.get_asset_check_evaluations()}
    assert names == {"grid_not_empty"}


def test_a_map_that_is_rebuilt_by_itself_may_not_grow_old() -> None:
    operations = {"rebuild": {"enabled": True}, "map_age": [10, 20]}
    graph = build(config.parse(settings(operations=operations))).resolve_asset_graph()
    policy = graph.get(dg.AssetKey("mosaic")).freshness_policy
    assert policy == dg.FreshnessPolicy.time_window(
        fail_window=timedelta(days=20), warn_window=timedelta(days=10)
    )
    assert graph.get(dg.AssetKey("predictions")).freshness_policy is None


def test_a_map_that_nobody_rebuilds_has_no_age() -> None:
    graph = build(config.parse(settings())).resolve_asset_graph()
    assert graph.get(dg.AssetKey("mosaic")).freshness_policy is None


# With Dagster's daemon.


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    stop = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < stop:
        time.sleep(0.5)
    return met


@pytest.mark.proof
def test_the_daemon_has_a_sensor_s_backfill_made(deployment: Deployment) -> None:
    open_minded = deployment.changed(
        imagery={"max_cloud_cover": 30}, operations={"acquisitions": {"enabled": True}}
    )
    with daemon(open_minded) as log:
        came = wait_for(lambda: len(deployment.instance.get_backfills()) == 1, 600)
    assert came, log.read_text(encoding="utf-8")[-3000:]
    [asked] = deployment.backfills()
    assert asked == dict.fromkeys(PATCH_WISE, deployment.places)
