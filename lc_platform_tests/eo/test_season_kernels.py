"""Kernels of the season against independent implementations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.interpolate import Akima1DInterpolator
from scipy.optimize import curve_fit
from scipy.sparse.linalg import spsolve

from lc_platform.eo import akima, harmonics, phenology, season_statistics, whittaker

pytestmark = pytest.mark.slow

YEAR = 365
TARGETS = np.arange(0, YEAR, 16, dtype=np.int32)


class Case(NamedTuple):
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    days: NDArray[np.int32]

    def pixel(self, x: int, band: int = 1) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Days and values of a pixel's observations, those of one day as their mean."""
        seen = self.valid[:, 0, x] & ~np.isnan(self.values[:, band, 0, x])
        days, values = self.days[seen], self.values[seen, band, 0, x].astype(np.float64)
        unique = np.unique(days)
        return unique, np.array([values[days == day].mean() for day in unique])

    def counts(self, x: int, band: int = 1) -> NDArray[np.int64]:
        seen = self.valid[:, 0, x] & ~np.isnan(self.values[:, band, 0, x])
        return np.unique(self.days[seen], return_counts=True)[1]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A row of pixels of two bands: days repeat, values lack, some pixels have none at all."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    times = draw(st.integers(1, 60))
    days = np.sort(rng.integers(0, YEAR, times)).astype(np.int32)
    values = rng.normal(0.3, 0.2, (times, 2, 1, 6)).astype(np.float32)
    values[rng.random(values.shape) < 0.05] = np.nan
    valid = rng.random((times, 1, 6)) < rng.random((1, 1, 6)) * 1.2
    return Case(values, valid, days)


@settings(max_examples=25, deadline=None)
@given(cases())
def test_akima_is_scipys(case: Case) -> None:
    found = akima.interpolate(*case, TARGETS, threads=1)[:, 1, 0]
    for x in range(6):
        days, values = case.pixel(x)
        if len(days) > 1:
            expected = Akima1DInterpolator(days, values, extrapolate=False)(TARGETS)
        else:
            expected = np.where(np.isin(TARGETS, days), values.sum(), np.nan)
        np.testing.assert_allclose(found[:, x], expected, atol=1e-6, rtol=1e-6)


def by_sparse_solve(
    days: NDArray[np.int32], values: NDArray[np.float64], weights: NDArray[np.float64], lam: float
) -> NDArray[np.float64]:
    """Eilers 2003, equation 6, on the daily grid of the observed time."""
    first, size = days[0], int(days[-1] - days[0]) + 1
    weight, data = np.zeros(size), np.zeros(size)
    weight[days - first], data[days - first] = weights, values
    system = sparse.diags_array(weight)
    if size > 2:
        second = sparse.diags_array(
            [np.ones(size - 2), np.full(size - 2, -2.0), np.ones(size - 2)],
            offsets=[0, 1, 2],
            shape=(size - 2, size),
        )
        system = system + lam * second.T @ second
    return np.atleast_1d(spsolve(system.tocsc(), weight * data))


@settings(max_examples=25, deadline=None)
@given(cases(), st.sampled_from([0.5, 30.0, 1000.0, 1e5]))
def test_whittakers_curve_is_that_of_a_sparse_solve_of_the_daily_grid(
    case: Case, smoothing: float
) -> None:
    found = whittaker.smooth(*case, TARGETS, smoothing, threads=1)[:, 1, 0]
    for x in range(6):
        days, values = case.pixel(x)
        expected = np.full(len(TARGETS), np.nan)
        if len(days) > 1:
            curve = by_sparse_solve(days, values, case.counts(x).astype(float), smoothing)
            inside = (days[0] <= TARGETS) & (days[-1] >= TARGETS)
            expected[inside] = curve[TARGETS[inside] - days[0]]
        elif len(days):
            expected[days[0] == TARGETS] = values[0]
        np.testing.assert_allclose(found[:, x], expected, atol=1e-5, rtol=1e-5)


