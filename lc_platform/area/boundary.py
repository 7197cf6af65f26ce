"""The boundary of the area of interest: from a file, a bounding box or a country's name."""

from __future__ import annotations

import difflib
import http.client
import math
import os
import shutil
import tempfile
import unicodedata
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import geopandas
import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from lc_platform.area.coordinates import CoordinatesError, usable
from lc_platform.area.vector_layers import Layer, NotVectorError, VectorFileError, layers
from lc_platform.config.input_files import is_there
from lc_platform.eo import polygons
from lc_platform.errors import PlatformError

NATURAL_EARTH = "https://naciscdn.org/naturalearth/10m/cultural/ne_10m_admin_0_countries.zip"
"""Natural Earth's countries at 1:10 million, public domain."""

_NAMES = ("NAME", "ADMIN", "NAME_LONG", "NAME_EN", "ISO_A2", "ISO_A3", "ISO_A2_EH", "ISO_A3_EH")
_TIMEOUT = 60.0
_READ_ERRORS = (DataSourceError, DataLayerError, shapely.errors.ShapelyError, OSError)


class BoundaryError(PlatformError, ValueError):
    """No area of interest can be made of what was given; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """An area of interest."""

    geometry: BaseGeometry
    """Polygon or MultiPolygon, valid, not empty, two-dimensional."""
    crs: CRS
    note: str | None = None
    """A note to the user of what was repaired or left out; None where nothing was."""


def read_boundary(
    *,
    boundary: str | Path | None = None,
    layer: str | None = None,
    bbox: Sequence[float] | None = None,
    country: str | None = None,
    natural_earth: str | Path | None = None,
    cache: Path | None = None,
) -> Boundary:
    """Return the area that one of ``boundary``, ``bbox`` and ``country`` names.

    What each may be stands at ``from_file``, ``from_bbox`` and ``from_country``; ``layer`` is one
    of the first one's file, and ``natural_earth`` the last one's ``source``.

    Raises BoundaryError where not exactly one is given, or where that one gives no area.
    """
    given = [
        name
        for name, value in (("boundary", boundary), ("bbox", bbox), ("country", country))
        if value is not None
    ]
    if len(given) != 1:
        raise BoundaryError(
            "aoi: give exactly one of boundary, bbox and country; "
            + (f"here are {' and '.join(given)}." if given else "here is none.")
        )
    if boundary is not None:
        return from_file(boundary, layer)
    if bbox is not None:
        return from_bbox(bbox)
    assert country is not None
    return from_country(country, source=natural_earth, cache=cache)


def from_file(path: str | Path, layer: str | None = None) -> Boundary:
    """Return the union of all polygons of a file, or URL, that GDAL reads.

    A polygon that crosses itself is repaired, one that jumps across 180 degrees goes the short way,
    and features that are no polygons are left out; the note says so.

    layer  where the file has several of polygons

    Raises BoundaryError naming the file where it is missing, unreadable, without a coordinate
    reference system, without a polygon, or where it is not said which of its layers is meant.
    """
    chosen, notes = _chosen(_layers(path, "aoi.boundary"), layer, path)
    table = _read(chosen.outlines, path, "aoi.boundary")
    name = _name(path)
    if table.crs is None or not (table.crs.is_geographic or table.crs.is_projected):
        raise BoundaryError(
            f"aoi.boundary: {path} has no coordinate reference system. Set it in the file (for "
            "example ogr2ogr -a_srs EPSG:4326 out.gpkg in.shp); it is never guessed."
        )
    geometries = [g for g in table.geometry if g is not None and not g.is_empty]
    if not geometries:
        raise BoundaryError(
            f"aoi.boundary: {path} is empty: {len(table)} features, none with a geometry. Give a "
            "file with at least one polygon."
        )
    _check_coordinates(geometries, table.crs, path)
    found: list[BaseGeometry] = []
    others: set[str] = set()
    thin: list[str] = []
    for geometry in geometries:
        flat = shapely.force_2d(geometry)
        if shapely.get_dimensions(flat) < 2:
            others.add(flat.geom_type)
            continue
        cleaned = polygons.cleaned(flat, table.crs)
        if cleaned.is_empty:
            thin.append(_invalidity(flat))
            continue
        if jumps := polygons.jumps(flat, table.crs):
            notes.append(
                f"{name} jumps across 180 degrees; taken the short way (area "
                f"{_km2(cleaned, table.crs)} km2)"
            )
        if not flat.is_valid and not jumps:
            notes.append(
                f"{name} {_invalidity(flat)}; repaired (area {_km2(flat, table.crs)} -> "
                f"{_km2(cleaned, table.crs)} km2)"
            )
        found.append(cleaned)
    if thin and not found:
        raise BoundaryError(
            f"aoi.boundary: {path} {thin[0]}, and no area is left after repair. Draw the polygon "
            "again."
        )
    if not found:
        raise BoundaryError(
            f"aoi.boundary: {path} holds only {' and '.join(sorted(others))} geometries, which "
            "enclose no area. Give polygons (lines can be closed, points buffered, beforehand)."
        )
    if others:
        notes.append(f"{name}: {' and '.join(sorted(others))} geometries are left out")
    if thin:
        notes.append(
            f"{name} {thin[0]}, and no area is left after repair: "
            f"{len(thin)} of {len(geometries)} features are left out"
        )
    area = polygons.polygonal(shapely.union_all(found))
    try:
        usable(table.crs.to_wkt(), area.bounds, str(path))
    except CoordinatesError as error:
        raise BoundaryError(f"aoi.boundary: {error}") from error
    return Boundary(area, table.crs, f"aoi.boundary: {'; '.join(notes)}" if notes else None)


def from_bbox(bbox: Sequence[float]) -> Boundary:
    """Return the box (west, south, east, north) in degrees, EPSG:4326.

    One across 180 degrees has west above east, as RFC 7946 has it (section 5.2), or an edge beyond
    180. Raises BoundaryError where it is no box on Earth.
    """
    if len(bbox) != 4 or not all(math.isfinite(edge) for edge in bbox):
        raise BoundaryError(
            f"aoi.bbox: {list(bbox)} is not [west, south, east, north]. Give four numbers, degrees."
        )
    west, south, east, north = (float(edge) for edge in bbox)
    if west > east and west - east > 180 and max(abs(west), abs(east)) <= 180:
        east += 360
    across = west < east <= west + 180
    turn = 360 if across else 180
    for edge, value, limit in (
        ("west", west, turn),
        ("south", south, 90),
        ("east", east, turn),
        ("north", north, 90),
    ):
        if abs(value) > limit:
            swapped = " Are latitude and longitude swapped?" if limit == 90 else ""
            raise BoundaryError(
                f"aoi.bbox: {edge} {value:g} is outside -{limit} to {limit}. The order is [west, "
                f"south, east, north], in degrees (EPSG:4326).{swapped}"
            )
    if west >= east:
        raise BoundaryError(
            f"aoi.bbox: west {west:g} is not less than east {east:g}. The order is [west, south, "
            "east, north]."
        )
    if south >= north:
        raise BoundaryError(
            f"aoi.bbox: south {south:g} is not less than north {north:g}. The order is [west, "
            "south, east, north]."
        )
    return Boundary(polygons.box_in_degrees(west, south, east, north), CRS.from_epsg(4326))


def swapped(bbox: Sequence[float]) -> tuple[float, float, float, float]:
    """Return a box with its latitudes in the place of its longitudes.

    bbox  west, south, east, north in degrees
    """
    west, south, east, north = bbox
    return south, west, north, east


def swap_question(bbox: Sequence[float]) -> str:
    """Return the question whether a box is swapped, with the box that is meant then."""
    meant = ", ".join(map(str, swapped(bbox)))
    return f"Are latitude and longitude of aoi.bbox swapped? Then write [{meant}]"


def from_country(
    name: str, *, source: str | Path | None = None, cache: Path | None = None
) -> Boundary:
    """Return a country of Natural Earth (1:10 million) by its name or ISO code, whatever its case.

    source  where Natural Earth's countries are: a local copy, or an http(s) URL; by default its
            public download
    cache   the folder a download is kept in, by default ``~/.cache/lc_platform`` (or below
            XDG_CACHE_HOME). What is there already is not downloaded again.

    Raises BoundaryError naming the nearest names where there is no such country, or the file or
    address where it can't be read.
    """
    place = str(source) if source is not None else NATURAL_EARTH
    file = _cached(place, cache) if place.startswith(("http://", "https://")) else place
    table = _read(_layers(file, "aoi.country")[0].read, file, "aoi.country")
    columns = [column for column in _NAMES if column in table.columns]
    if not columns or table.crs is None:
        raise BoundaryError(
            f"aoi.country: {file} is not Natural Earth's countries (it has no column "
            f"{', '.join(_NAMES[:4])}). Give a copy of {PurePosixPath(NATURAL_EARTH).name}."
        )
    wanted = _folded(name)
    for column in columns:
        found = table[[_folded(value) == wanted and wanted != "" for value in table[column]]]
        parts = [polygons.cleaned(geometry, table.crs) for geometry in found.geometry]
        area = polygons.polygonal(shapely.union_all(parts))
        if not area.is_empty:
            return Boundary(area, table.crs)
    known = {
        _folded(value): str(value)
        for column in columns
        if not column.startswith("ISO")
        for value in table[column]
        if _folded(value)
    }
    near = [known[key] for key in difflib.get_close_matches(wanted, known, n=5, cutoff=0.5)]
    near = list(dict.fromkeys(near))
    raise BoundaryError(
        f"aoi.country: {name!r} is no country of Natural Earth. "
        + (f"Nearest: {', '.join(near)}." if near else "Give its English name or ISO code.")
    )


def default_cache() -> Path:
    """Return the folder downloads are kept in where none is given."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "lc_platform"


