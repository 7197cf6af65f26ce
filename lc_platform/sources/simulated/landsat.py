"""Landsat 8 and 9 over the simulated planet: Level 1, reflectance at the top of the atmosphere.

The ground, and the air of a date, are those that Sentinel-2 sees; a Landsat band has the spectrum
of the Sentinel-2 band that lies where it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.catalogue import AUXILIARY_COLLECTIONS, SIMULATED_AUXILIARY_BANDS
from lc_platform.eo import landsat_qa as quality
from lc_platform.sources.oversampling import mean_of_points
from lc_platform.sources.protocol import Acquisition, Pixels
from lc_platform.sources.simulated import granules
from lc_platform.sources.simulated.archive import (
    NATIVE,
    SimulatedArchive,
    blocks_of,
)
from lc_platform.sources.simulated.coordinates import metres_per_unit, resolution
from lc_platform.sources.simulated.granules import Granule
from lc_platform.sources.simulated.landscape import WATER
from lc_platform.sources.simulated.orbits import LANDSAT, Pass

SENTINEL2_BANDS: Mapping[str, str] = dict(
    zip(
        SIMULATED_AUXILIARY_BANDS["landsat-ot-l1"],
        ("B01", "B02", "B03", "B04", "B8A", "B11", "B12", "B10"),
        strict=True,
    )
)
"""Landsat's band -> the one of Sentinel-2 at its wavelength: coastal, blue, green, red, near
infrared, the two of the short-wave infrared, cirrus."""
QUALITY_BAND = str(AUXILIARY_COLLECTIONS["landsat-ot-l1"].quality_band)
PIXEL = 30.0
"""Metres between the archive's pixels; their edges are multiples of it from the CRS's origin."""
SCALE, OFFSET = 2e-5, -0.1
"""Of Collection 2, Level 1: reflectance = digital number * SCALE + OFFSET."""
DILATED = 90.0
"""Metres around clouds that the quality band marks too."""

_LOW, _HIGH = 1, 3


class SimulatedLandsat(SimulatedArchive):
    """Landsat 8-9 Level 1 of a simulated planet; the parameters are its. Its quality band BQA is
    QA_PIXEL of Collection 2, and right about every cloud."""

    mission = LANDSAT
    bands = (*SENTINEL2_BANDS, QUALITY_BAND)

    def _acquisition(
        self, flown: Pass, imaged: Mapping[Granule, bool], *, whole: bool = True
    ) -> Acquisition:
        orbit = {"sat:relative_orbit": str(flown.orbit)}
        return replace(super()._acquisition(flown, imaged, whole=whole), properties=orbit)

    def _read(
        self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str], split: int
    ) -> Pixels:
        self._check(acquisition, bands)
        if split > 1 and resolution(geobox) >= 2 * PIXEL:
            values, data_mask = self._on(acquisition, geobox, bands, split)
        else:
            own, rows, columns = own_pixels(geobox)
            values, data_mask = self._on(acquisition, own, bands, round(PIXEL / NATIVE))
            values, data_mask = values[:, rows, columns], data_mask[rows, columns]
        is_quality = np.array([band == QUALITY_BAND for band in bands])
        return Pixels(
            values,
            data_mask,
            scale=np.where(is_quality, 1.0, SCALE),
            offset=np.where(is_quality, 0.0, OFFSET),
        )

    def _on(
        self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str], split: int
    ) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Return the digital numbers (band, y, x) and data mask (y, x) on a grid no finer than the
        archive's, means of ``split`` x ``split`` places a pixel."""
        flown = self._pass(acquisition)
        only = granules.of_items(flown.key, acquisition.items)
        values = np.zeros((len(bands), *geobox.shape), np.uint16)
        data_mask = np.zeros(geobox.shape, np.bool_)
        measured = [n for n, band in enumerate(bands) if band != QUALITY_BAND]
        wanted = tuple(SENTINEL2_BANDS[bands[n]] for n in measured)
        for rows, block in blocks_of(geobox, split):
            seen, numbers = self._numbers(flown, block, wanted, 0.0, only)
            reflectance, data_mask[rows] = mean_of_points(numbers, seen, split)
            counts = np.rint((reflectance * 1e-4 - OFFSET) / SCALE)
            values[measured, rows] = np.minimum(counts, 65535).astype(np.uint16)
        if QUALITY_BAND in bands:
            values[bands.index(QUALITY_BAND)] = self.quality(acquisition, geobox)
        values[:, ~data_mask] = 0
        return values, data_mask

    def quality(self, acquisition: Acquisition, geobox: GeoBox) -> NDArray[np.uint16]:
        """Return QA_PIXEL at each pixel centre of a grid, (y, x), whether the swath covers it or
        not."""
        reach = max(1, round(DILATED / resolution(geobox)))
        thick, _, _ = self.cloud_truth(acquisition, geobox.pad(reach))
        around = np.lib.stride_tricks.sliding_window_view(thick, (2 * reach + 1,) * 2)
        inside = slice(reach, -reach)
        cloud = thick[inside, inside]
        dilated = around.any(axis=(2, 3)) & ~cloud
        _, thin, shadow = self.cloud_truth(acquisition, geobox)
        snow = self.snow_truth(acquisition, geobox) & ~cloud
        water = (self.truth(geobox) == WATER) & ~cloud & ~snow
        out = np.zeros(geobox.shape, np.uint16)
        for bit, where in (
            (quality.DILATED_CLOUD, dilated),
            (quality.CIRRUS, thin),
            (quality.CLOUD, cloud),
            (quality.CLOUD_SHADOW, shadow),
            (quality.SNOW, snow),
            (quality.CLEAR, ~cloud & ~dilated),
            (quality.WATER, water),
        ):
            out |= where * np.uint16(bit)
        for shift, where in ((8, cloud), (10, shadow), (12, snow), (14, thin)):
            out |= np.where(where, _HIGH, _LOW).astype(np.uint16) << np.uint16(shift)
        return out


def own_pixels(geobox: GeoBox) -> tuple[GeoBox, NDArray[np.intp], NDArray[np.intp]]:
    """Return the archive's grid under another one, and the row and column in it of each pixel
    centre of that, both (y, x)."""
    assert geobox.crs is not None
    step = PIXEL / metres_per_unit(geobox.crs)
    rows, columns = geobox.shape
    east, north = geobox.affine * np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    column, row = np.floor(east / step).astype(np.intp), np.floor(-north / step).astype(np.intp)
    left, top = int(column.min()), int(row.min())
    shape = int(row.max()) - top + 1, int(column.max()) - left + 1
    affine = Affine(step, 0.0, left * step, 0.0, -step, -top * step)
    return GeoBox(shape, affine, geobox.crs), row - top, column - left
