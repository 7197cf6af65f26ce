"""Calibrated probabilities, and how they are judged."""

from __future__ import annotations

import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import calibration
from lc_platform.eo.calibration import Method, Temperature, calibrate_out_of_fold, fit, reliability
from lc_platform_tests.eo.sharp_probabilities import IDS, sample


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 2.5])
def test_the_temperature_that_the_probabilities_need_is_found(temperature: float) -> None:
    found = fit(*sample(20_000, 1, temperature), IDS, "temperature")
    assert isinstance(found, Temperature)
    assert found.value == pytest.approx(temperature, rel=0.03)


def surprise(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    columns = np.searchsorted(IDS, labels)
    true = np.maximum(probabilities[np.arange(len(labels)), columns], 1e-30)
    return float(-np.log(true).mean())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60))
def test_no_other_temperature_is_likelier(seed: int, pixels: int) -> None:
    given_, labels = sample(pixels, seed, 3.0)
    found = fit(given_, labels, IDS, "temperature")
    assert isinstance(found, Temperature)
    best = surprise(found.apply(given_), labels)
    grid = np.geomspace(calibration.COLDEST, calibration.HOTTEST, 80)
    assert all(surprise(Temperature(t).apply(given_), labels) > best - 1e-4 for t in grid)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.1, 10), st.sampled_from([1, 7, 20_000]))
def test_a_temperature_divides_the_logits(seed: int, temperature: float, pixels: int) -> None:
    given_, _ = sample(pixels, seed)
    given_[0] = [1, 0, 0, 0, 0]
    found = Temperature(temperature).apply(given_)
    logits = np.log(np.maximum(given_.astype(np.float64), calibration.LEAST)) / temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("method", ["curve", "temperature", "isotonic"])
def test_calibrated_probabilities_of_other_ground_are_what_they_say(method: Method) -> None:
    found = fit(*sample(20_000, 1), IDS, method)
    given_, labels = sample(20_000, 2)
    before = reliability(given_, labels, IDS).expected_calibration_error
    after = reliability(found.apply(given_), labels, IDS).expected_calibration_error
    assert before > 0.1
    assert after < 0.03


def test_a_curve_for_all_leaves_the_classes_as_they_are() -> None:
    given_, labels = sample(5000, 3)
    calibrated = fit(given_, labels, IDS, "curve").apply(given_)
    first = calibrated[np.arange(len(given_)), given_.argmax(axis=1)]
    np.testing.assert_allclose(first, calibrated.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-5)


def test_a_few_pixels_that_are_surely_wrong_do_not_decide_a_curve() -> None:
    # Probabilities that are right but for one in fifty, whose label is another class.
    given_, labels = sample(20_000, 5, temperature=1.0)
    wrong = np.random.default_rng(1).random(len(labels)) < 0.02
    labels = np.where(wrong, np.roll(IDS, 1)[np.searchsorted(IDS, labels)], labels)
    errors = {}
    for method in get_args(Method):
        found = fit(given_, labels, IDS, method).apply(given_)
        errors[method] = reliability(found, labels, IDS).expected_calibration_error
    assert errors["curve"] < 0.015
    assert errors["curve"] < errors["temperature"]


def test_what_a_temperature_cannot_mend_a_curve_mends() -> None:
    # As of a mean of two classifiers: a probability in the middle is right more often than it
    # says, one at the end less.
    rng = np.random.default_rng(4)
    high = rng.uniform(0.5, 1, 40_000).astype(np.float32)
    given_ = np.stack([high, 1 - high], axis=1)
    labels = np.where(rng.random(len(high)) < 0.8 + 0.1 * (high > 0.9), 1, 4)
    after = {
        method: reliability(
            fit(given_, labels, (1, 4), method).apply(given_), labels, (1, 4)
        ).expected_calibration_error
        for method in get_args(Method)
    }
    assert after["curve"] < 0.01
    assert after["temperature"] > 0.03


def test_an_isotonic_curve_never_falls_and_has_the_shares_of_the_labels() -> None:
    given_, labels = sample(5000, 3)
    found = fit(given_, labels, IDS, "isotonic")
    assert isinstance(found, calibration.Isotonic)
    for position, (class_id, values, levels) in enumerate(
        zip(IDS, found.given, found.calibrated, strict=True)
    ):
        assert (np.diff(values) > 0).all()
        assert (np.diff(levels) >= 0).all()
        # Pool-adjacent-violators leaves the mean as it is; a pixel more in each pool hardly moves
        # it.
        mean = np.interp(given_[:, position], values, levels).mean()
        assert mean == pytest.approx((labels == class_id).mean(), abs=0.01)
        assert levels[0] > 0
        assert levels[-1] < 1


def test_a_curve_is_that_of_its_pools() -> None:
    # Of 0.2 none of two, of 0.4 all of one, of 0.6 none of one, of 0.9 both: 0.4 and 0.6 make one
    # pool of a half. Each pool has one pixel more, of which a half is of the class, as of all six.
    high = np.array([0.2, 0.2, 0.4, 0.6, 0.9, 0.9], np.float32)
    labels = np.array([4, 4, 1, 4, 1, 1])
    found = fit(np.stack([high, 1 - high], axis=1), labels, (1, 4), "isotonic")
    assert isinstance(found, calibration.Isotonic)
    np.testing.assert_allclose(found.given[0], [0.2, 0.4, 0.6, 0.9], rtol=1e-6)
    np.testing.assert_allclose(found.calibrated[0], [1 / 6, 1 / 2, 1 / 2, 5 / 6])


