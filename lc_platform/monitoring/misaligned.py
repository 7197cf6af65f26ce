"""Imagery of a year that does not lie where it should."""

from __future__ import annotations

from lc_platform.artefacts.records import WARNINGS
from lc_platform.artefacts.versions import Snapshot
from lc_platform.errors import some

_NAMED = 5
"""Patches of a year that are named for each kind of comparison."""


def misaligned(snapshot: Snapshot, year: int) -> list[str]:
    """Return a line for each kind of comparison in which something lies beyond half a pixel from
    where it should, with the first patch's words; nothing where all is in its place. Only records
    are read."""
    recorded = snapshot.recorded("alignment", year)
    contents = snapshot.records.read("alignment", recorded) if recorded else {}
    found: dict[str, dict[str, str]] = {}
    for where in sorted(contents, key=str):
        for kind, warning in contents[where].get(WARNINGS, {}).items():
            found.setdefault(str(kind), {})[str(where.patch)] = str(warning)
    lines = []
    for _, patches in sorted(found.items()):
        (first, words), *others = patches.items()
        more = ""
        if others:
            names = some([patch for patch, _ in others], _NAMED - 1)
            more = f" (and {len(others)} more of {len(contents)} patches: {names})"
        lines.append(f"patch {first}, {year}{more}: {words}")
    return lines
