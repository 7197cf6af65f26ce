"""Reference classes on a grid: polygons burnt, or a raster's values translated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from lc_platform.eo.polygons import polygonal

_LAST_POLYGON = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceRaster:
    """The reference on a grid."""

    class_ids: tuple[int, ...]
    """1 to 255, in the order of ``masks``."""
    classes: NDArray[np.uint8]
    """(y, x), class ids, 0 where there is none; where several claim a pixel, the last in order of
    the polygons."""
    masks: NDArray[np.bool_]
    """(class, y, x), every pixel that the class claims."""
    ambiguous: NDArray[np.bool_]
    """(y, x), True where two or more classes claim a pixel."""
    polygons: NDArray[np.uint32]
    """(y, x), the id of the polygon that gives a pixel its class, also where it is ambiguous; 0
    where there is none, and everywhere of a reference that is a raster."""


def burn(
    shapes: Iterable[tuple[Any, int]],
    geobox: GeoBox,
    class_ids: Sequence[int],
    polygons: Sequence[int] | None = None,
) -> ReferenceRaster:
    """Return polygons on a grid: a pixel belongs to a polygon in which its centre lies.

    shapes     (geometry, class id), geometries (shapely or GeoJSON) in the grid's CRS; their
               polygonal parts are burnt, so that a missing or empty one, lines and points, and what
               lies beyond the grid burn nothing
    class_ids  all classes there may be, 1 to 255
    polygons   (shape,), the id of each, 1 to 4,294,967,295; several shapes may share one. By
               default they are counted from 1

    Raises ValueError for a class id that is not among ``class_ids``, or not within 1 to 255, and
    for ids of polygons that are not one for each shape, or out of their range.
    """
    ids = _checked(class_ids)
    drawn = [(_polygonal(geometry), value) for geometry, value in shapes]
    for _, value in drawn:
        if value not in ids:
            raise ValueError(f"A polygon has class {value}; the classes are {ids}.")
    named = range(1, len(drawn) + 1) if polygons is None else polygons
    if len(named) != len(drawn):
        raise ValueError(f"{len(named)} ids are given for {len(drawn)} polygons.")
    for polygon in named:
        if not 1 <= polygon <= _LAST_POLYGON:
            raise ValueError(f"Polygon id {polygon} is not within 1 to {_LAST_POLYGON}.")
    masks = np.zeros((len(ids), *geobox.shape), np.bool_)
    for mask, class_id in zip(masks, ids, strict=True):
        mask[:] = _rasterize([(g, 1) for g, value in drawn if value == class_id], geobox, "uint8")
    claims = masks.sum(axis=0, dtype=np.uint8)
    last = _rasterize([(g, i) for i, (g, _) in enumerate(drawn, 1)], geobox, "uint32")
    classes = np.array([0, *(value for _, value in drawn)], np.uint8)[last]
    return ReferenceRaster(ids, classes, masks, claims > 1, np.array([0, *named], np.uint32)[last])


def from_raster(
    values: NDArray[np.integer[Any]], class_of: Mapping[int, int], class_ids: Sequence[int]
) -> ReferenceRaster:
    """Return a reference that is a raster already, its values translated into class ids.

    values     (y, x), on the grid
    class_of   class id of each value; a value that is not in it has no class
    class_ids  all classes there may be, 1 to 255

    Raises ValueError for a class id that is not among ``class_ids``, or not within 1 to 255.
    """
    ids = _checked(class_ids)
    for value, class_id in class_of.items():
        if class_id not in ids:
            raise ValueError(f"Value {value} is given class {class_id}; the classes are {ids}.")
    found, position = np.unique(values, return_inverse=True)
    translated = np.array([class_of.get(int(value), 0) for value in found], np.uint8)
    classes = translated[position.reshape(values.shape)]
    masks = classes == np.array(ids, np.uint8)[:, np.newaxis, np.newaxis]
    return ReferenceRaster(
        ids,
        classes,
        masks,
        np.zeros(values.shape, np.bool_),
        np.zeros(values.shape, np.uint32),
    )


def _checked(class_ids: Sequence[int]) -> tuple[int, ...]:
    for class_id in class_ids:
        if not 1 <= class_id <= 255:
            raise ValueError(f"Class id {class_id} is not within 1 to 255 (0 is no data).")
    return tuple(int(class_id) for class_id in class_ids)


def _polygonal(geometry: Any) -> BaseGeometry:
    return polygonal(shape(geometry) if isinstance(geometry, Mapping) else geometry)


def _rasterize(shapes: list[tuple[Any, int]], geobox: GeoBox, dtype: str) -> NDArray[Any]:
    burnt = np.zeros(geobox.shape, dtype)
    shapes = [(geometry, value) for geometry, value in shapes if not geometry.is_empty]
    if shapes:
        rasterize(shapes, out=burnt, transform=geobox.affine, all_touched=False)
    return burnt
