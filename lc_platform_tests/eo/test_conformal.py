"""Sets of classes that hold the true one as often as was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.eo import conformal
from lc_platform_tests.eo.sharp_probabilities import IDS, sample


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_each_class_is_in_its_pixels_sets_as_often_as_asked(
    coverage: float, temperature: float
) -> None:
    """Within 2 points, however wrong the probabilities are."""
    thresholds = conformal.fit(*sample(60_000, 1, temperature), IDS, coverage)
    given_, labels = sample(60_000, 2, temperature)
    sets = conformal.prediction_sets(given_, thresholds)
    for position, class_id in enumerate(IDS):
        held = sets[labels == class_id, position].mean()
        assert held == pytest.approx(coverage, abs=0.02), class_id


def test_surer_probabilities_give_smaller_sets() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 6000)
    sizes = []
    for clearness in (1.0, 3.0, 9.0):
        logits = rng.normal(0, 1, (6000, 3)) + clearness * np.eye(3)[labels]
        given_ = np.exp(logits).astype(np.float32)
        given_ /= given_.sum(axis=1, keepdims=True)
        thresholds = conformal.fit(given_, labels, range(3), 0.9)
        sizes.append(conformal.prediction_sets(given_, thresholds).sum(axis=1).mean())
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] == pytest.approx(0.9, abs=0.02)  # of classes that are told apart: one or none


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(9, 80), st.sampled_from([0.5, 0.8, 0.9]))
def test_a_threshold_leaves_out_the_share_that_it_may(
    seed: int, pixels: int, coverage: float
) -> None:
    """The plain way: of n pixels and a new one at most (1 - coverage) * (n + 1) are below."""
    given_, _ = sample(pixels, seed)
    labels = np.full(pixels, 7)
    thresholds = conformal.fit(given_, labels, IDS, coverage)
    below = int((given_[:, 2] < np.float32(thresholds.values[2])).sum())
    allowed = (1 - coverage) * (pixels + 1)
    # Probabilities without ties: the threshold itself is one of the pixels.
    assert below + 1 <= allowed + 1e-6 < below + 2


def test_a_class_of_three_pixels_is_in_every_set_and_named() -> None:
    given_, labels = sample(2000, 1)
    kept = np.concatenate([np.flatnonzero(labels != 9), np.flatnonzero(labels == 9)[:3]])
    thresholds = conformal.fit(given_[kept], labels[kept], IDS, 0.9)
    assert thresholds.always == (9,)
    assert conformal.prediction_sets(given_, thresholds)[:, 3].all()


def test_a_pixel_without_data_has_an_empty_set() -> None:
    given_, labels = sample(500, 1)
    thresholds = conformal.fit(given_, labels, IDS, 0.9)
    given_[3] = np.nan
    assert not conformal.prediction_sets(given_, thresholds)[3].any()


def test_sets_are_bits_of_a_number() -> None:
    sets = np.array([[True, False, True], [False, False, False], [True, True, True]])
    assert conformal.to_bits(sets).tolist() == [5, 0, 7]
    assert conformal.to_bits(np.ones((1, 32), np.bool_)).tolist() == [2**32 - 1]
    with pytest.raises(ValueError, match="33 classes"):
        conformal.to_bits(np.ones((1, 33), np.bool_))


@pytest.mark.parametrize("coverage", [0, 1, 90])
def test_a_coverage_out_of_range_is_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        conformal.fit(*sample(30, 1), IDS, coverage)


def test_probabilities_that_do_not_fit_are_refused() -> None:
    given_, labels = sample(500, 1)
    with pytest.raises(ValueError, match="do not sum to one"):
        conformal.fit(given_ / 2, labels, IDS)
    thresholds = conformal.fit(given_, labels, IDS)
    with pytest.raises(ValueError, match="of 3 classes and thresholds of 5"):
        conformal.prediction_sets(given_[:, :3], thresholds)
