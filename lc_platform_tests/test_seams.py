"""Patches made one by one equal the same ground made as one patch, to the pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lc_platform.acquisition.acquire import acquire
from lc_platform.area import patches as area
from lc_platform.area.grid import Patch
from lc_platform.area.options import SplitOptions
from lc_platform.commands import plan
from lc_platform.config import Config, parse
from lc_platform.platform import Platform
from lc_platform.products import cloud_masks, features, predictions
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.features import FeatureStack
from lc_platform.products.model import LandCoverModel
from lc_platform.products.postprocessing_options import Postprocessing
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform_tests.artefacts.snapshots import run
from lc_platform_tests.graphs import METRES, configured
from lc_platform_tests.seams import (
    LAYERS,
    Made,
    differences,
    ground,
    made,
    model_of,
)

pytestmark = pytest.mark.slow

FLANDERS = Path(__file__).parent / "configurations" / "flanders.yaml"


POSTPROCESSING = {
    "smoothing": "bayes",
    "smoothing_window": 5,
    "smoothing_variance": {"water": 5, "grassland": 40},
    "segment_size": 3,
    "mode_window": 3,
    "minimum_unit": 0.08,
}


def computed(
    config: Config,
    patch: Patch,
    model: LandCoverModel | Callable[[FeatureStack], LandCoverModel] = model_of,
) -> dict[str, Any]:
    """A patch's products, without a store, by a model or one that is learnt from its features."""
    platform = Platform(config)
    found = acquire(platform.source, platform.search(patch, *config.years), (), platform.auxiliary)
    raw = AcquisitionStack(found.load())
    masks = CloudMasks(cloud_masks.detect(raw, platform.detection_options()).load())
    stack = FeatureStack(features.build(raw, masks, platform.feature_options()).load())
    model = model if isinstance(model, LandCoverModel) else model(stack)
    mapped = predictions.predict(stack, model, platform.prediction_options()).load()
    return {"raw": raw, "masks": masks, "features": stack, "map": mapped, "model": model}


def check_equal(
    whole: Mapping[str, Any], one: Patch, own: Mapping[str, Any], patch: Patch, margin: int
) -> None:
    """Compare a patch's products, with what lies around it, with those of one patch."""
    rows, columns = patch.shape
    east, south = ~one.geobox.affine * (patch.geobox.affine.c, patch.geobox.affine.f)
    here = slice(round(south), round(south) + rows), slice(round(east), round(east) + columns)
    wide, there = (
        tuple(slice(side.start - margin, side.stop + margin) for side in window)
        for window in ((slice(0, rows), slice(0, columns)), here)
    )
    assert own["features"].margin == margin
    assert own["masks"].margin == own["raw"].map_margin >= margin
    keys = whole["raw"].keys
    common = [keys.index(key) for key in own["raw"].keys]
    # What shows the one patch and not this one: its granules here are too cloudy.
    other = sorted({*range(len(keys))} - {*common})
    assert not whole["raw"].data_mask(there)[other].any()
    for name, read in (("raw", "digital_numbers"), ("masks", "valid"), ("masks", "probability")):
        found, expected = getattr(own[name], read)(wide), getattr(whole[name], read)(there)
        np.testing.assert_array_equal(found, expected[common], read)
    np.testing.assert_array_equal(own["features"].read(wide), whole["features"].read(there))
    for layer in whole["map"].layers:
        found, expected = own["map"].read(layer), whole["map"].read(layer, here)
        np.testing.assert_array_equal(found, expected, layer)


def where_granules_meet(columns: int, rows: int) -> list[float]:
    """A box in degrees that touches patches at a border of two granules of the simulated archive,
    which runs some 110 m east of the western edge of the second column."""
    west, south = METRES * 1584, METRES * 15328
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True).transform
    low = to_degrees(west + 10, south + 10)
    high = to_degrees(west + METRES * columns - 10, south + METRES * rows - 10)
    return [*low, *high]


