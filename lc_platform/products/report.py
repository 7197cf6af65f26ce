"""The report of a year's map, which can be mailed and printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lc_platform.cube import Summary


@dataclass(frozen=True)
class StoredChange:
    """The change of a year, which is made after the maps of several and told where it is there."""

    version: str
    content: Mapping[str, Any]
    """Of its JSON file."""

    @property
    def identity(self) -> str:
        """What distinguishes it from another one."""
        return self.version


@dataclass(frozen=True)
class Report:
    """One HTML file that needs no other."""

    html: str
    summary: Summary = field(default_factory=Summary)
