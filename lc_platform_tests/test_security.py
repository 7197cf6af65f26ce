"""What must not get out, in or through: secrets, keys that climb, objects that run when read."""

from __future__ import annotations

import ast
import http.server
import logging
import pickletools
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import geopandas
import pytest

import lc_platform
from lc_platform import config
from lc_platform.area.grid import grid_table, patches_from_table
from lc_platform.artefacts.layout import ASSETS, PATCH, dimensions, key
from lc_platform.assets.io_manager import ArtefactIOManager
from lc_platform.commands import run
from lc_platform.errors import PlatformError
from lc_platform.graph import build
from lc_platform.runtime import redaction
from lc_platform_tests.sites import Site, site

pytestmark = pytest.mark.slow

YEAR = 2021
CLIMBING = {
    "..": "..",
    "another year": "../2020/33N-r001-c001",
    "a slash": "a/b",
    "a backslash": "a\\b",
    "absolute": "/etc/passwd",
    "a pipe": "a|b",
    "NUL": "a\0b",
    "a newline": "33N-r001-c001\n",
    "300 characters": "a" * 300,
    "empty": "",
    "hidden": ".records",
    "a wildcard": "*",
    "a URL": "s3://bucket/key",
    "not ASCII": "33N\u2010r001",
}
"""What is no patch's key: it could name another place, none, or several."""
_PROOF = pytest.mark.proof
climbing = pytest.mark.parametrize("patch", CLIMBING.values(), ids=CLIMBING.keys())
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
SECRET = "hunter2-5f3a9c"
PACKAGE = Path(lc_platform.__file__).parent


# Keys that climb


@climbing
def test_no_path_is_made_of_a_key_that_climbs(patch: str) -> None:
    for asset in ASSETS:
        if "patch" in dimensions(asset):
            with pytest.raises(PlatformError, match="patch"):
                key(asset, patch, YEAR)


@pytest.mark.parametrize("patch", ["33N-r003-c012", "32S-r2004-c2007", "a", "A_b-9", "x" * 100])
def test_a_patch_key_is_a_name_in_its_folder(patch: str) -> None:
    assert key("raw_bands", patch, YEAR) == f"raw_bands/2021/{patch}.zarr"


@climbing
def test_a_grid_with_a_key_that_climbs_is_refused(made: Made, patch: str) -> None:
    table = grid_table(made.grid)
    table.loc[0, "key"] = patch
    with pytest.raises(ValueError, match="is not a patch key"):
        patches_from_table(table)


@climbing
def test_the_command_line_refuses_a_key_that_climbs(made: Made, patch: str) -> None:
    before = made.files()
    with pytest.raises(PlatformError, match="--patch"):
        made.site.run(patches=[patch])
    assert made.files() == before


@climbing
def test_a_partition_that_climbs_is_refused_when_it_is_added_in_the_ui(
    made: Made, patch: str
) -> None:
    """By Dagster as it is added, or by the platform as it is materialized: nothing is written,
    and what another key stands for is not read."""
    with dg.DagsterInstance.from_config(str(made.home)) as instance:
        # Dagster itself finds no partition of these: a bar divides its keys, and none is empty.
        if not patch or "|" in patch:
            return
        try:
            instance.add_dynamic_partitions(PATCH, [patch])
        except dg.DagsterError:
            return
        before = made.files()
        try:
            for job, where in (("reference", patch), ("patch_year", f"{patch}|{YEAR}")):
                result = made.launch(instance, job, where)
                assert not result.success
                words = [e.message or "" for e in result.all_events if e.is_step_failure]
                words += [
                    str(e.step_failure_data.error) for e in result.all_events if e.is_step_failure
                ]
                assert any("patch" in word for word in words), words
        finally:
            instance.delete_dynamic_partition(PATCH, patch)
    assert made.files() == before


def test_a_partition_that_climbs_does_not_reach_another_years_artefact(made: Made) -> None:
    """Downstream assets read and write without asking the grid, so the key alone must stop them."""
    source = made.site.store / key("raw_bands", made.grid[0].key, YEAR)
    other = made.site.store / "raw_bands" / "1999" / "other.zarr"
    other.parent.mkdir()
    shutil.copytree(source, other)
    patch = "../1999/other"
    with dg.DagsterInstance.from_config(str(made.home)) as instance:
        instance.add_dynamic_partitions(PATCH, [patch])
        before = made.files()
        try:
            result = made.launch(instance, "patch_year", f"{patch}|{YEAR}", ["cloud_masks"])
        finally:
            instance.delete_dynamic_partition(PATCH, patch)
            after = made.files()
            shutil.rmtree(other.parent)
    assert not result.success
    assert after == before


