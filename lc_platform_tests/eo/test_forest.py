"""The kernel that walks LightGBM's trees, against LightGBM."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from s2cloudless.cloud_detector import S2PixelCloudDetector

from lc_platform.eo import classifier as classify
from lc_platform.eo import clouds
from lc_platform.eo.forest import Forest, UnsupportedForestError, forest_of

MULTICLASS = {"objective": "multiclass", "num_class": 3}
BINARY = {"objective": "binary"}


def trained(
    parameters: dict[str, Any],
    *,
    features: int = 4,
    rounds: int = 5,
    missing: float = 0.2,
    seed: int = 0,
    samples: int = 400,
    **data: Any,
) -> lightgbm.Booster:
    """A model of noise, so that its trees split on everything."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(samples, features)).astype(np.float32)
    labels = rng.integers(0, parameters.get("num_class", 2), samples)
    # Missing by chance and by label, so that either side is some split's better one.
    values[rng.random(values.shape) < missing * (0.5 + labels[:, np.newaxis])] = np.nan
    quiet = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3, "seed": seed}
    return lightgbm.train(
        quiet | parameters, lightgbm.Dataset(values, labels, **data), num_boost_round=rounds
    )


def pixels(count: int, features: int, seed: int, missing: float = 0.2) -> NDArray[np.float32]:
    """Values within, at, between and far beyond those of training."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1.5, (count, features)).astype(np.float32)
    odd = np.array([0.0, -0.0, 1e-36, -1e-36, 1e-34, 1e30, -1e30, np.inf, -np.inf], np.float32)
    values = np.where(rng.random(values.shape) < 0.1, rng.choice(odd, values.shape), values)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def assert_equal_to_lightgbm(booster: lightgbm.Booster, values: NDArray[Any]) -> None:
    forest = Forest.of(booster)
    raw = booster.predict(values, raw_score=True, num_threads=1)
    expected = np.asarray(booster.predict(values, num_threads=1))
    np.testing.assert_array_equal(forest.raw(values, threads=1), raw)
    found = forest.predict(values, threads=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)
    if expected.ndim == 2:
        np.testing.assert_array_equal(found.argmax(axis=1), np.float32(expected).argmax(axis=1))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    parameters=st.sampled_from([BINARY, MULTICLASS, BINARY | {"sigmoid": 0.7}]),
    features=st.integers(1, 12),
    rounds=st.integers(1, 6),
    leaves=st.sampled_from([2, 5, 31]),
    missing=st.sampled_from([0.0, 0.3]),
    use_missing=st.booleans(),
    count=st.sampled_from([1, 255, 256, 257, 1500]),
    different=st.sampled_from([1, 5, 1500]),
    double=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
def test_the_forest_of_any_model_gives_lightgbms_scores(
    parameters: dict[str, Any],
    features: int,
    rounds: int,
    leaves: int,
    missing: float,
    use_missing: bool,
    count: int,
    different: int,
    double: bool,
    seed: int,
) -> None:
    settings = parameters | {"num_leaves": leaves, "use_missing": use_missing}
    booster = trained(settings, features=features, rounds=rounds, missing=missing, seed=seed)
    values = pixels(min(different, count), features, seed)
    values = values[np.random.default_rng(seed).integers(0, len(values), count)]
    assert_equal_to_lightgbm(booster, values.astype(np.float64) / 3 if double else values)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), double=st.booleans())
def test_a_value_at_a_threshold_or_one_step_beside_it_goes_lightgbms_way(
    seed: int, double: bool
) -> None:
    booster = trained(BINARY, features=3, seed=seed)
    nodes = booster.trees_to_dataframe()["threshold"].dropna().to_numpy()
    dtype = np.float64 if double else np.float32
    near = np.clip(nodes, -1e30, 1e30).astype(dtype)
    near = np.concatenate([near, np.nextafter(near, dtype(9e9)), np.nextafter(near, dtype(-9e9))])
    assert_equal_to_lightgbm(booster, np.random.default_rng(seed).choice(near, (500, 3)))


def test_missing_values_go_left_and_right_as_they_were_trained_to() -> None:
    booster = trained(BINARY, rounds=20, missing=0.4)
    directions = booster.trees_to_dataframe()["missing_direction"].dropna()
    assert set(directions) == {"left", "right"}
    assert_equal_to_lightgbm(booster, pixels(3000, 4, seed=1, missing=0.6))
    assert_equal_to_lightgbm(booster, np.full((3, 4), np.nan, np.float32))


def test_missing_values_are_zero_for_a_model_that_never_saw_one() -> None:
    booster = trained(BINARY, missing=0)
    zeros = np.zeros((1, 4), np.float32)
    found = Forest.of(booster).raw(np.full((1, 4), np.nan, np.float32))
    np.testing.assert_array_equal(found, booster.predict(zeros, raw_score=True))


@pytest.mark.parametrize("parameters", [BINARY, pytest.param(MULTICLASS, marks=pytest.mark.slow)])
def test_300_features_are_walked(parameters: dict[str, Any]) -> None:
    booster = trained(parameters | {"max_bin": 60}, features=300, rounds=30, samples=600)
    assert_equal_to_lightgbm(booster, pixels(777, 300, seed=2))


@pytest.mark.parametrize("parameters", [BINARY, MULTICLASS])
def test_trees_of_one_leaf_add_their_value(parameters: dict[str, Any]) -> None:
    booster = trained(parameters | {"min_data_in_leaf": 400}, rounds=2)
    assert_equal_to_lightgbm(booster, pixels(20, 4, seed=3))


def test_a_feature_may_have_255_thresholds() -> None:
    values = np.repeat(np.arange(256, dtype=np.float32), 8)[:, np.newaxis]
    labels = values[:, 0] % 2
    parameters = BINARY | {"verbosity": -1, "max_bin": 256, "num_leaves": 256, "num_threads": 1}
    many = parameters | {"min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0, "min_data_in_bin": 1}
    booster = lightgbm.train(many, lightgbm.Dataset(values, labels), num_boost_round=30)
    assert booster.trees_to_dataframe()["threshold"].nunique() == 255
    assert_equal_to_lightgbm(booster, values)


@pytest.mark.parametrize(
    "view",
    [
        lambda values: np.asfortranarray(values),
        lambda values: np.repeat(np.repeat(values, 2, axis=0), 3, axis=1)[::2, ::3],
        lambda values: np.ascontiguousarray(values[::-1, ::-1])[::-1, ::-1],
        lambda values: np.broadcast_to(values[:1], values.shape),
        lambda values: values[:0],
    ],
    ids=["feature first", "strided", "reversed", "broadcast", "empty"],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_features_of_any_layout_are_read_as_they_are(
    view: Callable[[NDArray[np.float32]], NDArray[np.float32]], read_only: bool
) -> None:
    forest = Forest.of(trained(MULTICLASS))
    values = view(pixels(300, 4, seed=4))
    if read_only:
        values.flags.writeable = False
    before = values.copy()
    np.testing.assert_array_equal(forest.raw(values), forest.raw(np.ascontiguousarray(values)))
    np.testing.assert_array_equal(values, before)
    assert forest.predict(values).shape == (len(values), 3)


@pytest.mark.parametrize("parameters", [BINARY, MULTICLASS])
def test_the_scores_do_not_depend_on_the_threads(parameters: dict[str, Any]) -> None:
    forest = Forest.of(trained(parameters))
    values = pixels(50_001, 4, seed=5)
    for threads in (2, 3, 0):
        np.testing.assert_array_equal(
            forest.raw(values, threads=threads), forest.raw(values, threads=1)
        )


@pytest.mark.parametrize("parameters", [BINARY, MULTICLASS])
def test_more_pixels_than_are_walked_together_get_lightgbms_scores(
    parameters: dict[str, Any],
) -> None:
    booster = trained(parameters | {"num_leaves": 63}, features=6, rounds=8)
    values = pixels(20_001, 6, seed=8)
    expected = booster.predict(values, raw_score=True, num_threads=1)
    np.testing.assert_array_equal(Forest.of(booster).raw(values, threads=2), expected)


def test_features_that_are_not_the_models_are_refused() -> None:
    forest = Forest.of(trained(BINARY))
    with pytest.raises(ValueError, match=r"\(pixel, feature\) with 4 features; .* \(9, 5\)"):
        forest.raw(np.zeros((9, 5), np.float32))
    with pytest.raises(ValueError, match="must be float32 or float64; they are uint16"):
        forest.raw(np.zeros((9, 4), np.uint16))  # type: ignore[arg-type]


def unsupported() -> dict[str, tuple[str, lightgbm.Booster]]:
    random_forest = {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}
    fine = {"max_bin": 1000, "min_data_in_bin": 1, "num_leaves": 200, "min_data_in_leaf": 1}
    return {
        "thresholds": (
            "feature Column_0 has [0-9]+ thresholds, more than 255; train with max_bin",
            trained(MULTICLASS | fine, features=1, rounds=20, samples=2000),
        ),
        "categories": (
            "it splits by category",
            trained(
                MULTICLASS | {"min_data_per_group": 1, "cat_smooth": 0},
                missing=0,
                categorical_feature=[0],
            ),
        ),
        "linear": ("its leaves are linear", trained(MULTICLASS | {"linear_tree": True}, missing=0)),
        "zero": ("zero_as_missing", trained(MULTICLASS | {"zero_as_missing": True})),
        "averaged": ("trees are averaged", trained(MULTICLASS | random_forest)),
        "one against all": (
            "objective is 'multiclassova num_class:3 sigmoid:1'; only binary and multiclass",
            trained({"objective": "multiclassova", "num_class": 3}),
        ),
        "regression": ("objective is 'regression'", trained({"objective": "regression"})),
    }


@pytest.mark.parametrize("case", unsupported())
def test_a_model_the_kernel_cannot_walk_is_refused_with_the_reason(case: str) -> None:
    reason, booster = unsupported()[case]
    with pytest.raises(UnsupportedForestError, match=reason):
        Forest.of(booster)


@pytest.mark.parametrize(
    "case", ["thresholds", "categories", "linear", "zero", "averaged", "one against all"]
)
def test_lightgbm_itself_classifies_where_the_kernel_cannot_and_a_warning_says_why(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    reason, booster = unsupported()[case]
    count = booster.num_feature()
    names = tuple(f"f{index}" for index in range(count))
    classifier = classify.Classifier(booster, (1, 2, 3), names)
    values = np.abs(pixels(100, count, seed=6, missing=0))
    with caplog.at_level(logging.WARNING):
        first = classify.probabilities(classifier, values, threads=1)
        second = classify.probabilities(classifier, values, threads=1)
    expected = np.asarray(booster.predict(values, num_threads=1), np.float32)
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, expected)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("LightGBM itself predicts, which takes many times")
    with pytest.raises(UnsupportedForestError, match=reason):
        Forest.of(booster)


def test_a_booster_has_one_forest_until_it_is_trained_further() -> None:
    values = np.random.default_rng(0).random((100, 2))
    data = lightgbm.Dataset(values, values[:, 0] > 0.5, free_raw_data=False)
    booster = lightgbm.Booster({"objective": "binary", "verbosity": -1}, data)
    booster.update()
    first = forest_of(booster)
    assert first is not None
    assert forest_of(booster) is first
    booster.update()
    second = forest_of(booster)
    assert second is not None
    np.testing.assert_array_equal(second.raw(values), booster.predict(values, raw_score=True))


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), brightest=st.sampled_from([0.5, 1.8, 6.5]))
def test_cloud_scores_of_any_reflectance_are_s2cloudless_to_the_bit(
    seed: int, brightest: float
) -> None:
    rng = np.random.default_rng(seed)
    digital = rng.integers(0, int(brightest * 10_000), (3001, 10))
    assert_equal_to_lightgbm(
        S2PixelCloudDetector().classifier.classifier, digital.astype(np.float32) / np.float32(1e4)
    )


def test_cloud_probability_is_that_of_the_published_detector() -> None:
    rng = np.random.default_rng(7)
    reflectance = rng.random((2, 10, 40, 50), dtype=np.float32)
    maps = S2PixelCloudDetector().get_cloud_probability_maps(reflectance.transpose(0, 2, 3, 1))
    found = clouds.s2cloudless_probability(reflectance, threads=2)
    np.testing.assert_allclose(found, maps, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(found > 0.4, maps > 0.4)