# ---------------------------------------------------------------------------- download


def _cached(url: str, cache: Path | None) -> Path:
    """Return the file at ``url``, downloaded where it is not in the cache yet."""
    name = PurePosixPath(urlsplit(url).path).name or "countries.zip"
    if url != NATURAL_EARTH:
        # another address may hold another file of the same name
        name = f"{sha256(url.encode()).hexdigest()[:8]}-{name}"
    folder = (cache or default_cache()) / "natural_earth"
    target = folder / name
    if target.is_file():
        return target
    remedy = f"Put a copy of it at {target}, or give aoi.boundary a file of the country."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as partial:
            arriving = Path(partial) / name
            _download(url, arriving)
            arriving.replace(target)
    except (OSError, http.client.HTTPException, DataSourceError, zipfile.BadZipFile) as error:
        raise BoundaryError(
            f"aoi.country: {url} could not be downloaded into {folder} "
            f"({str(error) or type(error).__name__}). {remedy}"
        ) from error
    return target


def _download(url: str, file: Path) -> None:
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, file.open("wb") as out:
        shutil.copyfileobj(answer, out)
        expected = answer.headers.get("Content-Length")
    size = file.stat().st_size
    if expected is not None and size != int(expected):
        raise OSError(f"it ended after {size} of {expected} bytes")
    # a login page, or half an archive, must not be kept as if it were the countries
    if file.suffix.lower() == ".zip":
        with zipfile.ZipFile(file) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{damaged} in it is damaged")
    pyogrio.read_info(file)


