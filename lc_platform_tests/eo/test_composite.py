"""One image out of several."""

from __future__ import annotations

import numpy as np

from lc_platform.eo.composite import median_of_valid


def test_the_median_of_valid_values_is_numpys() -> None:
    draw = np.random.default_rng(1)
    values = draw.uniform(0, 1, (7, 3, 50)).astype(np.float32)
    valid = draw.uniform(0, 1, (7, 50)) < 0.5
    valid[:, 3] = False
    expected = np.full((3, 50), np.nan, np.float32)
    for pixel in range(50):
        if valid[:, pixel].any():
            expected[:, pixel] = np.median(values[valid[:, pixel], :, pixel], axis=0)
    np.testing.assert_allclose(median_of_valid(values, valid), expected, rtol=1e-6)
    assert np.isnan(expected[:, 3]).all()
