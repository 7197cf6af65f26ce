"""`imagery.also`: archives of further collections, and the graph with three of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from odc.geo.geom import Geometry

from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.read_plan import plans
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area import patches as area
from lc_platform.area.options import SplitOptions
from lc_platform.artefacts.layout import PATCH, key
from lc_platform.config import Config, parse
from lc_platform.platform import Platform as AssetPlatform
from lc_platform.products import cloud_masks
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_options import season_names
from lc_platform.products.features import FeatureStack, build
from lc_platform.products.options import AcquisitionOptions, DetectionOptions, PredictionOptions
from lc_platform.products.predictions import predict
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources import open_auxiliary, open_source
from lc_platform.sources.protocol import Acquisition, Source
from lc_platform.sources.simulated import SimulatedSentinel1
from lc_platform.storage import zarr_cube
from lc_platform.storage.store import Store
from lc_platform_tests.config.configurations import SIMULATED, SMALLEST, configured
from lc_platform_tests.graphs import YEAR, Platform, why
from lc_platform_tests.graphs import configured as small
from lc_platform_tests.sources.stac.catalogs import GRID, item, write_catalog, write_tiff

NEW_YEAR = datetime(2018, 1, 1, tzinfo=UTC)
WHOLE_YEAR = datetime(YEAR, 1, 1, tzinfo=UTC), datetime(YEAR + 1, 1, 1, tzinfo=UTC)
LANDSAT = {"collection": "landsat-ot-l1", "bands": ["B04", "B05"]}


def test_each_has_an_archive_under_its_name() -> None:
    opened = open_auxiliary(
        configured("{imagery: {also: [landsat-ot-l1, sentinel-1-grd]}}", SIMULATED)
    )
    assert list(opened) == ["L8", "S1"]
    assert all(isinstance(one, Source) for one in opened.values())


def of_three(folder: Path, **features: Any) -> Config:
    entries = ["sentinel-1-grd", LANDSAT]
    return small(folder, 2, 1, imagery={"also": entries}, features=features)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    platform = Platform(of_three(tmp_path_factory.mktemp("three")))
    for runs in platform.all_jobs().values():
        for run in runs:
            assert run.success, why(run)
    return platform


def stacks(platform: Platform, patch: str) -> tuple[AcquisitionStack, FeatureStack]:
    return platform.opened("raw_bands", patch), platform.opened("features", patch)


@pytest.mark.slow
def test_a_map_is_made_of_three_collections(mapped: Platform) -> None:
    for patch in mapped.patches:
        raw, features = stacks(mapped, patch)
        assert list(raw.auxiliary) == ["S1", "L8"]
        assert features.names[-4:] == ("S1_VV_337", "S1_VH_337", "L8_B04_337", "L8_B05_337")
        assert (mapped.classes(patch) > 0).all()
    card = mapped.opened("model").card
    assert "S1_VH_193" in card["features"]


@pytest.mark.slow
def test_the_archives_pixels_are_stored_with_times_of_their_own(mapped: Platform) -> None:
    patch = mapped.patches[0]
    raw, _ = stacks(mapped, patch)
    radar = raw.auxiliary["S1"]
    (source, _) = open_auxiliary(mapped.config).values()
    facts = radar.acquisitions[7]
    there = source.search(raw.geobox.extent, *WHOLE_YEAR)
    acquisition = next(a for a in there if a.key == facts["key"])
    expected = source.read(acquisition, raw.geobox, ["VV", "VH"])
    np.testing.assert_array_equal(radar.digital_numbers(times=[7])[0], expected.values)
    path = mapped.store.path(key("raw_bands", patch, YEAR))
    data = xr.open_zarr(path, group="S1", decode_coords="all", chunks=None)
    assert data.sizes["time"] == len(radar) == len(there)
    np.testing.assert_array_equal(data["time"].values, radar.datetimes)


@pytest.mark.slow
def test_radar_knows_pixels_in_the_weeks_when_clouds_hide_them(mapped: Platform) -> None:
    _, features = stacks(mapped, mapped.patches[0])
    values = dict(zip(features.names, features.read(), strict=True))
    hidden = np.isnan(values["B04_049"])
    assert not np.isnan(values["S1_VV_049"]).any()
    assert hidden.any() or np.isnan(values["L8_B04_049"]).any()


@pytest.mark.slow
def test_features_that_are_not_stored_are_the_same(mapped: Platform, tmp_path: Path) -> None:
    patch = mapped.patches[0]
    shutil.copytree(mapped.config.storage_url, tmp_path / "data", symlinks=True)
    other = Platform(of_three(tmp_path, stored=False))
    other.instance.add_dynamic_partitions(PATCH, mapped.patches)
    run = other.launch("patch_year", [other.patch_years[0]])
    assert run.success, why(run)
    stored, computed = mapped.opened("features", patch), other.opened("features", patch)
    assert "features" not in computed.cube.stored.layers
    assert computed.names == stored.names
    np.testing.assert_array_equal(computed.read(), stored.read())


@pytest.mark.proof
@pytest.mark.slow
def test_a_collection_that_is_added_leaves_the_others_features_as_they_are(tmp_path: Path) -> None:
    alone = Platform(small(tmp_path, 1, 1))
    for job in ("grid", "reference", "patch_year"):
        done = alone.launch(job, alone.patches if job == "reference" else alone.patch_years)
        assert done.success, why(done)
    (patch,) = alone.patches
    features = alone.opened("features", patch)
    before = dict(zip(features.names, features.read(), strict=True))
    more = Platform(small(tmp_path, 1, 1, imagery={"also": ["sentinel-1-grd"]}), alone.instance)
    done = more.launch("patch_year", more.patch_years)
    assert done.success, why(done)
    features = more.opened("features", patch)
    after = dict(zip(features.names, features.read(), strict=True))
    dates = len(features.cube.attributes["days"])
    assert len(after) == len(before) + 2 * dates
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


class Silent(SimulatedSentinel1):
    """A radar that has taken nothing."""

    def search(
        self, area: Geometry, start: datetime, end: datetime, around: Geometry | None = None
    ) -> list[Acquisition]:
        assert super().search(area, start, end, around)
        return []


@pytest.mark.slow
def test_a_year_in_which_the_radar_was_silent_is_stored_and_has_a_map_all_the_same(
    mapped: Platform, tmp_path: Path
) -> None:
    (patch, *_), _ = area.patches(SplitOptions.of(mapped.config))
    auxiliary = {**open_auxiliary(mapped.config), "S1": Silent()}
    source = open_source(mapped.config)
    offered = search_acquisitions(
        source, patch, YEAR, AcquisitionOptions.of(mapped.config), auxiliary
    )
    store = Store(str(tmp_path))
    zarr_cube.write(store, "raw", acquire(source, offered, auxiliary=auxiliary))
    raw = AcquisitionStack(zarr_cube.ZarrCube(store, "raw"))
    assert (len(raw.auxiliary["S1"]), len(raw.auxiliary["L8"]) > 0) == (0, True)
    masks = CloudMasks(mapped.opened("cloud_masks", patch.key).cube)
    asked = replace(AssetPlatform(mapped.config).feature_options(), window=64)
    computed = build(raw, masks, asked)
    features = FeatureStack(computed.load())
    before = mapped.opened("features", patch.key)
    assert features.names == before.names
    radar = np.array(["S1_" in name for name in features.names])
    assert np.isnan(features.read()[radar]).all()
    np.testing.assert_array_equal(features.read()[~radar], before.read()[~radar])
    assert computed.summary.facts["acquisitions_S1"] == 0
    labels = (
        predict(features, mapped.opened("model"), PredictionOptions(window=64)).load().read("class")
    )
    assert (labels > 0).all()


def test_landsat_of_a_catalog_is_calibrated_as_its_items_say_and_its_quality_band_is_not(
    tmp_path: Path,
) -> None:
    red = np.arange(7273, 7273 + 9, dtype=np.uint16).reshape(3, 3)
    quality = np.full((3, 3), 21824, np.uint16)  # clear
    quality[0, 0], quality[1, 1] = 22280, 1  # cloud, fill
    write_tiff(tmp_path / "red.tif", red, 30)
    write_tiff(tmp_path / "qa.tif", quality, 30)
    # As Earth Search has them, by the scale and offset of Collection 2, Level 2.
    scaled = {"data_type": "uint16", "nodata": 0, "scale": 2.75e-05, "offset": -0.2}
    of_quality = {"data_type": "uint16", "nodata": 1, "unit": "bit index"}
    assets = {
        "red": {"href": "./red.tif", "roles": ["data"], "raster:bands": [scaled]},
        "qa_pixel": {"href": "./qa.tif", "roles": ["cloud"], "raster:bands": [of_quality]},
    }
    one = item("LC08_L2SP_190028", "2021-07-01T09:50:00Z", assets, platform="landsat-8")
    catalog = write_catalog(tmp_path, [one])
    for file in tmp_path.glob("*.json"):
        file.write_text(file.read_text().replace("sentinel-2-l2a", "landsat-c2-l2"))
    entry = f"{{collection: landsat-c2-l2, bands: [red], catalog: {catalog}}}"
    configuration = configured(f"{{imagery: {{also: [{entry}]}}}}", SMALLEST)
    source = open_auxiliary(configuration)["L8"]
    (found,) = source.search(GRID.extent, datetime(2021, 1, 1), datetime(2022, 1, 1))
    (landsat,) = configuration.imagery.also
    read = source.read(found, GRID, landsat.acquired_bands)
    assert read.scale.tolist() == [2.75e-05, 1.0]
    assert read.offset.tolist() == [-0.2, 0.0]
    expected = np.repeat(np.repeat(np.stack([red, quality]), 3, axis=1), 3, axis=2)[:, :8, :8]
    there = np.ones((8, 8), bool)
    there[3:6, 3:6] = False
    np.testing.assert_array_equal(read.data_mask, there)
    np.testing.assert_array_equal(read.values[:, there], expected[:, there])


@pytest.mark.slow
@pytest.mark.real_data
def test_real_radar_is_what_its_files_hold_between_their_dates(shared_data: Path) -> None:
    flanders = shared_data / "flanders"
    text = (Path(__file__).parent / "configurations" / "flanders.yaml").read_text("utf-8")
    data = yaml.safe_load(text.replace("${LC_SHARED_DATA}", str(shared_data)))
    data["aoi"]["split"] = [1, 1]
    data["imagery"]["bands"] = ["B04", "B08"]
    radar = {"collection": "sentinel-1-grd", "catalog": str(flanders / "s1" / "catalog.json")}
    data["imagery"]["also"] = [radar]
    data["features"]["indices"] = []
    configuration = parse(data)
    (patch,), _ = area.patches(SplitOptions.of(configuration))
    auxiliary = open_auxiliary(configuration)
    source = open_source(configuration)
    offered = search_acquisitions(
        source, patch, 2018, AcquisitionOptions.of(configuration), auxiliary
    )
    raw = AcquisitionStack(acquire(source, offered, auxiliary=auxiliary).load())
    masks = CloudMasks(cloud_masks.detect(raw, DetectionOptions(method="scl")).load())
    asked = replace(AssetPlatform(configuration).feature_options(), window=64)
    features = FeatureStack(build(raw, masks, asked).load())

    by_day: dict[int, list[Any]] = {}
    for about in sorted((flanders / "s1").glob("*/*.json")):
        when = json.loads(about.read_text("utf-8"))["properties"]["datetime"]
        if when.startswith("2018"):
            day = (datetime.fromisoformat(when) - NEW_YEAR).days
            with rasterio.open(about.parent / "VH.tif") as file:
                by_day.setdefault(day, []).append(file.read(1))
    assert len(raw.auxiliary["S1"]) == sum(map(len, by_day.values())) > 100
    days = sorted(by_day)
    of_day = np.array([np.mean(by_day[day], axis=0) for day in days])
    targets = features.cube.attributes["days"]
    found = features.read().reshape(len(targets), 4, 64, 64)[:, 3]
    assert features.names[3] == "S1_VH_001"
    # The files begin one of their rows of 20 m, two of these, north of the site.
    for row, column in ((0, 0), (13, 40), (61, 63)):
        series = of_day[:, 1 + row // 2, column // 2]
        expected = np.interp(targets, days, series, left=np.nan, right=np.nan)
        np.testing.assert_allclose(found[:, row, column], expected, atol=0.03)
    assert np.isnan(found[:, 62:]).all()


# Orbits apart, and coefficients


def test_orbits_apart_change_features_alone_and_a_coefficient_what_is_acquired() -> None:
    def asked(more: str) -> AssetPlatform:
        radar = f"{{collection: sentinel-1-grd{more}}}"
        hub = f"{{imagery: {{source: sentinel_hub, catalog: null, also: [{radar}]}}}}"
        return AssetPlatform(configured(hub))

    usual, apart, beta = asked(""), asked(", orbits: apart"), asked(", backscatter: beta0")
    one, two, three = (p.acquisition_options().counted("data") for p in (usual, apart, beta))
    assert one == two != three
    one, two, three = (p.feature_options().counted("data") for p in (usual, apart, beta))
    assert one == three != two
    (where, *_), _ = area.patches(SplitOptions.of(configured("{}", SIMULATED)))
    of = [plans(where, p.acquisition_options())[1].collection for p in (usual, apart, beta)]
    assert (
        of[0] == of[1] != of[2]
    )  # so that nothing stored in one coefficient is reused for another


@pytest.mark.slow
def test_a_patch_has_features_of_each_orbit_and_both_are_of_their_own_passes(
    tmp_path: Path,
) -> None:
    radar = {"collection": "sentinel-1-grd", "orbits": "apart"}
    config = small(tmp_path, 1, 1, imagery={"also": [radar]})
    platform = AssetPlatform(config)
    (patch,), _ = area.patches(SplitOptions.of(config))
    found = acquire(platform.source, platform.search(patch, YEAR), (), platform.auxiliary)
    raw = AcquisitionStack(found.load())
    masks = CloudMasks(cloud_masks.detect(raw, platform.detection_options()).load())
    options = platform.feature_options()
    computed = build(raw, masks, options)
    stack = FeatureStack(computed.load())
    assert stack.names == season_names(options, config.season.span, YEAR)
    states = [one["properties"]["sat:orbit_state"] for one in raw.auxiliary["S1"].acquisitions]
    facts = computed.summary.facts
    assert facts["acquisitions_S1_ascending"] == states.count("ascending") > 0
    assert facts["acquisitions_S1_descending"] == states.count("descending") > 0
    values = dict(zip(stack.names, stack.read(), strict=True))
    of_both = [values[f"S1_VV_{orbit}_145"] for orbit in ("ascending", "descending")]
    assert not np.isnan(of_both).any()
    assert (of_both[0] != of_both[1]).mean() > 0.9
