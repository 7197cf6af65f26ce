"""A patch's year of acquisitions, read by window, time and band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import MAIN, Window, first_pixel
from lc_platform.eo import csmask
from lc_platform.eo.radiometry import calibrate
from lc_platform.errors import DataError
from lc_platform.products.handle import SeasonHandle, without_margin

DETECTOR = "detector"
"""The grid of the imagery that only the cloud detector reads: coarser, and beyond the patch."""

MAP_MARGIN = "map_margin"
"""Among the attributes: pixels beyond the patch that masks and features are made of too, so that
the map's neighbourhoods are whole; absent where there are none."""

SUN = ("sun_azimuth", "sun_elevation")
"""Among an acquisition's facts: where the sun stood, degrees, where the archive says it."""
ADDRESSES = "addresses"
"""Likewise: by which references a catalog of files leads to its items, see `Acquisition`."""

Times = slice | Sequence[int]


@dataclass(frozen=True)
class AcquisitionStack(SeasonHandle):
    """Digital numbers of every acquisition of a patch in a year, on the patch's grid."""

    grid: str = MAIN

    @cached_property
    def margin(self) -> int:
        """Pixels stored beyond the patch on each side."""
        if self.grid == DETECTOR:
            return 0
        return int(self.cube.attributes["margin"]) if self.grid == MAIN else self.map_margin

    @property
    def map_margin(self) -> int:
        """Pixels beyond the patch on each side that the map is made from."""
        return int(self.cube.attributes.get(MAP_MARGIN, 0))

    @cached_property
    def map_grid(self) -> GeoBox:
        """The patch's grid and the map's margin around it."""
        return self.geobox.pad(self.map_margin) if self.map_margin else self.geobox

    @cached_property
    def geobox(self) -> GeoBox:
        """The patch's grid, without the margin."""
        return without_margin(self.cube.grids[self.grid], self.margin)

    @property
    def detector(self) -> AcquisitionStack:
        """The imagery that the cloud detector reads: on a coarser grid, or this at full
        resolution."""
        return AcquisitionStack(self.cube, DETECTOR) if DETECTOR in self.cube.grids else self

    @property
    def auxiliary(self) -> Mapping[str, AcquisitionStack]:
        """The stacks of the auxiliary collections by name, each with its own times, on the
        patch's grid."""
        names = self.cube.attributes.get("collections", {}) if self.grid == MAIN else {}
        return {name: AcquisitionStack(self.cube, name) for name in names}

    @property
    def _attributes(self) -> Mapping[str, Any]:
        """The cube's attributes of an auxiliary collection; for any other grid, of the main one."""
        about = self.cube.attributes
        own: Mapping[str, Any] = about.get("collections", {}).get(self.grid, about)
        return own

    @property
    def collection(self) -> str:
        """Its id in the archive."""
        return str(self._attributes["collection"])

    @cached_property
    def acquisitions(self) -> list[dict[str, Any]]:
        """Facts of each acquisition, in order of time: key, datetime, items, platform, ..."""
        return list(self._attributes["acquisitions"])

    @property
    def keys(self) -> list[str]:
        return [str(one["key"]) for one in self.acquisitions]

    def __len__(self) -> int:
        return len(self.acquisitions)

    @cached_property
    def datetimes(self) -> NDArray[np.datetime64]:
        """(time,), UTC."""
        return np.array([a["datetime"] for a in self.acquisitions], dtype="datetime64[s]")

    @cached_property
    def sun(self) -> list[tuple[float, float] | None]:
        """(time,), azimuth and elevation of the sun in degrees; None where the archive does not
        say it."""
        return [
            (float(a[SUN[0]]), float(a[SUN[1]])) if SUN[0] in a else None for a in self.acquisitions
        ]

    @cached_property
    def days(self) -> NDArray[np.int32]:
        """(time,), days since the season's first."""
        start = np.datetime64(self.season.first(self.year), "D")
        return (self.datetimes.astype("datetime64[D]") - start).astype(np.int32)

    @cached_property
    def of_season(self) -> slice:
        """Along time, the acquisitions that are of the season itself, and not of the padding on its
        sides."""
        first, after = np.searchsorted(self.days, [0, self.season.length(self.year)])
        return slice(int(first), int(after))

    def of_month(self, month: int) -> list[int]:
        """Return which acquisitions of the season, by their positions, are of a month, 1 to 12."""
        months = self.datetimes.astype("datetime64[M]").astype(np.int64) % 12 + 1
        own = range(len(self))[self.of_season]
        return [position for position in own if months[position] == month]

    @property
    def _prefix(self) -> str:
        return f"{self.grid}/" if self.grid else ""

    @cached_property
    def bands(self) -> tuple[str, ...]:
        return tuple(str(b) for b in self.cube.coordinates[self._prefix + "band"])

    def _positions(self, bands: Sequence[str] | None) -> list[int]:
        wanted = self.bands if bands is None else bands
        missing = [b for b in wanted if b not in self.bands]
        if missing:
            raise DataError(
                f"{self.name}: no band {', '.join(missing)} in raw_bands, which has "
                f"{', '.join(self.bands)}. Acquire it: materialize raw_bands again"
            )
        return [self.bands.index(b) for b in wanted]

    def digital_numbers(
        self,
        window: Window | None = None,
        times: Times = slice(None),
        bands: Sequence[str] | None = None,
    ) -> NDArray[Any]:
        """Return (time, band, y, x) as the archive has them, in its type; 0, -9999 (of signed
        ones) or NaN where there is no data."""
        return self.cube.read(
            self._prefix + "bands",
            self._stored(window),
            time=times,
            band=self._positions(bands),
        )

    def data_mask(
        self, window: Window | None = None, times: Times = slice(None)
    ) -> NDArray[np.bool_]:
        """Return (time, y, x), True where every band has data."""
        mask = self.cube.read(self._prefix + "data_mask", self._stored(window), time=times)
        return mask.astype(bool)

    @cached_property
    def _calibrations(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        key = f"{DETECTOR}_" if self.grid == DETECTOR else ""
        scale = np.array([a[f"{key}scale"] for a in self.acquisitions], dtype=np.float64)
        offset = np.array([a[f"{key}offset"] for a in self.acquisitions], dtype=np.float64)
        return scale, offset

    def calibration(
        self, bands: Sequence[str] | None = None, times: Times = slice(None)
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (time, band) scale and offset: reflectance = digital number * scale + offset."""
        picked = self._positions(bands)
        chosen = times if isinstance(times, slice) else list(times)
        scale, offset = self._calibrations
        return scale[chosen][:, picked], offset[chosen][:, picked]

    def reflectance(
        self,
        window: Window | None = None,
        times: Times = slice(None),
        bands: Sequence[str] | None = None,
    ) -> NDArray[np.float32]:
        """Return (time, band, y, x), float32; where there is no data, the value of the number that
        stands for it."""
        numbers = self.digital_numbers(window, times, bands)
        return calibrate(numbers, *self.calibration(bands, times))


def tiled_grid(geobox: GeoBox) -> GeoBox:
    """Return a grid and what lies around it of the tiles that a cloud network sees as a whole."""
    (row, column), (rows, columns) = first_pixel(geobox), geobox.shape
    top, bottom = csmask.extent(row, rows)
    left, right = csmask.extent(column, columns)
    side = geobox.affine.a
    return GeoBox.from_bbox(
        (left * side, -bottom * side, right * side, -top * side),
        crs=geobox.crs,
        resolution=side,
        tight=True,
    )


def detector_grid(geobox: GeoBox, resolution: float, margin: int) -> GeoBox:
    """Return the cloud detector's grid for a patch: pixels of ``resolution`` whose edges are
    multiples of it from the CRS's origin, so that neighbours share them, over the patch and
    ``margin`` pixels beyond on each side."""
    box = geobox.boundingbox
    left, bottom = (np.floor(v / resolution) * resolution for v in (box.left, box.bottom))
    right, top = (np.ceil(v / resolution) * resolution for v in (box.right, box.top))
    reach = margin * resolution
    return GeoBox.from_bbox(
        (left - reach, bottom - reach, right + reach, top + reach),
        crs=geobox.crs,
        resolution=resolution,
        tight=True,
    )
