"""What there is as a STAC catalog: its documents, where they lead, and what bad stores say."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import uuid
import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import odc.stac
import pyarrow.parquet as pq
import pystac
import pystac_client
import pytest
import rasterio
import shapely
import xarray as xr

import lc_platform
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import Partition, key
from lc_platform.artefacts.records import Records
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.reading.errors import NotFoundError
from lc_platform.reading.reader import Reader
from lc_platform.stac import imagery
from lc_platform.stac.imagery import ImageryDriver
from lc_platform.storage import listing
from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ZarrCube
from lc_platform_tests.stac import catalogs
from lc_platform_tests.stac.catalogs import ARCHIVE, YEAR
from lc_platform_tests.stac.extension_fields import problems

LEVELS = ["patch_grid", "raw_bands", "predictions", "mosaic"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A folder with two of three patches, and the year's catalog."""
    found = Store(str(tmp_path_factory.mktemp("listed")))
    catalogs.write(found, catalogs.make(found))
    return found


@pytest.fixture(scope="module")
def folder(store: Store) -> Path:
    return Path(store.path(key("catalog", year=YEAR)))


@pytest.fixture(scope="module")
def documents(folder: Path) -> dict[str, dict[str, Any]]:
    return catalogs.documents(folder)


@pytest.fixture
def catalog(folder: Path) -> pystac.Catalog:
    return pystac.Catalog.from_file(folder / "catalog.json")


@pytest.fixture
def copied(store: Store, tmp_path: Path) -> Store:
    """The same store, to be changed."""
    shutil.copytree(store.base, tmp_path / "copied", symlinks=True)
    return Store(str(tmp_path / "copied"))


def only(catalog: pystac.Catalog, collection: str) -> pystac.Item:
    child = catalog.get_child(collection)
    assert child is not None
    return next(child.get_items())


def hrefs(item: pystac.Item, rel: str) -> list[str]:
    return [str(link.absolute_href) for link in item.get_links(rel)]


def test_the_catalog_is_valid_by_pystacs_own_validator(catalog: pystac.Catalog) -> None:
    # Of the grid 1 item, of imagery and predictions 2 each, of the map 1.
    assert catalogs.validate(catalog) == 1 + 2 + 2 + 1


# The required fields of each extension, from the tables of their README at the version named.
def test_items_have_the_fields_that_their_extensions_require(
    documents: dict[str, dict[str, Any]],
) -> None:
    prefixes = {
        "proj": "projection/v2.0.0", "raster": "raster/v2.0.0", "eo": "eo/v2.0.0",
        "classification": "classification/v2.0.0", "file": "file/v2.1.0",
        "processing": "processing/v1.2.0",
    }  # fmt: skip
    of_items = {path: one for path, one in documents.items() if one["type"] == "Feature"}
    assert len(of_items) == 6
    for one in of_items.values():
        home = "https://stac-extensions.github.io/"
        named = [address.removeprefix(home) for address in one["stac_extensions"]]
        text = json.dumps(one)
        used = {extension for prefix, extension in prefixes.items() if f'"{prefix}:' in text}
        assert set(named) == {f"{u}/schema.json" for u in {*used, "version/v1.2.0"}}
        assert isinstance(one["properties"]["version"], str)
        assert one["properties"]["processing:lineage"]
        for asset in one["assets"].values():
            assert isinstance(asset.get("file:size", 0), int)
    for path in ("mosaic/mosaic-2018.json", "predictions/33N-r0-c0-2018.json"):
        properties = of_items[path]["properties"]
        assert properties["proj:code"] == "EPSG:32633"
        assert properties["proj:shape"] == [32, 96 if "mosaic" in path else 32]
        assert properties["proj:transform"] == [10.0, 0.0, 5e5, 0.0, -10.0, 5e6]


def test_fields_of_extensions_stand_where_they_may_and_have_values_that_they_take(
    documents: dict[str, dict[str, Any]],
) -> None:
    items = [one for one in documents.values() if one["type"] == "Feature"]
    assert [problem for one in items for problem in problems(one)] == []
    wrong = copy.deepcopy(documents["mosaic/mosaic-2018.json"])
    wrong["properties"] |= {"proj:shape": [32.0, 96], "raster:scale": 1, "proj:epsg": 32633}
    wrong["assets"]["land_cover"]["bands"][0]["classification:classes"][1]["name"] = "forêt"
    told = [problem.removeprefix("mosaic-2018: ") for problem in problems(wrong)]
    assert [one.partition(" is [{")[0] for one in told] == [
        "proj:shape is [32.0, 96]", "raster:scale stands in properties",
        "proj:epsg is of no extension", "classification:classes",
    ]  # fmt: skip


