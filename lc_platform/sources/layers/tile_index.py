"""Tile indexes: vector files of the outlines of rasters, with their paths."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import geopandas
import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from lc_platform.area import vector_layers
from lc_platform.area.vector_layers import NotVectorError, VectorFileError
from lc_platform.config.input_files import digest, is_there
from lc_platform.eo import polygons
from lc_platform.sources.layers.options import LayerOptions
from lc_platform.sources.passes import in_degrees
from lc_platform.sources.polygon_index import READ_ERRORS
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.stac.hrefs import located

_AROUND = 0.02
"""Degrees around a grid in which outlines are looked for: their edges are drawn straight."""


def tiles_of(options: LayerOptions) -> geopandas.GeoDataFrame:
    """Return the rasters of an index, in its order: ``uri`` and ``geometry``, in longitudes and
    latitudes; those of the options' year where the index has years.

    Raises SourceError naming the key and the file where it is missing, cannot be read, or lacks
    an attribute, a path or a year.
    """
    file = options.tile_index
    assert file is not None
    return _tiles(
        f"{options.key}.tile_index: {file.written}",
        options.key,
        file.located,
        digest(file.located),
        options.location,
        options.year_attribute,
        options.year,
    )


def on(tiles: geopandas.GeoDataFrame, geobox: GeoBox) -> list[str]:
    """Return the rasters whose outlines touch a grid, in the order of the index."""
    around = polygons.normalized(in_degrees(geobox.extent).buffer(_AROUND))
    found = np.sort(tiles.sindex.query(around, predicate="intersects"))
    return [str(uri) for uri in tiles.uri.iloc[found]]


def digest_of_tiles(options: LayerOptions) -> str:
    """Return a digest of an index with the content of those of its rasters that are on this
    machine; of an index that cannot be read, of its file alone."""
    file = options.tile_index
    assert file is not None
    found = hashlib.sha256(file.content.encode())
    try:
        tiles = tiles_of(options)
    except SourceError:
        return found.hexdigest()[:16]  # whoever reads it says so
    for uri in tiles.uri:
        found.update((digest(uri) or "").encode())
    return found.hexdigest()[:16]


@lru_cache(maxsize=16)
def _tiles(
    where: str,
    key: str,
    path: str,
    content: str | None,  # noqa: ARG001
    location: str,
    year_attribute: str | None,
    year: int | None,
) -> geopandas.GeoDataFrame:
    table = _read(where, path)
    for attribute, of in ((location, "location"), (year_attribute, "year_attribute")):
        if attribute is not None and attribute not in table.columns:
            names = ", ".join(str(name) for name in table.columns if name != "geometry")
            raise SourceError(
                f"{key}.{of}: {path} has no attribute {attribute}. It has {names or 'none'}"
            )
    if year_attribute is not None and year is not None:
        table = table[table[year_attribute].astype(str).str.fullmatch(rf"{year}(\.0)?")]
        if not len(table):
            raise SourceError(
                f"{where} has no raster whose {year_attribute} is {year}. Add those of that year, "
                "or take the year out of years"
            )
    paths = table[location]
    if not len(table) or paths.isna().any():
        raise SourceError(
            f"{where} has {'an outline without a path' if len(table) else 'no raster'} "
            f"({location}). Make it again, for example with gdaltindex"
        )
    if table.crs is None:
        raise SourceError(f"{where} has no CRS. Assign the one that its outlines are drawn in")
    uris = [located(str(one), path) for one in paths]
    outlines: Any = shapely.force_2d(table.geometry.to_crs("EPSG:4326").to_numpy())
    return geopandas.GeoDataFrame({"uri": uris}, geometry=outlines, crs="EPSG:4326")


def _read(where: str, path: str) -> geopandas.GeoDataFrame:
    if not is_there(path):
        raise SourceError(f"{where} is not there. Give the vector file of the rasters' outlines")
    try:
        (layer, *others) = vector_layers.layers(path)
        if others:
            names = ", ".join(one.name for one in (layer, *others))
            raise SourceError(
                f"{where} has several layers ({names}), and an index has one. Give a file of it"
            )
        return layer.read()
    except (NotVectorError, VectorFileError, ValueError, *READ_ERRORS) as error:
        raise SourceError(
            f"{where} cannot be read as a vector file ({error}). Give outlines with the rasters' "
            "paths, for example as a GeoPackage; this file may be damaged"
        ) from error
