"""Shadows of clouds against a projection that is written out."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.eo import shadows
from lc_platform.eo.sun import towards_sun

AZIMUTHS, ELEVATIONS = st.floats(0, 359.9), st.floats(3, 85)


@settings(deadline=None, max_examples=40)
@given(AZIMUTHS, ELEVATIONS, st.sampled_from([10.0, 60.0, 80.0]), st.integers(1, 60))
def test_offsets_are_the_pixels_that_the_line_towards_the_sun_goes_over(
    azimuth: float, elevation: float, resolution: float, reach: int
) -> None:
    east, north = towards_sun(azimuth, elevation)
    found = shadows.offsets(east, north, resolution, reach)
    heights = np.arange(200.0, 12_000.0)[:, None]
    line = np.rint(heights * [-north, east] / resolution).astype(int)
    expected = {(r, c) for r, c in line.tolist() if 0 < max(abs(r), abs(c)) <= reach}
    told = {(r, c) for r, c in found.tolist()}
    assert len(told) == len(found)
    assert len(told - expected) <= 1  # at 12 000 m itself
    # Steps of half a pixel leave out no pixel but corners that the line hardly crosses.
    assert all(any(max(abs(r - a), abs(c - b)) <= 1 for a, b in told) for r, c in expected)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), AZIMUTHS, ELEVATIONS, st.integers(0, 7))
def test_a_dark_pixel_is_shadow_where_any_offset_is_cloud(
    seed: int, azimuth: float, elevation: float, margin: int
) -> None:
    rng = np.random.default_rng(seed)
    dark = rng.random((13, 17)) < 0.5
    cloud = rng.random((13 + 2 * margin, 17 + 2 * margin)) < 0.05
    offsets = shadows.offsets(*towards_sun(azimuth, elevation), 80.0, 9)
    beyond = 20
    padded = np.pad(cloud, beyond)
    expected = np.zeros(dark.shape, np.bool_)
    for row, column in offsets:
        first = beyond + margin + row, beyond + margin + column
        expected |= padded[first[0] : first[0] + 13, first[1] : first[1] + 17]
    np.testing.assert_array_equal(shadows.cast(dark, cloud, offsets, margin), expected & dark)


def test_the_shadow_of_a_cloud_in_the_south_east_lies_to_the_north_west() -> None:
    cloud = np.zeros((40, 40), np.bool_)
    cloud[30, 30] = True
    offsets = shadows.offsets(*towards_sun(135.0, 45.0), 80.0, 40)
    rows, columns = np.nonzero(shadows.cast(np.ones((40, 40), np.bool_), cloud, offsets, 0))
    assert (rows < 30).all()
    assert (rows == columns).all()
    # A cloud at 200 m stands two pixels of 80 m away along each axis.
    assert rows.max() == 28
