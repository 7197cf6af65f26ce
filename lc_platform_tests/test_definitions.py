"""The graph's declaration: what there is, and what may import what."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus

import lc_platform
from lc_platform import config
from lc_platform.artefacts.layout import ASSETS, PATCH, Partition
from lc_platform.assets import partitions
from lc_platform.automation import backfills
from lc_platform.graph import build

PACKAGE = Path(lc_platform.__file__).parent
PROJECT = PACKAGE.parent
SNAPSHOT = Path(__file__).parent / "graph.json"


def described(definitions: dg.Definitions) -> dict[str, Any]:
    """What users and saved queries depend on, of every asset and job."""
    graph = definitions.resolve_asset_graph()
    assets = {}
    for name in ASSETS:
        node = graph.get(dg.AssetKey(name))
        partitioned = node.partitions_def
        dimensions = (
            partitioned.partition_dimension_names
            if isinstance(partitioned, dg.MultiPartitionsDefinition)
            else [type(partitioned).__name__.removesuffix("PartitionsDefinition")]
        )
        assets[name] = {
            "description": node.description,
            "group": node.group_name,
            "depends_on": {
                parent.to_user_string(): type(mapping).__name__ if mapping else "same partition"
                for parent in sorted(node.parent_keys)
                for mapping in [node.partition_mappings.get(parent)]
            },
            "partitions": dimensions if partitioned is not None else [],
            "kinds": sorted(node.kinds),
            "owners": list(node.owners),
            "pools": sorted(node.pools or ()),
            "code_version": node.code_version,
            "checks": {
                key.name: "blocking" if graph.get(key).blocking else "telling"
                for key in sorted(node.check_keys)
            },
        }
    jobs = {
        job.name: sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
        for job in definitions.resolve_all_job_defs()
        if not job.name.startswith("__")
    }
    return {"assets": assets, "jobs": jobs}


def of_the_demo() -> dg.Definitions:
    return build(config.parse(_yaml(config.template("simulated"))))


def _yaml(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


def test_the_graph_is_the_one_written_down() -> None:
    """Where a change is meant: ``python -m lc_platform_tests.test_definitions`` writes it down."""
    assert described(of_the_demo()) == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_every_asset_of_the_storage_layout_is_in_the_graph_and_no_other() -> None:
    keys = of_the_demo().resolve_asset_graph().get_all_asset_keys()
    assert {key.to_user_string() for key in keys} == set(ASSETS)


def test_every_asset_is_in_exactly_one_job() -> None:
    jobs = described(of_the_demo())["jobs"]
    assert sorted(asset for assets in jobs.values() for asset in assets) == sorted(ASSETS)


@pytest.mark.parametrize(
    ("years", "keys"),
    [
        ([2018], ["2018"]),
        ([2017, 2020, 2021, 2024], ["2017", "2020", "2021", "2024"]),
    ],
)
def test_years_are_the_configured_ones_and_none_between(years: list[int], keys: list[str]) -> None:
    """One click on all partitions acquires no year that nobody asked for."""
    assert partitions.years(years).get_partition_keys() == keys
    every = dg.PartitionKeyRange(keys[0], keys[-1])
    assert list(partitions.years(years).get_partition_keys_in_range(every)) == keys
    with partitions.quiet():
        both = partitions.patch_years(years)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PATCH, ["a"])
        found = both.get_partition_keys(dynamic_partitions_store=instance)
    assert found == [f"a|{key}" for key in keys]


def test_patches_that_are_gone_stay_while_a_backfill_may_want_them() -> None:
    graph = of_the_demo().resolve_asset_graph()
    with dg.DagsterInstance.ephemeral() as instance:
        partitions.fill(instance, ["a", "b"])
        wanted = {"reference_rasters": {Partition("b")}}
        backfills.request(instance, graph, wanted, name="one", title="One")
        partitions.fill(instance, ["a", "c"])
        assert set(instance.get_dynamic_partitions(PATCH)) == {"a", "b", "c"}
        one = instance.get_backfill("one")
        assert one is not None
        instance.update_backfill(one.with_status(BulkActionStatus.COMPLETED_SUCCESS))
        partitions.fill(instance, ["a", "c"])
        assert set(instance.get_dynamic_partitions(PATCH)) == {"a", "c"}


def test_the_running_year_is_a_partition_before_it_is_over() -> None:
    from datetime import UTC, datetime

    this = datetime.now(UTC).year
    assert partitions.years([this - 1, this]).get_partition_keys() == [str(this - 1), str(this)]


def run_python(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != config.ENVIRONMENT_VARIABLE}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


LOAD = """
from lc_platform.definitions import defs
print(defs.resources["platform"].config.name, len(defs.resolve_asset_graph().get_all_asset_keys()))
"""


def test_definitions_load_in_an_empty_folder_and_leave_it_empty(tmp_path: Path) -> None:
    done = run_python(LOAD, tmp_path)
    assert done.stdout.split() == ["demo", str(len(ASSETS))], done.stderr
    assert list(tmp_path.iterdir()) == []


def test_definitions_load_the_configuration_that_the_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = config.template("simulated").replace("name: demo", "name: mine")
    file.write_text(text, encoding="utf-8")
    done = run_python(LOAD, tmp_path, **{config.ENVIRONMENT_VARIABLE: str(file)})
    assert done.stdout.split() == ["mine", str(len(ASSETS))], done.stderr


def test_dagster_accepts_the_workspace(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w",
         str(PROJECT / "workspace.yaml")],
        cwd=tmp_path,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(file: Path) -> set[str]:
    """What a module imports of this package, in full: ``lc_platform.cube``."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            name = node.module or ""
            found |= {f"{name}.{a.name}" for a in node.names} if name == "lc_platform" else {name}
    return {name for name in found if name.startswith("lc_platform")}


