"""A reference map of polygons, in whatever vector format and in however many layers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import geopandas
import numpy as np
import pandas
import shapely
from odc.geo.geobox import GeoBox
from pyproj import CRS

from lc_platform.area.coordinates import CoordinatesError, usable
from lc_platform.area.vector_layers import Layer
from lc_platform.config.input_files import digest
from lc_platform.eo import polygons
from lc_platform.eo.rasterize import ReferenceRaster, burn
from lc_platform.errors import some
from lc_platform.sources.placed_polygons import PlacedLayer, grid_crs, ground
from lc_platform.sources.polygon_index import Features, indexed
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_classes import FeatureClasses, ReferenceValues
from lc_platform.sources.reference_options import ReferenceOptions

_FEW = (16, 1024, None)
"""Features that are read to see whether there is one on a grid; of the next only where not."""
_NAMED = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sheet:
    """A layer, ready to be read by place."""

    layer: PlacedLayer
    before: int
    """Features of the layers that are read before it."""
    reported: set[int] = field(default_factory=set)
    """Features of which it has been said that they are repaired, or left out."""


class PolygonReference:
    """Polygons, burnt on any grid."""

    def __init__(self, options: ReferenceOptions, path: str, layers: Sequence[Layer]) -> None:
        """Raises SourceError naming the file where it has no layer, no attribute, no polygon or
        no CRS that is wanted, or values that no class has."""
        self._path = path
        self._classes = FeatureClasses(options, path)
        layer_asked = options.file.layer if options.file else None
        chosen, self.notes = _chosen(layers, layer_asked, self._classes, path)
        told = dict.fromkeys(layer.note for layer in chosen if layer.note is not None)
        self.notes += [f"reference.path: {note}" for note in told]
        attributes = self._classes.attributes
        names = {
            one.name: path if len(layers) == 1 else f"{path}, layer {one.name}," for one in chosen
        }
        for layer in chosen:
            _usable(layer.crs, None, names[layer.name])
        found = indexed(chosen, attributes, digest(path))
        self._sheets = []
        before = 0
        for one in found:
            if one.file is not None:
                extent = one.extent
                crs = _usable(one.crs, extent, names[one.name])
                self._sheets.append(_Sheet(PlacedLayer(one, crs, extent), before))
            before += one.features
        others = sum(one.others for one in found)
        if not self._sheets:
            raise SourceError(
                f"reference.path: {path} has no polygon"
                + (f", but {others} points or lines, which enclose no area" if others else "")
                + ". Give a file of polygons (points can be buffered, lines closed, beforehand), "
                "or a raster"
            )
        if others:
            self.notes.append(
                f"reference.path: {others} features of {path} are points or lines, which enclose "
                "no area; they are left out"
            )
        self._combinations: dict[tuple[str, ...], int] = {}
        for one in found:
            for words, count in one.combinations.items():
                self._combinations[words] = self._combinations.get(words, 0) + count
        self._classes.check_values(self._combinations)
        unlabelled = sum(n for words, n in self._combinations.items() if not any(words))
        if unlabelled:
            several = unlabelled > 1
            self.notes.append(
                f"reference.path: {unlabelled} polygon{'s' if several else ''} of {path} "
                f"{'have' if several else 'has'} no value of {' or '.join(attributes)}, so no "
                f"class, and {'are' if several else 'is'} left out"
            )

    def values(self) -> ReferenceValues:
        return self._classes.values(self._combinations)

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        shapes: list[tuple[Any, int]] = []
        ids: list[int] = []
        for sheet in self._sheets:
            found = sheet.layer.around(geobox)
            geometry = sheet.layer.onto(found.geometry, geobox)
            self._tell(sheet, found)
            claims = self._classes.claims(found.words)
            shapes += [(geometry[row], class_id) for row, class_id in claims]
            ids += [sheet.before + int(found.number[row]) + 1 for row, _ in claims]
        return burn(shapes, geobox, self._classes.ids, ids)

    def outlines(self, geobox: GeoBox) -> geopandas.GeoDataFrame:
        parts = []
        for sheet in self._sheets:
            found = sheet.layer.around(geobox)
            drawn = geopandas.GeoDataFrame(
                {"polygon": sheet.before + found.number + 1},
                geometry=polygons.polygonal_parts(found.geometry),
                crs=sheet.layer.crs,
            )
            parts.append(drawn.to_crs("EPSG:4326"))
        return geopandas.GeoDataFrame(pandas.concat(parts, ignore_index=True))

    def covers(self, geobox: GeoBox) -> bool:
        return any(self._any_on(sheet, geobox) for sheet in self._sheets)

    def _any_on(self, sheet: _Sheet, geobox: GeoBox) -> bool:
        """Return whether a polygon with a class touches a grid, by as few of them as will do."""
        layer = sheet.layer
        here, crs = ground(geobox), grid_crs(geobox)
        half_a_pixel = abs(geobox.resolution.x) / 2
        turning = polygons.wraps(layer.crs)
        try:
            units = polygons.METRES_PER_DEGREE if layer.crs.is_geographic else 1.0
            there = polygons.reprojected(here, crs, layer.crs, half_a_pixel / units)
            boxes = (
                polygons.search_boxes(here, crs, layer.crs, half_a_pixel, layer.extent)
                if turning
                else [there.bounds]
            )
        except polygons.NotExpressibleError:
            return False  # so that nothing in the file can lie there
        shapely.prepare(there)
        for most in _FEW:
            some = [layer.polygons.within(box, most) for box in boxes]
            for found in some:
                rows = sorted({row for row, _ in self._classes.claims(found.words)})
                drawn = found.geometry[rows]
                west, _, east, _ = shapely.bounds(drawn).T
                plain = drawn[east - west < 180] if turning else drawn
                plain = polygons.polygonal_parts(plain)
                if shapely.intersects(there, plain).any():
                    return True
                # What is drawn in another count of longitudes, or across 180.
                if turning and shapely.intersects(layer.onto(drawn, geobox), here).any():
                    return True
            if most is None or all(len(found.number) < most for found in some):
                return False
        return False

    def _tell(self, sheet: _Sheet, found: Features) -> None:
        """Log once of each feature that it is repaired, or that it has no polygonal part."""
        drawn = found.geometry
        odd = ~shapely.is_missing(drawn) & ~shapely.is_empty(drawn)
        odd &= ~shapely.is_valid(drawn) | (shapely.get_dimensions(drawn) < 2)
        fresh = [i for i in np.flatnonzero(odd) if int(found.number[i]) not in sheet.reported]
        sheet.reported.update(int(found.number[i]) for i in fresh)
        left_out, repaired = [], []
        for i in fresh:
            whole = polygons.cleaned(drawn[i], sheet.layer.crs)
            if whole.is_empty:
                left_out.append(str(found.number[i] + 1))
            else:
                before, after = (
                    polygons.square_kilometres(g, sheet.layer.crs) for g in (drawn[i], whole)
                )
                repaired.append(f"{found.number[i] + 1} (area {_areas(before, after)})")
        for one, several, features in (
            ("has no polygonal part and is left out", "have no polygonal part and are left out",
             left_out),
            ("is not valid and is repaired", "are not valid and are repaired", repaired),
        ):  # fmt: skip
            if features:
                _log.warning(
                    "reference.path: %s: %s no. %s, counted from 1, %s",
                    self._path,
                    "feature" if len(features) == 1 else "features",
                    some(features, _NAMED),
                    one if len(features) == 1 else several,
                )


def _areas(before: float, after: float) -> str:
    """Return two areas in square kilometres as words, in hectares where both are small."""
    if max(before, after) < 1:
        return f"{round(100 * before, 5):g} -> {round(100 * after, 5):g} ha"
    return f"{round(before, 7):g} -> {round(after, 7):g} km2"


def _usable(crs: str | None, extent: tuple[float, float, float, float] | None, name: str) -> CRS:
    try:
        return usable(crs, extent, name)
    except CoordinatesError as error:
        raise SourceError(f"reference.path: {error}") from error


def _chosen(
    layers: Sequence[Layer], wanted: str | None, classes: FeatureClasses, path: str
) -> tuple[list[Layer], list[str]]:
    """Return the layers that are read, and what is to be known of the choice."""
    if not layers:
        raise SourceError(
            f"reference.path: {path} is a table without geometry. Give a file of polygons, or a "
            "raster"
        )
    names = [layer.name for layer in layers]
    if wanted is not None:
        if wanted not in names:
            raise SourceError(
                f"reference.layer: {path} has no layer {wanted}. Name one that it has: "
                f"{', '.join(names)}"
            )
        found = [layer for layer in layers if layer.name == wanted]
    elif len(layers) == 1:
        found = list(layers)
    else:
        found = [one for one in layers if any(a in one.fields for a in classes.attributes)]
        if not found:
            shown = "; ".join(f"{one.name} ({', '.join(one.fields) or 'none'})" for one in layers)
            raise SourceError(
                f"reference.attribute: no layer of {path} has the attribute "
                f"{' or '.join(a or '(none is named)' for a in classes.attributes)}. Name one of "
                f"theirs: {shown}"
            )
    classes.check_attributes(dict.fromkeys(name for layer in found for name in layer.fields))
    if wanted is not None or len(layers) == 1:
        return found, []
    rest = [name for name in names if name not in {layer.name for layer in found}]
    note = (
        f"reference.path: of {path} the layers {', '.join(layer.name for layer in found)} are read"
    )
    if rest:
        note += f", and not {', '.join(rest)}, which do not have the attribute"
    return found, [f"{note} (reference.layer chooses one)"]
