"""What all methods that users choose from have in common, and logistic regression."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.config.model import NETWORK_DEFAULTS
from lc_platform.eo import classification_methods
from lc_platform.eo.classification_methods import METHODS, Member, from_text, identity

OF_ANY_FEATURES = [method for method in METHODS if method not in NETWORK_DEFAULTS]
"""Networks read series alone; `test_temporal_networks` has them."""
NAMES = tuple(f"f{i}" for i in range(8))
PARAMETERS: dict[str, dict[str, Any]] = {
    "lightgbm": {"num_iterations": 4, "min_data_in_leaf": 3},
    "combined": {"num_iterations": 4, "min_data_in_leaf": 3},
    "random_forest": {"n_estimators": 4},
    "extra_trees": {"n_estimators": 4},
}
MIXED = (
    Member("extra_trees", 3.0, PARAMETERS["extra_trees"]),
    Member("logistic"),
    Member("lightgbm", 0.5, PARAMETERS["lightgbm"]),
)


def samples(seed: int, count: int = 300) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    labels = np.array([2, 5, 9], np.uint8)[rng.choice(3, count, p=[0.6, 0.3, 0.1])]
    centres = np.random.default_rng(1).normal(size=(10, 8)) * 1.5
    values = centres[labels] + rng.normal(size=(count, 8))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values.astype(np.float32), labels


def trained(method: str, **options: Any) -> classification_methods.ProbabilityModel:
    values, labels = samples(1)
    chosen = {"parameters": PARAMETERS.get(method, {}), "seed": 1, "threads": 1} | options
    return classification_methods.train(method, values, labels, feature_names=NAMES, **chosen)


@pytest.mark.parametrize("method", OF_ANY_FEATURES)
def test_every_method_learns_and_comes_back_from_its_text(method: str) -> None:
    found = trained(method)
    asked, labels = samples(2)
    probabilities = found.probabilities(asked)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (np.array(found.class_ids)[probabilities.argmax(axis=1)] == labels).mean() > 0.8
    assert found.importance().shape == (8,)
    again = from_text(found.to_text(), found.class_ids, NAMES, found.parameters)
    np.testing.assert_array_equal(again.probabilities(asked), probabilities)
    np.testing.assert_allclose(again.importance(), found.importance())
    assert again.to_text() == found.to_text()
    assert identity(again.to_text()) == identity(found.to_text())
    assert np.isfinite(found.probabilities(np.full((1, 8), np.nan, np.float32))).all()


def test_no_two_methods_have_the_same_identity() -> None:
    texts = [trained(method).to_text() for method in OF_ANY_FEATURES]
    texts.append(trained("combined", members=MIXED).to_text())
    assert len({identity(text) for text in texts}) == len(texts)


def test_several_methods_give_the_weighted_mean_of_each() -> None:
    mixed = trained("combined", members=MIXED)
    asked, _ = samples(3)
    parts = [trained(one.method, parameters=one.parameters).probabilities(asked) for one in MIXED]
    expected = (3 * parts[0] + parts[1] + 0.5 * parts[2]) / 4.5
    np.testing.assert_allclose(mixed.probabilities(asked), expected, atol=1e-6)
    again = from_text(mixed.to_text(), mixed.class_ids, NAMES)
    np.testing.assert_array_equal(again.probabilities(asked), mixed.probabilities(asked))
    assert again.to_text() == mixed.to_text()
    assert mixed.importance().sum() == pytest.approx(1)
    assert list(mixed.parameters) == ["extra_trees", "logistic", "lightgbm"]
    assert mixed.parameters["extra_trees"]["weight"] == 3


def test_a_text_of_no_method_is_refused() -> None:
    with pytest.raises(ValueError, match="of no known classifier"):
        from_text('{"perceptron": 1}', (1, 2), NAMES)
    with pytest.raises(ValueError, match="of no combined classifiers"):
        from_text('{"combined": [{"method": "logistic"}]}', (1, 2), NAMES)
    with pytest.raises(ValueError, match="'lightgmb' is none of lightgbm, random_forest"):
        trained("lightgmb")


@pytest.mark.parametrize("classes", [(2, 5, 9), (2, 9)])
@pytest.mark.parametrize("balanced", [False, True])
def test_no_other_weights_of_a_regression_fit_better(
    classes: tuple[int, ...], balanced: bool
) -> None:
    """Where the penalized likelihood is greatest its derivatives are 0."""
    values, labels = samples(4)
    chosen = np.isin(labels, classes)
    values, labels = values[chosen], labels[chosen]
    found = classification_methods.train(
        "logistic", values, labels, feature_names=NAMES, balanced=balanced, seed=1,
        parameters={"C": 0.5, "tol": 1e-8, "max_iter": 5000},
    )  # fmt: skip
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    deviations = filled.std(axis=0)
    standard = (filled - filled.mean(axis=0)) / deviations
    hits = labels[:, None] == np.array(classes)
    shares = 1 / hits.sum(axis=0)[None] if balanced else np.full((1, len(classes)), 1 / len(hits))
    weights = (hits * shares).sum(axis=1) * len(hits) / (len(classes) if balanced else 1)
    residuals = weights[:, None] * (found.probabilities(values) - hits)
    assert np.abs(residuals.sum(axis=0)).max() < 0.02  # the offsets' are not penalized
    slopes = found.weights * deviations[:, None]  # type: ignore[attr-defined]
    if len(classes) == 2:  # a weight for the second class alone
        residuals = residuals[:, 1:]
        slopes = slopes[:, 1:]
    np.testing.assert_allclose(standard.T @ residuals + slopes / 0.5, 0, atol=0.02)


def test_a_regression_that_has_not_converged_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        trained("logistic", parameters={"max_iter": 1})
    assert "logistic: not converged after max_iter: 1 iterations" in caplog.text


def test_a_regression_of_one_class_alone_has_but_one_answer() -> None:
    values, _ = samples(5)
    found = classification_methods.train(
        "logistic", values, np.full(len(values), 5), feature_names=NAMES, class_ids=(2, 5),
        parameters={}, seed=1,
    )  # fmt: skip
    np.testing.assert_array_equal(found.probabilities(values[:4]), np.tile([0, 1], (4, 1)))
