"""The classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import classification_methods
from lc_platform.eo import classifier as classify

NAMES = ("B04_000", "B08_000", "NDVI_016")


def three_classes(count: int = 900) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Samples of classes 3, 7 and 200 that the sum of the first two features tells apart."""
    features = np.random.default_rng(5).random((count, 3), dtype=np.float32)
    position = np.digitize(features[:, :2].sum(axis=1), [0.8, 1.2])
    return features, np.array([3, 7, 200], np.uint8)[position]


def trained(**options: Any) -> classify.Classifier:
    features, labels = three_classes()
    settings: dict[str, Any] = {
        "feature_names": NAMES,
        "parameters": {"num_iterations": 20},
        "seed": 42,
        "threads": 1,
    }
    return lightgbm(options.pop("features", features), labels, **(settings | options))


def lightgbm(*samples: Any, **options: Any) -> classify.Classifier:
    found = classification_methods.train("lightgbm", *samples, **options)
    assert isinstance(found, classify.Classifier)
    return found


@pytest.fixture(scope="module")
def classifier() -> classify.Classifier:
    return trained()


def test_classes_of_any_ids_are_learnt_and_named(classifier: classify.Classifier) -> None:
    features, labels = three_classes()
    found = classify.predict(classifier, features.T.reshape(3, 30, 30), threads=1)
    assert classifier.class_ids == (3, 7, 200)
    assert set(np.unique(found.classes)) == {3, 7, 200}
    assert (found.classes.ravel() == labels).mean() > 0.95
    assert found.probabilities.shape == (3, 30, 30)
    np.testing.assert_allclose(found.probabilities.sum(axis=0), 1, atol=1e-5)


def test_a_window_is_laid_out_as_its_features_are(classifier: classify.Classifier) -> None:
    features = np.random.default_rng(6).random((3, 4, 5), dtype=np.float32)
    features[:, 2, 3] = np.nan
    found = classify.predict(classifier, features, threads=1)
    for row, column in np.ndindex(4, 5):
        alone = classify.predict(
            classifier, features[:, row : row + 1, column : column + 1], threads=1
        )
        assert found.classes[row, column] == alone.classes[0, 0]
        assert found.confidence[row, column] == alone.confidence[0, 0]
        assert found.entropy[row, column] == alone.entropy[0, 0]
        np.testing.assert_array_equal(
            found.probabilities[:, row, column], alone.probabilities[:, 0, 0]
        )


def test_a_pixel_without_any_feature_is_no_data_and_one_with_a_single_feature_is_not(
    classifier: classify.Classifier,
) -> None:
    features = np.full((3, 1, 2), np.nan, np.float32)
    features[2, 0, 1] = 0.5
    found = classify.predict(classifier, features, threads=1)
    assert (found.classes[0, 0], found.confidence[0, 0], found.entropy[0, 0]) == (0, 0, 255)
    assert np.isnan(found.probabilities[:, 0, 0]).all()
    assert found.classes[0, 1] in (3, 7, 200)
    assert 33 <= found.confidence[0, 1] <= 100
    assert found.entropy[0, 1] <= 100


def test_a_window_without_any_data_is_class_0(classifier: classify.Classifier) -> None:
    found = classify.predict(classifier, np.full((3, 2, 2), np.nan, np.float32))
    assert not found.classes.any()
    assert not found.confidence.any()


def test_the_same_seed_gives_the_same_model_whatever_the_threads() -> None:
    randomly = {
        "num_iterations": 5,
        "bagging_fraction": 0.5,
        "bagging_freq": 1,
        "feature_fraction": 0.67,
    }
    features, _ = three_classes()

    def sure(seed: int, threads: int) -> NDArray[np.float32]:
        model = trained(parameters=randomly, seed=seed, threads=threads)
        return classify.probabilities(model, features, threads=1)

    np.testing.assert_array_equal(sure(42, 1), sure(42, 1))
    np.testing.assert_array_equal(sure(42, 1), sure(42, 2))
    assert (sure(42, 1) != sure(43, 1)).any()


def test_samples_of_several_patches_train_the_model_that_all_together_do() -> None:
    features, _ = three_classes()
    together = trained().to_text()
    parts = [features[:10], features[10:10], features[10:]]
    assert trained(features=parts).to_text() == together


def test_the_text_of_a_model_gives_the_same_model_back(classifier: classify.Classifier) -> None:
    text = classifier.to_text()
    again = classify.from_text(text, classifier.class_ids, classifier.feature_names)
    features, _ = three_classes()
    np.testing.assert_array_equal(
        classify.probabilities(again, features), classify.probabilities(classifier, features)
    )
    assert text.startswith("tree\n")
    assert all(name in text for name in NAMES)


def test_a_model_and_a_card_that_do_not_belong_together_are_refused(
    classifier: classify.Classifier,
) -> None:
    text = classifier.to_text()
    with pytest.raises(ValueError, match="3 classes by 3 features; 2 class ids and 3 feature"):
        classify.from_text(text, (3, 7), NAMES)
    with pytest.raises(ValueError, match="do not belong together"):
        classify.from_text(text, (3, 7, 200), NAMES[:2])


def test_a_text_that_is_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="not a LightGBM model"):
        classify.from_text("land cover", (1, 2), NAMES)


def test_given_parameters_are_recorded() -> None:
    model = trained(parameters={"learning_rate": 0.3, "num_iterations": 4})
    assert model.booster.current_iteration() == 4
    assert model.parameters["learning_rate"] == 0.3
    assert model.parameters["num_iterations"] == 4
    assert trained(parameters={}).parameters["num_iterations"] == 100


