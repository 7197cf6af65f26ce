"""An index over a polygon, acquisition by acquisition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from lc_platform.area.grid import Patch
from lc_platform.cube import Window, windows
from lc_platform.eo import polygons
from lc_platform.eo.indices import Index, compute
from lc_platform.errors import DataError
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.reading.datasets import calibrated

_WGS84 = CRS.from_epsg(4326)
_WINDOW = 256
"""Pixels along the side of what is read at a time: what is compressed together."""


class PolygonError(DataError):
    """What was given for a polygon cannot be understood as one."""


@dataclass(frozen=True)
class Ground:
    """A polygon, in the CRS in which it was given."""

    geometry: BaseGeometry
    crs: CRS

    @classmethod
    def of(cls, given: Any) -> Ground:
        """Return what was given as one polygon.

        given  a shapely polygon, or GeoJSON, in degrees (EPSG:4326), or a GeoSeries or a
               GeoDataFrame in any CRS, all of which is taken together

        Raises PolygonError where it is no polygon, is empty, or has no CRS.
        """
        crs = _WGS84
        if hasattr(given, "to_crs"):
            if given.crs is None:
                raise PolygonError("polygon: has no CRS. Set it, for example by set_crs(4326)")
            crs, given = CRS.from_user_input(given.crs), given.geometry.union_all()
        elif not isinstance(given, BaseGeometry):
            try:
                given = shapely.geometry.shape(given)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise PolygonError(
                    f"polygon: {type(given).__name__} is none. Give one of shapely or GeoJSON in "
                    "degrees, or a GeoSeries"
                ) from error
        whole = polygons.cleaned(given, crs)
        if whole.is_empty:
            raise PolygonError(
                f"polygon: {given.geom_type} without any area. Give a polygon, or ask for a point "
                "by at(longitude, latitude, year)"
            )
        return cls(whole, crs)

    @property
    def degrees(self) -> BaseGeometry:
        """The polygon in EPSG:4326, longitudes from -180 to 180."""
        return polygons.normalized(polygons.reprojected(self.geometry, self.crs, _WGS84, 1e-7))

    def on(self, patch: Patch) -> BaseGeometry:
        """Return the polygon in a patch's CRS, to a hundredth of a pixel."""
        target = CRS.from_user_input(patch.crs)
        return polygons.reprojected(self.geometry, self.crs, target, patch.resolution / 100)


@dataclass
class PolygonPixels:
    """The pixels of a polygon whose centres lie in it: each patch's own, and no place twice."""

    ground: Ground
    patches: Sequence[Patch]
    count: int = 0
    """How many there are in those patches that were asked for."""
    _before: list[Patch] = field(default_factory=list)

    def of(self, patch: Patch) -> list[tuple[Window, NDArray[np.bool_]]]:
        """Return windows of a patch, and which of their pixels (y, x) are the polygon's.

        What an earlier patch of another zone shows too is left out.
        """
        found = list(self._masks(patch))
        self._before.append(patch)
        self.count += sum(int(mask.sum()) for _, mask in found)
        return found

    def _masks(self, patch: Patch) -> Iterator[tuple[Window, NDArray[np.bool_]]]:
        from rasterio.features import geometry_mask

        there = self.ground.on(patch)
        geobox = patch.geobox
        rows, columns = _around(there, geobox)
        others = [one for one in self._before if one.crs != patch.crs]
        for window in windows(patch.shape, _WINDOW):
            if not (_meet(window[0], rows) and _meet(window[1], columns)):
                continue
            part = geobox[window]
            mask = geometry_mask([there], part.shape, part.affine, invert=True)
            for other in others:
                mask &= ~_shown_by(other, part, patch.crs)
            if mask.any():
                yield window, mask


def _around(geometry: BaseGeometry, geobox: GeoBox) -> Window:
    """Return the rows and columns, of the grid and beyond it, that a polygon's box touches."""
    left, bottom, right, top = geometry.bounds
    west, north, side = geobox.affine.c, geobox.affine.f, geobox.affine.a
    return (
        slice(math.floor((north - top) / side), math.ceil((north - bottom) / side) + 1),
        slice(math.floor((left - west) / side), math.ceil((right - west) / side) + 1),
    )


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _shown_by(other: Patch, part: GeoBox, crs: str) -> NDArray[np.bool_]:
    """Return (y, x), True where the centre of a pixel lies in another patch too."""
    rows, columns = np.indices(part.shape) + 0.5
    affine = part.affine
    x, y = polygons.transformer(crs, other.crs).transform(
        affine.c + affine.a * columns, affine.f + affine.e * rows
    )
    left, bottom, right, top = other.box
    inside: NDArray[np.bool_] = (left <= x) & (x < right) & (bottom < y) & (y <= top)
    return inside


@dataclass
class Observed:
    """What acquisitions show of a polygon, summed over its pixels."""

    index: Index | str
    """A band, where it is a text."""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the acquisition's key."""

    @property
    def name(self) -> str:
        return self.index if isinstance(self.index, str) else self.index.name

    @property
    def bands(self) -> tuple[str, ...]:
        return (self.index,) if isinstance(self.index, str) else self.index.bands

    def add(
        self,
        raw_bands: AcquisitionStack,
        masks: CloudMasks,
        parts: Sequence[tuple[Window, NDArray[np.bool_]]],
    ) -> None:
        """Add a patch's pixels, as the acquisitions of the year's own season show them.

        Raises DataError where the masks are not those of the imagery, or where the imagery lacks a
        band.
        """
        masks.check_made_of(raw_bands)
        missing = raw_bands.cube.layers["bands"].attributes.get("_FillValue")
        times = raw_bands.of_season
        for window, inside in parts:
            values = calibrated(raw_bands, window, times, self.bands, missing)
            if isinstance(self.index, str):
                pixels = values[:, 0]
            else:
                pixels = compute(self.index, {b: values[:, i] for i, b in enumerate(self.bands)})
            usable = masks.valid(window, times) & inside & np.isfinite(pixels)
            cloudy = masks.cloud(window, times) & inside
            sums = {
                "sum": np.where(usable, pixels, 0).sum(axis=(1, 2), dtype=np.float64),
                "valid": usable.sum(axis=(1, 2)),
                "cloud": cloudy.sum(axis=(1, 2)),
                "data": (raw_bands.data_mask(window, times) & inside).sum(axis=(1, 2)),
            }
            for at, key in enumerate(raw_bands.keys[times]):
                row = self.rows.setdefault(key, {"time": raw_bands.datetimes[times][at]})
                for name, counts in sums.items():
                    row[name] = row.get(name, 0) + counts[at]

    def table(self, pixels: int) -> pd.DataFrame:
        """Return a row an acquisition; see `Reader.series`.

        pixels  of the polygon
        """
        keys = sorted(self.rows, key=lambda key: (self.rows[key]["time"], key))
        rows = [self.rows[key] for key in keys]

        def column(name: str) -> NDArray[np.float64]:
            return np.array([row[name] for row in rows], np.float64)

        valid = column("valid")
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(valid > 0, column("sum") / valid, np.nan)
        times = np.array([row["time"] for row in rows], "datetime64[s]")
        return pd.DataFrame(
            {
                "acquisition": np.array(keys, object),
                self.name: mean,
                "valid": valid > 0,
                "pixels": valid.astype(np.int64),
                "valid_fraction": valid / pixels,
                "cloud_fraction": column("cloud") / pixels,
                "data_fraction": column("data") / pixels,
            },
            pd.DatetimeIndex(times, name="time"),
        )
