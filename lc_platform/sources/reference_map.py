"""The reference map: polygons or a raster in a file, the simulated archive's own, or points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import geopandas
from odc.geo.geobox import GeoBox

from lc_platform.area.vector_layers import NotVectorError, VectorFileError
from lc_platform.config.input_files import digest, is_there
from lc_platform.eo.rasterize import ReferenceRaster, burn
from lc_platform.sources.polygon_index import READ_ERRORS, layers_of
from lc_platform.sources.protocol import Source, SourceError
from lc_platform.sources.reference_classes import FeatureClasses, ReferenceValues, word
from lc_platform.sources.reference_options import ReferenceOptions
from lc_platform.sources.reference_polygons import PolygonReference
from lc_platform.sources.reference_raster import RasterReference
from lc_platform.sources.sample_points import PointReference


class Reference(Protocol):
    """A reference map, read on any grid."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of how it is read: of its layers, of what is left out."""
        ...

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        """Return the reference on a grid.

        A polygon's id is its position in the file, counted from 1 through all layers that are
        read, so that it is the same on every grid. Raises SourceError where the reference cannot
        be read or understood.
        """
        ...

    def covers(self, geobox: GeoBox) -> bool:
        """Return whether there is any reference on a grid, without burning it."""
        ...

    def outlines(self, geobox: GeoBox) -> geopandas.GeoDataFrame:
        """Return the polygons around a grid as they are drawn, whole, in longitudes and latitudes:
        columns ``polygon``, its id as in `burnt`, and ``geometry``. None of a raster."""
        ...

    def values(self) -> ReferenceValues:
        """Return the values that it has beside those that classes take, in a second or two."""
        ...


def open_reference(options: ReferenceOptions, source: Source) -> Reference:
    """Return the reference map that options name.

    Raises SourceError naming the file where it is missing, unreadable, without a CRS, without
    the attribute, or with values that no class has.
    """
    if options.points is not None:
        return PointReference(options.points)
    if options.file is None:
        return _SimulatedReference(options, source)
    path = options.file.located
    if not is_there(path):
        raise SourceError(f"reference.path: {path} is not there. Give the reference map's file")
    try:
        found = layers_of(path, digest(path))
    except NotVectorError:
        return RasterReference(options, path)
    except VectorFileError as error:
        raise SourceError(f"reference.path: {error}") from error
    except READ_ERRORS as error:
        raise SourceError(
            f"reference.path: {path} cannot be read ({error}). Give a file that GDAL reads; this "
            "one may be damaged"
        ) from error
    return PolygonReference(options, path, found)


class _SimulatedReference:
    notes: Sequence[str] = ()

    def __init__(self, options: ReferenceOptions, source: Source) -> None:
        from lc_platform.sources.simulated import SimulatedArchive

        assert isinstance(source, SimulatedArchive)
        self._archive = source
        self._classes = FeatureClasses(options, "the simulated reference")

    def _words(self, table: Any) -> dict[str, list[str]]:
        self._classes.check_attributes(c for c in table.columns if c != "geometry")
        return {a: [word(v) for v in table[a]] for a in self._classes.attributes}

    def _claims(self, geobox: GeoBox) -> tuple[Any, list[tuple[int, int]]]:
        """Return the polygons on a grid, and (row, class id) of those with a class."""
        table = self._archive.reference_polygons(geobox.extent)
        words = self._words(table)
        self._classes.check_values(Counter(zip(*words.values(), strict=True)))
        return table, self._classes.claims(words)

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        table, claims = self._claims(geobox)
        shapes = [(table.geometry.iloc[row], class_id) for row, class_id in claims]
        ids = [_polygon_id(table.parcel.iloc[row]) for row, _ in claims]
        return burn(shapes, geobox, self._classes.ids, ids)

    def outlines(self, geobox: GeoBox) -> geopandas.GeoDataFrame:
        table = self._archive.reference_polygons(geobox.extent)
        ids = [_polygon_id(parcel) for parcel in table.parcel]
        drawn = geopandas.GeoDataFrame({"polygon": ids}, geometry=[*table.geometry], crs=table.crs)
        return drawn.drop_duplicates("polygon").to_crs("EPSG:4326")

    def covers(self, geobox: GeoBox) -> bool:
        # Polygons are drawn only where arithmetic finds none, as on a patch of a few pixels.
        words = self._words(self._archive.reference_on(geobox))
        self._classes.check_values(Counter(zip(*words.values(), strict=True)))
        return bool(self._classes.claims(words)) or bool(self._claims(geobox)[1])

    def values(self) -> ReferenceValues:
        """Return those of the classes, each counted as one: how many polygons there are on a planet
        nobody asks."""
        words = self._words(self._archive.reference_classes())
        return self._classes.values(Counter(zip(*words.values(), strict=True)))


def _polygon_id(parcel: str) -> int:
    """Return the id of a simulated parcel, which has no position: one of 4,294,967,295 by its
    name. Two of a large area may share one."""
    return int(parcel, 16) % (2**32 - 1) + 1
