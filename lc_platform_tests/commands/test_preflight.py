"""What is wrong with Dagster's instance is found before the first run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
import yaml
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from lc_platform import config
from lc_platform.commands import preflight
from lc_platform_tests.infra import servers

SOUND = """
run_monitoring: {enabled: true, max_runtime_seconds: 3600}
concurrency: {pools: {default_limit: 2}}
"""
STORAGE = """
storage:
  postgres:
    postgres_db:
      scheme: postgresql+psycopg2
      hostname: {env: LC_PLATFORM_POSTGRES_HOST}
      port: {env: LC_PLATFORM_POSTGRES_PORT}
      username: {env: LC_PLATFORM_POSTGRES_USER}
      password: {env: LC_PLATFORM_POSTGRES_PASSWORD}
      db_name: {env: LC_PLATFORM_POSTGRES_DATABASE}
"""
CONFIG = config.parse(yaml.safe_load(config.template("simulated")))


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Postgres]:
    servers.module("dagster_postgres", "dagster-postgres")
    with servers.postgres() as running:
        yield running


@pytest.fixture
def database(server: servers.Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    variables: Mapping[str, str] = server.create(f"test_{os.urandom(4).hex()}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables["LC_PLATFORM_POSTGRES_DATABASE"]


def instance(home: Path, settings: str) -> dg.DagsterInstance:
    home.joinpath("dagster.yaml").write_text(settings, encoding="utf-8")
    return dg.DagsterInstance.from_config(str(home))


@pytest.mark.usefixtures("database")
def test_a_sound_instance_has_no_problem(tmp_path: Path) -> None:
    with instance(tmp_path, STORAGE + SOUND) as sound:
        assert preflight.check(CONFIG, sound) == []


def test_a_laptops_instance_has_no_problem(tmp_path: Path) -> None:
    with instance(tmp_path, "run_monitoring: {enabled: true, max_runtime_seconds: 60}") as sound:
        assert preflight.check(CONFIG, sound) == []


def test_the_records_of_another_configuration_are_left_alone(tmp_path: Path) -> None:
    monitored = "run_monitoring: {enabled: true, max_runtime_seconds: 60}"
    other = CONFIG.model_copy(update={"name": "elsewhere", "storage": str(tmp_path / "other")})
    renamed = CONFIG.model_copy(update={"name": "renamed"})
    moved = renamed.model_copy(update={"storage": str(tmp_path / "moved")})
    with instance(tmp_path, monitored) as shared:
        assert preflight.check(CONFIG, shared) == []
        with pytest.raises(
            preflight.PreflightError,
            match=rf"are those of the configuration {CONFIG.name}, .*DAGSTER_HOME",
        ):
            preflight.check(other, shared)
        for same in (CONFIG, renamed, moved):
            assert preflight.check(same, shared) == []


def test_a_schema_that_is_not_migrated_is_found(
    tmp_path: Path, server: servers.Postgres, database: str
) -> None:
    with instance(tmp_path, STORAGE + SOUND) as sound:
        wanted = (sound.run_storage.alembic_version() or ("", ""))[1]
        # The revision that made the tables, as a database of an old release has it.
        server.sql(database, "-c", "UPDATE alembic_version SET version_num = '567bc23fd1ac'")
        with pytest.raises(preflight.PreflightError) as raised:
            preflight.check(CONFIG, sound)
    lines = str(raised.value).splitlines()
    assert len(lines) == 2
    assert "567bc23fd1ac" in lines[1]
    assert str(wanted) in lines[1]
    assert "dagster instance migrate" in lines[1]


@pytest.mark.usefixtures("database")
def test_pools_without_a_limit_are_found_by_name(tmp_path: Path) -> None:
    settings = "run_monitoring: {enabled: true, max_runtime_seconds: 60}"
    with instance(tmp_path, STORAGE + settings) as unlimited:
        with pytest.raises(preflight.PreflightError, match="pool acquisition: has no limit"):
            preflight.check(CONFIG, unlimited)
        unlimited.event_log_storage.set_concurrency_slots("acquisition", 4)
        assert preflight.check(CONFIG, unlimited) == []


def test_a_clock_that_is_off_is_found(
    tmp_path: Path, server: servers.Postgres, database: str
) -> None:
    shifted = """
        CREATE SCHEMA off;
        CREATE FUNCTION off.clock_timestamp() RETURNS timestamptz LANGUAGE sql
            AS $$ SELECT pg_catalog.clock_timestamp() + interval '5 minutes' $$;
    """
    with instance(tmp_path, STORAGE + SOUND) as sound:
        server.sql(database, "-c", shifted)
        path = "off, pg_catalog, public"
        server.sql(database, "-c", f"ALTER DATABASE {database} SET search_path = {path}")
        with pytest.raises(preflight.PreflightError, match=r"clock: is (299|300) s behind"):
            preflight.check(CONFIG, sound)


@pytest.mark.usefixtures("database")
def test_a_postgres_that_is_too_old_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "OLDEST_POSTGRES", 99)
    too_old = pytest.raises(preflight.PreflightError, match=r"PostgreSQL \d+: is too old.* 99")
    with instance(tmp_path, STORAGE + SOUND) as old, too_old:
        preflight.check(CONFIG, old)


def test_all_problems_are_told_at_once(
    tmp_path: Path, server: servers.Postgres, database: str
) -> None:
    with instance(tmp_path, STORAGE) as wrong:
        server.sql(database, "-c", "UPDATE alembic_version SET version_num = '567bc23fd1ac'")
        with pytest.raises(preflight.PreflightError) as raised:
            preflight.check(CONFIG, wrong)
    first, *problems = str(raised.value).splitlines()
    assert first == f"{CONFIG.name}: Dagster is not ready"
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [("", "is off"), ("run_monitoring: {enabled: true}", "no maximum run time")],
)
def test_run_monitoring_that_would_miss_something_is_a_warning(
    tmp_path: Path, settings: str, said: str
) -> None:
    with instance(tmp_path, settings) as lax:
        (warning,) = preflight.check(CONFIG, lax)
    assert said in warning
    assert "dagster.yaml" in warning


def test_a_base_map_whose_key_is_not_set_is_a_warning(tmp_path: Path) -> None:
    text = yaml.safe_load(config.template("simulated"))
    tiles = "https://t.example/{z}/{x}/{y}?key=${NOT_SET_ANYWHERE}"
    text["viewer"] = {"base_map": {"tiles": tiles, "attribution": "T"}}
    with instance(tmp_path, SOUND) as sound:
        (warning,) = preflight.check(config.parse(text), sound)
    assert warning.startswith("viewer.base_map.tiles: ")
    assert "environment variable NOT_SET_ANYWHERE" in warning


def ui(folder: Path, settings: str, port: int) -> subprocess.Popen[str]:
    """`lc-platform ui` on an instance of such settings."""
    with instance(folder, settings):
        pass
    file = folder / config.FILE_NAME
    file.write_text(config.template("simulated"), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "lc_platform", "ui", "-c", str(file), "--port", str(port)],
        env={**os.environ, "DAGSTER_HOME": str(folder), "PYTHONWARNINGS": "ignore"},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.usefixtures("database")
def test_the_web_ui_does_not_start_on_what_cannot_work(tmp_path: Path) -> None:
    process = ui(tmp_path, STORAGE, servers.free_port())
    _, told = process.communicate(timeout=600)
    assert process.returncode == 1
    assert told.startswith("error: ")
    assert "pool acquisition: has no limit" in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_the_web_ui_the_map_and_the_daemon_start_after_the_warnings(tmp_path: Path) -> None:
    port = servers.free_port()
    process = ui(tmp_path, "", port)
    records = dg.DagsterInstance.from_config(str(tmp_path))
    try:
        servers.wait_until(lambda: servers.listens(port), "the web UI listens", seconds=600)
        servers.wait_until(records.get_daemon_heartbeats, "the daemon is at work", seconds=600)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/map/api/area", timeout=600) as area:
            assert json.load(area)["name"] == "demo"
        address = f"ws://127.0.0.1:{port}/graphql"
        with connect(address, subprotocols=[Subprotocol("graphql-ws")]) as web:
            web.send('{"type": "connection_init", "payload": {}}')
            assert json.loads(web.recv(60)) == {"type": "connection_ack"}
    finally:
        process.terminate()  # which ends Dagster's processes too
        _, told = process.communicate(timeout=600)
    assert "warning: run monitoring: is off" in told


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("settings", "status"), [(SOUND, 0), ("", 1)])
def test_the_command_ends_with_what_it_found(tmp_path: Path, settings: str, status: int) -> None:
    with instance(tmp_path, STORAGE + settings):
        pass
    file = tmp_path / config.FILE_NAME
    # Without the reference's file, which `init` writes: the archive's own is used.
    text = config.template("simulated").replace(
        "  path: reference.gpkg", "  # path: reference.gpkg"
    )
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "lc_platform", "check", "-c", str(file)],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert ("pool acquisition" in done.stderr) == bool(status)
    assert "Traceback" not in done.stderr
