"""The regions that have a model each, and how much each has a say at every pixel."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from lc_platform.area.coordinates import CoordinatesError, usable
from lc_platform.area.vector_layers import (
    Layer,
    LayerChoiceError,
    NotVectorError,
    VectorFileError,
    having,
    layers,
    the_only,
)
from lc_platform.config.input_files import is_there
from lc_platform.cube import Window, first_pixel, whole
from lc_platform.eo.polygons import (
    SLIVER,
    cleaned,
    overlaps,
    polygonal,
    reprojected_near,
    same_crs,
    square_kilometres,
    wraps,
)
from lc_platform.eo.regions import Borders, Weights
from lc_platform.errors import DataError
from lc_platform.products.region_options import KEY, RegionOptions
from lc_platform.products.training_samples import Samples

_STEP = 1000.0
"""Metres between two vertices of a border that is brought to another CRS, so that they do not
depend on where it is needed; the chord is then some centimetres from the line."""
_STEP_DEGREES = 0.01
"""Likewise, where a CRS is in degrees."""
_TOLERANCE = 5.0
"""Metres; more than the chords of such a border are off, so that no more vertices are added."""
_FARTHEST = 2e7
"""Metres between two places on Earth."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Polygons with names, and the distance over which they blend."""

    names: tuple[str, ...]
    """(region,), in alphabetical order."""
    polygons: tuple[BaseGeometry, ...]
    """(region,), polygonal, in ``crs``."""
    crs: CRS
    blend: float
    """Metres on either side of a border."""

    def on(self, geobox: GeoBox) -> RegionGrid:
        """Return the weights of the regions on a grid."""
        return RegionGrid(geobox, Weights(Borders(self._near(geobox)), self.blend))

    def of_samples(self, samples: Samples, geobox: GeoBox) -> NDArray[np.float32]:
        """Return the weights of the regions at the samples of a patch, (sample, region).

        geobox  the patch's grid
        """
        found = self.on(geobox).at(samples.rows, samples.columns)
        return np.ascontiguousarray(found.T)

    @property
    def identity(self) -> str:
        """A hash of the names, the polygons and the distance."""
        found = hashlib.sha256(f"{self.crs.to_wkt()} {self.blend!r}".encode())
        for name, one in zip(self.names, self.polygons, strict=True):
            found.update(name.encode())
            found.update(shapely.to_wkb(one, byte_order=1))
        return found.hexdigest()[:16]

    def reaching(self, grids: Iterable[GeoBox]) -> tuple[Regions, dict[str, int]]:
        """Return those that lie on one of the grids, or are the nearest to one that no region lies
        on, and on how many grids each is so."""
        counts = dict.fromkeys(self.names, 0)
        for geobox in grids:
            box, near = shapely.box(*geobox.boundingbox), np.array(self._near(geobox), dtype=object)
            here = np.flatnonzero(shapely.area(shapely.intersection(near, box)) > 0).tolist()
            apart = np.nan_to_num(
                shapely.distance(near, box), nan=np.inf
            )  # of what is nowhere near
            for one in here or [int(apart.argmin())]:
                counts[self.names[one]] += 1
        kept = [i for i, name in enumerate(self.names) if counts[name]]
        found = Regions(
            tuple(self.names[i] for i in kept),
            tuple(self.polygons[i] for i in kept),
            self.crs,
            self.blend,
        )
        return found, {name: n for name, n in counts.items() if n}

    def check_apart(self) -> None:
        """Raises DataError where two regions overlap by more than borders do that are drawn
        twice."""
        tree = shapely.STRtree(self.polygons)
        for one, other, shared, share in overlaps(self.polygons, tree):
            if share > SLIVER:
                raise DataError(
                    f"{KEY}: regions {self.names[one]} and {self.names[other]} overlap on "
                    f"{square_kilometres(shared, self.crs):.4g} km2, {share:.0%} of the smaller. "
                    "Ground can be of one region only: give regions that do not overlap"
                )

    def share_beyond(self, grids: Iterable[GeoBox]) -> float:
        """Return the share of the grids' area that lies in no region, 0 to 1."""
        total = beyond = 0.0
        for geobox in grids:
            box = shapely.box(*geobox.boundingbox)
            total += box.area
            beyond += box.difference(shapely.union_all(self._near(geobox))).area
        return beyond / total if total else 0.0

    @cached_property
    def _dense(self) -> tuple[BaseGeometry, ...]:
        """(region,), with vertices that are near enough for another CRS."""
        step = _STEP_DEGREES if wraps(self.crs) else _STEP
        return tuple(shapely.segmentize(one, step) for one in self.polygons)

    def _near(self, geobox: GeoBox) -> list[BaseGeometry]:
        """Return the regions in the CRS of a grid, whole around it, as far as they matter."""
        crs = CRS(str(geobox.crs))
        if same_crs(self.crs, crs):
            return list(self.polygons)
        box = shapely.box(*geobox.boundingbox)
        across = float(np.hypot(box.bounds[2] - box.bounds[0], box.bounds[3] - box.bounds[1]))
        reach = 2 * self.blend + across
        while True:
            area = box.buffer(reach, join_style="mitre")
            found = reprojected_near(self._dense, self.crs, crs, _TOLERANCE, area)
            # What is cut off must lie further from every pixel than the nearest region and those
            # that blend with it.
            needed = float(np.nanmin(shapely.distance(found, box), initial=np.inf))
            needed += across + 2 * self.blend
            if needed <= reach or reach > _FARTHEST:
                return list(found)
            reach = needed if np.isfinite(needed) else 4 * reach