@pytest.mark.parametrize(("balanced", "expected"), [(False, 0.05), (True, 0.5)])
def test_balanced_classes_weigh_the_same_however_few_their_samples(
    balanced: bool, expected: float
) -> None:
    labels = np.where(np.arange(2000) < 1900, 1, 2).astype(np.uint8)
    blind = np.zeros((2000, 1), np.float32)
    model = lightgbm(
        blind,
        labels,
        feature_names=["a"],
        parameters={"num_iterations": 2},
        seed=1,
        balanced=balanced,
        threads=1,
    )
    # From a feature that tells nothing only the classes' weights are learnt.
    assert classify.probabilities(model, blind[:1])[0, 1] == pytest.approx(expected, abs=1e-3)


def test_a_missing_feature_is_no_zero() -> None:
    labels = np.where(np.arange(600) % 2, 4, 9).astype(np.uint8)
    features = np.where(labels == 4, 0, np.nan).astype(np.float32)[:, np.newaxis]
    features = np.hstack([features, np.ones_like(features)])
    few = {"num_iterations": 5}
    model = lightgbm(features, labels, feature_names=["a", "b"], parameters=few, seed=1, threads=1)
    assert classify.predict(model, features.T.reshape(2, 1, -1)).classes[0, :2].tolist() == [9, 4]


def test_a_single_class_cannot_be_trained_on() -> None:
    features = np.zeros((5, 1), np.float32)
    with pytest.raises(ValueError, match=r"at least two classes; these are of \[4\]"):
        lightgbm(features, np.full(5, 4, np.uint8), feature_names=["a"], parameters={}, seed=1)


def test_no_sample_cannot_be_trained_on() -> None:
    with pytest.raises(ValueError, match=r"at least two classes; these are of \[\]"):
        lightgbm(
            np.zeros((0, 1), np.float32),
            np.zeros(0, np.uint8),
            feature_names=["a"],
            parameters={},
            seed=1,
        )


def test_class_0_names_without_sense_and_shapes_that_do_not_agree_are_refused() -> None:
    features, labels = three_classes(30)
    with pytest.raises(ValueError, match="0 is no data"):
        trained_on(features, np.where(labels == 3, 0, labels), NAMES)
    with pytest.raises(ValueError, match="Feature name 'a,b'"):
        trained_on(features, labels, ("a,b", "c", "d"))
    with pytest.raises(ValueError, match="do not agree with 30 labels and 2 feature names"):
        trained_on(features, labels, NAMES[:2])


def trained_on(
    features: NDArray[np.float32], labels: NDArray[np.uint8], names: tuple[str, ...]
) -> classify.Classifier:
    one = {"num_iterations": 1}
    return lightgbm(features, labels, feature_names=names, parameters=one, seed=1)


def test_a_number_of_features_that_is_not_the_models_is_refused(
    classifier: classify.Classifier,
) -> None:
    with pytest.raises(ValueError, match="trained on 3 features; 4 were given"):
        classify.predict(classifier, np.zeros((4, 1, 1), np.float32))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_the_decision_is_the_most_probable_class_in_whole_percent(
    pixels: int, count: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(count, 0.5), pixels).astype(np.float32)
    ids = np.sort(generator.choice(np.arange(1, 256), count, replace=False)).tolist()
    valid = generator.random(pixels) < 0.7
    probabilities[~valid] = np.nan
    found = classify.decide(probabilities.T[:, np.newaxis], ids, threads=1)
    for pixel in range(pixels):
        decided = found.classes[0, pixel], found.confidence[0, pixel]
        uncertain = found.entropy[0, pixel], found.margin[0, pixel]
        if valid[pixel]:
            row = probabilities[pixel].tolist()
            known = [value for value in row if value > 0]
            first, second = sorted(row)[:-3:-1]
            spread = -sum(value * np.log(value) for value in known) / np.log(count)
            assert decided[0] == ids[row.index(max(row))]
            assert abs(int(decided[1]) - 100 * first) <= 0.5 + 1e-4
            assert abs(int(uncertain[0]) - 100 * spread) <= 0.5 + 1e-4
            assert abs(int(uncertain[1]) - 100 * (first - second)) <= 0.5 + 1e-4
        else:
            assert (*decided, *uncertain) == (0, 0, 255, 255)


def decided(*rows: list[float]) -> classify.Prediction:
    """Of pixels in a row, each with the probabilities of its classes."""
    probabilities = np.array(rows, np.float32).T[:, np.newaxis]
    return classify.decide(probabilities, range(1, len(rows[0]) + 1))


def test_of_equally_probable_classes_the_first_is_taken() -> None:
    found = decided([0.25, 0.375, 0.375])
    assert (found.classes[0, 0], found.confidence[0, 0]) == (2, 38)


def test_the_margin_is_how_far_the_first_class_is_ahead_of_the_second() -> None:
    found = decided([0.7, 0.1, 0.2], [0.3, 0.4, 0.3], [0.5, 0, 0.5], [1, 0, 0], [np.nan] * 3)
    assert found.margin[0].tolist() == [50, 10, 0, 100, classify.MARGIN_NO_DATA]


def test_entropy_is_0_when_certain_and_100_when_all_are_equal() -> None:
    found = decided([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [np.nan] * 4)
    # One of two equal halves out of four classes: log 2 / log 4 = 50 %.
    assert found.entropy[0].tolist() == [0, 100, 50, classify.ENTROPY_NO_DATA]


def test_a_decision_needs_as_many_probabilities_as_classes() -> None:
    with pytest.raises(ValueError, match="3 classes do not fit probabilities of 2"):
        classify.decide(np.full((2, 1, 1), 0.5, np.float32), (1, 2, 3))
