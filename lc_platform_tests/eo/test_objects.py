"""Classes of objects from the probabilities of their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import objects


def scene(
    seed: int, height: int, width: int, missing: float = 0.1
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    parcels = generator.choice([0, 1, 2, 40, 2_000_000_000], (height, width)).astype(np.int32)
    drawn = generator.dirichlet([0.5, 0.5, 0.5], (height, width)).astype(np.float32)
    probabilities = np.ascontiguousarray(drawn.transpose(2, 0, 1))
    probabilities[:, generator.random((height, width)) < missing] = np.nan
    return parcels, probabilities


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_an_object_has_the_class_of_the_highest_mean_log_probability(
    seed: int, height: int, width: int
) -> None:
    parcels, probabilities = scene(seed, height, width, 0.3)
    found = objects.decide(objects.accumulate(parcels, probabilities), [3, 5, 9])
    ids = np.array([3, 5, 9])
    assert found.ids.tolist() == [one for one in np.unique(parcels) if one]
    for at, one in enumerate(found.ids):
        pixels = probabilities[:, parcels == one].astype(np.float64)
        pixels = pixels[:, ~np.isnan(pixels).any(axis=0)]
        assert found.pixels[at] == pixels.shape[1]
        if not pixels.shape[1]:
            assert (found.classes[at], found.second[at]) == (0, 0)
            assert np.isnan([found.probability[at], found.agreement[at]]).all()
            continue
        means = np.log(np.maximum(pixels, objects.LEAST)).mean(axis=1)
        best, second = np.argsort(-means)[:2]
        assert (found.classes[at], found.second[at]) == (ids[best], ids[second])
        share = np.exp(means[best]) / np.exp(means).sum()
        assert found.probability[at] == pytest.approx(share, abs=1e-5)
        agreeing = np.mean(pixels.argmax(axis=0) == best)
        assert found.agreement[at] == pytest.approx(agreeing, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.randoms(use_true_random=False),
)
def test_windows_in_any_order_give_what_the_whole_gives(
    seed: int, tile: tuple[int, int], shuffler: object
) -> None:
    parcels, probabilities = scene(seed, 13, 11)
    whole = objects.accumulate(parcels, probabilities)
    parts = [
        objects.accumulate(
            parcels[top : top + tile[0], left : left + tile[1]],
            probabilities[:, top : top + tile[0], left : left + tile[1]],
        )
        for top in range(0, 13, tile[0])
        for left in range(0, 11, tile[1])
    ]
    shuffler.shuffle(parts)  # type: ignore[attr-defined]
    half = len(parts) // 2 or 1
    found = objects.merge([objects.merge(parts[:half]), *parts[half:]])
    np.testing.assert_array_equal(found.ids, whole.ids)
    np.testing.assert_array_equal(found.logarithms, whole.logarithms)
    np.testing.assert_array_equal(found.votes, whole.votes)


def test_one_pixel_that_is_sure_of_another_class_does_not_decide_alone() -> None:
    probabilities = np.full((2, 1, 9), 0.9, np.float32)
    probabilities[1] = 0.1
    probabilities[:, 0, 8] = 0, 1
    found = objects.decide(objects.accumulate(np.ones((1, 9), np.int32), probabilities), [4, 6])
    assert found.classes.tolist() == [4]
    assert found.agreement[0] == pytest.approx(8 / 9)


def test_with_one_class_alone_there_is_no_second() -> None:
    sums = objects.accumulate(np.ones((1, 1), np.int32), np.ones((1, 1, 1), np.float32))
    found = objects.decide(sums, [4])
    assert (found.classes[0], found.probability[0], found.second[0]) == (4, 1, 0)


def test_a_window_without_objects_adds_nothing() -> None:
    _, probabilities = scene(1, 3, 3)
    nothing = objects.accumulate(np.zeros((3, 3), np.int32), probabilities)
    assert nothing.ids.size == 0
    assert objects.decide(nothing, [1, 2, 3]).classes.size == 0
    assert objects.merge([nothing, nothing]).ids.size == 0


def test_what_does_not_fit_is_refused() -> None:
    parcels, probabilities = scene(2, 4, 4, 0)
    with pytest.raises(ValueError, match="do not agree"):
        objects.accumulate(parcels[:3], probabilities)
    with pytest.raises(ValueError, match="Object -1 is below 0"):
        objects.accumulate(np.full((4, 4), -1), probabilities)
    with pytest.raises(ValueError, match="do not sum to one"):
        objects.accumulate(parcels, probabilities * np.float32(0.5))
    sums = objects.accumulate(parcels, probabilities)
    with pytest.raises(ValueError, match="2 class ids are given for sums of 3"):
        objects.decide(sums, [1, 2])
    with pytest.raises(ValueError, match="of 2 and 3 classes"):
        objects.merge([sums, objects.ObjectSums(sums.ids, sums.votes[:, :2], sums.votes[:, :2])])
    with pytest.raises(ValueError, match="of no classes"):
        objects.merge([])
