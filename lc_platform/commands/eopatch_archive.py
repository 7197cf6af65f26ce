"""A folder of imagery as a static STAC catalog of Cloud-Optimized GeoTIFFs, as source stac reads
it: a folder for each EOPatch, in it an item and its files for each acquisition."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from lc_platform.commands.eopatch_imagery import (
    CLOUD_MASK,
    CLOUD_PROBABILITY,
    SCENE_CLASSES,
    Acquired,
    no_data,
)
from lc_platform.sources.passes import in_degrees
from lc_platform.stac import extensions
from lc_platform.stac.bands import projection
from lc_platform.stac.footprints import box, footprint
from lc_platform.storage import raster_cube

CATALOG, COLLECTION = "catalog.json", "collection.json"
_ROLES = {
    SCENE_CLASSES: ["data", "classification"],
    # Never averaged on a coarser grid.
    CLOUD_MASK: ["cloud", "classification"],
    CLOUD_PROBABILITY: ["cloud", "classification"],
}


@dataclass
class ImageryArchive:
    """A static catalog with one collection, while it is written.

    A part becomes visible when all of its files are written, the catalog when all parts are.
    """

    folder: Path
    collection: str
    scale: float
    offset: float
    _items: list[str] = field(default_factory=list)
    _times: list[datetime] = field(default_factory=list)
    _ground: list[BaseGeometry] = field(default_factory=list)

    @property
    def catalog(self) -> Path:
        """The file that `imagery.catalog` names."""
        return self.folder / CATALOG

    @property
    def years(self) -> list[int]:
        """Those of its acquisitions."""
        return sorted({when.year for when in self._times})

    def __len__(self) -> int:
        """The number of items."""
        return len(self._items)

    def add(self, name: str, grid: GeoBox, acquisitions: Iterable[Acquired]) -> int:
        """Write the acquisitions of a place; return how many there are.

        name  of the place, which no other has
        """
        ids: list[str] = []
        times: list[datetime] = []
        with _appearing(self.folder / self.collection / name) as folder:
            for one in acquisitions:
                stem = f"{name}_{one.when:%Y%m%dT%H%M%S}"
                own = stem if stem not in ids else f"{stem}_{len(ids)}"
                assets = {
                    band: self._asset(folder, own, band, values, grid)
                    for band, values in one.layers.items()
                }
                item = self._item(own, one, grid, assets)
                _write(folder / f"{own}.json", item)
                ids.append(own)
                times.append(one.when)
        if ids:
            self._items += [f"./{name}/{own}.json" for own in ids]
            self._times += times
            self._ground.append(in_degrees(grid.extent))
        return len(ids)

    def finish(self) -> None:
        """Write the catalog and its collection, by which the items are found."""
        root = f"../{CATALOG}"
        links = [{"rel": rel, "href": root, "type": extensions.JSON} for rel in ("root", "parent")]
        links += [
            {"rel": "item", "href": href, "type": extensions.GEOJSON}
            for href in sorted(self._items)
        ]
        extent = {
            "spatial": {"bbox": [box(self._ground)]},
            "temporal": {"interval": [[_moment(min(self._times)), _moment(max(self._times))]]},
        }
        _write(
            self.folder / self.collection / COLLECTION,
            {
                "type": "Collection",
                "stac_version": extensions.VERSION,
                "id": self.collection,
                "description": "Imagery that was imported from EOPatches of eo-learn.",
                "license": "other",
                "extent": extent,
                "links": links,
            },
        )
        child = f"./{self.collection}/{COLLECTION}"
        _write(
            self.catalog,
            {
                "type": "Catalog",
                "stac_version": extensions.VERSION,
                "id": "eopatches",
                "description": "Imagery that was imported from EOPatches of eo-learn.",
                "links": [
                    {"rel": "root", "href": f"./{CATALOG}", "type": extensions.JSON},
                    {"rel": "child", "href": child, "type": extensions.JSON},
                ],
            },
        )

    def _asset(
        self, folder: Path, item: str, band: str, values: NDArray[Any], grid: GeoBox
    ) -> dict[str, Any]:
        """Write a band; return what is said of it."""
        file, dtype = f"{item}_{band}.tif", str(values.dtype)
        none = 0 if band == SCENE_CLASSES else no_data(values.dtype)
        with raster_cube.tiled(folder / file, grid, [band], dtype, none) as draft:
            draft.write(values, (slice(0, values.shape[0]), slice(0, values.shape[1])))
        about: dict[str, Any] = {
            "name": band,
            "data_type": dtype,
            "nodata": "nan" if np.isnan(none) else none,
        }
        if band not in _ROLES:
            about |= {"raster:scale": self.scale, "raster:offset": self.offset}
            if band in extensions.COMMON_NAMES:
                about["eo:common_name"] = extensions.COMMON_NAMES[band]
        return {
            "href": f"./{file}",
            "type": extensions.media_type(file),
            "roles": _ROLES.get(band, ["data", "reflectance"]),
            "bands": [about],
        }

    def _item(
        self, own: str, acquired: Acquired, grid: GeoBox, assets: Mapping[str, Any]
    ) -> dict[str, Any]:
        ground = in_degrees(grid.extent)
        properties: dict[str, Any] = {
            "datetime": _moment(acquired.when),
            **projection(grid),
        }
        if self.collection.startswith("sentinel-2"):
            properties["constellation"] = "sentinel-2"
        if acquired.cloud_cover is not None:
            properties["eo:cloud_cover"] = acquired.cloud_cover
        collection = f"../{COLLECTION}"
        item: dict[str, Any] = {
            "type": "Feature",
            "stac_version": extensions.VERSION,
            "stac_extensions": [],
            "id": own,
            "collection": self.collection,
            "geometry": footprint(ground),
            "bbox": box(shapely.get_parts(ground).tolist()),
            "properties": properties,
            "assets": dict(assets),
            "links": [
                {"rel": "root", "href": f"../../{CATALOG}", "type": extensions.JSON},
                {"rel": "parent", "href": collection, "type": extensions.JSON},
                {"rel": "collection", "href": collection, "type": extensions.JSON},
            ],
        }
        item["stac_extensions"] = extensions.used_by(item)
        return item


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder to write in, which takes the place of one before it at the end of the block, and is
    removed if that does not come."""
    staged = folder.with_name(f".{folder.name}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        yield staged
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
