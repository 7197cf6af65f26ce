"""Area of applicability: the dissimilarity index and its threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import applicability

Features = NDArray[np.floating[Any]]


def plain(
    training: Features, importance: Features, folds: NDArray[Any], pixels: Features
) -> tuple[NDArray[np.float64], float]:
    """The index of pixels (pixel, feature) and the threshold, as the paper has them, sample by
    sample and in double precision."""
    means, deviations = training.mean(axis=0), training.std(axis=0, ddof=1)
    weights = np.maximum(importance, 0)

    def placed(features: Features) -> NDArray[np.float64]:
        return np.asarray((features.astype(np.float64) - means) / deviations * weights)

    known, asked = placed(training), placed(pixels)
    apart = np.array([np.sqrt(((known - one) ** 2).sum(axis=1)) for one in known])
    count = len(known)
    mean_distance = apart.sum() / (count * (count - 1))
    own = np.array([apart[i, folds != folds[i]].min() for i in range(count)]) / mean_distance
    lower, upper = np.quantile(own, [0.25, 0.75])
    threshold = own[own <= upper + 1.5 * (upper - lower)].max()
    index = np.array([np.sqrt(((known - one) ** 2).sum(axis=1)).min() for one in asked])
    return index / mean_distance, float(threshold)


def samples(
    seed: int, count: int, width: int, classes: int = 4
) -> tuple[Features, Features, NDArray[np.int64]]:
    """Training of some classes whose features vary together, with importance and folds."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(3, width))
    centres = generator.normal(size=(classes, 3)) * 4
    training = (
        centres[generator.integers(0, classes, count)] + generator.normal(size=(count, 3))
    ) @ mixing
    training += generator.normal(size=training.shape) * 0.1
    training = training * generator.uniform(0.1, 1000, width) + generator.uniform(0, 5000, width)
    importance = generator.exponential(size=width)
    return training, importance, np.arange(count) % 3


def window(training: Features, seed: int, height: int, width: int) -> NDArray[np.float32]:
    """(feature, y, x): training samples moved a little, a lot, and not at all."""
    generator = np.random.default_rng(seed)
    chosen = training[generator.integers(0, len(training), height * width)]
    moved = generator.normal(size=chosen.shape) * training.std(axis=0)
    moved *= generator.choice([0, 0.1, 3], (len(chosen), 1))
    return np.ascontiguousarray((chosen + moved).T.reshape(-1, height, width), np.float32)


def test_ten_thousand_pixels_have_the_index_of_the_plain_implementation() -> None:
    training, importance, folds = samples(1, 1500, 40)
    importance[7] = -0.5  # has no say, as in the paper
    space = applicability.fit(training, importance, folds)
    pixels = window(training, 2, 100, 100)
    expected, threshold = plain(training, importance, folds, pixels.reshape(40, -1).T)
    found = applicability.dissimilarity(space, pixels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.ravel(), expected, rtol=0, atol=1e-6 * (1 + expected.max()))
    inside = expected < 10
    np.testing.assert_allclose(found.ravel()[inside], expected[inside], rtol=0, atol=1e-6)
    assert inside.sum() > 9000
    assert space.threshold == pytest.approx(threshold, abs=1e-9)
    np.testing.assert_array_equal(
        applicability.is_applicable(space, found).ravel(), expected <= threshold
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.integers(1, 40))
def test_the_search_agrees_with_the_plain_one(seed: int, count: int, width: int) -> None:
    training, importance, folds = samples(seed, count, width)
    space = applicability.fit(training, importance, folds)
    pixels = window(training, seed, 6, 7)
    expected, threshold = plain(training, importance, folds, pixels.reshape(width, -1).T)
    found = applicability.dissimilarity(space, pixels).ravel()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert space.threshold == pytest.approx(threshold, abs=1e-9)


def test_any_window_has_the_values_of_the_whole_to_the_bit() -> None:
    training, importance, folds = samples(3, 500, 30)
    space = applicability.fit(training, importance, folds)
    pixels = window(training, 4, 60, 90)
    whole = applicability.dissimilarity(space, pixels, threads=1)
    part = applicability.dissimilarity(space, pixels[:, 13:50, 27:70], threads=3)
    np.testing.assert_array_equal(part, whole[13:50, 27:70])


def test_what_training_has_seen_is_inside_and_what_it_has_not_is_outside() -> None:
    training, importance, folds = samples(5, 1200, 30)
    space = applicability.fit(training[:600], importance, folds[:600])
    seen = np.ascontiguousarray(training[600:].T[:, None], np.float32)
    index = applicability.dissimilarity(space, seen)
    assert applicability.is_applicable(space, index).mean() > 0.95
    far = seen + 3 * training.std(axis=0)[:, None, None].astype(np.float32)
    index = applicability.dissimilarity(space, far)
    assert applicability.is_applicable(space, index).mean() < 0.05


def test_a_training_sample_itself_has_an_index_of_zero() -> None:
    training, importance, folds = samples(6, 50, 12)
    training = training.astype(np.float32)
    space = applicability.fit(training, importance, folds)
    found = applicability.dissimilarity(space, training.T[:, None])
    np.testing.assert_allclose(found, 0, atol=1e-7)


