"""Folders are called what people call them: catalogs, references, boundaries and stores are found
in them, and what cannot be is refused by name."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import yaml

from lc_platform import config
from lc_platform.area import patches
from lc_platform.area.boundary import from_country
from lc_platform.area.options import SplitOptions
from lc_platform.commands import run as running
from lc_platform.commands.status import status as statuses
from lc_platform.config import Config, ConfigError
from lc_platform.platform import Platform
from lc_platform.sources.stac.archive import StacArchive
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    GRID,
    ORIGIN,
    band,
    item,
    one_acquisition,
    ramp,
    write_catalog,
    write_tiff,
)

pytestmark = pytest.mark.slow

NAMES = (
    "a blank", " at the ends ", "site #2", "#1", "what?", "what?#1", "100%", "a%20b", "%41", "[1]",
    "{x}", "(x)", "a:b", "a::b", "https:", "zip:", "a@b", "a;b", "a,b", "a=b&c+d", "it's", 'q"q',
    "~nobody", "-x", "$HOME", "a|b", "a*b", "č š ž", "日本",
)  # fmt: skip
LAND = shapely.box(ORIGIN[0], ORIGIN[1] - 80, ORIGIN[0] + 80, ORIGIN[1])


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    found = tmp_path / str(request.param)
    found.mkdir()
    return found


# Catalogs


def test_a_catalogs_items_and_files_are_found(folder: Path) -> None:
    write_tiff(folder / "files" / "red.tif", ramp())
    (folder / "items").mkdir()
    catalog = write_catalog(
        folder / "items", [item("one", "2021-06-01T10:00:00Z", {"red": band("../files/red.tif")})]
    )
    source = StacArchive(str(catalog), COLLECTION)
    assert (source.read(one_acquisition(source), GRID, ["red"]).values[0] == ramp()).all()


@pytest.mark.parametrize("how", ["file URL", "escaped", "absolute"])
@pytest.mark.parametrize("name", ["site #2 100%", "a%20b", "what?"])
def test_references_may_be_paths_and_urls_of_files(tmp_path: Path, name: str, how: str) -> None:
    tiff = write_tiff(tmp_path / name / "red #1.tif", ramp())
    href = {
        "file URL": tiff.as_uri(),
        "escaped": quote(f"./{tiff.name}"),
        "absolute": str(tiff),
    }[how]
    items = [item("one", "2021-06-01T10:00:00Z", {"red": band(href)})]
    catalog = write_catalog(tmp_path / name, items)
    named = catalog.as_uri() if how == "file URL" else str(catalog)
    source = StacArchive(named, COLLECTION)
    assert not source.remote
    assert (source.read(one_acquisition(source), GRID, ["red"]).values[0] == ramp()).all()


# References, boundaries, stores


def files(folder: Path) -> Iterator[str]:
    """A reference of each kind, all of the same ground; their names."""
    table = geopandas.GeoDataFrame(
        {"kind": [1], "NAME": ["Xland"]}, geometry=[LAND], crs="EPSG:32633"
    )
    made = folder.parent / "made"
    made.mkdir()
    for ending in ("gpkg", "geojson", "shp"):
        table.to_file(made / f"r.{ending}")
    with zipfile.ZipFile(made / "r.zip", "w") as archive:
        for part in made.glob("r.[sdp]*"):
            archive.write(part, part.name)
    write_tiff(made / "r.tif", np.ones((8, 8), np.uint8))
    for file in made.iterdir():
        shutil.copy(file, folder)
    yield from ("r.gpkg", "r.geojson", "r.shp", "r.zip", "r.tif")


def configured(beside: Path, reference: str, boundary: str, store: str = "store") -> Config:
    settings: dict[str, Any] = {
        "name": "names",
        "storage": store,
        "years": [2021],
        "aoi": {"boundary": boundary, "crs": "EPSG:32633", "patch_size": 80},
        "imagery": {"source": "stac", "catalog": "archive/catalog.json", "collection": COLLECTION,
                    "bands": ["B04"]},
        "clouds": {"method": "scl"},
        "features": {"indices": []},
        "reference": {
            "path": reference,
            "classes": [{"id": 1, "name": "land", "color": "#00ff00"}],
        },
    }  # fmt: skip
    if not reference.endswith("tif"):
        settings["reference"]["attribute"] = "kind"
    file = beside / "lc.yaml"
    file.write_text(yaml.safe_dump(settings, allow_unicode=True))
    return config.load(file)


@pytest.mark.parametrize("beside", [True, False], ids=["beside the configuration", "below it"])
def test_references_boundaries_countries_and_stores_are_found(folder: Path, beside: bool) -> None:
    home, prefix = (folder, "./") if beside else (folder.parent, f"./{folder.name}/")
    for name in files(folder):
        boundary = name if name != "r.tif" else "r.gpkg"
        read = configured(home, prefix + name, prefix + boundary, prefix + "store")
        platform = Platform(read)
        (patch,) = patches.patches(SplitOptions.of(read))[0]
        assert platform.reference.covers(patch.geobox)
        # Its content is what artefacts are made of, and not its name.
        assert set(str(platform.reference_options().counted("data")["reference.path"])) <= set(
            "0123456789abcdef"
        )
        country = from_country("Xland", source=read.located(prefix + boundary, "natural_earth"))
        assert country.geometry.area == pytest.approx(LAND.area)
    platform.store.put("a/b.json", b"1")
    assert (folder / "store" / "a" / "b.json").read_bytes() == b"1"


@pytest.mark.parametrize("name", ["a!b/r.gpkg", "a\nb/r.gpkg", "parcels;2.gpkg"])
@pytest.mark.parametrize("key", ["aoi.boundary", "aoi.natural_earth", "reference.path"])
def test_a_name_that_gdal_takes_apart_is_refused(tmp_path: Path, name: str, key: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"")
    read = configured(tmp_path, "r.gpkg", "r.gpkg")
    with pytest.raises(ConfigError, match=rf"(?s)^{key}: .* GDAL takes it apart\. Rename it"):
        read.located(name, key)


# All of it


@pytest.mark.proof
def test_a_run_makes_its_artefacts_in_a_folder_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    home = tmp_path / " site #2 ?100% [a] it's %41;{x}"
    home.mkdir()
    list(files(home))
    write_tiff(home / "archive" / "B04.tif", ramp(500))
    write_tiff(home / "archive" / "B08.tif", ramp(2500))
    write_tiff(home / "archive" / "SCL.tif", np.full((8, 8), 4, np.uint8))
    assets = {name: band(f"./{name}.tif", name) for name in ("B04", "B08")}
    assets["SCL"] = {"href": "./SCL.tif", "type": "image/tiff"}
    write_catalog(home / "archive", [item("one", "2021-06-01T10:00:00Z", assets)])
    read = configured(home, "r.shp", "r.zip")
    select = ["patch_grid", "reference_rasters", "raw_bands", "cloud_masks", "observation_stats"]
    report = running.run(read, lambda _, __, outcomes: iter(outcomes), select=select)
    assert [why for _, _, why in report.failures] == []
    assert report.succeeded
    (stored,) = (home / "store" / "raw_bands" / "2021").glob("*.zarr")
    told = json.loads((stored / "zarr.json").read_text())["attributes"]["lc_platform"]
    assert told["attributes"]["acquisitions"][0]["items"] == ["one"]
    ids, labels = sorted((home / "store" / "reference_rasters").glob("*.tif"))
    assert ids.name == f"{labels.stem}.polygons.tif"
    for path in (ids, labels):
        with rasterio.open(path) as raster:
            assert (raster.read(1) == 1).any()
    # Dagster's records too, which come from there when the folder is met again.
    assert (home / "dagster" / "history" / "runs.db").exists()
    assert {row.asset: row.done for row in statuses(read)}["observation_stats"] == 1
