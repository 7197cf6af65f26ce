import pytest

from lc_platform.sources.sentinel_hub.processing_units import processing_units


def test_one_unit_is_512_by_512_pixels_of_three_bands() -> None:
    assert processing_units(512, 512, 3) == 1


def test_the_price_of_the_service_s_own_example_for_radar() -> None:
    # https://www.sentinel-hub.com/faq/how-can-i-know-how-many-processing-units-i-need:
    # 2000 x 2000 pixels, two bands, 16 bits, orthorectified: 20.34 units.
    assert processing_units(2000, 2000, 2, orthorectified=True) == pytest.approx(20.34, abs=0.01)


def test_the_price_of_the_service_s_forum_example() -> None:
    # https://forum.sentinel-hub.com/t/how-to-calculate-the-processing-unit/2837: 250 ha at 10 m
    # (25,000 pixels) of two bands are 0.064 units.
    assert processing_units(250, 100, 2) == pytest.approx(0.064, abs=0.001)


def test_small_requests_cost_the_least_that_one_can() -> None:
    # The factor of the area is at least 0.01 and the request costs at least 0.005 units.
    assert processing_units(20, 20, 6) == pytest.approx(0.02)
    assert processing_units(20, 20, 1) == 0.005


def test_values_of_32_bits_and_further_samples_multiply() -> None:
    assert processing_units(512, 512, 3, float32=True, samples=4) == 8
