"""Every line of the log is JSON and says what it is about."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lc_platform import logs
from lc_platform.artefacts.layout import PATCH
from lc_platform.assets.partitions import patch_year_key
from lc_platform.runtime import redaction
from lc_platform_tests.logging_asset import features

pytestmark = pytest.mark.slow


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a logger of the platform writes."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.getLogger("lc_platform.test")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield out
    logger.removeHandler(handler)


def read(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_line_tells_run_asset_patch_and_year(lines: io.StringIO) -> None:
    with logs.about(run="r1", asset="features", patch="33N-r001-c002", year=2023):
        logging.getLogger("lc_platform.test").info("%d dates", 23)
    [line] = read(lines.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "lc_platform.test",
        "run": "r1",
        "asset": "features",
        "patch": "33N-r001-c002",
        "year": 2023,
        "message": "23 dates",
    }


def test_a_line_about_nothing_has_the_same_keys(lines: io.StringIO) -> None:
    logging.getLogger("lc_platform.test").info("started")
    [line] = read(lines.getvalue())
    assert [line[name] for name in logs.SUBJECTS] == [None, None, None, None]


def test_a_secret_of_the_configuration_is_in_no_line(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_KEY", 'a "key" of a log')
    value = redaction.read("LOG_KEY")
    try:
        raise ValueError(f"it has {value}")
    except ValueError:
        logging.getLogger("lc_platform.test").exception("https://archive?key=%s", value)
    [line] = read(lines.getvalue())
    assert line["message"] == "https://archive?key=${LOG_KEY}"
    assert "it has ${LOG_KEY}" in line["error"]
    assert "of a log" not in lines.getvalue()


def test_what_a_block_is_about_ends_with_it_even_when_it_fails(lines: io.StringIO) -> None:
    with logs.about(run="r1"):
        with pytest.raises(RuntimeError), logs.about(patch="a"):
            raise RuntimeError
        logging.getLogger("lc_platform.test").info("after")
    [line] = read(lines.getvalue())
    assert (line["run"], line["patch"]) == ("r1", None)


def test_an_error_of_many_lines_is_one_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        logging.getLogger("lc_platform.test").exception("failed")
    [line] = lines.getvalue().splitlines()
    assert "ValueError: broken\nin two" in json.loads(line)["error"]


def test_what_a_line_cannot_be_about_is_refused() -> None:
    words = "tile: a line is about run, asset, patch, year"
    with pytest.raises(ValueError, match=words), logs.about(tile=1):
        pass


def run_of(keys: list[str], folder: Path, level: str = "INFO") -> tuple[str, list[dict[str, Any]]]:
    """A run over a chunk of patches under a dagster.yaml with the platform's lines."""
    (folder / "dagster.yaml").write_text(
        f"""
telemetry: {{enabled: false}}
python_logs:
  python_log_level: {level}
  managed_python_loggers: [lc_platform]
  dagster_handler_config:
    handlers:
      json: {{class: logging.StreamHandler, formatter: json, level: {level}}}
    formatters:
      json: {{(): lc_platform.logs.JsonFormatter}}
""",
        encoding="utf-8",
    )
    code = f"""
import dagster as dg
from lc_platform.artefacts.layout import PATCH
from lc_platform_tests.logging_asset import features
keys = {keys!r}
instance = dg.DagsterInstance.from_config({str(folder)!r})
instance.add_dynamic_partitions(PATCH, [key.split("|")[0] for key in keys])
job = dg.Definitions(assets=[features]).resolve_implicit_global_asset_job_def()
done = job.execute_in_process(
    instance=instance,
    run_config={{"loggers": {{"console": {{"config": {{"log_level": "CRITICAL"}}}}}}}},
    partition_key=keys[0] if len(keys) == 1 else None,
    tags={{"dagster/asset_partition_range_start": keys[0],
          "dagster/asset_partition_range_end": keys[-1]}} if len(keys) > 1 else {{}},
)
print("run", done.run_id)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=1800,
    )
    return done.stdout.split()[-1], read(done.stderr)


KEYS = [str(patch_year_key(patch, 2023)) for patch in ("a", "b")]


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS], ids=["one patch", "a chunk"])
def test_lines_of_a_run_are_of_one_form_whoever_wrote_them(keys: list[str], tmp_path: Path) -> None:
    run, lines = run_of(keys, tmp_path)
    for source in ("by Dagster", "by Python"):
        own = [line for line in lines if line["message"] == source]
        assert [(line["run"], line["patch"], line["year"]) for line in own] == [
            (run, key[0], 2023) for key in keys
        ]
        assert {line["asset"] for line in own} == {"features"}
    assert all({*logs.SUBJECTS} <= line.keys() for line in lines)


def test_each_materialization_of_a_chunk_tells_its_own_patch(tmp_path: Path) -> None:
    _, lines = run_of(KEYS, tmp_path, "DEBUG")
    made = [line for line in lines if line.get("event") == "ASSET_MATERIALIZATION"]
    assert sorted((line["asset"], line["patch"], line["year"]) for line in made) == [
        ("features", "a", 2023),
        ("features", "b", 2023),
    ]


def test_a_job_can_take_the_lines_as_its_logger(capfd: pytest.CaptureFixture[str]) -> None:
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(PATCH, ["a"])
    definitions = dg.Definitions(assets=[features], loggers={"json": logs.json_lines})
    definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, partition_key=KEYS[0], run_config={"loggers": {"json": {"config": {}}}}
    )
    lines = read(capfd.readouterr().err)
    assert {line["patch"] for line in lines if line["asset"] == "features"} == {"a"}


def test_a_process_of_its_own_writes_the_same_lines() -> None:
    code = (
        "import logging; from lc_platform import logs; logs.configure(); logs.configure()\n"
        "with logs.about(patch='a'):\n"
        "    logging.getLogger('lc_platform.commands.metrics').info('ready')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    [line] = read(done.stderr)
    assert (line["patch"], line["message"]) == ("a", "ready")
