"""The reference map: polygons or a raster in a file, or the simulated archive's own."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
from pyproj import CRS, Transformer
from rasterio.windows import Window

from lc_platform.config import Config
from lc_platform.eo import polygons
from lc_platform.eo.rasterize import ReferenceRaster, burn, from_raster
from lc_platform.sources.protocol import Source, SourceError


class Reference(Protocol):
    """A reference map, read on any grid."""

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        """The reference on a grid. Raises SourceError where it cannot be read or understood."""
        ...

    def covers(self, geobox: GeoBox) -> bool:
        """Whether there is any reference on a grid."""
        ...


def open_reference(config: Config, source: Source) -> Reference:
    """The reference map of a configuration.

    Raises SourceError naming the file where it is missing, unreadable, without a CRS, without
    the attribute, or with values that no class has.
    """
    if config.reference.path is None:
        return _SimulatedReference(config, source)
    path = config.located(config.reference.path, "reference.path")
    if "://" not in path and not path.startswith("/vsi") and not Path(path).exists():
        raise SourceError(f"reference.path: {path} is not there. Give the reference map's file")
    try:
        info = pyogrio.read_info(path, force_total_bounds=True)
    except (DataSourceError, DataLayerError):
        return _RasterReference(config, path)
    return _VectorReference(config, path, info)


class _Classes:
    """Which class a feature's attributes make it."""

    def __init__(self, config: Config, name: str) -> None:
        reference = config.reference
        self.name = name
        self.ids = tuple(one.id for one in reference.classes)
        self.ignored = {_word(v) for v in reference.ignore}
        self.by_attribute: dict[str, dict[str, int]] = {}
        for one in reference.classes:
            attribute = one.attribute or reference.attribute or ""
            known = self.by_attribute.setdefault(attribute, {})
            known.update({_word(v): one.id for v in one.values})

    def shapes(self, table: gpd.GeoDataFrame) -> list[tuple[Any, int]]:
        """(geometry, class id) of every feature that has a class, in the file's order."""
        claims: list[tuple[int, Any, int]] = []
        for attribute, known in self.by_attribute.items():
            for row, value in enumerate(table[attribute]):
                class_id = known.get(_word(value))
                if class_id is not None:
                    claims.append((row, table.geometry.iloc[row], class_id))
        claims.sort(key=lambda claim: claim[0])
        return [(geometry, class_id) for _, geometry, class_id in claims]

    def check_attributes(self, columns: Iterable[str]) -> None:
        """Raises SourceError where an attribute is missing."""
        there = list(columns)
        for attribute in self.by_attribute:
            if attribute not in there:
                raise SourceError(
                    f"reference.attribute: {self.name} has no attribute "
                    f"{attribute or '(none is named)'}. Name one that it has: "
                    f"{', '.join(there) or 'none'}"
                )

    def check_values(self, table: Any) -> None:
        """Raises SourceError where a feature has a value, and no class has it."""
        words = {a: np.array([_word(v) for v in table[a]], dtype=str) for a in self.by_attribute}
        homed = np.zeros(len(table), dtype=bool)
        valued = np.zeros(len(table), dtype=bool)
        for attribute, known in self.by_attribute.items():
            homed |= np.isin(words[attribute], [*known, *self.ignored])
            valued |= words[attribute] != _NO_VALUE
        homeless = valued & ~homed
        if homeless.any():
            unknown = {a: sorted(set(w[homeless]) - {_NO_VALUE}) for a, w in words.items()}
            shown = "; ".join(
                f"{attribute} {', '.join(values[:10])}{' ...' if len(values) > 10 else ''}"
                for attribute, values in unknown.items()
                if values
            )
            raise SourceError(
                f"reference.classes: {self.name} has {int(homeless.sum())} features with values "
                f"that no class has: {shown}. Add them to a class's values, or to reference.ignore"
            )


_NO_VALUE = ""
_ROWS = 256
"""Rows of a grid for which a raster is read at a time."""
_TOLERANCE = 1e-3
"""Pixels that an edge may be off: few centres of pixels lie so near to it."""
_NO_AREA = ("Point", "LineString", "MultiPoint", "MultiLineString")
_NAMED = 5
_log = logging.getLogger(__name__)


def _word(value: Any) -> str:
    """A value as it compares: 3, 3.0 and "3" are one; nothing is the empty word."""
    if value is None or value != value:
        return _NO_VALUE
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


