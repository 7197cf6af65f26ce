"""Imagery of a year that does not lie where it should."""

from __future__ import annotations

from lc_platform.artefacts.versions import Snapshot
from lc_platform.errors import some
from lc_platform.monitoring.artefact_warnings import by_subject

_NAMED = 5
"""Patches of a year that are named for each kind of comparison."""


def misaligned(snapshot: Snapshot, year: int) -> list[str]:
    """Return a line for each kind of comparison in which something lies beyond half a pixel from
    where it should, with the first patch's words; nothing where all is in its place. Only records
    are read."""
    count = len(snapshot.recorded("alignment", year))
    lines = []
    for patches in by_subject(snapshot, "alignment", year).values():
        (first, words), *others = patches.items()
        more = ""
        if others:
            names = some([patch for patch, _ in others], _NAMED - 1)
            more = f" (and {len(others)} more of {count} patches: {names})"
        lines.append(f"patch {first}, {year}{more}: {words}")
    return lines
