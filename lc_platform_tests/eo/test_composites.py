"""Composites of a period."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from lc_platform.eo import composites

pytestmark = pytest.mark.slow

EDGES = np.array([0, 30, 60, 90], np.int32)


def observations(seed: int, times: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    values = rng.normal(0.3, 0.1, (times, 3, 1, 5)).astype(np.float32)
    values[rng.random(values.shape) < 0.03] = np.nan
    return values, rng.random((times, 1, 5)) < 0.7


def inside(
    values: NDArray[np.float32], valid: NDArray[np.bool_], days: NDArray[np.int32], x: int, at: int
) -> NDArray[np.float64]:
    """(observation, band), the complete ones of a pixel and a period."""
    seen = valid[:, 0, x] & (days >= EDGES[at]) & (days < EDGES[at + 1])
    points = values[seen][:, :, 0, x].astype(np.float64)
    return points[~np.isnan(points).any(axis=1)]


def distances(point: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(points - point, axis=1).sum())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 16))
def test_composites_are_what_their_definitions_say(seed: int, times: int) -> None:
    values, valid = observations(seed, times)
    days = np.sort(np.random.default_rng(seed).integers(0, 90, times)).astype(np.int32)
    by = values[:, 0]
    found = {
        method: composites.compose(values, valid, days, EDGES, method, by=by, threads=1)[0]
        for method in ("median", "maximum", "medoid", "geometric_median")
    }
    for x in range(2):
        for period in range(3):
            points = inside(values, valid, days, x, period)
            here = {name: one[period, :, 0, x] for name, one in found.items()}
            seen = valid[:, 0, x] & (days >= EDGES[period]) & (days < EDGES[period + 1])
            for band in range(3):
                known = values[seen, band, 0, x].astype(np.float64)
                known = known[~np.isnan(known)]
                expected = np.median(known) if len(known) else np.nan
                assert here["median"][band] == pytest.approx(expected, abs=1e-6, nan_ok=True)
            if not len(points):
                for name in ("maximum", "medoid", "geometric_median"):
                    assert np.isnan(here[name]).all()
                continue
            np.testing.assert_allclose(here["maximum"], points[points[:, 0].argmax()])
            least = min(distances(one, points) for one in points)
            assert distances(here["medoid"].astype(np.float64), points) == pytest.approx(least)
            # No point is nearer to all than the geometric median: what a general optimizer finds,
            # and no observation itself.
            median = here["geometric_median"].astype(np.float64)
            best = minimize(distances, np.median(points, axis=0), (points,), method="BFGS").fun
            assert distances(median, points) <= min(best, least) * (1 + 1e-5) + 1e-7


def test_a_geometric_median_that_is_an_observation_is_met() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], np.float32)
    found, failed = composites.compose(
        points[:, :, None, None],
        np.ones((5, 1, 1), np.bool_),
        np.arange(5, dtype=np.int32),
        np.array([0, 30], np.int32),
        "geometric_median",
        threads=1,
    )
    np.testing.assert_allclose(found[0, :, 0, 0], 0, atol=1e-6)
    assert failed == 0


def test_composites_that_do_not_converge_are_counted() -> None:
    """The corner of a triangle with 120 degrees just holds the median: every step towards it is
    little shorter than the one before (Fermat's point)."""
    corner = np.array([[0, 0], [1, 0], [-0.5, 3**0.5 / 2]], np.float32)
    found, failed = composites.compose(
        np.repeat(corner[:, :, None, None], 2, axis=3),
        np.ones((3, 1, 2), np.bool_),
        np.arange(3, dtype=np.int32),
        np.array([0, 30], np.int32),
        "geometric_median",
        threads=1,
    )
    assert failed == 2
    np.testing.assert_allclose(found, 0, atol=0.02)


def test_the_maximum_needs_what_it_is_of() -> None:
    values, valid = observations(1, 4)
    days = np.arange(4, dtype=np.int32)
    with pytest.raises(ValueError, match="the maximum needs by"):
        composites.compose(values, valid, days, EDGES, "maximum", threads=1)
