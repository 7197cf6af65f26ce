"""Seasons: the days that a year's map is made of."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any


@dataclass(frozen=True)
class Season:
    """The same months of every year. The season of a year is the one whose last day lies in it: of
    twelve months from 1 October, that of 2017 begins in 2016.

    Raises ValueError where the first day is no date of every year, or the months are not 1 to 12.
    """

    month: int = 1
    """The month of the first day, 1 to 12."""
    day: int = 1
    """Its day of the month."""
    months: int = 12
    """How long it is. It ends on the day before the first day's, or where that month has no such
    day, before the month's last."""

    def __post_init__(self) -> None:
        date(2001, self.month, self.day)  # a year without a 29 February
        if not 1 <= self.months <= 12:
            raise ValueError(f"months are {self.months}; they must be 1 to 12.")

    @property
    def described(self) -> dict[str, int]:
        """The season as JSON has it."""
        return asdict(self)

    def first(self, year: int) -> date:
        """Return the first day of a year's season, which may lie in the year before."""
        return date(year - (self._after(2001) - timedelta(1)).year + 2001, self.month, self.day)

    def last(self, year: int) -> date:
        """Return the last day of a year's season."""
        return self._after(self.first(year).year) - timedelta(1)

    def length(self, year: int) -> int:
        """Return the number of days of a year's season."""
        return (self.last(year) - self.first(year)).days + 1

    def year_of(self, day: date) -> int:
        """Return the year whose season a day is in, or, where it is in none, the next one's."""
        return day.year if day <= self.last(day.year) else day.year + 1

    def date_in(self, year: int, month_and_day: str) -> date | None:
        """Return the date of a year's season that ``MM-DD`` is; None where it has no such day."""
        first, last = self.first(year), self.last(year)
        found = (date.fromisoformat(f"{one}-{month_and_day}") for one in {first.year, last.year})
        return next((one for one in found if first <= one <= last), None)

    def padded(self, year: int, padding: int) -> tuple[date, date]:
        """Return the first and the last day of a year's season and of so many days on both
        sides."""
        return self.first(year) - timedelta(padding), self.last(year) + timedelta(padding)

    def _after(self, year: int) -> date:
        """Return the day after the season that begins in a year."""
        years, month = divmod(self.month - 1 + self.months, 12)
        last = monthrange(year + years, month + 1)[1]
        return date(year + years, month + 1, min(self.day, last))


CALENDAR_YEAR = Season()


def season_of(described: Mapping[str, Any] | None) -> Season:
    """Return the season that was `described`, the calendar year where there is none."""
    return CALENDAR_YEAR if described is None else Season(**described)
