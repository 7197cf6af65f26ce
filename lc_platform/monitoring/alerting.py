"""What has failed since the last look, and telling people of it: one message a cause."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import dagster as dg

from lc_platform.monitoring import tick_failures
from lc_platform.monitoring.incidents import Incidents
from lc_platform.monitoring.notify import Channel, Post
from lc_platform.monitoring.run_failures import given_up as given_up_runs
from lc_platform.monitoring.run_failures import of_run
from lc_platform.platform import Platform

_TICK = 45.0
"""Seconds that a look takes at most; after 60 Dagster ends it, and what it told is told again."""
_READING = 15.0
"""Seconds of these for what has failed; what is left is for the messages."""
_RUNS = 200
_PAGE = 20


class Snapshot:
    """One look at what has failed, from where the last one ended."""

    def __init__(
        self,
        platform: Platform,
        instance: dg.DagsterInstance,
        ways: Sequence[Channel],
        cursor: str | None,
    ) -> None:
        self.platform, self.instance = platform, instance
        self._began, self.now = time.monotonic(), time.time()
        before: dict[str, Any] = json.loads(cursor) if cursor else {}
        self.is_first = not before
        self._position: str | None = before.get("position")
        self._since: float = before.get("since", self.now)
        self._seen: set[str] | None = set(before["seen"]) if "seen" in before else None
        self._alarms = Incidents.from_json(before.get("causes", ()))
        self._post = Post.from_json(ways, before.get("post", {}))
        self.failed = self.told = 0

    def gather(self, location: str | None) -> None:
        """Count what has failed; what failed before the first look is not told.

        location  the code location whose ticks are looked at; None for all
        """
        if self.is_first:
            kind = dg.DagsterEventType.RUN_FAILURE
            newest = self.instance.fetch_run_status_changes(kind, limit=1)
            self._position = newest.cursor if newest.records else None
        else:
            self._runs()
        name = self.platform.config.name
        wrong = tick_failures.wrong(self.instance, name, location, self.now, self._since)
        given_up = {f"run {run}": run for run in given_up_runs(self.instance, self.now)}
        seen = {*wrong, *given_up} if self._seen is None else self._seen
        for key in wrong.keys() - seen:
            self.failed += 1
            self._alarms.take([wrong[key]], self.now)
        for key in given_up.keys() - seen:
            if self._spent >= _READING:
                given_up.pop(key)  # looked at the next time
                continue
            self.failed += 1
            self._alarms.take(of_run(self.instance, given_up[key]), self.now)
        self._seen, self._since = {*wrong, *given_up}, self.now

    def _runs(self) -> None:
        """The runs that failed since the last look, in the order of their failure."""
        while self._spent < _READING and self.failed < _RUNS:
            found = self.instance.fetch_run_status_changes(
                dg.DagsterEventType.RUN_FAILURE, limit=_PAGE, cursor=self._position, ascending=True
            )
            if not found.records:
                return
            for run in dict.fromkeys(record.run_id for record in found.records):
                self.failed += 1
                self._alarms.take(of_run(self.instance, run), self.now)
            self._position = found.cursor

    def tell(self) -> list[str]:
        """Send the messages that are due, while there is time.

        Returns what went wrong with it.
        """
        config = self.platform.config
        notify = config.operations.notify
        for letter in self._post.awaited(self.now):
            if self._has_time:
                self._post.send_again(letter, self.now)
        for due in self._alarms.due(self.now, notify.quiet * 3600):
            if not self._has_time:
                break
            if not self._post.send(due.message(config.name, notify.ui), self.now):
                break
            self._alarms.told(due, self.now)
            self.told += 1
        return self._post.problems

    @property
    def _spent(self) -> float:
        return time.monotonic() - self._began

    @property
    def _has_time(self) -> bool:
        return self._spent + self._post.seconds <= _TICK

    @property
    def cursor(self) -> str:
        """Where the next look begins."""
        return json.dumps(
            {
                "position": self._position,
                "since": self._since,
                "seen": sorted(self._seen or ()),
                "causes": self._alarms.to_json(),
                "post": self._post.to_json(),
            }
        )
