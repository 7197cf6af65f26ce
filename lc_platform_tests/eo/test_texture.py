"""Texture against published matrices and the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import texture
from lc_platform.eo.texture import MEASURES

pytestmark = pytest.mark.slow


def of_matrix(matrix: NDArray[Any]) -> list[float]:
    """The measures of one co-occurrence matrix, from their definitions."""
    p = np.asarray(matrix, np.float64) / np.sum(matrix)
    i, j = np.indices(p.shape)
    mean = (i * p).sum()
    variance = ((i - mean) ** 2 * p).sum()
    some = p[p > 0]
    return [
        ((i - j) ** 2 * p).sum(),
        (np.abs(i - j) * p).sum(),
        (p / (1 + (i - j) ** 2)).sum(),
        -(some * np.log(some)).sum(),
        (p**2).sum(),
        ((i - mean) * (j - mean) * p).sum() / variance if variance > 1e-12 else 1.0,
    ]


def of_window(window: NDArray[np.int16], levels: int) -> NDArray[np.float64]:
    """The mean over the four directions, pair by pair."""
    size, found = len(window), []
    for down, right in ((0, 1), (1, 1), (1, 0), (1, -1)):
        matrix = np.zeros((levels, levels))
        for row, column in np.ndindex(size, size):
            to = row + down, column + right
            if not (to[0] < size and 0 <= to[1] < size):
                continue
            one, other = window[row, column], window[to]
            if one >= 0 and other >= 0:
                matrix[one, other] += 1
                matrix[other, one] += 1
        if matrix.any():
            found.append(of_matrix(matrix))
    middle = window[size // 2, size // 2]
    return np.mean(found, axis=0) if found and middle >= 0 else np.full(len(MEASURES), np.nan)


def test_the_example_of_haralick_has_the_matrices_that_he_printed() -> None:
    """Haralick et al. (1973), figure 3: an image of 4 x 4 pixels, here in a window of 5 x 5 whose
    last row and column are missing."""
    image = np.full((5, 5), -1, np.int16)
    image[:4, :4] = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]]
    printed = [
        [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]],
        [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]],
        [[2, 1, 3, 0], [1, 2, 1, 0], [3, 1, 0, 2], [0, 0, 2, 0]],
        [[4, 1, 0, 0], [1, 2, 2, 0], [0, 2, 4, 1], [0, 0, 1, 0]],
    ]
    expected = np.mean([of_matrix(np.array(one)) for one in printed], axis=0)
    found = texture.measure(image[None], 4, 5)[:, 0, 0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@st.composite
def images(draw: st.DrawFn) -> tuple[NDArray[np.int16], int, int]:
    """Grey levels of two bands, of a few values or many, with holes, a number of levels and a
    window."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    window = draw(st.sampled_from([3, 5, 7]))
    levels = draw(st.sampled_from([2, 5, 32, 256]))
    shape = (2, *(window - 1 + draw(st.integers(1, 9)) for _ in range(2)))
    used = draw(st.integers(1, levels))
    grey = rng.integers(0, used, shape).astype(np.int16)
    grey[rng.random(shape) < draw(st.sampled_from([0, 0.1, 0.7]))] = -1
    return grey, levels, window


@settings(max_examples=60, deadline=None)
@given(images())
def test_measures_are_those_of_their_definitions(case: tuple[NDArray[np.int16], int, int]) -> None:
    grey, levels, window = case
    found = texture.measure(grey, levels, window, threads=1)
    assert found.shape == (6, 2, *(side - window + 1 for side in grey.shape[1:]))
    for band, row, column in np.ndindex(*found.shape[1:]):
        around = grey[band, row : row + window, column : column + window]
        expected = of_window(around, levels)
        np.testing.assert_allclose(found[:, band, row, column], expected, rtol=2e-6, atol=2e-6)


@settings(max_examples=40, deadline=None)
@given(images(), st.data())
def test_a_part_of_an_image_has_the_measures_of_the_whole_to_the_bit(
    case: tuple[NDArray[np.int16], int, int], data: st.DataObject
) -> None:
    grey, levels, window = case
    whole = texture.measure(grey, levels, window, threads=2)
    top, left = (data.draw(st.integers(0, side - 1)) for side in whole.shape[2:])
    part = texture.measure(grey[:, top:, left:], levels, window, threads=1)
    np.testing.assert_array_equal(part, whole[:, :, top:, left:])


def test_grey_levels_are_steps_between_the_limits() -> None:
    values = np.array([-3, 0, 0.249, 0.25, 0.5, 0.999, 1, 7, np.nan, np.inf], np.float32)
    found = texture.grey_levels(values, 0, 1, 4)
    assert found.tolist() == [0, 0, 0, 1, 2, 3, 3, 3, -1, 3]
    assert texture.grey_levels(np.float32([-20.0]), -25, 0, 5).tolist() == [1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: texture.measure(np.zeros((1, 9, 9), np.int16), 4, 4), "4 pixels is not odd"),
        (lambda: texture.measure(np.zeros((1, 4, 9), np.int16), 4, 5), "4 x 9 pixels has no wind"),
        (lambda: texture.measure(np.full((1, 9, 9), 4, np.int16), 4, 5), "the image has 4"),
        (lambda: texture.grey_levels(np.zeros(3, np.float32), 1, 1, 4), "4 grey levels from 1 to"),
        (lambda: texture.grey_levels(np.zeros(3, np.float32), 0, 1, 1), "must be 2 to 256"),
    ],
)
def test_what_is_no_texture_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()
