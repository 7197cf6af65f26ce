"""Blocks of the platform's own GeoTIFFs, read without GDAL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.storage.raster_cube import tiled
from lc_platform.storage.store import Store
from lc_platform.storage.tiff_blocks import UnknownLayoutError, levels
from lc_platform.viewer.rasters import LocalFile, Rasters

SHAPE = 700, 1100


@pytest.fixture(params=["uint8", "uint16", "uint32"])
def raster(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two bands of noise, and a part without any block."""
    geobox = GeoBox(SHAPE, Affine(10, 0, 4e5, 0, -10, 5e6), "EPSG:32633")
    draw = np.random.default_rng(1)
    path = tmp_path / "noise.tif"
    with tiled(path, geobox, ["one", "two"], request.param, 0) as file:
        for band in (1, 2):
            values = draw.integers(0, np.iinfo(request.param).max, SHAPE).astype(request.param)
            values[:, 600:] = 0
            file.write(values, (slice(0, SHAPE[0]), slice(0, SHAPE[1])), band)
    return path


def test_every_level_and_band_is_what_gdal_reads(raster: Path, tmp_path: Path) -> None:
    found = Rasters(Store(str(tmp_path))).get("noise.tif")
    assert list(found.layers) == ["one", "two"]
    with rasterio.open(raster) as file:
        count = len(file.overviews(1))
    assert count >= 1
    assert len(found.levels) == count + 1
    for level in range(count + 1):
        with rasterio.open(raster, **({} if level == 0 else {"overview_level": level - 1})) as file:
            assert found.levels[level].shape == file.shape
            for band in (0, 1):
                expected = file.read(band + 1)
                rows, columns = slice(3, file.height - 2), slice(5, file.width)
                read = found.read(level, band, rows, columns)
                assert (read == expected[rows, columns]).all()


@pytest.mark.parametrize("size", [0, 10, 200])
def test_a_file_that_ends_early_is_no_geotiff(tmp_path: Path, raster: Path, size: int) -> None:
    cut = tmp_path / "cut.tif"
    cut.write_bytes(raster.read_bytes()[:size])
    with pytest.raises(UnknownLayoutError):
        levels(LocalFile(str(cut)), np.dtype("uint8"))


def test_floats_are_refused_as_they_are_stored_in_another_way(tmp_path: Path) -> None:
    geobox = GeoBox((64, 64), Affine(10, 0, 4e5, 0, -10, 5e6), "EPSG:32633")
    path = tmp_path / "float.tif"
    with tiled(path, geobox, ["one"], "float32") as file:
        file.write(np.ones((64, 64), np.float32), (slice(0, 64), slice(0, 64)))
    with pytest.raises(UnknownLayoutError, match="another way"):
        levels(LocalFile(str(path)), np.dtype("float32"))
