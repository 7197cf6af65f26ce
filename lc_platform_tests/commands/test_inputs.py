"""`check` finds what would stop a run, and `run` refuses before it acquires."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import lightgbm
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from pyproj import Transformer
from rasterio.transform import from_bounds

from lc_platform import cli, config
from lc_platform.commands import run as running
from lc_platform.commands.instance import HOME_VARIABLE
from lc_platform_tests.sites import DATES, Site, metres, site
from lc_platform_tests.sources.stac.catalogs import write_tiff

pytestmark = pytest.mark.slow


class Ended(NamedTuple):
    status: int
    out: str
    err: str


Check = Callable[[Site], Ended]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """`lc-platform check` on a site, in this process."""
    monkeypatch.delenv(HOME_VARIABLE, raising=False)

    def command(made: Site) -> Ended:
        monkeypatch.setattr(
            sys, "argv", ["lc-platform", "check", "-c", str(made.folder / "lc.yaml")]
        )
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Ended(status, said.out, said.err)

    return command


@pytest.fixture
def made(tmp_path: Path) -> Site:
    """Two patches with two classes, and four acquisitions."""
    return site(tmp_path, patches=2)


def classes(*values: list[Any]) -> dict[str, Any]:
    names = ("bare", "green", "water")
    return {
        "classes": [
            {"id": i, "name": names[i - 1], "values": given} for i, given in enumerate(values, 1)
        ]
    }


def test_a_site_that_is_ready_is_told_with_its_patches_labels_and_acquisitions(
    check: Check, made: Site
) -> None:
    ended = check(made)
    assert ended.status == 0, ended.err
    assert ended.err == ""
    lines = ended.out.splitlines()
    told = [line for line in lines if "patches" in line]  # beside what is being done, if it is slow
    assert told[:2] == [
        "2 patches in EPSG:32633; the map ends at the area",
        "labels on 2 patches: bare on 2, green on 2",
    ]
    assert re.fullmatch(r"4 acquisitions of 2021 on patch 33N-\S+", lines[2])
    assert lines[3] == f"site: ready, {made.store}"


def refused(check: Check, made: Site) -> str:
    """The one problem that a check finds."""
    ended = check(made)
    assert ended.status == 1
    (problem,) = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert ended.out.splitlines()[-1] == "site: not ready, 1 error"
    assert not (made.store / "raw_bands").exists()
    return problem


def test_layers_are_told_with_what_they_cover_and_one_that_is_not_there_is_refused(
    check: Check, made: Site
) -> None:
    west, _, _, north = metres(0, 0, 2)
    write_tiff(made.folder / "dem.tif", np.zeros((16, 16), np.int16), origin=(west, north))
    layer = {"name": "elevation", "path": "dem.tif", "terrain": ["slope"]}
    made.configure(features={"layers": [layer]})
    ended = check(made)
    assert ended.status == 0
    assert (
        "layer elevation: 2 features of dem.tif (int16, bilinear), which covers 50% of the area"
        in ended.out
    )
    assert "features.layers[0]: dem.tif covers 50% of the area; elsewhere elevation is" in ended.err
    made.configure(features={"layers": [{**layer, "path": "dem_{year}.tif"}]})
    assert "features.layers[0].path: dem_2021.tif is not there (for 2021)" in refused(check, made)


def test_ranges_of_a_raster_are_there_and_its_values_of_no_class_are_told(
    check: Check, made: Site
) -> None:
    west, south, east, north = metres(0, 0, 2)
    values = np.full((4, 4), 7, np.uint8)
    values[2:], values[:, 3] = 25, 26
    with rasterio.open(
        made.folder / "r.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8",
        crs="EPSG:32633", transform=from_bounds(west, south, east, north, 4, 4),
    ) as file:  # fmt: skip
        file.write(values, 1)
    wide = {"path": "r.tif", **classes(["0-10", "90-99"], ["20-25"])}
    made.configure(reference={**wide, "ignore": [26]})
    ended = check(made)
    assert (ended.status, ended.err) == (0, "")
    made.configure(reference=wide)
    warnings = check(made).err
    assert "r.tif has values that no class has: 26 (4 pixels). A patch on which" in warnings
    assert "nowhere" not in warnings


def test_labels_of_one_class_are_refused_by_check_and_by_run_before_anything_is_acquired(
    check: Check, made: Site
) -> None:
    made.label([shapely.box(*metres(0, 0, 3, 2))], [10])
    expected = "all labels on the area are of one class (bare); at least two are needed"
    assert expected in refused(check, made)
    report = made.run()
    assert report.stopped is not None
    assert expected in report.stopped
    assert not (made.store / "raw_bands").exists()


def test_labels_on_one_patch_alone_are_refused(check: Check, made: Site) -> None:
    made.label([shapely.box(*metres(0, 0, 0.5)), shapely.box(*metres(0.5, 0, 0.4))], [10, 20])
    problem = refused(check, made)
    assert re.search(r"has labels on patch 33N-\S+ alone, of 2 patches", problem)
    assert "aoi.patch_size" in problem
    report = made.run()
    assert report.stopped is not None
    assert "alone, of 2 patches" in report.stopped
    assert not (made.store / "raw_bands").exists()


def test_a_reference_that_lies_elsewhere_is_refused(check: Check, made: Site) -> None:
    made.label([shapely.box(*metres(100, 100)), shapely.box(*metres(101, 100))], [10, 20])
    assert "has no label of any class on any of the 2 patches of the area" in refused(check, made)
    report = made.run()
    assert report.stopped is not None
    assert "has no label of any class" in report.stopped
    assert not (made.store / "raw_bands").exists()


def degrees(*box: float) -> list[float]:
    there = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    return [round(edge, 5) for edge in there.transform_bounds(*box)]


@pytest.mark.parametrize("crs", ["utm", "EPSG:32633"])
def test_a_box_with_latitude_and_longitude_swapped_is_asked_about(
    check: Check, made: Site, crs: str
) -> None:
    west, south, east, north = degrees(*metres(0, 0, 2))
    made.configure(aoi={"boundary": None, "bbox": [south, west, north, east], "crs": crs})
    ended = check(made)
    assert ended.status == 1
    assert "Are latitude and longitude of aoi.bbox swapped? Then write [" in ended.err
    assert f"{west:g}, {south:g}" in ended.err
    made.configure(aoi={"boundary": None, "bbox": [west, south, east, north], "crs": crs})
    assert "swapped" not in check(made).err


def test_a_box_with_a_latitude_beyond_the_poles_is_asked_about(check: Check, made: Site) -> None:
    made.configure(aoi={"boundary": None, "bbox": [45.1, 114.2, 45.2, 114.3]})
    ended = check(made)
    assert "south 114.2 is outside -90 to 90" in ended.err
    assert "Are latitude and longitude swapped?" in ended.err


@pytest.mark.parametrize(
    ("value", "there", "hint"),
    [
        ("forrest", "forest", "Did you mean 'forest'?"),
        ("Forest", "forest", "Did you mean 'forest'?"),
        ("wetlands", "wetland", "Did you mean 'wetland'?"),
    ],
)
def test_a_class_value_that_the_reference_has_not_gets_the_nearest_that_it_has(
    check: Check, made: Site, value: str, there: str, hint: str
) -> None:
    halves = [(column / 2, 0) for column in range(4)]
    kinds = ["bare" if column % 1 == 0 else there for column, _ in halves]
    made.label([shapely.box(*metres(column, row, 0.5)) for column, row in halves], kinds)
    made.configure(reference=classes(["bare"], [there], [value]))
    ended = check(made)
    assert ended.status == 0, ended.err
    assert f"{value!r} of class " in ended.err
    assert "is nowhere in reference.gpkg" in ended.err
    assert hint in ended.err


def test_values_that_no_class_takes_are_refused_quoted(check: Check, made: Site) -> None:
    made.configure(reference=classes([10]))
    problem = refused(check, made)
    assert "values that no class has: kind 20" in problem


def test_a_class_without_a_label_on_any_patch_is_told(check: Check, made: Site) -> None:
    shapes = [shapely.box(*metres(c / 2, 0, 0.5)) for c in range(4)]
    far = shapely.box(*metres(90, 90))
    made.label([*shapes, far], [10, 20, 10, 20, 30])
    made.configure(reference=classes([10], [20], [30]))
    ended = check(made)
    assert ended.status == 0, ended.err
    assert "no patch has a label of water, so the map will not have it" in ended.err


def test_a_band_that_the_archive_has_not_is_found(check: Check, made: Site) -> None:
    made.configure(imagery={"bands": ["B03", "B04", "B08", "B11"]})
    assert "the archive has no band B11" in refused(check, made)


def test_a_catalog_that_is_not_there_is_found(check: Check, made: Site) -> None:
    made.configure(imagery={"catalog": "elsewhere/catalog.json"})
    assert "elsewhere/catalog.json" in refused(check, made)


def test_a_year_of_which_there_is_nothing_is_told(check: Check, made: Site) -> None:
    made.configure(years=[2020, 2021])
    ended = check(made)
    assert ended.status == 0
    assert re.search(r"warning: patch 33N-\S+, 2020: .*no acquisition", ended.err)
    assert "4 acquisitions of 2021" in ended.out


@pytest.mark.parametrize(
    ("file", "key"), [("area.gpkg", "aoi.boundary"), ("reference.gpkg", "reference.path")]
)
def test_a_file_that_is_not_there_is_found_with_its_key(
    check: Check, made: Site, file: str, key: str
) -> None:
    (made.folder / file).unlink()
    problem = refused(check, made)
    assert key in problem
    assert file in problem


def test_all_problems_are_told_at_once(check: Check, made: Site) -> None:
    made.configure(reference=classes([10]), imagery={"bands": ["B03", "B11"]})
    ended = check(made)
    assert len([line for line in ended.err.splitlines() if line.startswith("error: ")]) == 2
    assert ended.out.splitlines()[-1] == "site: not ready, 2 errors"


def test_an_error_of_the_configuration_is_told_before_the_platform_is_imported(
    check: Check, made: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that it takes no longer than in `run`: imports take seconds.
    made.configure(years=[1066])
    for name in ("lc_platform.commands.inputs", "lc_platform.commands.run"):
        monkeypatch.setitem(sys.modules, name, None)
    ended = check(made)
    assert ended.status == 1
    assert "1066 is below 1972" in ended.err


def test_a_year_with_one_patch_of_two_that_is_labelled_by_chance_is_no_problem(
    check: Check, tmp_path: Path
) -> None:
    made = site(tmp_path, DATES[:1], patches=6)
    made.label(
        [shapely.box(*metres(c / 2, 0, 0.5)) for c in range(4)],
        [10, 20, 10, 20],
    )
    ended = check(made)
    assert ended.status == 0, ended.err
    assert "labels on 2 patches" in ended.out


def test_the_boundary_is_told_of_where_it_was_repaired(check: Check, made: Site) -> None:
    west, south, east, north = metres(0, 0, 2)
    bow = shapely.Polygon([(west, south), (east, north), (east, south), (west, north)])
    geopandas.GeoDataFrame(geometry=[bow], crs="EPSG:32633").to_file(made.folder / "area.gpkg")
    assert "crosses itself" in check(made).err or "repaired" in check(made).err


@pytest.mark.parametrize(
    ("there", "value", "hint"),
    [
        ("forest", "forrest", "'forest' differs from 'forrest' of class green by a few letters"),
        (
            "forest ",
            "forest",
            "'forest ' differs from 'forest' of class green only by blanks at it",
        ),
        ("K\u00e4rnten", "Ka\u0308rnten", "of class green only by how its letters are composed in"),
    ],
)
def test_a_value_that_no_class_takes_is_quoted_and_told_with_the_class_that_may_mean_it(
    check: Check, made: Site, there: str, value: str, hint: str
) -> None:
    halves = [(column / 2, 0) for column in range(4)]
    kinds = ["bare" if column % 1 == 0 else there for column, _ in halves]
    made.label([shapely.box(*metres(column, row, 0.5)) for column, row in halves], kinds)
    made.configure(reference=classes(["bare"], [value]))
    problem = refused(check, made)
    assert f"values that no class has: kind {there!r}." in problem
    assert hint in problem


def test_an_account_that_is_not_there_is_found(
    check: Check, made: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SH_CLIENT_ID", "SH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    made.configure(
        imagery={
            "source": "sentinel_hub",
            "catalog": None,
            "collection": "sentinel-2-l2a",
            "profile": "nobody-has-this",
        }
    )
    problem = refused(check, made)
    assert "imagery.profile" in problem
    assert "nobody-has-this" in problem


def test_a_deployment_is_checked_without_its_inputs(
    check: Check, made: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A server starts though the archive does not answer.
    made.configure(imagery={"catalog": "elsewhere/catalog.json"})
    (made.folder / "reference.gpkg").unlink()
    assert check(made).status == 1
    file = str(made.folder / "lc.yaml")
    monkeypatch.setattr(sys, "argv", ["lc-platform", "check", "--deployment", "-c", file])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert capsys.readouterr().out == f"site: ready, {made.store}\n"


def test_ranges_of_a_rasters_values_are_there_where_any_of_them_is(
    check: Check, made: Site
) -> None:
    values = np.where(np.arange(96) % 16 < 8, 12, 40).astype(np.uint8) * np.ones((64, 1), np.uint8)
    write_tiff(made.folder / "reference.tif", values)
    made.configure(
        reference={
            "path": "reference.tif",
            "attribute": None,
            **classes(["0-30"], [40], ["200-210"]),
        }
    )
    ended = check(made)
    assert ended.status == 0, ended.err
    told = [line for line in ended.err.splitlines() if "nowhere in" in line]
    assert len(told) == 1
    assert "'200-210' of class water is nowhere in reference.tif" in told[0]


def test_a_value_that_the_area_has_not_beside_others_of_its_class_is_no_mistake(
    check: Check, made: Site
) -> None:
    made.configure(reference=classes([10, 11, "eleven"], [20]))
    ended = check(made)
    assert ended.status == 0
    assert ended.err == ""


def test_a_model_that_was_trained_elsewhere_is_looked_at_before_anything_is_acquired(
    check: Check, made: Site
) -> None:
    file = made.folder / "lc.yaml"
    told = yaml.safe_load(file.read_text(encoding="utf-8"))
    told["model"] = {"path": "model.txt", "card": "card.yaml"}
    file.write_text(yaml.safe_dump(told), encoding="utf-8")
    names = [f"{one}_{day:03d}" for day in (1, 91, 181, 271, 361) for one in ("B03", "B04", "B08")]

    def trained(classes: list[str], features: list[str]) -> None:
        values = np.random.default_rng(1).normal(size=(90, len(features)))
        data = lightgbm.Dataset(values, np.arange(90) % len(classes), feature_name=features)
        settings = {"objective": "multiclass", "num_class": len(classes), "verbosity": -1}
        lightgbm.train(settings, data, 2).save_model(made.folder / "model.txt")
        card = {"classes": classes, "features": features}
        (made.folder / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")

    trained(["bare", "green", "water"], names)
    said = "model.card: card.yaml: its 3 classes are not the 2 of reference.classes: it has water"
    assert said in refused(check, made)
    trained(["bare", "green"], names)
    said = ", ".join(f"NDVI_{day:03d}" for day in (1, 91, 181, 271, 361))
    assert f"model.path: model.txt: it does not read {said}, which is" in refused(check, made)
    stopped = running.run(config.load(file), lambda _stage, _total, outcomes: outcomes).stopped
    assert f"it does not read {said}" in str(stopped)
    assert not (made.store / "raw_bands").exists()
    trained(["bare", "green"], sorted([*names, *said.split(", ")]))
    assert check(made).status == 0
    (made.folder / "model.txt").unlink()
    assert "model.path: there is no file" in refused(check, made)
