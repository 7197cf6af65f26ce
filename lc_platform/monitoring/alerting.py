"""Alerts: the failures since the last tick, and one message a cause about them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import dagster as dg

from lc_platform.config import Config
from lc_platform.monitoring import tick_failures
from lc_platform.monitoring.notify import Channel
from lc_platform.monitoring.outbox import Outbox, deliver
from lc_platform.monitoring.run_failures import (
    GIVEN_UP,
    LOOK_BACK,
    Failure,
    failed_runs,
    failures_of_run,
)

_TICK = 45.0
"""Seconds that a tick may take; Dagster ends it after 60, and what it sent is sent again."""
_READING = 15.0
"""Seconds of these for reading what has failed; the rest is for the messages."""
_RUNS = 200
_PAGE = 20


class Alerting:
    """One tick: what has failed since the last one, and what people are told of it."""

    def __init__(
        self,
        config: Config,
        instance: dg.DagsterInstance,
        channels: Sequence[Channel],
        cursor: str | None,
    ) -> None:
        self.config, self.instance = config, instance
        self._began, self._now = time.monotonic(), time.time()
        before: dict[str, Any] = json.loads(cursor) if cursor else {}
        self._is_first = not before
        self._position: str | None = before.get("position")
        self._since: float = before.get("since", self._now)
        self._seen: set[str] | None = set(before["seen"]) if "seen" in before else None
        known = before.get("outboxes", {})
        self.outboxes = [
            Outbox.from_json(one, known[one.name]) if one.name in known else Outbox(one)
            for one in channels
        ]
        self.failed = 0

    def gather(self, location: str | None) -> None:
        """Count what has failed; what failed before the first tick is not reported.

        location  the code location whose ticks are read; None for all
        """
        if self._is_first:
            kind = dg.DagsterEventType.RUN_FAILURE
            newest = self.instance.fetch_run_status_changes(kind, limit=1)
            self._position = newest.cursor if newest.records else None
        else:
            self._gather_runs()
        name = self.config.name
        outside_runs = tick_failures.failures(self.instance, name, location, self._now, self._since)
        given_up = failed_runs(self.instance, GIVEN_UP, self._now - LOOK_BACK)
        lost = {f"run {run.run_id}": run.run_id for run in given_up}
        seen = {*outside_runs, *lost} if self._seen is None else self._seen
        for key in outside_runs.keys() - seen:
            self._add([outside_runs[key]])
        for key in lost.keys() - seen:
            if self._spent >= _READING:
                lost.pop(key)  # read in the next tick
                continue
            self._add(failures_of_run(self.instance, lost[key]))
        self._seen, self._since = {*outside_runs, *lost}, self._now

    def _gather_runs(self) -> None:
        """Count the runs that failed since the last tick, in the order of their failure."""
        while self._spent < _READING and self.failed < _RUNS:
            found = self.instance.fetch_run_status_changes(
                dg.DagsterEventType.RUN_FAILURE, limit=_PAGE, cursor=self._position, ascending=True
            )
            if not found.records:
                return
            for run in dict.fromkeys(record.run_id for record in found.records):
                self._add(failures_of_run(self.instance, run))
            self._position = found.cursor

    def _add(self, failures: Sequence[Failure]) -> None:
        self.failed += 1
        for outbox in self.outboxes:
            outbox.add(failures)

    def deliver(self) -> None:
        """Send the messages that are due, while there is time."""
        deliver(self.outboxes, self.config, self._now, self._began + _TICK)

    @property
    def problems(self) -> list[str]:
        """The reasons why channels did not take a message, one a channel."""
        return [outbox.problem for outbox in self.outboxes if outbox.problem]

    @property
    def summary(self) -> str:
        sent = sum(outbox.sent for outbox in self.outboxes)
        return "; ".join([f"{self.failed} failures, {sent} messages", *self.problems])

    @property
    def cursor(self) -> str:
        """The state with which the next tick begins."""
        return json.dumps(
            {
                "position": self._position,
                "since": self._since,
                "seen": sorted(self._seen or ()),
                "outboxes": {one.channel.name: one.to_json() for one in self.outboxes},
            }
        )

    @property
    def _spent(self) -> float:
        return time.monotonic() - self._began
