"""Bad input, met by a whole run: it is named, one failure is one patch, nothing is half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import geopandas
import numpy as np
import pytest
import shapely
import yaml
from numpy.typing import NDArray

from lc_platform import config
from lc_platform.artefacts.layout import RECORDS
from lc_platform.commands import run as running
from lc_platform.commands.run import Report
from lc_platform_tests.sources.stac.test_archive import (
    COLLECTION,
    ORIGIN,
    band,
    footprint,
    item,
    write_catalog,
    write_tiff,
)

SIDE = 16
"""Pixels of a patch's side; the area is 3 columns x 2 rows of patches."""
SHAPE = (2 * SIDE, 3 * SIDE)
DATES = ("2021-02-01", "2021-05-01", "2021-08-01", "2021-11-01")
CLEAR, CLOUD = 4, 9


@pytest.fixture(autouse=True)
def _own_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)


def metres(column: float, row: float, columns: float = 1, rows: float = 1) -> tuple[float, ...]:
    """(west, south, east, north) of patches, by the upper left one's column and row."""
    size = 10 * SIDE
    west, north = ORIGIN[0] + column * size, ORIGIN[1] - row * size
    return west, north - rows * size, west + columns * size, north


EVERYWHERE = footprint(*metres(0, 0, 3, 2))


@dataclass
class Site:
    """A small archive of surface reflectance, a reference and a configuration in a folder."""

    folder: Path
    items: list[dict[str, Any]]

    def acquire(self, day: str, geometry: Any = EVERYWHERE, scl: Any = CLEAR) -> dict[str, Any]:
        """An acquisition over the whole site; the western half of a patch is bare ground."""
        bare = (np.arange(SHAPE[1]) % SIDE < SIDE // 2) & np.ones(SHAPE, np.bool_)
        noise = np.random.default_rng(len(self.items)).integers(0, 90, SHAPE)
        numbers: dict[str, NDArray[Any]] = {
            "B03": 900 + noise,
            "B04": np.where(bare, 2000, 400) + noise,
            "B08": np.where(bare, 2300, 3500) + noise,
        }
        name = f"S2A_{day}"
        assets = {}
        for key, values in numbers.items():
            write_tiff(self.folder / "archive" / name / f"{key}.tif", values.astype(np.uint16))
            assets[key] = band(f"./{name}/{key}.tif", key)
        scene = np.broadcast_to(np.asarray(scl, np.uint8), SHAPE)
        write_tiff(self.folder / "archive" / name / "SCL.tif", scene)
        assets["SCL"] = {"href": f"./{name}/SCL.tif", "type": "image/tiff"}
        self.items.append(item(name, f"{day}T10:00:00Z", assets, geometry))
        self.configure()
        return self.items[-1]

    def file(self, day: str, key: str) -> Path:
        return self.folder / "archive" / f"S2A_{day}" / f"{key}.tif"

    def label(self, shapes: list[shapely.Polygon], kinds: list[Any]) -> None:
        table = geopandas.GeoDataFrame({"kind": kinds}, geometry=shapes, crs="EPSG:32633")
        table.to_file(self.folder / "reference.gpkg")

    def configure(self, **changes: Any) -> Path:
        write_catalog(self.folder / "archive", self.items)
        settings: dict[str, Any] = {
            "name": "site",
            "storage": "./store",
            "years": [2021],
            "aoi": {"boundary": "area.gpkg", "crs": "EPSG:32633", "patch_size": 10 * SIDE},
            "imagery": {
                "source": "stac",
                "catalog": "archive/catalog.json",
                "collection": COLLECTION,
                "bands": ["B03", "B04", "B08"],
            },
            "clouds": {"method": "scl"},
            "reference": {
                "path": "reference.gpkg",
                "attribute": "kind",
                "classes": [
                    {"id": 1, "name": "bare", "color": "#aa8844", "values": [10]},
                    {"id": 2, "name": "green", "color": "#22aa44", "values": [20]},
                ],
            },
            "features": {"indices": ["NDVI"], "interval": 90},
            "sampling": {"erosion": 0, "test_fraction": 0.4},
            "model": {"num_iterations": 3, "min_data_in_leaf": 5},
        }
        for section, change in changes.items():
            both = isinstance(change, dict) and section in settings
            settings[section] = {**settings[section], **change} if both else change
        file = self.folder / "lc.yaml"
        file.write_text(yaml.safe_dump(settings, sort_keys=False))
        return file

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self, **asked: Any) -> Report:
        def unseen(_: str, __: int, outcomes: Iterable[Any]) -> Iterator[Any]:
            return iter(outcomes)

        return running.run(config.load(self.folder / "lc.yaml"), unseen, **asked)


def site(folder: Path, days: tuple[str, ...] = DATES, patches: int = 1) -> Site:
    """A site whose area is the first of its patches, or all six."""
    made = Site(folder, [])
    parts = metres(0, 0, 3, 2) if patches == 6 else metres(0, 0, patches)
    area = geopandas.GeoDataFrame(geometry=[shapely.box(*parts)], crs="EPSG:32633")
    area.to_file(folder / "area.gpkg")
    halves = [(column / 2, row) for column in range(6) for row in range(2)]
    made.label(
        [shapely.box(*metres(column, row, 0.5)) for column, row in halves],
        [10 if column % 1 == 0 else 20 for column, _ in halves],
    )
    for day in days:
        made.acquire(day)
    return made


def half_written(store: Path) -> list[str]:
    """What is in a store and is neither a visible artefact, nor what a visible one points to, nor
    acquisitions that came before one that failed, which the next run takes over."""
    found = []
    pointed = {link.resolve() for link in store.rglob("*") if link.is_symlink()}
    pointed |= {marks.parent for marks in store.glob("raw_bands/*/.*/.marks")}
    for path in store.rglob("*"):
        if path.is_symlink() and not path.exists():
            found.append(f"{path} points to nothing")
        within = [p for p in (path, *path.parents) if store in p.parents]
        if path.name.startswith(".") and not path.is_symlink() and path.name != RECORDS:
            inside = any(path == p or path in p.parents or p in path.parents for p in pointed)
            if not inside:
                found.append(f"{path} is hidden and nothing points to it")
        elif not any(p.name.startswith(".") for p in within) and ".tmp" in path.name:
            found.append(f"{path} is a temporary file")
    return found


def names(store: Path, asset: str, year: int | None = 2021) -> set[str]:
    """Patches that an asset is there for."""
    folder = store / asset / str(year) if year else store / asset
    return {p.name.partition(".")[0] for p in folder.glob("[!.]*")} if folder.is_dir() else set()


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
        timeout=240,
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
        f"patch {key}, 2021: none of 4 acquisitions shows at least 80% of the patch" in spoilt.err
    )
    assert "Lower features.min_valid_fraction, raise imagery.max_cloud_cover, or" in spoilt.err
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
