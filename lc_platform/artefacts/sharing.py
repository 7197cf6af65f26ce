"""What one store has of an artefact's version, another one need not make."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lc_platform.artefacts.layout import Partition, key
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
        snapshot = look()
        for year in snapshot.years_of(asset, years):
            places = snapshot.places(asset, year)
            recorded = snapshot.recorded(asset, year)
            for source in sources:
                found = source.of_year(asset, year)
                there = source.store.there(key(asset, p.patch, p.year) for p in found)
                for where in places:
                    version = found.get(where)
                    if version is None or where in recorded:
                        continue
                    at = key(asset, where.patch, where.year)
                    if at not in there:
                        continue
                    expected = snapshot.expected(asset, where, version.given)
                    if expected.version == version and _linked(snapshot, source, asset, where):
                        taken[asset] = taken.get(asset, 0) + 1
                recorded = look().recorded(asset, year)
    return taken


def _linked(snapshot: Snapshot, source: Records, asset: str, where: Partition) -> bool:
    """Whether the artefact could be linked: it may be replaced, or taken away, meanwhile."""
    version = source.of(asset, where)
    if version is None:
        return False
    content = source.read(asset, {where: version}).get(where)
    if content is None:
        return False
    own = snapshot.records
    try:
        copies.link(key(asset, where.patch, where.year), source.store, own.store)
    except FileNotFoundError:
        return False
    if source.of(asset, where) != version:
        own.store.remove(key(asset, where.patch, where.year))
        return False
    own.write(asset, where, version, content)
    return True