def test_a_class_without_a_pixel_keeps_its_probabilities() -> None:
    given_, labels = sample(3000, 3)
    kept = labels != 9
    found = fit(given_[kept], labels[kept], IDS, "isotonic")
    calibrated = found.apply(given_)
    assert (calibrated[:, 3] > 0).any()
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-5)


def test_a_pixel_whose_classes_all_become_nothing_keeps_what_it_had() -> None:
    never = calibration.Isotonic((np.array([0.0, 1.0]),) * 2, (np.array([0.0, 0.0]),) * 2)
    given_ = np.array([[0.3, 0.7]], np.float32)
    assert never.apply(given_).tolist() == given_.tolist()


@pytest.mark.parametrize("method", ["curve", "temperature", "isotonic"])
def test_no_data_stays_no_data(method: Method) -> None:
    given_, labels = sample(500, 3)
    found = fit(given_, labels, IDS, method)
    given_[3] = np.nan
    calibrated = found.apply(given_)
    assert np.isnan(calibrated[3]).all()
    assert not np.isnan(np.delete(calibrated, 3, axis=0)).any()


@pytest.mark.parametrize("method", ["curve", "temperature", "isotonic"])
def test_a_calibrator_is_written_down_in_plain_values(method: Method) -> None:
    given_, labels = sample(500, 3)
    found = fit(given_, labels, IDS, method)
    again = calibration.calibrator(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_array_equal(again.apply(given_), found.apply(given_))


def test_another_method_is_refused() -> None:
    with pytest.raises(ValueError, match="'platt' is no method of calibration"):
        calibration.calibrator({"method": "platt"})


def test_a_fold_is_calibrated_by_the_others() -> None:
    given_, labels = sample(3000, 3)
    folds = np.arange(3000) % 3
    found = calibrate_out_of_fold(given_, labels, IDS, folds)
    own = folds == 1
    expected = fit(given_[~own], labels[~own], IDS).apply(given_[own])
    np.testing.assert_array_equal(found[own], expected)
    changed = labels.copy()
    changed[own] = np.roll(labels[own], 1)
    again = calibrate_out_of_fold(given_, changed, IDS, folds)
    np.testing.assert_array_equal(again[own], found[own])
    assert not np.array_equal(again[~own], found[~own])


def test_one_fold_alone_is_refused() -> None:
    given_, labels = sample(30, 3)
    with pytest.raises(ValueError, match="one fold only"):
        calibrate_out_of_fold(given_, labels, IDS, np.full(30, 2))


def test_the_calibration_error_is_that_worked_out_by_hand() -> None:
    # 0.8 is in the second half: of four pixels two are right. 0.4 is in the first: one of one.
    given_ = np.array([[0.8, 0.1, 0.1]] * 4 + [[0.4, 0.3, 0.3]], np.float32)
    labels = np.array([1, 1, 4, 7, 1])
    found = reliability(given_, labels, (1, 4, 7), bins=2)
    assert found.pixels.tolist() == [1, 4]
    assert found.accuracy.tolist() == [1, 0.5]
    np.testing.assert_allclose(found.confidence, [0.4, 0.8])
    assert found.edges.tolist() == [0, 0.5, 1]
    assert found.expected_calibration_error == pytest.approx((1 * 0.6 + 4 * 0.3) / 5)


def test_the_reliability_of_parts_adds_up() -> None:
    given_, labels = sample(900, 5)
    whole = reliability(given_, labels, IDS)
    parts = reliability(given_[:200], labels[:200], IDS) + reliability(
        given_[200:], labels[200:], IDS
    )
    np.testing.assert_array_equal(parts.pixels, whole.pixels)
    assert parts.expected_calibration_error == pytest.approx(whole.expected_calibration_error)
    assert np.isnan(whole.accuracy[0])  # of five classes the first has 0.2 at least


def changed(**values: Any) -> dict[str, Any]:
    given_, labels = sample(30, 6)
    return {"probabilities": given_, "labels": labels, "class_ids": IDS} | values


def row(*values: float) -> NDArray[np.float32]:
    given_, _ = sample(30, 6)
    given_[4] = values
    return given_


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            changed(probabilities=row(0.5, 0.4, 0, 0, 0)),
            r"first is pixel 4: \[0\.5.* sum to 0\.9000",
        ),
        (changed(probabilities=row(1.2, -0.2, 0, 0, 0)), "first is pixel 4"),
        (changed(probabilities=row(np.nan, 0.5, 0.5, 0, 0)), "Pixel 4 has no probabilities"),
        (changed(labels=np.full(30, 5)), r"have class 5; the probabilities are of \[1, 4, 7, 9"),
        (changed(labels=np.ones(29, int)), "do not agree with 29 labels and 5 classes"),
        (changed(class_ids=(1, 4)), "do not agree with 30 labels and 2 classes"),
        (
            changed(probabilities=np.ones((30, 1), np.float32), class_ids=(1,)),
            "must be two to tell apart",
        ),
        (
            changed(probabilities=np.ones((0, 5), np.float32), labels=np.ones(0, int)),
            "no labelled pixel",
        ),
    ],
)
def test_probabilities_that_cannot_be_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit(**arguments)
    with pytest.raises(ValueError, match=said):
        reliability(**arguments)


def test_columns_may_come_in_any_order() -> None:
    given_, labels = sample(500, 3)
    order = [3, 0, 4, 1, 2]
    one, other = fit(given_, labels, IDS), fit(given_[:, order], labels, [IDS[i] for i in order])
    np.testing.assert_allclose(
        one.apply(given_)[:, order], other.apply(given_[:, order]), atol=1e-4
    )
