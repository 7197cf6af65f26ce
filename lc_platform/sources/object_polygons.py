"""Objects, such as parcels, each of which is to have one class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from rasterio.enums import MergeAlg
from rasterio.features import rasterize

from lc_platform.area.coordinates import CoordinatesError, usable
from lc_platform.area.vector_layers import (
    LayerChoiceError,
    NotVectorError,
    VectorFileError,
    having,
    the_only,
)
from lc_platform.config.input_files import InputFile, digest, is_there
from lc_platform.sources.placed_polygons import PlacedLayer, ground
from lc_platform.sources.polygon_index import READ_ERRORS, indexed, layers_of
from lc_platform.sources.protocol import SourceError

_KEY = "map.objects"


@dataclass(frozen=True, slots=True, eq=False)
class BurntObjects:
    """Objects on a grid."""

    present: NDArray[np.int64]
    """(object,), those that touch the grid, ascending: positions in the file, from 1."""
    objects: NDArray[np.uint32]
    """(y, x), the object that a pixel's centre lies in, the last of several; 0 where there is
    none."""
    overlapping: int
    """Pixels that lie in several."""


@dataclass(frozen=True)
class ObjectPolygons:
    """The objects of a file, found by place."""

    name: str
    """Of the file, as messages have it."""
    layer: PlacedLayer | None
    """None where the file has no polygon."""
    attribute: str | None
    count: int
    """Features, polygons or not."""
    others: int
    """Features that are points or lines, and are left out."""

    @property
    def crs(self) -> CRS | None:
        return None if self.layer is None else self.layer.crs

    def on(self, geobox: GeoBox) -> BurntObjects:
        """Return the objects on a grid: a pixel belongs to the one in which its centre lies."""
        nothing = np.zeros(geobox.shape, np.uint32)
        if self.layer is None or not len((found := self.layer.around(geobox)).number):
            return BurntObjects(np.empty(0, np.int64), nothing, 0)
        placed = self.layer.onto(found.geometry, geobox)
        here = np.flatnonzero(shapely.intersects(placed, ground(geobox)))
        numbers = found.number[here] + 1
        if not len(here):
            return BurntObjects(numbers, nothing, 0)
        shapes = list(zip(placed[here], numbers.tolist(), strict=True))
        rasterize(shapes, out=nothing, transform=geobox.affine)
        several = rasterize(
            [(shape, 1) for shape, _ in shapes],
            out=np.zeros(geobox.shape, np.uint32),
            transform=geobox.affine,
            merge_alg=MergeAlg.add,
        )
        return BurntObjects(numbers, nothing, int((several > 1).sum()))

    def batches(self) -> Iterator[tuple[NDArray[np.int64], list[str] | None, pa.Array]]:
        """Yield all objects, some thousands at a time: their positions in the file from 1, the
        words of their attribute where one is chosen, and their geometries as well-known binary."""
        if self.layer is None:
            return
        for number, words, geometry in self.layer.polygons.batches():
            yield number + 1, self._words(words), geometry

    def _words(self, words: Mapping[str, list[str]]) -> list[str] | None:
        return None if self.attribute is None else words[self.attribute]


def open_objects(file: InputFile, attribute: str | None) -> ObjectPolygons:
    """Return the objects of a file.

    attribute  that names them, None where there is none

    Raises SourceError naming the key and the file where it is missing, is no vector file, has
    several layers that could be meant, no CRS, or not the attribute.
    """
    path, name = file.located, file.written
    if not is_there(path):
        raise SourceError(f"{_KEY}: {name} is not there. Give the file of polygons")
    try:
        layers = [one for one in layers_of(path, digest(path)) if one.may_have_polygons]
    except (NotVectorError, VectorFileError, *READ_ERRORS) as error:
        raise SourceError(
            f"{_KEY}: {name} cannot be read as a vector file ({error}). Give polygons, for example "
            "as a GeoPackage; this file may be damaged"
        ) from error
    attributes = [] if attribute is None else [attribute]
    try:
        for one in attributes:
            layers = having(layers, one)
    except LayerChoiceError as error:
        raise SourceError(f"map.object_id: {name} {error}") from error
    try:
        layer = the_only(layers)
    except LayerChoiceError as error:
        raise SourceError(f"{_KEY}: {name} {error}") from error
    (found,) = indexed([layer], attributes, digest(path), _KEY, tally=False)
    try:
        crs = usable(found.crs, found.extent, f"{_KEY}: {name}")
    except CoordinatesError as error:
        raise SourceError(str(error)) from error
    placed = None if found.file is None else PlacedLayer(found, crs, found.extent)
    return ObjectPolygons(name, placed, attribute, found.features, found.others)
