"""Transitions between two years, against every sequence there is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.eo import change, markov
from lc_platform_tests.eo.class_sequences import IDS, rules, scene, sequences, years_of


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(0, 2))
def test_transitions_are_sums_over_all_sequences(seed: int, years: int, first: int) -> None:
    first = min(first, years - 2)
    series, matrix = scene(seed, years), rules(seed)
    prior = np.full(3, 1 / 3)
    counted = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.bool_)
    found = change.transitions(series, matrix, IDS, first=first, counted=counted)
    for y, x in np.ndindex(2, 3):
        if np.isnan(series[first : first + 2, :, y, x]).any():
            assert (found.before[y, x], found.after[y, x]) == (0, 0)
            assert np.isnan([found.probability[y, x], found.change[y, x]]).all()
            continue
        pairs = np.zeros((3, 3))
        for path, weight in sequences(series[:, :, y, x], matrix, prior).items():
            pairs[path[first], path[first + 1]] += weight
        at = IDS.index(found.before[y, x]), IDS.index(found.after[y, x])
        assert matrix[at] > 0
        assert pairs[at] == pytest.approx(pairs.max(), abs=1e-9)
        assert found.probability[y, x] == pytest.approx(pairs.max(), abs=1e-6)
        assert found.change[y, x] == pytest.approx(pairs[counted].sum(), abs=1e-6)


def test_a_change_that_the_third_year_takes_back_is_not_believed() -> None:
    """Years of 0.95 and 0.1 of the first class, a change of 0.05: 1-1 0.95 * 0.95 * 0.1 = 0.09025,
    1-2 0.95 * 0.05 * 0.9 = 0.04275, 2-1 0.00025, 2-2 0.04275, so that 0.043 of 0.176 are change.
    A third year of 0.1 has 0.1 * 0.95 + 0.9 * 0.05 = 0.14 for what ends with 1, 0.86 for 2."""
    matrix = markov.transition_matrix((1, 2), change=0.05)
    two = change.transitions(years_of(0.95, 0.1), matrix, (1, 2))
    confirmed = change.transitions(years_of(0.95, 0.1, 0.1), matrix, (1, 2))
    contradicted = change.transitions(years_of(0.95, 0.1, 0.95), matrix, (1, 2))
    assert contradicted.change[0, 0] < two.change[0, 0] < confirmed.change[0, 0]
    assert contradicted.change[0, 0] < 0.05
    assert two.change[0, 0] == pytest.approx(0.043 / 0.176)
    weights = 0.09025 * 0.14, 0.04275 * 0.86, 0.00025 * 0.14, 0.04275 * 0.86
    assert confirmed.change[0, 0] == pytest.approx((weights[1] + weights[2]) / sum(weights))


def test_two_years_by_hand() -> None:
    """0.8 and 0.3 of the first class; staying has 0.9, a change 0.1:
    1-1 0.8 * 0.9 * 0.3 = 0.216, 1-2 0.8 * 0.1 * 0.7 = 0.056, 2-1 0.2 * 0.1 * 0.3 = 0.006,
    2-2 0.2 * 0.9 * 0.7 = 0.126, together 0.404."""
    found = change.transitions(years_of(0.8, 0.3), np.array([[0.9, 0.1], [0.1, 0.9]]), (1, 2))
    assert (found.before[0, 0], found.after[0, 0]) == (1, 1)
    assert found.probability[0, 0] == pytest.approx(0.216 / 0.404)
    assert found.change[0, 0] == pytest.approx(0.062 / 0.404)


def test_a_forbidden_transition_is_never_found_however_sure_both_years_are() -> None:
    matrix = markov.transition_matrix((1, 2), change=0.1, forbidden=[(2, 1)])
    found = change.transitions(years_of(0, 1), matrix, (1, 2))
    assert (found.before[0, 0], found.after[0, 0]) != (2, 1)


def test_a_pixel_without_data_in_one_of_the_two_years_has_no_transition() -> None:
    matrix = markov.transition_matrix((1, 2))
    found = change.transitions(years_of(0.9, None, 0.1), matrix, (1, 2), first=1)
    assert (found.before[0, 0], found.after[0, 0]) == (0, 0)
    assert np.isnan([found.probability[0, 0], found.change[0, 0]]).all()


def test_crops_that_follow_one_another_are_no_change_where_they_are_not_counted() -> None:
    matrix = markov.transition_matrix((1, 2), probabilities={(1, 2): 0.5, (2, 1): 0.5})
    found = change.transitions(
        years_of(0.9, 0.1), matrix, (1, 2), counted=np.zeros((2, 2), np.bool_)
    )
    assert (found.before[0, 0], found.after[0, 0], found.change[0, 0]) == (1, 2, 0)


def test_any_window_and_any_number_of_threads_gives_the_same() -> None:
    series, matrix = scene(7, 3, shape=(40, 20)), rules(7)
    every = change.transitions(series, matrix, IDS, threads=1)
    few = change.transitions(series[:, :, 11:30, 3:9], matrix, IDS, threads=3)
    np.testing.assert_array_equal(few.change, every.change[11:30, 3:9])
    np.testing.assert_array_equal(few.after, every.after[11:30, 3:9])


def test_what_does_not_fit_is_refused() -> None:
    series, matrix = scene(1, 2, missing=0), rules(1)
    with pytest.raises(ValueError, match="not among 2 years"):
        change.transitions(series, matrix, IDS, first=1)
    with pytest.raises(ValueError, match="2 class ids"):
        change.transitions(series, matrix, (1, 2))
    with pytest.raises(ValueError, match="counted"):
        change.transitions(series, matrix, IDS, counted=np.ones((2, 2), np.bool_))
    with pytest.raises(ValueError, match="do not sum to one"):
        change.transitions(series * np.float32(0.5), matrix, IDS)
