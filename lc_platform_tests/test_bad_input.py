"""Bad input, met by a whole run: it is named, one failure is one patch, nothing is half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import geopandas
import numpy as np
import pytest
import shapely

from lc_platform import config
from lc_platform.commands import run as running
from lc_platform.commands.run import Report
from lc_platform_tests.sites import (
    CLEAR,
    CLOUD,
    DATES,
    SHAPE,
    SIDE,
    Site,
    half_written,
    metres,
    names,
    site,
)
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    footprint,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _own_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)


# One run of six patches, four of which have something wrong


@dataclass
class Finished:
    site: Site
    status: int
    out: str
    err: str
    patches: list[str]
    """Of the first row from the west, then of the second."""


UNSEEN, CLOUDY, MISSING, TRUNCATED, FIRST_GOOD, SECOND_GOOD = range(6)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The command line on a site with a patch never seen, one always cloudy, one with a missing
    file, one with a truncated file, and two in which nothing is wrong."""
    made = site(tmp_path_factory.mktemp("spoilt"), (), patches=6)
    scl = np.full(SHAPE, CLEAR, np.uint8)
    scl[:SIDE, SIDE : 2 * SIDE] = CLOUD
    seen = shapely.box(*metres(0, 0, 3, 2)) - shapely.box(*metres(-1, -1, 2.03, 2.03))
    corner = shapely.box(*metres(1.03, 0, 2, 1))
    ring = shapely.geometry.mapping(
        geopandas.GeoSeries([seen | corner], crs="EPSG:32633").to_crs("EPSG:4326").iloc[0]
    )
    for day in DATES:
        made.acquire(day, ring, scl)
    inner = (0.2, 0.2, 0.6, 0.6)
    third, fourth = (metres(c + inner[0], r + inner[1], *inner[2:]) for c, r in ((2, 0), (0, 1)))
    made.acquire("2021-06-06", footprint(*third))
    made.file("2021-06-06", "B04").unlink()
    made.acquire("2021-07-07", footprint(*fourth))
    file = made.file("2021-07-07", "B08")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    environment = {k: v for k, v in os.environ.items() if k != running.HOME_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-m", "lc_platform", "run", "-c", str(made.folder / "lc.yaml")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    patches = sorted(geopandas.read_parquet(made.store / "patch_grid.parquet")["key"])
    return Finished(made, done.returncode, done.stdout, done.stderr, patches)


def test_a_run_in_which_patches_fail_exits_with_1_and_counts_them(spoilt: Finished) -> None:
    assert spoilt.status == 1
    assert len(spoilt.patches) == 6
    assert ", 4 failed." in spoilt.out
    assert "Traceback" not in spoilt.err


def test_a_patch_without_an_acquisition_says_so(spoilt: Finished) -> None:
    key = spoilt.patches[UNSEEN]
    assert (
        f"patch {key}, 2021: no acquisition between 2021-01-01 and 2021-12-31 in {COLLECTION}. "
        "Check years, imagery.collection and the area (aoi): the patch lies at 45.1" in spoilt.err
    )
    assert key not in names(spoilt.site.store, "raw_bands")


def test_a_patch_that_is_always_cloudy_says_so_and_keeps_what_it_had(spoilt: Finished) -> None:
    key = spoilt.patches[CLOUDY]
    assert (
        f"patch {key}, 2021: none of 4 acquisitions has a valid pixel of the patch: all of it is "
        "masked or without data in each. Raise imagery.max_cloud_cover" in spoilt.err
    )
    for asset in ("raw_bands", "cloud_masks", "observation_stats"):
        assert key in names(spoilt.site.store, asset)
    assert key not in names(spoilt.site.store, "features")


def test_a_listed_file_that_is_not_there_is_named_with_its_acquisition(spoilt: Finished) -> None:
    key = spoilt.patches[MISSING]
    file = spoilt.site.file("2021-06-06", "B04")
    (line,) = [line for line in spoilt.err.splitlines() if str(file) in line]
    assert "acquisition 20210606T100000_sentinel-2a" in line
    assert "band B04" in line
    assert key not in names(spoilt.site.store, "raw_bands")


def test_a_truncated_file_is_named_with_its_acquisition(spoilt: Finished) -> None:
    key = spoilt.patches[TRUNCATED]
    file = spoilt.site.file("2021-07-07", "B08")
    (line,) = [line for line in spoilt.err.splitlines() if str(file) in line]
    assert "acquisition 20210707T100000_sentinel-2a" in line
    assert "band B08" in line
    assert key not in names(spoilt.site.store, "raw_bands")


def test_the_other_patches_are_finished_and_mapped(spoilt: Finished) -> None:
    good = {spoilt.patches[FIRST_GOOD], spoilt.patches[SECOND_GOOD]}
    for asset in ("features", "training_samples", "predictions"):
        assert names(spoilt.site.store, asset) == good
    assert (spoilt.site.store / "evaluation/2021/metrics.json").is_file()
    assert (spoilt.site.store / "mosaic/2021/land_cover.tif").is_file()


def test_patches_that_the_map_is_without_are_named_at_the_end_and_beside_the_model(
    spoilt: Finished,
) -> None:
    absent = sorted(spoilt.patches[i] for i in (UNSEEN, CLOUDY, MISSING, TRUNCATED))
    assert spoilt.err.splitlines()[-1] == f"2021: not in the map: {', '.join(absent)}"
    for file in ("model/2021/model_card.json", "evaluation/2021/metrics.json"):
        told = json.loads((spoilt.site.store / file).read_text(encoding="utf-8"))
        assert told["missing_patches"] == absent


def test_nothing_is_half_written(spoilt: Finished) -> None:
    assert half_written(spoilt.site.store) == []


# What stops a whole run


def only_failure(report: Report) -> str:
    """Why a run failed, where it is the same in all its places."""
    assert not report.succeeded
    (why,) = {why for _, _, why in report.failures}
    return why


def test_a_catalog_that_is_not_there_is_named(tmp_path: Path) -> None:
    made = site(tmp_path)
    (tmp_path / "archive/catalog.json").unlink()
    why = only_failure(made.run(select=["patch_grid", "raw_bands"]))
    assert f"imagery.catalog: {tmp_path}/archive/catalog.json is not there. Give the path" in why
    assert half_written(made.store) == []
    assert names(made.store, "raw_bands") == set()


def test_a_catalog_that_is_not_stac_is_named(tmp_path: Path) -> None:
    made = site(tmp_path)
    (tmp_path / "archive/catalog.json").write_text('{"type": "FeatureCollection"}')
    why = only_failure(made.run(select=["patch_grid", "raw_bands"]))
    assert "catalog.json is JSON but not STAC (it has no stac_version). Give the path or" in why


def test_a_band_that_the_archive_lacks_is_named_with_those_it_has(tmp_path: Path) -> None:
    made = site(tmp_path)
    made.configure(imagery={"bands": ["B04", "B08", "B11"]})
    why = only_failure(made.run(select=["patch_grid", "raw_bands"]))
    assert "acquisition 20210201T100000_sentinel-2a: the archive has no band B11" in why
    assert "It has: B03, B04, B08, SCL" in why
    assert half_written(made.store) == []
    assert names(made.store, "raw_bands") == set()


@pytest.mark.proof
def test_a_year_without_acquisitions_stops_no_other_year(tmp_path: Path) -> None:
    made = site(tmp_path, patches=2)
    made.configure(years=[2020, 2021])
    report = made.run()
    assert not report.succeeded
    assert len(report.failures) == 2
    for _, place, why in report.failures:
        assert place.year == 2020
        assert f"patch {place.patch}, 2020: no acquisition between 2020-01-01 and 2020-12" in why
    assert (made.store / "mosaic/2021/land_cover.tif").is_file()
    assert half_written(made.store) == []


def test_a_reference_without_polygons_in_any_patch_is_told_before_anything_is_acquired(
    tmp_path: Path,
) -> None:
    made = site(tmp_path, patches=2)
    made.label([shapely.box(*metres(100, 100))], [10])
    report = made.run()
    assert report.failures == []
    assert report.stopped is not None
    assert "has no label of any class on any of the 2 patches of the area" in report.stopped
    assert names(made.store, "raw_bands") == set()
    assert names(made.store, "model", None) == set()
    assert half_written(made.store) == []


def test_a_reference_of_one_class_is_told(tmp_path: Path) -> None:
    made = site(tmp_path, patches=2)
    made.label([shapely.box(*metres(0, 0, 3, 2))], [10])
    report = made.run()
    assert report.stopped is not None
    assert "all labels on the area are of one class (bare); at least two are" in report.stopped
    assert half_written(made.store) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"attribute": "sort"}, "has no attribute sort. Name one that it has: kind"),
        ({"path": "nowhere.gpkg"}, "nowhere.gpkg is not there. Give the reference map's file"),
        (
            {"classes": [{"id": 1, "name": "bare", "color": "#aa8844", "values": [10]}]},
            "has 6 features with values that no class has: kind 20. Add them to a class's values, "
            "or to reference.ignore",
        ),
    ],
    ids=["without the attribute", "missing", "unknown values"],
)
def test_a_reference_that_cannot_be_used_is_told_before_anything_is_acquired(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    made = site(tmp_path, DATES[:1])
    made.configure(reference=change)
    report = made.run()
    assert report.stopped == "there is no patch grid"
    why = only_failure(report)
    assert "reference." in why
    assert expected in why
    assert not made.store.exists() or half_written(made.store) == []
    assert not list(made.store.glob("raw_bands/*"))


def boundary(made: Site, shape: shapely.Polygon, crs: str | None = "EPSG:32633") -> None:
    # A shapefile, because a GeoPackage without a CRS is given an undefined one.
    table = geopandas.GeoDataFrame({"a": [1]}, geometry=[shape], crs=crs)
    table.to_file(made.folder / "area.shp")
    made.configure(aoi={"boundary": "area.shp"})


def test_a_boundary_without_a_crs_is_refused_by_name(tmp_path: Path) -> None:
    made = site(tmp_path, DATES[:1])
    boundary(made, shapely.box(*metres(0, 0)), None)
    report = made.run(select=["patch_grid"])
    assert report.stopped == "there is no patch grid"
    why = only_failure(report)
    assert "aoi.boundary: " in why
    assert "area.shp" in why
    assert "has no coordinate reference system. Set it in the file" in why


def test_a_boundary_that_crosses_itself_is_repaired_and_the_grid_says_so(tmp_path: Path) -> None:
    made = site(tmp_path, DATES[:1])
    west, south, east, north = metres(0, 0, 3, 2)
    boundary(made, shapely.Polygon([(west, south), (east, north), (east, south), (west, north)]))
    report = made.run(select=["patch_grid"])
    assert report.succeeded
    settings = config.load(made.folder / "lc.yaml")
    with dg.DagsterInstance.from_config(str(running.dagster_home(settings))) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("patch_grid"))
    assert event is not None
    assert event.asset_materialization is not None
    notes = str(event.asset_materialization.metadata["notes"].value)
    assert "area.shp" in notes
    assert "repaired" in notes
