"""The reference map: polygons or a raster in a file, or the simulated archive's own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataSourceError
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from lc_platform.config import Config
from lc_platform.eo.reference import ReferenceRaster, burn, from_raster
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
    path = config.located(config.reference.path)
    if "://" not in path and not path.startswith("/vsi") and not Path(path).exists():
        raise SourceError(f"reference.path: {path} is not there. Give the reference map's file")
    try:
        pyogrio.read_info(path)
    except DataSourceError:
        return _RasterReference(config, path)
    return _VectorReference(config, path)


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

    def check(self, columns: Iterable[str], table: Any) -> None:
        """Raises SourceError where an attribute is missing, or a feature has no class."""
        there = list(columns)
        for attribute in self.by_attribute:
            if attribute not in there:
                raise SourceError(
                    f"reference.attribute: {self.name} has no attribute {attribute}; it has "
                    f"{', '.join(there) or 'none'}"
                )
        homeless = np.ones(len(table), dtype=bool)
        for attribute, known in self.by_attribute.items():
            words = [_word(v) for v in table[attribute]]
            homeless &= ~np.isin(words, [*known, *self.ignored, _NO_VALUE])
        if homeless.any():
            attribute = next(iter(self.by_attribute))
            values = sorted({_word(v) for v in table[attribute][homeless]})
            shown = ", ".join(values[:10]) + (" ..." if len(values) > 10 else "")
            raise SourceError(
                f"reference.classes: {self.name} has {int(homeless.sum())} features whose "
                f"{attribute} no class has: {shown}. Add them to a class's values, or to "
                "reference.ignore"
            )


_NO_VALUE = ""


def _word(value: Any) -> str:
    """A value as it compares: 3, 3.0 and "3" are one; nothing is the empty word."""
    if value is None or value != value:
        return _NO_VALUE
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


class _VectorReference:
    def __init__(self, config: Config, path: str) -> None:
        self._path = path
        self._classes = _Classes(config, path)
        info = pyogrio.read_info(path)
        if info["crs"] is None:
            raise SourceError(
                f"reference.path: {path} has no CRS. Assign the one it was drawn in "
                "(for example with ogr2ogr -a_srs)"
            )
        self._crs = info["crs"]
        wanted = [a for a in self._classes.by_attribute if a in info["fields"]]
        self._classes.check(
            info["fields"], pyogrio.read_dataframe(path, columns=wanted, read_geometry=False)
        )

    def _read(self, geobox: GeoBox) -> gpd.GeoDataFrame:
        reach = geobox.pad(2).extent.to_crs(self._crs, resolution=geobox.resolution.x * 50)
        try:
            table = pyogrio.read_dataframe(
                self._path,
                columns=list(self._classes.by_attribute),
                bbox=tuple(reach.boundingbox),
            )
        except (DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise SourceError(f"reference.path: {self._path} cannot be read: {error}") from error
        return table.to_crs(geobox.crs.to_wkt())

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        table = self._read(geobox)
        broken = ~table.geometry.is_valid.to_numpy()
        if broken.any():
            table.geometry = [
                shapely.make_valid(g) if bad else g
                for g, bad in zip(table.geometry, broken, strict=True)
            ]
        return burn(self._classes.shapes(table), geobox, self._classes.ids)

    def covers(self, geobox: GeoBox) -> bool:
        table = self._read(geobox)
        shapes = self._classes.shapes(table)
        return any(g is not None and g.intersects(geobox.extent.geom) for g, _ in shapes)


class _SimulatedReference:
    def __init__(self, config: Config, source: Source) -> None:
        from lc_platform.sources.simulated import SimulatedArchive

        assert isinstance(source, SimulatedArchive)
        self._archive = source
        self._classes = _Classes(config, "the simulated reference")

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        table = self._archive.reference_polygons(geobox.extent)
        return burn(self._classes.shapes(table), geobox, self._classes.ids)

    def covers(self, geobox: GeoBox) -> bool:
        return bool(len(self._archive.reference_polygons(geobox.extent)))


class _RasterReference:
    """Values of a raster's first band, the nearest to each pixel's centre."""

    def __init__(self, config: Config, path: str) -> None:
        self._path = path
        self._ids = tuple(one.id for one in config.reference.classes)
        self._ignored = {int(v) for v in config.reference.ignore}
        self._class_of = {
            int(value): one.id for one in config.reference.classes for value in one.values
        }
        try:
            with rasterio.open(path) as raster:
                crs, dtype = raster.crs, raster.dtypes[0]
        except rasterio.errors.RasterioIOError as error:
            raise SourceError(
                f"reference.path: {path} is neither a vector file nor a raster that GDAL reads "
                f"({error})"
            ) from error
        if crs is None:
            raise SourceError(f"reference.path: {path} has no CRS. Assign the one it lies in")
        if not np.issubdtype(np.dtype(dtype), np.integer):
            raise SourceError(
                f"reference.path: {path} holds {dtype}, and classes are whole numbers. "
                "Convert it to an integer type"
            )

    def _read(self, geobox: GeoBox) -> NDArray[Any]:
        with (
            rasterio.open(self._path) as raster,
            WarpedVRT(
                raster,
                crs=geobox.crs.to_wkt(),
                transform=geobox.affine,
                height=geobox.shape[0],
                width=geobox.shape[1],
                resampling=Resampling.nearest,
                add_alpha=raster.nodata is None,
            ) as warped,
        ):
            values: NDArray[Any] = warped.read(1)
            seen = warped.dataset_mask() > 0
        known = [*self._class_of, *self._ignored]
        odd = np.unique(values[seen & ~np.isin(values, known)])
        if odd.size:
            shown = ", ".join(str(v) for v in odd[:10])
            raise SourceError(
                f"reference.classes: {self._path} has values that no class has: {shown}. Add them "
                "to a class's values, or to reference.ignore"
            )
        return np.where(seen, values.astype(np.int64), self._nothing)

    @cached_property
    def _nothing(self) -> int:
        """A value that no class has."""
        return min([0, *self._class_of]) - 1

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        return from_raster(self._read(geobox), self._class_of, self._ids)

    def covers(self, geobox: GeoBox) -> bool:
        return bool((self._read(geobox) != self._nothing).any())
