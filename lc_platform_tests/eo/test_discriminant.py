"""The shrunk linear discriminant, alone and beside trees."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.eo import classification_methods, discriminant, linear_model
from lc_platform.eo.linear_model import LinearModel
from lc_platform.eo.training_table import TrainingTable, polygon_weights

NAMES = tuple(f"f{i}" for i in range(12))
PARAMETERS = {"num_iterations": 5, "min_data_in_leaf": 2}


def samples(seed: int, count: int, gaps: bool = False) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features (sample, feature) that vary together, and classes 2, 5 and 9, not as frequent."""
    rng = np.random.default_rng(seed)
    labels = np.array([2, 5, 9], np.uint8)[rng.choice(3, count, p=[0.6, 0.3, 0.1])]
    mixing = np.random.default_rng(0).normal(size=(4, 12))
    centres = np.random.default_rng(1).normal(size=(10, 4)) * 1.5
    values = (centres[labels] + rng.normal(size=(count, 4))) @ mixing
    values = (values + rng.normal(size=values.shape) * 0.3) * np.logspace(-2, 3, 12) + 50
    if gaps:
        values[rng.random(values.shape) < 0.1] = np.nan
    return values.astype(np.float32), labels


def plain(
    training: NDArray[Any],
    labels: NDArray[Any],
    asked: NDArray[Any],
    balanced: bool,
    weights: NDArray[Any] | None = None,
    shrinkage: float | None = None,
) -> tuple[NDArray[Any], float]:
    """Probabilities and shrinkage, as the papers have them, from densities; without gaps and, for
    the shrinkage, with every sample's outer product."""
    training, asked = training.astype(np.float64), asked.astype(np.float64)
    ids = np.unique(labels)
    own = np.ones(len(labels)) if weights is None else weights
    totals = np.array([own[labels == i].sum() for i in ids])
    priors = np.full(len(ids), 1 / len(ids)) if balanced else totals / totals.sum()
    centres = np.array(
        [np.average(training[labels == i], axis=0, weights=own[labels == i]) for i in ids]
    )
    at = np.searchsorted(ids, labels)
    shares = (priors / totals)[at] * own
    apart = training - centres[at]
    scale = np.sqrt((shares[:, None] * apart**2).sum(axis=0))
    apart = apart / scale
    own = np.einsum("i,ij,ik->jk", shares, apart, apart)
    target = np.eye(len(scale)) * np.trace(own) / len(scale)
    outer = np.einsum("ij,ik->ijk", apart, apart)
    error = (shares**2 * ((outer - own) ** 2).sum(axis=(1, 2))).sum()
    if not balanced and weights is None:  # the paper's own samples all have the same share
        assert np.allclose(shares, 1 / len(labels))
    shrinkage = shrinkage or min(error / ((own - target) ** 2).sum(), 1)
    inverse = np.linalg.inv((1 - shrinkage) * own + shrinkage * target)
    scores = []
    for centre, prior in zip(centres, priors, strict=True):
        far = (asked - centre) / scale
        scores.append(np.log(prior) - np.einsum("ij,jk,ik->i", far, inverse, far) / 2)
    densities = np.exp(np.array(scores).T - np.max(scores, axis=0)[:, None])
    return densities / densities.sum(axis=1, keepdims=True), shrinkage


def trained(features: Any, labels: NDArray[Any], **options: Any) -> LinearModel:
    return discriminant.train(TrainingTable.of(features, labels, **options))


@pytest.mark.parametrize("count", [40, 400])
def test_probabilities_are_those_of_the_densities(count: int) -> None:
    training, labels = samples(1, count)
    asked, _ = samples(2, 100)
    found = trained(training, labels, feature_names=NAMES)
    expected, shrinkage = plain(training, labels, asked, balanced=False)
    assert found.parameters["shrinkage"] == pytest.approx(shrinkage, rel=1e-6)
    np.testing.assert_allclose(found.probabilities(asked), expected, atol=2e-5)
    assert found.class_ids == (2, 5, 9)


@pytest.mark.parametrize("balanced", [False, True])
def test_samples_count_as_much_as_they_weigh(balanced: bool) -> None:
    training, labels = samples(1, 200)
    asked, _ = samples(2, 50)
    weights = np.random.default_rng(3).uniform(0.2, 3, len(labels))
    options: dict[str, Any] = {"feature_names": NAMES, "balanced": balanced}
    found = trained(training, labels, sample_weights=weights, **options)
    # How far the covariance is shrunk the paper says of samples that weigh the same.
    shrunk = found.parameters["shrinkage"]
    assert shrunk == pytest.approx(plain(training, labels, asked, balanced, weights)[1], rel=0.3)
    expected, _ = plain(training, labels, asked, balanced, weights, shrunk)
    np.testing.assert_allclose(found.probabilities(asked), expected, atol=2e-5)


def test_classes_weigh_as_much_as_is_asked_and_polygons_the_same() -> None:
    labels = np.array([2] * 6 + [5] * 2 + [9] * 2, np.uint8)
    polygons = np.array([1, 1, 1, 1, 2, 0, 3, 3, 4, 5], np.uint32)
    table = TrainingTable.of(
        np.zeros((10, 1), np.float32),
        labels,
        feature_names=["f"],
        class_weights={5: 3.0},
        sample_weights=polygon_weights(polygons),
    )
    assert table.weights is not None
    assert table.weights.mean() == pytest.approx(1)
    of_class = np.bincount(labels, table.weights)[[2, 5, 9]]
    np.testing.assert_allclose(of_class / of_class[0], [1, 3, 1])
    # Polygons 1 and 2, and the sample of none, weigh the same.
    np.testing.assert_allclose(table.weights[:4].sum(), table.weights[[4, 5]])


