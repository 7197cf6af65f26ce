"""Of which patches the archive has what their raw bands lack."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from lc_platform.acquisition.acquire import NoAcquisitionError
from lc_platform.artefacts.layout import Partition
from lc_platform.artefacts.versions import Snapshot, digest
from lc_platform.platform import Platform
from lc_platform.sources import open_auxiliary, open_source
from lc_platform.sources.protocol import SourceError, TransientSourceError

ANSWER = 5.0
"""Seconds that a search may take, where the time of the look is over."""


@dataclass(frozen=True)
class Found:
    """What a look at the archive has found."""

    new: Mapping[Partition, str] = field(default_factory=dict)
    """Patch-years whose raw bands are not of what the archive has -> what names that."""
    empty: frozenset[Partition] = frozenset()
    """Patch-years that the archive has nothing of yet."""
    asked: int = 0
    """Patch-years that the archive was asked about."""
    stopped_at: str = ""
    """The last of them where time ran out or the archive failed; empty where all were asked."""
    trouble: str = ""
    """Why the archive could not be asked, of one patch or further."""


def ask(
    platform: Platform,
    look: Snapshot,
    years: Sequence[int],
    *,
    after: str = "",
    seconds: float,
) -> Found:
    """Ask the archive about all patches in years, of several at the same time where it is waited
    for: for ``seconds``, and at most `ANSWER` longer for the searches that are on then.

    after  where the last time stopped; what comes later is asked first

    Raises SourceError where the archive can not be searched for any patch, and asking again would
    not help.
    """
    stop = time.monotonic() + seconds
    config = platform.config
    # Opened anew: a source may remember what a catalog said, and this process lives for months.
    source = open_source(config, platform.ledger)
    auxiliary = open_auxiliary(config, platform.ledger)
    remote = [one for one in (source, *auxiliary.values()) if one.remote]
    together = config.imagery.connections if remote else 1

    patches = {patch.key: patch for patch in platform.grid().patches}

    def search(place: Partition) -> str | None:
        """Names what the archive has; None where that is nothing."""
        assert place.patch is not None
        assert place.year is not None
        try:
            found = platform.search(patches[place.patch], place.year, source, auxiliary)
        except NoAcquisitionError:
            return None
        return digest(found.named)

    order = sorted(
        (Partition(patch, year) for patch in patches for year in years),
        key=lambda place: (str(place) <= after, str(place)),
    )
    new: dict[Partition, str] = {}
    empty: set[Partition] = set()
    last, asked = after, 0
    trouble, failed = "", 0
    left = iter(order)
    waiting: deque[tuple[Partition, float, Future[str | None]]] = deque()
    pool = ThreadPoolExecutor(together, thread_name_prefix="search")
    try:
        while True:
            while len(waiting) < together and (asked + len(waiting) == 0 or _now() < stop):
                if (chosen := next(left, None)) is None:
                    break
                waiting.append((chosen, _now(), pool.submit(search, chosen)))
            if not waiting:
                break
            place, began, future = waiting.popleft()
            asked, last = asked + 1, str(place)
            try:
                there = future.result(max(stop, began + ANSWER) - _now())
            except TransientSourceError as error:
                # The next look begins behind it: one patch's trouble is not that of all others.
                trouble = str(error)
                break
            except SourceError as error:
                failed += 1
                trouble = trouble or str(error)
                if failed == len(order):
                    raise
                continue
            except TimeoutError:
                trouble = f"{place}: the archive has not answered for {_now() - began:.0f} s"
                break
            assert place.year is not None
            had = look.recorded("raw_bands", place.year).get(place)
            if there is None:
                if had is None:
                    empty.add(place)
            elif had is None or had.given != there:
                new[place] = there
    finally:
        # What is still asked for is not waited for; it ends by its own time-out.
        pool.shutdown(wait=False, cancel_futures=True)
        for one in remote if trouble or waiting else ():
            one.stop()
    stopped_at = last if asked < len(order) else ""
    return Found(new, frozenset(empty), asked, stopped_at, trouble)


def _now() -> float:
    return time.monotonic()
