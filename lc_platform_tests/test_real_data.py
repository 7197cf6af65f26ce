"""Real imagery and real references beside the project: the numbers others have published."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import numpy as np
import pytest
import rasterio
import yaml
from odc.geo.geobox import GeoBox

from lc_platform import config
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area import patches as area
from lc_platform.area.options import SplitOptions
from lc_platform.eo import indices, timeseries
from lc_platform.products import cloud_masks
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.options import AcquisitionOptions, DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources import open_source

pytestmark = pytest.mark.real_data

FLANDERS = Path(__file__).parent / "configurations" / "flanders.yaml"


def slovenia(shared_data: Path, **aoi: Any) -> config.Config:
    folder = shared_data / "slovenia"
    data = {
        "name": "slovenia",
        "storage": "./data",
        "years": [2015],
        "aoi": {"crs": "EPSG:32633", **aoi},
        "imagery": {
            "source": "stac",
            "catalog": str(folder / "l1c" / "catalog.json"),
            "collection": "sentinel-2-l1c",
            "max_cloud_cover": 100,
        },
        "reference": {
            "path": str(folder / "reference" / "lulc.gpkg"),
            "attribute": "LULC_ID",
            "classes": [{"id": 1, "name": "forest", "color": "#00ff00", "values": [3]}],
        },
    }
    return config.parse(data, folder)


def test_the_border_of_slovenia_gives_the_published_293_patches(shared_data: Path) -> None:
    configured = slovenia(
        shared_data,
        boundary=str(shared_data / "slovenia" / "border.geojson"),
        buffer=5000,
        split=[25, 17],
    )
    patches, _ = area.patches(SplitOptions.of(configured))
    assert len(patches) == 293
    for patch in patches:
        # The published patches are 10,087 m x 10,034 m; ours are whole pixels.
        width, height = (patch.box[i + 2] - patch.box[i] for i in (0, 1))
        assert abs(width - 10_087) <= 20
        assert abs(height - 10_034) <= 20


def test_the_ndvi_of_the_five_scenes_is_the_published_one(shared_data: Path) -> None:
    folder = shared_data / "slovenia"
    archive = open_source(slovenia(shared_data, bbox=[14.5, 45.8, 14.6, 45.9], patch_size=1000))
    with rasterio.open(next((folder / "l1c").glob("*/B04.tif"))) as file:
        geobox = GeoBox(file.shape, file.transform, str(file.crs))
    from datetime import UTC, datetime

    year = datetime(2015, 1, 1, tzinfo=UTC), datetime(2016, 1, 1, tzinfo=UTC)
    found = archive.search(geobox.extent, *year)
    ndvi = []
    for acquisition in found:
        pixels = archive.read(acquisition, geobox, ("B04", "B08"))
        scale, offset = (v[:, None, None] for v in (pixels.scale, pixels.offset))
        red, nir = (pixels.values * scale + offset).astype(np.float32)
        ndvi.append(indices.compute(indices.KNOWN["NDVI"], {"B04": red, "B08": nir}))
    expected = np.load(folder / "expected" / "ndvi.npy")
    np.testing.assert_allclose(ndvi, expected, rtol=0, atol=1e-6)


def test_the_series_of_68_dates_has_the_published_counts_and_maxima(shared_data: Path) -> None:
    series = np.load(shared_data / "slovenia" / "expected" / "timeseries_2015_2017.npz")
    ndvi, valid = (series[name].squeeze() for name in ("ndvi", "is_valid"))
    assert len(ndvi) == len(valid) == 68
    np.testing.assert_array_equal(
        timeseries.valid_count(valid.astype(bool)), series["valid_count"].squeeze()
    )
    np.testing.assert_allclose(
        timeseries.maximum(ndvi.astype(np.float32)), series["max_ndvi"].squeeze(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("resolution", [pytest.param(10, marks=pytest.mark.slow), 80])
def test_slovenia_by_a_configuration_has_five_acquisitions_of_which_two_are_cloudy(
    shared_data: Path, tmp_path: Path, resolution: int
) -> None:
    item = next((shared_data / "slovenia" / "l1c").glob("*/S2A*.json"))
    footprint = tmp_path / "footprint.geojson"
    footprint.write_text(
        json.dumps({"type": "Feature", "properties": {}, **_geometry(item)}), encoding="utf-8"
    )
    configured = slovenia(shared_data, boundary=str(footprint), split=[1, 1])
    configured = configured.model_copy(
        update={"clouds": configured.clouds.model_copy(update={"resolution": resolution})}
    )
    (patch,), _ = area.patches(SplitOptions.of(configured))
    archive = open_source(configured)
    offered = search_acquisitions(archive, patch, 2015, AcquisitionOptions.of(configured))
    raw = AcquisitionStack(acquire(archive, offered).load())
    detected = cloud_masks.detect(raw, DetectionOptions(**dict(configured.clouds)))
    masks = CloudMasks(detected.load())
    assert len(raw) == 5
    cloudy = [a["datetime"][:10] for a in masks.acquisitions if a["cloud_fraction"] > 0.5]
    expected = np.load(shared_data / "slovenia" / "expected" / "cloud_mask_s2cloudless.npy")
    assert [f > 0.5 for f in expected.mean(axis=(1, 2))] == [False, True, True, False, False]
    assert cloudy == ["2015-07-31", "2015-08-20"]
    clear = [a["cloud_fraction"] for a in masks.acquisitions if a["datetime"][:10] not in cloudy]
    assert max(clear) < 0.1


def _geometry(item: Path) -> dict[str, Any]:
    return {"geometry": json.loads(item.read_text(encoding="utf-8"))["geometry"]}


def lc_platform(*arguments: str, **variables: str) -> str:
    """What the command prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "lc_platform", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Site(NamedTuple):
    """Flanders from its configuration and the command line."""

    store: Path
    variables: Mapping[str, str]
    parcels: Path
    said: str


