"""The section `season`."""

from __future__ import annotations

from datetime import date

from pydantic import field_validator

from lc_platform.config.fields import Section, Text, Whole
from lc_platform.eo.season import Season as Span


def check_date_of_every_year(month_and_day: str) -> None:
    """Raises ValueError where a text is not ``MM-DD``, or is 29 February."""
    try:
        date.fromisoformat(f"2001-{month_and_day}")
    except ValueError:
        raise ValueError(
            f"{month_and_day} is no date of every year. Write month and day, for example 04-01"
        ) from None


class Season(Section):
    """The days that a year's map is made of: the season of a year is the one whose last day lies in
    it. By default the calendar year."""

    begins: Text = "01-01"
    """The first day, MM-DD; 10-01 of twelve months is the October before to September."""
    months: Whole = 12
    """1 to 12."""

    @field_validator("begins")
    @classmethod
    def _is_a_date(cls, begins: str) -> str:
        check_date_of_every_year(begins)
        return begins

    @field_validator("months")
    @classmethod
    def _is_at_most_a_year(cls, months: int) -> int:
        if months > 12:
            raise ValueError(
                f"{months} months are more than a year, so that a day would be in the seasons of "
                "two years. Give at most 12; days around a season are features.padding"
            )
        if months < 1:
            raise ValueError(f"a season of {months} months has no day. Give 1 to 12")
        return months

    @property
    def span(self) -> Span:
        """The season as dates."""
        month, day = map(int, self.begins.split("-"))
        return Span(month, day, self.months)
