"""Regular dates from irregular observations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import timeseries


def plain_regularize(
    values: NDArray[np.uint16] | NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    targets: NDArray[np.int32],
) -> NDArray[np.float32]:
    """The same by np.interp, a pixel and a band at a time."""
    _, bands, height, width = values.shape
    regular = np.full((len(targets), bands, height, width), np.nan, np.float32)
    for band, y, x in np.ndindex(bands, height, width):
        series = values[:, band, y, x].astype(np.float64)
        use = valid[:, y, x] & ~np.isnan(series)
        seen = np.unique(days[use])
        if len(seen):
            daily = [series[use & (days == day)].mean() for day in seen]
            regular[:, band, y, x] = np.interp(targets, seen, daily, left=np.nan, right=np.nan)
    return regular


@pytest.mark.parametrize(("year", "count", "last"), [(2017, 23, 352), (2020, 23, 352)])
def test_every_16_days_gives_23_dates_a_year(year: int, count: int, last: int) -> None:
    days = timeseries.target_days(year, 16)
    assert (len(days), days[0], days[1], days[-1]) == (count, 0, 16, last)
    assert days.dtype == np.int32


def test_daily_dates_are_as_many_as_the_year_has() -> None:
    assert len(timeseries.target_days(2019, 1)) == 365
    assert len(timeseries.target_days(2020, 1)) == 366


def test_an_interval_of_no_days_is_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        timeseries.target_days(2017, 0)


@st.composite
def observations(
    draw: st.DrawFn,
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32]]:
    times, bands = draw(st.integers(0, 8)), draw(st.integers(1, 3))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    days = sorted(draw(st.lists(st.integers(0, 40), min_size=times, max_size=times)))
    targets = sorted(draw(st.lists(st.integers(-3, 45), max_size=8)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    valid = generator.random((times, *shape)) < draw(st.sampled_from([0.1, 0.5, 0.9]))
    values: NDArray[Any]
    if draw(st.booleans()):
        values = generator.integers(0, 2**16, (times, bands, *shape)).astype(np.uint16)
    else:
        values = generator.normal(size=(times, bands, *shape)).astype(np.float32)
        values[generator.random(values.shape) < 0.1] = np.nan
    return values, valid, np.array(days, np.int32), np.array(targets, np.int32)


@settings(max_examples=150, deadline=None)
@given(observations())
def test_the_compiled_version_agrees_with_the_plain_one(
    case: tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32]],
) -> None:
    found = timeseries.regularize(*case)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain_regularize(*case), rtol=1e-6, atol=1e-6)


def pixel(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def series(
    values: NDArray[np.float32], valid: list[bool], days: list[int], targets: list[int]
) -> list[float]:
    regular = timeseries.regularize(
        values,
        np.array(valid, np.bool_).reshape(-1, 1, 1),
        np.array(days, np.int32),
        np.array(targets, np.int32),
    )
    return [float(value) for value in regular[:, 0, 0, 0]]


def test_a_gap_is_crossed_in_a_straight_line_and_nothing_is_extrapolated() -> None:
    found = series(pixel(2, 99, 6), [True, False, True], [10, 15, 20], [9, 10, 15, 18, 20, 21])
    np.testing.assert_allclose(found, [np.nan, 2, 4, 5.2, 6, np.nan])


def test_a_single_valid_observation_serves_its_own_day_only() -> None:
    found = series(pixel(7, 8), [False, True], [3, 5], [4, 5, 6])
    np.testing.assert_array_equal(found, [np.nan, 8, np.nan])


def test_without_a_valid_observation_nothing_is_known() -> None:
    assert np.isnan(series(pixel(7, 8), [False, False], [3, 5], [3, 4, 5])).all()


def test_without_an_acquisition_nothing_is_known() -> None:
    assert np.isnan(series(pixel(), [], [], [0, 16])).all()


def test_two_passes_of_one_day_count_as_their_mean_in_either_order() -> None:
    days, valid = [0, 10, 10], [True, True, True]
    first = series(pixel(0, 4, 8), valid, days, [5, 10])
    second = series(pixel(0, 8, 4), valid, days, [5, 10])
    assert first == second == [3, 6]


def test_digital_numbers_up_to_the_highest_do_not_wrap_around() -> None:
    values = np.array([65_535, 0, 65_535], np.uint16).reshape(-1, 1, 1, 1)
    regular = timeseries.regularize(
        values,
        np.ones((3, 1, 1), np.bool_),
        np.array([0, 2, 2], np.int32),
        np.array([0, 1, 2], np.int32),
    )
    assert regular[:, 0, 0, 0].tolist() == [65_535, 49_151.25, 32_767.5]


def test_read_only_and_strided_arrays_give_what_a_copy_gives() -> None:
    generator = np.random.default_rng(3)
    values = generator.integers(0, 10_000, (6, 8, 10, 2)).astype(np.uint16).transpose(0, 3, 1, 2)
    valid = generator.random((6, 20, 8)).transpose(0, 2, 1)[:, :, ::2] < 0.7
    days = np.array([1, 5, 5, 9, 30, 31], np.int32)
    targets = np.arange(0, 40, 3, dtype=np.int32)
    expected = timeseries.regularize(values.copy(order="C"), valid.copy(), days, targets)
    for array in (values, valid, days, targets):
        array.setflags(write=False)
    np.testing.assert_array_equal(timeseries.regularize(values, valid, days, targets), expected)


def test_any_window_has_the_values_of_the_whole() -> None:
    generator = np.random.default_rng(4)
    values = generator.normal(size=(9, 2, 7, 8)).astype(np.float32)
    valid = generator.random((9, 7, 8)) < 0.5
    days = np.arange(0, 90, 10, dtype=np.int32)
    targets = np.arange(0, 90, 16, dtype=np.int32)
    whole = timeseries.regularize(values, valid, days, targets)
    part = timeseries.regularize(values[:, :, 2:5, 3:], valid[:, 2:5, 3:], days, targets)
    np.testing.assert_array_equal(part, whole[:, :, 2:5, 3:])


def test_shapes_that_do_not_agree_and_days_that_decrease_are_refused() -> None:
    values, valid = np.zeros((2, 1, 3, 4), np.float32), np.ones((2, 3, 4), np.bool_)
    days = np.array([0, 1], np.int32)
    with pytest.raises(ValueError, match="do not agree"):
        timeseries.regularize(values, valid[:, :2], days, days)
    with pytest.raises(ValueError, match="do not agree"):
        timeseries.regularize(values, valid, days[:1], days)
    with pytest.raises(ValueError, match=r"days must not decrease: \[1, 0\]"):
        timeseries.regularize(values, valid, days[::-1], days)
    with pytest.raises(ValueError, match="targets must not decrease"):
        timeseries.regularize(values, valid, days, days[::-1])


def test_mean_and_maximum_leave_out_what_is_not_valid_and_what_is_missing() -> None:
    values = np.array([[[1, 5, np.nan]], [[3, 9, np.nan]], [[8, np.nan, 2]]], np.float32)
    valid = np.array([[[1, 1, 1]], [[1, 1, 1]], [[0, 1, 0]]], np.bool_)
    np.testing.assert_array_equal(timeseries.mean(values), [[4, 7, 2]])
    np.testing.assert_array_equal(timeseries.mean(values, valid), [[2, 7, np.nan]])
    np.testing.assert_array_equal(timeseries.maximum(values), [[8, 9, 2]])
    np.testing.assert_array_equal(timeseries.maximum(values, valid), [[3, 9, np.nan]])


def test_counts_mean_and_maximum_of_no_acquisition_are_none_and_unknown() -> None:
    none = np.zeros((0, 2, 3), np.float32)
    assert timeseries.valid_count(none > 0).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert np.isnan(timeseries.mean(none)).all()
    assert np.isnan(timeseries.maximum(none)).all()


@pytest.mark.real_data
def test_valid_counts_and_highest_ndvi_of_68_dates_are_the_published_ones(
    shared_data: Path,
) -> None:
    with np.load(shared_data / "slovenia" / "expected" / "timeseries_2015_2017.npz") as series:
        assert len(series["timestamps"]) == 68
        np.testing.assert_array_equal(
            timeseries.valid_count(series["is_valid"]), series["valid_count"]
        )
        np.testing.assert_array_equal(timeseries.maximum(series["ndvi"]), series["max_ndvi"])
