"""The tutorial and the how-tos are run as they are written, on archives of a few pixels."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
import yaml

import lc_platform
from lc_platform import cli
from lc_platform.artefacts.layout import FILES
from lc_platform.config import ENVIRONMENT_VARIABLE, FILE_NAME, template
from lc_platform.reading import reader as reading
from lc_platform.report.facts import OF_ASSETS, OF_EVERY_ASSET
from lc_platform.runtime import signals
from lc_platform_tests.docs.snippets import HOW_TO, TUTORIAL, Block, blocks_of, commands_in, merged
from lc_platform_tests.sites import EVERYWHERE, SHAPE, SIDE, Site, metres
from lc_platform_tests.sources.eopatches.folders import bbox, reflectance, write
from lc_platform_tests.sources.stac.catalogs import band, item, write_catalog, write_tiff
from lc_platform_tests.stac_server import stac_server

pytestmark = [pytest.mark.slow, pytest.mark.proof]

BOX = [15.0406, 46.7295, 15.0473, 46.7312]
"""Two patches, in the first of which is the pixel that the pages ask for."""
DEMO = Path("lc-demo") / FILE_NAME
Adapt = Callable[[Path, dict[str, Any]], dict[str, Any]]


def as_written(_: Path, settings: dict[str, Any]) -> dict[str, Any]:
    return settings


class Reader:
    """Somebody who does what pages say, in one folder and one Python session."""

    def __init__(self, folder: Path, adapt: Adapt = as_written) -> None:
        self.folder = folder
        self.adapt = adapt
        """What stands in for an archive on the network, and for the reader's own files."""
        self.names: dict[str, Any] = {}
        self.done: list[str] = []

    def read(self, page: Path) -> None:
        for block in blocks_of(page):
            if block.mark == "checked":
                continue
            if block.kind == "sh":
                self._shell(block)
            elif block.kind == "python":
                exec(compile(block.code, str(block), "exec"), self.names)
            elif block.mark == "file":
                self._write(block)

    def _shell(self, block: Block) -> None:
        for words in commands_in(block.code):
            assert words[0] == "lc-platform", f"{block}: {words[0]} is not run here"
            status = command(words[1:])
            assert status == 0, f"{block}: {' '.join(words)} ends with {status}"
            self.done.append(" ".join(words[1:]))

    def _write(self, block: Block) -> None:
        file = self.folder / block.why
        settings = merged(yaml.safe_load(file.read_text("utf-8")), yaml.safe_load(block.code))
        settings = self.adapt(file, settings)
        file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def command(arguments: list[str]) -> int:
    """Run a command in this process; return its status."""
    before = sys.argv
    sys.argv = ["lc-platform", *arguments]
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.argv = before
        signals.Ended.signal = 0
    return 0


def examples() -> dict[str, str]:
    """The example of each method that the reader has for its users."""
    found = {}
    for name, member in vars(reading.Reader).items():
        function = getattr(member, "fget", None) or getattr(member, "func", None) or member
        if name.startswith("_") or name == "grid_state" or not callable(function):
            continue
        example = re.search(r"\bExample: ``(.*)``$", inspect.getdoc(function) or "", re.M)
        found[name] = example[1] if example else ""
    return found


