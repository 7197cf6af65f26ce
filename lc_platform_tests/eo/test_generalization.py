"""Mode filter and minimum mapping unit."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import generalization

Classes = NDArray[np.uint8]


def plain_mode(classes: Classes, window: int) -> Classes:
    """The most frequent class, a pixel at a time."""
    reach, filtered = window // 2, np.zeros_like(classes)
    for y, x in np.argwhere(classes):
        near = classes[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        counts = Counter(int(one) for one in near.ravel() if one)
        own = int(classes[y, x])
        filtered[y, x] = min(counts, key=lambda k: (-counts[k], k != own, k))
    return filtered


def plain_sieve(classes: Classes, pixels: int, connectivity: int, rounds: int) -> Classes:
    """The rule as it is written down, piece by piece, with sets of pixels."""
    sides = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    reached = sides + ([(-1, -1), (-1, 1), (1, -1), (1, 1)] if connectivity == 8 else [])
    land = {(int(y), int(x)): int(classes[y, x]) for y, x in np.argwhere(classes)}
    left, pieces = set(land), []
    while left:
        piece, queue = set(), deque([left.pop()])
        while queue:
            y, x = queue.popleft()
            piece.add((y, x))
            for down, right in reached:
                beside = y + down, x + right
                if beside in left and land[beside] == land[y, x]:
                    left.remove(beside)
                    queue.append(beside)
        pieces.append(piece)
    settled = {pixel for piece in pieces if len(piece) >= pixels for pixel in piece}
    small = [piece for piece in pieces if len(piece) < pixels]
    for _ in range(rounds):
        given = {}
        for number, piece in enumerate(small):
            borders = Counter(
                land[y + down, x + right]
                for y, x in piece
                for down, right in sides
                if (y + down, x + right) in settled
            )
            if borders and not piece <= settled:
                given[number] = min(borders, key=lambda k: (-borders[k], k))
        for number, one in given.items():
            land.update(dict.fromkeys(small[number], one))
            settled |= small[number]
    sieved = np.zeros_like(classes)
    for (y, x), one in land.items():
        sieved[y, x] = one
    return sieved


@st.composite
def maps(draw: st.DrawFn, most: int = 12) -> Classes:
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = np.array([0, 1, 2, 7, 255], np.uint8)
    share = draw(st.sampled_from([[0.1, 0.3, 0.3, 0.2, 0.1], [0, 0.8, 0.1, 0.05, 0.05]]))
    coarse = draw(st.sampled_from([1, 2, 3]))
    drawn = generator.choice(ids, (height, width), p=share)
    return np.kron(drawn, np.ones((coarse, coarse), np.uint8))[:height, :width]


@settings(max_examples=60, deadline=None)
@given(maps(), st.sampled_from([1, 3, 5, 7]))
def test_the_mode_agrees_with_the_plain_one(classes: Classes, window: int) -> None:
    found = generalization.mode_filter(classes, window=window)
    np.testing.assert_array_equal(found, plain_mode(classes, window))


@settings(max_examples=150, deadline=None)
@given(maps(), st.integers(1, 9), st.sampled_from([4, 8]), st.integers(1, 3))
def test_the_sieve_agrees_with_the_plain_one(
    classes: Classes, pixels: int, connectivity: int, rounds: int
) -> None:
    found = generalization.sieve(
        classes,
        pixels,
        connectivity=connectivity,  # type: ignore[arg-type]
        rounds=rounds,
    )
    np.testing.assert_array_equal(found, plain_sieve(classes, pixels, connectivity, rounds))


def tiled(
    classes: Classes, tile: tuple[int, int], margin: int, work: Callable[[Classes], Classes]
) -> Classes:
    joined = np.zeros_like(classes)
    for top in range(0, classes.shape[0], tile[0]):
        for left in range(0, classes.shape[1], tile[1]):
            above, before = min(top, margin), min(left, margin)
            part = classes[
                top - above : top + tile[0] + margin, left - before : left + tile[1] + margin
            ]
            joined[top : top + tile[0], left : left + tile[1]] = work(part)[
                above : above + tile[0], before : before + tile[1]
            ]
    return joined


@settings(max_examples=60, deadline=None)
@given(maps(40), st.tuples(st.integers(1, 20), st.integers(1, 20)), st.sampled_from([3, 5, 7]))
def test_any_tiling_filters_like_the_whole(
    classes: Classes, tile: tuple[int, int], window: int
) -> None:
    def work(part: Classes) -> Classes:
        return generalization.mode_filter(part, window=window)

    margin = generalization.mode_margin(window)
    np.testing.assert_array_equal(tiled(classes, tile, margin, work), work(classes))


@settings(max_examples=150, deadline=None)
@given(
    maps(40),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(1, 9),
    st.sampled_from([4, 8]),
    st.integers(1, 2),
)
def test_any_tiling_sieves_like_the_whole(
    classes: Classes, tile: tuple[int, int], pixels: int, connectivity: int, rounds: int
) -> None:
    def work(part: Classes) -> Classes:
        return generalization.sieve(
            part,
            pixels,
            connectivity=connectivity,  # type: ignore[arg-type]
            rounds=rounds,
        )

    margin = generalization.sieve_margin(pixels, rounds=rounds)
    np.testing.assert_array_equal(tiled(classes, tile, margin, work), work(classes))


def test_a_winding_piece_is_known_to_be_large_from_its_margin() -> None:
    """A line of nine pixels, one of whose ends lies alone in a tile."""
    classes = np.ones((5, 20), np.uint8)
    classes[2, 4:13] = 2

    def work(part: Classes) -> Classes:
        return generalization.sieve(part, 9)

    margin = generalization.sieve_margin(9)
    found = tiled(classes, (5, 5), margin, work)
    np.testing.assert_array_equal(found, classes)
    assert (generalization.sieve(classes, 10) == 1).all()


def test_a_small_piece_goes_where_its_border_is_longest() -> None:
    classes = np.array([[1, 1, 1, 2, 2], [1, 1, 3, 2, 2], [1, 1, 1, 2, 2]], np.uint8)
    assert generalization.sieve(classes, 2)[1, 2] == 1
    # Two sides each: the lower id.
    classes = np.array([[5, 5, 5], [5, 3, 2], [2, 2, 2]], np.uint8)
    assert generalization.sieve(classes, 2)[1, 1] == 2


def test_nothing_reaches_over_no_data() -> None:
    classes = np.array([[1, 1, 0, 2, 0, 3, 3]], np.uint8)
    np.testing.assert_array_equal(generalization.sieve(classes, 2, rounds=3), classes)


def test_two_parts_that_touch_at_a_corner_are_one_piece_if_that_is_asked_for() -> None:
    classes = np.ones((4, 4), np.uint8)
    classes[1, 1] = classes[2, 2] = 2
    assert (generalization.sieve(classes, 2) == 1).all()
    np.testing.assert_array_equal(generalization.sieve(classes, 2, connectivity=8), classes)


@pytest.mark.parametrize(
    ("hectares", "pixel_size", "pixels"),
    # 0.5 ha is 5000 m2: 50 pixels of 100 m2, 12.5 of 400 m2.
    [(0.5, 10, 50), (0.5, 20, 13), (0, 10, 1), (0.25, 10, 25), (0.01, 10, 1), (1, 60, 3)],
)
def test_a_unit_is_whole_pixels_none_of_which_is_missing(
    hectares: float, pixel_size: float, pixels: int
) -> None:
    assert generalization.unit_in_pixels(hectares, pixel_size) == pixels


@pytest.mark.parametrize(("hectares", "pixel_size"), [(-1, 10), (1, 0), (np.nan, 10), (np.inf, 10)])
def test_a_unit_that_is_none_is_refused(hectares: float, pixel_size: float) -> None:
    with pytest.raises(ValueError, match="minimum mapping unit"):
        generalization.unit_in_pixels(hectares, pixel_size)


def test_parameters_outside_of_their_range_are_refused() -> None:
    classes = np.ones((2, 2), np.uint8)
    with pytest.raises(ValueError, match="odd"):
        generalization.mode_filter(classes, window=2)
    for pixels, rounds, connectivity in ((0, 1, 4), (5, 0, 4), (5, 1, 6)):
        with pytest.raises(ValueError, match="pixels and rounds must be"):
            generalization.sieve(
                classes,
                pixels,
                rounds=rounds,
                connectivity=connectivity,  # type: ignore[arg-type]
            )


def test_an_empty_map_stays_empty() -> None:
    empty = np.empty((0, 4), np.uint8)
    assert generalization.mode_filter(empty).shape == (0, 4)
    assert generalization.sieve(empty, 5).shape == (0, 4)
