"""The spending of all workers in an archive this month, counted in the store, and its limit.

Every process writes a small file of its own in the month's folder: what it has spent, and what it
has set aside beyond that. The sum of all files is what counts.

- A process sets aside first and reads the others' files then. Of two that do so at the same time
  at least one sees the other: both may be refused near the limit, and never do both exceed it.
- It sets aside what its next requests need, so that the store is not asked at every one; the nearer
  the end, the fewer.
- What a process had set aside when it was killed counts as spent until the month ends, for it may
  have been spent. Of a process that is known to have ended, on this machine, only its requests in
  flight count: in a folder they are recorded one by one, in an object store every few seconds.

A folder on a network file system must show a new file on all hosts at once (NFS: mount it with
``lookupcache=none`` or ``actimeo=0``), or hosts may together exceed the limit by what one has set
aside. An object store must be strongly consistent, as S3, Google Cloud Storage and Azure are. No
file has two writers, so that no conditional writes are needed.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from lc_platform.artefacts.layout import SPENDING
from lc_platform.config import Budget
from lc_platform.runtime.liveness import is_running
from lc_platform.sources.protocol import Cost, QuotaError
from lc_platform.storage.errors import StorageError
from lc_platform.storage.store import Store

WRITE_SECONDS = 3.0
"""Seconds between two writes, where the store is no folder or there is no budget."""
IDLE_SECONDS = 2.0
"""Seconds after the last request until what is set aside is given back."""
AHEAD_REQUESTS = 16
"""Requests that a process sets aside beyond the one that it needs: some seconds of work."""
AHEAD_SHARE = 0.02
"""Share of what is left that it sets aside so at most."""

_TRIES = 8
_OLD = 600.0
"""Seconds. A file that did not change for so long is not read again while it looks the same."""
_EXACT = 1e-6
_NOTHING = Cost()
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spending:
    """The spending of all processes in a month."""

    month: str
    """The month in UTC, for example 2026-11."""
    spent: Cost
    set_aside: Cost
    """Set aside beyond that, by processes that run or were killed; without bytes."""
    budget: Budget

    @property
    def left(self) -> Mapping[str, float]:
        """Key of the budget -> what is neither spent nor set aside."""
        taken = self.spent + self.set_aside
        return {key: max(0.0, most - had) for key, had, most in _limits(taken, self.budget)}


class _Count(NamedTuple):
    """The content of one file."""

    spent: Cost
    begun: Cost
    """Spent or in flight."""
    claimed: Cost
    """Spent or set aside."""


class StoreLedger:
    """Counts this month's spending of all processes that use a store.

    Its methods may be called by several threads at the same time.
    """

    def __init__(
        self,
        store: Store,
        budget: Budget,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store = store
        self.budget = budget
        self._now = now
        self._limited = budget.requests is not None or budget.processing_units is not None
        # In a folder a write takes a fraction of a millisecond.
        self._at_once = self._limited and store.local
        self._lock = threading.Condition()
        self._month = ""
        self._process = 0
        self._spent = self._in_flight = self._claimed = self._others = _NOTHING
        self._refused: QuotaError | None = None
        self._over = ""
        self._written = self._active = float("-inf")
        self._recorded = True
        self._timer: threading.Timer | None = None
        self._read: dict[str, tuple[Any, _Count]] = {}

    # For workers

    def reserve(self, cost: Cost) -> None:
        """Set ``cost`` aside before it is spent.

        Raises QuotaError where the budget does not allow it, and from then on at once until the
        month ends, for any cost under the spent limit; StorageError where the store cannot be read
        or written.
        """
        with self._lock:
            self._turn()
            if self._refused is not None and getattr(cost, self._over) > 0:
                raise QuotaError(str(self._refused))
            if not self._is_claimed(self._spent + self._in_flight + cost):
                self._set_aside(cost)
            before, self._in_flight = self._in_flight, self._in_flight + cost
            self._active = time.monotonic()
            if self._at_once:
                try:
                    self._write(self._claimed)
                except StorageError:
                    self._in_flight = before
                    raise

    def settle(self, reserved: Cost, spent: Cost) -> None:
        """Give back what was set aside, and count what was spent.

        If the store cannot be written, it is counted with the next write.
        """
        with self._lock:
            self._turn()
            self._in_flight = _less(self._in_flight, reserved)
            self._spent += spent
            self._recorded = False
            self._active = time.monotonic()
            taken = self._spent + self._in_flight
            if (
                not self._is_claimed(taken)
                or self._at_once
                or self._active - self._written >= WRITE_SECONDS
            ):
                self._record(_larger(taken, self._claimed))
            self._record_later()

    def flush(self) -> None:
        """Record what was spent, and give back what is set aside and not in flight."""
        with self._lock:
            self._turn()
            taken = self._spent + self._in_flight
            if not self._recorded or (self._limited and self._claimed != taken):
                self._record(taken)

    # For people

    @property
    def refused(self) -> QuotaError | None:
        """The error that stopped spending this month; None if there was none."""
        with self._lock:
            self._turn()
            return self._refused

    def spending(self) -> Spending:
        """Return this month's spending; that of other processes is some seconds old.

        Raises StorageError where the store cannot be read.
        """
        with self._lock:
            self._turn()
            counts = list(self._of_others())
            spent = sum((count.spent for count in counts), self._spent)
            claimed = sum((count.claimed for count in counts), _NOTHING)
            own = _larger(self._claimed, self._spent + self._in_flight)
            beyond = _less(claimed + own, spent)
            aside = Cost(beyond.requests, beyond.processing_units)
            return Spending(self._month, spent, aside, self.budget)

    # Months and processes

    def _turn(self) -> None:
        """Begin a new month, or a forked process' own file."""
        now = self._now().astimezone(UTC)
        month, process = f"{now:%Y-%m}", os.getpid()
        if (month, process) == (self._month, self._process):
            return
        if process != self._process:  # it was forked: what was spent so far is its parent's
            self._name = f"{_here()}-{process}-{uuid.uuid4().hex[:8]}.json"
            self._in_flight, self._timer = _NOTHING, None
            atexit.register(self._at_exit)
        elif not self._recorded or self._claimed != self._spent:
            self._record(self._spent)  # what is in flight counts in the month in which it ends
        self._month, self._process = month, process
        self._spent = self._claimed = self._others = _NOTHING
        self._refused, self._recorded = None, True
        self._read.clear()

    def _set_aside(self, cost: Cost) -> None:
        """Extend the claim to cover what is in flight and ``cost``. Raises QuotaError."""
        for attempt in range(_TRIES):
            need = self._spent + self._in_flight + cost
            before = self._claimed
            try:
                others = self._claim(need, need + self._ahead(cost, need))
            except BaseException:
                # The file may say more: then that counts until it is written again.
                self._claimed, self._recorded = before, False
                raise
            if others is None:
                return
            if not self._allows(others + need) or attempt == _TRIES - 1:
                break
            # Others have set aside what they may yet give back.
            self._lock.wait(random.uniform(0.5, 1.5) * min(0.05 * 2**attempt, IDLE_SECONDS))
            self._turn()
        self._over, words = self._refusal(cost)
        self._refused = QuotaError(words)
        raise self._refused

    def _claim(self, need: Cost, wanted: Cost) -> Cost | None:
        """Set aside what is wanted, or else what is needed; if neither is possible, return what
        others have spent."""
        before = self._claimed
        self._write(wanted)
        others = list(self._of_others())
        self._others = sum((count.claimed for count in others), _NOTHING)
        if self._allows(self._others + wanted):
            return None
        if self._allows(self._others + need):
            self._write(need)
            return None
        self._write(before)
        return sum((count.spent for count in others), _NOTHING)

    def _ahead(self, cost: Cost, need: Cost) -> Cost:
        """Return what is set aside beyond the need."""
        taken = _limits(self._others + need, self.budget)
        limits = zip(taken, _limits(cost, self.budget), strict=True)
        affordable = [
            AHEAD_SHARE * (most - had) / of for (_, had, most), (_, of, _) in limits if of
        ]
        times = max(0, int(min([AHEAD_REQUESTS, *affordable])))
        return Cost(cost.requests * times, cost.processing_units * times)

    def _is_claimed(self, cost: Cost) -> bool:
        """Whether this process has set aside as much of everything that has a limit."""
        both = zip(_limits(cost, self.budget), _limits(self._claimed, self.budget), strict=True)
        return all(had <= claimed + _EXACT for (_, had, _), (_, claimed, _) in both)

    def _allows(self, cost: Cost) -> bool:
        return all(had <= most + _EXACT for _, had, most in _limits(cost, self.budget))

    def _refusal(self, cost: Cost) -> tuple[str, str]:
        """Return the budget's key that is spent, and the message."""
        taken = _limits(self._others + self._spent + self._in_flight + cost, self.budget)
        key, most = next((key, most) for key, had, most in taken if had > most + _EXACT)
        year, month = map(int, self._month.split("-"))
        this = datetime(year, month, 1, tzinfo=UTC)
        then = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        # Without the amount spent, so that all workers have the same message, which is listed once.
        return key, (
            f"imagery.budget.{key}: what is left of {most:,.12g} in {this:%B %Y} does not suffice "
            f"for the next request. Raise imagery.budget.{key}, or run again from "
            f"1 {then:%B %Y} (UTC) on; `lc-platform plan` tells what is spent"
        )

    # Files

    def _write(self, claimed: Cost) -> None:
        begun = self._spent + self._in_flight if self._at_once else claimed
        counts = _Count(self._spent, begun, claimed)
        content = {name: _plain(cost) for name, cost in counts._asdict().items()}
        self.store.put(self._key(self._name), json.dumps(content).encode())
        self._claimed, self._recorded = claimed, True
        self._written = time.monotonic()

    def _record(self, claimed: Cost) -> None:
        """Write, or leave it to the next write if the store is away."""
        try:
            self._write(claimed if self._limited else self._spent)
        except StorageError as error:
            self._written = time.monotonic()
            _logger.warning("what was spent is not recorded yet: %s", error)

    def _record_later(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(IDLE_SECONDS, self._when_idle)
            self._timer.daemon = True
            self._timer.start()

    def _when_idle(self) -> None:
        with self._lock:
            self._timer = None
            idle = time.monotonic() - self._active >= 0.9 * IDLE_SECONDS
            if idle:
                self.flush()
            if not idle or not self._recorded:
                self._record_later()

    def _at_exit(self) -> None:
        with contextlib.suppress(RuntimeError):  # a driver that starts no more threads by then
            self.flush()

    def _key(self, name: str) -> str:
        # A writer looks through its file's folder each time: these stay small.
        shelf = name.removesuffix(".json")[-2:]
        return f"{SPENDING.format(month=self._month)}/{shelf}/{name}"

    def _of_others(self) -> Iterator[_Count]:
        """Yield the counts of all other processes of the month."""
        listed = self._listed()
        changed = [n for n, stamp in listed.items() if self._read.get(n, (None,))[0] != stamp]
        texts = self.store.fs.cat_ranges(
            [self.store.plain(self._key(name)) for name in changed],
            [0] * len(changed),
            [None] * len(changed),
            on_error="return",
        )
        read = dict(zip(changed, texts, strict=True))
        for name, stamp in listed.items():
            text = read.get(name)
            if isinstance(text, FileNotFoundError):
                continue  # somebody has taken it away
            if isinstance(text, Exception):
                path = self.store.path(self._key(name))
                raise self.store.fault(path, text) or StorageError(
                    f"{path}: cannot be read ({text}), so that the budget cannot be kept. Give "
                    "this user the right to read it"
                ) from text
            count = self._read[name][1] if text is None else self._count(name, text)
            self._read[name] = stamp, count
            yield count._replace(claimed=count.begun) if _has_ended(name) else count

    def _listed(self) -> dict[str, Any]:
        """Return the names of the others' files, each with a stamp that stays equal while the file
        does not change; a new object if that is not known."""
        folder = SPENDING.format(month=self._month)
        found: dict[str, Mapping[str, Any]] = {}
        if self.store.local:
            paths = [*Path(self.store.plain(folder)).glob("[0-9a-f][0-9a-f]/*.json")]
            # A listing may miss a file while it is replaced, so that known files are added.
            paths += [Path(self.store.plain(self._key(name))) for name in self._read]
            for path in paths:
                with contextlib.suppress(FileNotFoundError):  # somebody has taken it away
                    about = path.stat()
                    found[path.name] = {"mtime": about.st_mtime, "size": about.st_size}
        else:
            with self.store.reaching(self.store.path(folder)):
                objects = self.store.fs.find(self.store.plain(folder), detail=True)
            found = {PurePosixPath(str(path)).name: one for path, one in objects.items()}
        return {
            name: _stamp(one)
            for name, one in found.items()
            if name.endswith(".json") and not name.startswith(".") and name != self._name
        }

    def _count(self, name: str, text: bytes) -> _Count:
        try:
            content = json.loads(text)
            return _Count(*(Cost(**content[part]) for part in _Count._fields))
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"{self.store.path(self._key(name))}: is no count of what was spent, so that the "
                "budget cannot be kept. Restore the file; or remove it, and what it counted is "
                "not counted any more"
            ) from error


