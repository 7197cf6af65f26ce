"""Failures as they are listed: those that are alike but for the patch's name, once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from lc_platform.artefacts.layout import Partition

PLACES_SHOWN = 5
"""Partitions that are named of failures that are alike."""
_AT = re.compile(r"\d+(\.\d+)?[NS] \d+(\.\d+)?[EW]")
"""Where a patch lies."""


@dataclass
class Alike:
    """Failures of one job or asset in words that differ by the partition's name alone."""

    what: str
    words: str
    """Of the first."""
    places: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """What failed where: of many partitions how many, and the first of them."""
        more = len(self.places) - PLACES_SHOWN
        named = ", ".join(self.places[:PLACES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        count = f", {len(self.places)} partitions:" if len(self.places) > 1 else ""
        return f"{self.what}{count} {named}".rstrip()


def alike(failures: Iterable[tuple[str, Partition, str]]) -> list[Alike]:
    """Failures (job or asset, partition, why) that are alike, in the order of their first."""
    found: dict[tuple[str, str], Alike] = {}
    for what, where, why in failures:
        one = found.setdefault((what, _nameless(why, where)), Alike(what, why))
        one.places.append(str(where))
    return list(found.values())


def _nameless(words: str, where: Partition) -> str:
    """Words without what they call the partition; files, acquisitions and items stay."""
    if where.patch is None:
        return words
    return _AT.sub("#", re.sub(rf"(?<![\w-]){re.escape(where.patch)}(?![\w-])", "#", words))
