"""Samples and features of three classes that differ in one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lc_platform.products.features import FeatureStack
from lc_platform.products.options import TrainingOptions
from lc_platform.products.training_samples import Samples
from lc_platform_tests.products import cubes

CLASSES = {3: "meadow", 20: "forest", 200: "water"}
YEAR = 2018
SETTINGS = TrainingOptions(
    classes=CLASSES,
    method="lightgbm",
    parameters={"num_iterations": 5, "min_data_in_leaf": 2},
    test_fraction=0.25,
    folds=0,
    calibration="none",
    seed=42,
    threads=1,
)
NAMES = ("NDVI_001", "NDVI_017")


def samples(
    patch: str, classes: Sequence[int] = (3, 20, 200), names: tuple[str, ...] = NAMES
) -> Samples:
    """Ten pixels a class; the first feature tells them apart, but for some noise."""
    labels = np.repeat(np.array(classes, np.uint8), 10)
    rng = np.random.default_rng(sum(map(ord, patch)))
    values = rng.normal(0, 1, (len(labels), len(names))).astype(np.float32)
    if len(names):
        values[:, 0] += labels / 10
    index = np.arange(len(labels), dtype=np.int32)
    # A polygon a class, of this patch alone: ids are the same in every patch.
    polygons = index // 10 + 1 + 1000 * sum(map(ord, patch))
    return Samples(patch, 2018, names, values, labels, index, index, polygons.astype(np.uint32))


def eight(**changed: Samples) -> dict[str, Samples]:
    return {f"p{i}": samples(f"p{i}") for i in range(8)} | changed


SHOWN = {3: ("meadow", "#00ff00"), 20: ("forest", "#004400"), 200: ("water", "#0000ff")}
"""id -> (name, colour)"""


def stack(shape: tuple[int, int], seed: int = 1, **more: Any) -> FeatureStack:
    """Values as the model's samples have them, one in ten missing."""
    rng = np.random.default_rng(seed)
    values = rng.choice([0.3, 2, 20], (1, 1, *shape)) + rng.normal(0, 1, (2, 1, *shape))
    values[rng.random(values.shape) < 0.1] = np.nan
    return cubes.feature_stack(values, ("NDVI",), (0, 16), **more)
