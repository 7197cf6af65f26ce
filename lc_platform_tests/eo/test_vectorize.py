"""A class map as polygons: of windows as of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.features import rasterize

from lc_platform.eo.vectorize import Vectorizer


def polygons(classes: NDArray[np.uint8], size: int) -> list[tuple[int, shapely.Polygon]]:
    """The pieces of a map that is added in windows, in an order of their own."""
    rows, columns = classes.shape
    vectorizer = Vectorizer((rows, columns))
    found = [
        piece
        for row in range(0, rows, size)
        for column in range(0, columns, size)
        for piece in vectorizer.add(classes[row : row + size, column : column + size], row, column)
    ]
    found += vectorizer.rest()
    return sorted(found, key=lambda one: (one[0], one[1].normalize().wkt))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 17), st.integers(1, 17), st.integers(3, 9), st.integers(0, 2**32 - 1))
def test_windows_give_the_polygons_of_the_whole(
    rows: int, columns: int, size: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    classes = generator.choice(np.array([0, 3, 7], np.uint8), (rows, columns), p=[0.2, 0.5, 0.3])
    found, whole = polygons(classes, size), polygons(classes, 100)
    assert [i for i, _ in found] == [i for i, _ in whole]
    assert all(one.equals(other) for (_, one), (_, other) in zip(found, whole, strict=True))
    assert all(shapely.is_valid(piece) for _, piece in found)
    burnt = rasterize([(piece, i) for i, piece in found], classes.shape) if found else classes
    np.testing.assert_array_equal(burnt, classes)


def test_a_straight_side_across_windows_has_no_corner_there() -> None:
    ((class_id, piece),) = polygons(np.full((8, 12), 5, np.uint8), 4)
    assert class_id == 5
    assert len(piece.exterior.coords) == 5
    assert piece.bounds == (0, 0, 12, 8)


def test_pieces_that_meet_at_a_corner_are_two() -> None:
    classes = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
    assert [piece.area for _, piece in polygons(classes, 2)] == [4, 4]
    assert [piece.area for _, piece in polygons(classes, 4)] == [4, 4]


def test_what_lies_within_a_window_is_given_at_once() -> None:
    classes = np.zeros((6, 12), np.uint8)
    classes[2:4, 2:4] = 1
    classes[1:5, 5:8] = 2
    vectorizer = Vectorizer((6, 12))
    assert [i for i, _ in vectorizer.add(classes[:, :6], 0, 0)] == [1]
    assert list(vectorizer.add(classes[:, 6:], 0, 6)) == []
    ((class_id, piece),) = vectorizer.rest()
    assert (class_id, piece.area) == (2, pytest.approx(12))
