"""The search for patches of which the archive has more than their raw bands."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from lc_platform.acquisition.search import NoAcquisitionError
from lc_platform.artefacts.layout import Partition
from lc_platform.artefacts.versions import Snapshot, digest
from lc_platform.platform import Platform
from lc_platform.sources import open_auxiliary, open_source
from lc_platform.sources.protocol import SourceError, TransientSourceError

ANSWER = 5.0
"""Seconds that a search may take that has begun when the time is over."""


@dataclass(frozen=True)
class SearchOutcome:
    """The result of searching the archive for several patches and years."""

    new: Mapping[Partition, str] = field(default_factory=dict)
    """Patch and year whose raw bands lack acquisitions -> a digest of what the archive has."""
    empty: frozenset[Partition] = frozenset()
    """Patches and years of which the archive has nothing yet."""
    searched: int = 0
    """The number of patches and years that were searched."""
    stopped_at: str = ""
    """The last of them if time ran out or the archive failed; empty if all were searched."""
    problem: str = ""
    """Why a search failed."""


def search(
    platform: Platform,
    snapshot: Snapshot,
    years: Sequence[int],
    *,
    after: str = "",
    seconds: float,
) -> SearchOutcome:
    """Search the archive for all patches in years; a remote one for several at the same time.

    after    the partition at which the last search stopped; those after it come first
    seconds  after which no search begins; those that have begun get at most `ANSWER` more

    Raises SourceError where the archive cannot be searched for any patch and trying again does not
    help.
    """
    stop = time.monotonic() + seconds
    config = platform.config
    # A source may cache a catalog, and this process lives for months.
    source = open_source(config, platform.ledger)
    auxiliary = open_auxiliary(config, platform.ledger)
    remote = [one for one in (source, *auxiliary.values()) if one.remote]
    together = config.imagery.connections if remote else 1

    patches = {patch.key: patch for patch in platform.grid().patches}

    def digest_of(partition: Partition) -> str | None:
        """Return a digest of what the archive has; None where it has nothing."""
        assert partition.patch is not None
        assert partition.year is not None
        try:
            found = platform.search(patches[partition.patch], partition.year, source, auxiliary)
        except NoAcquisitionError:
            return None
        return digest(found.identity)

    order = sorted(
        (Partition(patch, year) for patch in patches for year in years),
        key=lambda partition: (str(partition) <= after, str(partition)),
    )
    new: dict[Partition, str] = {}
    empty: set[Partition] = set()
    last, searched = after, 0
    problem, failed = "", 0
    left = iter(order)
    waiting: deque[tuple[Partition, float, Future[str | None]]] = deque()
    pool = ThreadPoolExecutor(together, thread_name_prefix="search")
    try:
        while True:
            while len(waiting) < together and (searched + len(waiting) == 0 or _now() < stop):
                if (chosen := next(left, None)) is None:
                    break
                waiting.append((chosen, _now(), pool.submit(digest_of, chosen)))
            if not waiting:
                break
            partition, began, future = waiting.popleft()
            searched, last = searched + 1, str(partition)
            try:
                now_there = future.result(max(stop, began + ANSWER) - _now())
            except TransientSourceError as error:
                # The next search begins after it: the problem may be that of one patch.
                problem = str(error)
                break
            except SourceError as error:
                failed += 1
                problem = problem or str(error)
                if failed == len(order):
                    raise
                continue
            except TimeoutError:
                problem = f"{partition}: the archive has not answered for {_now() - began:.0f} s"
                break
            assert partition.year is not None
            recorded = snapshot.recorded("raw_bands", partition.year).get(partition)
            if now_there is None:
                if recorded is None:
                    empty.add(partition)
            elif recorded is None or recorded.given != now_there:
                new[partition] = now_there
    finally:
        # Searches that still run end by their own time-out.
        pool.shutdown(wait=False, cancel_futures=True)
        for one in remote if problem or waiting else ():
            one.stop()
    stopped_at = last if searched < len(order) else ""
    return SearchOutcome(new, frozenset(empty), searched, stopped_at, problem)


def _now() -> float:
    return time.monotonic()