# Objects that run when they are read


def test_the_package_imports_nothing_that_pickles() -> None:
    found = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                names = ["pickle"]
            elif isinstance(node, ast.Attribute):
                names = ["pickle"] if node.attr in {"read_pickle", "to_pickle"} else []
            found += [f"{file.name}: {name}" for name in names if name.split(".")[0] in PICKLES]
    assert not found


def test_no_file_of_a_whole_graph_unpickles(made: Made) -> None:
    files = [p for folder in (made.site.store, made.home) for p in folder.rglob("*") if p.is_file()]
    assert len(files) > 50
    assert [str(file) for file in files if _is_pickle(file.read_bytes())] == []


def test_no_table_carries_pickled_objects(made: Made) -> None:
    import pyarrow.parquet as pq

    tables = list(made.site.store.rglob("*.parquet"))
    assert tables
    for file in tables:
        schema = pq.read_schema(file)
        values = [field.type for field in schema if str(field.type).startswith("extension")]
        assert not values
        for value in (schema.metadata or {}).values():
            assert not _is_pickle(value)


@pytest.mark.parametrize("value", [{"a": 1}, [1, "b"], 3.5, object, None])
@pytest.mark.parametrize("protocol", range(6))
def test_the_search_for_pickles_finds_one(value: Any, protocol: int) -> None:
    import pickle

    assert _is_pickle(pickle.dumps(value, protocol))


def test_all_that_is_stored_goes_through_the_platforms_own_io_manager(made: Made) -> None:
    definitions = build(config.load(made.file))
    ours = (definitions.resources or {})["io_manager"]
    assert isinstance(ours, ArtefactIOManager)
    for asset in definitions.assets or []:
        assert isinstance(asset, dg.AssetsDefinition)
        for name in asset.keys:
            assert asset.get_io_manager_key_for_asset_key(name) == "io_manager"
    for job in definitions.get_repository_def().get_all_jobs():
        for node in job.nodes:
            for output in node.definition.output_dict.values():
                manager: Any = job.resource_defs[output.io_manager_key]
                held = manager.resource_fn(dg.build_init_resource_context())
                assert isinstance(held, ArtefactIOManager), f"{job.name}, {node.name}: {held}"


# Secrets


@pytest.mark.proof
def test_a_run_that_succeeds_tells_no_secret(served: Served) -> None:
    ended = served.lc("run")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert served.asked > 0
    assert served.telling(ended) == []
    assert served.telling(served.lc("status")) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change, id=name, marks=[] if name in {"password", "storage"} else _PROOF)
        for name, change in {
            "boundary": {"aoi": {"boundary": "{server}/gone.geojson?token=${{LC_TEST_SECRET}}"}},
            "reference": {"reference": {"path": "{server}/gone.geojson?token=${{LC_TEST_SECRET}}"}},
            "damaged reference": {
                "reference": {"path": "{server}/damaged.geojson?token=${{LC_TEST_SECRET}}"}
            },
            "catalog": {"imagery": {"catalog": "{server}/gone.json?token=${{LC_TEST_SECRET}}"}},
            "password": {
                "reference": {"path": "http://me:${{LC_TEST_SECRET}}@127.0.0.1:1/a.geojson"}
            },
            "storage": {"storage": "s3://${{LC_TEST_SECRET}}:${{LC_TEST_SECRET}}@bucket/prefix"},
        }.items()
    ],
)
def test_a_run_that_fails_tells_no_secret(served: Served, change: dict[str, Any]) -> None:
    served.configure(**_filled(change, served.url))
    ended = served.lc("run")
    assert ended.returncode == 1
    assert ended.stderr
    assert served.telling(ended) == []


# What the tests share


