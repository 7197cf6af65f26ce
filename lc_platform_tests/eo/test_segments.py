"""Segments of like pixels, and the probabilities of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import segments
from lc_platform.eo.segments import NO_SEGMENT, segment

Pixel = tuple[int, int]


def plain_segments(
    values: NDArray[np.float32], origin: Pixel, size: int, compactness: float
) -> dict[Pixel, Pixel]:
    """The square of each pixel's segment, by k-means a pixel at a time; both counted from the
    CRS's origin."""
    layers = len(values)
    shown = {
        (origin[0] + y, origin[1] + x): values[:, y, x].astype(np.float64)
        for y, x in np.ndindex(values.shape[1:])
        if not np.isnan(values[:, y, x]).any()
    }
    found = {(row, column): (row // size, column // size) for row, column in shown}
    means: dict[Pixel, NDArray[np.float64]] = {}
    for _ in range(segments.ITERATIONS):
        members: dict[Pixel, list[Pixel]] = {}
        for pixel in sorted(found):
            members.setdefault(found[pixel], []).append(pixel)
        for (i, j), own in members.items():
            shows = np.add.accumulate([shown[pixel] for pixel in own])[-1]
            places = np.sum([(y - i * size, x - j * size) for y, x in own], axis=0)
            means[i, j] = np.concatenate([shows, places]) / len(own)
        for row, column in found:
            least = np.inf
            for i in range(row // size - 1, row // size + 2):
                for j in range(column // size - 1, column // size + 2):
                    if (i, j) not in means:
                        continue
                    mean = means[i, j]
                    south, east = row - i * size - mean[layers], column - j * size - mean[-1]
                    apart = (compactness / size) ** 2 * (south * south + east * east)
                    for k in range(layers):
                        apart += (shown[row, column][k] - mean[k]) ** 2
                    if apart < least:
                        least, found[row, column] = apart, (i, j)
    return found


def scene(shape: tuple[int, int, int], seed: int, missing: float = 0.0) -> NDArray[np.float32]:
    """Fields that differ, speckled; of few values, so that many distances are equal."""
    generator = np.random.default_rng(seed)
    fields = generator.integers(0, 4, (shape[0], shape[1] // 5 + 1, shape[2] // 5 + 1))
    values = fields.repeat(5, axis=1).repeat(5, axis=2)[:, : shape[1], : shape[2]] / 4
    values = (values + generator.integers(0, 3, shape) / 8).astype(np.float32)
    values[:, generator.random(shape[1:]) < missing] = np.nan
    return values


def groups(found: NDArray[np.int32]) -> set[frozenset[Pixel]]:
    """The segments, whatever their numbers."""
    return {
        frozenset(map(tuple, np.argwhere(found == one).tolist()))
        for one in np.unique(found[found != NO_SEGMENT])
    }


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 15), st.integers(1, 15)),
    st.tuples(st.integers(-40, 40), st.integers(-40, 40)),
    st.integers(2, 6),
    st.sampled_from([0.0, 0.3, 2.0]),
    st.sampled_from([0.0, 0.3, 0.9]),
    st.integers(0, 2**32 - 1),
)
def test_the_compiled_version_agrees_with_the_plain_one(
    shape: tuple[int, int, int],
    origin: Pixel,
    size: int,
    compactness: float,
    missing: float,
    seed: int,
) -> None:
    values = scene(shape, seed, missing)
    found = segment(values, origin=origin, size=size, compactness=compactness)
    np.testing.assert_array_equal(found == NO_SEGMENT, np.isnan(values).any(axis=0))
    expected: dict[Pixel, set[Pixel]] = {}
    for (row, column), square in plain_segments(values, origin, size, compactness).items():
        expected.setdefault(square, set()).add((row - origin[0], column - origin[1]))
    assert groups(found) == {frozenset(one) for one in expected.values()}


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_windows_with_their_margin_give_what_the_whole_gives(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 6))
    rows, columns = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    tile = data.draw(st.integers(5, 30))
    origin = data.draw(st.integers(-99, 99)), data.draw(st.integers(-99, 99))
    margin = segments.margin(size)
    shape = rows + 2 * margin, columns + 2 * margin
    seed = data.draw(st.integers(0, 2**32 - 1))
    values = scene((2, *shape), seed, 0.05)
    generator = np.random.default_rng(seed)
    probabilities = np.moveaxis(generator.dirichlet([1.0] * 3, shape), -1, 0).astype(np.float32)
    probabilities[:, np.isnan(values[0])] = np.nan

    def smoothed(top: int, left: int, height: int, width: int) -> NDArray[np.float32]:
        """Of a window of the inner part."""
        here = slice(top, top + height + 2 * margin), slice(left, left + width + 2 * margin)
        first = origin[0] + top, origin[1] + left
        found = segment(values[:, *here], origin=first, size=size, compactness=0.3)
        whole = segments.smooth(np.ascontiguousarray(probabilities[:, *here]), found)
        return whole[:, margin : margin + height, margin : margin + width]

    expected = smoothed(0, 0, rows, columns)
    for top in range(0, rows, tile):
        for left in range(0, columns, tile):
            height, width = min(tile, rows - top), min(tile, columns - left)
            np.testing.assert_array_equal(
                smoothed(top, left, height, width),
                expected[:, top : top + height, left : left + width],
            )


def test_segments_end_where_fields_end() -> None:
    """A border across the squares, speckled: no segment has pixels of both sides."""
    generator = np.random.default_rng(1)
    field = np.add.outer(np.arange(40), np.arange(40)) > 37
    values = (field + generator.normal(0, 0.1, (40, 40))).astype(np.float32)[np.newaxis]
    found = segment(values, origin=(3, 1), size=6, compactness=0.3)
    assert len(np.unique(found)) > 30
    for one in np.unique(found):
        assert len(np.unique(field[found == one])) == 1


def test_what_is_all_alike_stays_in_squares() -> None:
    found = segment(np.ones((1, 12, 12), np.float32), origin=(-4, 8), size=4, compactness=1)
    squares = np.arange(12) // 4
    np.testing.assert_array_equal(found, 3 * squares[:, np.newaxis] + squares)


def test_a_segment_has_the_geometric_mean_of_its_probabilities() -> None:
    numbers = np.array([[0, 0, 7, NO_SEGMENT, 0]], np.int32)
    probabilities = np.array(
        [[[0.9, 0.4, 0.2, 0.3, np.nan]], [[0.1, 0.6, 0.8, 0.7, np.nan]]], np.float32
    )
    found = segments.smooth(probabilities, numbers)
    first = (0.9 * 0.4) ** 0.5 / ((0.9 * 0.4) ** 0.5 + (0.1 * 0.6) ** 0.5)
    expected = [first, first, 0.2, 0.3, np.nan]
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[1, 0], 1 - np.array(expected), rtol=1e-5)


def test_nothing_without_data_has_a_segment() -> None:
    nothing = np.full((2, 9, 9), np.nan, np.float32)
    found = segment(nothing, origin=(0, 0), size=3, compactness=0.1)
    assert (found == NO_SEGMENT).all()
    assert np.isnan(segments.smooth(nothing, found)).all()


@pytest.mark.parametrize(("size", "compactness"), [(1, 0.1), (5, -0.1), (5, np.inf), (5, np.nan)])
def test_parameters_outside_of_their_range_are_refused(size: int, compactness: float) -> None:
    with pytest.raises(ValueError, match="size must be 2 or above, the compactness 0 or above"):
        segment(np.ones((1, 4, 4), np.float32), origin=(0, 0), size=size, compactness=compactness)
