"""Signed and floating-point reflectance, HLS, and values between the pixels of coarser bands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.warp import reproject

from lc_platform.eo import hls_fmask
from lc_platform.sources.protocol import Pixels, SourceError
from lc_platform.sources.stac.archive import StacArchive
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    GRID,
    ORIGIN,
    band,
    item,
    one_acquisition,
    write_catalog,
    write_tiff,
)

SIGNED = np.arange(-32, 32, dtype=np.int16).reshape(8, 8) * 100


def opened(
    folder: Path, assets: dict[str, Any], collection: str = COLLECTION, **options: Any
) -> StacArchive:
    one = item("a", "2021-07-01T10:00:00Z", assets, platform="sentinel-2a")
    path = write_catalog(folder, [one])
    for file in folder.glob("*.json"):
        file.write_text(file.read_text().replace(COLLECTION, collection))
    return StacArchive(str(path), collection, **options)


def read(source: StacArchive, *bands: str, grid: GeoBox = GRID) -> Pixels:
    return source.read(one_acquisition(source), grid, bands)


def test_signed_numbers_are_kept_with_their_sign(tmp_path: Path) -> None:
    numbers = SIGNED.copy()
    numbers[2, 3] = -9999
    write_tiff(tmp_path / "B04.tif", numbers)
    write_tiff(tmp_path / "B08.tif", numbers, nodata=-9999)
    assets = {name: band(f"./{name}.tif", nodata=-9999) for name in ("B04", "B08")}
    del assets["B04"]["raster:bands"][0]["nodata"]
    found = read(opened(tmp_path, assets, data_type="int16"), "B04", "B08")
    assert found.values.dtype == np.int16
    np.testing.assert_array_equal(found.values, [numbers, numbers])
    np.testing.assert_array_equal(found.data_mask, numbers != -9999)


def test_a_mean_of_signed_numbers_is_rounded_as_it_is_above_zero(tmp_path: Path) -> None:
    numbers = np.tile(np.array([[-3, -4], [-3, -3]], np.int16), (4, 4))
    write_tiff(tmp_path / "B04.tif", numbers)
    source = opened(tmp_path, {"B04": band("./B04.tif")}, data_type="int16")
    coarse = read(source, "B04", grid=GRID.zoom_to((4, 4)))
    assert (coarse.values == -3).all()  # of -3.25


def test_floating_point_reflectance_is_stored_as_it_is(tmp_path: Path) -> None:
    numbers = (SIGNED / 3e4).astype(np.float32)
    numbers[0, 0], numbers[5, 5] = np.nan, -9999
    write_tiff(tmp_path / "B04.tif", numbers, nodata=-9999)
    write_tiff(tmp_path / "SCL.tif", np.full((8, 8), 4, np.uint8))
    assets = {
        "B04": band("./B04.tif", scale=1, data_type="float32", nodata=-9999),
        "SCL": {"href": "./SCL.tif"},
    }
    found = read(opened(tmp_path, assets, data_type="float32"), "B04", "SCL")
    there = np.ones((8, 8), bool)
    there[0, 0] = there[5, 5] = False
    np.testing.assert_array_equal(found.data_mask, there)
    np.testing.assert_array_equal(found.values[0], np.where(there, numbers, np.nan))
    assert set(found.values[1][there].tolist()) == {4.0}
    with pytest.raises(SourceError, match=r"holds float32; only whole .* as uint16\. Give"):
        read(opened(tmp_path, assets), "B04")


@pytest.mark.parametrize("collection", ["HLSS30_2.0", "hls2-l30"])
def test_hls_is_read_as_its_files_are_though_its_items_tell_nothing(
    tmp_path: Path, collection: str
) -> None:
    fmask = np.zeros((8, 8), np.uint8)
    fmask[0, 0], fmask[1, 1] = 255, 2
    write_tiff(tmp_path / "B04.tif", SIGNED, nodata=-9999)
    write_tiff(tmp_path / "Fmask.tif", fmask)
    assets = {name: {"href": f"./{name}.tif"} for name in ("B04", "Fmask")}
    found = read(opened(tmp_path, assets, collection, data_type="int16"), "B04", "Fmask")
    assert (found.scale.tolist(), found.offset.tolist()) == ([1e-4, 1.0], [0.0, 0.0])
    there = fmask != 255
    np.testing.assert_array_equal(found.data_mask, there)
    np.testing.assert_array_equal(found.values[0], np.where(there, SIGNED, -9999))
    np.testing.assert_array_equal(found.values[1], np.where(there, fmask.astype(int), -9999))


def test_bits_of_fmask_are_what_the_guide_says() -> None:
    # Water, cloud, next to one, shadow, next to a shadow, snow, high aerosol, cloud on snow.
    found = hls_fmask.masks(np.array([32, 2, 4, 8, 12, 16, 192, 18], np.uint8))
    assert found.cloud.tolist() == [False, True, True, False, False, False, False, True]
    assert found.shadow.tolist() == [False, False, False, True, True, False, False, False]
    assert found.snow.tolist() == [False] * 5 + [True, False, True]
    assert found.ground.tolist() == [True, False, False, False, False, True, True, False]


def coarse(folder: Path, numbers: NDArray[Any], **options: Any) -> StacArchive:
    write_tiff(folder / "B11.tif", numbers, 20, nodata=0)
    return opened(folder, {"B11": band("./B11.tif", "B11")}, **options)


FINE = GeoBox((32, 32), Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), "EPSG:32633")


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_coarser_bands_are_interpolated_as_gdal_does(tmp_path: Path, method: str) -> None:
    numbers = np.random.default_rng(1).integers(2000, 6000, (16, 16)).astype(np.uint16)
    source = coarse(tmp_path, numbers, resampling=method)
    found = read(source, "B11", grid=FINE)
    expected = np.zeros(FINE.shape, np.float64)
    reproject(
        numbers.astype(np.float64), expected, src_crs="EPSG:32633", dst_crs="EPSG:32633",
        src_transform=Affine(20, 0, ORIGIN[0], 0, -20, ORIGIN[1]), dst_transform=FINE.affine,
        resampling=rasterio.enums.Resampling[method],
    )  # fmt: skip
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(found.values[0][inner], expected[inner], atol=0.501)
    assert found.data_mask.all()
    for rows, columns in ((slice(3, 9), slice(5, 22)), (slice(20, 32), slice(0, 7))):
        part = read(source, "B11", grid=FINE[rows, columns])
        np.testing.assert_array_equal(part.values[0], found.values[0][rows, columns])


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_beside_no_data_the_nearest_pixel_counts(tmp_path: Path, method: str) -> None:
    numbers = np.full((16, 16), 3000, np.uint16)
    numbers[:, :8], numbers[6, 12] = 1, 0
    nearest = read(coarse(tmp_path / "near", numbers), "B11", grid=FINE)
    found = read(coarse(tmp_path / "far", numbers, resampling=method), "B11", grid=FINE)
    np.testing.assert_array_equal(found.data_mask, nearest.data_mask)
    around = (slice(10, 16), slice(22, 28))
    np.testing.assert_array_equal(found.values[0][around], nearest.values[0][around])
    assert (found.values[0][found.data_mask] >= 1).all()  # where the curve comes below it
    assert not np.array_equal(found.values, nearest.values)


def test_a_classification_is_never_interpolated(tmp_path: Path) -> None:
    scl = np.random.default_rng(1).integers(1, 12, (16, 16)).astype(np.uint8)
    write_tiff(tmp_path / "SCL.tif", scl, 20)
    source = opened(tmp_path, {"SCL": {"href": "./SCL.tif"}}, resampling="cubic")
    np.testing.assert_array_equal(
        read(source, "SCL", grid=FINE).values[0], scl.repeat(2, axis=0).repeat(2, axis=1)
    )


def test_other_coordinate_systems_are_interpolated_too(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:16, :16]
    plane = (1000 + 100 * rows + 20 * columns).astype(np.uint16)
    grid = GeoBox.from_geopolygon(FINE[8:24, 8:24].extent, resolution=10, crs="EPSG:32634")
    nearest = read(coarse(tmp_path / "near", plane), "B11", grid=grid)
    found = read(coarse(tmp_path / "far", plane, resampling="bilinear"), "B11", grid=grid)
    step = [np.unique(np.diff(one.values[0][4:-4, 4:-4], axis=0)) for one in (nearest, found)]
    assert step[0].min() == 0 or step[0].max() >= 100  # steps of whole pixels, or none
    assert np.abs(step[1] - 50).max() <= 8  # half a pixel's
