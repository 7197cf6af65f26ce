"""All documents of a catalog: of one year, as the asset writes it, or of all that there is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from lc_platform.artefacts.layout import Partition
from lc_platform.products.catalog import CATALOG, COLLECTION, ITEMS, STYLES
from lc_platform.products.catalog_options import CatalogOptions
from lc_platform.products.map_styles import qml, sld
from lc_platform.products.mosaic import STYLE_OGC, STYLE_QGIS
from lc_platform.stac import extensions
from lc_platform.stac.described import COLLECTIONS
from lc_platform.stac.encoding import encoded
from lc_platform.stac.footprints import box
from lc_platform.stac.geoparquet import Table
from lc_platform.stac.inventory import Inventory
from lc_platform.stac.items import Items, moment, name

_MAPS = ("predictions", "held_out_predictions", "mosaic")
"""Collections whose classes the styles are of."""


class Documents:
    """The catalog of what there is of some years.

    root  its folder, a path in the store
    """

    def __init__(self, inventory: Inventory, options: CatalogOptions, root: str) -> None:
        self.inventory = inventory
        self.options = options
        self.root = root
        self.items = Items(inventory, options, root)

    @cached_property
    def assets(self) -> list[str]:
        """Those that there is anything of, in the order of the work."""
        return [asset for asset in COLLECTIONS if self.inventory.partitions(asset)]

    def of_all(self) -> dict[str, Any]:
        """Return the catalog's own document."""
        name = self.options.name or "Land cover"
        years = ", ".join(map(str, self.inventory.years))
        child = [
            {
                "rel": "child",
                "href": f"./{asset}/{COLLECTION}",
                "type": extensions.JSON,
                "title": COLLECTIONS[asset].title,
            }
            for asset in self.assets
        ]
        missing = {asset: gone for asset in self.assets if (gone := self.inventory.missing(asset))}
        return {
            "type": "Catalog",
            "stac_version": extensions.VERSION,
            "id": "-".join([extensions.slug(name) or "land-cover", *_years(self.inventory.years)]),
            "title": f"{name} {years}",
            "description": f"What was made of the land cover of {years}, from the imagery to the "
            f"map: {len(self.inventory.patches)} patches.",
            "lc_platform:years": self.inventory.years,
            "lc_platform:patches": len(self.inventory.patches),
            "lc_platform:missing": {asset: len(gone) for asset, gone in missing.items()},
            "links": [
                {"rel": "root", "href": f"./{CATALOG}", "type": extensions.JSON},
                *child,
            ],
        }

    def collection(self, asset: str) -> dict[str, Any]:
        """Return the document of an asset's collection, of its items as they are described by the
        first of them."""
        places = self.inventory.partitions(asset)
        first = self.items.item(asset, next(iter(places)))
        return self._collection(asset, first, self._summaries(asset, first))

    def _summaries(self, asset: str, first: Mapping[str, Any]) -> dict[str, list[Any]]:
        years = {one.year for one in self.inventory.partitions(asset)} - {None}
        found: dict[str, list[Any]] = {}
        if "proj:code" in first["properties"]:
            patches = {one.patch for one in self.inventory.partitions(asset)} - {None}
            codes = {self.inventory.patches[str(patch)].crs for patch in patches}
            codes = codes or {first["properties"]["proj:code"]}
            found["proj:code"] = sorted(code for code in codes if code)
        if years:
            found["lc_platform:year"] = sorted(years)
        return {name: values for name, values in found.items() if values}

    def _collection(
        self, asset: str, first: Mapping[str, Any], summaries: Mapping[str, Any]
    ) -> dict[str, Any]:
        described, places = COLLECTIONS[asset], self.inventory.partitions(asset)
        folder = f"{self.root}/{asset}"
        patches = {str(one.patch) for one in places if one.patch is not None}
        ground = [self.inventory.outlines[patch] for patch in patches or self.inventory.patches]
        times = [self.items.times(asset, one.year) for one in places]
        start, end = min(one for one, _ in times), max(one for _, one in times)
        item_assets = {
            key: {f: v for f, v in one.items() if f != "href" and not f.startswith("file:")}
            for key, one in first["assets"].items()
        }
        to = self.items.link
        items = [
            {
                "rel": "item",
                "href": to(folder, self.items.folder(asset, one.year), f"{name(asset, one)}.json"),
                "type": extensions.GEOJSON,
            }
            for one in places
        ]
        found: dict[str, Any] = {
            "type": "Collection",
            "stac_version": extensions.VERSION,
            "stac_extensions": [],
            "id": asset,
            "title": described.title,
            "description": described.description,
            "license": "other",
            "extent": {
                "spatial": {"bbox": [box(ground)]},
                "temporal": {"interval": [[moment(start), moment(end)]]},
            },
            "summaries": dict(summaries),
            "item_assets": item_assets,
            "lc_platform:missing": list(self.inventory.missing(asset)),
            "links": [
                {"rel": "root", "href": to(folder, self.root, CATALOG), "type": extensions.JSON},
                {"rel": "parent", "href": to(folder, self.root, CATALOG), "type": extensions.JSON},
                *items,
            ],
            "assets": {},
        }
        found["stac_extensions"] = extensions.used_by(found)
        return found

    def write(self, folder: Path) -> int:
        """Write all documents into a folder, which is to be the catalog's; return how many items
        there are. Items are written while they are made."""
        count = 0
        for asset in self.assets:
            with Table() as table:
                self._write_collection(folder, asset, table)
                count += len(table)
        if self.options.classes:
            (folder / STYLES).mkdir()
            classes = self.options.classes
            (folder / STYLES / STYLE_QGIS).write_text(qml(classes), encoding="utf-8")
            (folder / STYLES / STYLE_OGC).write_text(sld(classes), encoding="utf-8")
        _write(folder / CATALOG, self.of_all())
        return count

    def _write_collection(self, folder: Path, asset: str, table: Table) -> None:
        (folder / asset).mkdir()
        first = None
        for path, item in self.items.of(asset):
            first = first or item
            _put(f"{folder}{path[len(self.root) :]}", encoded(item).encode())
            table.add(item)
        assert first is not None
        collection = self._collection(asset, first, self._summaries(asset, first))
        collection["assets"] = {
            PARQUET: {
                "href": f"./{ITEMS}",
                "type": extensions.PARQUET,
                "title": "The items as stac-geoparquet",
                "roles": ["collection-mirror"],
            },
            **(self._styles() if asset in _MAPS else {}),
        }
        table.write(folder / asset / ITEMS, collection)
        _write(folder / asset / COLLECTION, collection)

    def _styles(self) -> dict[str, Any]:
        """The assets that show the map's classes, by which a map is coloured in other programs."""
        files = (STYLE_QGIS, STYLE_OGC) if self.options.classes else ()
        return {
            f"style_{file[-3:]}": {
                "href": f"../{STYLES}/{file}",
                "type": extensions.media_type(file),
                "roles": ["style"],
            }
            for file in files
        }

    def document(self, path: str) -> dict[str, Any] | None:
        """Return the document at a path of the store; None where there is none."""
        if path == f"{self.root}/{CATALOG}":
            return self.of_all()
        if path in self._collections:
            return self.collection(self._collections[path])
        found = self._paths.get(path)
        return None if found is None else self.items.item(*found)

    @cached_property
    def _collections(self) -> Mapping[str, str]:
        return {f"{self.root}/{asset}/{COLLECTION}": asset for asset in self.assets}

    @cached_property
    def _paths(self) -> Mapping[str, tuple[str, Partition]]:
        return {
            self.items.path(asset, where): (asset, where)
            for asset in self.assets
            for where in self.inventory.partitions(asset)
        }


PARQUET = "geoparquet-items"
"""What the items' table is called in its collection."""


def _years(years: list[int]) -> list[str]:
    return [str(year) for year in dict.fromkeys((years[0], years[-1]))]


def _put(path: str, content: bytes) -> None:
    """Write a new file: of tens of thousands, Python's file objects take their time."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        while content:
            content = content[os.write(file, content) :]
    finally:
        os.close(file)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
