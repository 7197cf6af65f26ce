"""From a pixel of the map to the acquisition's own item, in archives of files and in APIs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml

import lc_platform
from lc_platform.acquisition.acquire import acquire
from lc_platform.area.grid import PatchGrid
from lc_platform.area.options import SplitOptions
from lc_platform.area.patches import patches
from lc_platform.artefacts.layout import Partition
from lc_platform.config import FILE_NAME, load
from lc_platform.platform import Platform
from lc_platform.reading.reader import Reader
from lc_platform.sources.stac.hrefs import relative
from lc_platform_tests.graphs import settings
from lc_platform_tests.reading.stores import put
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    GRID,
    band,
    item,
    write_catalog,
    write_tiff,
)
from lc_platform_tests.stac_server import stac_server

YEAR = 2021
BANDS = ["B04", "B08"]
ITEMS = ["S2A_20210310", "S2A_20210620"]


def archive(folder: Path) -> Path:
    """Two days of one tile; returns the path of the catalog."""
    items = []
    for day in (one.removeprefix("S2A_") for one in ITEMS):
        assets = {}
        for name in BANDS:
            write_tiff(folder / day / f"{name}.tif", np.full((8, 8), 500, np.uint16))
            assets[name] = band(f"./{day}/{name}.tif", name)
        write_tiff(folder / day / "SCL.tif", np.full((8, 8), 4, np.uint8))
        assets["SCL"] = {"href": f"./{day}/SCL.tif", "type": "image/tiff"}
        when = f"{day[:4]}-{day[4:6]}-{day[6:]}T10:00:00Z"
        items.append(item(f"S2A_{day}", when, assets, **{"eo:cloud_cover": 3}))
    return write_catalog(folder, items)


def acquired(folder: Path, catalog: str) -> Reader:
    """What is opened of a site whose imagery was acquired from an archive."""
    folder.mkdir()
    classes = [{"id": 1, "name": "land", "color": "#22aa44", "values": [1]}]
    data = settings(
        year=YEAR,
        imagery={"source": "stac", "catalog": catalog, "collection": COLLECTION, "bands": BANDS},
        features={"indices": ["NDVI"]},
        reference={"path": "land.gpkg", "attribute": "kind", "classes": classes},
    )
    middle = GRID[3:5, 3:5].extent.to_crs("EPSG:4326").boundingbox
    data["aoi"] = {"bbox": list(middle.bbox), "crs": "EPSG:32633", "patch_size": 80}
    data["clouds"] = {"method": "scl"}
    (folder / FILE_NAME).write_text(yaml.safe_dump(data), encoding="utf-8")
    platform = Platform(load(folder / FILE_NAME))
    (patch,), _ = patches(SplitOptions.of(platform.config))
    put(platform.store, "patch_grid", Partition(), PatchGrid([patch], {patch.key: True}))
    imagery = acquire(platform.source, platform.search(patch, YEAR))
    put(platform.store, "raw_bands", Partition(patch.key, YEAR), imagery)
    return lc_platform.open(folder)


def own_items(opened: Reader) -> list[str]:
    """Where the items of the imagery's acquisitions lie, as the catalog says."""
    child = opened.to_stac().get_child("raw_bands")
    assert child is not None
    (of_patch,) = child.get_items()
    return [str(link.absolute_href) for link in of_patch.get_links("derived_from")]


def urls(opened: Reader) -> list[str | None]:
    return list(opened.item_links(opened.patches.index[0], YEAR).values())


def test_links_lead_to_the_items_of_a_catalog_of_files(tmp_path: Path) -> None:
    catalog = archive(tmp_path / "archive")
    opened = acquired(tmp_path / "site", "../archive/catalog.json")
    found = own_items(opened)
    assert found == [str(catalog.parent / f"{one}.json") for one in ITEMS]
    assert [json.loads(Path(one).read_text("utf-8"))["id"] for one in found] == ITEMS
    assert urls(opened) == [None, None], "a path of this machine is no link of a page"


def test_links_lead_to_the_items_of_an_archive_of_servers(tmp_path: Path) -> None:
    archive(tmp_path / "archive")
    with stac_server(tmp_path / "archive") as server:
        of_files = acquired(tmp_path / "files", f"{server.files}/catalog.json")
        of_api = acquired(tmp_path / "api", server.api)
        for opened in (of_files, of_api):
            found = own_items(opened)
            assert urls(opened) == found
            assert [requests.get(one, timeout=30).json()["id"] for one in found] == ITEMS
        assert own_items(of_api)[0].startswith(f"{server.api}/collections/sentinel-2-l2a/items/")
        assert own_items(of_files)[0].startswith(f"{server.files}/")


@pytest.mark.parametrize(
    ("href", "document", "expected"),
    [
        ("https://a/b/items/1.json", "https://a/b/catalog.json", "items/1.json"),
        ("https://a/items/1.json", "https://a/b/catalog.json", "../items/1.json"),
        ("https://other/1.json", "https://a/catalog.json", ""),
        ("https://a/1.json?sig=secret", "https://a/catalog.json", ""),
        ("/a/b/1.json", "https://a/catalog.json", ""),
        ("/a/b/1.json", "/a/catalog.json", "b/1.json"),
        (None, "/a/catalog.json", ""),
    ],
)
def test_a_reference_leads_from_a_catalog_to_what_lies_beside_it(
    href: str | None, document: str, expected: str
) -> None:
    assert relative(href, document) == expected