@pytest.mark.parametrize(
    "way",
    [
        pytest.param({}, id="plain"),
        pytest.param(POSTPROCESSING, id="postprocessed", marks=pytest.mark.slow),
    ],
)
def test_where_granules_meet_of_which_one_is_too_cloudy_neighbours_are_mapped_as_one_patch(
    way: dict[str, Any], tmp_path: Path
) -> None:
    """Two patches lie in the western granule, with the cloud detector's margin in the eastern one,
    and two in both."""

    def split(size: int) -> tuple[Config, list[Patch]]:
        config = configured(
            tmp_path,
            map=way,
            imagery={"max_cloud_cover": 5},
            features={"min_valid_fraction": 0},
            aoi={"bbox": where_granules_meet(2, 2), "patch_size": size},
        )
        return config, area.patches(SplitOptions.of(config))[0]

    (large, (one,)), (small, patches) = split(2 * METRES), split(METRES)
    assert len(patches) == 4
    whole = computed(large, one)
    margin = Postprocessing.of(small).margin
    seen: dict[str, set[str]] = {}
    for patch in patches:
        own = computed(small, patch, whole["model"])
        check_equal(whole, one, own, patch, margin)
        seen[patch.key] = {*own["raw"].keys}
    in_part = [a for a in whole["raw"].acquisitions if a["items"] != [a["key"]]]
    assert {len(a["items"]) for a in in_part} == {1}
    assert len({a["items"][0].removeprefix(a["key"]) for a in in_part}) == 2
    # With the map's margin all four touch both granules.
    assert len({*map(frozenset, seen.values())}) == (1 if way else 2)


TEXTURED = {
    "families": ["statistics", "texture"],
    "texture": {"of": ["NDVI", "B08"], "limits": {"B08": [0, 0.6]}, "window": 7},
}


