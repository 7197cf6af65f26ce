"""`lc-platform config` as it is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lc_platform import config
from lc_platform.config.json_schema import FILE, stored_schema
from lc_platform_tests.command_line import Command
from lc_platform_tests.config.configurations import SMALLEST


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lc.yaml"
    path.write_text(SMALLEST, encoding="utf-8")
    return path


def test_config_prints_what_loads_again(lc: Command, file: Path, tmp_path: Path) -> None:
    ended = lc("config", "-c", file)
    assert ended.status == 0
    again = tmp_path / "again.yaml"
    again.write_text(ended.out, encoding="utf-8")
    assert config.load(again).reference == config.load(file).reference
    assert lc("config", "-c", again).out == ended.out
    told = json.loads(lc("config", "-c", file, "--json").out)
    assert told["configuration"]["clouds"]["threshold"] == 0.4
    assert "clouds.threshold" in told["default"]


def test_explain_says_what_a_key_is_and_what_depends_on_it(lc: Command, file: Path) -> None:
    ended = lc("config", "explain", "imagery.max_cloud_cover", "-c", file)
    assert ended.status == 0
    assert "Percent; granules (items of the archive) with more are left out" in ended.out
    rows = dict(line.strip().split(":", 1) for line in ended.out.splitlines()[2:])
    assert {name: value.strip() for name, value in rows.items() if name != "version"} == {
        "type": "number, at least 0 and at most 100",
        "unit": "%",
        "default": "80",
        "here": "80",
    }
    assert "counts towards that of raw_bands, and so of what is made of them: cloud" in ended.out


@pytest.mark.parametrize(
    ("key", "data", "appearance"),
    [
        ("clouds.threshold", ["cloud_masks"], []),
        ("reference.classes[0].color", [], ["reference_rasters", "predictions", "mosaic"]),
        ("sampling.points.path", ["training_samples"], []),
        pytest.param(
            "map.mode_window",
            ["raw_bands", "predictions", "held_out_predictions"],
            [],
            marks=pytest.mark.slow,
        ),
        ("model.num_leaves", ["model"], []),
    ],
)
def test_explain_finds_the_assets_whose_versions_a_key_counts_for(
    lc: Command, key: str, data: list[str], appearance: list[str]
) -> None:
    told = json.loads(lc("config", "explain", key, "--json").out)
    assert told["compared"]
    assert [one for one in told["data"] if one != "patch_grid"] == data
    assert {*appearance} <= {*told["appearance"]}
    assert not {*told["data"]} & {*told["downstream"]}
    if data == ["cloud_masks"]:
        assert "raw_bands" not in told["downstream"]
        assert "mosaic" in told["downstream"]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("imagery.max_clod_cover", "Did you mean imagery.max_cloud_cover?"),
        ("max_cloud_cover", "Did you mean imagery.max_cloud_cover?"),
        ("model.num_levs", "this key is not known"),
    ],
)
def test_explain_names_the_nearest_key(lc: Command, key: str, hint: str) -> None:
    ended = lc("config", "explain", key)
    assert ended.status == 1
    assert f"error: {key}: this key is not known." in ended.err
    assert hint in ended.err


def test_check_says_every_problem_of_a_file(lc: Command, file: Path) -> None:
    assert lc("config", "check", file) == (0, f"{file}: valid\n", "")
    broken = yaml.safe_load(SMALLEST) | {"colour": 1, "clouds": {"treshold": 0.5}}
    file.write_text(yaml.safe_dump(broken))
    ended = lc("config", "check", file)
    assert ended.status == 1
    assert "error: clouds.treshold: this key is not known. Did you mean threshold?" in ended.err
    assert ended.out == f"{file}: 2 errors\n"
    told = json.loads(lc("config", "check", file, "--json").out)
    assert not told["valid"]
    assert len(told["problems"]) == 2


def test_check_names_a_variable_that_is_not_set_and_a_line_that_is_no_yaml(
    lc: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LC_NO_SUCH", raising=False)
    file.write_text(SMALLEST + "operations: {notify: {slack: '${LC_NO_SUCH}'}}\n")
    ended = lc("config", "check", file)
    assert ended.status == 0
    assert "operations.notify.slack: the environment variable LC_NO_SUCH is not set" in ended.err
    file.write_text("name: [a\nstorage: b")
    ended = lc("config", "check", file)
    assert ended.status == 1
    assert "Line 2, column" in ended.err


def test_the_schema_is_printed_and_lies_beside_what_init_writes(
    lc: Command, tmp_path: Path
) -> None:
    assert lc("config", "schema").out == stored_schema()
    assert lc("config", "schema", "-o", "a.json").status == 0
    assert (tmp_path / "a.json").read_text("utf-8") == stored_schema()
    assert lc("config", "schema", "-o", "none/a.json").status == 1
    lc("init", tmp_path / "new", "--source", "stac")
    written = (tmp_path / "new" / config.FILE_NAME).read_text("utf-8")
    # The language server reads a relative path from the folder of the file that names it.
    assert written.startswith(f"# yaml-language-server: $schema={FILE}\n")
    assert (tmp_path / "new" / FILE).read_text("utf-8") == stored_schema()
