"""Failures gathered by cause, so that one cause is one message however many patches it strikes."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lc_platform.monitoring.notify import Message
from lc_platform.monitoring.run_failures import Failure

PLACES_SHOWN = 10
RUNS_SHOWN = 3
NAMES_SHOWN = 3
"""Assets in a message's first line; its text has all."""
SUBJECT = 80
"""Characters of the cause in a message's first line."""
CAUSES = 200
"""That are remembered; those told longest ago are forgotten first."""


@dataclass
class Struck:
    """What a cause has struck of one asset, or how often it struck a schedule or a sensor."""

    count: int = 0
    places: list[str] = field(default_factory=list)
    """The first of them."""

    def __str__(self) -> str:
        if not self.places:
            return "once" if self.count == 1 else f"{self.count} times"
        rest = self.count - len(self.places)
        return ", ".join(self.places) + (f" and {rest} more" if rest > 0 else "")


@dataclass
class Incident:
    """What is known of one cause since it was last told."""

    cause: str
    words: str
    """Of the first failure."""
    struck: dict[str, Struck] = field(default_factory=dict)
    """By asset; under no name, runs that failed before any asset was at work."""
    runs: list[str] = field(default_factory=list)
    since: float = 0.0
    """Seconds since 1970 of the first failure that is not told."""
    told: float = 0.0
    """Likewise of the last message; 0 where there was none."""

    @property
    def count(self) -> int:
        return sum(one.count for one in self.struck.values())

    def add(self, failure: Failure, now: float) -> None:
        if not self.count:
            self.words, self.since = failure.words, now
        one = self.struck.setdefault(failure.asset, Struck())
        one.count += 1
        if failure.where and failure.where not in one.places:
            one.places = [*one.places, failure.where][:PLACES_SHOWN]
        if failure.run and failure.run not in self.runs:
            self.runs = [*self.runs, failure.run][:RUNS_SHOWN]

    def message(self, name: str, ui: str | None = None) -> Message:
        """What people are told.

        name  of the configuration
        ui    address of Dagster's UI, for links
        """
        names = [asset or "a run" for asset in self.struck]
        more = len(names) - NAMES_SHOWN
        what = ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        unit = "partitions" if any(one.places for one in self.struck.values()) else "times"
        [*_, last] = self.struck.values()
        times = f"{self.count} {unit}" if self.count > 1 else str(last)
        again = " again" if self.told else ""
        lines = [self.words, ""]
        for asset, one in self.struck.items():
            count = f" ({one.count} partitions)" if one.places and one.count > 1 else ""
            lines.append(f"{asset or 'run'}{count}: {one}")
        if self.runs:
            runs = [f"{ui.rstrip('/')}/runs/{run}" if ui else run for run in self.runs]
            lines.append(f"Runs: {', '.join(runs)}")
        cause = textwrap.shorten(self.cause, SUBJECT, placeholder=" ...")
        return Message(f"{name}: {what} failed{again} ({times}): {cause}", "\n".join(lines))


class Incidents:
    """The causes that were seen, in the order of their first failure."""

    def __init__(self, alarms: Iterable[Incident] = ()) -> None:
        self._alarms = {alarm.cause: alarm for alarm in alarms}

    def take(self, failures: Iterable[Failure], now: float) -> None:
        """Count failures to their causes."""
        for failure in failures:
            alarm = self._alarms.setdefault(failure.cause, Incident(failure.cause, ""))
            alarm.add(failure, now)

    def due(self, now: float, quiet: float) -> Iterator[Incident]:
        """What is to be told now: a cause is told at once, and then not for ``quiet`` seconds."""
        for key, alarm in list(self._alarms.items()):
            over = now - alarm.told >= quiet
            if alarm.count and over:
                yield alarm
            elif not alarm.count and over:
                del self._alarms[key]

    def told(self, alarm: Incident, now: float) -> None:
        """Note that an alarm went out: what comes now is counted from the beginning."""
        alarm.told, alarm.struck, alarm.runs = now, {}, []

    def to_json(self) -> list[Mapping[str, Any]]:
        kept = sorted(self._alarms.values(), key=lambda a: (a.count > 0, not a.told, a.told))[
            -CAUSES:
        ]
        return [dataclasses.asdict(alarm) for alarm in kept]

    @classmethod
    def from_json(cls, data: Iterable[Mapping[str, Any]]) -> Incidents:
        return cls(
            Incident(**{**one, "struck": {a: Struck(**s) for a, s in one["struck"].items()}})
            for one in data
        )
