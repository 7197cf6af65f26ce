"""Acquisitions of a year with values that no surface has."""

from __future__ import annotations

from lc_platform.artefacts.versions import Snapshot
from lc_platform.monitoring.artefact_warnings import by_subject, first_of

_NAMED = 10
"""Acquisitions of a year that get a line."""
_ADVICE = (
    "A scale or an offset seems to have been applied twice, or not to belong to these files. Look "
    "at the archive's items, and leave such acquisitions out by imagery.exclude: [{keys}]"
)


def implausible(snapshot: Snapshot, year: int) -> list[str]:
    """Return a line for each acquisition of a year with impossible reflectance, and one of advice;
    nothing where there is none. Only records are read, no imagery."""
    found = by_subject(snapshot, "raw_bands", year)
    lines = []
    for key, patches in list(found.items())[:_NAMED]:
        words = next(iter(patches.values()))
        lines.append(f"acquisition {key}: impossible reflectance: {words} of {first_of(patches)}")
    if len(found) > _NAMED:
        lines.append(f"and {len(found) - _NAMED} more acquisitions of {year}")
    if lines:
        keys = ", ".join(list(found)[:_NAMED])
        lines.append(_ADVICE.format(keys=keys + (", ..." if len(found) > _NAMED else "")))
    return lines
