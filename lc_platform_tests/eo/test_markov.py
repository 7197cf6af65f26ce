"""Years made consistent, against every sequence there is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.eo import markov
from lc_platform_tests.eo.class_sequences import IDS, rules, scene, sequences, years_of

pytestmark = pytest.mark.slow

cases = given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.booleans())


@settings(max_examples=20, deadline=None)
@cases
def test_posteriors_are_sums_over_all_sequences(seed: int, years: int, balanced: bool) -> None:
    series, matrix = scene(seed, years), rules(seed)
    prior = np.full(3, 1 / 3) if balanced else np.array([0.6, 0.3, 0.1])
    found = markov.posteriors(series, matrix, prior=None if balanced else [6, 3, 1])
    assert found.dtype == np.float32
    for y, x in np.ndindex(2, 3):
        every = sequences(series[:, :, y, x], matrix, prior)
        for t, k in np.ndindex(years, 3):
            if np.isnan(series[t, :, y, x]).any():
                assert np.isnan(found[t, k, y, x])
            else:
                expected = sum(weight for path, weight in every.items() if path[t] == k)
                assert found[t, k, y, x] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=20, deadline=None)
@cases
def test_the_sequence_found_is_the_most_probable_of_all(
    seed: int, years: int, balanced: bool
) -> None:
    series, matrix = scene(seed, years), rules(seed)
    prior = np.full(3, 1 / 3) if balanced else np.array([0.6, 0.3, 0.1])
    found = markov.most_probable_classes(series, matrix, IDS, prior=None if balanced else [6, 3, 1])
    for y, x in np.ndindex(2, 3):
        every = sequences(series[:, :, y, x], matrix, prior)
        known = ~np.isnan(series[:, 0, y, x])
        chosen = [IDS.index(one) if one else None for one in found[:, y, x]]
        assert [one is not None for one in chosen] == known.tolist()
        best = max(
            weight
            for path, weight in every.items()
            if all(one in (None, k) for one, k in zip(chosen, path, strict=True))
        )
        assert best == pytest.approx(max(every.values()), rel=1e-9)


def test_a_forbidden_transition_is_never_found_however_sure_both_years_are() -> None:
    matrix = markov.transition_matrix((1, 2), change=0.1, forbidden=[(2, 1)])
    sequence = markov.most_probable_classes(years_of(0.1, 0.95, 0.1), matrix, (1, 2))
    assert sequence.ravel().tolist() == [2, 2, 2]


def test_a_year_without_a_map_is_passed_over_and_not_made_up() -> None:
    matrix = markov.transition_matrix((1, 2), change=0.05)
    series = years_of(0.95, None, 0.4)
    assert markov.most_probable_classes(series, matrix, (1, 2)).ravel().tolist() == [1, 0, 1]
    assert np.isnan(markov.posteriors(series, matrix)[1]).all()


def test_a_pixel_without_any_data_stays_without() -> None:
    matrix = markov.transition_matrix((1, 2))
    nothing = years_of(None, None)
    assert np.isnan(markov.posteriors(nothing, matrix)).all()
    assert not markov.most_probable_classes(nothing, matrix, (1, 2)).any()


def test_any_window_and_any_number_of_threads_gives_the_same() -> None:
    series, matrix = scene(7, 3, shape=(40, 20)), rules(7)
    whole = markov.posteriors(series, matrix, threads=1)
    part = markov.posteriors(np.ascontiguousarray(series[:, :, 11:30, 3:9]), matrix, threads=3)
    np.testing.assert_array_equal(part, whole[:, :, 11:30, 3:9])


def test_rules_become_a_matrix() -> None:
    matrix = markov.transition_matrix(
        (1, 2, 3), change=0.06, forbidden=[(2, 1)], probabilities={(3, 1): 0.02}
    )
    # 2 can become 3 alone, which has all of its change; of what 3 changes 0.04 are left for 2.
    np.testing.assert_allclose(
        matrix, [[0.94, 0.03, 0.03], [0, 0.94, 0.06], [0.02, 0.04, 0.94]], atol=1e-12
    )


def test_a_class_that_may_not_stay_becomes_the_others() -> None:
    matrix = markov.transition_matrix((1, 2, 3), forbidden=[(1, 1)])
    np.testing.assert_allclose(matrix[0], [0, 0.5, 0.5])


def test_a_class_that_can_become_no_other_stays() -> None:
    matrix = markov.transition_matrix((1, 2, 3), change=0.1, forbidden=[(1, 2), (1, 3)])
    np.testing.assert_allclose(matrix[0], [1, 0, 0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"forbidden": [(1, 1), (1, 2)]}, "all that class 1 could become"),
        ({"forbidden": [(1, 2), (2, 1)]}, "forbid every change"),
        ({"change": 0}, "forbid every change"),
        ({"forbidden": [(1, 7)]}, "no class 7"),
        ({"probabilities": {(8, 1): 0.5}}, "no class 8"),
        ({"probabilities": {(1, 2): 1.5}}, "1 to 2: 1.5 is not within"),
        ({"probabilities": {(1, 2): 0.7, (1, 1): 0.7}}, "from 1 sum to 1.4"),
        ({"probabilities": {(1, 2): 0.7}, "forbidden": [(1, 2)]}, "is forbidden and has 0.7"),
        ({"change": -0.1}, "not within 0 and 1"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        markov.transition_matrix((1, 2), **given)  # type: ignore[arg-type]


def test_two_classes_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="each once"):
        markov.transition_matrix((1, 1))


def test_what_does_not_fit_is_refused() -> None:
    series, matrix = scene(1, 2, missing=0), rules(1)
    with pytest.raises(ValueError, match="does not fit 3 classes"):
        markov.posteriors(series, matrix[:2, :2])
    with pytest.raises(ValueError, match="sum to one; the sums are"):
        markov.posteriors(series, matrix * 2)
    with pytest.raises(ValueError, match="do not sum to one"):
        markov.posteriors(series * np.float32(0.5), matrix)
    with pytest.raises(ValueError, match="prior must be above 0"):
        markov.posteriors(series, matrix, prior=[1, 0, 1])
    with pytest.raises(ValueError, match="must be"):
        markov.posteriors(series[0], matrix)
    with pytest.raises(ValueError, match="2 class ids"):
        markov.most_probable_classes(series, matrix, (1, 2))
