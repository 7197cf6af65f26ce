"""A reference map that is a raster already."""

from __future__ import annotations

import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window

from lc_platform.area.coordinates import CoordinatesError, applied, usable
from lc_platform.eo import polygons
from lc_platform.eo.rasterize import ReferenceRaster, from_raster
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_classes import PixelClasses, ReferenceValues, listed
from lc_platform.sources.reference_options import ReferenceOptions

_ROWS = 256
"""Rows of a grid for which a raster is read at a time."""
_NO_LABEL = -2
"""Stands for pixels without data; PixelClasses.UNKNOWN for those with a value of no class."""
_MIDDLE = 64
"""Pixels along the side of the square in a grid's middle that is asked first for a label."""
_COUNTED, _SORTED = 2.5e8, 3e7
"""Pixels whose values are counted at most, for which some seconds are enough: of types of up to
65,536 values, and of others, whose values are sorted."""
_STRIDE = 16
"""Pixels between those that are asked next."""
_BLOCK = 1024
_HAIR = 0.01
"""Pixels by which the box around a grid may be off."""


class RasterReference:
    """Values of a raster's first band, those in which each pixel's centre lies."""

    def __init__(self, options: ReferenceOptions, path: str) -> None:
        """Raises SourceError naming the file where it is no raster of whole numbers whose place
        on Earth is known, and the key where a class's values are none of a raster's."""
        if options.file is not None and options.file.layer is not None:
            raise SourceError(
                f"reference.layer: {path} is a raster, which has no layers. Take the key out"
            )
        self._path = _inside(path)
        self._classes = PixelClasses(options)
        self.notes: list[str] = []
        try:
            with self._opened() as raster:
                dtype = raster.dtypes[0]
                bands, band = raster.count, raster.descriptions[0]
                self._crs = usable(
                    raster.crs.to_wkt() if raster.crs else None,
                    None if raster.transform.is_identity else tuple(raster.bounds),
                    path,
                    "Assign the one it lies in",
                )
                placed = not raster.transform.is_identity
                no_data = raster.nodata
                flags = raster.mask_flag_enums[0]
        except RasterioIOError as error:
            raise SourceError(
                f"reference.path: {path} is neither a vector file nor a raster that GDAL reads "
                f"({error}). Give one that is; this one may be damaged"
            ) from error
        except CoordinatesError as error:
            raise SourceError(f"reference.path: {error}") from error
        if not placed:
            raise SourceError(
                f"reference.path: {path} does not say where its pixels lie (it has no geotransform "
                "and no world file). Georeference it, for example with gdal_translate -a_ullr"
            )
        if not np.issubdtype(np.dtype(dtype), np.integer):
            raise SourceError(
                f"reference.path: {path} holds {dtype}, and classes are whole numbers. "
                "Convert it to an integer type"
            )
        self._dtype = np.dtype(dtype)
        if bands > 1:
            self.notes.append(
                f"reference.path: {path} has {bands} bands, and the first one is read"
                + (f" ({band})" if band else "")
                + ". Where the classes are in another, take that out: gdal_translate -b 2 IN OUT"
            )
        # A value that means no data is of no class, unless the configuration says so.
        self._masked = not {MaskFlags.nodata, MaskFlags.all_valid} & set(flags)
        self._all_data = MaskFlags.all_valid in flags
        if (
            MaskFlags.nodata in flags
            and no_data is not None
            and self._classes.of(np.int64(no_data)) > 0
        ):
            # The file says that its pixels are none, the configuration that they are a class.
            self._all_data = True
            taking = int(self._classes.of(np.int64(no_data)))
            name = next(one.name for one in options.classes if one.id == taking)
            self.notes.append(
                f"reference.path: {path} declares {no_data:g} as no data, and it is a value of the "
                f"class {name}, which takes these pixels. Where they are not of the class, take "
                "the value out of it; where they are, take the declaration out of the file "
                "(gdal_edit.py -unsetnodata)"
            )

    def _opened(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(self._path)

    def values(self) -> ReferenceValues:
        counts: Counter[int] = Counter()
        with self._opened() as raster:
            most = _COUNTED if self._dtype.itemsize <= 2 else _SORTED
            for window in _parts(raster.width, raster.height, most):
                counts.update(_counted(self._with_data(raster, window)))
            complete = raster.width * raster.height <= most
        return self._classes.values(counts, complete)

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        classes, unknown = self._read(geobox)
        if unknown:
            raise SourceError(
                f"reference.classes: {self._path} has values that no class has: "
                f"{self._listed(unknown)}. Add them to a class's values, or to reference.ignore"
            )
        ids = self._classes.ids
        return from_raster(classes, {i: i for i in ids}, ids)

    def _listed(self, here: Counter[int]) -> str:
        """Return values that no class has with their pixels: those of the whole raster, that all
        may be mended at once."""
        found = self.values()
        counts = dict(found.unknown.get("", {}))
        for value, count in here.items():
            counts.setdefault(str(value), count)
        at_least = "" if found.complete else ", counted in a part of the raster"
        return listed(counts, "pixel") + at_least

    def outlines(self, geobox: GeoBox) -> geopandas.GeoDataFrame:  # noqa: ARG002
        return geopandas.GeoDataFrame({"polygon": []}, geometry=[], crs="EPSG:4326")

    def covers(self, geobox: GeoBox) -> bool:
        with self._opened() as raster:
            middle = tuple(
                slice(max(0, (n - _MIDDLE) // 2), min(n, (n + _MIDDLE) // 2)) for n in geobox.shape
            )
            if (self._classes_on(raster, geobox[middle]) > 0).any():
                return True
            if not self._any_around(raster, geobox):
                return False
            if (self._classes_on(raster, _every(_STRIDE, geobox)) > 0).any():
                return True
            return any(
                (self._classes_on(raster, geobox[rows, :]) > 0).any() for rows in _rows(geobox)
            )

    def _any_around(self, raster: Any, geobox: GeoBox) -> bool:
        """Return whether a pixel of the raster in the box around a grid's centres has a class."""
        rows, columns = geobox.shape
        x = np.array([0.5, columns - 0.5, columns - 0.5, 0.5])
        y = np.array([0.5, 0.5, rows - 0.5, rows - 0.5])
        if min(rows, columns) < 2:
            return True  # there is no box
        try:
            reach = polygons.reprojected(
                shapely.Polygon(np.column_stack(applied(geobox.affine, x, y))),
                CRS(str(geobox.crs)),
                self._crs,
                _HAIR * abs(raster.transform.a),  # the raster's own units
            )
        except polygons.NotExpressibleError:
            return True
        west, south, east, north = reach.bounds
        turns = polygons.turns_above(self._crs, raster.bounds.left, np.array([west, east]))
        if turns[0] != turns[1]:
            return True  # the raster's edge lies within
        west, east = west + turns[0], east + turns[1]
        x, y = np.array([west, east, east, west]), np.array([south, south, north, north])
        x, y = applied(~raster.transform, x, y)
        left, top = (max(0, int(np.floor(side.min() - _HAIR))) for side in (x, y))
        right = min(raster.width, int(np.floor(x.max() + _HAIR)) + 1)
        bottom = min(raster.height, int(np.floor(y.max() + _HAIR)) + 1)
        for row in range(top, bottom, _BLOCK):
            for column in range(left, right, _BLOCK):
                window = Window(column, row, min(_BLOCK, right - column), min(_BLOCK, bottom - row))
                if self._has_class(raster, window):
                    return True
        return False

    def _has_class(self, raster: Any, window: Window) -> bool:
        """Return whether a pixel of a window has data of a class."""
        if self._masked:
            return bool((self._classes.of(self._with_data(raster, window)) > 0).any())
        values = self._native(raster, window)
        if self._labelled is not None:
            return bool(self._labelled[values.view(f"u{values.itemsize}")].any())
        return bool((self._classes.of(values) > 0).any())

    @cached_property
    def _labelled(self) -> NDArray[np.bool_] | None:
        """Whether a class has the value, by its bits; None where there are too many values."""
        if self._dtype.itemsize > 2:
            return None
        every = np.arange(2 ** (8 * self._dtype.itemsize)).astype(f"u{self._dtype.itemsize}")
        found: NDArray[np.bool_] = self._classes.of(every.view(self._dtype).astype(np.int64)) > 0
        return found

    def _with_data(self, raster: Any, window: Window) -> NDArray[Any]:
        """Return the values of a window's pixels that have data, (pixel,)."""
        values = self._native(raster, window)
        if self._all_data:
            return values.ravel()
        seen: NDArray[np.bool_] = raster.read_masks(1, window=window) > 0
        return values[seen]

    def _window(self, raster: Any, window: Window) -> NDArray[np.int64]:
        return self._native(raster, window).astype(np.int64)

    def _native(self, raster: Any, window: Window) -> NDArray[Any]:
        try:
            found: NDArray[Any] = raster.read(1, window=window)
        except RasterioIOError as error:
            raise SourceError(
                f"reference.path: {self._path} is damaged ({error}). Get the file again"
            ) from error
        return found

    def _read(self, geobox: GeoBox) -> tuple[NDArray[np.uint8], Counter[int]]:
        """Return (y, x), class ids, 0 where there is none; and the pixels of values that no class
        has."""
        classes = np.zeros(geobox.shape, np.uint8)
        unknown: Counter[int] = Counter()
        with self._opened() as raster:
            for rows in _rows(geobox):
                found = self._classes_on(raster, geobox[rows, :], unknown)
                classes[rows] = np.maximum(found, 0)
        return classes, unknown

    def _classes_on(
        self, raster: Any, grid: GeoBox, unknown: Counter[int] | None = None
    ) -> NDArray[np.int64]:
        """Return (y, x), class ids of the values that the centres of a grid's pixels lie in.

        unknown  counts the values that no class has

        Not by GDAL's warp, which approximates: a pixel's value would hang on its window.
        """
        classes = np.full(grid.shape, _NO_LABEL, np.int64)
        x, y = np.meshgrid(np.arange(grid.shape[1]) + 0.5, np.arange(grid.shape[0]) + 0.5)
        x, y = applied(grid.affine, x, y)
        if grid.crs != raster.crs:
            x, y = polygons.transformer(str(grid.crs), raster.crs.to_wkt()).transform(x, y)
        turns = polygons.turns_above(self._crs, raster.bounds.left, x)
        for turn in np.unique(turns[np.isfinite(turns)]):
            on_turn = np.where(turns == turn, x + turn, np.nan)
            self._gather(raster, *applied(~raster.transform, on_turn, y), classes, unknown)
        return classes

    def _gather(
        self,
        raster: Any,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        classes: NDArray[np.int64],
        unknown: Counter[int] | None,
    ) -> None:
        """Fill ``classes`` where columns and rows lie in a raster, from one window of it."""
        with np.errstate(invalid="ignore"):
            inside = (x >= 0) & (x < raster.width) & (y >= 0) & (y < raster.height)
        if not inside.any():
            return
        columns, rows = x[inside].astype(np.intp), y[inside].astype(np.intp)
        left, top = int(columns.min()), int(rows.min())
        window = Window(left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1)
        here = (rows - top, columns - left)
        found = self._window(raster, window)[here]
        of = self._classes.of(found)
        if not self._all_data:
            of[raster.read_masks(1, window=window)[here] == 0] = _NO_LABEL
        if unknown is not None and (odd := found[of == PixelClasses.UNKNOWN]).size:
            value, count = np.unique(odd, return_counts=True)
            unknown.update(dict(zip(value.tolist(), count.tolist(), strict=True)))
        classes[inside] = of


def _inside(path: str) -> str:
    """Return a raster as GDAL names it: the one in a zip, of which it needs the name."""
    if not path.lower().endswith(".zip") or not Path(path).is_file():
        return path
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return path
    rasters = [n for n in names if PurePosixPath(n).suffix.lower() in {".tif", ".tiff", ".img"}]
    if len(rasters) > 1:
        raise SourceError(
            f"reference.path: {path} holds {len(rasters)} rasters ({', '.join(rasters[:5])}). Name "
            f"one: /vsizip/{path}/{rasters[0]}"
        )
    return f"/vsizip/{Path(path).absolute()}/{rasters[0]}" if rasters else path


def _every(stride: int, grid: GeoBox) -> GeoBox:
    """Return a grid whose pixels have the centres of every ``stride``th of another's."""
    shape = (max(1, grid.shape[0] // stride), max(1, grid.shape[1] // stride))
    offset = (1 - stride) / 2
    affine = grid.affine * Affine.translation(offset, offset) * Affine.scale(stride)
    return GeoBox(shape, affine, grid.crs)


def _rows(grid: GeoBox) -> Iterator[slice]:
    for start in range(0, grid.shape[0], _ROWS):
        yield slice(start, min(start + _ROWS, grid.shape[0]))


def _counted(values: NDArray[Any]) -> dict[int, int]:
    """Return how often each value is there."""
    size = values.dtype.itemsize
    if size > 2:
        value, count = np.unique(values, return_counts=True)
    else:
        of_bits = np.bincount(values.view(f"u{size}"))
        present = np.flatnonzero(of_bits)
        value, count = present.astype(f"u{size}").view(values.dtype), of_bits[present]
    return dict(zip(value.tolist(), count.tolist(), strict=True))


def _parts(width: int, height: int, most: float) -> Iterator[Window]:
    """Yield windows of a raster: all, or those that lie evenly in it and have ``most`` pixels."""
    columns, rows = -(-width // _BLOCK), -(-height // _BLOCK)
    step = 1 if width * height <= most else -(-columns * rows * _BLOCK**2 // int(most))
    for n in range(0, columns * rows, step):
        row, column = divmod(n, columns)
        yield Window(
            column * _BLOCK,
            row * _BLOCK,
            min(_BLOCK, width - column * _BLOCK),
            min(_BLOCK, height - row * _BLOCK),
        )