def small_demo(folder: Path) -> None:
    """A configuration of the demo that is small, which `demo` keeps."""
    data = yaml.safe_load(template("simulated"))
    data["aoi"] = {"bbox": BOX, "crs": "EPSG:32633", "patch_size": 320}
    data["imagery"]["max_cloud_cover"] = 12
    data["clouds"]["resolution"] = 40
    data["features"]["interval"] = 60
    data["validation"] = {"folds": 2}
    data["model"] = {"method": "lightgbm", "num_iterations": 5, "min_data_in_leaf": 5}
    data["processing"] = {"threads": 1}
    (folder / DEMO).parent.mkdir(parents=True)
    (folder / DEMO).write_text(yaml.safe_dump(data), encoding="utf-8")


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv(ENVIRONMENT_VARIABLE, raising=False)
        patch.delenv("DAGSTER_HOME", raising=False)
        patch.setenv("MPLBACKEND", "agg")
        patch.setenv("SLACK_WEBHOOK", "https://hooks.example.org/1")
        yield


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Who has read the first page of the tutorial; its store is made once."""
    folder = tmp_path_factory.mktemp("reader")
    small_demo(folder)
    reader = Reader(folder)
    with working_in(folder):
        reader.read(TUTORIAL / "1-demo.md")
        yield reader


def test_the_demo_makes_a_map_as_the_tutorial_says(demo: Reader) -> None:
    assert demo.done[0] == "demo"
    assert set(np.unique(demo.names["land_cover"])) - {0}
    assert 0 <= demo.names["demo"].metrics(2023)["overall_accuracy"] <= 1


def test_metadata_and_files_are_those_that_the_reference_names(demo: Reader) -> None:
    store = demo.folder / "lc-demo" / "data"
    for record in (store / ".records").glob("*/**/*.json"):
        content = json.loads(record.read_text("utf-8"))
        if "shown" not in content:
            continue  # what the deployment has of itself
        asset, told = content["asset"], content["shown"].get("facts", {})
        of = [*OF_ASSETS[asset], *OF_EVERY_ASSET]
        patterns = "|".join(re.sub(r"\{\w+\}", r"[\\w-]+", name) for name in of)
        assert [name for name in told if not re.fullmatch(patterns, name)] == [], asset
    files = [re.sub(r"\\\{\w+\\\}", r"[\\w./-]+", re.escape(path)) for path in FILES]
    for path in (p.relative_to(store) for p in store.rglob("*") if p.is_file()):
        hidden = any(part.startswith(".") for part in path.parts)
        inside = any(part.endswith(".zarr") for part in path.parts)
        assert hidden or inside or re.fullmatch("|".join(files), str(path)), path


def test_areas_come_of_the_points_as_the_tutorial_says(demo: Reader) -> None:
    demo.read(TUTORIAL / "4-areas.md")
    areas = demo.names["areas"]
    assert areas.filter(like="hectares").sum().gt(0).any()
    assert (demo.names["sample"]["reference"] != "").any()


def test_a_schedule_is_turned_on_as_the_tutorial_says(demo: Reader) -> None:
    demo.read(TUTORIAL / "5-schedule.md")
    settings = yaml.safe_load((demo.folder / DEMO).read_text("utf-8"))
    assert settings["operations"]["acquisitions"]["enabled"] is True


@pytest.mark.parametrize("page", sorted(HOW_TO.glob("*.md")), ids=lambda page: page.stem)
def test_a_how_to_does_what_it_says(demo: Reader, page: Path) -> None:
    if page.stem == "from-eo-learn":
        eopatches(demo.folder / "eopatches")
    demo.read(page)


def eopatches(folder: Path) -> None:
    """What a reader has of eo-learn: two EOPatches side by side, with clouds and a map."""
    shape = (32, 40)
    stripes = np.indices(shape)[1][..., None].astype(np.uint8) // 8 % 2 + 1
    for column in range(2):
        numbers = reflectance(column, shape, bands=6)
        cloud = np.zeros((*numbers.shape[:3], 1), np.uint8)
        place = bbox(600000 + 400 * column, shape=shape)
        features = {"data/BANDS": numbers, "mask/CLM": cloud, "mask_timeless/LULC": stripes}
        write(folder / f"eopatch_{column}", features, box=place)


def test_every_example_of_the_reader_works(demo: Reader) -> None:
    reader = lc_platform.open(demo.folder / DEMO)
    names = {"reader": reader, "patch": reader.patches.index[0]}
    for name, example in examples().items():
        assert example, f"{name} has no example"
        exec(compile(example, name, "exec"), names)


def border_and_reference(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The files that a reader has: a border, and a reference of the classes of the page."""
    folder = file.parent
    area = geopandas.GeoDataFrame(geometry=[shapely.box(*metres(0, 0, 3, 2))], crs="EPSG:32633")
    area.to_crs(4326).to_file(folder / settings["aoi"]["boundary"])
    values = [one["values"][0] for one in settings["reference"]["classes"]][:2]
    settings["reference"]["classes"] = settings["reference"]["classes"][:2]
    halves = [(column / 2, row) for column in range(6) for row in range(2)]
    table = geopandas.GeoDataFrame(
        {settings["reference"]["attribute"]: [values[int(column % 1 > 0)] for column, _ in halves]},
        geometry=[shapely.box(*metres(column, row, 0.5)) for column, row in halves],
        crs="EPSG:32633",
    )
    table.to_file(folder / settings["reference"]["path"])
    settings["aoi"]["patch_size"] = 10 * SIDE
    settings["sampling"] = {"erosion": 0}
    settings["validation"] = {"folds": 2}
    settings["model"] = {"method": "lightgbm", "num_iterations": 3, "min_data_in_leaf": 5}
    return settings


