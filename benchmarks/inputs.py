"""The imagery that peer and platform are given: one file, read by both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from benchmarks.archive import CRS, RESOLUTION, YEAR, TiledArchive, real_scenes
from lc_platform.config import SENTINEL2_BANDS
from lc_platform.eo.clouds import DETECTOR_BANDS, s2cloudless_mask, s2cloudless_probability
from lc_platform.sources.protocol import Acquisition, Cost, Pixels

ACQUISITIONS = 70
SCALE = 1e-4
"""Reflectance of a digital number of 1."""
_CORNER = 400_000, 5_100_000
"""East and north of the patch's north-western corner, on the grid of every coarser resolution."""


def geobox(size: int) -> GeoBox:
    """The grid of a patch of ``size`` x ``size`` pixels."""
    east, north = _CORNER
    affine = Affine(RESOLUTION, 0, east, 0, -RESOLUTION, north)
    return GeoBox((size, size), affine, CRS)


def days() -> NDArray[np.int32]:
    """(time,), days since 1 January, each once."""
    return np.linspace(0, 364, ACQUISITIONS).astype(np.int32)


def digital_numbers(scenes: Path, folder: Path, size: int) -> Path:
    """A year of acquisitions as a .npy file, made where it is not there.

    scenes  folders of real scenes, which are tiled and get seeded noise of their own
    The file holds (time, band, y, x), uint16, the bands those of SENTINEL2_BANDS; 0 nowhere.
    """
    path = folder / f"digital_numbers-{size}.npy"
    if path.exists():
        return path
    archive, grid = TiledArchive(real_scenes(scenes), ACQUISITIONS), geobox(size)
    found = archive.search(grid.extent, _midnight(0), _midnight(365))
    partial = path.with_suffix(".part")
    shape = len(found), len(SENTINEL2_BANDS), size, size
    values = np.lib.format.open_memmap(partial, "w+", np.uint16, shape)
    for time, acquisition in enumerate(found):
        values[time] = archive.read(acquisition, grid, SENTINEL2_BANDS).values
    values.flush()
    partial.rename(path)
    return path


def clear(scenes: Path, size: int) -> NDArray[np.bool_]:
    """Where an acquisition shows the ground: (time, y, x).

    Some scenes are cloudy by s2cloudless; the others get seeded broken clouds, so that pixels
    miss different dates.
    """
    bands = [SENTINEL2_BANDS.index(band) for band in DETECTOR_BANDS]
    real = real_scenes(scenes)
    probability = s2cloudless_probability(real[:, bands] * np.float32(SCALE))
    shows = ~s2cloudless_mask(probability, threshold=0.4, average_over=4, dilation=2)
    repeats = -(-size // min(real.shape[2:]))
    valid = np.empty((ACQUISITIONS, size, size), np.bool_)
    for time in range(ACQUISITIONS):
        random = np.random.default_rng((7, time))
        field = cv2.GaussianBlur(random.standard_normal((size, size), np.float32), (0, 0), 20)
        cover = np.quantile(field, random.uniform(0, 0.4))
        scene = np.tile(shows[time % len(shows)], (repeats, repeats))[:size, :size]
        valid[time] = scene & (field > cover)
    return valid


@dataclass(frozen=True, eq=False)
class FileArchive:
    """A file of digital numbers as a `lc_platform.sources.protocol.Source`.

    Beyond the file's edge lies its mirror image, which is what s2cloudless assumes there.
    """

    path: Path
    size: int

    @property
    def remote(self) -> bool:
        return False

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:  # noqa: ARG002
        return Cost()

    def search(
        self,
        area: Geometry,  # noqa: ARG002
        start: datetime,  # noqa: ARG002
        end: datetime,  # noqa: ARG002
        around: Geometry | None = None,  # noqa: ARG002
    ) -> list[Acquisition]:
        return [
            Acquisition(f"{_midnight(day):%Y%m%d}", _midnight(day), (str(time),))
            for time, day in enumerate(days().tolist())
        ]

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        numbers = [SENTINEL2_BANDS.index(band) for band in bands]
        values = np.load(self.path, mmap_mode="r")[int(acquisition.items[0])][numbers]
        coarser = round(geobox.affine.a / RESOLUTION)
        east, north = _CORNER
        rows = self._mirrored((north - geobox.affine.f) / RESOLUTION, geobox.shape[0] * coarser)
        columns = self._mirrored((geobox.affine.c - east) / RESOLUTION, geobox.shape[1] * coarser)
        seen = values[:, rows[:, None], columns]
        if coarser > 1:
            height, width = geobox.shape
            cells = seen.reshape(-1, height, coarser, width, coarser)
            seen = np.rint(cells.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint16)
        every = np.ones(len(bands))
        return Pixels(seen, np.ones(geobox.shape, np.bool_), every * SCALE, every * 0)

    def _mirrored(self, start: float, length: int) -> NDArray[np.intp]:
        position = (round(start) + np.arange(length)) % (2 * self.size)
        return np.minimum(position, 2 * self.size - 1 - position)


def _midnight(day: int) -> datetime:
    return datetime.fromordinal(datetime(YEAR, 1, 1).toordinal() + day).replace(tzinfo=UTC)
