"""Acquisitions of a year in which the sun cast no shadow that could be looked for."""

from __future__ import annotations

from lc_platform.artefacts.versions import Snapshot
from lc_platform.monitoring.artefact_warnings import by_subject, first_of

_NAMED = 10
"""Acquisitions of a year that get a line."""


def sunless(snapshot: Snapshot, year: int) -> list[str]:
    """Return a line for each acquisition of a year whose sun is said to have stood below the
    horizon, with what to do; nothing where there is none. Only records are read."""
    found = by_subject(snapshot, "cloud_masks", year)
    lines = []
    for key, patches in list(found.items())[:_NAMED]:
        words = next(iter(patches.values()))
        lines.append(f"acquisition {key} on {first_of(patches)}: {words}")
    if len(found) > _NAMED:
        lines.append(f"and {len(found) - _NAMED} more acquisitions of {year}")
    return lines
