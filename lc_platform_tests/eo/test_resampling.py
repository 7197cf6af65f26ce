"""Values between the pixels of a raster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from lc_platform.eo import embeddings, resampling
from lc_platform.eo.resampling import Points

METHODS: Any = ("nearest", "bilinear", "cubic")


def scattered(rng: np.random.Generator, shape: tuple[int, int], margin: float = 0.0) -> Points:
    rows, columns = (rng.uniform(margin, side - margin, (4, 5)) for side in shape)
    return rows, columns


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_nearest_and_bilinear_are_scipy_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 100, (2, 9, 11)).astype(np.float32)
    rows, columns = scattered(rng, (9, 11))
    for method, order in (("nearest", 0), ("bilinear", 1)):
        found = resampling.interpolate(values, (rows, columns), method)  # type: ignore[arg-type]
        for band, one in zip(found, values.astype(np.float64), strict=True):
            # Beyond the outer pixels' centres the edge goes on.
            expected = ndimage.map_coordinates(
                one, [rows - 0.5, columns - 0.5], order=order, mode="nearest"
            )
            np.testing.assert_allclose(band, expected, rtol=1e-5, atol=1e-4)


def test_cubic_goes_through_the_pixels_and_reproduces_a_parabola() -> None:
    y, x = np.mgrid[:12, :14] + 0.5
    values = (3 + 2 * x - y + 0.25 * x * x - 0.5 * y * y + 0.1 * x * y).astype(np.float32)
    rows, columns = scattered(np.random.default_rng(1), (12, 14), margin=2)
    found = resampling.interpolate(values[None], (rows, columns), "cubic")[0]
    expected = 3 + 2 * columns - rows + 0.25 * columns**2 - 0.5 * rows**2 + 0.1 * rows * columns
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    centres = np.mgrid[2:9, 2:11] + 0.5
    at = resampling.interpolate(values[None], (centres[0], centres[1]), "cubic")[0]
    np.testing.assert_array_equal(at, values[2:9, 2:11])


@pytest.mark.parametrize("method", METHODS)
def test_a_hole_stays_one_and_does_not_grow(method: Any) -> None:
    values = np.full((1, 8, 8), 7, np.float32)
    values[0, 3, 4] = np.nan
    rows, columns = np.meshgrid(np.arange(0.05, 8, 0.1), np.arange(0.05, 8, 0.1), indexing="ij")
    found = resampling.interpolate(values, (rows, columns), method)[0]
    hole = (np.floor(rows) == 3) & (np.floor(columns) == 4)
    np.testing.assert_array_equal(np.isnan(found), hole)
    np.testing.assert_allclose(found[~hole], 7)
    outside = (np.array([[-0.1, 4.0, np.nan]]), np.array([[4.0, 8.0, 4.0]]))
    assert np.isnan(resampling.interpolate(values, outside, method)).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_point_does_not_hang_on_the_window(method: Any) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (2, 40, 40)).astype(np.float32)
    values[:, rng.random((40, 40)) < 0.1] = np.nan
    rows, columns = rng.uniform(10, 20, (2, 6, 7))
    whole = resampling.interpolate(values, (rows, columns), method)
    part = values[:, 8:23, 7:22]
    np.testing.assert_array_equal(
        resampling.interpolate(part, (rows - 8, columns - 7), method), whole
    )


def test_a_mean_is_of_the_known_pixels() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (1, 12, 12)).astype(np.float32)
    values[0, :3, :3] = np.nan
    values[0, 4, 4] = np.nan

    def points(down: float, across: float) -> tuple[NDArray[Any], NDArray[Any]]:
        rows, columns = np.meshgrid(np.arange(4) + down, np.arange(4) + across, indexing="ij")
        return 3 * rows, 3 * columns

    shares = (np.arange(3) + 0.5) / 3
    found = resampling.mean(values, (points(d, a) for d in shares for a in shares), (4, 4))
    boxes = values[0].astype(np.float64).reshape(4, 3, 4, 3).swapaxes(1, 2).reshape(4, 4, 9)
    assert np.isnan(found[0, 0, 0])
    boxes[0, 0] = 0
    expected = np.nanmean(boxes, axis=-1)
    np.testing.assert_allclose(found[0].ravel()[1:], expected.ravel()[1:], rtol=1e-6)


def test_alphaearth_s_numbers_are_squares_with_their_sign() -> None:
    numbers = np.array([-127, -64, 0, 64, 127, np.nan], np.float32)
    expected = [-0.992172241, -0.251964629, 0, 0.251964629, 0.992172241, np.nan]  # (v / 127.5)2
    np.testing.assert_allclose(embeddings.alphaearth(numbers), expected, rtol=1e-6)
