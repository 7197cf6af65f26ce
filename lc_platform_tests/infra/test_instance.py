"""infra/compose/dagster.yaml on a real Postgres and a real object store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType

from lc_platform_tests.infra import servers, tiny
from lc_platform_tests.infra.deployment import (
    Deployment,
    deploy,
    finished,
    launch,
    monitor,
    status,
    workspace,
)

FILES = ("compose", "cluster")


@pytest.fixture
def deployment(
    infra: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    postgres: servers.Postgres,
    object_store: dict[str, str],
    request: pytest.FixtureRequest,
) -> Deployment:
    """An empty database that is migrated and a bucket, with compose's dagster.yaml on them."""
    servers.module("dagster_postgres", "dagster-postgres")
    servers.module("dagster_celery", "dagster-celery")
    file = infra / getattr(request, "param", "compose") / "dagster.yaml"
    database = f"test_{os.urandom(4).hex()}"
    variables = {**postgres.create(database), **object_store}
    variables["LC_PLATFORM_BROKER"] = "redis://:secret@127.0.0.1:1/0"  # nobody is asked here
    return deploy(file, tmp_path / "home", monkeypatch, variables)


def dagster(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("deployment", FILES, indirect=True)
def test_the_instance_is_as_the_file_says(deployment: Deployment) -> None:
    with deployment.instance() as instance:
        for storage in (
            instance.run_storage,
            instance.event_log_storage,
            instance.schedule_storage,
        ):
            assert storage is not None
            assert type(storage).__module__.startswith("dagster_postgres")
            here, wanted = storage.alembic_version() or (None, None)
            assert here == wanted
        assert type(instance.run_launcher).__name__.startswith("Watching")
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert type(instance.compute_log_manager).__name__ == "S3ComputeLogManager"
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds > 0
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries > 0
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.default_pool_limit
        assert concurrency.run_queue_config is not None
        assert concurrency.run_queue_config.max_concurrent_runs > 0
        assert instance.telemetry_enabled is False
        assert instance.nux_enabled is False
        for kind in InstigatorType:
            days = instance.get_tick_retention_settings(kind).values()
            assert max(days) == 90, kind


def test_both_files_differ_in_how_runs_are_launched_alone(infra: Path) -> None:
    def shared(folder: str) -> dict[str, Any]:
        text = (infra / folder / "dagster.yaml").read_text(encoding="utf-8")
        settings: dict[str, Any] = yaml.safe_load(text)
        for own in ("run_launcher", "run_coordinator", "concurrency"):
            settings.pop(own, None)
        return settings

    assert shared("compose") == shared("cluster")


def test_a_run_is_recorded_and_its_output_is_in_the_bucket(
    deployment: Deployment, object_store: dict[str, str]
) -> None:
    dagster("instance", "migrate")
    dagster("instance", "concurrency", "set", "acquisition", "3")
    port = servers.free_port()
    with (
        deployment.code_server(port),
        deployment.instance() as instance,
        workspace(instance, port) as process,
    ):
        runs = [launch(process, job) for job in ("tiny", "fetching")]
        for run in runs:
            servers.wait_until(partial(finished, instance, run), "the run is over")
            assert status(instance, run) is dg.DagsterRunStatus.SUCCESS
        assert instance.get_latest_materialization_event(dg.AssetKey("answer")) is not None
        assert [(p.name, p.limit) for p in instance.event_log_storage.get_pool_limits()] == [
            ("acquisition", 3)
        ]
    bucket = servers.module("boto3", "dagster-aws").client("s3")
    listed = bucket.list_objects_v2(Bucket=object_store["LC_PLATFORM_BUCKET"]).get("Contents", [])
    logs = [one["Key"] for one in listed if runs[0] in one["Key"] and one["Key"].endswith(".out")]
    assert len(logs) == 1
    body = bucket.get_object(Bucket=object_store["LC_PLATFORM_BUCKET"], Key=logs[0])["Body"].read()
    assert body == b"forty-two\n"


def test_a_run_that_died_with_its_code_server_is_found_when_that_is_back(
    deployment: Deployment,
) -> None:
    port = servers.free_port()
    with deployment.instance() as instance:
        with deployment.code_server(port) as server, workspace(instance, port) as process:
            run = launch(process, "tiny", seconds="300")
            servers.wait_until(
                lambda: status(instance, run) is dg.DagsterRunStatus.STARTED, "the run has begun"
            )
            monitor(process)
            assert status(instance, run) is dg.DagsterRunStatus.STARTED
            os.killpg(server, signal.SIGKILL)  # as a container is: with all that it started
            servers.wait_until(lambda: not servers.listens(port), "the code server is gone")
            monitor(process)
            assert status(instance, run) is dg.DagsterRunStatus.STARTED  # it may only be busy
        with deployment.code_server(port), workspace(instance, port) as process:
            monitor(process)
            assert status(instance, run) is dg.DagsterRunStatus.FAILURE


def test_the_object_store_answers_nobody_without_a_signature(object_store: dict[str, str]) -> None:
    boto3, botocore = (servers.module(name, "dagster-aws") for name in ("boto3", "botocore"))
    client = boto3.client(
        "s3",
        endpoint_url=object_store["AWS_ENDPOINT_URL_S3"],
        region_name="us-east-1",
        config=boto3.session.Config(signature_version=botocore.UNSIGNED),
    )
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        client.list_objects_v2(Bucket=object_store["LC_PLATFORM_BUCKET"])
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        client.put_object(Bucket=object_store["LC_PLATFORM_BUCKET"], Key="k", Body=b"")


def test_trimming_forgets_how_and_keeps_what(
    deployment: Deployment, infra: Path, postgres: servers.Postgres
) -> None:
    database = deployment.variables["LC_PLATFORM_POSTGRES_DATABASE"]
    script = str(infra / "postgres" / "trim_event_logs.sql")

    def counted(where: str) -> int:
        return int(postgres.sql(database, "-c", f"SELECT count(*) FROM event_logs WHERE {where}"))

    with deployment.instance() as instance:
        assert dg.materialize([tiny.answer], instance=instance).success
        postgres.sql(database, "-v", "days=1", "-f", script)
        lines = counted("dagster_event_type IS NULL")
        assert lines > 0  # not old enough
        postgres.sql(database, "-c", "UPDATE event_logs SET timestamp = timestamp - interval '2 d'")
        postgres.sql(database, "-v", "days=1", "-f", script)
        assert counted("dagster_event_type IS NULL OR dagster_event_type LIKE 'STEP_%'") == 0
        assert instance.get_latest_materialization_event(tiny.answer.key) is not None
        assert [r.status for r in instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS]
        record = instance.get_run_records()[0]
        assert record.end_time is not None
        assert instance.get_run_stats(record.dagster_run.run_id).materializations == 1