# ---------------------------------------------------------------------------- reading


def _layers(path: str | Path, key: str) -> list[Layer]:
    """Return the layers of a file that have a geometry, at least one."""
    text = str(path)
    if not is_there(text):
        raise BoundaryError(f"{key}: {text} is not there. Give a file or URL that GDAL reads.")
    try:
        found = layers(text)
    except VectorFileError as error:
        raise BoundaryError(f"{key}: {error}") from error
    except (*_READ_ERRORS, NotVectorError) as error:
        raise _unreadable(path, key, error) from error
    if not found:
        raise BoundaryError(
            f"{key}: {text} holds no layer with a geometry. Give a file with polygons."
        )
    return found


def _chosen(
    found: Sequence[Layer], wanted: str | None, path: str | Path
) -> tuple[Layer, list[str]]:
    """Return the layer that is meant, and what the user should know of the choice."""
    names = ", ".join(layer.name for layer in found)
    if wanted is not None:
        named = [layer for layer in found if layer.name == wanted]
        if not named:
            raise BoundaryError(
                f"aoi.layer: {path} has no layer {wanted}. Name one that it has: {names}"
            )
        return named[0], []
    polygonal = [layer for layer in found if layer.may_have_polygons]
    if len(polygonal) > 1:
        raise BoundaryError(
            f"aoi.boundary: {path} has the layers {names}, and it is not said which of them is the "
            f"area. Name it: aoi.layer: {polygonal[0].name}"
        )
    chosen = polygonal[0] if polygonal else found[0]
    if len(found) == 1:
        return chosen, []
    return chosen, [
        f"{_name(path)} has the layers {names}; {chosen.name} has polygons, and is used"
    ]


