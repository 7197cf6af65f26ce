"""Rasters that have no season among the features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.eo import indices, terrain
from lc_platform.products import features
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_options import FeatureOptions
from lc_platform.products.features import FeatureStack
from lc_platform.products.model import train
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.products.training_samples import Samples
from lc_platform_tests.products import cubes
from lc_platform_tests.products.three_classes import SETTINGS as TRAINING
from lc_platform_tests.products.three_classes import eight
from lc_platform_tests.sources.layers.rasters import GRID, NORTH, WEST, hills, layer, raster

SETTINGS = FeatureOptions(
    bands=("B04", "B08"), indices=(indices.KNOWN["NDVI"],), interval=120, window=16
)


def season(margin: int = 0) -> tuple[AcquisitionStack, CloudMasks]:
    rng = np.random.default_rng(1)
    shape = GRID.shape[0] + 2 * margin, GRID.shape[1] + 2 * margin
    numbers = rng.integers(500, 4000, (3, 2, *shape))
    raw = cubes.stack(numbers, [2, 180, 362], ["B04", "B08"], geobox=GRID.pad(margin))
    valid = np.ones((3, *shape), np.bool_)
    valid[:, 4, 5] = False
    return raw, cubes.masks(raw, valid)


def built(*layers: Any) -> tuple[dict[str, NDArray[np.float32]], Any]:
    cube = features.build(*season(), replace(SETTINGS, layers=layers))
    stack = FeatureStack(cube.load())
    return dict(zip(stack.names, stack.read(), strict=True)), cube


def test_layers_are_features_without_a_date_behind_the_others(tmp_path: Path) -> None:
    """What is derived of the terrain reads a pixel beyond the patch, of the raster itself."""
    wide = hills((26, 32), 10, -10, 10)
    dem = raster(tmp_path / "dem.tif", wide[None], west=WEST - 10, north=NORTH + 10)
    soil = np.full((2, 24, 15), 3, np.uint8)
    file = raster(tmp_path / "soil.tif", soil)
    of_soil = replace(layer(file, resampling="nearest"), name="soil")
    found, cube = built(layer(dem, terrain=("slope", "aspect", "curvature")), of_soil)
    assert list(found)[12:] == [
        "elevation", "elevation_slope", "elevation_aspect_sin", "elevation_aspect_cos",
        "elevation_profile_curvature", "elevation_plan_curvature", "soil_b1", "soil_b2",
    ]  # fmt: skip
    unseen = np.zeros(GRID.shape, np.bool_)
    unseen[4, 5] = True  # no class is made of where a pixel lies alone
    np.testing.assert_array_equal(found["elevation"], np.where(unseen, np.nan, wide[1:-1, 1:-1]))
    np.testing.assert_array_equal(
        found["elevation_slope"], np.where(unseen, np.nan, terrain.slope(wide, 10))
    )
    np.testing.assert_array_equal(np.isnan(found["elevation_plan_curvature"]), unseen)
    assert np.isnan(found["soil_b2"][:, 15:]).all()
    assert cube.summary.facts["missing_percent"] == {"elevation": 0, "soil": 50}
    told = cube.attributes["layers"][1]
    assert told["raster"] == "soil.tif"
    assert (told["type"], told["resampling"]) == ("uint8", "nearest")
    assert str(tmp_path) not in str(cube.attributes)
    plain, without = built()
    assert "layers" not in without.attributes
    for name, values in plain.items():
        np.testing.assert_array_equal(found[name], values)


def test_the_card_says_what_each_class_lacks() -> None:
    def lacking(one: Samples) -> Samples:
        values = np.column_stack([one.features, np.ones((len(one), 2), np.float32)])
        values[one.classes == 20, 2] = np.nan
        values[np.flatnonzero(one.classes == 3)[:5], 2] = np.nan
        names = (*one.names, "soil_b1", "soil_b2")
        return replace(one, features=values, names=names)

    every = {patch: lacking(one) for patch, one in eight().items()}
    card = train(every, replace(TRAINING, layers=("soil",)), year=2018).card
    assert card["missing_layers"] == {"soil": {"meadow": pytest.approx(0.5), "forest": 1.0}}
    assert "missing_layers" not in train(every, TRAINING, year=2018).card
