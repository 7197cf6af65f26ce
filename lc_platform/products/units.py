"""The units, such as municipalities, that areas are added up by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from lc_platform.area.vector_layers import (
    LayerChoiceError,
    NotVectorError,
    VectorFileError,
    having,
    layers,
)
from lc_platform.config.input_files import InputFile
from lc_platform.cube import Window
from lc_platform.eo.polygons import SLIVER, overlaps, polygonal
from lc_platform.errors import DataError


@dataclass(frozen=True, eq=False)
class Units:
    """Polygons with names, in the CRS of a map."""

    names: Sequence[str]
    polygons: Sequence[BaseGeometry]
    warnings: Sequence[str] = ()
    _tree: Any = field(default=None, repr=False)

    def on(self, geobox: GeoBox, window: Window) -> NDArray[np.int32]:
        """Return the number of the unit that a pixel's centre lies in, (y, x), from 1; 0 where
        there is none, and the first where there are two."""
        rows, columns = window
        shape = rows.stop - rows.start, columns.stop - columns.start
        affine: Affine = geobox.affine * Affine.translation(columns.start, rows.start)
        right, bottom = affine.c + affine.a * shape[1], affine.f + affine.e * shape[0]
        box = shapely.box(affine.c, bottom, right, affine.f)
        near = sorted(self._tree.query(box, predicate="intersects").tolist(), reverse=True)
        if not near:
            return np.zeros(shape, np.int32)
        burnt: NDArray[np.int32] = rasterize(
            [(self.polygons[one], one + 1) for one in near],
            out_shape=shape,
            transform=affine,
            fill=0,
            dtype="int32",
        )
        return burnt


def read_units(file: InputFile, attribute: str, crs: Any) -> Units:
    """Return the units of a file. Those of one name are one unit; those without are left out, and
    told of.

    Raises DataError where the file or the attribute is not there, has no polygons, and where two
    units overlap by more than borders do that are drawn twice.
    """
    try:
        found = [layer for layer in layers(file.located) if layer.may_have_polygons]
    except VectorFileError as error:
        raise DataError(f"areas.units: {error}") from error
    except NotVectorError as error:
        raise DataError(
            f"areas.units: {file.written} cannot be read as a vector file ({error}). Check the path"
        ) from error
    try:
        table = having(found, attribute)[0].read()
    except LayerChoiceError as error:
        raise DataError(f"areas.unit_name: {file.written} {error}") from error
    except VectorFileError as error:
        raise DataError(f"areas.units: {error}") from error
    if table.crs is None:
        raise DataError(f"areas.units: {file.written} has no CRS. Give it the one it is drawn in")
    table = table.to_crs(crs)
    parts: dict[str, list[BaseGeometry]] = {}
    nameless = 0
    for name, geometry in zip(table[attribute], table.geometry, strict=True):
        if geometry is None or geometry.is_empty:
            continue
        text = "" if name is None or name != name else str(name).strip()
        nameless += not text
        if text:
            parts.setdefault(text, []).append(polygonal(geometry))
    if not parts:
        raise DataError(f"areas.units: {file.written} has no polygon with a {attribute}")
    names = list(parts)
    polygons = [shapely.union_all(parts[name]) for name in names]
    tree = shapely.STRtree(polygons)
    warnings = _overlaps(names, polygons, tree)
    if nameless:
        warnings.append(f"{nameless} polygons of {file.written} have no {attribute}: left out")
    return Units(names, polygons, warnings, tree)


def _overlaps(names: list[str], polygons: list[BaseGeometry], tree: Any) -> list[str]:
    """Return what is to be told of units that overlap a little."""
    warnings = []
    for one, other, shared, share in overlaps(polygons, tree):
        words = f"{names[one]} and {names[other]} overlap on {shared.area / 1e4:.4g} ha"
        if share > SLIVER:
            raise DataError(
                f"areas.units: {words}, {share:.0%} of the smaller. Ground would count twice: give "
                "units that do not overlap"
            )
        if shared.area > 0:
            warnings.append(f"{words}, which count for {names[one]}")
    if len(warnings) > 5:
        warnings = [*warnings[:5], f"{len(warnings) - 5} more pairs of units overlap a little"]
    return warnings
