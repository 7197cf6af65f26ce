"""Patches: how an area of interest is split into boxes that are computed one by one.

Every box lies on the pixel grid of its CRS, which is the multiples of the resolution counted from
the CRS's origin (0, 0). Neighbours in one CRS share their edge to the bit, and every patch has a
whole number of pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from lc_platform.cube import Summary
from lc_platform.eo import polygons
from lc_platform.errors import DataError

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

MAX_PATCHES = 100_000
"""A Dagster asset may not have more partitions."""

_EDGE = 1e-3
"""Pixels: an overlap thinner than this is a shared edge. It absorbs rounding of coordinates."""
_FAR = 20_040_000.0
"""Metres: no place's coordinate lies further west or north than this in a CRS in use (Web
Mercator's world ends at 20,037,508), so indices counted from here are never negative."""
_STEP = 0.01
"""Degrees between vertices of a box in which patches are searched."""
_TOLERANCE = 0.05
"""Pixels that an edge of the area may be off after reprojection."""
_WGS84 = CRS.from_epsg(4326)
PATCH_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""The keys that a patch may have: one is a file's name, with room for a version's beside it."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One box of the grid, and its place in it."""

    key: str
    """Zone, row from the north, column from the west: ``33N-r003-c012``."""
    geobox: GeoBox
    """The pixels, north up, square."""
    zone: str
    """UTM zone of the CRS where that is a UTM zone, else of the patch's centre: ``33N``."""
    row: int
    """From the north."""
    column: int
    """From the west."""

    @property
    def crs(self) -> str:
        """The CRS's authority and code, for example ``EPSG:32633``."""
        return str(self.geobox.crs)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) in the units of the patch's CRS."""
        rows, columns = self.shape
        west, north = float(self.geobox.affine.c), float(self.geobox.affine.f)
        # rounding to whole pixels makes the edge the same number from either neighbour
        return (
            west,
            (round(north / self.resolution) - rows) * self.resolution,
            (round(west / self.resolution) + columns) * self.resolution,
            north,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) in pixels."""
        rows, columns = self.geobox.shape
        return int(rows), int(columns)

    @property
    def resolution(self) -> float:
        """Edge of a pixel, in units of the CRS."""
        return float(self.geobox.affine.a)

    @property
    def centre(self) -> tuple[float, float]:
        """(longitude, latitude) of the middle, degrees."""
        xmin, ymin, xmax, ymax = self.box
        return _lon_lat(self.crs, (xmin + xmax) / 2, (ymin + ymax) / 2)


@dataclass(frozen=True)
class PatchGrid:
    """The patches of an area, and which of them the reference covers."""

    patches: Sequence[Patch]
    has_reference: Mapping[str, bool]
    """By patch key."""
    summary: Summary = field(default_factory=Summary)

    @property
    def keys(self) -> list[str]:
        """Of the patches, in their order."""
        return [patch.key for patch in self.patches]

    def __getitem__(self, key: str) -> Patch:
        """Raises DataError where the grid has no such patch."""
        for patch in self.patches:
            if patch.key == key:
                return patch
        raise DataError(
            f"patch {key}: is not in patch_grid. The area has changed, or the key is misspelt; "
            "materialize patch_grid again"
        )


def split(
    geometry: BaseGeometry,
    crs: Any,
    *,
    buffer: float,
    target_crs: str,
    resolution: float,
    columns_rows: tuple[int, int] | None = None,
    patch_size: float | None = None,
) -> list[Patch]:
    """Return the patches that touch ``geometry`` (in ``crs``) widened by ``buffer`` metres, sorted
    by key.

    ``target_crs`` is one projected CRS in metres, or ``utm``. Exactly one of these says how:

    columns_rows (columns, rows) of the widened area's bounding box, which is first snapped outward
                 to the pixel grid; inner edges take the nearest pixel, so patches differ by at
                 most a pixel. Rows and columns count from this box: another boundary gives other
                 boxes under the same keys. Not with ``utm``.
    patch_size   metres, a multiple of ``resolution``: boxes at multiples of it from the CRS's
                 origin. A place keeps its box and its key whatever the boundary, because row and
                 column count from a point 20,040 km north and west of the origin.

    With ``utm`` each zone (plain 6 degree strips, north or south of the equator) has its own grid,
    and a patch belongs to the zone whose part of the area it touches: along a border of zones
    patches of both overlap, and no place is left out.

    Only an overlap counts, of at least a thousandth of a pixel; a patch that has no more than an
    edge or a corner in common with the area is left out. The buffer is measured in the target CRS.

    The lengths and the CRS are those of a configuration, which has checked them. Raises ValueError
    naming the key of the configuration that must change.
    """
    if geometry.is_empty:
        raise ValueError("aoi.boundary: the area is empty. Give an area with at least one polygon.")
    source = CRS.from_user_input(crs)
    area = polygons.cleaned(geometry, source)
    if area.is_empty:
        raise ValueError(
            f"aoi.boundary: a {geometry.geom_type} encloses no area. Give at least one polygon."
        )
    size = round((patch_size or 0.0) / resolution)
    if target_crs == "utm":
        patches = _split_utm(area, source, buffer, resolution, size)
    else:
        target = CRS.from_user_input(target_crs)
        widened = _widened(_reprojected(area, source, target, _TOLERANCE * resolution), buffer)
        if columns_rows is not None:
            patches = _split_columns_rows(widened, target, resolution, columns_rows)
        else:
            patches = _split_patch_size(widened, target, resolution, size)
    if not patches:
        raise ValueError(
            "aoi.boundary: the area is thinner than a thousandth of a pixel and touches no patch. "
            "Give a larger area or an aoi.buffer."
        )
    if len(patches) > MAX_PATCHES:
        raise _too_many(len(patches))
    return sorted(patches, key=lambda patch: patch.key)


def grid_table(patches: Sequence[Patch]) -> GeoDataFrame:
    """Return the patches as a table, one a row, in the order given.

    Columns: key, zone, row, column, crs (``EPSG:code``), xmin, ymin, xmax, ymax and resolution (in
    units of crs), rows and columns (pixels), geometry (the box in EPSG:4326, cut at 180 degrees).
    """
    import geopandas

    boxes = [patch.box for patch in patches]
    shapes = [patch.shape for patch in patches]
    return geopandas.GeoDataFrame(
        {
            "key": [patch.key for patch in patches],
            "zone": [patch.zone for patch in patches],
            "row": np.array([patch.row for patch in patches], dtype=np.int64),
            "column": np.array([patch.column for patch in patches], dtype=np.int64),
            "crs": [patch.crs for patch in patches],
            "xmin": np.array([box[0] for box in boxes], dtype=np.float64),
            "ymin": np.array([box[1] for box in boxes], dtype=np.float64),
            "xmax": np.array([box[2] for box in boxes], dtype=np.float64),
            "ymax": np.array([box[3] for box in boxes], dtype=np.float64),
            "resolution": np.array([patch.resolution for patch in patches], dtype=np.float64),
            "rows": np.array([shape[0] for shape in shapes], dtype=np.int64),
            "columns": np.array([shape[1] for shape in shapes], dtype=np.int64),
        },
        geometry=[_outline(patch) for patch in patches],
        crs="EPSG:4326",
    )


def patches_from_table(table: GeoDataFrame) -> list[Patch]:
    """Return the patches of a table that ``grid_table`` made; see ``patches_from_columns``."""
    return patches_from_columns({str(name): table[name].tolist() for name in table.columns})


def patches_from_columns(table: Mapping[str, Sequence[Any]]) -> list[Patch]:
    """Return the patches of the columns that ``grid_table`` made, exactly; others are
    ignored.

    Raises ValueError naming the column or the key that a patch grid can't have.
    """
    needed = ["key", "zone", "row", "column", "crs", "xmin", "ymax", "resolution"]
    needed += ["rows", "columns"]
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(
            f"patch_grid: column {missing[0]} is missing. Materialize patch_grid again."
        )
    patches = []
    for key, zone, row, column, crs, xmin, ymax, res, rows, columns in zip(
        *(table[name] for name in needed), strict=True
    ):
        if not PATCH_KEY.fullmatch(key):
            raise ValueError(
                f"patch_grid: {key!r} is not a patch key (letters, digits, _ and -). "
                "Materialize patch_grid again."
            )
        geobox = GeoBox((rows, columns), Affine(res, 0.0, xmin, 0.0, -res, ymax), crs)
        patches.append(Patch(key, geobox, zone, row, column))
    return patches


# ---------------------------------------------------------------------------- one CRS


def _split_columns_rows(
    area: BaseGeometry, crs: CRS, resolution: float, columns_rows: tuple[int, int]
) -> list[Patch]:
    columns, rows = columns_rows
    west, south, east, north = _cells(area, resolution, 1)
    if columns > east - west or rows > north - south:
        raise ValueError(
            f"aoi.split: {columns} x {rows} parts are more than the area's {east - west} x "
            f"{north - south} pixels. Take fewer columns and rows, or a finer aoi.resolution."
        )
    if columns * rows > 50 * MAX_PATCHES:
        raise _too_many(columns * rows)
    outer = (west * resolution, south * resolution, east * resolution, north * resolution)
    edges_x = np.full(columns + 1, east, dtype=np.int64)
    edges_y = np.full(rows + 1, north, dtype=np.int64)
    indices = []
    for i, j, (xmin, ymin, _, _) in _partition(outer, columns, rows):
        edges_x[i] = math.floor(xmin / resolution + 0.5)
        edges_y[j] = math.floor(ymin / resolution + 0.5)
        indices.append((i, j))
    ij = np.array(indices)
    boxes = np.stack(
        [edges_x[ij[:, 0]], edges_y[ij[:, 1]], edges_x[ij[:, 0] + 1], edges_y[ij[:, 1] + 1]], axis=1
    )
    kept = _touching(area, boxes, resolution)
    digits = max(3, len(str(columns - 1)), len(str(rows - 1)))
    return [
        _patch(crs, resolution, box, rows - 1 - int(j), int(i), digits)
        for (i, j), box in zip(ij[kept], boxes[kept], strict=True)
    ]


def _split_patch_size(area: BaseGeometry, crs: CRS, resolution: float, size: int) -> list[Patch]:
    if (estimate := area.area / (size * resolution) ** 2) > MAX_PATCHES:
        raise _too_many(int(estimate))
    west, south, east, north = _cells(area, resolution, size)
    columns, rows = east - west, north - south
    if columns * rows > 50 * MAX_PATCHES:
        raise _too_many(columns * rows, "boxes to search")
    edge = size * resolution
    outer = (west * edge, south * edge, east * edge, north * edge)
    cells = np.array([(west + i, south + j) for i, j, _ in _partition(outer, columns, rows)])
    return _patches_of_cells(area, crs, resolution, size, cells)


def _partition(
    outer: tuple[float, float, float, float], columns: int, rows: int
) -> Iterable[tuple[int, int, tuple[float, ...]]]:
    """Yield each part as (column from the west, row from the south, box)."""
    from sentinelhub.areas import BBoxSplitter
    from sentinelhub.constants import CRS as PLANE

    # All is done in one plane, so any projected CRS stands for the real one.
    splitter = BBoxSplitter([shapely.box(*outer)], PLANE.POP_WEB, split_shape=(columns, rows))
    places: list[dict[str, Any]] = splitter.get_info_list()
    for place, box in zip(places, splitter.get_bbox_list(), strict=True):
        yield place["index_x"], place["index_y"], tuple(box)


# ---------------------------------------------------------------------------- UTM


def _split_utm(
    area: BaseGeometry, crs: CRS, buffer: float, resolution: float, size: int
) -> list[Patch]:
    from sentinelhub.areas import UtmZoneSplitter
    from sentinelhub.constants import CRS as SENTINELHUB_CRS

    patches: list[Patch] = []
    edge = size * resolution
    tolerance = _TOLERANCE * resolution
    lon_lat = _reprojected(area, crs, _WGS84, tolerance / polygons.METRES_PER_DEGREE)
    for zone, piece in _zone_pieces(lon_lat, buffer, tolerance):
        local = _reprojected(piece, _WGS84, zone, tolerance)
        if len(patches) + (estimate := local.area / edge**2) > MAX_PATCHES:
            raise _too_many(int(len(patches) + estimate))
        xmin, ymin, xmax, ymax = local.bounds
        if (xmax - xmin) * (ymax - ymin) / edge**2 > 50 * MAX_PATCHES:
            raise _too_many(int((xmax - xmin) * (ymax - ymin) / edge**2), "boxes to search")
        # The splitter tests every box against every vertex: the envelope gives it the candidates,
        # and the exact test below, on a prepared geometry, takes its pick.
        envelope = shapely.segmentize(shapely.box(*piece.bounds), _STEP)
        splitter = UtmZoneSplitter([envelope], SENTINELHUB_CRS.WGS84, bbox_size=float(edge))
        cells = [
            (round(box.min_x / edge), round(box.min_y / edge))
            for box in splitter.get_bbox_list()
            if box.crs.epsg == zone.to_epsg()
        ]
        if cells:
            patches += _patches_of_cells(local, zone, resolution, size, np.array(cells))
    return patches


def _zone_pieces(
    area: BaseGeometry, buffer: float, tolerance: float
) -> Iterable[tuple[CRS, BaseGeometry]]:
    """Yield each UTM zone's part of the widened area, in EPSG:4326, and the zone's CRS."""
    _, south, _, north = area.bounds
    reach = buffer / 110_000
    if south - reach < -80 or north + reach > 84:
        raise ValueError(
            f"aoi.crs: utm ends at 80S and 84N, and the area with its buffer reaches from "
            f"{south - reach:.2f} to {north + reach:.2f} degrees. Name a polar CRS, for example "
            "EPSG:3413 (north) or EPSG:3031 (south)."
        )
    widest = max(abs(south), abs(north)) + reach
    reach_x = (reach + _STEP) / math.cos(math.radians(widest)) if buffer else 0.0
    reach_y = reach + _STEP if buffer else 0.0
    turns = [translate(area, xoff=turn) for turn in (-360.0, 0.0, 360.0)]
    for number in range(1, 61):
        west = -180.0 + 6 * (number - 1)
        for base, bottom, top in ((32600, 0.0, 84.0), (32700, -80.0, 0.0)):
            near = shapely.box(west - reach_x, bottom - reach_y, west + 6 + reach_x, top + reach_y)
            parts = [
                shapely.intersection(turn, near)
                for turn in turns
                if shapely.box(*turn.bounds).intersects(near)
            ]
            piece = polygons.polygonal(shapely.union_all(parts))
            if piece.is_empty:
                continue
            zone = CRS.from_epsg(base + number)
            if buffer:
                local = _widened(_reprojected(piece, _WGS84, zone, tolerance), buffer)
                back = _reprojected(local, zone, _WGS84, tolerance / polygons.METRES_PER_DEGREE)
                piece = polygons.polygonal(
                    shapely.intersection(
                        polygons.unwrapped(back, west + 3),
                        shapely.box(west, bottom, west + 6, top),
                    )
                )
            if not piece.is_empty:
                yield zone, piece


# ---------------------------------------------------------------------------- both


def _patches_of_cells(
    area: BaseGeometry, crs: CRS, resolution: float, size: int, cells: NDArray[np.int64]
) -> list[Patch]:
    """Return those of ``cells`` (cell, (x, y)), multiples of the patch's size, that overlap the
    area."""
    boxes = np.concatenate([cells * size, (cells + 1) * size], axis=1)
    kept = _touching(area, boxes, resolution)
    half = math.ceil(_FAR / (size * resolution))
    digits = max(3, len(str(2 * half - 1)))
    return [
        _patch(crs, resolution, box, half - 1 - int(y), half + int(x), digits)
        for (x, y), box in zip(cells[kept], boxes[kept], strict=True)
    ]


def _patch(
    crs: CRS, resolution: float, box: NDArray[np.int64], row: int, column: int, digits: int
) -> Patch:
    """From ``box`` (xmin, ymin, xmax, ymax) in pixels from the CRS's origin."""
    west, south, east, north = (int(edge) for edge in box)
    name = _authority(crs)
    geobox = GeoBox(
        (north - south, east - west),
        Affine(resolution, 0.0, west * resolution, 0.0, -resolution, north * resolution),
        name,
    )
    if (zone := zone_of(crs)) is not None:
        grid = zone
    else:
        grid = re.sub(r"[^A-Za-z0-9]", "", name.removeprefix("EPSG:"))
        zone = utm_zone(
            *_lon_lat(name, (west + east) / 2 * resolution, (south + north) / 2 * resolution)
        )
    return Patch(f"{grid}-r{row:0{digits}d}-c{column:0{digits}d}", geobox, zone, row, column)


