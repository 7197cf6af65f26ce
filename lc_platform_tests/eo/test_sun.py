"""The sun's position against published examples, and against the geometry of the sphere."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc_platform.eo.sun import sun_position, towards_sun


@pytest.mark.parametrize(
    ("time", "longitude", "latitude", "azimuth", "elevation"),
    [
        # Reda and Andreas (2003), "Solar position algorithm for solar radiation applications",
        # NREL/TP-560-34302, table A5.1: azimuth, and elevation without refraction.
        ("2003-10-17T19:30:30", -105.1786, 39.742476, 194.34024, 39.872046),
        # Meeus (1998), example 25.a: a declination of -7.78507 degrees, which is the elevation at
        # the pole.
        ("1992-10-13T00:00:00", 0.0, 90.0, None, -7.78507),
        # The equinox of 20 March 2019, 21:58 UTC: the sun crosses the equator.
        ("2019-03-20T21:58:30", 0.0, 90.0, None, 0.0),
        # The solstice of 21 June 2018, 10:07 UTC: 23.4351 degrees (obliquity of date).
        ("2018-06-21T10:07:00", 0.0, 90.0, None, 23.4351),
    ],
)
def test_published_positions(
    time: str, longitude: float, latitude: float, azimuth: float | None, elevation: float
) -> None:
    found = sun_position(np.datetime64(time), longitude, latitude)
    assert found.elevation == pytest.approx(elevation, abs=0.005)
    if azimuth is not None:
        assert found.azimuth == pytest.approx(azimuth, abs=0.01)


@given(
    st.dates(date(1990, 1, 1), date(2040, 1, 1)),
    st.floats(-170, 170),
    st.floats(-80, 80),
)
def test_noon_is_where_the_sun_is_due_south_or_north(
    when: date, longitude: float, latitude: float
) -> None:
    # The height above the horizon on the meridian is 90 degrees less the distance in latitude from
    # where the sun stands in the zenith. In the half of a minute it turns by an eighth of a degree.
    # Of one noon alone: a day that holds the end of one and the beginning of the next has two.
    noon = np.datetime64(when, "m") + round(60 * (12 - longitude / 15))
    times = noon + np.arange(-360, 361).astype("timedelta64[m]")
    azimuth, elevation = sun_position(times, longitude, latitude)
    highest = int(np.argmax(elevation))
    declination = float(sun_position(times[highest], 0.0, 90.0).elevation)
    assert elevation[highest] == pytest.approx(90 - abs(latitude - declination), abs=0.13)
    assert (azimuth >= 0).all()
    assert (azimuth < 360).all()


@given(st.floats(0, 360), st.floats(1, 90))
def test_the_line_towards_the_sun_has_its_azimuth_and_elevation(
    azimuth: float, elevation: float
) -> None:
    east, north = towards_sun(azimuth, elevation)
    assert np.degrees(np.arctan2(1, np.hypot(east, north))) == pytest.approx(elevation, abs=1e-6)
    run = np.hypot(east, north)
    assert east == pytest.approx(run * np.sin(np.radians(azimuth)), abs=1e-9)
    assert north == pytest.approx(run * np.cos(np.radians(azimuth)), abs=1e-9)


def test_a_sun_below_the_horizon_is_refused() -> None:
    with pytest.raises(ValueError, match=r"A sun at an elevation of -3 degrees casts no shadow"):
        towards_sun(100.0, -3.0)
