"""What Landsat's quality band says."""

from __future__ import annotations

import numpy as np
import pytest

from lc_platform.eo import landsat_qa

# Values of QA_PIXEL and what they mean, by the bits of the Landsat 8-9 Collection 2 Level 2 Science
# Product Guide (USGS LSDS-1619, tables 6-2 and 6-3).
GROUND = {
    21824: "clear land",
    21952: "clear water",
    22080: "cloud of medium confidence, which does not set the bit of cloud",
    30048: "snow or ice",
}
HIDDEN = {
    1: "fill",
    21826: "around a cloud over land",
    21890: "around a cloud over water",
    22280: "cloud",
    23888: "cloud shadow",
    54596: "cirrus, and clear otherwise",
    55052: "cirrus and cloud",
}


@pytest.mark.parametrize("value", GROUND)
def test_clear_land_water_and_snow_are_ground(value: int) -> None:
    assert landsat_qa.shows_ground(np.array([[value]], np.uint16)).tolist() == [[True]]


@pytest.mark.parametrize("value", HIDDEN)
def test_clouds_what_is_around_them_and_their_shadows_are_not(value: int) -> None:
    assert landsat_qa.shows_ground(np.array([value], np.uint16)).tolist() == [False]
