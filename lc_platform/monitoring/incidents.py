"""Failures of one cause, and the message about them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lc_platform.errors import some
from lc_platform.monitoring.notify import Message
from lc_platform.monitoring.run_failures import Failure

PARTITIONS_SHOWN = 10
RUNS_SHOWN = 3
NAMES_SHOWN = 3
"""Assets in a message's subject; its text names all of them."""
SUBJECT = 80
"""Characters of the cause in a message's subject."""


@dataclass
class Affected:
    """How many partitions of one asset a cause affects, or how often it affected a schedule or a
    sensor."""

    count: int = 0
    partitions: list[str] = field(default_factory=list)
    """The first of them."""

    def __str__(self) -> str:
        if not self.partitions:
            return "once" if self.count == 1 else f"{self.count} times"
        return some(self.partitions, len(self.partitions), self.count)


@dataclass
class Incident:
    """What one cause has affected since it was last reported."""

    cause: str
    reason: str = ""
    """The error of the first failure."""
    affected: dict[str, Affected] = field(default_factory=dict)
    """By asset; the empty name stands for runs that failed before any asset was computed."""
    runs: list[str] = field(default_factory=list)
    reported: float = 0.0
    """Seconds since 1970 of the last message; 0 where there was none."""

    @property
    def count(self) -> int:
        return sum(one.count for one in self.affected.values())

    def add(self, failure: Failure) -> None:
        if not self.count:
            self.reason = failure.reason
        one = self.affected.setdefault(failure.asset, Affected())
        one.count += 1
        if failure.partition and failure.partition not in one.partitions:
            one.partitions = [*one.partitions, failure.partition][:PARTITIONS_SHOWN]
        if failure.run and failure.run not in self.runs:
            self.runs = [*self.runs, failure.run][:RUNS_SHOWN]

    def close(self, now: float) -> None:
        """Begin to count anew after a message; ``now`` is in seconds since 1970."""
        self.reported, self.affected, self.runs = now, {}, []

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Incident:
        affected = {asset: Affected(**one) for asset, one in data["affected"].items()}
        return cls(**{**data, "affected": affected})

    def message(self, name: str, ui: str | None = None) -> Message:
        """Return the message to people.

        name  of the configuration
        ui    address of Dagster's UI, for links
        """
        names = [asset or "a run" for asset in self.affected]
        what = some(names, NAMES_SHOWN)
        unit = "partitions" if any(one.partitions for one in self.affected.values()) else "times"
        [*_, last] = self.affected.values()
        times = f"{self.count} {unit}" if self.count > 1 else str(last)
        again = " again" if self.reported else ""
        lines = [self.reason, ""]
        for asset, one in self.affected.items():
            count = f" ({one.count} partitions)" if one.partitions and one.count > 1 else ""
            lines.append(f"{asset or 'run'}{count}: {one}")
        if self.runs:
            runs = [f"{ui.rstrip('/')}/runs/{run}" if ui else run for run in self.runs]
            lines.append(f"Runs: {', '.join(runs)}")
        cause = textwrap.shorten(self.cause, SUBJECT, placeholder=" ...")
        return Message(f"{name}: {what} failed{again} ({times}): {cause}", "\n".join(lines))
