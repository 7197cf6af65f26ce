"""Validation through a run: what is stored is what its figures are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.config import Config, parse
from lc_platform.platform import Platform
from lc_platform.products.model import LandCoverModel
from lc_platform.products.postprocessing import finish
from lc_platform.products.postprocessing_options import Postprocessing
from lc_platform.storage.raster_cube import RasterCube
from lc_platform_tests.artefacts.snapshots import run
from lc_platform_tests.graphs import YEAR, configured


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Four patches in two folds of small blocks, a mode filter, and sets of classes."""
    asked = configured(
        tmp_path_factory.mktemp("validation"),
        validation={"folds": 2, "block_size": 160},
        map={"mode_window": 3, "prediction_sets": 0.8},
    )
    report = run(asked)
    assert report.succeeded, report.failures
    return asked


def opened(made: Config, asset: str, patch: str | None = None) -> Any:
    year = None if asset == "reference_rasters" else YEAR
    return formats()[asset].open(Platform(made).store, key(asset, patch, year))


def raster(made: Config, asset: str, patch: str, layer: str) -> NDArray[Any]:
    return RasterCube(Platform(made).store, key(asset, patch, YEAR)).read(layer)


@pytest.mark.slow
def test_the_figures_are_of_the_rasters_that_are_stored(made: Config) -> None:
    model: LandCoverModel = opened(made, "model")
    metrics = opened(made, "evaluation").metrics
    ids = [one["id"] for one in metrics["classes"]]
    matrix = np.zeros((len(ids), len(ids)), int)
    held = pixels = 0
    blocks = set()
    for patch in Platform(made).grid().keys:
        reference = opened(made, "reference_rasters", patch)
        truth = reference.unambiguous()
        found = raster(made, "held_out_predictions", patch, "class")
        fold = raster(made, "held_out_predictions", patch, "fold")
        np.testing.assert_array_equal(fold != 255, reference.classes() != 0)
        sets = raster(made, "held_out_predictions", patch, "set_1").astype(int)
        if len(model.card["classes"]) > 8:
            sets |= raster(made, "held_out_predictions", patch, "set_2").astype(int) << 8
        order = {one["id"]: bit for bit, one in enumerate(model.card["classes"])}
        assert model.ground is not None
        of = model.ground.blocks_in(patch, reference.geobox, reference.polygons())
        for true, seen, some, block in zip(truth.flat, found.flat, sets.flat, of.flat, strict=True):
            if true and seen:
                matrix[ids.index(true), ids.index(seen)] += 1
                pixels += 1
                held += true in order and some >> order[true] & 1
                blocks.add(block)
    assert metrics["confusion_matrix"] == matrix.tolist()
    assert metrics["test_pixels"] == pixels > 3000
    assert metrics["overall_accuracy"] == pytest.approx(np.trace(matrix) / pixels)
    assert metrics["prediction_sets"]["coverage"] == 0.8
    assert metrics["prediction_sets"]["covered"] == pytest.approx(held / pixels)
    assert metrics["validation"] == {"folds": 2, "block_size": 160, "blocks": len(blocks)}
    assert metrics["intervals"]["blocks"] == len(blocks) > 4


@pytest.mark.slow
def test_what_is_evaluated_is_the_map_of_the_fold_s_classifier_with_its_filter(
    made: Config,
) -> None:
    model: LandCoverModel = opened(made, "model")
    asked = Postprocessing.of(made)
    assert asked.margin == 1
    changed = 0
    for patch in Platform(made).grid().keys:
        features = opened(made, "features", patch)
        around = (slice(-1, features.geobox.shape[0] + 1), slice(-1, features.geobox.shape[1] + 1))
        fold = raster(made, "held_out_predictions", patch, "fold")
        found = raster(made, "held_out_predictions", patch, "class")
        for number in range(2):
            alone = model.predict(features.read(around), fold=number)
            ids = model.classifier.class_ids
            whole = finish(alone.probabilities, ids, asked, origin=(0, 0))
            np.testing.assert_array_equal(found[fold == number], whole.classes[fold == number])
            changed += np.count_nonzero(whole.classes != alone.classes[1:-1, 1:-1])
    assert changed > 50


@pytest.mark.slow
def test_a_map_has_the_sets_of_classes_that_are_asked_for(made: Config) -> None:
    model: LandCoverModel = opened(made, "model")
    thresholds = np.array(model.thresholds(0.8).values, np.float32)
    for patch in Platform(made).grid().keys:
        features = opened(made, "features", patch)
        cube = RasterCube(Platform(made).store, key("predictions", patch, YEAR))
        bits = sum(
            cube.read(name).astype(int) << (8 * position)
            for position, name in enumerate(n for n in cube.layers if n.startswith("set_"))
        )
        probabilities = model.predict(features.read()).probabilities
        expected = sum(
            (probabilities[i] >= limit).astype(int) << i for i, limit in enumerate(thresholds)
        )
        np.testing.assert_array_equal(bits, expected)
        about = cube.attributes["sets"]
        assert about["coverage"] == 0.8
        assert about["classes"] == [one["id"] for one in model.card["classes"]]


def test_sets_need_folds_and_a_coverage_that_is_prepared() -> None:
    from lc_platform.config import ConfigError
    from lc_platform_tests.graphs import settings

    for sections, message in (
        (
            {"map": {"prediction_sets": 0.9}, "validation": {"folds": 0}},
            r"map\.prediction_sets: .*validation\.folds: 0",
        ),
        (
            {"map": {"prediction_sets": 0.9, "smoothing": "bayes"}},
            r"map\.prediction_sets: .*map\.smoothing \(bayes\)",
        ),
        ({"map": {"prediction_sets": 0.7}}, r"map\.prediction_sets: 0\.7 is none of 0\.8, 0\.9"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse(settings(**sections))


@pytest.mark.slow
@pytest.mark.proof
def test_confidence_is_what_it_says_and_sets_hold_the_class_on_simulated_ground(
    tmp_path: Path,
) -> None:
    """The demonstration's nine patches in the five folds of the default."""
    data = yaml.safe_load(config.template("simulated"))
    data["sampling"]["pixels_per_patch"] = 4000
    del data["validation"]
    data["reference"] = {"attribute": "class_id"}
    report = run(asked := parse(data, tmp_path))
    assert report.succeeded, report.failures
    file = Path(asked.storage_url) / "evaluation" / "2023" / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    calibration = metrics["calibration"]
    assert metrics["test_pixels"] > 400_000
    assert calibration["expected_calibration_error_map"] <= 0.03
    assert abs(metrics["prediction_sets"]["covered"] - 0.9) <= 0.02
    # The gap that neighbours make.
    gap = metrics["random_split"]["overall_accuracy"] - metrics["block_split"]["overall_accuracy"]
    assert gap > 0.01