@pytest.mark.parametrize(
    ("way", "of"),
    [({}, {}), (POSTPROCESSING, {}), ({}, TEXTURED), (POSTPROCESSING, TEXTURED)],
    ids=["plain", "postprocessed", "textured", "textured and postprocessed"],
)
def test_neighbouring_patches_are_mapped_as_one_patch_twice_their_size(
    way: dict[str, Any], of: dict[str, Any], tmp_path: Path
) -> None:
    sections: dict[str, Any] = {"map": way, "features": {"min_valid_fraction": 0, **of}}
    small = configured(tmp_path, **sections)
    large = configured(tmp_path, 1, 1, aoi={"patch_size": 2 * METRES}, **sections)
    (one,), _ = area.patches(SplitOptions.of(large))
    patches, _ = area.patches(SplitOptions.of(small))
    assert len(patches) == 4
    whole = computed(large, one)
    assert 0.02 < whole["masks"].cloud().mean() < 0.98
    assert len(np.unique(whole["map"].read("class"))) == 10
    assert set(LAYERS) <= set(whole["map"].layers)
    margin = Postprocessing.of(small).margin
    assert (margin > 0) == bool(way)
    assert ("NDVI_entropy" in whole["features"].names) == bool(of)
    for patch in patches:
        own = computed(small, patch, whole["model"])
        assert own["masks"].margin == margin + (3 if of else 0)
        check_equal(whole, one, own, patch, margin)


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_site_in_16_patches_is_mapped_as_in_one(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_SHARED_DATA", str(shared_data))
    monkeypatch.setenv("LC_STORAGE", str(tmp_path))
    data = yaml.safe_load(FLANDERS.read_text(encoding="utf-8"))
    data |= {"map": {**POSTPROCESSING, "smoothing_variance": {"built-up": 5}}}
    data["features"]["min_valid_fraction"] = 0

    def split(columns: int) -> Config:
        return parse({**data, "aoi": {**data["aoi"], "split": [columns, columns]}}, tmp_path)

    large, small = split(1), split(4)
    (one,), _ = area.patches(SplitOptions.of(large))
    patches, _ = area.patches(SplitOptions.of(small))
    assert len(patches) == 16
    whole = computed(large, one, lambda stack: model_of(stack, count=4))
    assert set(range(1, 5)) <= set(np.unique(whole["map"].read("class")))
    margin = Postprocessing.of(small).margin
    for patch in patches:
        check_equal(whole, one, computed(small, patch, whole["model"]), patch, margin)


@pytest.mark.slow
@pytest.mark.proof
def test_at_a_zones_border_two_grids_agree_as_the_ground_itself_does(tmp_path: Path) -> None:
    """Pixels of two UTM zones are turned against each other: what the nearest pixel of the other
    grid shows is another class where a border lies between them, of the truth too."""
    grids = {}
    for zone in ("32", "33"):
        to_zone = Transformer.from_crs(4326, f"EPSG:326{zone}", always_xy=True).transform
        east, north = (round(at / 80) * 80 for at in to_zone(12.0, 46.7))
        half = 600 if zone == "33" else 400
        box = (east - half, north - half, east + half, north + half)
        grids[zone] = Patch(
            "p", GeoBox.from_bbox(box, f"EPSG:326{zone}", resolution=10), f"{zone}N", 0, 0
        )
    sections: dict[str, Any] = {
        "map": {"smoothing": "bayes", "mode_window": 3, "minimum_unit": 0.1},
        "imagery": {"max_cloud_cover": 40},
        "features": {"min_valid_fraction": 0},
    }
    config = configured(tmp_path, **sections)
    archive: Any = Platform(config).source
    truth = {zone: archive.truth(patch.geobox) for zone, patch in grids.items()}
    there = computed(config, grids["33"], lambda stack: model_of(stack, truth["33"]))
    here = computed(config, grids["32"], there["model"])
    columns, rows = np.meshgrid(np.arange(80) + 0.5, np.arange(80) + 0.5)
    x, y = grids["32"].geobox.affine * (columns, rows)
    at = ~grids["33"].geobox.affine * Transformer.from_crs(32632, 32633).transform(x, y)
    nearest = tuple(np.floor(along).astype(int) for along in at[::-1])
    of_the_ground = (truth["32"] == truth["33"][nearest]).mean()
    of_the_map = (here["map"].read("class") == there["map"].read("class")[nearest]).mean()
    assert of_the_ground > 0.9
    assert of_the_map > of_the_ground - 0.03


def test_a_wider_margin_is_acquired_again_and_the_plan_says_so(tmp_path: Path) -> None:
    """What was read on another grid is not taken for it; nothing is acquired for a map without."""
    plain, wide = (configured(tmp_path, 1, 1, map={"minimum_unit": unit}) for unit in (0, 0.05))
    assert run(plain, select=["patch_grid", "raw_bands"]).succeeded

    def planned(config: Config) -> tuple[int, int]:
        (need,) = plan.make(config, lambda _, found: iter(found)).needs.values()
        return need.acquisitions, need.existing

    count, existing = planned(plain)
    assert count == existing > 0
    assert planned(wide) == (count, 0)
    assert run(wide, select=["patch_grid", "raw_bands"]).succeeded
    assert planned(wide) == (count, count)
    (patch,) = Made(wide).patches
    raw = Made(wide).opened("raw_bands", patch)
    assert raw.margin == raw.map_margin == 8
    assert raw.geobox.shape == (32, 32)


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({}, id="by default"),
        pytest.param({"map": POSTPROCESSING}, id="postprocessed"),
        pytest.param(
            {
                "map": POSTPROCESSING,
                "clouds": {"resolution": 10, "average_over": 1},
                "features": {"min_valid_fraction": 0, "stored": False},
                "imagery": {
                    "max_cloud_cover": 25,
                    "also": [{"collection": "sentinel-1-grd", "name": "S1", "bands": ["VV"]}],
                },
            },
            id="all that has a margin",
        ),
        pytest.param(
            {
                "clouds": {
                    "resolution": 80,
                    "shadows": True,
                    "shadow_reach": 1600,
                    "snow": True,
                    "temporal": True,
                },
                "imagery": {"max_cloud_cover": 60},
            },
            id="shadows and the season",
        ),
    ],
)
def test_patches_of_any_size_equal_the_same_ground_as_one(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    folders = {size: tmp_path / str(size) for size in (960, 480, 320)}
    for folder in folders.values():
        folder.mkdir()
    one, *others = (made(ground(folder, size, **sections)) for size, folder in folders.items())
    (whole,) = one.patches
    model = model_of(one.opened("features", whole))
    for each in (one, *others):
        each.map_with(model)
    assert [len(each.patches) for each in others] == [4, 9]
    if "map" in sections:
        assert (
            one.opened("features", whole).margin == Postprocessing.of(one.config).margin == 17 + 29
        )
    found = one.opened("predictions", whole).read("class")
    assert len(np.unique(found)) == 10
    for each in others:
        assert list(differences(one, each)) == []
