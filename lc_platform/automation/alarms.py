"""Failures gathered by cause, so that one cause is one message however many patches it strikes."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lc_platform.failures import Failure
from lc_platform.notify import Message

PLACES_SHOWN = 10
RUNS_SHOWN = 3
SUBJECT = 80
"""Characters of the cause in a message's first line."""
CAUSES = 200
"""That are remembered; those told longest ago are forgotten first."""


@dataclass
class Alarm:
    """What is known of one cause since it was last told."""

    cause: str
    asset: str
    words: str
    """Of the first failure."""
    count: int = 0
    places: list[str] = field(default_factory=list)
    """The first of them."""
    runs: list[str] = field(default_factory=list)
    since: float = 0.0
    """Seconds since 1970 of the first failure that is not told."""
    told: float = 0.0
    """Likewise of the last message; 0 where there was none."""

    def message(self, name: str, ui: str | None = None) -> Message:
        """What people are told.

        name  of the configuration
        ui    address of Dagster's UI, for links
        """
        what = f"{self.asset} failed" if self.asset else "a run failed"
        times = f"{self.count} partitions" if self.count > 1 else (self.places or ["once"])[0]
        again = " again" if self.told else ""
        lines = [self.words, ""]
        if self.places:
            rest = self.count - len(self.places)
            more = f" and {rest} more" if rest > 0 else ""
            lines.append(f"Partitions: {', '.join(self.places)}{more}")
        runs = [f"{ui.rstrip('/')}/runs/{run}" if ui else run for run in self.runs]
        lines.append(f"Runs: {', '.join(runs)}")
        cause = textwrap.shorten(self.cause, SUBJECT, placeholder=" ...")
        return Message(f"{name}: {what}{again} ({times}): {cause}", "\n".join(lines))


class Alarms:
    """The causes that were seen, in the order of their first failure."""

    def __init__(self, alarms: Iterable[Alarm] = ()) -> None:
        self._alarms = {(a.asset, a.cause): a for a in alarms}

    def take(self, failures: Iterable[Failure], now: float) -> None:
        """Count failures to their causes."""
        for failure in failures:
            key = (failure.asset, failure.cause)
            alarm = self._alarms.setdefault(key, Alarm(failure.cause, failure.asset, ""))
            if not alarm.count:
                alarm.words, alarm.since = failure.words, now
            alarm.count += 1
            if failure.where and failure.where not in alarm.places:
                alarm.places = [*alarm.places, failure.where][:PLACES_SHOWN]
            if failure.run not in alarm.runs:
                alarm.runs = [*alarm.runs, failure.run][:RUNS_SHOWN]

    def due(self, now: float, quiet: float) -> Iterator[Alarm]:
        """What is to be told now: a cause is told at once, and then not for ``quiet`` seconds."""
        for key, alarm in list(self._alarms.items()):
            over = now - alarm.told >= quiet
            if alarm.count and over:
                yield alarm
            elif not alarm.count and over:
                del self._alarms[key]

    def told(self, alarm: Alarm, now: float) -> None:
        """Note that an alarm went out: what comes now is counted from the beginning."""
        alarm.told, alarm.count, alarm.places, alarm.runs = now, 0, [], []

    def to_json(self) -> list[Mapping[str, Any]]:
        kept = sorted(self._alarms.values(), key=lambda a: (a.count > 0, a.told))[-CAUSES:]
        return [dataclasses.asdict(alarm) for alarm in kept]

    @classmethod
    def from_json(cls, data: Iterable[Mapping[str, Any]]) -> Alarms:
        return cls(Alarm(**one) for one in data)