def _cells(area: BaseGeometry, resolution: float, size: int) -> tuple[int, int, int, int]:
    """Return (west, south, east, north) of the area's bounding box, outward, in parts of ``size``
    px."""
    low = [math.floor((edge / resolution + _EDGE) / size) for edge in area.bounds[:2]]
    high = [math.ceil((edge / resolution - _EDGE) / size) for edge in area.bounds[2:]]
    return (low[0], low[1], max(high[0], low[0] + 1), max(high[1], low[1] + 1))


def _touching(area: BaseGeometry, boxes: NDArray[np.int64], resolution: float) -> NDArray[np.bool_]:
    """Return (box,), True where more than an edge of ``boxes`` (box, 4), in pixels, is in the
    area."""
    low, high = (boxes[:, :2] + _EDGE) * resolution, (boxes[:, 2:] - _EDGE) * resolution
    shapely.prepare(area)
    candidates = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
    touching: NDArray[np.bool_] = shapely.intersects(area, candidates)
    return touching


@lru_cache(maxsize=256)
def _authority(crs: CRS) -> str:
    authority, code = crs.to_authority()
    return f"{authority}:{code}"


def _lon_lat(crs: str, x: float, y: float) -> tuple[float, float]:
    lon, lat = polygons.transformer(crs, "EPSG:4326").transform(x, y)
    return float(lon), float(lat)