def test_what_is_missing_counts_as_the_mean_and_what_is_all_missing_is_not_judged() -> None:
    training, importance, folds = samples(7, 80, 5)
    gaps = training.copy()
    gaps[::7, 2] = np.nan
    space = applicability.fit(gaps, importance, folds)
    pixels = window(training, 8, 3, 3)
    pixels[:, 0, 0] = np.nan
    filled = pixels.copy()
    pixels[2, 1, 1], filled[2, 1, 1] = np.nan, np.nanmean(gaps[:, 2])
    found = applicability.dissimilarity(space, pixels)
    assert np.isnan(found[0, 0])
    assert not applicability.is_applicable(space, found)[0, 0]
    assert np.isfinite(found).sum() == 8
    expected = applicability.dissimilarity(space, filled)
    np.testing.assert_allclose(found[1, 1], expected[1, 1], rtol=1e-5)


def test_features_without_a_say_do_not_count_even_where_they_are_missing() -> None:
    training, importance, folds = samples(9, 60, 6)
    importance[3] = 0
    training[:, 4] = 12.0  # never varies
    space = applicability.fit(training, importance, folds)
    assert sorted(space.used) == [0, 1, 2, 5]
    pixels = window(training, 1, 4, 4)
    found = applicability.dissimilarity(space, pixels)
    pixels[3:5] = np.nan
    np.testing.assert_array_equal(applicability.dissimilarity(space, pixels), found)


def test_the_unit_of_a_feature_and_of_the_importance_does_not_matter() -> None:
    training, importance, folds = samples(10, 100, 6)
    pixels = window(training, 2, 5, 5).astype(np.float64)
    space = applicability.fit(training, importance, folds)
    other = applicability.fit(training * 1e-4, importance * 1e6, folds)
    np.testing.assert_allclose(
        applicability.dissimilarity(space, pixels),
        applicability.dissimilarity(other, pixels * 1e-4),
        rtol=1e-5,
    )


def test_samples_that_cannot_tell_are_refused() -> None:
    training, importance, folds = samples(11, 30, 4)
    for changed, message in (
        ((training, importance[:3], folds), "do not agree"),
        ((training, importance, folds[:9]), "do not agree"),
        ((training, importance, folds * 0), "two folds or more"),
        ((training, importance * 0, folds), "importance above 0"),
        ((training * 0, importance, folds), "importance above 0"),
        ((np.full_like(training, np.inf), importance, folds), "finite"),
        ((training, importance * np.nan, folds), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            applicability.fit(*changed)
    space = applicability.fit(training, importance, folds)
    with pytest.raises(ValueError, match="had 4 features; 3 were given"):
        applicability.dissimilarity(space, np.zeros((3, 2, 2), np.float32))


def test_samples_are_drawn_of_each_class_alike_as_far_as_it_has_them() -> None:
    labels = np.repeat(np.array([1, 2, 9], np.uint8), [1000, 5, 500])
    chosen = applicability.choose(labels, 105, seed=4)
    assert (np.diff(chosen) > 0).all()
    assert np.bincount(labels[chosen])[[1, 2, 9]].tolist() == [50, 5, 50]
    np.testing.assert_array_equal(chosen, applicability.choose(labels, 105, seed=4))
    assert (chosen != applicability.choose(labels, 105, seed=5)).any()
    np.testing.assert_array_equal(applicability.choose(labels, 9999, seed=4), np.arange(1505))


def test_percent_tells_inside_from_outside_as_the_threshold_does() -> None:
    training, importance, folds = samples(12, 200, 6)
    space = applicability.fit(training, importance, folds)
    near = np.float32(space.threshold)
    shares = np.array([0, 1e-9, 0.5, 0.501, 1, 1.0000002, 1.001, 2.549, 2.551, 1e9, np.nan])
    index = (near * shares).astype(np.float32)
    index[5] = np.nextafter(near, np.float32(np.inf))
    found = applicability.percent(space, index)
    assert found.tolist() == [1, 1, 50, 51, 100, 101, 101, 255, 255, 255, 255]
    np.testing.assert_array_equal(
        found <= applicability.OUTSIDE, applicability.is_applicable(space, index)
    )


def region(seed: int, centres: Features, noise: float, side: int) -> NDArray[np.float32]:
    """(feature, y, x): fields of 5 x 5 pixels, each of one of some spectra over the dates."""
    generator = np.random.default_rng(seed)
    fields = generator.integers(0, len(centres), (side // 5, side // 5))
    values = centres[np.kron(fields, np.ones((5, 5), np.int64))]
    values = values + generator.normal(size=(side, side, 1)) * noise  # as bright or dark together
    values += generator.normal(size=values.shape) * noise
    return np.ascontiguousarray(values.transpose(2, 0, 1), np.float32)


@pytest.mark.slow
def test_a_region_of_classes_that_training_never_saw_is_outside_and_the_rest_is_not() -> None:
    generator = np.random.default_rng(3)
    seasons = generator.normal(size=(8, 60)) * 0.15 + 0.4  # reflectance on some dates
    known, unknown = seasons[:5], seasons[5:]
    taught = region(1, known, 0.02, 100).reshape(60, -1).T
    blocks = np.kron(np.arange(16).reshape(4, 4) % 5, np.ones((25, 25), np.int64)).ravel()
    importance = generator.exponential(size=60)
    space = applicability.fit(taught, importance, blocks)
    ordinary, foreign = region(2, known, 0.02, 150), region(3, unknown, 0.02, 150)
    outside = {
        name: (applicability.percent(space, applicability.dissimilarity(space, where)) > 100).mean()
        for name, where in (("ordinary", ordinary), ("foreign", foreign))
    }
    assert outside["ordinary"] < 0.05
    assert outside["foreign"] > 0.8