class _VectorReference:
    def __init__(self, config: Config, path: str, info: dict[str, Any]) -> None:
        self._path = path
        self._classes = _Classes(config, path)
        if info["geometry_type"] is None:
            raise SourceError(
                f"reference.path: {path} is a table without geometry. Give a file of polygons, or "
                "a raster"
            )
        if info["crs"] is None:
            raise SourceError(
                f"reference.path: {path} has no CRS. Assign the one it was drawn in "
                "(for example with ogr2ogr -a_srs)"
            )
        if info["geometry_type"].removeprefix("2.5D ").split(" ")[0] in _NO_AREA:
            raise SourceError(
                f"reference.path: {path} holds geometries of the type {info['geometry_type']}, "
                "which enclose no area. Give a file of polygons (points can be buffered, lines "
                "closed, beforehand), or a raster"
            )
        self._crs = CRS(info["crs"])
        self._extent = info["total_bounds"]
        self._told: set[int] = set()
        self._classes.check_attributes(info["fields"])
        wanted = list(self._classes.by_attribute)
        self._classes.check_values(self._table(columns=wanted, read_geometry=False))

    def _table(self, **options: Any) -> Any:
        try:
            return pyogrio.read_dataframe(self._path, **options)
        except (DataSourceError, DataLayerError, FeatureError, GeometryError) as error:
            raise SourceError(
                f"reference.path: {self._path} cannot be read ({error}). Give a file that GDAL "
                "reads; this one may be damaged"
            ) from error

    def _read(self, geobox: GeoBox) -> gpd.GeoDataFrame:
        """Return features around a grid, in its CRS, cut some way outside; what is no polygon is
        empty."""
        area, crs = geobox.pad(2).extent.geom, CRS(str(geobox.crs))
        tolerance = _TOLERANCE * abs(geobox.resolution.x)
        columns = list(self._classes.by_attribute)
        try:
            boxes = polygons.search_boxes(area, crs, self._crs, tolerance, self._extent)
        except polygons.NotExpressibleError:  # so that nothing in the file can lie there
            boxes = []
        found = [self._table(columns=columns, bbox=box, fid_as_index=True) for box in boxes]
        if not found:
            return self._table(columns=columns, max_features=0).to_crs(str(geobox.crs))
        table = found[0]
        if len(found) > 1:
            table = pd.concat(found)
            table = table[~table.index.duplicated()].sort_index()
        drawn = table.geometry.to_numpy()
        near = polygons.reprojected_near(drawn, self._crs, crs, tolerance, area)
        self._tell(table.index.to_numpy(), drawn)
        return table.set_geometry(gpd.GeoSeries(near, index=table.index, crs=str(geobox.crs)))

    def _tell(self, ids: NDArray[np.int64], drawn: NDArray[Any]) -> None:
        """Log once of each feature that it is repaired, or that it has no polygonal part."""
        odd = ~shapely.is_missing(drawn) & ~shapely.is_empty(drawn)
        odd &= ~shapely.is_valid(drawn) | (shapely.get_dimensions(drawn) < 2)
        fresh = [i for i in np.flatnonzero(odd) if int(ids[i]) not in self._told]
        self._told.update(int(ids[i]) for i in fresh)
        left_out, repaired = [], []
        for i in fresh:
            whole = polygons.cleaned(drawn[i], self._crs)
            if whole.is_empty:
                left_out.append(str(ids[i]))
            else:
                before, after = (
                    polygons.square_kilometres(g, self._crs) for g in (drawn[i], whole)
                )
                repaired.append(f"{ids[i]} (area {before:.6g} -> {after:.6g} km2)")
        for what, features in (
            ("have no polygonal part and are left out", left_out),
            ("are not valid and are repaired", repaired),
        ):
            if features:
                more = f" and {len(features) - _NAMED} more" if len(features) > _NAMED else ""
                _log.warning(
                    "reference.path: %s: features %s%s %s",
                    self._path,
                    ", ".join(features[:_NAMED]),
                    more,
                    what,
                )

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        return burn(self._classes.shapes(self._read(geobox)), geobox, self._classes.ids)

    def covers(self, geobox: GeoBox) -> bool:
        shapes = self._classes.shapes(self._read(geobox))
        return any(g is not None and g.intersects(geobox.extent.geom) for g, _ in shapes)


class _SimulatedReference:
    def __init__(self, config: Config, source: Source) -> None:
        from lc_platform.sources.simulated import SimulatedArchive

        assert isinstance(source, SimulatedArchive)
        self._archive = source
        self._classes = _Classes(config, "the simulated reference")

    def _shapes(self, geobox: GeoBox) -> list[tuple[Any, int]]:
        table = self._archive.reference_polygons(geobox.extent)
        self._classes.check_attributes(c for c in table.columns if c != "geometry")
        self._classes.check_values(table)
        return self._classes.shapes(table)

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        return burn(self._shapes(geobox), geobox, self._classes.ids)

    def covers(self, geobox: GeoBox) -> bool:
        return bool(self._shapes(geobox))