ROOMS = (
    "__main__",
    "cli",
    "definitions",
    "viewer",
    "commands",
    "graph",
    "automation",
    "monitoring",
    "assets",
    "platform",
    "acquisition",
    "report",
    "artefacts",
    "products",
    "sources",
    "storage",
    "area",
    "config",
    "eo",
    "catalogue",
    "cube",
    "logs",
    "errors",
    "runtime",
)
"""The parts of the package from the top to the bottom: each may import those below it."""


def test_every_module_is_in_a_room() -> None:
    parts = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in modules()}
    assert sorted(parts - {*ROOMS, "__init__"}) == []


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room: str) -> None:
    above = ROOMS[: ROOMS.index(room)]
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}, which is above it: move what both need below"
        for file in modules()
        if file.relative_to(PACKAGE).parts[0].removesuffix(".py") == room
        for name in sorted(imported(file))
        if name != "lc_platform" and name.split(".")[1] in above
    ]
    assert wrong == []


def test_no_file_is_over_600_lines() -> None:
    long = {
        str(file.relative_to(PACKAGE)): lines
        for file in modules()
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert long == {}, "a file that does two things is two files: split it by meaning"


def test_what_is_private_to_dagster_is_imported_in_one_room() -> None:
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}: import it in assets/dagster_internals.py"
        for file in modules()
        if file.name != "dagster_internals.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (name := node.module or "").startswith("dagster")
        if "._" in name or name.startswith("dagster_shared")
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ["eo", "products", "storage"])
def test_science_products_and_storage_need_no_dagster(room: str, tmp_path: Path) -> None:
    names = [
        ".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted((PACKAGE / room).rglob("*.py"))
    ]
    done = run_python(
        f"""
import importlib, sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dagster", "dagster_shared"):
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, NotInstalled())
DRIVERS = ("adlfs", "gcsfs", "aiohttp", "google")  # extras that are not installed everywhere
for name in {names}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in DRIVERS:
            raise
print("all imported")
""",
        tmp_path,
    )
    assert done.stdout.strip() == "all imported", done.stderr


def test_the_configuration_knows_of_the_science_the_indices_alone() -> None:
    files = (PACKAGE / "config").glob("*.py")
    known = {name for file in files for name in imported(file) if ".eo" in name}
    assert known <= {"lc_platform.eo", "lc_platform.eo.indices"}


def test_the_science_meets_neither_dagster_nor_the_platform(tmp_path: Path) -> None:
    names = [f"lc_platform.eo.{f.stem}" for f in (PACKAGE / "eo").glob("*.py")]
    done = run_python(
        f"""
import importlib, sys
for name in {sorted(names)}:
    importlib.import_module(name.removesuffix(".__init__"))
print(*sorted(sys.modules))
""",
        tmp_path,
    )
    loaded = done.stdout.split()
    assert "lc_platform.eo.clouds" in loaded, done.stderr
    strangers = [
        name
        for name in loaded
        if name.split(".")[0] in ("dagster", "pydantic", "zarr", "matplotlib", "typer")
        or (
            name.startswith("lc_platform.")
            and name.split(".")[1] not in ("eo", "errors", "runtime")
        )
    ]
    assert strangers == []


def test_nothing_is_ever_pickled() -> None:
    for file in modules():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not names & {"pickle", "joblib", "dill", "cloudpickle"}, file


if __name__ == "__main__":
    written = json.dumps(described(of_the_demo()), indent=2) + "\n"
    SNAPSHOT.write_text(written, encoding="utf-8")
