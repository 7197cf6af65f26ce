"""Patches joined into one map."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from rasterio.features import rasterize

from lc_platform.area.grid import Patch
from lc_platform.area.mask import Area
from lc_platform.artefacts.formats import CogFormat, MosaicFormat
from lc_platform.cube import MAIN, Block, Layer, LazyCube, Summary, windows
from lc_platform.errors import DataError
from lc_platform.products.mosaic import Mosaic
from lc_platform.products.options import MosaicOptions
from lc_platform.storage.errors import MissingArtefactError, StorageError
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store
from lc_platform_tests.products.patches import COLUMNS, ROWS, box, patch
from lc_platform_tests.storage.artefacts import CLASSES, elsewhere


def computed(grid: GeoBox, layers: dict[str, NDArray[Any]], version: str = "m1") -> LazyCube:
    def blocks(_: Summary) -> Iterator[Block]:
        for name, values in layers.items():
            for window in windows(grid.shape, 512):
                yield Block(name, (), window, values[window])

    specs = {name: Layer((), str(values.dtype)) for name, values in layers.items()}
    return LazyCube({MAIN: grid}, specs, blocks, attributes={"model_version": version})


class Country:
    """Predictions and statistics of patches in a store, and the mosaic of them."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(str(folder))
        self.patches: list[Patch] = []
        self.classes: dict[str, NDArray[Any]] = {}
        self.confidence: dict[str, NDArray[Any]] = {}
        self.applicability: dict[str, NDArray[Any]] = {}
        self.observations: dict[str, NDArray[Any]] = {}

    def add(
        self,
        one: Patch,
        classes: NDArray[Any] | None = None,
        version: str = "m1",
        grid: GeoBox | None = None,
        judged: bool = True,
    ) -> None:
        self.patches.append(one)
        rng = np.random.default_rng(len(self.patches))
        if classes is None:
            classes = rng.choice([0, 1, 2, 4], one.shape)
        self.classes[one.key] = classes.astype("uint8")
        share = rng.integers(1, 101, one.shape)
        self.confidence[one.key] = np.where(classes == 0, 0, share).astype("uint8")
        self.observations[one.key] = rng.integers(1, 300, one.shape).astype("uint16")
        percent = rng.integers(1, 256, one.shape)
        self.applicability[one.key] = np.where(classes == 0, 0, percent).astype("uint8")
        layers = {"class": self.classes[one.key], "confidence": self.confidence[one.key]}
        if judged:
            layers["applicability"] = self.applicability[one.key]
        form = CogFormat(lambda cube: cube)
        grid = grid or one.geobox
        form.write(self.store, f"predictions/{one.key}.tif", computed(grid, layers, version))
        seen = {"valid_observations": self.observations[one.key]}
        form.write(self.store, f"statistics/{one.key}.tif", computed(grid, seen))

    def join(self, model_version: str | None = None, **options: Any) -> Mosaic:
        def opened(folder: str) -> dict[str, RasterCube]:
            keys = {p.key: f"{folder}/{p.key}.tif" for p in self.patches}
            return {k: RasterCube(self.store, at) for k, at in keys.items() if self._there(at)}

        mosaic = Mosaic(
            2020,
            self.patches,
            opened("predictions"),
            opened("statistics"),
            MosaicOptions(classes=CLASSES, **options),
            model_version,
        )
        MosaicFormat().write(self.store, "mosaic/2020", mosaic)
        return mosaic

    def _there(self, key: str) -> bool:
        return self.store.exists(key)

    def read(self, name: str, level: int | None = None) -> NDArray[Any]:
        extra = {} if level is None else {"overview_level": level}
        with rasterio.open(self.store.path(f"mosaic/2020/{name}.tif"), **extra) as raster:
            values: NDArray[Any] = raster.read(1)
        return values


@pytest.fixture
def country(tmp_path: Path) -> Country:
    return Country(tmp_path)


