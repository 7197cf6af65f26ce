"""The graph's declaration: what there is, and what may import what."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus

from lc_platform import assets, config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import ASSETS, EVERY_ASSET, PATCH, Partition
from lc_platform.assets import declaration, partitions
from lc_platform.automation import backfills
from lc_platform.graph import build
from lc_platform_tests.rooms import PACKAGE, PROJECT, ROOMS

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


def unplaced(declared: Iterable[str], with_format: Iterable[str]) -> list[str]:
    """A sentence for each asset that is not declared, placed and written in one format."""
    declared, with_format = set(declared), set(with_format)
    return [
        *(
            f"asset {name} is declared and has no entry in the layout: give it a key in "
            "artefacts/layout.py"
            for name in sorted(declared - set(EVERY_ASSET))
        ),
        *(
            f"asset {name} has no format: give it one in artefacts/formats.py"
            for name in sorted(declared - set(with_format))
        ),
        *(
            f"asset {name} is in the layout and is not declared: declare it in assets/"
            for name in sorted(set(ASSETS) - declared)
        ),
    ]


def test_every_asset_is_declared_and_has_an_entry_in_the_layout_and_a_format() -> None:
    keys = of_the_demo().resolve_asset_graph().get_all_asset_keys()
    assert unplaced((key.to_user_string() for key in keys), formats()) == []


def test_an_asset_without_an_entry_in_the_layout_is_named() -> None:
    @declaration.asset(group="maps", kinds={"geotiff"}, code_version="1")
    def snow_cover() -> None:
        """An asset that nobody gave a place."""

    names = [asset.name for asset in (*assets.ALL, snow_cover)]
    assert unplaced(names, [*formats(), "snow_cover"]) == [
        "asset snow_cover is declared and has no entry in the layout: give it a key in "
        "artefacts/layout.py"
    ]
    assert unplaced(set(ASSETS) - {"mosaic"}, formats()) == [
        "asset mosaic is in the layout and is not declared: declare it in assets/"
    ]


def test_change_is_of_every_year_but_the_first_and_is_made_of_the_predictions() -> None:
    data = {**_yaml(config.template("simulated")), "years": [2019, 2020, 2022]}
    made = build(config.parse({**data, "change": {"enabled": True}}))
    graph = made.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == set(EVERY_ASSET)
    node = graph.get(dg.AssetKey("change"))
    assert node.partitions_def is not None
    assert list(node.partitions_def.get_partition_keys())[:2] == ["2020", "2022"]
    assert {key.to_user_string() for key in node.parent_keys} == {"patch_grid", "predictions"}
    mapping = node.partition_mappings[dg.AssetKey("predictions")]
    assert isinstance(mapping, dg.AllPartitionMapping)  # which the daemon knows
    (job,) = (job for job in made.resolve_all_job_defs() if job.name == "change_detection")
    assert [key.to_user_string() for key in job.asset_layer.executable_asset_keys] == ["change"]


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
        timeout=1800,
    )


LOAD = """
from lc_platform.definitions import defs
print(defs.resources["platform"].config.name, len(defs.resolve_asset_graph().get_all_asset_keys()))
"""


@pytest.mark.slow
def test_definitions_load_in_an_empty_folder_and_leave_it_empty(tmp_path: Path) -> None:
    done = run_python(LOAD, tmp_path)
    assert done.stdout.split() == ["demo", str(len(ASSETS))], done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_definitions_load_the_configuration_that_the_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = config.template("simulated").replace("name: demo", "name: mine")
    file.write_text(text, encoding="utf-8")
    done = run_python(LOAD, tmp_path, **{config.ENVIRONMENT_VARIABLE: str(file)})
    assert done.stdout.split() == ["mine", str(len(ASSETS))], done.stderr


@pytest.mark.slow
def test_dagster_accepts_the_workspace(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w",
         str(PROJECT / "workspace.yaml")],
        cwd=tmp_path,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def modules(package: Path = PACKAGE) -> list[Path]:
    return sorted(package.rglob("*.py"))


@cache
def imported(file: Path) -> frozenset[str]:
    """What a module imports, in full: ``lc_platform.cube``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            name = node.module or ""
            whole = name in ("lc_platform", "dagster")
            found |= {f"{name}.{a.name}" for a in node.names} if whole else {name}
    return frozenset(found)


def room_of(file: Path, package: Path) -> str:
    return file.relative_to(package).parts[0].removesuffix(".py")


def test_every_module_is_in_a_room() -> None:
    parts = {room_of(file, PACKAGE) for file in modules()}
    assert sorted(parts - {*ROOMS, "__init__"}) == []