def test_classes_have_values_names_titles_and_colours(catalog: pystac.Catalog) -> None:
    band = only(catalog, "mosaic").assets["land_cover"].extra_fields["bands"][0]
    assert band["classification:classes"] == [
        {"value": 0, "name": "no-data", "title": "no data", "nodata": True},
        {"value": 1, "name": "for-t-bois", "title": "forêt & bois", "color_hint": "1b5e35"},
        {"value": 3, "name": "class-3", "title": "水", "color_hint": "2f6fd0"},
    ]
    assert band["nodata"] == 0
    assert band["data_type"] == "uint8"


def test_imagery_names_its_bands_and_how_numbers_become_reflectance(
    catalog: pystac.Catalog,
) -> None:
    item = only(catalog, "raw_bands")
    red, _ = item.assets["data"].extra_fields["bands"]
    assert red == {
        "name": "B04", "eo:common_name": "red", "data_type": "uint16", "nodata": 0,
        "raster:spatial_resolution": 10.0, "raster:scale": 1e-4, "raster:offset": 0.0,
    }  # fmt: skip
    assert item.assets["data"].media_type == "application/vnd+zarr"
    assert item.properties["platform"] == "sentinel-2a"
    first = item.properties["lc_platform:acquisitions"][0]
    assert first["items"] == ["S2A_20180111T120000_0"]
    assert first["datetime"] == "2018-01-11T12:00:00Z"


def test_a_pixel_leads_from_the_map_to_the_items_of_its_acquisitions(
    catalog: pystac.Catalog, folder: Path
) -> None:
    of_map = hrefs(only(catalog, "mosaic"), "derived_from")
    assert str(folder / "predictions/33N-r0-c0-2018.json") in of_map
    assert str(folder / "raw_bands/33N-r0-c1-2018.json") in of_map
    of_patch = pystac.Item.from_file(folder / "raw_bands/33N-r0-c1-2018.json")
    # 10 and 200 days after 1 January 2018, as an API of the archive has its items.
    assert hrefs(of_patch, "derived_from") == [
        f"{ARCHIVE}S2A_20180111T120000_0",
        f"{ARCHIVE}S2A_20180720T120000_1",
    ]


def test_all_links_and_files_of_the_catalog_are_relative_and_there(
    documents: dict[str, dict[str, Any]], folder: Path
) -> None:
    seen = 0
    for path, one in documents.items():
        beside = (folder / path).parent
        links = [link["href"] for link in one["links"] if not link["href"].startswith(ARCHIVE)]
        for href in (*links, *(asset["href"] for asset in one.get("assets", {}).values())):
            assert href.startswith("."), path
            assert (beside / href).resolve().exists(), f"{path}: {href}"
            seen += 1
    assert seen > 40


def test_sizes_are_those_of_the_files_and_checksums_multihashes_of_sha256(
    catalog: pystac.Catalog, store: Store
) -> None:
    asset = only(catalog, "mosaic").assets["land_cover"]
    content = store.read_bytes("mosaic/2018/land_cover.tif")
    # https://multiformats.io/multihash: 0x12 is sha2-256, 0x20 its length in bytes.
    assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
    assert asset.extra_fields["file:size"] == len(content)
    one = only(catalog, "predictions").assets["data"].extra_fields
    assert one["file:size"] == len(store.read_bytes("predictions/2018/33N-r0-c0.tif"))


def test_a_missing_patch_is_left_out_and_told(catalog: pystac.Catalog) -> None:
    assert only(catalog, "mosaic").properties["lc_platform:missing_patches"] == ["33N-r0-c2"]
    assert only(catalog, "mosaic").properties["lc_platform:patches"] == 2
    predictions = catalog.get_child("predictions")
    assert predictions is not None
    assert predictions.extra_fields["lc_platform:missing"] == ["33N-r0-c2 2018"]
    assert catalog.extra_fields["lc_platform:missing"] == {"raw_bands": 1, "predictions": 1}


