"""Imagery of a year that does not lie where it should."""

from __future__ import annotations

from lc_platform.artefacts.versions import Snapshot
from lc_platform.errors import once
from lc_platform.monitoring.artefact_warnings import by_subject


def misaligned(snapshot: Snapshot, year: int) -> list[str]:
    """Return a line for each kind of comparison in which something lies beyond half a pixel from
    where it should, with the first patch's words; nothing where all is in its place. Only records
    are read."""
    count = len(snapshot.recorded("alignment", year))
    found = by_subject(snapshot, "alignment", year)
    return [f"{year}, patch {once(said, 'patches', count)}" for said in found.values()]
