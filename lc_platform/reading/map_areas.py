"""The area of each class of a year's map: of all of it, or within a box."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from lc_platform.artefacts.layout import Partition, key
from lc_platform.artefacts.records import Records
from lc_platform.cube import Legend
from lc_platform.eo import polygons
from lc_platform.products.mosaic import LAND_COVER
from lc_platform.reading.artefacts import Artefacts
from lc_platform.reading.open_artefacts import of_one_version
from lc_platform.storage.raster_cube import opened_file

_MOST = 4096 * 4096
"""Pixels that are read of the map; of a larger box its overviews are, where a pixel stands for
several."""
_HECTARE = 1e4
"""Square metres."""
_NARROW = 90.0
"""Degrees."""
_WGS84 = CRS.from_epsg(4326)
Box = tuple[float, float, float, float]
"""West, south, east, north, degrees."""


@dataclass(frozen=True)
class ClassArea:
    """The area of a class."""

    class_id: int
    pixels: int
    hectares: float
    """Of the pixels."""
    estimate: Mapping[str, float] | None
    """``value``, ``low`` and ``high`` in hectares, by the points that people have judged; None
    where there are none, or not of this map."""


@dataclass(frozen=True)
class MapAreas:
    """The areas of a map's classes."""

    classes: Sequence[ClassArea]
    legend: Legend
    """The classes as they were when the map was made."""
    is_exact: bool
    """Whether every pixel was looked at, and not one of several."""


def areas(artefacts: Artefacts, year: int, boxes: Sequence[Box] | None) -> MapAreas:
    """Return the areas of a year's map; within boxes, of the pixels whose centres lie in them.

    Raises MissingArtefactError where there is no map of the year, DamagedArtefactError where it
    cannot be read.
    """
    where = artefacts.partition("mosaic", None, year)
    path = key("mosaic", year=year)
    legend = artefacts.stored_legends(f"{path}/{LAND_COVER}").get(1, artefacts.legend)
    if boxes is None and (told := _statistics(artefacts, year)) is not None:
        return MapAreas([_of_statistics(one) for one in told["classes"]], legend, True)
    counted = of_one_version(lambda: _counted(artefacts, where, path, boxes))
    ids = sorted({*legend, *(np.flatnonzero(counted.counts[1:]) + 1).tolist()})
    each = counted.pixel_square_metres / _HECTARE
    counts = counted.counts.tolist()
    found = [ClassArea(one, counts[one], counts[one] * each, None) for one in ids]
    return MapAreas(found, legend, counted.is_exact)


def _statistics(artefacts: Artefacts, year: int) -> Mapping[str, Any] | None:
    """Return what the area statistics say of the whole map; None where they are not of the map as
    it is now."""
    found = artefacts.if_made(lambda: artefacts.value("area_statistics", year))
    if found is None:
        return None
    recorded = Records(artefacts.store).of("mosaic", Partition(year=year))
    if recorded is None or found.content["mosaic_version"] != recorded.data:
        return None
    total: Mapping[str, Any] = found.content["total"]
    return total


def _of_statistics(told: Mapping[str, Any]) -> ClassArea:
    return ClassArea(
        int(told["id"]), int(told["pixels"]), float(told["mapped_hectares"]), told.get("hectares")
    )


def _counted(
    artefacts: Artefacts, where: Partition, path: str, boxes: Sequence[Box] | None
) -> CountedPixels:
    files = artefacts.files("mosaic", where)
    with opened_file(artefacts.store, path, files[LAND_COVER]) as raster:
        return count(raster, boxes)


@dataclass(frozen=True)
class CountedPixels:
    """How many pixels of each class there are."""

    counts: NDArray[np.int64]
    """(256,), by class id."""
    pixel_square_metres: float
    is_exact: bool
    """Whether every pixel was looked at, and not one of several."""


def count(raster: rasterio.DatasetReader, boxes: Sequence[Box] | None) -> CountedPixels:
    """Count the pixels of an open map whose centres lie in boxes; all of them where None."""
    area = abs(raster.transform.a * raster.transform.e)
    parts: list[BaseGeometry | None] = [None]
    if boxes is not None:
        parts = [_on_map(raster, part) for one in boxes for part in _narrow(one)]
    counts, exact = np.zeros(256, np.int64), True
    for part in parts:
        window = _window(raster, part)
        if window is None:
            continue
        # Of a coarser picture GDAL reads the overview that is next finer.
        step = math.ceil(math.sqrt(window.width * window.height / _MOST))
        shape = math.ceil(window.height / step), math.ceil(window.width / step)
        values = raster.read(1, window=window, out_shape=shape)
        if part is not None:
            scale = Affine.scale(window.width / shape[1], window.height / shape[0])
            transform = raster.window_transform(window) * scale
            values = values[geometry_mask([part], shape, transform, invert=True)]
        found = np.bincount(values.ravel(), minlength=256)
        if step > 1:
            exact = False
            each = window.width * window.height / (shape[0] * shape[1])
            found = np.rint(found * each).astype(np.int64)
        counts += found
    return CountedPixels(counts, area, exact)


def _narrow(degrees: Box) -> Iterator[Box]:
    """Yield the parts of a box that are narrow enough that it is clear which way round they go."""
    west, south, east, north = degrees
    edges = np.linspace(west, east, max(1, math.ceil((east - west) / _NARROW)) + 1).tolist()
    yield from ((left, south, right, north) for left, right in pairwise(edges))


def _on_map(raster: rasterio.DatasetReader, degrees: Box) -> BaseGeometry:
    """Return what of a box lies around the map, in its CRS, to a hundredth of a pixel."""
    target = CRS.from_user_input(raster.crs)
    tolerance = abs(raster.transform.a) / 100
    around = box(*raster.bounds)
    found: BaseGeometry = polygons.reprojected_near(
        [box(*degrees)], _WGS84, target, tolerance, around
    )[0]
    return found


def _window(raster: rasterio.DatasetReader, part: BaseGeometry | None) -> RasterWindow | None:
    """Return the window of the map that a polygon touches; None where it touches none."""
    if part is None:
        return RasterWindow(0, 0, raster.width, raster.height)
    if part.is_empty:
        return None
    left, bottom, right, top = part.bounds
    affine = raster.transform
    columns = (left - affine.c) / affine.a, (right - affine.c) / affine.a
    rows = (top - affine.f) / affine.e, (bottom - affine.f) / affine.e
    west, east = max(0, math.floor(columns[0])), min(raster.width, math.ceil(columns[1]))
    north, south = max(0, math.floor(rows[0])), min(raster.height, math.ceil(rows[1]))
    if east <= west or south <= north:
        return None
    return RasterWindow(west, north, east - west, south - north)
