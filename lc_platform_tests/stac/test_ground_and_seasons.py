"""Where and when items are: across 180 degrees, and in a season that crosses New Year."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pystac
import pytest
import shapely

import lc_platform
from lc_platform import stac
from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import Partition, key
from lc_platform.eo.season import Season
from lc_platform.products.catalog_options import CatalogOptions
from lc_platform.storage.store import Store
from lc_platform_tests.products.patches import box
from lc_platform_tests.reading.stores import predicted, put
from lc_platform_tests.stac import catalogs
from lc_platform_tests.stac.catalogs import CLASSES, YEAR


def test_patches_across_180_degrees_are_cut_there_and_their_box_goes_round_it(
    tmp_path: Path,
) -> None:
    # 180 degrees are some 820 km east of the middle of zone 60N, 177 degrees, minus half a zone:
    # at 60 degrees north 3 degrees are 167 km.
    store = Store(str(tmp_path))
    lefts = (500_000 + 166_000, 500_000 + 167_280, 500_000 + 168_560)
    patches = [
        Patch(f"60N-r0-c{column}", box(left, 6_653_000, 128, 128, "EPSG:32660"), "60N", 0, column)
        for column, left in enumerate(lefts)
    ]
    grid = PatchGrid(patches, {one.key: True for one in patches})
    put(store, "patch_grid", Partition(), grid)
    for one in patches:
        put(store, "predictions", Partition(one.key, YEAR), predicted(one, YEAR, CLASSES))
    assert catalogs.write(store, grid) == 4
    folder = tmp_path / "catalog" / str(YEAR)
    catalog = pystac.Catalog.from_file(folder / "catalog.json")
    assert catalogs.validate(catalog) == 4
    predictions = catalog.get_child("predictions")
    assert isinstance(predictions, pystac.Collection)
    items = list(predictions.get_items())
    areas, cut = [], []
    for item in items:
        ground = shapely.geometry.shape(item.geometry)
        west, south, east, north = ground.bounds
        assert -180 <= west <= east <= 180
        areas.append(ground.area)
        assert item.bbox is not None
        if ground.geom_type == "MultiPolygon":
            cut.append(item)
            assert item.bbox[0] > item.bbox[2], "west is above east"
            assert all(part.bounds[2] - part.bounds[0] < 0.1 for part in ground.geoms)
        else:
            assert item.bbox == pytest.approx([west, south, east, north])
    assert len(cut) == 1
    # All are 1,280 m wide.
    assert max(areas) == pytest.approx(min(areas), rel=0.02)
    of_all = predictions.extent.spatial.bboxes[0]
    assert of_all[0] > 179.9
    assert of_all[2] < -179.9
    table = geopandas.read_parquet(folder / "predictions" / "items.parquet")
    assert set(table.geom_type) == {"Polygon", "MultiPolygon"}


def test_a_season_that_crosses_new_year_begins_in_the_year_before(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    made = catalogs.make(store)
    season = Season(10, 1, 12)
    options = CatalogOptions(name="Winter", classes=CLASSES, season=season, padding=20)
    formats()["catalog"].write(
        store, key("catalog", year=YEAR), stac.of_year(store, made, YEAR, options)
    )
    catalog = pystac.Catalog.from_file(tmp_path / "catalog" / str(YEAR) / "catalog.json")
    assert catalogs.validate(catalog) == 6

    def times(collection: str) -> tuple[str, str]:
        child = catalog.get_child(collection)
        assert isinstance(child, pystac.Collection)
        item = next(child.get_items())
        first, last = item.properties["start_datetime"], item.properties["end_datetime"]
        ((begins, ends),) = child.extent.temporal.intervals
        assert begins is not None
        assert ends is not None
        assert (begins.isoformat()[:10], ends.isoformat()[:10]) == (first[:10], last[:10])
        return first, last

    # The map of 2018 is of the twelve months from 1 October 2017.
    assert times("mosaic") == ("2017-10-01T00:00:00Z", "2018-09-30T23:59:59Z")
    # Its imagery of 20 days more on either side.
    assert times("raw_bands") == ("2017-09-11T00:00:00Z", "2018-10-20T23:59:59Z")


def test_a_store_without_its_configuration_has_the_season_of_its_imagery(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    catalogs.make(store)
    child = lc_platform.open(tmp_path).to_stac().get_child("mosaic")
    assert child is not None
    (item,) = child.get_items()
    assert item.properties["start_datetime"] == "2018-01-01T00:00:00Z"