def test_whittaker_weighs_observations_and_follows_the_upper_envelope() -> None:
    days = np.arange(0, 360, 8, dtype=np.int32)
    clear = 0.5 + 0.3 * np.sin(days / 60)
    hazy = clear.copy()
    hazy[::3] -= 0.3
    values = np.repeat(hazy[:, None, None, None], 2, axis=1).astype(np.float32)
    valid = np.ones((len(days), 1, 1), np.bool_)
    weights = np.ones(valid.shape, np.float32)
    weights[::3] = 1e-4
    plain, upper = whittaker.smooth(
        values, valid, days, days, 500, envelope=np.array([False, True]), threads=1
    )[:, :, 0, 0].T
    weighed = whittaker.smooth(values, valid, days, days, 500, weights=weights, threads=1)
    assert np.abs(plain - clear).mean() > 0.09  # the mean of the haze
    assert np.abs(upper - clear).mean() < 0.03
    assert np.abs(weighed[:, 0, 0, 0] - clear).mean() < 0.01


@settings(max_examples=25, deadline=None)
@given(cases())
def test_statistics_are_numpys(case: Case) -> None:
    shares = (0.0, 7.5, 50.0, 90.0, 100.0)
    found = season_statistics.compute(*case, shares, threads=1)[:, 1, 0]
    for x in range(6):
        days, values = case.pixel(x)
        expected = np.full(9, np.nan)
        if len(days):
            expected[:5] = np.percentile(values, shares)
            expected[5:] = values.mean(), values.std(), np.ptp(values), days[values.argmax()] + 1
        np.testing.assert_allclose(found[:, x], expected, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(cases(), st.integers(1, 3))
def test_harmonics_are_those_of_least_squares(case: Case, order: int) -> None:
    found = harmonics.fit(*case, order, threads=1)[:, 1, 0]
    for x in range(6):
        days, values = case.pixel(x)
        t = 2 * np.pi * days / 365.25
        waves = [f(k * t) for k in range(1, order + 1) for f in (np.cos, np.sin)]
        design = np.stack([np.ones(len(days)), *waves], axis=1)
        if len(days) < design.shape[1]:
            assert np.isnan(found[:, x]).all()
        elif np.linalg.cond(design) < 100:
            expected = np.linalg.lstsq(design, values)[0]
            np.testing.assert_allclose(found[:, x], expected, atol=2e-5, rtol=1e-5)


def test_robust_harmonics_find_the_year_below_outliers() -> None:
    rng = np.random.default_rng(3)
    days = np.arange(2, 364, 8, dtype=np.int32)
    truth = np.array([0.4, 0.2, -0.1])
    t = 2 * np.pi * days / 365.25
    clear = truth @ [np.ones(len(days)), np.cos(t), np.sin(t)]
    values = np.tile(clear[:, None, None, None], (1, 1, 1, 20)).astype(np.float32)
    values += rng.normal(0, 0.005, values.shape).astype(np.float32)
    values[rng.random(values.shape) < 0.15] += 0.5  # clouds that no mask found
    valid = np.ones((len(days), 1, 20), np.bool_)
    plain = harmonics.fit(values, valid, days, 1, threads=1)[:, 0, 0]
    robust = harmonics.fit(values, valid, days, 1, robust=True, threads=1)[:, 0, 0]
    assert np.abs(plain[0] - truth[0]).min() > 0.02
    assert np.abs(robust - truth[:, None]).max() < 0.01


def double_logistic(
    t: NDArray[np.float64], base: float, height: float, rise: float, u: float, fall: float, d: float
) -> NDArray[np.float64]:
    up, down = (1 / (1 + np.exp(-s * (t - day))) for s, day in ((u, rise), (d, fall)))
    found: NDArray[np.float64] = base + height * (up - down)
    return found


SUMMER = (0.2, 0.6, 120.0, 0.1, 260.0, 0.06)
DAILY = np.arange(YEAR, dtype=np.float64)


def seasons(curve: NDArray[np.float64], top: int, share: float) -> tuple[float, float]:
    """Where a daily curve crosses a share of its height on either side of its peak, in days of the
    year."""
    found = []
    for side in (np.arange(top + 1), np.arange(top, len(curve))):
        values = curve[side]
        level = values.min() + share * (values.max() - values.min())
        inside = values if side[0] == 0 else values[::-1]
        place = np.interp(
            level, inside[inside.argmin() :], np.arange(len(inside))[inside.argmin() :]
        )
        found.append(place if side[0] == 0 else side[-1] - place)
    return found[0] + 1, found[1] + 1


def observed(curve: NDArray[np.float64], every: int = 6) -> Case:
    days = np.arange(1, YEAR, every, dtype=np.int32)
    values = curve[days].astype(np.float32)[:, None, None, None]
    return Case(values, np.ones((len(days), 1, 1), np.bool_), days)


@pytest.mark.parametrize("curve", ["smoothed", "double_logistic"])
def test_a_season_starts_and_ends_where_its_curve_does(curve: phenology.Curve) -> None:
    truth = double_logistic(DAILY, *SUMMER)
    top = int(truth.argmax())
    start, peak, end, length, integral, rise, fall = phenology.measure(
        *observed(truth), smoothing=1.0, curve=curve, threads=1
    )[:, 0, 0, 0]
    expected = seasons(truth, top, 0.2)
    assert (start, end) == pytest.approx(expected, abs=1)
    assert peak == pytest.approx(top + 1, abs=4)
    assert length == pytest.approx(end - start, abs=1e-3)
    inside = np.linspace(expected[0] - 1, expected[1] - 1, 5000)
    area = np.trapezoid(np.interp(inside, DAILY, truth), inside)
    assert integral == pytest.approx(area, rel=0.01)
    early, late = (seasons(truth, top, share) for share in (0.2, 0.8))
    height = 0.6 * (truth[top] - truth[:top].min())
    assert rise == pytest.approx(height / (late[0] - early[0]), rel=0.03)
    assert fall == pytest.approx(0.6 * (truth[top] - truth[-1]) / (early[1] - late[1]), rel=0.03)


def test_of_two_seasons_the_earlier_comes_first_and_a_missing_one_is_missing() -> None:
    spring = double_logistic(DAILY, 0.2, 0.4, 80, 0.12, 140, 0.12)
    both = spring + double_logistic(DAILY, 0, 0.5, 210, 0.12, 280, 0.1)
    found = phenology.measure(*observed(both), seasons=2, smoothing=10, threads=1)[:, 0, 0, 0]
    peaks = int(both[:170].argmax()) + 1, int(both[170:].argmax()) + 171
    assert (found[1], found[8]) == pytest.approx(peaks, abs=3)
    assert found[2] < found[7]
    (one,) = phenology.measure(*observed(both), smoothing=10, threads=1)[1, 0, 0]
    assert one == found[8]
    alone = phenology.measure(*observed(spring), seasons=2, smoothing=10, threads=1)[:, 0, 0, 0]
    assert np.isnan(alone[7:]).all()
    assert not np.isnan(alone[:7]).any()
    flat = phenology.measure(*observed(np.full(YEAR, 0.3)), threads=1)
    assert np.isnan(flat).all()


def test_the_double_logistic_is_scipys_fit() -> None:
    rng = np.random.default_rng(9)
    case = observed(double_logistic(DAILY, *SUMMER))
    values = case.values + rng.normal(0, 0.02, case.values.shape).astype(np.float32)
    noisy = Case(values, case.valid, case.days)
    best, _ = curve_fit(double_logistic, case.days, values[:, 0, 0, 0], SUMMER)
    fitted = double_logistic(DAILY, *best)
    measured = phenology.measure(*noisy, curve="double_logistic", threads=1)[:, 0, 0, 0]
    begin, end = seasons(fitted[: case.days[-1] + 1], int(fitted.argmax()), 0.2)
    assert measured[0] == pytest.approx(begin, abs=0.5)
    assert measured[2] == pytest.approx(end, abs=0.5)
