"""The messages that a channel is to take: one a cause, and none twice."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from lc_platform.config import Config
from lc_platform.monitoring.incidents import Incident
from lc_platform.monitoring.notify import Channel, NotifyError
from lc_platform.monitoring.run_failures import Failure

CAUSES = 200
"""Causes that a channel remembers; those reported longest ago are forgotten first."""
_PAUSES = 60.0, 3600.0
"""Seconds for which a channel is left alone that fails again: at first, and at most."""


@dataclass
class Outbox:
    """What one channel has not reported yet.

    A channel that fails is tried again ever less often; what fails meanwhile is counted to the
    messages that wait.
    """

    channel: Channel
    incidents: dict[str, Incident] = field(default_factory=dict)
    """By cause, in the order of their first failure."""
    retry_at: float = 0.0
    """Seconds since 1970 before which the channel is left alone."""
    pause: float = 0.0
    """Seconds for which it is left alone when it fails again."""
    sent: int = 0
    """Messages that were taken in this tick."""
    problem: str = ""
    """Why one was not."""

    def add(self, failures: Iterable[Failure]) -> None:
        """Count each failure to its cause."""
        for failure in failures:
            self.incidents.setdefault(failure.cause, Incident(failure.cause)).add(failure)

    def due(self, now: float, quiet: float) -> list[Incident]:
        """Return what is to be reported ``now``, in seconds since 1970.

        A cause is reported at once, and then not for ``quiet`` seconds. What has not happened again
        by then is forgotten.
        """
        self.incidents = {
            cause: one
            for cause, one in self.incidents.items()
            if one.count or now - one.reported < quiet
        }
        if now < self.retry_at:
            return []
        return [i for i in self.incidents.values() if i.count and now - i.reported >= quiet]

    def send(self, due: Sequence[Incident], config: Config, now: float, stop: float) -> None:
        """Send messages until one is not taken, or there is no time for another.

        stop  time of the monotonic clock by which the last of them must have been sent
        """
        for incident in due:
            if time.monotonic() + self.channel.timeout > stop:
                return
            try:
                self.channel.send(incident.message(config.name, config.operations.notify.ui))
            except NotifyError as error:
                self.postpone(str(error), now)
                return
            incident.close(now)
            self.sent, self.pause = self.sent + 1, 0.0

    def postpone(self, problem: str, now: float) -> None:
        """Leave a failing channel alone until the next tick, then for a minute, and twice as long
        each time."""
        first, most = _PAUSES
        self.problem = problem
        self.retry_at, self.pause = now + self.pause, min(max(first, 2 * self.pause), most)

    def to_json(self) -> Mapping[str, Any]:
        """Return what the next tick must know; of too many incidents, those that wait come first,
        then the latest."""
        kept = sorted(
            self.incidents.values(), key=lambda i: (i.count > 0, not i.reported, i.reported)
        )
        incidents = [dataclasses.asdict(incident) for incident in kept[-CAUSES:]]
        return {"incidents": incidents, "retry_at": self.retry_at, "pause": self.pause}

    @classmethod
    def from_json(cls, channel: Channel, data: Mapping[str, Any]) -> Outbox:
        incidents = map(Incident.from_json, data["incidents"])
        by_cause = {incident.cause: incident for incident in incidents}
        return cls(channel, by_cause, data["retry_at"], data["pause"])


def deliver(outboxes: Sequence[Outbox], config: Config, now: float, stop: float) -> None:
    """Send what is due by all channels at the same time, and wait for none that hangs.

    now   seconds since 1970
    stop  time of the monotonic clock
    """
    quiet = config.operations.notify.quiet * 3600
    due = [(outbox, found) for outbox in outboxes if (found := outbox.due(now, quiet))]
    if not due:
        return
    longest = max(len(found) * (outbox.channel.timeout + 1) for outbox, found in due)
    pool = ThreadPoolExecutor(len(due), thread_name_prefix="notify")
    futures = [pool.submit(outbox.send, found, config, now, stop) for outbox, found in due]
    wait(futures, min(longest, stop - time.monotonic()))
    for (outbox, _), future in zip(due, futures, strict=True):
        name = outbox.channel.name
        if not future.done():
            reason = f"no answer for {outbox.channel.timeout:g} s"
        elif (error := future.exception()) is not None:
            reason = type(error).__name__  # its text may hold a secret
        else:
            continue
        outbox.postpone(f"operations.notify.{name}: {reason}. Check that it can be reached", now)
    # What hangs, such as the look-up of the server's address, ends by itself.
    pool.shutdown(wait=False)
