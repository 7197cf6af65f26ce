"""The addresses of acquisitions' own items in the archives that they came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote, urlsplit

from lc_platform.catalogue import PRESETS
from lc_platform.config import Config

MAIN = ""
"""Stands for the main collection."""


def archives(config: Config | None) -> Mapping[str, str]:
    """Return what the addresses of items begin with, by the name of the auxiliary collection, that
    of the main one under `MAIN`: of those that lie in a STAC API, and whose address cannot tell a
    secret. An item of a static catalog lies where only the catalog says, and has none."""
    if config is None:
        return {}
    imagery = config.imagery
    of = [(MAIN, imagery.source, imagery.catalog, imagery.collection)]
    of += [
        (one.name, imagery.auxiliary_source(one), one.catalog or imagery.catalog, one.collection)
        for one in imagery.also
    ]
    found = {
        name: _items(catalog or "", collection)
        for name, source, catalog, collection in of
        if source == "stac"
    }
    return {name: begins for name, begins in found.items() if begins is not None}


def _items(catalog: str, collection: str) -> str | None:
    address = PRESETS[catalog].url if catalog in PRESETS else catalog
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.path.endswith(".json"):
        return None
    if parts.username or parts.query or "$" in address:
        return None
    return f"{address.rstrip('/')}/collections/{quote(collection, safe='')}/items/"


def item_links(of: Mapping[str, str], items: Iterable[str], collection: str = MAIN) -> list[str]:
    """Return the addresses of an acquisition's items; none where their archive has none.

    of          what `archives` gives
    collection  the name of an auxiliary one
    """
    begins = of.get(collection)
    return [] if begins is None else [begins + _quoted(str(item)) for item in items]


@lru_cache(16384)
def _quoted(item: str) -> str:
    return quote(item, safe="")
