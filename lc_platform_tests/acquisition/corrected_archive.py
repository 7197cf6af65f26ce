"""An archive whose items are corrected after they were acquired."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lc_platform.acquisition.acquire import acquire
from lc_platform.artefacts.layout import Partition
from lc_platform.artefacts.records import Version
from lc_platform.artefacts.versions import digest
from lc_platform.cube import Summary
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    band,
    item,
    write_catalog,
    write_tiff,
)
from lc_platform_tests.stac_server import StacServer
from lc_platform_tests.storage.growing import YEAR, Site

SIDE = 16
NUMBERS = {"B03": 1100, "B04": 1500, "B08": 4500}
FILES = (*NUMBERS, "SCL")
DAYS = (f"{YEAR}-03-01", f"{YEAR}-06-01")
LATER = f"{YEAR + 1}-02-01T00:00:00Z"
SECTIONS: dict[str, Any] = {
    "aoi": {
        "bbox": [15.6, 46.9, 15.6001, 46.9001],
        "crs": "EPSG:32633",
        "patch_size": 10 * SIDE,
    },
    "clouds": {"method": "scl"},
    "features": {"indices": ["NDVI"]},
    "reference": {
        "path": "reference.gpkg",
        "attribute": "kind",
        "classes": [{"id": 1, "name": "land", "color": "#00ff00"}],
    },
}


@dataclass
class Archive:
    """Two acquisitions of one granule in a folder, and what is acquired of them beside it."""

    folder: Path
    server: StacServer | None = None
    """Over which it is reached, where not by its path."""
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)
    """Of what was made last."""

    def __post_init__(self) -> None:
        box = self.site.patch.geobox.footprint("EPSG:4326", buffer=200).geom
        for day in DAYS:
            for name in FILES:
                self.write(day, name, NUMBERS.get(name, 4))
            bands = {name: band(f"./{day}/{name}.tif", name) for name in NUMBERS}
            bands["SCL"] = {"href": f"./{day}/SCL.tif", "type": "image/tiff"}
            told = {"s2:processing_baseline": "05.09", "updated": f"{day}T20:00:00Z"}
            when = f"{day}T10:00:00Z"
            self.items[day] = item(f"S2A_{day}", when, bands, box.__geo_interface__, **told)
        self.publish()

    @cached_property
    def site(self) -> Site:
        path = str(self.folder / "archive" / "catalog.json")
        catalog = path if self.server is None else self.server.api
        imagery = {"source": "stac", "catalog": catalog, "collection": COLLECTION}
        return Site.at(self.folder, SECTIONS, bands=[*NUMBERS], **imagery)

    def write(self, day: str, name: str, numbers: Any) -> None:
        """Put a file in the place of the one there."""
        left, _, _, top = self.site.patch.geobox.boundingbox
        dtype = np.uint8 if name == "SCL" else np.uint16
        values = np.broadcast_to(np.asarray(numbers, dtype), (SIDE, SIDE))
        path = self.folder / "archive" / day / f"{name}.tif"
        write_tiff(path, values, origin=(left, top))

    def publish(self) -> None:
        write_catalog(self.folder / "archive", list(self.items.values()))
        if self.server is not None:
            self.server.__dict__.pop("items", None)  # it remembers them

    def tell(self, day: str, *bands: str, **raster: Any) -> None:
        """Say something else of bands in the item."""
        for name in bands:
            self.items[day]["assets"][name]["raster:bands"][0] |= raster
        self.publish()

    def update(self, day: str, **properties: Any) -> None:
        """Say something else of the item."""
        self.items[day]["properties"] |= {"updated": LATER} | properties
        self.publish()

    def run(self) -> dict[str, Any] | None:
        """Make the patch's raw bands, as a new process does: what they say of themselves. None
        where there is nothing to make."""
        platform, where = self.site.platform, Partition(self.site.patch.key, YEAR)
        offered = platform.search(self.site.patch, YEAR)
        records, version = platform.versions.records, Version("m", digest(offered.identity), "l")
        if records.of("raw_bands", where) == version:
            return None
        cube = acquire(platform.source, offered, platform.reusable(*where))
        with records.changing("raw_bands", where):
            self.site.formats["raw_bands"].write(platform.store, self.site.key, cube)
        records.write("raw_bands", where, version, {})
        self.summary = cube.summary
        return cube.summary.facts

    def ran(self) -> Summary:
        """What the raw bands say of themselves once they are made anew."""
        assert self.run() is not None
        return self.summary

    @property
    def stack(self) -> AcquisitionStack:
        return self.site.stack()

    def reflectance(self, name: str) -> list[float]:
        """Of a band, at each date."""
        values = self.stack.reflectance(bands=[name])[:, 0]
        return [round(float(value), 4) for value in values[:, 5, 5]]
