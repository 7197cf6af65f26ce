"""How right a map is on ground that training has not seen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lc_platform.cube import InMemoryCube
from lc_platform.errors import DataError
from lc_platform.products.evaluation import Evaluation, assess
from lc_platform.products.features import FeatureStack
from lc_platform.products.held_out_predictions import HeldOutPredictions, hold_out
from lc_platform.products.model import LandCoverModel, train
from lc_platform.products.options import EvaluationOptions, HeldOutOptions, PredictionOptions
from lc_platform.products.postprocessing_options import Postprocessing
from lc_platform.products.predictions import predict
from lc_platform.products.reference_rasters import ReferenceMap
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


def evaluated(
    model: LandCoverModel,
    features: dict[str, FeatureStack],
    references: dict[str, ReferenceMap],
    options: EvaluationOptions = ASKED,
    **more: Any,
) -> Evaluation:
    """What `assess` says of held-out predictions of the patches."""
    asked = HeldOutOptions(
        classes=SHOWN, area=options.area, window=options.window, coverage=options.coverage
    )
    held_out = {
        patch: HeldOutPredictions(hold_out(one, references[patch], model, asked).load())
        for patch, one in features.items()
    }
    return assess(model, held_out, references, eight(), options, **more)


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

    metrics = evaluated(model, held_out, references).metrics

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
    by_window = evaluated(model, held_out, references, replace(ASKED, window=16)).metrics
    assert by_window == metrics


def test_a_map_that_is_its_own_reference_is_wholly_right(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    references = {p: cubes.reference(mapped(model, f)) for p, f in held_out.items()}
    evaluation = evaluated(model, held_out, references)
    for name in ("overall_accuracy", "f1_weighted", "f1_macro"):
        assert evaluation.metrics[name] == 1
        assert evaluation.summary.facts[name] == 1


@pytest.mark.parametrize("lacking", ["held_out_predictions", "reference_rasters"])
def test_a_test_patch_that_is_not_there_is_named(
    model: LandCoverModel, held_out: dict[str, FeatureStack], lacking: str
) -> None:
    references = {p: cubes.reference(np.full((20, 30), 3)) for p in held_out}
    made = {
        p: HeldOutPredictions(hold_out(one, references[p], model, HeldOutOptions()).load())
        for p, one in held_out.items()
    }
    gone = model.card["test_patches"][1]
    (made if lacking == "held_out_predictions" else references).pop(gone)
    with pytest.raises(
        DataError,
        match=rf"patch {gone}, 2018: is a test patch of the model and has no {lacking}\. "
        "Materialize them, or train the model again",
    ):
        assess(model, made, references, eight(), ASKED)


def test_predictions_of_another_model_are_refused(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    references = {p: cubes.reference(np.full((20, 30), 3)) for p in held_out}
    other = train(eight(), SETTINGS, year=YEAR)
    made = {
        p: HeldOutPredictions(hold_out(one, references[p], other, HeldOutOptions()).load())
        for p, one in held_out.items()
    }
    with pytest.raises(DataError, match=rf"come from another model than {model.version}"):
        assess(model, made, references, eight(), ASKED)


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
        evaluated(model, held_out, references)


def test_features_that_the_model_was_not_trained_on_are_refused(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    other = {
        p: cubes.feature_stack(np.zeros((2, 1, 20, 30)), ("NDWI",), (0, 16), patch=p)
        for p in held_out
    }
    references = {p: cubes.reference(np.full((20, 30), 3)) for p in held_out}
    with pytest.raises(DataError, match="its features are not those the model was trained on"):
        evaluated(model, other, references)


def test_no_reference_pixel_in_any_test_patch_is_said(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    references = {p: cubes.reference(np.zeros((20, 30))) for p in held_out}
    with pytest.raises(
        DataError,
        match=r"2018: there is no reference pixel with a prediction on any patch that is tested "
        r"\(p\d, p\d\)\. Extend the reference, or choose another sampling\.seed",
    ):
        evaluated(model, held_out, references)


def test_what_lies_beyond_the_area_is_not_counted(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    labels = np.random.default_rng(4).choice([0, 3, 20, 200], (20, 30))
    west = np.where(np.arange(30) < 11, labels, 0)
    clipped = {p: cubes.reference(west) for p in held_out}
    expected = evaluated(model, held_out, clipped).metrics
    references = {p: cubes.reference(labels) for p in held_out}
    found = evaluated(model, held_out, references, replace(ASKED, area=cubes.west_of(11))).metrics
    assert found == expected
    assert found["unclassified_pixels"] > 0  # what is in the area and was never seen counts


def test_patches_without_features_are_named_in_the_metrics(
    model: LandCoverModel, held_out: dict[str, FeatureStack]
) -> None:
    references = {p: cubes.reference(np.full((20, 30), 3)) for p in held_out}
    patches = ["p-z", *held_out, "p-a"]
    metrics = evaluated(model, held_out, references, patches=patches).metrics
    assert metrics["missing_patches"] == ["p-a", "p-z"]


# Folds


@pytest.fixture(scope="module")
def folded() -> LandCoverModel:
    asked = replace(SETTINGS, test_fraction=None, folds=4, calibration="temperature")
    return train(eight(), asked, year=YEAR)


def test_every_pixel_is_predicted_by_the_classifier_that_has_not_seen_its_ground(
    folded: LandCoverModel,
) -> None:
    features = {p: stack((20, 30), seed=i, patch=p) for i, p in enumerate(eight())}
    rng = np.random.default_rng(5)
    labels = {p: rng.choice([0, 3, 20, 200], (20, 30)) for p in features}
    references = {p: cubes.reference(labels[p]) for p in features}
    asked = HeldOutOptions(classes=SHOWN, window=16)
    assert folded.ground is not None
    for patch, one in features.items():
        found = HeldOutPredictions(hold_out(one, references[patch], folded, asked).load())
        (fold,) = set(folded.ground.of_samples(eight()[patch], None).tolist())
        here = labels[patch] != 0
        np.testing.assert_array_equal(found.folds(), np.where(here, fold, 255))
        alone = folded.predict(one.read(), fold=fold)
        np.testing.assert_array_equal(found.classes(), np.where(here, alone.classes, 0))
        np.testing.assert_array_equal(found.confidence(), np.where(here, alone.confidence, 0))
        known = here & (alone.classes != 0)
        percent = found.probabilities()
        assert (percent[:, ~known] == 255).all()
        np.testing.assert_allclose(percent[:, known], 100 * alone.probabilities[:, known], atol=0.5)
        limits = np.array(folded.thresholds(0.9, fold).values, np.float32)
        held = alone.probabilities[:, known] >= limits[:, None]
        sets = found.sets()
        np.testing.assert_array_equal(sets[known], (held * np.array([[1], [2], [4]])).sum(axis=0))


def test_figures_of_folds_are_of_all_reference_pixels(folded: LandCoverModel) -> None:
    features = {p: stack((20, 30), seed=i, patch=p) for i, p in enumerate(eight())}
    rng = np.random.default_rng(6)
    references, counts, covered = {}, {}, 0
    confident, right = [], []
    assert folded.ground is not None
    for patch, one in features.items():
        (fold,) = set(folded.ground.of_samples(eight()[patch], None).tolist())
        found = folded.predict(one.read(), fold=fold)
        wrong = rng.random((20, 30)) < 0.2
        labels = np.where(wrong, rng.choice([3, 20, 200], (20, 30)), found.classes)
        labels[rng.random((20, 30)) < 0.3] = 0
        references[patch] = cubes.reference(labels)
        here = (labels != 0) & (found.classes != 0)
        counts[patch] = np.array(
            [[np.sum(here & (labels == a) & (found.classes == b)) for b in CLASSES]
             for a in CLASSES]
        )  # fmt: skip
        confident.append(found.confidence[here] / 100)
        right.append(labels[here] == found.classes[here])
        limits = dict(zip(CLASSES, folded.thresholds(0.9, fold).values, strict=True))
        at = np.searchsorted([*CLASSES], labels[here])
        own = np.take_along_axis(found.probabilities[:, here], at[None], 0)[0]
        covered += sum(p >= np.float32(limits[c]) for p, c in zip(own, labels[here], strict=True))

    metrics = evaluated(folded, features, references).metrics

    matrix = sum(counts.values())
    assert metrics["confusion_matrix"] == matrix.tolist()
    assert metrics["test_pixels"] == matrix.sum() > 2500
    assert metrics["test_patches"] == [*eight()]
    assert metrics["validation"] == {"folds": 4, "block_size": None, "blocks": 8}
    recall = np.diag(matrix) / matrix.sum(axis=1)
    assert metrics["balanced_accuracy"] == pytest.approx(recall.mean())
    for by, axis in (("reference", 1), ("map", 0)):
        shares = matrix / matrix.sum(axis=axis, keepdims=True)
        np.testing.assert_allclose(metrics[f"confusion_matrix_by_{by}"], shares)
    # An independent bootstrap: blocks drawn with replacement, one less than there are.
    every = np.stack([*counts.values()])
    drawn = [every[rng.integers(0, 8, 7)].sum(axis=0) for _ in range(4000)]
    accuracy = [np.trace(one) / one.sum() for one in drawn]
    low, high = metrics["intervals"]["overall_accuracy"]
    assert low < metrics["overall_accuracy"] < high
    np.testing.assert_allclose([low, high], np.percentile(accuracy, [2.5, 97.5]), atol=0.004)
    water = [2 * one[2, 2] / (one[2].sum() + one[:, 2].sum()) for one in drawn]
    np.testing.assert_allclose(
        metrics["intervals"]["per_class"]["water"]["f1"],
        np.percentile(water, [2.5, 97.5]),
        atol=0.006,
    )
    sure, true = np.concatenate(confident), np.concatenate(right)
    where = np.clip(np.ceil(sure * 15).astype(int) - 1, 0, 14)
    error = sum(
        abs(sure[where == b].mean() - true[where == b].mean()) * np.mean(where == b)
        for b in np.unique(where)
    )
    found = metrics["calibration"]["expected_calibration_error_map"]
    assert found == pytest.approx(error, abs=1e-6)
    assert metrics["prediction_sets"]["coverage"] == 0.9
    assert metrics["prediction_sets"]["covered"] == pytest.approx(covered / matrix.sum())
    for name in ("random_split", "block_split"):
        assert metrics[name]["samples_tested"] > 100
    # A quarter, a half and all of the six blocks that a fold may be trained on.
    assert [one["blocks"] for one in metrics["learning_curve"]] == [2, 3, 6]
    assert json.loads(json.dumps(metrics)) == metrics


def test_one_block_has_no_interval(model: LandCoverModel) -> None:
    test = model.card["test_patches"]
    features = {p: stack((20, 30), seed=i, patch=p) for i, p in enumerate(test)}
    labels = [np.full((20, 30), 3), np.zeros((20, 30))]
    references = {p: cubes.reference(one) for p, one in zip(test, labels, strict=True)}
    metrics = evaluated(model, features, references).metrics
    assert metrics["test_patches"] == [test[0]]
    assert metrics["intervals"] is None
    assert metrics["prediction_sets"] is None


def test_what_is_evaluated_has_the_segments_of_the_map(model: LandCoverModel) -> None:
    done = Postprocessing(segment_size=3, segment_compactness=0.3)
    shape = 20 + 2 * done.margin, 30 + 2 * done.margin
    (patch, *_) = model.card["test_patches"]
    wide = stack(shape, patch=patch).cube
    assert isinstance(wide, InMemoryCube)
    features = FeatureStack(replace(wide, attributes={**wide.attributes, "margin": done.margin}))
    labels = np.random.default_rng(7).choice([0, 3, 20, 200], (20, 30))
    reference = cubes.reference(labels, geobox=features.geobox)
    found = HeldOutPredictions(
        hold_out(
            features, reference, model, HeldOutOptions(classes=SHOWN, window=7, postprocessing=done)
        ).load()
    )
    asked = PredictionOptions(classes=SHOWN, window=16, postprocessing=done)
    published = predict(features, model, asked).load()
    here = labels != 0
    for read, layer in ((found.classes(), "class"), (found.confidence(), "confidence")):
        np.testing.assert_array_equal(read, np.where(here, published.read(layer), 0))
    assert (mapped(model, features) != published.read("class")).sum() > 20
