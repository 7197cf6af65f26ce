"""Sampling."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from lc_platform.eo import sampling

maps = st_numpy.arrays(
    np.uint8,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.sampled_from([0, 3, 3, 3, 3, 3, 200]),
)


@settings(max_examples=200, deadline=None)
@given(maps, st.integers(0, 5))
def test_a_pixel_stays_when_the_disk_around_it_is_all_of_its_class(
    classes: NDArray[np.uint8], pixels: int
) -> None:
    eroded = sampling.erode(classes, pixels)
    height, width = classes.shape
    for row, column in np.ndindex(height, width):
        disk = [
            classes[y, x]
            for y, x in np.ndindex(height, width)
            if (y - row) ** 2 + (x - column) ** 2 <= pixels**2
        ]
        stays = all(value == classes[row, column] for value in disk)
        assert eroded[row, column] == (classes[row, column] if stays else 0)


def test_erosion_leaves_its_input_as_it_was() -> None:
    classes = np.array([[1, 1, 2]], np.uint8)
    assert sampling.erode(classes, 1).tolist() == [[1, 0, 0]]
    assert classes.tolist() == [[1, 1, 2]]


@settings(max_examples=100, deadline=None)
@given(maps, st.integers(0, 90), st.integers())
def test_samples_are_distinct_labelled_pixels_in_row_major_order(
    classes: NDArray[np.uint8], count: int, seed: int
) -> None:
    rows, columns = sampling.draw(classes, count, (seed, "patch"))
    places = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert places == sorted(set(places))
    assert len(places) == min(count, np.count_nonzero(classes))
    assert (classes[rows, columns] != 0).all()


def test_every_labelled_pixel_is_drawn_equally_often() -> None:
    classes = np.array([[0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [2, 2, 2, 2, 0]], np.uint8)
    drawn = np.zeros(classes.shape, int)
    for seed in range(3000):
        rows, columns = sampling.draw(classes, 2, (seed,))
        drawn[rows, columns] += 1
    # 6000 draws of 6 pixels: 1000 each, standard deviation sqrt(3000 * 1/3 * 2/3) = 26.
    assert (drawn[classes == 0] == 0).all()
    assert np.abs(drawn[classes > 0] - 1000).max() < 130


def test_seed_and_patch_choose_the_samples() -> None:
    classes = np.ones((50, 50), np.uint8)

    def places(*seed: int | str) -> list[tuple[int, int]]:
        rows, columns = sampling.draw(classes, 20, seed)
        return list(zip(rows.tolist(), columns.tolist(), strict=True))

    assert places(42, "33N-r003-c012") == places(42, "33N-r003-c012")
    others = [places(42, "33N-r003-c013"), places(43, "33N-r003-c012"), places(4, "233N-r003-c012")]
    assert places(42, "33N-r003-c012") not in others


def test_another_process_chooses_the_same_patches_and_samples() -> None:
    program = (
        "import numpy as np; from lc_platform.eo import sampling\n"
        "rows, columns = sampling.draw(np.ones((9, 9), np.uint8), 5, (42, 'a'))\n"
        "keys = sorted(sampling.test_patches(map(str, range(20)), 0.3, 42))\n"
        "print(rows.tolist(), columns.tolist(), keys)"
    )
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    rows, columns = sampling.draw(np.ones((9, 9), np.uint8), 5, (42, "a"))
    keys = sorted(sampling.test_patches(map(str, range(20)), 0.3, 42))
    assert there == f"{rows.tolist()} {columns.tolist()} {keys}"


keys = st.sets(st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), min_size=2, max_size=30)


@settings(max_examples=100, deadline=None)
@given(keys, st.floats(0.01, 0.99), st.integers(), st.randoms())
def test_the_order_of_the_patches_does_not_change_which_are_tested(
    names: set[str], fraction: float, seed: int, random: object
) -> None:
    shuffled = sorted(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    chosen = sampling.test_patches(shuffled, fraction, seed)
    assert chosen == sampling.test_patches(sorted(names), fraction, seed)
    assert chosen <= names
    assert len(chosen) == min(max(round(fraction * len(names)), 1), len(names) - 1)


@settings(max_examples=100, deadline=None)
@given(keys, st.floats(0.01, 0.99), st.integers())
def test_one_more_patch_changes_the_test_patches_by_one_at_most(
    names: set[str], fraction: float, seed: int
) -> None:
    before = sampling.test_patches(names, fraction, seed)
    after = sampling.test_patches(names | {"one-more-patch"}, fraction, seed)
    assert len(before - after) <= 1
    assert len(after - before) <= 1


def test_the_seed_chooses_the_test_patches() -> None:
    names = [f"33N-r{row:03}-c{column:03}" for row in range(4) for column in range(4)]
    chosen = {sampling.test_patches(names, 0.25, seed) for seed in range(10)}
    assert {len(patches) for patches in chosen} == {4}
    assert len(chosen) > 5


def test_one_patch_or_a_fraction_of_nothing_leaves_nothing_to_test() -> None:
    assert sampling.test_patches(["a"], 0.5, 1) == frozenset()
    assert sampling.test_patches([], 0.5, 1) == frozenset()
    assert sampling.test_patches(["a", "b", "c"], 0, 1) == frozenset()


@pytest.mark.parametrize("fraction", [-0.1, 1, 20])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="not within 0 and 1"):
        sampling.test_patches(["a", "b"], fraction, 1)