@dataclass(frozen=True, eq=False)
class RegionGrid:
    """The weights of regions on a grid."""

    geobox: GeoBox
    weights: Weights

    def read(self, window: Window | None = None) -> NDArray[np.float32]:
        """Return (region, y, x), 0 to 1, 1 together, of a window, which may reach beyond the
        grid."""
        rows, columns = window or whole(self.geobox)
        return self.at(
            np.arange(rows.start, rows.stop)[:, np.newaxis],
            np.arange(columns.start, columns.stop)[np.newaxis],
        )

    def at(self, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return (region, ...) likewise, of pixels by their row and column, which broadcast."""
        top, left = first_pixel(self.geobox)
        size = self.geobox.affine.a
        # Of the pixel's own number, so that every grid that has it computes the same.
        x = (left + np.asarray(columns, np.float64) + 0.5) * size
        y = -(top + np.asarray(rows, np.float64) + 0.5) * size
        return self.weights.at(x, y)


def read_regions(options: RegionOptions) -> Regions:
    """Return the regions of a file. Polygons of one name are one region.

    Raises DataError naming the key and the file where it is missing or no vector file, lacks the
    attribute or a CRS, has polygons without a name, or regions without a polygon.
    """
    name, attribute = options.file.written, options.attribute
    layer = _layer(options)
    try:
        table = layer.read()
    except VectorFileError as error:
        raise DataError(f"{KEY}.path: {error}") from error
    try:
        crs = usable(layer.crs, table.total_bounds.tolist(), f"{KEY}.path: {name}")
    except CoordinatesError as error:
        raise DataError(str(error)) from error
    parts: dict[str, list[BaseGeometry]] = {}
    nameless = 0
    for value, geometry in zip(table[attribute], table.geometry, strict=True):
        text = "" if value is None or value != value else str(value).strip()
        nameless += not text
        found = cleaned(geometry, crs)
        parts.setdefault(text, []).extend([] if found.is_empty else [found])
    if nameless:
        raise DataError(
            f"{KEY}.attribute: {nameless} polygons of {name} have no {attribute}. Give each region "
            "a name, or leave them out of the file: ground beyond all regions is of the nearest"
        )
    if not parts:
        raise DataError(f"{KEY}.path: {name} has no polygon. Give a file of regions")
    empty = sorted(text for text, several in parts.items() if not several)
    if empty:
        raise DataError(
            f"{KEY}.path: region {empty[0]} of {name} has no polygon that encloses an area"
            f"{f', nor have {len(empty) - 1} more' if len(empty) > 1 else ''}. Draw it, or leave "
            "it out of the file"
        )
    names = tuple(sorted(parts))
    polygons = tuple(polygonal(shapely.union_all(parts[one])) for one in names)
    return Regions(names, polygons, crs, options.blend)


def regions_of(options: RegionOptions, grids: Sequence[GeoBox]) -> tuple[Regions, dict[str, int]]:
    """Return the regions of a file that a map of these grids needs, and on how many each lies.

    Raises DataError as `read_regions` does, and where two of them overlap.
    """
    found, counts = read_regions(options).reaching(grids)
    found.check_apart()
    return found, counts


def _layer(options: RegionOptions) -> Layer:
    name, attribute = options.file.written, options.attribute
    path = options.file.located
    if not is_there(path):
        raise DataError(f"{KEY}.path: {name} is not there. Give the file of the regions")
    try:
        found = [layer for layer in layers(path) if layer.may_have_polygons]
    except (NotVectorError, VectorFileError) as error:
        raise DataError(
            f"{KEY}.path: {name} cannot be read as a vector file ({error}). Give polygons, for "
            "example as a GeoPackage"
        ) from error
    try:
        found = having(found, attribute)
    except LayerChoiceError as error:
        raise DataError(f"{KEY}.attribute: {name} {error}") from error
    try:
        return the_only(found)
    except LayerChoiceError as error:
        raise DataError(f"{KEY}.path: {name} {error}") from error


def of_all(
    regions: Regions, samples: Mapping[str, Samples], grids: Mapping[str, GeoBox]
) -> dict[str, NDArray[np.float32]]:
    """Return the weights of the regions at the samples of each patch, (sample, region).

    Raises ValueError where there is a patch without its grid.
    """
    lacking = [patch for patch in samples if patch not in grids]
    if lacking:
        raise ValueError(f"patch {lacking[0]}: regions cannot be laid without its grid.")
    return {p: regions.of_samples(one, grids[p]) for p, one in samples.items()}