def _whole(value: int | str, key: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise SourceError(
            f"{key}: {value} is no whole number, and the reference is a raster. Give the raster's "
            "values"
        ) from error


def _applied(
    a: Any, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return a.a * x + a.b * y + a.c, a.d * x + a.e * y + a.f


class _RasterReference:
    """Values of a raster's first band, the nearest to each pixel's centre."""

    def __init__(self, config: Config, path: str) -> None:
        self._path = path
        self._ids = tuple(one.id for one in config.reference.classes)
        self._ignored = {_whole(v, "reference.ignore") for v in config.reference.ignore}
        self._class_of = {
            _whole(value, f"reference.classes[{i}].values"): one.id
            for i, one in enumerate(config.reference.classes)
            for value in one.values
        }
        try:
            with rasterio.open(path) as raster:
                crs, dtype = raster.crs, raster.dtypes[0]
        except rasterio.errors.RasterioIOError as error:
            raise SourceError(
                f"reference.path: {path} is neither a vector file nor a raster that GDAL reads "
                f"({error}). Give one that is; this one may be damaged"
            ) from error
        if crs is None:
            raise SourceError(f"reference.path: {path} has no CRS. Assign the one it lies in")
        if not np.issubdtype(np.dtype(dtype), np.integer):
            raise SourceError(
                f"reference.path: {path} holds {dtype}, and classes are whole numbers. "
                "Convert it to an integer type"
            )

    def _read(self, geobox: GeoBox) -> NDArray[np.int64]:
        """(y, x), values; ``_nothing`` where there is none."""
        values = np.full(geobox.shape, self._nothing, np.int64)
        with rasterio.open(self._path) as raster:
            for start in range(0, geobox.shape[0], _ROWS):
                rows = slice(start, min(start + _ROWS, geobox.shape[0]))
                try:
                    self._gather(raster, geobox[rows, :], values[rows])
                except rasterio.errors.RasterioIOError as error:
                    raise SourceError(
                        f"reference.path: {self._path} is damaged ({error}). Get the file again"
                    ) from error
        known = [*self._class_of, *self._ignored, self._nothing]
        odd = np.setdiff1d(values, known)
        if odd.size:
            shown = ", ".join(str(v) for v in odd[:10])
            raise SourceError(
                f"reference.classes: {self._path} has values that no class has: {shown}. Add them "
                "to a class's values, or to reference.ignore"
            )
        return values

    def _gather(self, raster: Any, grid: GeoBox, values: NDArray[np.int64]) -> None:
        """Fill ``values`` with those that the centres of a grid's pixels lie in.

        Not by GDAL's warp, which approximates: a pixel's value would hang on its window.
        """
        x, y = np.meshgrid(np.arange(grid.shape[1]) + 0.5, np.arange(grid.shape[0]) + 0.5)
        x, y = _applied(grid.affine, x, y)
        if grid.crs != raster.crs:
            there = Transformer.from_crs(str(grid.crs), raster.crs.to_wkt(), always_xy=True)
            x, y = there.transform(x, y)
        turns = polygons.turns_above(CRS(raster.crs.to_wkt()), raster.bounds.left, x)
        for turn in np.unique(turns[np.isfinite(turns)]):
            on_turn = np.where(turns == turn, x + turn, np.nan)
            self._gather_inside(raster, *_applied(~raster.transform, on_turn, y), values)

    def _gather_inside(
        self, raster: Any, x: NDArray[np.float64], y: NDArray[np.float64], values: NDArray[np.int64]
    ) -> None:
        """Fill ``values`` where columns and rows lie in a raster, from one window of it."""
        with np.errstate(invalid="ignore"):
            inside = (x >= 0) & (x < raster.width) & (y >= 0) & (y < raster.height)
        if not inside.any():
            return
        columns, rows = x[inside].astype(np.intp), y[inside].astype(np.intp)
        left, top = int(columns.min()), int(rows.min())
        window = Window(left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1)
        here = (rows - top, columns - left)
        found = raster.read(1, window=window)[here].astype(np.int64)
        seen = raster.read_masks(1, window=window)[here] > 0
        values[inside] = np.where(seen, found, self._nothing)

    @cached_property
    def _nothing(self) -> int:
        """A value that no class has."""
        return min([0, *self._class_of, *self._ignored]) - 1 - 2**32

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        return from_raster(self._read(geobox), self._class_of, self._ids)

    def covers(self, geobox: GeoBox) -> bool:
        return bool(np.isin(self._read(geobox), list(self._class_of)).any())
