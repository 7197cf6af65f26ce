"""The nearest of many samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.eo.nearest import NearestSample


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 200),
    st.integers(1, 45),
    st.integers(1, 6),
    st.sampled_from([1e-6, 1.0, 1e5]),
)
def test_distances_are_exact_however_samples_lie(
    seed: int, count: int, width: int, rank: int, scale: float
) -> None:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(rank, width))
    points = generator.normal(size=(count, rank)) @ mixing * scale
    points += generator.normal(size=points.shape) * scale * generator.choice([0, 0.01, 1])
    pixels = generator.normal(size=(20, width)) * scale * generator.choice([0.1, 1, 30])
    pixels[::4] = points[generator.integers(0, count, 5)]
    expected = np.array([np.sqrt(((points - one) ** 2).sum(axis=1)).min() for one in pixels])
    found = NearestSample(points).distances(pixels.T)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * scale)


def test_a_pixels_distance_does_not_depend_on_the_pixels_before_it() -> None:
    generator = np.random.default_rng(1)
    search = NearestSample(generator.normal(size=(300, 20)))
    pixels = generator.normal(size=(50, 20))
    whole = search.distances(pixels.T)
    np.testing.assert_array_equal(search.distances(pixels[::-1].T)[::-1], whole)
    alone = [float(search.distances(pixels[i : i + 1].T)[0]) for i in range(50)]
    np.testing.assert_array_equal(alone, whole)


def test_no_pixels_have_no_distances() -> None:
    assert NearestSample(np.zeros((3, 2))).distances(np.empty((2, 0))).shape == (0,)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="are none"):
        NearestSample(np.empty((0, 4)))
