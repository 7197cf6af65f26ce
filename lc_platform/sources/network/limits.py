"""Limits of the requests to an archive: their number, their rate, and retries."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from threading import Condition, Lock
from typing import TypeVar
from weakref import WeakValueDictionary

from lc_platform.sources.protocol import SourceError, TransientSourceError

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

LONGEST_WAIT = 120.0
"""Seconds. An archive that asks for more is not waited for within a request."""
FIRST_WAIT, LAST_WAIT = 1.0, 60.0
"""Seconds: the limits of the random wait before the first retry and before late ones."""

# Requests do not take the same time to the archive each: spaced evenly here, some arrive closer.
_SHARE_OF_RATE = 0.97
_TOO_MANY_REQUESTS = 429

_T = TypeVar("_T")


class Refused(TransientSourceError):  # noqa: N818
    """An archive answered that it does not now: status 429, 503 or the like.

    status       of HTTP
    retry_after  seconds that it asks to wait, None where it does not say
    """

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class _Gate:
    """The state that all requests of this process to one archive share."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.under_way = 0
        self.paused_until = -math.inf
        self.stops = 0


_gates: WeakValueDictionary[str, _Gate] = WeakValueDictionary()
_gates_lock = Lock()


class Limits:
    """The requests of this process to one archive; used by several threads at the same time.

    name                 the archive and the account: requests of this process with the same name
                         wait for one another, and those of all processes of this user and machine
                         count towards one rate. No message shows it
    connections          requests that are under way at the same time, of this process
    requests_per_minute  evenly spaced, None for as fast as they come
    retries              of a request that failed for no fault of its own
    """

    def __init__(
        self,
        name: str,
        *,
        connections: int,
        requests_per_minute: float | None = None,
        retries: int = 5,
    ) -> None:
        self.connections = connections
        self.retries = retries
        self._rate = _Rate(name, requests_per_minute) if requests_per_minute else None
        with _gates_lock:
            self._gate = _gates.setdefault(name, _Gate())

    def send(self, what: str, request: Callable[[], _T]) -> _T:
        """Call ``request`` when it is its turn, and again where it raises TransientSourceError.

        Before the next attempt it waits as long as `Refused` says. Where that did not help, or
        nothing is said, it waits a random time up to a limit that doubles. After status 429, and
        wherever the archive says how long to wait, this process' other requests wait too. Errors
        of other kinds pass.

        Raises TransientSourceError naming ``what`` after the last attempt (a turn that is lost, as
        the archive refused another request meanwhile, is one), at once where the archive wants to
        be left alone for longer than `LONGEST_WAIT`, and where `stop` was called.
        """
        stops, attempt = self._gate.stops, 0
        while True:
            attempt = self._enter(what, stops, attempt)
            try:
                return request()
            except TransientSourceError as error:
                failure = error
            finally:
                self._leave()
            wait = self._wait_after(failure, attempt)
            attempt += 1
            if wait > LONGEST_WAIT:
                raise TransientSourceError(
                    f"{what}: {failure} It asks to wait for {wait:.0f} s, which is not waited for "
                    "here. Run it again later"
                ) from failure
            if attempt > self.retries:
                times = "once" if attempt == 1 else f"{attempt} times"
                raise TransientSourceError(f"{what}: {failure} (tried {times})") from failure
            self._wait_until(time.monotonic() + wait, what, stops)

    def stop(self) -> None:
        """End the waits that are under way for the archive: each raises TransientSourceError."""
        with self._gate.changed:
            self._gate.stops += 1
            self._gate.changed.notify_all()

    def _enter(self, what: str, stops: int, attempt: int) -> int:
        """Wait for one's turn: the attempts used up, as each turn that is lost is one."""
        while True:
            with self._gate.changed:
                self._gate.changed.wait_for(
                    lambda: self._gate.under_way < self.connections or self._gate.stops != stops
                )
                self._refuse_stopped(what, stops)
                self._gate.under_way += 1
            try:
                if self._its_turn(what, stops):
                    return attempt
            except BaseException:
                self._leave()
                raise
            self._leave()
            attempt += 1
            if attempt > max(self.retries, 1):
                raise TransientSourceError(
                    f"{what}: not asked for, as the archive goes on to refuse other requests. "
                    "Run it again later"
                )

    def _its_turn(self, what: str, stops: int) -> bool:
        """Wait for the archive and the rate; False where the archive was told to be busy
        meanwhile."""
        with self._gate.changed:
            paused_until = self._gate.paused_until
        wait = paused_until - time.monotonic()
        if wait > LONGEST_WAIT:
            raise TransientSourceError(
                f"{what}: not asked for, as the archive wants no request for {wait:.0f} s. "
                "Run it again later"
            )
        self._wait_until(paused_until, what, stops)
        if self._rate is not None:
            self._wait_until(self._rate.turn(), what, stops)
        with self._gate.changed:
            return self._gate.paused_until <= paused_until

    def _leave(self) -> None:
        with self._gate.changed:
            self._gate.under_way -= 1
            self._gate.changed.notify_all()

    def _wait_after(self, failure: TransientSourceError, attempt: int) -> float:
        asked = failure.retry_after if isinstance(failure, Refused) else None
        grown = min(LAST_WAIT, FIRST_WAIT * 2.0**attempt)
        if asked is None:
            wait = random.uniform(0.0, grown)
        else:
            # Who refuses again and again says too short a time.
            wait = asked + random.uniform(0.0, max(0.05 + 0.05 * asked, grown if attempt else 0.0))
            wait = min(wait, max(asked, LONGEST_WAIT))
        if asked is not None or getattr(failure, "status", None) == _TOO_MANY_REQUESTS:
            until = time.monotonic() + wait
            with self._gate.changed:
                self._gate.paused_until = max(self._gate.paused_until, until)
            if self._rate is not None and wait <= LONGEST_WAIT:
                self._rate.pause(until)
        return wait

    def _wait_until(self, when: float, what: str, stops: int) -> None:
        with self._gate.changed:
            while (left := when - time.monotonic()) > 0 and self._gate.stops == stops:
                self._gate.changed.wait(left)
            self._refuse_stopped(what, stops)

    def _refuse_stopped(self, what: str, stops: int) -> None:
        if self._gate.stops != stops:
            raise TransientSourceError(f"{what}: given up, as the work was stopped")


