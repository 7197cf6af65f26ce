"""Seasons: which days are a year's."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc_platform.eo.season import CALENDAR_YEAR, Season, season_of
from lc_platform.eo.timeseries import target_days

YEARS = st.integers(1990, 2030)
FIRST_DAYS = st.dates(date(2001, 1, 1), date(2001, 12, 31))


@pytest.mark.parametrize(
    ("season", "year", "first", "last"),
    [
        (CALENDAR_YEAR, 2020, date(2020, 1, 1), date(2020, 12, 31)),
        (Season(10, 1), 2017, date(2016, 10, 1), date(2017, 9, 30)),
        (Season(4, 1, 6), 2017, date(2017, 4, 1), date(2017, 9, 30)),
        (Season(10, 1, 3), 2017, date(2017, 10, 1), date(2017, 12, 31)),
        (Season(11, 15, 3), 2017, date(2016, 11, 15), date(2017, 2, 14)),
        # Where the month after has no such day, the season ends before its last.
        (Season(8, 31, 6), 2017, date(2016, 8, 31), date(2017, 2, 27)),
        (Season(8, 31, 6), 2020, date(2019, 8, 31), date(2020, 2, 28)),
    ],
)
def test_the_season_of_a_year_is_the_one_whose_last_day_lies_in_it(
    season: Season, year: int, first: date, last: date
) -> None:
    assert (season.first(year), season.last(year)) == (first, last)
    assert season.padded(year, 30) == (first - timedelta(30), last + timedelta(30))


@settings(max_examples=20)
@given(FIRST_DAYS, st.integers(1, 12), YEARS)
def test_a_day_is_in_the_season_of_one_year_at_most(begins: date, months: int, year: int) -> None:
    season = Season(begins.month, begins.day, months)
    first, last = season.first(year), season.last(year)
    assert last.year == year
    assert (first.month, first.day) == (begins.month, begins.day)
    assert season.last(year - 1) < first
    assert season.length(year) == (last - first).days + 1
    if months == 12:  # and of one at least
        assert season.last(year - 1) + timedelta(1) == first
    for day in (first, last):
        assert season.year_of(day) == year
        assert (day.month, day.day) == (2, 29) or season.date_in(year, f"{day:%m-%d}") == day
    assert season.year_of(last + timedelta(1)) == year + 1


def test_a_date_beyond_a_season_is_none_of_it() -> None:
    assert Season(10, 1).date_in(2017, "11-20") == date(2016, 11, 20)
    assert Season(4, 1, 6).date_in(2017, "11-20") is None


@pytest.mark.parametrize("wrong", [(2, 29, 12), (2, 30, 12), (1, 1, 0), (1, 1, 13)])
def test_what_is_no_season_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"day|months are"):
        Season(*wrong)


def test_a_season_is_what_was_described() -> None:
    assert season_of(Season(10, 1, 9).described) == Season(10, 1, 9)
    assert season_of(None) == CALENDAR_YEAR


def test_target_days_end_with_the_season() -> None:
    assert target_days(2020, 150, Season(10, 1)).tolist() == [0, 150, 300]
    assert target_days(2017, 90, Season(4, 1, 6)).tolist() == [0, 90, 180]  # of 183 days
