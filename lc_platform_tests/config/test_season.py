"""The section `season`, and the days around it."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Self

import pytest

from lc_platform.config import sections
from lc_platform.eo.season import Season
from lc_platform_tests.config.configurations import SIMULATED, configured, refusal

OCTOBER = "season: {begins: 10-01}"


def test_the_season_is_the_calendar_year_unless_it_is_said_otherwise() -> None:
    assert configured().season.span == Season(1, 1, 12)
    assert configured("{season: {begins: 10-01, months: 9}}").season.span == Season(10, 1, 9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("{season: {months: 13}}", "season.months: 13 months are more than a year, so that a day "),
        ("{season: {months: 0}}", "season.months: a season of 0 months has no day. Give 1 to 12."),
        ("{season: {begins: 02-30}}", "season.begins: 02-30 is no date of every year. Write month"),
        ("{season: {begins: 02-29}}", "season.begins: 02-29 is no date of every year. Write month"),
        ("{season: {begins: 2016-10-01}}", "season.begins: 2016-10-01 without quotes is read as a"),
        ("{features: {padding: -1}}", "features.padding: -1 is below 0. Give 0 to 182 days."),
        ("{features: {padding: 183}}", "features.padding: 183 is longer than half a year. Give 0 "),
        (
            "{features: {padding: 30, families: [statistics]}}",
            "features.padding: only the series on dates is made of it, and series is not among",
        ),
        (
            "{features: {padding: 30, series: {method: medoid}}}",
            "features.padding: a composite (features.series.method: medoid) is of its own days of",
        ),
        (
            "{season: {begins: 04-01, months: 6}, features: {series: {dates: [04-01, 10-01]}}}",
            "features.series.dates: 10-01 is no day of the season, which is from 04-01 to 09-30. ",
        ),
        (
            f"{{{OCTOBER}, features: {{series: {{dates: [04-01, 10-15]}}}}}}",
            "features.series.dates: dates must follow one another in the season, which begins on "
            "10-01, none twice. Sort them.",
        ),
    ],
)
def test_what_cannot_be_a_season_is_refused_in_a_sentence(change: str, said: str) -> None:
    (line,) = refusal(change)
    assert line.startswith(said)


def test_dates_follow_one_another_as_the_season_does() -> None:
    config = configured(f"{{{OCTOBER}, features: {{series: {{dates: [10-15, 04-01]}}}}}}")
    assert config.features.series.dates == ("10-15", "04-01")


class November(datetime):
    """A day in November 2026."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls(2026, 11, 20, 12, tzinfo=tz)


@pytest.mark.parametrize(
    ("season", "latest"),
    [
        ("{begins: 01-01}", 2026),
        ("{begins: 10-01}", 2027),  # since October
        ("{begins: 11-20, months: 6}", 2027),  # since today
        ("{begins: 11-21}", 2026),
        ("{begins: 11-21, months: 1}", 2025),  # the year has begun, and not its season
    ],
)
def test_a_year_is_refused_until_its_season_has_begun(
    season: str, latest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "datetime", November)
    assert configured(f"{{years: [{latest}], season: {season}}}", SIMULATED).years == (latest,)
    (line,) = refusal(f"{{years: [2023, {latest + 1}], season: {season}}}", SIMULATED)
    of = "" if season == "{begins: 01-01}" else "the season of "
    assert line == (
        f"years[1]: {of}{latest + 1} has not begun, and no archive has imagery of it. "
        f"Give years up to {latest}."
    )
