"""How many points, and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.eo import area_estimation, sample_design
from lc_platform.eo.sample_design import allocate, expected_matrix, sample_size

SHARES = (0.020, 0.015, 0.320, 0.645)
EXPECTED = (0.70, 0.60, 0.90, 0.95)
PIXELS = {1: 200_000, 2: 150_000, 3: 3_200_000, 4: 6_450_000}
"""Olofsson et al. (2014), section 5.1: of 10,000,000 pixels."""


def test_the_sample_size_of_olofsson_2014_is_reproduced() -> None:
    assert sample_size(SHARES, EXPECTED, 0.01) == 641


def test_four_times_the_points_halve_the_standard_error() -> None:
    assert sample_size([1], [0.5], 0.05) == 100
    assert sample_size([1], [0.5], 0.025) == 400


def test_the_proportional_allocation_of_olofsson_2014_is_reproduced() -> None:
    assert allocate(641, PIXELS, "proportional") == {1: 13, 2: 10, 3: 205, 4: 413}


def test_rare_strata_get_the_minimum_and_the_others_share_the_rest_by_area() -> None:
    # 441 points by 320 to 645: 146.2 and 294.8.
    assert allocate(641, PIXELS, "mixed", minimum=100) == {1: 100, 2: 100, 3: 146, 4: 295}


def test_equal_is_as_equal_as_whole_numbers_and_pixels_allow() -> None:
    assert allocate(641, PIXELS, "equal") == {1: 161, 2: 160, 3: 160, 4: 160}
    assert allocate(12, {1: 3, 2: 100, 3: 0}, "equal") == {1: 3, 2: 9, 3: 0}


def errors(points: dict[int, int]) -> area_estimation.AreaEstimates:
    return area_estimation.anticipate(
        expected_matrix(SHARES, EXPECTED), list(points.values()), SHARES, tuple(points), 1.0
    )


def test_each_allocation_is_best_at_what_it_is_for() -> None:
    accuracies = dict(zip(PIXELS, EXPECTED, strict=True))
    found = {
        method: errors(allocate(641, PIXELS, method, users_accuracy=accuracies))  # type: ignore[arg-type]
        for method in ("equal", "proportional", "mixed", "optimal")
    }
    overall = {name: float(one.overall_accuracy.standard_error) for name, one in found.items()}
    rarest = {name: one.users_accuracy.standard_error[1] for name, one in found.items()}
    assert min(overall, key=overall.__getitem__) == "optimal"
    assert min(rarest, key=rarest.__getitem__) == "equal"
    assert max(rarest, key=rarest.__getitem__) == "proportional"
    # What the sample was sized for.
    assert overall["optimal"] == pytest.approx(0.01, rel=0.01)
    # The recommended one is near the best in both.
    assert overall["mixed"] < 1.06 * overall["optimal"]
    assert rarest["mixed"] < 0.5 * rarest["proportional"]


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.integers(1, 255), st.integers(0, 10**7), min_size=1, max_size=12),
    st.integers(0, 3000),
    st.sampled_from(["equal", "proportional", "mixed", "optimal"]),
)
def test_all_points_are_given_and_none_beyond_a_stratums_pixels(
    pixels: dict[int, int], count: int, method: Any
) -> None:
    accuracies = dict.fromkeys(pixels, 0.8)
    accuracies[min(pixels)] = 1.0
    least = 50 if method == "mixed" else 2
    needed = sum(min(least, size) for size in pixels.values())
    if not needed <= count <= sum(pixels.values()):
        with pytest.raises(ValueError, match=r"too few for|cannot be drawn"):
            allocate(count, pixels, method, users_accuracy=accuracies)
        return
    found = allocate(count, pixels, method, users_accuracy=accuracies)
    assert sum(found.values()) == count
    assert list(found) == list(pixels)
    assert all(min(least, pixels[one]) <= n <= pixels[one] for one, n in found.items())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (((1, 1), (0.5,), 0.01), "2 areas and 1 accuracies"),
        (((), (), 0.01), "0 areas"),
        (((1, -1), (0.5, 0.5), 0.01), "0 or more"),
        (((0, 0), (0.5, 0.5), 0.01), "0 or more"),
        (((1, 1), (0.5, 1.2), 0.01), "within 0 and 1"),
        (((1, 1), (0.5, 0.5), 0), "standard error of 0"),
        (((1, 1), (1, 1), 0.01), "no sample is needed"),
    ],
)
def test_a_sample_that_cannot_be_sized_is_refused(arguments: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sample_size(*arguments)


def test_an_allocation_without_what_it_needs_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the user's accuracies"):
        allocate(100, PIXELS, "optimal")
    with pytest.raises(ValueError, match="cannot be negative"):
        allocate(100, {1: -5, 2: 1000})
    with pytest.raises(ValueError, match="100 points are too few for 4 strata that need 200"):
        allocate(100, PIXELS, "mixed", minimum=50)


def test_expected_errors_go_to_the_other_classes_by_area() -> None:
    np.testing.assert_allclose(
        expected_matrix([1, 1, 3], [0.6, 0.8, 1.0]),
        [[0.6, 0.1, 0.3], [0.05, 0.8, 0.15], [0, 0, 1]],
    )
    with pytest.raises(ValueError, match="two classes with an area"):
        expected_matrix([1, 0], [0.9, 0.9])
    assert sample_design.FEWEST == 2
