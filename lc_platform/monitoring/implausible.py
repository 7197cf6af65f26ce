"""Acquisitions whose values cannot be, over all patches of a year."""

from __future__ import annotations

from lc_platform.artefacts.records import WARNINGS
from lc_platform.artefacts.versions import Snapshot

_NAMED = 10
"""Acquisitions of a year that are named."""
_ADVICE = (
    "A scale or an offset seems to be taken out twice, or not to be that of these files. Look at "
    "what the archive's items tell, and leave such acquisitions out by imagery.exclude: [{keys}]"
)


def implausible(look: Snapshot, year: int) -> list[str]:
    """What to say of a year's raw bands, a line an acquisition and one of advice; nothing where
    all values can be. By what their records tell, so that no imagery is read."""
    recorded = look.recorded("raw_bands", year)
    contents = look.records.read("raw_bands", recorded) if recorded else {}
    found: dict[str, dict[str, str]] = {}
    for where in sorted(contents, key=str):
        for key, words in contents[where].get(WARNINGS, {}).items():
            found.setdefault(str(key), {})[str(where.patch)] = str(words)
    lines = []
    for key, patches in sorted(found.items())[:_NAMED]:
        first = next(iter(patches))
        more = f" and {len(patches) - 1} more patches" if len(patches) > 1 else ""
        lines.append(
            f"acquisition {key}: reflectance that cannot be: {patches[first]} of {first}{more}"
        )
    if len(found) > _NAMED:
        lines.append(f"and {len(found) - _NAMED} more acquisitions of {year}")
    if lines:
        keys = ", ".join(sorted(found)[:_NAMED])
        lines.append(_ADVICE.format(keys=keys + (", ..." if len(found) > _NAMED else "")))
    return lines