def test_balanced_classes_are_as_probable_as_one_another() -> None:
    training, labels = samples(1, 900)
    alike = np.concatenate([np.flatnonzero(labels == i)[:40] for i in (2, 5, 9)])
    one = trained(training[alike], labels[alike], feature_names=NAMES, balanced=True)
    other = trained(training[alike], labels[alike], feature_names=NAMES)
    np.testing.assert_allclose(one.probabilities(training), other.probabilities(training))
    rare = (
        trained(training, labels, feature_names=NAMES, balanced=balanced)
        .probabilities(training)[:, 2]
        .mean()
        for balanced in (True, False)
    )
    assert next(rare) > next(rare)


def test_a_missing_value_counts_as_the_mean() -> None:
    training, labels = samples(3, 300, gaps=True)
    found = trained(training, labels, feature_names=NAMES)
    asked, _ = samples(4, 50, gaps=True)
    filled = np.where(np.isnan(asked), np.nanmean(training, axis=0), asked).astype(np.float32)
    np.testing.assert_allclose(found.probabilities(asked), found.probabilities(filled), atol=1e-4)
    assert np.isfinite(found.probabilities(np.full((1, 12), np.nan, np.float32))).all()


def test_neither_parts_nor_windows_nor_threads_change_anything() -> None:
    training, labels = samples(5, 500, gaps=True)
    whole = trained(training, labels, feature_names=NAMES)
    parts = trained([training[:200], training[200:]], labels, feature_names=NAMES)
    np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-9)
    asked, _ = samples(6, 40_000)
    expected = whole.probabilities(asked, threads=1)
    np.testing.assert_array_equal(whole.probabilities(asked, threads=3), expected)
    np.testing.assert_array_equal(whole.probabilities(asked[77:1234]), expected[77:1234])
    columns = np.ascontiguousarray(asked.T).T  # as windows have them
    np.testing.assert_array_equal(whole.probabilities(columns), expected)


def test_a_class_without_samples_is_never_given() -> None:
    training, labels = samples(7, 300)
    found = trained(training, labels, feature_names=NAMES, class_ids=(1, 2, 5, 9), balanced=True)
    assert found.probabilities(training).shape == (300, 4)
    assert (found.probabilities(training)[:, 0] == 0).all()


def test_of_one_class_alone_there_is_but_one_answer() -> None:
    training, _ = samples(7, 60)
    found = trained(
        training, np.full(60, 5), feature_names=NAMES, class_ids=(2, 5, 9), balanced=True
    )
    np.testing.assert_array_equal(found.probabilities(training), np.tile([0, 1, 0], (60, 1)))


def test_features_that_never_vary_or_repeat_do_no_harm() -> None:
    training, labels = samples(8, 300)
    training[:, 3], training[:, 4] = 7, training[:, 5]
    found = trained(training, labels, feature_names=NAMES).probabilities(training)
    assert np.isfinite(found).all()
    assert (np.array([2, 5, 9])[found.argmax(axis=1)] == labels).mean() > 0.8


def test_one_class_is_refused() -> None:
    training, _ = samples(9, 20)
    with pytest.raises(ValueError, match=r"at least two classes; these are of \[5\]"):
        trained(training, np.full(20, 5), feature_names=NAMES)


@pytest.mark.parametrize("method", ["lightgbm", "discriminant", "combined"])
def test_a_classifier_comes_back_from_its_text(method: classification_methods.Method) -> None:
    training, labels = samples(10, 300, gaps=True)
    found = classification_methods.train(
        method, training, labels, feature_names=NAMES, parameters=PARAMETERS, seed=1
    )
    again = classification_methods.from_text(found.to_text(), found.class_ids, NAMES)
    np.testing.assert_array_equal(again.probabilities(training), found.probabilities(training))
    np.testing.assert_array_equal(again.importance(), found.importance())
    assert again.to_text() == found.to_text()


def test_both_give_the_mean_of_each_and_lightgbm_reads_its_part() -> None:
    training, labels = samples(11, 300)

    def by(method: classification_methods.Method) -> Any:
        return classification_methods.train(
            method, training, labels, feature_names=NAMES, parameters=PARAMETERS, seed=1
        )

    both, trees = by("combined"), by("lightgbm").probabilities(training)
    linear = by("discriminant").probabilities(training)
    np.testing.assert_allclose(both.probabilities(training), (trees + linear) / 2, atol=1e-6)
    booster = lightgbm.Booster(model_str=both.to_text())
    np.testing.assert_allclose(booster.predict(training), trees, atol=1e-6)
    identity = classification_methods.identity
    assert identity(both.to_text()) != identity(by("lightgbm").to_text())


def test_a_text_that_does_not_fit_its_card_is_refused() -> None:
    training, labels = samples(12, 100)
    text = trained(training, labels, feature_names=NAMES).to_text()
    with pytest.raises(ValueError, match="do not belong together"):
        linear_model.from_text(text, (2, 5), NAMES)
    with pytest.raises(ValueError, match="is no linear classifier"):
        linear_model.from_text('{"means": []}', (2, 5), NAMES)
