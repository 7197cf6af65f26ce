"""Of which patches the archive has what their raw bands lack."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lc_platform.assets.platform import Platform
from lc_platform.partitions import Place
from lc_platform.sources import open_further, open_source
from lc_platform.sources.acquire import NoAcquisitionError, offer
from lc_platform.sources.protocol import SourceError, TransientSourceError
from lc_platform.storage.versions import Look, digest


@dataclass(frozen=True)
class Found:
    """What a look at the archive has found."""

    new: Mapping[Place, str] = field(default_factory=dict)
    """Patch-years whose raw bands are not of what the archive has -> what names that."""
    empty: frozenset[Place] = frozenset()
    """Patch-years that the archive has nothing of yet."""
    asked: int = 0
    """Patch-years that the archive was asked about."""
    stopped_at: str = ""
    """The last of them where time ran out or the archive failed; empty where all were asked."""
    trouble: str = ""
    """Why the archive could not be asked, of one patch or further."""


def ask(
    platform: Platform,
    look: Look,
    years: Sequence[int],
    *,
    after: str = "",
    seconds: float,
) -> Found:
    """Ask the archive about all patches in years, for ``seconds`` and the search that is on then.

    after  where the last time stopped; what comes later is asked first

    Raises SourceError where the archive can not be searched for any patch, and asking again would
    not help.
    """
    stop = time.monotonic() + seconds
    # Opened anew: a source may remember what a catalog said, and this process lives for months.
    source = open_source(platform.config, platform.ledger)
    further = open_further(platform.config, platform.ledger)
    order = sorted(
        ((Place(patch.key, year), patch) for patch in platform.grid().patches for year in years),
        key=lambda pair: (str(pair[0]) <= after, str(pair[0])),
    )
    new: dict[Place, str] = {}
    empty: set[Place] = set()
    last = after
    trouble, failed = "", 0
    for count, (place, patch) in enumerate(order):
        if count and time.monotonic() > stop:
            return Found(new, frozenset(empty), count, last, trouble)
        assert place.year is not None
        had = look.recorded("raw_bands", place.year).get(place)
        try:
            there = digest(offer(source, patch, place.year, platform.config, further).named)
        except NoAcquisitionError:
            if had is None:
                empty.add(place)
        except TransientSourceError as error:
            # The next look begins behind it: one patch's trouble is not that of all others.
            return Found(new, frozenset(empty), count + 1, str(place), str(error))
        except SourceError as error:
            failed += 1
            trouble = trouble or str(error)
            if failed == len(order):
                raise
        else:
            if had is None or had.given != there:
                new[place] = there
        last = str(place)
    return Found(new, frozenset(empty), len(order), trouble=trouble)