@pytest.fixture(scope="module")
def flanders(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The map of the site in sixteen patches, and of its parcels."""
    folder = tmp_path_factory.mktemp("flanders")
    variables = {
        "LC_SHARED_DATA": str(shared_data),
        "LC_STORAGE": str(folder / "data"),
        "DAGSTER_HOME": str(folder / "dagster"),
    }
    parcels = shared_data / "flanders" / "reference" / "parcels.gpkg"
    data = yaml.safe_load(FLANDERS.read_text(encoding="utf-8"))
    data["map"] = {"objects": str(parcels)}
    path = folder / "flanders.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    said = lc_platform("run", "-c", str(path), **variables)
    return Site(folder / "data", variables, parcels, said)


def weighted_f1(store: Path) -> float:
    found = json.loads((store / "evaluation" / "2018" / "metrics.json").read_text("utf-8"))
    assert len(found["test_patches"]) == 14  # all that have a reference, in folds
    return float(found["f1_weighted"])


@pytest.mark.proof
@pytest.mark.slow
def test_flanders_end_to_end_reaches_a_weighted_f1_of_088(
    flanders: Site, record_property: Callable[[str, object], None]
) -> None:
    """Four seeds give 0.904 to 0.907, in folds of patches of 160 m. Images that lie a pixel too far
    south of the parcels cost 0.035 and more, which is what the bound tells apart."""
    assert re.search(r"\d+ artefacts made, in \d+ s, 0 failed", flanders.said)
    with rasterio.open(flanders.store / "mosaic" / "2018" / "land_cover.tif") as file:
        land_cover = file.read(1)
        assert str(file.crs) == "EPSG:32631"
    assert land_cover.shape == (64, 64)
    assert set(np.unique(land_cover)) <= {0, 1, 2, 3, 4}
    # The bands of 20 m end 20 m north of the site's southern edge: two of its rows are in no file.
    assert (land_cover[:62] != 0).mean() > 0.99
    assert not land_cover[62:].any()
    figure = flanders.store / "evaluation" / "2018" / "confusion_matrix.png"
    assert figure.stat().st_size > 5000
    score = weighted_f1(flanders.store)
    record_property("figure", f"Flanders, weighted F1: {score:.3f}")
    assert score >= 0.88


@pytest.mark.slow
@pytest.mark.proof
def test_flanders_is_as_good_by_other_seeds(
    flanders: Site, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    scores = []
    for seed in (1, 2, 3, 4):
        data = yaml.safe_load(FLANDERS.read_text(encoding="utf-8"))
        data["sampling"]["seed"] = seed
        changed = tmp_path / "flanders.yaml"
        changed.write_text(yaml.safe_dump(data), encoding="utf-8")
        only = ("training_samples", "model", "held_out_predictions", "evaluation")
        selected = [word for asset in only for word in ("--select", asset)]
        lc_platform("run", "-c", str(changed), *selected, **flanders.variables)
        scores.append(weighted_f1(flanders.store))
    shown = ", ".join(f"{score:.3f}" for score in scores)
    record_property(
        "figure", f"Flanders, weighted F1 of seeds 1 to 4: {shown}; mean {np.mean(scores):.4f}"
    )
    assert np.mean(scores) >= 0.88


@pytest.mark.proof
@pytest.mark.slow
def test_the_parcels_of_flanders_get_one_class_each(
    flanders: Site, record_property: Callable[[str, object], None]
) -> None:
    """They cross the sixteen patches of the site; most have a code of the crop that grew there."""
    table = geopandas.read_parquet(flanders.store / "objects" / "2018.parquet")
    drawn = geopandas.read_file(flanders.parcels)
    assert table.crs == drawn.crs
    here = table.set_index("object").sort_index()
    true = drawn.assign(object=range(1, len(drawn) + 1)).set_index("object").loc[here.index]
    assert all(one.equals(other) for one, other in zip(here.geometry, true.geometry, strict=True))
    classes = true["crop_code"].map({1200: 1, 2130: 2, 5100: 2, 7900: 2})
    classes = classes.fillna(true["lc_code"].map({13: 3, 60: 4}))
    seen = (here["class"] > 0) & classes.notna()
    assert seen.sum() >= 20
    right = (here["class"] == classes)[seen]
    record_property(
        "figure", f"Flanders, parcels of the right class: {right.sum()} of {len(right)}"
    )
    assert right.mean() >= 0.9


@pytest.mark.proof
@pytest.mark.slow
def test_slovenia_by_small_blocks_is_as_sure_as_it_is_right(
    shared_data: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """One patch of a kilometre, five acquisitions, blocks of 100 m of which no polygon is cut."""
    folder = shared_data / "slovenia"
    item = next((folder / "l1c").glob("*/S2A*.json"))
    footprint = tmp_path / "footprint.geojson"
    footprint.write_text(
        json.dumps({"type": "Feature", "properties": {}, **_geometry(item)}), encoding="utf-8"
    )
    names = {1: "cultivated land", 2: "forest", 3: "grassland", 4: "shrubland", 8: "artificial"}
    data = slovenia(shared_data, boundary=str(footprint), split=[1, 1]).model_dump(
        exclude_unset=True, mode="json"
    )
    data["storage"] = str(tmp_path / "data")
    data["reference"] |= {
        "ignore": [0],
        "classes": [{"id": i, "name": name, "values": [i]} for i, name in names.items()],
    }
    data["validation"] = {"folds": 5, "block_size": 100}
    asked = tmp_path / "slovenia.yaml"
    asked.write_text(yaml.safe_dump(data), encoding="utf-8")
    lc_platform("run", "-c", str(asked), DAGSTER_HOME=str(tmp_path / "dagster"))
    file = tmp_path / "data" / "evaluation" / "2015" / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    calibration = metrics["calibration"]
    before, after = (
        calibration[f"expected_calibration_error_{when}"] for when in ("before", "map")
    )
    record_property(
        "figure", f"Slovenia, expected calibration error: {before:.3f}; of the map {after:.3f}"
    )
    assert after <= 0.03 < before
    assert abs(metrics["prediction_sets"]["covered"] - 0.9) <= 0.02