def zone_of(crs: CRS) -> str | None:
    """Return the UTM zone that a CRS is of, such as 33N or 05S; None of any other CRS."""
    return None if crs.utm_zone is None else str(crs.utm_zone).zfill(3)


def utm_zone(longitude: float, latitude: float) -> str:
    """Return the UTM zone that a place in degrees is mapped in."""
    number = int((longitude + 180) % 360 // 6) + 1
    return f"{number:02d}{'N' if latitude >= 0 else 'S'}"


def _widened(area: BaseGeometry, buffer: float) -> BaseGeometry:
    return area.buffer(buffer) if buffer else area


def _reprojected(area: BaseGeometry, source: CRS, target: CRS, tolerance: float) -> BaseGeometry:
    try:
        return polygons.reprojected(area, source, target, tolerance)
    except polygons.NotExpressibleError as error:
        raise ValueError(f"aoi.crs: {error}. Choose a CRS made for the area, or utm.") from error


def _outline(patch: Patch) -> BaseGeometry:
    """Return the box in EPSG:4326, cut where it crosses 180 degrees."""
    xmin, ymin, xmax, ymax = patch.box
    ring = shapely.segmentize(shapely.box(xmin, ymin, xmax, ymax), (xmax - xmin) / 8)
    project = polygons.transformer(patch.crs, "EPSG:4326").transform
    lon_lat = shapely.transform(ring, lambda p: np.column_stack(project(p[:, 0], p[:, 1])))
    return polygons.normalized(lon_lat)


def _too_many(count: int, what: str = "patches") -> ValueError:
    return ValueError(
        f"aoi.patch_size: the area makes {count:,} {what}, and an asset may have {MAX_PATCHES:,} "
        "partitions. Take larger patches (a patch is streamed by window, so that its size costs no "
        "memory), or a smaller area."
    )
