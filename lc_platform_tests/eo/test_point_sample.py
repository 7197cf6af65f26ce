"""Points drawn from a map that is read window by window."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.eo.point_sample import PointDraw
from lc_platform_tests.eo.drawn_points import drawn, land, places


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 95), st.integers(5, 75), st.integers(-(2**70), 2**70))
def test_the_windows_do_not_change_the_points(height: int, width: int, seed: int) -> None:
    strata, allocation = land(), {3: 40, 9: 7, 200: 12}
    windows = [(y, x) for y in range(0, 90, height) for x in range(0, 70, width)]
    np.random.default_rng(seed % 100).shuffle(windows)
    draw = PointDraw(allocation, seed)
    for y, x in windows:
        draw.add(strata[y : y + height, x : x + width], y, x)
    whole = drawn(strata, allocation, seed)
    assert draw.pixels == {one: int((strata == one).sum()) for one in (3, 9, 200)}
    for stratum, count in allocation.items():
        found = places(draw.points(), stratum)
        assert found == places(whole, stratum)
        assert len(set(found)) == count
        assert all(strata[place] == stratum for place in found)


def test_more_points_are_the_same_and_some_more() -> None:
    few, many = (drawn(land(), {3: count, 9: 2}, 5) for count in (30, 100))
    assert places(many, 3)[:30] == places(few, 3)
    assert places(many, 9) == places(few, 9)


def test_a_pixel_that_stays_in_its_stratum_stays_in_the_sample() -> None:
    before, after = land(), land()
    after[::7] = 9
    kept = [place for place in places(drawn(before, {3: 50}, 5), 3) if after[place] == 3]
    assert kept
    assert set(kept) <= set(places(drawn(after, {3: 50}, 5), 3))


def test_every_pixel_is_drawn_equally_often_and_pairs_too() -> None:
    strata = np.array([[3, 3, 0, 3], [9, 3, 3, 3]], np.uint8)
    pixels = list(zip(*(side.tolist() for side in np.nonzero(strata == 3)), strict=True))
    alone, pairs = dict.fromkeys(pixels, 0), 0
    for seed in range(3000):
        found = places(drawn(strata, {3: 2}, seed), 3)
        for place in found:
            alone[place] += 1
        pairs += {(0, 0), (0, 1)} == set(found)
    # 2 of 6 pixels 3000 times: 1000 each, standard deviation 26; one of 15 pairs: 200, 14.
    assert max(abs(count - 1000) for count in alone.values()) < 110
    assert abs(pairs - 200) < 60


def test_rows_and_columns_of_a_large_map_are_told_apart() -> None:
    # As far apart as the pixels of a continent, and each other's mirror.
    strata = np.full((40, 40), 3, np.uint8)
    one, other = PointDraw({3: 20}, 1), PointDraw({3: 20}, 1)
    one.add(strata, 400_000, 90_000)
    other.add(strata, 90_000, 400_000)
    mirrored = {(column, row) for row, column in places(other.points(), 3)}
    assert len(mirrored & set(places(one.points(), 3))) < 5
    assert one.points().rows.min() >= 400_000


def test_another_process_draws_the_same_points() -> None:
    program = (
        "from lc_platform_tests.eo.drawn_points import drawn, land, places\n"
        "print(places(drawn(land(), {3: 9}, 7), 3))"
    )
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert there == str(places(drawn(land(), {3: 9}, 7), 3))
    assert there != str(places(drawn(land(), {3: 9}, 8), 3))


def test_no_points_can_be_asked_for() -> None:
    assert len(drawn(land(), {3: 0}, 1).strata) == 0
    assert len(drawn(land(), {}, 1).strata) == 0


def test_more_points_than_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="Stratum 7 has 0 pixels; 5 points cannot be drawn"):
        drawn(land(), {3: 5, 7: 5}, 1)


@pytest.mark.parametrize("allocation", [{0: 5}, {256: 5}, {3: -1}])
def test_an_allocation_that_cannot_be_is_refused(allocation: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="ids are 1 to 255, and points 0 or more"):
        PointDraw(allocation, 1)
