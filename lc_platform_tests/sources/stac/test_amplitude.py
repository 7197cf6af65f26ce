"""Backscatter in floating-point numbers, in 16 bits."""

from __future__ import annotations

import numpy as np
import pytest

from lc_platform.sources.stac import amplitude
from lc_platform.sources.stac.amplitude import SCALE, digital_numbers, power


@pytest.mark.parametrize("decibels", [-40.0, -29.2, -20.0, -7.5, 0.0, 16.0])
def test_decibels_come_back_to_a_twentieth(decibels: float) -> None:
    numbers = digital_numbers(power(np.ma.masked_invalid([decibels]), "decibel"))
    assert numbers.dtype == np.uint16
    assert 20 * np.log10(float(numbers[0]) * SCALE) == pytest.approx(decibels, abs=0.05)


def test_linear_power_and_its_decibels_are_the_same_numbers() -> None:
    linear = np.ma.masked_invalid([0.001, 0.05, 0.7])
    by_decibels = power(10 * np.ma.log10(linear), "decibel")
    np.testing.assert_array_equal(
        digital_numbers(power(linear, "power")), digital_numbers(by_decibels)
    )


def test_what_is_not_measured_is_masked() -> None:
    found = power(np.ma.masked_equal([np.nan, np.inf, 0.0, -1.0, -32768.0, 0.5], -32768.0), "power")
    assert np.ma.getmaskarray(found).tolist() == [True, True, True, True, True, False]
    assert np.ma.getmaskarray(digital_numbers(found)).tolist()[-2:] == [True, False]


def test_what_is_too_bright_is_cut_off_and_the_darkest_is_not_nothing() -> None:
    numbers = digital_numbers(amplitude.power(np.ma.masked_invalid([1e3, 1e-12]), "power"))
    assert numbers.tolist() == [65535, 1]
