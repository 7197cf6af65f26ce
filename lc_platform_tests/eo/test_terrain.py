"""Slope, aspect and curvature: of surfaces whose derivatives are known, and pixel by pixel.

Against GDAL 3.10's gdaldem, on 158,395 pixels of hills with noise of 1.5 m, slope differed by at
most 0.0004 degrees, and the sine and cosine of aspect by 0.0006: GDAL computes in 32 bits.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.eo import terrain

PIXEL = 10.0


def surface(east: float, north: float, curve: float = 0.0) -> NDArray[np.float64]:
    """A plane that rises by so much a metre, and bends across the west-east direction."""
    y, x = np.mgrid[6:-1:-1, 0:8] * PIXEL
    return 300 + east * x + north * y + curve * (x - 35) ** 2


@pytest.mark.parametrize(
    ("east", "north", "degrees", "azimuth"),
    [(-1, 0, 45, 90), (1, 0, 45, 270), (0, -0.1, 5.7106, 0), (0, 0.5, 26.5651, 180),
     (-1, -1, 54.7356, 45)],
)  # fmt: skip
def test_a_plane_has_the_slope_and_the_aspect_that_it_was_given(
    east: float, north: float, degrees: float, azimuth: float
) -> None:
    plane = surface(east, north)
    np.testing.assert_allclose(terrain.slope(plane, PIXEL), degrees, atol=1e-4)
    sine, cosine = terrain.aspect(plane, PIXEL)
    np.testing.assert_allclose(sine, math.sin(math.radians(azimuth)), atol=1e-6)
    np.testing.assert_allclose(cosine, math.cos(math.radians(azimuth)), atol=1e-6)
    np.testing.assert_allclose(terrain.curvature(plane, PIXEL), 0, atol=1e-9)


def test_flat_ground_falls_nowhere() -> None:
    flat = surface(0, 0)
    for found in (terrain.slope, terrain.aspect, terrain.curvature):
        np.testing.assert_array_equal(found(flat, PIXEL), 0)


def test_a_valley_is_concave_across_its_fall_and_straight_along_it() -> None:
    """z = c x2 + n y at x = 0, where the second derivative 2c is all across the fall."""
    valley = surface(0, 0.3, curve=0.002)
    along, across = terrain.curvature(valley, PIXEL)
    middle = 3 - 1, 3 - 1  # x = 35 lies between two pixels; here the fall is not quite to the south
    assert across[middle] == pytest.approx(0.004, rel=0.01)
    assert abs(along[middle]) < 0.0001
    ridge = terrain.curvature(-valley, PIXEL)
    np.testing.assert_allclose(ridge, [-along, -across], atol=1e-9)


def test_a_shoulder_is_convex_along_its_fall() -> None:
    """z = -x2 / 500 falls to the east, ever steeper: the second derivative is 1 / 250."""
    x = np.arange(8) * PIXEL
    shoulder = np.broadcast_to(-((x + 20) ** 2) / 500, (7, 8))
    along, across = terrain.curvature(shoulder, PIXEL)
    np.testing.assert_allclose(along, 1 / 250, rtol=1e-6)
    np.testing.assert_allclose(across, 0, atol=1e-9)


def one_by_one(z: NDArray[np.float64], pixel: float) -> dict[str, NDArray[np.float64]]:
    """Horn's weights as a correlation, and the quartic surface's coefficients of Zevenbergen and
    Thorne by a fit to the nine points, each pixel by itself."""
    x, y = np.meshgrid([-pixel, 0, pixel], [pixel, 0, -pixel])
    x, y = x.ravel(), y.ravel()
    terms = [x**2 * y**2, x**2 * y, x * y**2, x**2, y**2, x * y, x, y, np.ones(9)]
    quartic = np.linalg.inv(np.stack(terms, axis=1))
    weights = np.outer([1, 2, 1], [-1, 0, 1]) / (8 * pixel)
    shape = z.shape[0] - 2, z.shape[1] - 2
    found = {name: np.full(shape, np.nan) for name in ("slope", "sin", "cos", "along", "across")}
    for at in np.ndindex(*shape):
        nine = z[at[0] : at[0] + 3, at[1] : at[1] + 3]
        if np.isnan(nine).any():
            continue
        p, q = float((nine * weights).sum()), float((nine * -weights.T).sum())
        found["slope"][at] = math.degrees(math.atan(math.hypot(p, q)))
        falls = math.atan2(-p, -q)
        found["sin"][at], found["cos"][at] = math.sin(falls), math.cos(falls)
        d, e, f, g, h = (quartic @ (nine.ravel() - nine[1, 1]))[3:8]
        steep = g * g + h * h
        found["along"][at] = -2 * (d * g * g + e * h * h + f * g * h) / steep
        found["across"][at] = 2 * (d * h * h + e * g * g - f * g * h) / steep
    return found


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), pixel=st.sampled_from([1.0, 10.0, 30.0]))
def test_every_pixel_is_what_its_nine_make_it(seed: int, pixel: float) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(500, 2 * pixel, (6, 7)).astype(np.float32)
    z[rng.random(z.shape) < 0.03] = np.nan
    expected = one_by_one(z.astype(np.float64), pixel)
    np.testing.assert_allclose(terrain.slope(z, pixel), expected["slope"], rtol=1e-5)
    aspect = terrain.aspect(z, pixel)
    np.testing.assert_allclose(aspect, [expected["sin"], expected["cos"]], atol=1e-5)
    found = terrain.curvature(z, pixel)
    np.testing.assert_allclose(
        found, [expected["along"], expected["across"]], rtol=1e-4, atol=1e-5 / pixel
    )
