"""What there is as a catalog of pystac, whose documents are made when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pystac
from pystac.stac_io import DefaultStacIO

from lc_platform.area.grid import PatchGrid
from lc_platform.products.catalog import CATALOG
from lc_platform.products.catalog_options import CatalogOptions
from lc_platform.stac.documents import Documents
from lc_platform.stac.inventory import Inventory
from lc_platform.storage.store import Store

ROOT = "catalog"
"""The folder that a catalog of all years would lie in."""


class _Made(DefaultStacIO):
    """Gives the documents of a catalog that lies nowhere, and reads all others."""

    def __init__(self, documents: Documents, store: Store) -> None:
        super().__init__()
        self._documents = documents
        self._base = f"{address(store)}/"

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        href = str(getattr(source, "absolute_href", None) or getattr(source, "href", source))
        if href.startswith(self._base):
            document = self._documents.document(href.removeprefix(self._base))
            if document is not None:
                return json.dumps(document)
        text: str = super().read_text(source, *args, **kwargs)
        return text


def address(store: Store) -> str:
    """Return where a store lies, as other programs open it."""
    return str(Path(store.base).absolute()) if store.local else str(store).rstrip("/")


def catalog(
    store: Store, grid: PatchGrid, years: list[int], options: CatalogOptions
) -> pystac.Catalog:
    """Return what there is of some years as it is now: collections and items are described when
    they are read, and the catalog can be written elsewhere by pystac.

    Raises UnavailableError where the store cannot be reached.
    """
    documents = Documents(Inventory(store, grid, years), options, ROOT)
    href = f"{address(store)}/{ROOT}/{CATALOG}"
    found = pystac.Catalog.from_dict(documents.of_all(), href=href)
    found._stac_io = _Made(documents, store)
    found.set_root(found)
    return found
