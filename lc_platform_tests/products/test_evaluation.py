"""How right a model is on the patches that it has not seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lc_platform.errors import DataError
from lc_platform.products.evaluation import assess
from lc_platform.products.features import FeatureStack
from lc_platform.products.model import LandCoverModel, train
from lc_platform.products.options import EvaluationOptions, PredictionOptions
from lc_platform.products.predictions import predict
from lc_platform_tests.products import cubes
from lc_platform_tests.products.three_classes import CLASSES, SETTINGS, SHOWN, YEAR, eight, stack

ASKED = EvaluationOptions(classes=SHOWN, window=256)


@pytest.fixture(scope="module")
def model() -> LandCoverModel:
    return train(eight(), replace(SETTINGS, parameters={"num_iterations": 30}), year=YEAR)


@pytest.fixture
def held_out(model: LandCoverModel) -> dict[str, FeatureStack]:
    patches = model.card["test_patches"]
    return {p: stack((20, 30), seed=i, patch=p) for i, p in enumerate(patches)}


def mapped(model: LandCoverModel, features: FeatureStack) -> np.ndarray[Any, Any]:
    return predict(features, model, PredictionOptions(classes=SHOWN)).load().read("class")


def test_all_reference_pixels_count_and_only_those_two_classes_claim_do_not(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    one, other = held_out
    rng = np.random.default_rng(3)
    labels = {p: rng.choice([0, 3, 20, 200], (20, 30)) for p in held_out}
    doubtful = {p: rng.random((20, 30)) < 0.2 for p in held_out}
    references = {p: cubes.reference(labels[p], doubtful[p]) for p in held_out}
    # A patch that is not of the test has no say, whatever it is.
    references["p-else"] = cubes.reference(np.full((20, 30), 3))

    metrics = assess(model, held_out, references, ASKED).metrics

    matrix = np.zeros((3, 3), int)
    unclassified = 0
    ids = list(CLASSES)
    for patch, features in held_out.items():
        found = mapped(model, features)
        for true, seen, doubt in zip(
            labels[patch].flat, found.flat, doubtful[patch].flat, strict=True
        ):
            if true and not doubt and seen:
                matrix[ids.index(true), ids.index(seen)] += 1
            unclassified += bool(true and not doubt and not seen)
    assert metrics["confusion_matrix"] == matrix.tolist()
    assert metrics["test_pixels"] == matrix.sum()
    assert metrics["unclassified_pixels"] == unclassified > 0
    assert metrics["overall_accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
    assert metrics["test_patches"] == [one, other] == model.card["test_patches"]
    assert metrics["model_version"] == model.version
    by_window = assess(model, held_out, references, replace(ASKED, window=16)).metrics
    assert by_window == metrics


def test_a_map_that_is_its_own_reference_is_wholly_right(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    references = {p: cubes.reference(mapped(model, f)) for p, f in held_out.items()}
    evaluation = assess(model, held_out, references, ASKED)
    for name in ("overall_accuracy", "f1_weighted", "f1_macro"):
        assert evaluation.metrics[name] == 1
        assert evaluation.summary.facts[name] == 1


@pytest.mark.parametrize("lacking", ["features", "reference_rasters"])
def test_a_test_patch_that_is_not_there_is_named(
    model: LandCoverModel, held_out: dict[str, FeatureStack], lacking: str
) -> None:
    references = {p: cubes.reference(np.full((20, 30), 3)) for p in held_out}
    gone = model.card["test_patches"][1]
    (held_out if lacking == "features" else references).pop(gone)
    with pytest.raises(
        DataError,
        match=rf"patch {gone}, 2018: is a test patch of the model and has no {lacking}\. "
        "Materialize them, or train the model again",
    ):
        assess(model, held_out, references, ASKED)


def test_features_and_reference_of_different_grids_are_refused(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    moved = cubes.grid(20, 30, west=700_000)
    references = {p: cubes.reference(np.ones((20, 30)), geobox=moved) for p in held_out}
    first = model.card["test_patches"][0]
    with pytest.raises(
        DataError,
        match=rf"patch {first}, 2018: features and reference_rasters lie on different grids .*"
        "materialize both of this patch again",
    ):
        assess(model, held_out, references, ASKED)


def test_features_that_the_model_was_not_trained_on_are_refused(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    other = {
        p: cubes.feature_stack(np.zeros((2, 1, 20, 30)), ("NDWI",), (0, 16), patch=p)
        for p in held_out
    }
    references = {p: cubes.reference(np.full((20, 30), 3)) for p in held_out}
    with pytest.raises(DataError, match="its features are not those the model was trained on"):
        assess(model, other, references, ASKED)


def test_no_reference_pixel_in_any_test_patch_is_said(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    references = {p: cubes.reference(np.zeros((20, 30))) for p in held_out}
    with pytest.raises(
        DataError,
        match=r"2018: no test patch has a reference pixel with a prediction \(p\d, p\d\)\. Extend "
        r"the reference, or choose another sampling\.seed",
    ):
        assess(model, held_out, references, ASKED)


def test_what_lies_beyond_the_area_is_not_counted(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    labels = np.random.default_rng(4).choice([0, 3, 20, 200], (20, 30))
    west = np.where(np.arange(30) < 11, labels, 0)
    clipped = {p: cubes.reference(west) for p in held_out}
    expected = assess(model, held_out, clipped, ASKED).metrics
    references = {p: cubes.reference(labels) for p in held_out}
    found = assess(model, held_out, references, replace(ASKED, area=cubes.west_of(11))).metrics
    assert found == expected
    assert found["unclassified_pixels"] > 0  # what is in the area and was never seen counts


def test_patches_without_features_are_named_in_the_metrics(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    references = {p: cubes.reference(np.full((20, 30), 3)) for p in held_out}
    patches = ["p-z", *held_out, "p-a"]
    metrics = assess(model, held_out, references, ASKED, patches=patches).metrics
    assert metrics["missing_patches"] == ["p-a", "p-z"]
