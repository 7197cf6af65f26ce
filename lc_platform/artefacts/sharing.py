"""What one store has of an artefact's version, another one need not make."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from lc_platform.artefacts.layout import key
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.versions import Snapshot
from lc_platform.storage import copies


def take_over(
    look: Callable[[], Snapshot],
    sources: Sequence[Records],
    assets: Sequence[str],
    years: Sequence[int],
) -> dict[str, int]:
    """Link into a store what other stores have of the very versions that it is to have.

    look     gives the present state of the store, whose patch grid is there
    sources  records of other folders, the first that has a version gives it
    assets   in the order of the work: what is taken over counts for what is made of it
    Returns how many artefacts of each asset were taken over.
    """
    taken: dict[str, int] = {}
    for asset in assets:
        for source in sources:
            snapshot = look()
            for year in snapshot.years_of(asset, years):
                if count := _take_over(snapshot, source, asset, year):
                    taken[asset] = taken.get(asset, 0) + count
    return taken


def _take_over(snapshot: Snapshot, source: Records, asset: str, year: int | None) -> int:
    """Link an asset's artefacts of a year; returns how many."""
    own, here = snapshot.records, snapshot.recorded(asset, year)
    found = source.of_year(asset, year)
    wanted = {
        where: version
        for where in snapshot.places(asset, year)
        if where not in here
        and (version := found.get(where)) is not None
        and snapshot.expected(asset, where, version.given).version == version
    }
    contents = source.read(asset, wanted)
    linked = []
    for where in contents:
        # It may be replaced, or taken away, meanwhile.
        with contextlib.suppress(FileNotFoundError):
            copies.link(key(asset, where.patch, where.year), source.store, own.store)
            linked.append(where)
    now = source.of_year(asset, year) if linked else {}
    kept = [where for where in linked if now.get(where) == wanted[where]]
    for where in set(linked).difference(kept):
        own.store.remove(key(asset, where.patch, where.year))
    for where in kept:
        own.write(asset, where, wanted[where], contents[where])
    return len(kept)
