"""The addresses of acquisitions' own items in the archives that they came from."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

from lc_platform.catalogue import PRESETS
from lc_platform.config import Config, ConfigError

MAIN = ""
"""Stands for the main collection."""


@dataclass(frozen=True)
class ArchiveItems:
    """Where the items of archives lie: of those whose address cannot tell a secret."""

    apis: Mapping[str, str] = field(default_factory=dict)
    """What the addresses of a STAC API's items begin with, by the name of the auxiliary collection,
    that of the main one under `MAIN`."""
    catalogs: Mapping[str, str] = field(default_factory=dict)
    """The URLs or paths of static catalogs, likewise: of an item its acquisition says by which
    reference the catalog leads to it."""

    @classmethod
    def of(cls, config: Config | None) -> Self:
        """Return where those of a configuration lie; nothing is known without one."""
        apis: dict[str, str] = {}
        catalogs: dict[str, str] = {}
        for name, catalog, collection in () if config is None else _of_stac(config):
            address = PRESETS[catalog].url if catalog in PRESETS else catalog
            if not address.endswith(".json"):
                if _is_told(address):
                    address = address.rstrip("/")
                    apis[name] = f"{address}/collections/{quote(collection, safe='')}/items/"
            elif "://" not in address or _is_told(address):
                assert config is not None
                try:
                    catalogs[name] = config.located(address, "imagery.catalog")
                except ConfigError:  # a variable that only those who acquire have
                    continue
        return cls(apis, catalogs)

    def links(
        self, items: Sequence[str], addresses: Sequence[str] = (), collection: str = MAIN
    ) -> list[str | None]:
        """Return the address of each of an acquisition's items; None of those that have none.

        addresses   as the acquisition says them, where it says any
        collection  the name of an auxiliary one
        """
        if (begins := self.apis.get(collection)) is not None:
            return [begins + _quoted(str(item)) for item in items]
        root = self.catalogs.get(collection)
        if root is None or len(addresses) != len(items):
            return [None] * len(items)
        return [_from(root, address) if address else None for address in addresses]


def _of_stac(config: Config) -> Iterator[tuple[str, str, str]]:
    imagery = config.imagery
    if imagery.source == "stac":
        yield MAIN, imagery.catalog or "", imagery.collection
    for one in imagery.also:
        if imagery.auxiliary_source(one) == "stac":
            yield one.name, one.catalog or imagery.catalog or "", one.collection


def _is_told(address: str) -> bool:
    parts = urlsplit(address)
    known = parts.scheme in ("http", "https") and "$" not in address
    return known and not parts.username and not parts.query


def _from(root: str, address: str) -> str:
    if "://" in root:
        return urljoin(root, quote(address))
    return posixpath.normpath(posixpath.join(posixpath.dirname(root), address))


@lru_cache(16384)
def _quoted(item: str) -> str:
    return quote(item, safe="")