class _Rate:
    """When the next request may go, in a file that the processes of a machine share.

    The file holds the time of the next free turn on the machine's monotonic clock, which runs
    alike in all its processes. One that lies further ahead than turns can have been taken is of
    another boot or damaged, and is passed over.
    """

    def __init__(self, name: str, requests_per_minute: float) -> None:
        self._interval = 60.0 / (requests_per_minute * _SHARE_OF_RATE)
        user = os.getuid() if hasattr(os, "getuid") else 0
        digest = sha256(name.encode()).hexdigest()[:24]
        self.path = Path(gettempdir()) / f"lc-platform-rate-{user}-{digest}"
        self._furthest = LONGEST_WAIT + 1000.0 * self._interval

    def turn(self) -> float:
        """Take the next turn: when it is, on the monotonic clock."""
        return self._next(lambda now, free: max(now, free), self._interval)

    def pause(self, until: float) -> None:
        """No turn before a time."""
        self._next(lambda now, free: max(now, free, until), 0.0)

    def _next(self, choose: Callable[[float, float], float], taken: float) -> float:
        try:
            # Of this user alone, and no link that another user has put there.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            with os.fdopen(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX)
                now = time.monotonic()
                when = choose(now, self._read(file.read(64), now))
                file.seek(0)
                file.truncate()
                file.write(repr(when + taken).encode())
                return when
        except OSError as error:
            raise SourceError(
                f"imagery.requests_per_minute: {self.path}, where the requests of this machine's "
                f"processes are counted, cannot be used ({error.strerror}). Make the folder for "
                "temporary files (TMPDIR) writable"
            ) from error

    def _read(self, content: bytes, now: float) -> float:
        try:
            free = float(content)
        except ValueError:
            return now
        return free if now < free < now + self._furthest else now
