"""Acquisitions of a year with values that no surface has."""

from __future__ import annotations

from lc_platform.artefacts.records import WARNINGS
from lc_platform.artefacts.versions import Snapshot

_NAMED = 10
"""Acquisitions of a year that get a line."""
_ADVICE = (
    "A scale or an offset seems to have been applied twice, or not to belong to these files. Look "
    "at the archive's items, and leave such acquisitions out by imagery.exclude: [{keys}]"
)


def implausible(snapshot: Snapshot, year: int) -> list[str]:
    """Return a line for each acquisition of a year with impossible reflectance, and one of advice;
    nothing where there is none. Only records are read, no imagery."""
    recorded = snapshot.recorded("raw_bands", year)
    contents = snapshot.records.read("raw_bands", recorded) if recorded else {}
    found: dict[str, dict[str, str]] = {}
    for where in sorted(contents, key=str):
        for key, warning in contents[where].get(WARNINGS, {}).items():
            found.setdefault(str(key), {})[str(where.patch)] = str(warning)
    lines = []
    for key, patches in sorted(found.items())[:_NAMED]:
        first = next(iter(patches))
        more = f" and {len(patches) - 1} more patches" if len(patches) > 1 else ""
        lines.append(
            f"acquisition {key}: impossible reflectance: {patches[first]} of {first}{more}"
        )
    if len(found) > _NAMED:
        lines.append(f"and {len(found) - _NAMED} more acquisitions of {year}")
    if lines:
        keys = ", ".join(sorted(found)[:_NAMED])
        lines.append(_ADVICE.format(keys=keys + (", ..." if len(found) > _NAMED else "")))
    return lines