def tiles(country: Country, layers: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Four patches put together by hand."""
    a, b, c, d = (layers[p.key] for p in country.patches)
    return np.block([[a, b], [c, d]])


def four(country: Country) -> None:
    for row in (0, 1):
        for column in (0, 1):
            country.add(patch(row, column))


def test_every_pixel_of_four_neighbours_is_in_its_place(country: Country) -> None:
    four(country)
    mosaic = country.join()
    classes = tiles(country, country.classes)
    np.testing.assert_array_equal(country.read("land_cover"), classes)
    np.testing.assert_array_equal(country.read("confidence"), tiles(country, country.confidence))
    np.testing.assert_array_equal(
        country.read("valid_observations"), tiles(country, country.observations)
    )
    facts = mosaic.summary.facts
    assert facts["patches"] == 4
    assert facts["patches_missing"] == 0
    assert (facts["rows"], facts["columns"]) == (2 * ROWS, 2 * COLUMNS)
    assert facts["crs"] == "EPSG:32633"
    expected = {name: int((classes == i).sum()) for i, (name, _) in CLASSES.items()}
    assert facts["class_pixels"] == expected
    assert mosaic.summary.picture is not None
    assert max(mosaic.summary.picture.shape[:2]) <= 64


def test_the_map_is_a_cog_with_the_classes_colours_and_names(country: Country) -> None:
    four(country)
    country.join(model_version="m1")
    with rasterio.open(country.store.path("mosaic/2020/land_cover.tif")) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.transform == patch(0, 0).geobox.affine
        assert raster.crs.to_epsg() == 32633
        assert raster.nodata == 0
        assert raster.colormap(1)[2] == (0, 100, 200, 255)
        assert raster.tags()["model_version"] == "m1"
        assert raster.tags()["patches"] == "4"
    names = country.store.names("mosaic/2020")
    assert names == [
        "applicability.json", "applicability.tif", "confidence.tif", "land_cover.qml",
        "land_cover.sld", "land_cover.tif", "land_cover.tif.aux.xml", "valid_observations.tif",
    ]  # fmt: skip
    assert sorted(MosaicFormat().open(country.store, "mosaic/2020")) == names
    side = Path(country.store.path("mosaic/2020/land_cover.tif.aux.xml")).read_text()
    assert "<Category>water &amp; ice</Category>" in side


def test_a_missing_patch_stays_no_data_and_is_counted(country: Country) -> None:
    four(country)
    gone = country.patches[1]
    country.store.remove(f"predictions/{gone.key}.tif")
    mosaic = country.join()
    found = country.read("land_cover")
    assert not found[:ROWS, COLUMNS:].any()
    np.testing.assert_array_equal(found[ROWS:, :COLUMNS], country.classes["33N-r1-c0"])
    assert mosaic.summary.facts["patches_missing"] == 1
    assert mosaic.summary.facts["missing"] == gone.key


def test_the_share_outside_the_area_of_applicability_is_told_by_class_and_patch(
    country: Country,
) -> None:
    four(country)
    facts = country.join().summary.facts
    values, classes = country.read("applicability"), country.read("land_cover")
    np.testing.assert_array_equal(values, tiles(country, country.applicability))
    told = json.loads(country.store.read_bytes("mosaic/2020/applicability.json"))
    outside = values > 100
    assert told["share_outside"] == facts["share_outside_applicability"]
    assert told["share_outside"] == pytest.approx(outside[classes > 0].mean())
    for class_id, (name, _) in CLASSES.items():
        of_class = classes == class_id
        if of_class.any():
            expected = {"pixels": of_class.sum(), "pixels_outside": outside[of_class].sum()}
            assert expected.items() <= told["classes"][name].items()
    for key, own in country.applicability.items():
        expected = {"pixels": (own > 0).sum(), "pixels_outside": (own > 100).sum()}
        assert expected.items() <= told["patches"][key].items()


def test_a_map_of_predictions_that_are_not_judged_has_no_applicability(country: Country) -> None:
    country.add(patch(0, 0), judged=False)
    facts = country.join().summary.facts
    assert "applicability.tif" not in country.store.names("mosaic/2020")
    assert "share_outside_applicability" not in facts


def test_without_any_prediction_there_is_no_map(country: Country) -> None:
    country.patches.append(patch(0, 0))
    with pytest.raises(DataError, match=r"2020: no patch has a prediction.*Materialize predicti"):
        country.join()
    assert not country.store.exists("mosaic/2020")
    with pytest.raises(MissingArtefactError, match="mosaic/2020: is not there"):
        MosaicFormat().open(country.store, "mosaic/2020")


def test_predictions_of_two_models_are_not_joined(country: Country) -> None:
    country.add(patch(0, 0))
    country.add(patch(0, 1), version="m2")
    with pytest.raises(DataError, match="33N-r0-c1") as caught:
        country.join()
    assert "aterialize" in str(caught.value)
    with pytest.raises(DataError, match="33N-r0-c1"):
        country.join(model_version="m1")
    assert not country.store.exists("mosaic/2020")


def test_a_patch_of_another_grid_is_refused(country: Country) -> None:
    country.add(patch(0, 0))
    country.add(patch(0, 1), grid=box(5e5 + COLUMNS * 10 + 10, 5e6))
    with pytest.raises(
        DataError, match=r"patch 33N-r0-c1: .*another grid than patch_grid.*materialize the patch"
    ):
        country.join()


def test_a_damaged_prediction_is_named_and_leaves_the_old_map(country: Country) -> None:
    four(country)
    country.join()
    before = country.read("land_cover")
    path = Path(country.store.physical("predictions/33N-r1-c1.tif"))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(StorageError, match=r"predictions/33N-r1-c1\.tif: is .*damaged"):
        country.join()
    np.testing.assert_array_equal(country.read("land_cover"), before)


def test_a_pixel_of_two_patches_is_of_the_last_that_knows_it(country: Country) -> None:
    first = patch(0, 0)
    second = Patch("33N-r0-c1", box(5e5 + 300, 5e6), "33N", 0, 1)
    country.add(first, np.full(first.shape, 1))
    unsure = np.full(first.shape, 2)
    unsure[:10] = 0
    country.add(second, unsure)
    country.join()
    found = country.read("land_cover")
    assert (found[:10, :COLUMNS] == 1).all(), "what the second does not know stays the first's"
    assert (found[:10, COLUMNS:] == 0).all()
    assert (found[10:, :30] == 1).all()
    assert (found[10:, 30:] == 2).all()


def test_patches_of_two_utm_zones_join_without_a_gap_or_a_new_class(country: Country) -> None:
    # About 12 E 45 N, the border of the zones: 300 columns of zone 32 that begin 250 columns west
    # of the 600 columns of zone 33.
    from pyproj import Transformer

    def around(crs: str, east: float) -> GeoBox:
        x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(12.0, 45.0)
        return box(round((x + east) / 10) * 10, round(y / 10) * 10 + 1000, 200, 300, crs)

    here = Patch("33N-r0-c0", around("EPSG:32633", 0), "33N", 0, 0)
    more = Patch("33N-r0-c1", around("EPSG:32633", 3000), "33N", 0, 1)
    west = Patch("32N-r0-c0", around("EPSG:32632", -2500), "32N", 0, 0)
    country.add(west, np.full(west.shape, 4))
    country.add(here, np.full(here.shape, 1))
    country.add(more, np.full(more.shape, 2))
    mosaic = country.join()
    found = country.read("land_cover")
    assert mosaic.summary.facts["crs"] == "EPSG:32633", "that of most patches"
    assert set(np.unique(found)) == {0, 1, 2, 4}
    middle = found[found.shape[0] // 2]
    known = np.flatnonzero(middle)
    assert (middle[known[0] : known[-1]] > 0).all(), "no gap between the zones"
    with rasterio.open(country.store.path("mosaic/2020/land_cover.tif")) as raster:
        row, column = raster.index(here.geobox.affine.c + 5, here.geobox.affine.f - 5)
        assert (raster.transform.c - here.geobox.affine.c) % 10 == 0, "on the pixels of zone 33"
    np.testing.assert_array_equal(found[row : row + 200, column : column + 300], 1)
    np.testing.assert_array_equal(found[row : row + 200, column + 300 : column + 600], 2)
    # 250 x 200 pixels lie west of the others; the grids of the zones are turned against each
    # other by some 4 degrees, so that at two corners a little more shows (200 * 200 * tan 4.2 / 2)
    assert 0.95 * 200 * 250 < (found == 4).sum() < 1.05 * 200 * 250 + 2 * 1500


def test_a_crs_may_be_chosen_for_the_map(country: Country) -> None:
    country.add(patch(0, 0), np.full((ROWS, COLUMNS), 2))
    mosaic = country.join(crs="EPSG:3035")
    assert mosaic.summary.facts["crs"] == "EPSG:3035"
    found = country.read("land_cover")
    assert set(np.unique(found)) == {0, 2}
    # both CRSs are nearly equal-area here: the pixels stay as many within 1 %
    assert abs((found == 2).sum() / (ROWS * COLUMNS) - 1) < 0.01


def test_an_overview_of_classes_shows_the_majority_and_never_a_mean(country: Country) -> None:
    rng = np.random.default_rng(0)
    small = rng.choice([1, 4], (300, 300))
    fine = np.kron(small, np.ones((2, 2), int))
    fine[::2, ::2] = 2  # one pixel in four says something else
    country.add(patch(0, 0, (600, 600)), fine)
    country.join()
    np.testing.assert_array_equal(country.read("land_cover", level=0), small)


def test_an_overview_of_confidence_is_the_mean_of_what_is_known(country: Country) -> None:
    one = patch(0, 0, (600, 600))
    classes = np.ones(one.shape, int)
    classes[::2] = 0
    country.add(one, classes)
    country.join()
    fine = country.confidence[one.key].reshape(300, 2, 300, 2).astype(float)
    mean = fine.sum(axis=(1, 3)) / (fine > 0).sum(axis=(1, 3))
    np.testing.assert_allclose(country.read("confidence", level=0), mean, atol=0.51)


@pytest.mark.slow
def test_a_patch_larger_than_a_window_is_whole(country: Country) -> None:
    country.add(patch(0, 0, (1500, 1100)))
    country.join()
    np.testing.assert_array_equal(country.read("land_cover"), country.classes["33N-r0-c0"])


def test_the_map_is_another_after_it_was_joined_again(country: Country) -> None:
    country.add(patch(0, 0), np.full((ROWS, COLUMNS), 1))
    country.join()
    country.patches.clear()
    country.add(patch(0, 0), np.full((ROWS, COLUMNS), 4))
    country.join()
    assert (country.read("land_cover") == 4).all()


def _join_far_apart(folder: str) -> tuple[int, int]:
    import os
    import resource

    os.environ["GDAL_CACHEMAX"] = "16"
    side, last = 512, 19
    small, large = (Country(Path(folder) / name) for name in ("small", "large"))
    for country, corner in ((small, 4), (large, last)):
        country.add(patch(0, 0, (side, side)))
        country.add(patch(corner, corner, (side, side)))
    small.join()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large.join()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return grown * 1024, (side * (last + 1)) ** 2


@pytest.mark.proof
@pytest.mark.slow
def test_a_map_is_joined_without_being_held(tmp_path: Path) -> None:
    grown, pixels = elsewhere(_join_far_apart, str(tmp_path))
    assert pixels > 100e6
    assert grown < 2 * pixels, "the bytes of the largest of the three maps"


@pytest.mark.parametrize("crs", [None, "EPSG:3035"])
def test_no_map_reaches_beyond_the_area_in_whatever_crs_it_is(
    country: Country, crs: str | None
) -> None:
    for row in range(2):
        for column in range(2):
            country.add(patch(row, column), np.full((ROWS, COLUMNS), 2))
    corner = shapely.Polygon([(5e5, 5e6), (5e5 + 1703, 5e6), (5e5, 5e6 - 1304)])
    area = Area(corner, CRS.from_epsg(32633), buffer=50)
    country.join(area=area, crs=crs)
    with rasterio.open(country.store.path("mosaic/2020/land_cover.tif")) as raster:
        columns, rows = np.meshgrid(np.arange(raster.width), np.arange(raster.height))
        x, y = raster.transform * (columns + 0.5, rows + 0.5)
        to_utm = Transformer.from_crs(raster.crs, 32633, always_xy=True)
    here = shapely.points(*to_utm.transform(x, y))
    # The buffer is of metres of the map's CRS, in which a few per mille less may be a metre.
    clear = np.abs(shapely.distance(corner, here) - 50) > (0 if crs is None else 1)
    beyond = shapely.distance(corner, here) > 50
    in_patches = shapely.box(5e5, 5e6 - 20 * ROWS, 5e5 + 20 * COLUMNS, 5e6).buffer(-15)
    for name in ("land_cover", "confidence", "applicability", "valid_observations"):
        found = country.read(name)
        assert not found[beyond & clear].any(), name
        if crs is None:
            assert found[~beyond].all(), name
        else:
            inside = ~beyond & clear & shapely.intersects(in_patches, here)
            assert (found[inside] > 0).mean() > 0.99  # the nearest pixel may be beyond


@pytest.mark.slow
def test_the_map_is_there_as_polygons_too_where_they_are_asked_for(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that pieces lie across windows.
    monkeypatch.setattr("lc_platform.products.mosaic.WINDOW", 64)
    four(country)
    country.join(polygons=True)
    table = geopandas.read_parquet(country.store.path("mosaic/2020/land_cover.parquet"))
    assert table.crs == "EPSG:32633"
    classes = country.read("land_cover")
    transform = rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
    shapes = zip(table.geometry, table["class"], strict=True)
    np.testing.assert_array_equal(rasterize(shapes, classes.shape, transform=transform), classes)
    assert dict(zip(table["class"], table.class_name, strict=True)) == {
        i: CLASSES[i][0] for i in (1, 2, 4)
    }
    np.testing.assert_allclose(table.hectares, table.area / 10_000)
    MosaicFormat().check(country.store, "mosaic/2020")


def test_there_are_no_polygons_where_none_are_asked_for(country: Country) -> None:
    country.add(patch(0, 0))
    country.join()
    assert not country.store.exists("mosaic/2020/land_cover.parquet")
