"""The command line: what it writes, runs, says and exits with."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from lc_platform import config
from lc_platform.commands import run
from lc_platform.runtime import progress
from lc_platform.sources.protocol import Acquisition, Pixels, QuotaError
from lc_platform.sources.stac.archive import StacArchive
from lc_platform_tests.command_line import Command
from lc_platform_tests.sites import Site, site
from lc_platform_tests.storage import growing


@pytest.fixture
def small(tmp_path: Path) -> Site:
    """Two patches of 16 x 16 pixels, four acquisitions, two classes."""
    return site(tmp_path, patches=2)


# init


@pytest.mark.parametrize("source", ["stac", "sentinel_hub"])
def test_init_writes_a_configuration_that_loads(lc: Command, tmp_path: Path, source: str) -> None:
    ended = lc("init", tmp_path / "maps" / "new", "--source", source)
    file = tmp_path / "maps" / "new" / config.FILE_NAME
    assert ended.status == 0
    assert f"{file} is written; edit it." in ended.out
    assert f"lc-platform run -c {file}" in ended.out
    assert config.load(file).imagery.source == source
    assert file.read_text().count("#") > 10


@pytest.mark.slow
def test_init_of_the_simulated_archive_leaves_its_reference_too(
    lc: Command, tmp_path: Path
) -> None:
    ended = lc("init", tmp_path)
    settings = config.load(tmp_path / config.FILE_NAME)
    assert ended.status == 0
    assert settings.imagery.source == "simulated"
    assert (tmp_path / "reference.gpkg").is_file()
    assert "reference.gpkg is the reference it names." in ended.out


def test_init_overwrites_nothing(lc: Command, tmp_path: Path) -> None:
    file = tmp_path / config.FILE_NAME
    file.write_text("mine")
    ended = lc("init", tmp_path, "--source", "stac")
    assert ended.status == 1
    assert f"{file}: is there already. Give another folder, or edit it" in ended.err
    assert file.read_text() == "mine"


def test_init_refuses_a_source_that_there_is_not(lc: Command, tmp_path: Path) -> None:
    ended = lc("init", tmp_path, "--source", "landsat")
    assert ended.status == 1
    assert "--source landsat: there are simulated, stac, sentinel_hub" in ended.err
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_demo_of_a_folder_that_is_no_demo_s_is_refused(lc: Command, small: Site) -> None:
    file = (small.folder / "lc.yaml").rename(small.folder / config.FILE_NAME)
    before = sorted(small.folder.rglob("*"))
    ended = lc("demo", small.folder)
    assert ended.status == 1
    assert f"error: {file}: is no demo's, as its imagery.source is stac." in ended.err
    assert f"lc-platform run -c {file}" in ended.err
    assert sorted(small.folder.rglob("*")) == before


# run


@pytest.mark.slow
def test_a_run_says_in_plain_lines_what_it_does_and_where_the_map_is(
    lc: Command, small: Site
) -> None:
    ended = lc("run", "-c", small.folder / "lc.yaml")
    assert ended.status == 0, ended.err
    assert "\x1b[" not in ended.out
    assert re.search(r"^patch grid: 1 of 1 \(\d+\.\d s\)$", ended.out, re.MULTILINE)
    assert re.search(r"^imagery and features 2021: 2 of 2 \(", ended.out, re.MULTILINE)
    # Two patches with nine assets each, and the grid, the model, its evaluation, the mosaic,
    # its areas, its objects, its report and its catalogue.
    assert re.search(r"^26 artefacts made, in \d+ s, 0 failed\. ", ended.out, re.MULTILINE)
    assert re.search(
        r"Dagster itself took \d+\.\d\d s of that for each patch \(2 patches\)\.", ended.out
    )
    land_cover = small.store / "mosaic" / "2021" / "land_cover.tif"
    assert f"Map of 2021:   {land_cover}" in ended.out
    assert land_cover.is_file()
    picture = land_cover.with_suffix(".png")
    assert f"Picture:       {picture}" in ended.out
    assert picture.is_file()
    assert f"Metrics:       {small.store}/evaluation/2021/metrics.json" in ended.out
    metrics = json.loads((small.store / "evaluation/2021/metrics.json").read_text("utf-8"))
    low, high = metrics["intervals"]["overall_accuracy"]
    blocks = metrics["intervals"]["blocks"]
    assert blocks < 15
    assert (
        f"Accuracy:      {metrics['overall_accuracy']:.3f} ({low:.3f} to {high:.3f}, from {blocks} "
        "blocks only) of the"
    ) in ended.out
    pixels = {row["name"]: sum(counts) for row, counts in zip(
        metrics["classes"], metrics["confusion_matrix"], strict=True
    )}  # fmt: skip
    most = max(pixels, key=lambda name: pixels[name])
    share = pixels[most] / sum(pixels.values())
    assert f"Guessing:      {share:.3f} would be right if all of it were {most}\n" in ended.out
    assert "simulated" not in ended.out
    report = small.store / "evaluation" / "2021" / "report.html"
    assert f"Report:        {report}" in ended.out
    assert report.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert ended.out.endswith(f"See the map:   lc-platform map -c {small.folder / 'lc.yaml'}\n")

    ended = lc("status", "-c", small.folder / "lc.yaml")
    assert ended.status == 0
    rows = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines() if line.strip()}
    assert rows["asset"] == ["year", "done", "total", "missing", "stale", "failed"]
    assert rows["patch_grid"] == ["1", "1"]
    assert rows["raw_bands"] == ["2021", "2", "2"]
    assert rows["mosaic"] == ["2021", "1", "1"]


@pytest.mark.slow
def test_a_run_says_what_it_has_made_and_what_was_current(lc: Command, small: Site) -> None:
    file = small.folder / "lc.yaml"
    assert lc("run", "-c", file).status == 0
    again = lc("run", "-c", file)
    assert re.search(r"^Nothing had to be made: all 26 artefacts are current \(\d+ s\)\.$",
                     again.out, re.MULTILINE)  # fmt: skip
    assert "26 artefacts made" not in again.out
    (small.store / "mosaic/2021/land_cover.tif").unlink()
    small.configure(model={"num_iterations": 4, "min_data_in_leaf": 5})
    changed = lc("run", "-c", file)  # a model, its evaluation, two predictions, the mosaic, ...
    assert "11 artefacts made, 15 were current already, in " in changed.out


def test_status_names_the_patches_that_failed(lc: Command, small: Site) -> None:
    file = small.configure(imagery={"bands": ["B04", "B08", "B11"]})
    ended = lc("run", "-c", file, "--select", "raw_bands")
    assert ended.status == 1
    assert "the archive has no band B11" in ended.err
    assert "stopped: no patch of 2021 could be made" in ended.err
    ended = lc("status", "-c", file)
    words = " ".join(ended.out.split())
    assert "raw_bands 2021 0 2 2 2" in words
    (named,) = re.findall(r"failed raw_bands, 2 partitions: (.+)\n.* no band B11", ended.err)
    assert re.fullmatch(r"33N-\S+ 2021, 33N-\S+ 2021", named)


def test_status_before_the_first_run_says_what_to_do_and_writes_nothing(
    lc: Command, small: Site
) -> None:
    before = sorted(small.folder.rglob("*"))
    ended = lc("status", "-c", small.folder / "lc.yaml")
    assert ended.status == 0, ended.err
    assert ended.out.startswith("Nothing has been made yet.")
    assert f"lc-platform run -c {small.folder}/lc.yaml" in ended.out
    assert sorted(small.folder.rglob("*")) == before


def test_verify_before_the_first_run_says_what_status_says(lc: Command, small: Site) -> None:
    file = small.folder / "lc.yaml"
    before = sorted(small.folder.rglob("*"))
    ended = lc("verify", "-c", file)
    assert ended.status == 1  # nothing was verified
    assert ended.err == "error: " + lc("status", "-c", file).out
    assert sorted(small.folder.rglob("*")) == before


def test_a_store_that_has_lost_its_grid_is_named(lc: Command, small: Site) -> None:
    file = small.folder / "lc.yaml"
    assert lc("run", "-c", file, "--select", "raw_bands").status == 0
    (small.store / "patch_grid.parquet").unlink()
    for command in ("status", "verify"):
        ended = lc(command, "-c", file)
        assert ended.status == 1
        assert "patch_grid.parquet: is not there. Materialize it first" in ended.err


@pytest.mark.parametrize("storage", ["./notes.txt", "./notes.txt/store"])
def test_a_store_that_is_a_file_is_named_by_every_command(
    lc: Command, small: Site, storage: str
) -> None:
    file = small.configure(storage=storage)
    (small.folder / "notes.txt").write_text("mine")
    for command in ("check", "plan", "run", "status", "verify", "prune"):
        ended = lc(command, "-c", file)
        assert ended.status == 1, command
        assert f"error: {small.folder}/notes.txt" in ended.err, command
        assert "A file is where a folder should be" in ended.err, command
        assert "Nothing has been made yet" not in ended.out + ended.err
    assert (small.folder / "notes.txt").read_text() == "mine"


def test_a_store_that_is_a_folder_by_a_link_is_one(lc: Command, small: Site) -> None:
    file = small.configure(storage="./link")
    (small.folder / "elsewhere").mkdir()
    (small.folder / "link").symlink_to("elsewhere")
    assert lc("status", "-c", file).out.startswith("Nothing has been made yet.")


@pytest.mark.slow
def test_what_has_no_record_is_looked_at_again_and_said_to_be(
    lc: Command, small: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = small.folder / "lc.yaml"
    assert lc("run", "-c", file, "--select", "raw_bands").status == 0
    chunk = next(p for p in small.store.glob("raw_bands/2021/*.zarr/bands/c/**/*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 3] ^= 0xFF
    chunk.write_bytes(content)
    ended = lc("verify", "-c", file)
    assert "1 damaged" in ended.out, ended
    (damaged,) = re.findall(r"damaged are (.+)", ended.out)
    acquired = set()
    read = StacArchive.read

    def noted(self: StacArchive, acquisition: Acquisition, *asked: Any) -> Pixels:
        acquired.add(acquisition.key)
        return read(self, acquisition, *asked)

    monkeypatch.setattr(StacArchive, "read", noted)
    ended = lc("run", "-c", file, "--select", "raw_bands")
    assert ended.status == 0, ended.err
    assert "1 raw_bands have no record of how they were made" in ended.err
    assert "`lc-platform verify` found damaged" in ended.err
    assert "those that are whole and current are reused" in ended.err
    assert acquired == {damaged}
    assert lc("verify", "-c", file).status == 0


@pytest.mark.proof
@pytest.mark.slow
def test_verify_names_a_record_that_is_no_json_and_the_run_makes_it_again(
    lc: Command, small: Site
) -> None:
    file = small.folder / "lc.yaml"
    assert lc("run", "-c", file).status == 0
    records = sorted(small.store.glob(".records/predictions/2021/*.json"))
    records[0].write_bytes(records[0].read_bytes()[:20])
    records[1].write_text("[]")
    ended = lc("verify", "-c", file)
    assert ended.status == 1
    for one in records:
        assert f"{one}: is no JSON object, as the record of an artefact is" in ended.out
    assert "26 artefacts read, 2 damaged." in ended.out
    assert "`lc-platform run` makes them again." in ended.out
    assert "2 artefacts made, " in lc("run", "-c", file, "--select", "predictions").out
    assert lc("verify", "-c", file).status == 0


def test_check_says_what_it_is_at_where_it_takes_long(lc: Command, small: Site) -> None:
    told: list[str] = []

    def noted(step: progress.Step) -> None:
        told.append(str(step))

    with progress.listen(noted):
        assert lc("check", "-c", small.folder / "lc.yaml").status == 0
    steps = list(dict.fromkeys(told))
    assert steps.index("area") < steps.index("reference reference.gpkg")
    assert "labels: 1 of 2 patches" in steps
    assert any(re.fullmatch(r"archive 33N-\S+ 2021", one) for one in steps)


# metrics, ui, map


@pytest.mark.parametrize("command", ["metrics", "ui", "map"])
def test_a_port_in_use_is_said_before_anything_is_started(
    lc: Command, small: Site, command: str
) -> None:
    before = sorted(small.folder.rglob("*"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = lc(command, "-c", small.folder / "lc.yaml", "--port", str(port))
    assert ended.status == 1
    said = f"error: --port {port}: is in use on 127.0.0.1. Give another port\n"
    assert (ended.out, ended.err) == ("", said)
    assert sorted(small.folder.rglob("*")) == before


@pytest.mark.parametrize("command", ["metrics", "ui", "map"])
@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a..b"])
def test_an_address_of_no_interface_of_this_machine_is_named(
    lc: Command, small: Site, command: str, host: str
) -> None:
    # 192.0.2.0/24 is kept for documentation (RFC 5737).
    ended = lc(command, "-c", small.folder / "lc.yaml", "--host", host, "--port", "3999")
    assert ended.status == 1
    assert ended.err.startswith(f"error: --host {host}: cannot be listened on (")
    assert ended.out == ""


@pytest.mark.parametrize("command", ["metrics", "ui", "map"])
def test_a_number_that_is_no_port_is_refused(lc: Command, small: Site, command: str) -> None:
    ended = lc(command, "-c", small.folder / "lc.yaml", "--port", "70000")
    assert ended.status == 2
    assert "65535" in ended.err


def test_a_map_is_of_a_configuration_or_of_a_store_and_lies_below_a_path(
    lc: Command, small: Site
) -> None:
    file = small.folder / "lc.yaml"
    asked: tuple[tuple[tuple[str | Path, ...], str], ...] = (
        ((), "nothing to show is named. Give a configuration"),
        (("data", "-c", file), "give either a store or --config"),
        (("-c", file, "--path", "/a b"), "--path /a b: is no path. Give for example /map"),
        ((small.folder / "nowhere",), "nowhere: cannot be read"),
    )
    for arguments, said in asked:
        ended = lc("map", *arguments, "--port", "0")
        assert (ended.status, said in ended.err) == (1, True), ended


@pytest.mark.slow
def test_status_imports_neither_the_science_nor_the_graph(lc: Command, small: Site) -> None:
    # They take three of its four seconds, and it computes nothing.
    file = small.configure(
        reference={"classes": [{"id": 1, "name": "bare", "values": [10]},
                               {"id": 2, "name": "green", "values": [20]}]}
    )  # fmt: skip
    assert lc("run", "-c", file, "--select", "raw_bands").status == 0
    code = (
        "import sys; from lc_platform.cli import app\n"
        f"try: app(['status', '-c', {str(file)!r}])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    asked = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=asked
    )
    assert re.search(r"raw_bands +2021 +2 +2", ended.stdout), ended.stdout
    model_parameters = {"lightgbm", "pandas", "scipy"}  # which the configuration's check asks
    loaded = {name.split(".")[0] for name in ended.stderr.split()} - model_parameters
    heavy = {"cv2", "geopandas", "matplotlib", "numba", "PIL", "rasterio", "s2cloudless", "zarr"}
    assert loaded & heavy == set()
    assert "lc_platform.graph" not in ended.stderr.split()


def test_the_version_is_told(lc: Command) -> None:
    ended = lc("--version")
    assert ended.status == 0
    assert ended.out == f"lc-platform {version('lc-platform')}\n"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        (
            "--select",
            "featurs",
            "is none of the assets of the configuration. Did you mean features",
        ),
        ("--year", "2012", "--year 2012: is none of the years of the configuration. Did you mean"),
        ("--patch", "33N-r094000-c12900", "is none of the patches of the grid. Did you mean 33N-"),
    ],
)
def test_a_name_that_there_is_not_is_refused_with_the_nearest(
    lc: Command, small: Site, option: str, value: str, expected: str
) -> None:
    ended = lc("run", "-c", small.folder / "lc.yaml", option, value)
    assert ended.status == 1
    assert expected in ended.err
    assert "Traceback" not in ended.err
    assert not (small.store / "raw_bands").exists()


def test_a_part_of_the_graph_is_run_for_a_patch(lc: Command, small: Site) -> None:
    file = small.folder / "lc.yaml"
    assert lc("run", "-c", file, "--select", "patch_grid").status == 0
    grid = run.Worker(config.load(file), run.dagster_home(config.load(file)))
    first = grid.opened("patch_grid").patches[0].key
    ended = lc("run", "-c", file, "--patch", first, "--select", "raw_bands")
    assert ended.status == 0, ended.err
    assert "Map of" not in ended.out
    visible = {p.name for p in (small.store / "raw_bands" / "2021").glob("[!.]*")}
    assert visible == {f"{first}.zarr"}


# prune


def test_prune_leaves_what_a_spent_budget_left_unless_it_is_told(
    lc: Command, tmp_path: Path
) -> None:
    stopped = growing.Site.at(tmp_path, connections=1)
    archive = growing.Archive(
        [growing.acquisition(n) for n in (1, 2)], failing={"A02": QuotaError("the budget is spent")}
    )
    with pytest.raises(QuotaError):
        stopped.made(archive)
    file = tmp_path / "lc.yaml"
    file.write_text(yaml.safe_dump(stopped.config.model_dump(mode="json", exclude_unset=True)))
    nothing = lc("prune", "-c", file, "--older-than", "0")
    assert nothing.out == "0 versions, 0.00 GB removed.\n"
    told = lc("prune", "-c", file, "--older-than", "0", "--unfinished-older-than", "0", "--dry-run")
    assert "1 versions, 0.00 GB would be removed." in told.out
    assert len(stopped.store.versions(stopped.key)) == 1


# Errors


def test_a_configuration_with_mistakes_is_refused_line_by_line(lc: Command, small: Site) -> None:
    file = small.configure(years=[1066], clouds={"metod": "scl"})
    ended = lc("run", "-c", file)
    assert ended.status == 1
    assert f"{file}:" in ended.err
    assert "years[0]: 1066 is below 1972. Give a number that is at least 1972." in ended.err
    assert "clouds.metod: this key is not known. Did you mean method?" in ended.err
    assert "Traceback" not in ended.err


def test_a_configuration_that_is_not_there_is_named(lc: Command, tmp_path: Path) -> None:
    ended = lc("run", "-c", tmp_path / "nowhere.yaml")
    assert ended.status == 1
    assert f"{tmp_path}/nowhere.yaml: cannot be read" in ended.err


def test_a_run_without_a_configuration_is_told_what_to_give(
    lc: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = lc("run")
    assert ended.status == 2
    words = " ".join(ended.err.replace("│", " ").split())
    assert "--config" in words
    assert "this folder has no lc-platform.yaml" in words


@pytest.mark.parametrize("command", [("status",), ("config",), ("map", "--path", "nonsense")])
def test_the_configuration_of_the_folder_one_is_in_is_taken(
    lc: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    (tmp_path / config.FILE_NAME).write_text("years: never", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    ended = lc(*command)
    assert ended.status != 0
    told = (
        "--path nonsense: is no path"
        if command[0] == "map"
        else "lc-platform.yaml:\nname: this key is missing"
    )
    assert told in ended.err


def test_the_variable_names_the_configuration_too(
    lc: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(config.ENVIRONMENT_VARIABLE, str(tmp_path / "nowhere.yaml"))
    assert f"{tmp_path}/nowhere.yaml: cannot be read" in lc("run").err


def test_the_package_is_a_command_of_its_own() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "lc_platform", "--help"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    for command in ("demo", "init", "plan", "run", "status", "ui", "map"):
        assert re.search(rf"\b{command}\b", ended.stdout)
