"""Digital numbers and what they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from lc_platform.eo.radiometry import calibrate


@pytest.mark.parametrize(
    ("number", "scale", "offset", "value"),
    [
        (1000, 1e-4, 0.0, 0.1),  # Sentinel-2 up to baseline 03.01
        (
            2000,
            1e-4,
            -0.1,
            0.1,
        ),  # from 04.00 on (its BOA_ADD_OFFSET)
        (10_000, 2e-5, -0.1, 0.1),  # Landsat Collection 2, Level 1 (USGS LSDS-1822)
        (0, 1e-4, -0.1, -0.1),
    ],
)
def test_a_digital_number_becomes_the_reflectance_of_its_products_handbook(
    number: int, scale: float, offset: float, value: float
) -> None:
    numbers = np.full((1, 1, 1, 1), number, np.uint16)
    found = calibrate(numbers, np.array([[scale]]), np.array([[offset]]))
    assert found.dtype == np.float32
    assert found[0, 0, 0, 0] == pytest.approx(value, abs=1e-7)


def test_each_acquisition_and_band_has_its_own_scale_and_offset() -> None:
    numbers = np.full((2, 2, 1, 3), 1000, np.uint16)
    scale = np.array([[1e-4, 2e-4], [1e-4, 1e-3]])
    offset = np.array([[0.0, 0.0], [-0.1, 0.5]])
    found = calibrate(numbers, scale, offset)
    np.testing.assert_allclose(found[..., 0, 0], [[0.1, 0.2], [0.0, 1.5]], atol=1e-6)
    assert (found == found[..., :1]).all()
