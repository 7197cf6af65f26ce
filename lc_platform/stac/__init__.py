"""The store as a STAC catalog: what there is, as items, collections and a catalog of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lc_platform.products.catalog import Catalog
from lc_platform.products.catalog_options import CatalogOptions

if TYPE_CHECKING:
    from lc_platform.area.grid import PatchGrid
    from lc_platform.storage.store import Store


def of_year(store: Store, grid: PatchGrid, year: int, options: CatalogOptions) -> Catalog:
    """Return the catalog of what there is of a year, to be written.

    Raises UnavailableError where the store cannot be reached.
    """
    from lc_platform.artefacts.layout import key
    from lc_platform.stac.documents import Documents
    from lc_platform.stac.inventory import Inventory

    documents = Documents(Inventory(store, grid, [year]), options, key("catalog", year=year))
    return Catalog(documents.write)