def imports_from_above(room: str, package: Path = PACKAGE) -> list[str]:
    """A sentence for each import of a room that points up."""
    above = ROOMS[: ROOMS.index(room)]
    return [
        f"{file.relative_to(package)} imports {name}, which is above it: move what both need below"
        for file in modules(package)
        if room_of(file, package) == room
        for name in sorted(imported(file))
        if name.startswith("lc_platform.") and name.split(".")[1] in above
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room: str) -> None:
    assert imports_from_above(room) == []


def written(package: Path, files: Mapping[str, str]) -> Path:
    """A package of a few modules."""
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    return package


@pytest.mark.parametrize(
    "text",
    [
        "from lc_platform.products.features import build",
        "from lc_platform import products",
        "import lc_platform.products",
        "def later():\n    from lc_platform.products import features",
    ],
)
def test_an_import_that_points_up_is_named(tmp_path: Path, text: str) -> None:
    package = written(
        tmp_path,
        {"eo/snow.py": text, "products/snow.py": "from lc_platform.eo import snow", "cube.py": ""},
    )
    (told,) = imports_from_above("eo", package)
    assert re.fullmatch(
        r"eo/snow\.py imports lc_platform\.products\S*, which is above it: move .*", told
    )
    assert imports_from_above("products", package) == []


def test_no_file_is_over_600_lines() -> None:
    long = {
        str(file.relative_to(PACKAGE)): lines
        for file in modules()
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert long == {}, "a file that does two things is two files: split it by meaning"


def private_imports(package: Path = PACKAGE) -> list[str]:
    """A sentence for each import of what is private to Dagster outside its room."""
    return [
        f"{file.relative_to(package)} imports {name}: import it in assets/dagster_internals.py"
        for file in modules(package)
        if file.relative_to(package) != Path("assets/dagster_internals.py")
        for name in sorted(imported(file))
        if name.startswith("dagster") and ("._" in name or name.startswith("dagster_shared"))
    ]


def test_what_is_private_to_dagster_is_imported_in_one_room() -> None:
    assert private_imports() == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from dagster._core.remote_origin import RemoteOrigin", "dagster._core.remote_origin"),
        ("import dagster._core.events", "dagster._core.events"),
        ("from dagster import _check", "dagster._check"),
        ("from dagster_shared.serdes import serialize", "dagster_shared.serdes"),
    ],
)
def test_a_private_import_outside_its_room_is_named(tmp_path: Path, text: str, name: str) -> None:
    package = written(
        tmp_path,
        {
            "automation/ticks.py": text,
            "assets/dagster_internals.py": text,
            "a.py": "import dagster",
        },
    )
    assert private_imports(package) == [
        f"automation/ticks.py imports {name}: import it in assets/dagster_internals.py"
    ]


@pytest.mark.slow
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
DRIVERS = ("adlfs", "gcsfs", "s3fs", "aiohttp", "google", "torch")  # not installed everywhere
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


def test_the_configuration_knows_of_the_science_the_indices_and_seasons_alone() -> None:
    files = (PACKAGE / "config").glob("*.py")
    known = {name for file in files for name in imported(file) if name.startswith("lc_platform.eo")}
    assert known <= {"lc_platform.eo", "lc_platform.eo.indices", "lc_platform.eo.season"}


@pytest.mark.slow
def test_the_science_meets_neither_dagster_nor_the_platform(tmp_path: Path) -> None:
    names = [f"lc_platform.eo.{f.stem}" for f in (PACKAGE / "eo").glob("*.py")]
    done = run_python(
        f"""
import importlib, sys
for name in {sorted(names)}:
    try:
        importlib.import_module(name.removesuffix(".__init__"))
    except ModuleNotFoundError as error:
        if error.name != "torch":  # only what trains a network needs it
            raise
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
            and name.split(".")[1] not in ("catalogue", "eo", "errors", "runtime")
        )
    ]
    assert strangers == []


def test_no_test_is_imported() -> None:
    """What two modules need is in a module that is no test, also for the processes they start."""
    wrong = [
        f"{file.relative_to(PROJECT)}: {found[0]}: move what it needs to a module that is no test"
        for folder in ("lc_platform_tests", "benchmarks")
        for file in sorted((PROJECT / folder).rglob("*.py"))
        if ".peer" not in file.parts  # environments of the benchmarks' peers
        for found in re.finditer(
            r"(from|import) lc_platform_tests\b[\w.]*( import \(?\s*|\.)test_\w+",
            file.read_text(encoding="utf-8"),
        )
    ]
    assert wrong == []


def test_nothing_is_ever_pickled() -> None:
    for file in modules():
        names = {name.partition(".")[0] for name in imported(file)}
        assert not names & {"pickle", "joblib", "dill", "cloudpickle"}, file


if __name__ == "__main__":
    graph = json.dumps(described(of_the_demo()), indent=2) + "\n"
    SNAPSHOT.write_text(graph, encoding="utf-8")
