"""Bayesian smoothing of class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import smoothing

Probabilities = NDArray[np.float32]


def plain_smooth(
    probabilities: Probabilities, variances: Sequence[float], window: int, fraction: float
) -> NDArray[np.float64]:
    """The same by the paper's equations, a pixel and a class at a time."""
    classes, height, width = probabilities.shape
    reach = window // 2
    smoothed = np.full(probabilities.shape, np.nan)
    for y, x in np.ndindex(height, width):
        if np.isnan(probabilities[:, y, x]).any():
            continue
        rows = slice(max(0, y - reach), y + reach + 1)
        columns = slice(max(0, x - reach), x + reach + 1)
        near = probabilities[:, rows, columns].reshape(classes, -1).astype(np.float64)
        near = near[:, ~np.isnan(near).any(axis=0)]
        for k in range(classes):
            logits = sorted((logit(value) for value in near[k]), reverse=True)
            best = logits[: max(1, ceil(round(fraction * len(logits), 9)))]
            mean = np.mean(best)
            spread = np.var(best, ddof=1) if len(best) > 1 else 0.0
            own, both = logit(probabilities[k, y, x]), spread + variances[k]
            posterior = (spread * own + variances[k] * mean) / both if both else own
            smoothed[k, y, x] = 1 / (1 + exp(-posterior))
    return smoothed / smoothed.sum(axis=0)


def logit(value: float) -> float:
    value = min(max(float(value), smoothing.LEAST), 1 - smoothing.LEAST)
    return log(value / (1 - value))


def scene(
    shape: tuple[int, int, int], seed: int, missing: float = 0.0, sharp: float = 1.0
) -> Probabilities:
    generator = np.random.default_rng(seed)
    drawn = generator.dirichlet(np.full(shape[0], 1 / sharp), shape[1:])
    probabilities = np.ascontiguousarray(drawn.transpose(2, 0, 1).astype(np.float32))
    probabilities[:, generator.random(shape[1:]) < missing] = np.nan
    return probabilities


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 14)),
    st.sampled_from([1, 3, 5, 7, 9, 11, 13]),
    st.sampled_from([0.1, 0.5, 0.8, 1.0]),
    st.sampled_from([0.0, 0.3, 0.9]),
    st.sampled_from([1.0, 20.0]),
    st.integers(0, 2**32 - 1),
)
def test_the_compiled_version_agrees_with_the_equations(
    shape: tuple[int, int, int],
    window: int,
    fraction: float,
    missing: float,
    sharp: float,
    seed: int,
) -> None:
    probabilities = scene(shape, seed, missing, sharp)
    variances = [0.0, 1.0, 20.0, 100.0][: shape[0]]
    found = smoothing.smooth(probabilities, variances, window=window, fraction=fraction)
    assert found.dtype == np.float32
    expected = plain_smooth(probabilities, variances, window, fraction)
    # A map has percents; log-odds of 20 in single precision are known to some 1e-5 of themselves.
    np.testing.assert_allclose(found, expected, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_tiling_gives_the_values_of_the_whole_to_the_bit(data: st.DataObject) -> None:
    window = data.draw(st.sampled_from([3, 5, 7, 9]))
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 300))
    tile = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 150))
    whole = scene((3, height, width), data.draw(st.integers(0, 2**32 - 1)), 0.02)
    variances, margin = [5.0, 20.0, 40.0], smoothing.margin(window)
    expected = smoothing.smooth(whole, variances, window=window)
    for top in range(0, height, tile[0]):
        for left in range(0, width, tile[1]):
            above, before = min(top, margin), min(left, margin)
            part = whole[
                :, top - above : top + tile[0] + margin, left - before : left + tile[1] + margin
            ]
            found = smoothing.smooth(np.ascontiguousarray(part), variances, window=window)
            np.testing.assert_array_equal(
                found[:, above : above + tile[0], before : before + tile[1]],
                expected[:, top : top + tile[0], left : left + tile[1]],
            )


def test_a_pixel_that_differs_from_all_around_it_follows_them() -> None:
    probabilities = np.empty((2, 7, 7), np.float32)
    probabilities[0], probabilities[1] = 0.9, 0.1
    probabilities[:, 3, 3] = 0.3, 0.7
    found = smoothing.smooth(probabilities, [20, 20], window=7)
    # All of the best half are alike: the prior has no variance and decides alone. Of the second
    # class the best half has the pixel's own logit in it.
    assert found[0, 3, 3] > 0.8


def test_a_straight_border_stays_where_it_is() -> None:
    probabilities = np.empty((2, 20, 20), np.float32)
    probabilities[0, :, :10], probabilities[0, :, 10:] = 0.9, 0.1
    probabilities[1] = 1 - probabilities[0]
    found = smoothing.smooth(probabilities, [20, 20], window=7)
    np.testing.assert_array_equal(found.argmax(axis=0), probabilities.argmax(axis=0))


def test_a_variance_of_zero_leaves_probabilities_as_they_are() -> None:
    probabilities = scene((3, 9, 9), 1)
    found = smoothing.smooth(probabilities, [0, 0, 0])
    np.testing.assert_allclose(found, probabilities, atol=3e-4)  # LEAST stands for what is below


def test_no_data_stays_no_data_and_has_no_say() -> None:
    probabilities = scene((3, 12, 12), 2)
    probabilities[1, 5, 5] = np.nan  # of one class is of all
    found = smoothing.smooth(probabilities, [20] * 3, window=5)
    assert np.isnan(found[:, 5, 5]).all()
    assert np.isfinite(found).sum() == 3 * (144 - 1)
    np.testing.assert_allclose(np.nansum(found, axis=0)[4], 1, rtol=1e-6)


def test_any_number_of_threads_gives_the_same() -> None:
    probabilities = scene((4, 70, 30), 3, 0.1)
    one, three = (smoothing.smooth(probabilities, [9] * 4, threads=count) for count in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_an_empty_window_stays_empty() -> None:
    assert smoothing.smooth(np.empty((2, 0, 5), np.float32), [1, 1]).shape == (2, 0, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 4}, "odd"),
        ({"window": 0}, "odd"),
        ({"fraction": 0}, "above 0"),
        ({"fraction": 1.5}, "at most 1"),
        ({"variances": [20]}, "each of the 2 classes"),
        ({"variances": [20, -1]}, "0 or above"),
        ({"variances": [20, np.nan]}, "0 or above"),
    ],
)
def test_parameters_outside_of_their_range_are_refused(
    changes: dict[str, object], message: str
) -> None:
    given: dict[str, object] = {"variances": [20, 20], **changes}
    with pytest.raises(ValueError, match=message):
        smoothing.smooth(scene((2, 5, 5), 4), **given)  # type: ignore[arg-type]


def test_probabilities_that_do_not_sum_to_one_are_refused_with_their_place() -> None:
    probabilities = scene((2, 5, 5), 5)
    probabilities[:, 3, 1] = 0.6, 0.9
    with pytest.raises(ValueError, match=r"1 pixels.*row 3, column 1.*1\.5"):
        smoothing.smooth(probabilities, [20, 20])


@pytest.mark.parametrize("values", [(-0.5, 1.5), (np.inf, 0.5), (61, 39)])
def test_numbers_that_are_no_probabilities_are_refused(values: tuple[float, float]) -> None:
    probabilities = scene((2, 5, 5), 6)
    probabilities[:, 0, 0] = values
    with pytest.raises(ValueError, match="not within 0 and 1"):
        smoothing.smooth(probabilities, [20, 20])