def archive(folder: Path) -> None:
    """A season of surface reflectance, in all bands that the tutorial takes."""
    items = []
    for month in (2, 4, 6, 8, 10):
        made = Site(folder, [])
        day = f"2023-{month:02d}-01"
        bare = (np.arange(SHAPE[1]) % SIDE < SIDE // 2) & np.ones(SHAPE, np.bool_)
        noise = np.random.default_rng(month).integers(0, 90, SHAPE)
        assets = {}
        for name in ("B02", "B03", "B04", "B08", "B11", "B12"):
            values = np.where(bare, 2300, 3500 if name == "B08" else 500) + noise
            write_tiff(made.file(day, name), values.astype(np.uint16))
            assets[name] = band(f"./S2A_{day}/{name}.tif", name)
        write_tiff(made.file(day, "SCL"), np.full(SHAPE, 4, np.uint8))
        assets["SCL"] = {"href": f"./S2A_{day}/SCL.tif", "type": "image/tiff"}
        items.append(item(f"S2A_{day}", f"{day}T10:00:00Z", assets, EVERYWHERE))
    write_catalog(folder / "archive", items)


def keys_of_metrics(page: Path) -> set[str]:
    """The keys of metrics.json that a page's table names."""
    table = page.read_text("utf-8").split("metrics.json`")[1].split("\n\n")[1]
    return {
        key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split(" | ")[0])
    }


def test_an_own_area_is_mapped_from_a_stac_api_as_the_tutorial_says(tmp_path: Path) -> None:
    archive(tmp_path)
    with stac_server(tmp_path / "archive") as server, working_in(tmp_path):

        def near(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
            assert settings["imagery"]["catalog"] == "earth-search"
            settings["imagery"]["catalog"] = server.api
            settings["features"]["interval"] = 60
            return border_and_reference(file, settings)

        reader = Reader(tmp_path, near)
        reader.read(TUTORIAL / "2-own-area.md")
        assert server.requests
    assert (tmp_path / "my-area-2023.html").stat().st_size > 10_000
    assert (tmp_path / "my-area/data/mosaic/2023/land_cover.tif").exists()
    metrics = lc_platform.open(tmp_path / "my-area").metrics(2023)
    assert set(metrics) >= keys_of_metrics(TUTORIAL / "2-own-area.md")


def test_sentinel_hub_is_planned_as_the_tutorial_says(tmp_path: Path) -> None:
    def own(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
        size = settings["aoi"]["patch_size"]
        settings = border_and_reference(file, settings)
        settings["aoi"]["patch_size"] = size
        return settings

    with working_in(tmp_path):
        reader = Reader(tmp_path, own)
        reader.read(TUTORIAL / "3-sentinel-hub.md")
    assert reader.done[-1].endswith("--offline")
