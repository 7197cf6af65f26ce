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


@settings(max_examples=20, deadline=None)
@given(maps, st.integers(0, 3), st.integers(0, 3))
def test_each_class_is_eroded_by_its_own_radius(
    classes: NDArray[np.uint8], pixels: int, own: int
) -> None:
    eroded = sampling.erode_by_class(classes, pixels, {3: own})
    for class_id, radius in ((3, own), (200, pixels)):
        alone = sampling.erode(classes, radius)
        np.testing.assert_array_equal(eroded == class_id, alone == class_id)


@settings(max_examples=20, deadline=None)
@given(maps, st.integers(0, 90), st.one_of(st.none(), st.integers(0, 9)), st.integers())
def test_a_balanced_draw_is_as_large_as_the_smaller_classes_allow(
    classes: NDArray[np.uint8], count: int, most: int | None, seed: int
) -> None:
    rows, columns = sampling.draw_balanced(classes, count, most, (seed, "patch"))
    places = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert places == sorted(set(places))
    sizes = [int((classes == one).sum()) for one in (3, 200)]
    drawn = [int((classes[rows, columns] == one).sum()) for one in (3, 200)]
    fitting = [n for n in range(max(sizes) + 1) if sum(min(n, size) for size in sizes) <= count]
    share = min(max(fitting), 99 if most is None else most)
    assert drawn == [min(share, size) for size in sizes]


def strips(ids: NDArray[np.uint32], height: int) -> list[NDArray[np.uint32]]:
    return [ids[row : row + height] for row in range(0, len(ids), height)]


@settings(max_examples=20, deadline=None)
@given(maps, st.integers(1, 9), st.integers(0, 90), st.integers(), st.integers(1, 9))
def test_a_draw_by_polygon_has_as_many_of_each_and_hangs_on_no_strips(
    classes: NDArray[np.uint8], most: int, count: int, seed: int, height: int
) -> None:
    ids = classes.astype(np.uint32) * 1000
    rows, columns = sampling.draw_by_polygon([ids], most, 90, (seed,))
    found = ids[rows, columns]
    for one in (3000, 200_000):
        assert (found == one).sum() == min(most, (ids == one).sum())
    assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == len(rows)
    cut = sampling.draw_by_polygon(strips(ids, height), most, count, (seed,))
    np.testing.assert_array_equal(cut, sampling.draw_by_polygon([ids], most, count, (seed,)))
    assert len(cut[0]) == min(count, len(rows))


def test_pixels_of_a_polygon_are_drawn_equally_often() -> None:
    ids = np.repeat(np.array([[1], [2]], np.uint32), [6, 2], axis=0)
    drawn = np.zeros(ids.shape, int)
    for seed in range(1500):
        rows, columns = sampling.draw_by_polygon([ids], 2, 99, (seed,))
        drawn[rows, columns] += 1
    # 2 of 6 pixels: 500 each, standard deviation sqrt(1500 * 1/3 * 2/3) = 18.
    assert (drawn[ids == 2] == 1500).all()
    assert np.abs(drawn[ids == 1] - 500).max() < 90


def test_polygons_of_which_erosion_leaves_too_little_are_named() -> None:
    polygons = np.array([[1, 1, 1, 1, 2, 2, 3, 0]], np.uint32)
    labelled = np.array([[1, 1, 1, 1, 1, 1, 1, 1]], np.bool_)
    left = np.array([[0, 1, 0, 0, 0, 1, 0, 0]], np.bool_)
    both = [(polygons[:, s], labelled[:, s], left[:, s]) for s in (slice(0, 3), slice(3, 8))]
    assert sampling.hollow_polygons(both, 0.5).tolist() == [1, 3]
    assert sampling.hollow_polygons(both, 0.25).tolist() == [3]
    assert sampling.hollow_polygons(both, 1).tolist() == [1, 2, 3]


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
