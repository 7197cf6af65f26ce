"""The real scenes, tiled without end and over a year: an imagery archive for benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from lc_platform.config import SENTINEL2_BANDS
from lc_platform.sources.protocol import Acquisition, Cost, Pixels

CRS = "EPSG:32633"
RESOLUTION = 10.0
YEAR = 2017
_SCALE = 1e-4


@dataclass(frozen=True, eq=False)
class TiledArchive:
    """Sentinel-2 L1C scenes as a `lc_platform.sources.protocol.Source`.

    A scene is repeated in both directions, the scenes take turns over the acquisitions, and every
    pixel of every acquisition and band has noise of its own, so that nothing is the same twice.
    """

    scenes: NDArray[np.uint16]
    """(scene, band, y, x), the bands in the order of SENTINEL2_BANDS; 0 nowhere."""
    acquisitions: int = 70
    noise: float = 0.02
    """Standard deviation of the factor that a digital number is multiplied with."""
    origin: tuple[int, int] = (0, 0)
    """Row and column, in pixels from the CRS's origin, where a scene begins."""

    @property
    def remote(self) -> bool:
        return False

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:  # noqa: ARG002
        return Cost()

    def search(
        self,
        area: Geometry,  # noqa: ARG002
        start: datetime,
        end: datetime,
        around: Geometry | None = None,  # noqa: ARG002
    ) -> list[Acquisition]:
        first, apart = datetime(YEAR, 1, 1, 10, tzinfo=UTC), 364 / max(self.acquisitions - 1, 1)
        times = [first + timedelta(days=int(i * apart)) for i in range(self.acquisitions)]
        return [
            Acquisition(f"{time:%Y%m%d}_{i:03d}", time, (str(i),), cloud_cover=0.0)
            for i, time in enumerate(times)
            if start <= time < end
        ]

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        index = int(acquisition.items[0])
        scene = self.scenes[index % len(self.scenes)]
        coarser = round(geobox.affine.a / RESOLUTION)
        height, width = (length * coarser for length in geobox.shape)
        row = round(-geobox.affine.f / RESOLUTION) - self.origin[0]
        column = round(geobox.affine.c / RESOLUTION) - self.origin[1]
        rows = (row + np.arange(height)) % scene.shape[1]
        columns = (column + np.arange(width)) % scene.shape[2]
        values = np.empty((len(bands), *geobox.shape), np.uint16)
        for at, band in enumerate(bands):
            number = SENTINEL2_BANDS.index(band)
            tiled = scene[number, rows[:, None], columns]
            if coarser > 1:
                cells = tiled.reshape(height // coarser, coarser, width // coarser, coarser)
                tiled = cells.mean(axis=(1, 3), dtype=np.float32)
            if self.noise:
                seed = (index, number, row % 2**31, column % 2**31)
                tiled = tiled * (1 + self.noise / coarser * _normal(tiled.shape, seed))
            values[at] = np.clip(np.rint(tiled), 1, 65535)
        every = np.ones(len(bands))
        return Pixels(values, np.ones(geobox.shape, np.bool_), every * _SCALE, every * 0)


def real_scenes(data: Path) -> NDArray[np.uint16]:
    """The scenes of a folder of Sentinel-2 L1C items: (scene, band, y, x), in order of time.

    Raises FileNotFoundError where there is none.
    """
    items = sorted(path.parent for path in data.glob("*/B01.tif"))
    if not items:
        raise FileNotFoundError(f"{data}: has no folders with Sentinel-2 bands (B01.tif, ...)")
    return np.stack(
        [np.stack([_band(item / f"{b}.tif") for b in SENTINEL2_BANDS]) for item in items]
    )


def _band(path: Path) -> NDArray[np.uint16]:
    with rasterio.open(path) as raster:
        values: NDArray[np.uint16] = raster.read(1)
    return values


@cache
def _pool() -> NDArray[np.float32]:
    return np.random.default_rng(42).standard_normal(2**23, np.float32)


def _normal(shape: tuple[int, ...], seed: tuple[int, ...]) -> NDArray[np.float32]:
    """Normal numbers: each row from a place of its own in a long list, ten times as fast as
    drawing each number."""
    pool = _pool()
    starts = np.random.default_rng(seed).integers(0, len(pool) - shape[1], shape[0])
    return np.stack([pool[start : start + shape[1]] for start in starts])
