"""Folds of blocks of ground."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from lc_platform.eo import folds
from lc_platform.eo.folds import Gap, assign_folds, block_keys, home_blocks
from lc_platform_tests.eo.blocks import landscape

tables = st.integers(2, 4).flatmap(
    lambda classes: st_numpy.arrays(
        np.int64,
        st.tuples(st.integers(2, 7), st.just(classes)),
        elements=st.sampled_from([0, 0, 1, 3, 40]),
    )
)


def gaps(counts: NDArray[np.int64], fold: NDArray[np.int64], number: int) -> int:
    """How many classes are missing in the test or the training of a fold, the plain way."""
    return sum(
        (not counts[fold == one, class_].any()) + (not counts[fold != one, class_].any())
        for class_ in np.flatnonzero(counts.any(axis=0))
        for one in range(number)
    )


@settings(max_examples=100, deadline=None)
@given(tables, st.integers(2, 4), st.integers(-5, 5))
def test_no_way_to_deal_the_blocks_out_leaves_fewer_classes_missing(
    counts: NDArray[np.int64], number: int, seed: int
) -> None:
    labelled = counts[counts.any(axis=1)]
    if len(labelled) < number or counts.any(axis=0).sum() < 2:
        return
    found = assign_folds(counts, number, seed, range(1, counts.shape[1] + 1))
    least = min(
        gaps(labelled, np.array(fold), number)
        for fold in itertools.product(range(number), repeat=len(labelled))
    )
    assert gaps(counts, found.fold, number) == least
    there = 1 + np.flatnonzero(counts.any(axis=0))
    assert sum(gap.class_id in there for gap in found.gaps) == least
    assert found.test.any(axis=1).all()


def test_each_fold_has_its_share_of_every_class() -> None:
    counts = landscape()
    found = assign_folds(counts, 5, 42, (1, 2, 3, 4, 9))
    np.testing.assert_array_equal(found.test + found.training, [counts.sum(axis=0)] * 5)
    for fold in range(5):
        np.testing.assert_array_equal(found.test[fold], counts[found.fold == fold].sum(axis=0))
    share = found.test / counts.sum(axis=0)
    # Some 12 blocks have the rarest class, so that a fold has two or three of them.
    assert np.abs(share - 0.2)[:, :4].max() < 0.02
    assert np.abs(share - 0.2)[:, 4].max() < 0.1
    assert found.gaps == ()


def test_the_seed_chooses_the_folds_in_any_process() -> None:
    counts = landscape(60)
    program = (
        "from lc_platform_tests.eo.blocks import landscape\n"
        "from lc_platform.eo.folds import assign_folds\n"
        "print(assign_folds(landscape(60), 4, 7, range(5)).fold.tolist())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert there == str(assign_folds(counts, 4, 7, range(5)).fold.tolist())
    assert there != str(assign_folds(counts, 4, 8, range(5)).fold.tolist())


def test_a_class_that_is_all_in_one_block_is_named() -> None:
    counts = np.full((8, 3), 20)
    counts[:, 2] = 0
    counts[5, 2] = 3
    found = assign_folds(counts, 3, 1, (1, 2, 7))
    home = int(found.fold[5])
    assert [gap for gap in found.gaps if gap.side == "training"] == [Gap(7, home, "training")]
    assert {gap.fold for gap in found.gaps if gap.side == "test"} == {0, 1, 2} - {home}
    assert {gap.class_id for gap in found.gaps} == {7}


def test_a_class_of_three_pixels_in_two_blocks_is_always_trained_on() -> None:
    counts = np.full((8, 3), 20)
    counts[:, 2] = [0, 2, 0, 0, 1, 0, 0, 0]
    found = assign_folds(counts, 4, 1, (1, 2, 7))
    assert {gap.side for gap in found.gaps} == {"test"}
    assert len(found.gaps) == 2


def test_a_class_without_any_reference_is_missing_everywhere() -> None:
    counts = np.full((8, 3), 20)
    counts[:, 1] = 0
    found = assign_folds(counts, 2, 1, (1, 2, 7))
    assert len(found.gaps) == 4
    assert {gap.class_id for gap in found.gaps} == {2}


def test_blocks_without_a_reference_have_a_fold_too() -> None:
    counts = np.full((8, 2), 20)
    counts[[2, 3]] = 0
    found = assign_folds(counts, 3, 1, (1, 2))
    assert set(found.fold.tolist()) == {0, 1, 2}
    assert (found.fold >= 0).all()


@pytest.mark.parametrize(
    ("counts", "number", "said"),
    [
        (np.full((3, 2), 5), 4, "4 folds need as many blocks with a reference; there are 3"),
        (np.array([[5, 5], [5, 5], [0, 0]]), 3, "there are 2"),
        (np.array([[5, 0], [5, 0], [5, 0]]), 2, r"one class only \(3\)"),
        (np.full((3, 2), 5), 1, "1 folds: at least 2"),
        (np.full((3, 5), 5), 2, "do not agree with 2 classes"),
    ],
)
def test_folds_that_cannot_be_are_refused(
    counts: NDArray[np.int64], number: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        assign_folds(counts, number, 1, (3, 4))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 4), st.integers(1, 9)), min_size=1, max_size=30
    )
)
def test_a_polygon_counts_for_the_block_in_which_most_of_it_lies(
    entries: list[tuple[int, int, int]],
) -> None:
    groups, blocks, pixels = (np.array(column) for column in zip(*entries, strict=True))
    names, homes = home_blocks(groups, blocks, pixels)
    assert names.tolist() == sorted(set(groups.tolist()))
    for name, home in zip(names, homes, strict=True):
        own = groups == name
        sizes = {int(b): int(pixels[own & (blocks == b)].sum()) for b in blocks[own]}
        assert int(home) == min(sizes, key=lambda block: (-sizes[block], block))
    one_by_one = home_blocks(np.repeat(groups, pixels), np.repeat(blocks, pixels))
    np.testing.assert_array_equal(one_by_one[1], homes)


def test_no_polygon_is_in_two_folds() -> None:
    rng = np.random.default_rng(5)
    blocks = rng.integers(0, 30, 3000)
    polygons = blocks * 10 + rng.integers(0, 30, 3000)  # they reach into the next blocks
    classes = polygons % 3
    names, homes = home_blocks(polygons, blocks)
    home = homes[np.searchsorted(names, polygons)]
    keys, position = np.unique(home, return_inverse=True)
    counts = np.zeros((len(keys), 3), np.int64)
    np.add.at(counts, (position, classes), 1)
    fold = assign_folds(counts, 4, 1, (1, 2, 3)).fold[position]
    assert all(len(set(fold[polygons == one].tolist())) == 1 for one in names)


def test_polygons_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not agree"):
        home_blocks(np.ones(3, int), np.ones(2, int))


def test_blocks_are_squares_from_the_origin_with_their_lower_bounds() -> None:
    x = np.array([0.0, 159.9, 160.0, -0.1, 0.0])
    y = np.array([0.0, 159.9, 0.0, 0.0, 160.0])
    keys = block_keys(x, y, 160)
    assert keys[0] == keys[1]
    assert len(set(keys.tolist())) == 4
    # The next block to the east and to the north.
    assert keys[2] - keys[0] == 1
    assert keys[4] - keys[0] == 2**28
    assert keys[3] - keys[0] == -1


def test_zones_share_no_block() -> None:
    x, y = np.meshgrid(np.linspace(-1e6, 1e6, 20), np.linspace(-1e7, 1e7, 20))
    assert not set(block_keys(x, y, 1000, 33).ravel()) & set(block_keys(x, y, 1000, 34).ravel())


@pytest.mark.parametrize(
    ("size", "zone", "x", "said"),
    [
        (0, 0, 1.0, "size 0"),
        (-5, 0, 1.0, "size -5"),
        (10, 128, 1.0, "Zone 128"),
        (10, -1, 1.0, "Zone -1"),
        (0.001, 0, 1e6, "too small"),
        (10, 0, np.nan, "missing"),
    ],
)
def test_blocks_that_cannot_be_told_apart_are_refused(
    size: float, zone: int, x: float, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        block_keys(np.array([x]), np.array([0.0]), size, zone)


def test_random_folds_are_of_one_size() -> None:
    found = folds.random_folds(1003, 4, 9)
    assert sorted(np.bincount(found).tolist()) == [250, 251, 251, 251]
    assert found.tolist() == folds.random_folds(1003, 4, 9).tolist()
    assert found.tolist() != folds.random_folds(1003, 4, 10).tolist()


def test_the_sets_of_a_learning_curve_lie_within_each_other() -> None:
    found = folds.growing_subsets(40, (0.01, 0.25, 0.5, 1), seed=3)
    assert found.sum(axis=1).tolist() == [1, 10, 20, 40]
    assert (found[:-1] <= found[1:]).all()


@pytest.mark.parametrize("shares", [(0.5, 0.2), (0, 1), (0.5, 1.1)])
def test_sets_that_do_not_grow_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        folds.growing_subsets(10, shares, seed=1)