def _limits(cost: Cost, budget: Budget) -> list[tuple[str, float, float]]:
    """Return (key of the budget, cost, limit) of each limit that is set."""
    both = (
        ("processing_units", cost.processing_units, budget.processing_units),
        ("requests", cost.requests, budget.requests),
    )
    return [(key, had, most) for key, had, most in both if most is not None]


def _less(cost: Cost, of: Cost) -> Cost:
    return Cost(
        max(0, cost.requests - of.requests),
        max(0.0, cost.processing_units - of.processing_units),
        max(0, cost.bytes - of.bytes),
    )


def _larger(one: Cost, other: Cost) -> Cost:
    return Cost(
        max(one.requests, other.requests),
        max(one.processing_units, other.processing_units),
        max(one.bytes, other.bytes),
    )


def _plain(cost: Cost) -> dict[str, Any]:
    return {
        "requests": cost.requests,
        "processing_units": round(cost.processing_units, 6),
        "bytes": cost.bytes,
    }


def _stamp(listed: Mapping[str, Any]) -> Any:
    """Return an object's time and size in a listing; a new object if it has changed lately, for two
    changes in a second may look the same."""
    found = next((v for n in ("LastModified", "mtime", "last_modified") if (v := listed.get(n))), 0)
    modified = found.timestamp() if isinstance(found, datetime) else float(found)
    return (modified, listed.get("size")) if 0 < modified < time.time() - _OLD else object()


@cache
def _here() -> str:
    """Return the namespace of process numbers: containers may share their host's name."""
    try:
        space = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        space = "0"
    return f"{socket.gethostname()}-{space}"


def _has_ended(name: str) -> bool:
    """Whether the process that a file is of has ended; False where that is not known."""
    here, process, _ = name.removesuffix(".json").rsplit("-", 2)
    return here == _here() and process.isdecimal() and not is_running(int(process))