def test_collections_span_their_items(catalog: pystac.Catalog) -> None:
    child = catalog.get_child("predictions")
    assert isinstance(child, pystac.Collection)
    boxes = [item.bbox for item in child.get_items() if item.bbox]
    west, south, east, north = child.extent.spatial.bboxes[0]
    assert west == min(box[0] for box in boxes)
    assert south == min(box[1] for box in boxes)
    assert east == max(box[2] for box in boxes)
    assert north == max(box[3] for box in boxes)
    (interval,) = child.extent.temporal.intervals
    assert [str(one) for one in interval] == [
        "2018-01-01 00:00:00+00:00",
        "2018-12-31 23:59:59+00:00",
    ]
    assert child.item_assets["data"].to_dict()["bands"][0]["name"] == "class"


def test_odc_stac_loads_the_map_as_rasterio_reads_it(catalog: pystac.Catalog, store: Store) -> None:
    loaded = odc.stac.load([only(catalog, "mosaic")], bands=["land_cover"])
    with rasterio.open(store.path("mosaic/2018/land_cover.tif")) as raster:
        np.testing.assert_array_equal(loaded.land_cover.values[0], raster.read(1))
        assert loaded.odc.geobox.affine == raster.transform


@pytest.mark.parametrize("chunks", [None, {"x": 16, "y": 16}])
def test_odc_stac_loads_a_year_of_raw_bands_as_the_store_has_them(
    catalog: pystac.Catalog, store: Store, chunks: dict[str, int] | None
) -> None:
    child = catalog.get_child("raw_bands")
    assert child is not None
    items = [one for item in child.get_items() for one in imagery.acquisitions(item)]
    loaded = odc.stac.load(items, ["B04", "nir"], driver=ImageryDriver(), chunks=chunks)
    # Two patches beside each other, which were seen at the same two times.
    assert loaded.B04.shape == (2, 32, 64)
    assert loaded.B04.dtype == np.uint16
    west = AcquisitionStack(ZarrCube(store, key("raw_bands", "33N-r0-c0", YEAR)))
    assert [str(one)[:10] for one in loaded.time.values] == ["2018-01-11", "2018-07-20"]
    everywhere = (slice(0, 32), slice(0, 32))
    stored = west.digital_numbers(everywhere, slice(None), ["B04", "B08"])
    np.testing.assert_array_equal(loaded.B04.values[:, :, :32], stored[:, 0])
    np.testing.assert_array_equal(loaded.nir.values[:, :, :32], stored[:, 1])
    with pytest.raises(ValueError, match="item mosaic-2018: is of mosaic, and has no acqui"):
        imagery.acquisitions(only(catalog, "mosaic"))


def test_xarray_opens_imagery_by_the_address_of_its_item(catalog: pystac.Catalog) -> None:
    href = only(catalog, "raw_bands").get_assets()["data"].get_absolute_href()
    opened = xr.open_zarr(href, consolidated=True)
    red = float(opened.bands.sel(band="B04").isel(time=0).mean())
    assert red == pytest.approx(0.1)  # 1000 * 1e-4


