"""Lists of failures: those that differ only in the patch's name are listed once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from lc_platform.artefacts.layout import Partition
from lc_platform.errors import some

PARTITIONS_SHOWN = 5
"""Partitions that are named of similar failures."""
_AT = re.compile(r"\d+(\.\d+)?[NS] \d+(\.\d+)?[EW]")
"""A patch's position."""


@dataclass
class SimilarFailures:
    """Failures of one job or asset whose reasons differ only in the partition's name."""

    name: str
    """The job or the asset."""
    reason: str
    """The reason of the first."""
    partitions: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the name, the number of partitions and the first of them."""
        named = some(self.partitions, PARTITIONS_SHOWN)
        count = f", {len(self.partitions)} partitions:" if len(self.partitions) > 1 else ""
        return f"{self.name}{count} {named}".rstrip()


def grouped(failures: Iterable[tuple[str, Partition, str]]) -> list[SimilarFailures]:
    """Group failures (job or asset, partition, reason) that are similar, in order."""
    found: dict[tuple[str, str], SimilarFailures] = {}
    for name, where, reason in failures:
        key = name, _without_name(reason, where)
        one = found.setdefault(key, SimilarFailures(name, reason))
        one.partitions.append(str(where))
    return list(found.values())


def _without_name(reason: str, where: Partition) -> str:
    """Return a reason without the partition's name; files, acquisitions and items stay."""
    if where.patch is None:
        return reason
    return _AT.sub("#", re.sub(rf"(?<![\w-]){re.escape(where.patch)}(?![\w-])", "#", reason))
