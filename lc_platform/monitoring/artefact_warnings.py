"""What artefacts say of themselves that a person should look at."""

from __future__ import annotations

from collections.abc import Collection

from lc_platform.artefacts.records import WARNINGS
from lc_platform.artefacts.versions import Snapshot


def by_subject(snapshot: Snapshot, asset: str, year: int) -> dict[str, dict[str, str]]:
    """Return the sentences of a year's artefacts, by what they are about and by patch, both in
    order. Only records are read."""
    recorded = snapshot.recorded(asset, year)
    contents = snapshot.records.read(asset, recorded) if recorded else {}
    found: dict[str, dict[str, str]] = {}
    for where in sorted(contents, key=str):
        for subject, warning in contents[where].get(WARNINGS, {}).items():
            found.setdefault(str(subject), {})[str(where.patch)] = str(warning)
    return dict(sorted(found.items()))


def first_of(patches: Collection[str]) -> str:
    """Return the first of some patches in words, and how many more there are."""
    more = len(patches) - 1
    patch = next(iter(patches))
    return f"{patch} and {more} more {'patches' if more > 1 else 'patch'}" if more else patch
