"""A patch's year that is acquired from Sentinel Hub into a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.artefacts.layout import Partition
from lc_platform.artefacts.versions import Version
from lc_platform.products.options import AcquisitionOptions
from lc_platform_tests.storage.growing import YEAR, Site

SEED = 11
IMAGERY = {"source": "sentinel_hub", "max_cloud_cover": 12, "connections": 1, "retries": 2}
REFERENCE = {
    "path": "reference.gpkg",
    "attribute": "class",
    "classes": [{"id": 1, "name": "land", "color": "#00ff00"}],
}


def site(folder: Path, **imagery: Any) -> Site:
    return Site.at(folder, {"reference": REFERENCE}, **IMAGERY | imagery)


def made(of: Site) -> dict[str, Any]:
    """Materialize a patch's year with a connection of its own; returns its summary's facts."""
    platform, patch = of.platform, of.patch
    where = Partition(patch.key, YEAR)
    offered = search_acquisitions(platform.source, patch, YEAR, AcquisitionOptions.of(of.config))
    cube = acquire(platform.source, offered, platform.reusable(*where))
    with platform.versions.records.changing("raw_bands", where):
        of.formats["raw_bands"].write(platform.store, of.key, cube)
    platform.versions.records.write("raw_bands", where, Version("made", "given", "look"), {})
    return cube.summary.facts
