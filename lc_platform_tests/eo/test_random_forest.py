"""Forests that scikit-learn grows and our kernel walks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from lc_platform.eo import random_forest
from lc_platform.eo.random_forest import Kind
from lc_platform.eo.training_table import TrainingTable

pytestmark = pytest.mark.slow

THEIRS = {"random_forest": RandomForestClassifier, "extra_trees": ExtraTreesClassifier}


def samples(
    seed: int, count: int = 400, features: int = 6, missing: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features that repeat some values, 0 and -0 among them, and classes 2, 5 and 9."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, features)).astype(np.float32)
    values[:, 0] = rng.integers(-2, 3, count) * np.float32(-0.5)
    labels = np.array([2, 5, 9])[np.digitize(values[:, :2].sum(axis=1), [-0.5, 0.7])]
    labels = np.where(rng.random(count) < 0.2, 5, labels)
    values[rng.random(values.shape) < missing] = np.nan
    return values, labels


def table(values: NDArray[Any], labels: NDArray[Any], **options: Any) -> TrainingTable:
    names = [f"f{i}" for i in range(values.shape[1])]
    return TrainingTable.of(values, labels, feature_names=names, **options)


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["random_forest", "extra_trees"]),
    missing=st.sampled_from([0.0, 0.1, 0.6]),
    leaf=st.integers(1, 20),
    pixels=st.integers(0, 300),
    balanced=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_probabilities_are_scikit_learns(
    kind: Kind, missing: float, leaf: int, pixels: int, balanced: bool, seed: int
) -> None:
    values, labels = samples(seed, missing=missing)
    given = {"n_estimators": 7, "min_samples_leaf": leaf}
    found = random_forest.train(
        kind, table(values, labels, balanced=balanced), given, seed=seed, threads=1
    )
    weights = np.array([len(labels) / (3 * (labels == one).sum()) for one in labels])
    theirs = THEIRS[kind](**given, random_state=seed)
    theirs.fit(values, labels, sample_weight=weights if balanced else None)
    asked, _ = samples(seed + 1, pixels, missing=0.3)
    asked[::7] = values[: len(asked[::7])]  # at thresholds, or near
    window = np.ascontiguousarray(asked.T).T
    expected = theirs.predict_proba(asked) if pixels else np.empty((0, 3))
    np.testing.assert_allclose(found.probabilities(window), expected, atol=1e-6)
    np.testing.assert_allclose(found.importance(), theirs.feature_importances_)


def test_missing_values_that_training_has_not_seen_go_scikit_learns_way() -> None:
    values, labels = samples(1)
    found = random_forest.train("random_forest", table(values, labels), {}, seed=3, threads=1)
    theirs = RandomForestClassifier(random_state=3).fit(values, labels)
    asked, _ = samples(2, missing=0.5)
    asked[0] = np.nan
    np.testing.assert_allclose(found.probabilities(asked), theirs.predict_proba(asked), atol=1e-6)


def test_threads_and_parts_change_neither_the_forest_nor_its_probabilities() -> None:
    values, labels = samples(4, missing=0.1)
    few = {"n_estimators": 4}
    one = random_forest.train("extra_trees", table(values, labels), few, seed=1, threads=1)
    parts = TrainingTable.of(
        [values[:90], values[90:90], values[90:]], labels, feature_names=one.feature_names
    )
    two = random_forest.train("extra_trees", parts, few, seed=1, threads=2)
    assert one.to_text() == two.to_text()
    asked, _ = samples(5, 1000)
    expected = one.probabilities(asked, threads=1)
    np.testing.assert_array_equal(one.probabilities(asked, threads=2), expected)
    np.testing.assert_array_equal(one.probabilities(asked[77:205]), expected[77:205])


@pytest.mark.parametrize("kind", ["random_forest", "extra_trees"])
def test_large_trees_and_many_pixels_are_scikit_learns(kind: Kind) -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(size=(2500, 250)).astype(np.float32)
    labels = np.array([1, 3, 4, 8])[rng.integers(0, 4, len(values))]  # noise: trees grow deep
    weights = rng.uniform(0.5, 2, len(values))  # leaves of many different shares
    known = table(values, labels, sample_weights=weights)
    given = {"n_estimators": 61, "max_features": 4, "min_samples_leaf": 2}
    found = random_forest.train(kind, known, given, seed=2)
    theirs = THEIRS[kind](**given, random_state=2, n_jobs=-1)
    theirs.fit(values, labels, sample_weight=known.weights)
    asked = np.concatenate([values[:700], rng.normal(size=(4000, 250)).astype(np.float32)])
    asked[1000:3000][rng.random((2000, 250)) < 0.01] = np.nan
    expected = theirs.predict_proba(asked)
    np.testing.assert_allclose(found.probabilities(asked), expected, atol=1e-6)
    by_feature = np.ascontiguousarray(asked.T)
    by_feature.flags.writeable = False
    np.testing.assert_array_equal(
        found.probabilities(by_feature.T, threads=1), found.probabilities(asked, threads=2)
    )


def test_features_of_another_shape_are_refused() -> None:
    values, labels = samples(10, 60)
    found = random_forest.train("random_forest", table(values, labels), {"n_estimators": 2}, seed=1)
    for shape in ((60, 5), (60, 12), (6,)):
        with pytest.raises(
            ValueError, match=r"with 6 features; an array of shape \(.*\) was given"
        ):
            found.probabilities(np.zeros(shape, np.float32))


def test_a_class_without_samples_is_never_given() -> None:
    values, labels = samples(6)
    found = random_forest.train(
        "random_forest", table(values, labels, class_ids=(1, 2, 5, 7, 9)), {}, seed=1
    )
    assert (found.probabilities(values)[:, [0, 3]] == 0).all()
    alone = random_forest.train(
        "random_forest", table(values, np.full(len(values), 5), class_ids=(2, 5)), {}, seed=1
    )
    np.testing.assert_array_equal(alone.probabilities(values[:9]), np.tile([0, 1], (9, 1)))


def damaged(text: str, **changed: Any) -> str:
    told = json.loads(text)
    told["trees"][0] |= changed
    return json.dumps(told)


def test_a_text_that_is_damaged_or_does_not_fit_its_card_is_refused() -> None:
    values, labels = samples(7, 60)
    found = random_forest.train("random_forest", table(values, labels), {"n_estimators": 2}, seed=1)
    text, names = found.to_text(), found.feature_names
    with pytest.raises(ValueError, match="3 classes or more by 6 features; 2 class ids and 6"):
        random_forest.from_text(text, (2, 5), names)
    with pytest.raises(ValueError, match="do not belong together"):
        random_forest.from_text(text, (2, 5, 9), names[:5])
    children = json.loads(text)["trees"][0]["children"]
    for wrong in (
        {"children": [0, *children[1:]]},  # a tree without end
        {"children": children[:-1]},
        {"threshold": []},
        {"shares": [1.0]},
        {"feature": [-1] * (len(children) // 2)},
    ):
        with pytest.raises(ValueError, match="The text is no forest"):
            random_forest.from_text(damaged(text, **wrong), (2, 5, 9), names)


def test_what_scikit_learn_refuses_is_said() -> None:
    values, labels = samples(8, 60)
    with pytest.raises(ValueError, match="'n_estimators' parameter of RandomForestClassifier must"):
        random_forest.train("random_forest", table(values, labels), {"n_estimators": -1}, seed=1)