def test_pystac_client_opens_the_catalog(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is no API
        client = pystac_client.Client.open(str(folder / "catalog.json"))
        assert [one.id for one in client.get_children()] == LEVELS


def test_the_table_of_items_has_what_their_documents_have(
    folder: Path, documents: dict[str, dict[str, Any]]
) -> None:
    table = geopandas.read_parquet(folder / "raw_bands" / "items.parquet")
    one = documents["raw_bands/33N-r0-c1-2018.json"]
    row = table.set_index("id").loc["33N-r0-c1-2018"]
    assert table.crs == "OGC:CRS84"
    assert row.geometry.equals(shapely.geometry.shape(one["geometry"]))
    assert row["start_datetime"].isoformat() == "2018-01-01T00:00:00+00:00"
    assert row["proj:transform"].tolist() == one["properties"]["proj:transform"]
    assert row["assets"]["data"]["href"] == one["assets"]["data"]["href"]
    about = pq.read_schema(folder / "raw_bands" / "items.parquet").metadata
    assert json.loads(about[b"stac-geoparquet"])["collections"]["raw_bands"]["id"] == "raw_bands"
    covering = json.loads(about[b"geo"])["columns"]["geometry"]["covering"]["bbox"]
    assert covering["xmin"] == ["bbox", "xmin"]


def test_what_is_opened_gives_the_same_catalog_as_the_asset_writes(
    store: Store, documents: dict[str, dict[str, Any]]
) -> None:
    now = lc_platform.open(store.base).to_stac([YEAR])
    assert [child.id for child in now.get_children()] == LEVELS
    written = documents["predictions/33N-r0-c0-2018.json"]
    item = only(now, "predictions")
    assert item.get_self_href() == f"{store.base}/catalog/2018/predictions/33N-r0-c0-2018.json"
    assert {n: a.href for n, a in item.assets.items()} == {
        name: asset["href"] for name, asset in written["assets"].items()
    }
    assert item.properties == written["properties"]
    assert catalogs.validate(now) == 6


def test_a_catalog_in_an_object_store_leads_to_the_versions_that_count() -> None:
    store = Store(f"memory://{uuid.uuid4().hex}")
    catalogs.write(store, made := catalogs.make(store))
    one = json.loads(store.read_bytes("catalog/2018/raw_bands/33N-r0-c0-2018.json"))
    version = store.version_of("raw_bands/2018/33N-r0-c0.zarr")
    assert one["assets"]["data"]["href"] == f"../../../raw_bands/2018/.33N-r0-c0.zarr@{version}"
    formats()["catalog"].check(store, key("catalog", year=YEAR))
    # Where there is another version beside it, the pointer says which counts.
    here = key("raw_bands", "33N-r0-c0", YEAR)
    formats()["raw_bands"].write(store, here, catalogs.imagery(made.patches[0]))
    counts = store.version_of(here)
    assert counts != version
    assert listing.cubes(store, "raw_bands/2018")["33N-r0-c0.zarr"] == f".33N-r0-c0.zarr@{counts}"
    # Another catalog takes the place of this one, and leaves nothing of it.
    Records(store).forget("raw_bands", Partition("33N-r0-c0", YEAR))
    assert catalogs.write(store, made) == 5
    assert not store.exists("catalog/2018/raw_bands/33N-r0-c0-2018.json")


def test_a_store_without_a_grid_has_no_catalog(copied: Store) -> None:
    copied.remove(key("patch_grid"))
    with pytest.raises(NotFoundError, match=r"is neither .* nor a store"):
        lc_platform.open(copied.base)
    with pytest.raises(MissingArtefactError, match=r"patch_grid: is not made yet .*Make it"):
        Reader(copied).to_stac()


def test_a_store_of_nothing_but_a_grid_says_so(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    formats()["patch_grid"].write(store, key("patch_grid"), catalogs.grid())
    with pytest.raises(NotFoundError, match="holds nothing of any year yet"):
        lc_platform.open(tmp_path).to_stac()


def test_what_is_being_written_is_not_listed(copied: Store) -> None:
    with Records(copied).changing("predictions", Partition("33N-r0-c0", YEAR)):
        now = lc_platform.open(copied.base).to_stac()
        child = now.get_child("predictions")
        assert child is not None
        assert [item.id for item in child.get_items()] == ["33N-r0-c1-2018"]
        assert only(now, "mosaic").properties["lc_platform:missing_patches"] == [
            "33N-r0-c0", "33N-r0-c2",
        ]  # fmt: skip


def test_what_a_newer_release_has_made_is_listed_as_far_as_it_is_known(copied: Store) -> None:
    store, folder = copied, Path(copied.base)
    store.put("soil_moisture/2018/33N-r0-c0.tif", b"an asset of a newer release")
    store.put(".records/soil_moisture/2018/33N-r0-c0.a.0.b.json", b"{}")
    store.put("predictions/2018/33N-r0-c0.soil.tif", b"a layer of a newer release")
    metadata = folder / "raw_bands/2018/33N-r0-c0.zarr/zarr.json"
    metadata.write_text('{"zarr_format": 4}', encoding="utf-8")
    assert catalogs.write(store, catalogs.grid()) == 6
    catalog = pystac.Catalog.from_file(folder / "catalog/2018/catalog.json")
    assert "lc_platform:acquisitions" not in only(catalog, "raw_bands").properties
    assert list(only(catalog, "predictions").assets) == ["data", "soil", "legend"]


def test_a_damaged_catalog_is_named(copied: Store) -> None:
    store, folder = copied, Path(copied.base)
    at = key("catalog", year=YEAR)
    formats()["catalog"].check(store, at)
    (folder / "catalog/2018/mosaic/items.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedArtefactError, match=r"2018/mosaic/items\.parquet: is damaged"):
        formats()["catalog"].check(store, at)
    (folder / "catalog/2018/catalog.json").write_text("{", encoding="utf-8")
    with pytest.raises(DamagedArtefactError, match=r"catalog\.json: is damaged .* catalog again"):
        formats()["catalog"].open(store, at)