def _read(
    read: Callable[[], geopandas.GeoDataFrame], path: str | Path, key: str
) -> geopandas.GeoDataFrame:
    try:
        return read()
    except VectorFileError as error:
        raise BoundaryError(f"{key}: {error}") from error
    except _READ_ERRORS as error:
        raise _unreadable(path, key, error) from error


def _unreadable(path: str | Path, key: str, error: Exception) -> BoundaryError:
    return BoundaryError(
        f"{key}: {path} can't be read by GDAL ({error}). Give a vector file such as GeoJSON, "
        "GeoPackage or a zipped shapefile."
    )


def _check_coordinates(geometries: Sequence[BaseGeometry], crs: CRS, path: str | Path) -> None:
    points = shapely.get_coordinates(np.array(geometries, dtype=object))
    if not np.isfinite(points).all():
        raise BoundaryError(
            f"aoi.boundary: {path} has coordinates that are no numbers. Export the file again."
        )
    if crs.is_geographic and (abs(points) > (360.0, 90.0)).any():
        x, y = points[(abs(points) > (360.0, 90.0)).any(axis=1)][0]
        raise BoundaryError(
            f"aoi.boundary: {path} says its coordinates are degrees ({crs.name}) but has the point "
            f"({x:g}, {y:g}). State the right coordinate reference system in the file (GeoJSON "
            "without one is EPSG:4326)."
        )


def _name(path: str | Path) -> str:
    text = str(path)
    return PurePosixPath(text.split("?")[0] if "://" in text else text).name


def _invalidity(geometry: BaseGeometry) -> str:
    reason, _, place = shapely.is_valid_reason(geometry).partition("[")
    where = f" at ({place.rstrip(']').replace(' ', ', ')})" if place else ""
    if "self-intersection" in reason.lower():
        return f"crosses itself{where}"
    return f"is not a valid polygon ({reason.strip().lower()}){where}"


def _km2(geometry: BaseGeometry, crs: CRS) -> str:
    return f"{polygons.square_kilometres(geometry, crs):,.4f}".rstrip("0").rstrip(".")


def _folded(name: object) -> str:
    """Without case and accents; empty where Natural Earth has no value (None, -99)."""
    if not isinstance(name, str) or name.strip() == "-99":
        return ""
    plain = unicodedata.normalize("NFKD", name)
    return "".join(c for c in plain if not unicodedata.combining(c)).strip().casefold()
