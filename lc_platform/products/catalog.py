"""The STAC catalog of a year: what is written of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lc_platform.cube import Summary

CATALOG = "catalog.json"
COLLECTION = "collection.json"
ITEMS = "items.parquet"
"""A collection's items as stac-geoparquet."""
STYLES = "styles"
"""The folder of the styles of the map's classes."""


@dataclass(frozen=True)
class Listed:
    """What there is of a year: the records of its artefacts."""

    identity: str
    """What distinguishes it from another one."""


@dataclass
class Catalog:
    """A year's catalog, to be written."""

    write: Callable[[Path], int]
    """Writes its files into a folder; returns the number of its items."""
    summary: Summary = field(default_factory=Summary)


@dataclass(frozen=True)
class StoredCatalog:
    """A catalog as it is stored."""

    content: Mapping[str, Any]
    """Of its main file."""
    summary: Summary = field(default_factory=Summary)