@dataclass(frozen=True)
class Made:
    """A whole graph of three patches and a year, and Dagster's records of it."""

    site: Site
    file: Path

    @property
    def home(self) -> Path:
        return self.site.folder / "dagster"

    @property
    def grid(self) -> list[Any]:
        table = geopandas.read_parquet(self.site.store / "patch_grid.parquet")
        return patches_from_table(table)

    def files(self) -> dict[str, int]:
        """Everything around the store, and when it was changed."""
        return {
            str(path): path.lstat().st_mtime_ns
            for path in self.site.folder.rglob("*")
            if not path.is_relative_to(self.home) and path != self.site.store
        }

    def launch(
        self, instance: dg.DagsterInstance, job: str, partition: str, select: Any = None
    ) -> dg.ExecuteInProcessResult:
        """A job on a partition, as the UI launches it."""
        definitions = build(config.load(self.file))
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            partition_key=partition,
            asset_selection=[dg.AssetKey(asset) for asset in select] if select else None,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    there = site(tmp_path_factory.mktemp("made"), patches=3)
    file = there.configure()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(run.HOME_VARIABLE, raising=False)
        report = there.run()
    assert report.succeeded, report.failures
    return Made(there, file)


class _Files(http.server.SimpleHTTPRequestHandler):
    """Files of a folder for those who have the token."""

    asked = 0

    def do_GET(self) -> None:
        if f"token={SECRET}" not in self.path:
            self.send_error(403)
            return
        type(self).asked += 1
        super().do_GET()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        logging.getLogger(__name__).debug(format, *args)


@dataclass(frozen=True)
class Served:
    """A site whose boundary and reference lie behind a secret."""

    site: Site
    url: str

    @property
    def asked(self) -> int:
        return _Files.asked

    def configure(self, **changes: Any) -> None:
        settings: dict[str, Any] = {
            "aoi": {"boundary": f"{self.url}/area.geojson?token=${{LC_TEST_SECRET}}"},
            "reference": {"path": f"{self.url}/reference.geojson?token=${{LC_TEST_SECRET}}"},
        }
        for name, change in changes.items():
            both = isinstance(change, dict) and name in settings
            settings[name] = {**settings[name], **change} if both else change
        self.site.configure(**settings)

    def lc(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lc_platform", command, "-c", self.site.folder / "lc.yaml"],
            capture_output=True,
            text=True,
            check=False,
        )

    def telling(self, ended: subprocess.CompletedProcess[str]) -> list[str]:
        """Where the secret stands."""
        named = [n for n in ("stdout", "stderr") if SECRET in getattr(ended, n)]
        for path in self.site.folder.rglob("*"):
            if SECRET in path.name or (path.is_file() and SECRET.encode() in path.read_bytes()):
                named.append(str(path.relative_to(self.site.folder)))
        return named


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.delenv(run.HOME_VARIABLE, raising=False)
    monkeypatch.setenv("LC_TEST_SECRET", SECRET)
    folder, public = tmp_path / "site", tmp_path / "public"
    folder.mkdir()
    public.mkdir()
    made = site(folder, patches=2)
    for source, name in (("area.gpkg", "area"), ("reference.gpkg", "reference")):
        table = geopandas.read_file(made.folder / source).to_crs(4326)
        table.to_file(public / f"{name}.geojson", driver="GeoJSON")
    (public / "damaged.geojson").write_text('{"type": "FeatureCollection", "features": [')
    _Files.asked = 0
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Files, directory=str(public))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        there = Served(made, f"http://127.0.0.1:{server.server_port}")
        there.configure()
        yield there
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _filled(change: dict[str, Any], server: str) -> dict[str, Any]:
    return {
        name: _filled(value, server) if isinstance(value, dict) else value.format(server=server)
        for name, value in change.items()
    }


def _is_pickle(content: bytes) -> bool:
    """Whether ``pickle.load`` would take it, which reads to the first STOP; nothing is run."""
    depth = 0
    try:
        for opcode, _, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return depth > 0
            depth += opcode.name != "PROTO"
    except Exception:
        return False
    return False


def test_an_error_that_cannot_be_changed_ends_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    class FixedError(Exception):
        @property
        def args(self) -> tuple[str]:  # type: ignore[override]
            return ("https://example.org?key=swordfish",)

        def __str__(self) -> str:
            return self.args[0]

    monkeypatch.setenv("LC_TEST_TOKEN", "swordfish")
    redaction.read("LC_TEST_TOKEN")
    outer = ValueError("cannot read https://example.org?key=swordfish")
    outer.__cause__ = FixedError()
    redaction.conceal(outer)
    assert "swordfish" not in str(outer)
    assert outer.__cause__ is None
    alone = FixedError()
    redaction.conceal(alone)  # nothing to end
