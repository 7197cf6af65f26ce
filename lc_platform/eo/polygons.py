"""Polygons repaired, brought to longitudes from -180 to 180, and reprojected with straight edges.

One home for what every polygon needs before it can be used, whether it comes from a reference map,
a boundary or an archive's footprint. Coordinates are always (x, y), longitude before latitude.

An edge is straight in the CRS in which it was drawn, so that it bends in another one: vertices
are added until each piece bends by less than a tolerance, which is measured and not assumed. The
vertices of an edge depend on that edge alone. So a window of a grid gets the same polygons as the
whole grid, and neighbours keep their common edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

METRES_PER_DEGREE = 111_320.0
"""Of latitude, and of longitude at the equator."""

Points: TypeAlias = NDArray[np.float64]
"""(point, (x, y))"""
Box: TypeAlias = tuple[float, float, float, float]
"""(west, south, east, north)"""

LONGEST_DEGREES = 0.1
LONGEST_METRES = 10_000.0
"""No piece of a densified edge is longer, so that what bends twice is seen, and so that an edge
which passes an area is complete within this distance of it."""
_ROUNDS = 12
_MOST_PIECES = 64
_POLYGON, _MULTIPOLYGON, _COLLECTION = 3, 6, 7


_EQUAL_AREA = CRS.from_epsg(6933)


class NotExpressibleError(ValueError):
    """A CRS has no coordinates for a part of an area."""


# ---------------------------------------------------------------------------- repair


def polygonal(geometry: BaseGeometry | None) -> BaseGeometry:
    """Return the union of a geometry's polygonal parts: valid, two-dimensional, and nothing else.

    Ground that a ring goes around is inside, also where it is gone around twice or where parts
    overlap; holes are not. Lines, points, spikes and parts with coordinates that are no numbers
    enclose nothing. The polygon is empty where nothing is left. What is valid already is returned
    as it is.
    """
    if geometry is None:
        return shapely.Polygon()
    flat = shapely.force_2d(geometry)
    if flat.geom_type in ("Polygon", "MultiPolygon") and flat.is_valid:
        return flat
    parts = [_repaired(part) for part in parts_of(flat)]
    found = shapely.union_all([part for part in parts if not part.is_empty])
    return found if not found.is_empty else shapely.Polygon()


def polygonal_parts(geometries: Sequence[BaseGeometry | None] | NDArray[Any]) -> NDArray[Any]:
    """Return the `polygonal` part of each geometry, (geometry,)."""
    given = np.asarray(geometries, dtype=object)
    found: NDArray[Any] = shapely.force_2d(given)
    kind = shapely.get_type_id(found)
    whole = shapely.is_valid(found) & ((kind == _POLYGON) | (kind == _MULTIPOLYGON))
    for i in np.flatnonzero(~whole):
        found[i] = polygonal(given[i])
    return found


def parts_of(geometry: BaseGeometry) -> Iterator[shapely.Polygon]:
    """Yield the polygons in a geometry, as they were drawn."""
    for part in shapely.get_parts(geometry):
        kind = shapely.get_type_id(part)
        if kind == _POLYGON:
            yield part
        elif kind in (_MULTIPOLYGON, _COLLECTION):
            yield from parts_of(part)


def _repaired(part: shapely.Polygon) -> BaseGeometry:
    if part.is_valid:
        return part
    if not np.isfinite(shapely.get_coordinates(part)).all():
        return shapely.Polygon()
    shell = _filled(part.exterior)
    holes = [_filled(ring) for ring in part.interiors]
    # A ring beside the shell is no hole in it, but ground of its own.
    beside = [hole for hole in holes if not hole.intersects(shell)]
    return shapely.union_all([shapely.difference(shell, shapely.union_all(holes)), *beside])


def _filled(ring: shapely.LinearRing) -> BaseGeometry:
    """Return what a ring goes around."""
    drawn = shapely.Polygon(ring)
    if drawn.is_valid:
        return drawn
    # Not shapely.make_valid: by lines it makes a hole of what is gone around twice, and by
    # structure it loses some where edges lie on each other.
    points = shapely.get_coordinates(ring)
    noded = shapely.union_all(shapely.linestrings(points))
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    inner = shapely.get_coordinates(shapely.point_on_surface(faces))
    inside = [_winding_number(points, place) != 0 for place in inner]
    return shapely.union_all(faces[np.array(inside, np.bool_)])


def _winding_number(ring: Points, place: NDArray[np.float64]) -> int:
    """Return how often a ring goes around a place that is not on it.

    These are the crossings of the ray to its right, upward ones less downward ones.
    """
    (ax, ay), (bx, by) = (ring[:-1] - place).T, (ring[1:] - place).T
    left = ax * by - bx * ay > 0
    return int(((ay <= 0) & (by > 0) & left).sum()) - int(((ay > 0) & (by <= 0) & ~left).sum())


# ---------------------------------------------------------------------------- longitudes


def unwrapped(geometry: BaseGeometry | None, longitude: float = 0.0) -> BaseGeometry:
    """Return a polygon in degrees whose rings do not jump from one side of 180 to the other.

    Longitudes may come in any count (above 180, below -180, from 0 to 360). Where they jump by more
    than half a turn from one vertex to the next, the edge is the short one, across 180. A ring
    around a pole is closed over it. Each part is moved by whole turns until its middle is within
    half a turn of ``longitude``. The result is `polygonal`; its parts may reach beyond 180.
    """
    if geometry is None:
        return shapely.Polygon()
    west, _, east, _ = geometry.bounds
    if not geometry.is_empty and east - west <= 180 and abs((west + east) / 2 - longitude) < 180:
        return polygonal(geometry)
    flat = shapely.force_2d(geometry)
    parts = [_unwrapped_part(part, longitude) for part in parts_of(flat) if not part.is_empty]
    if len(parts) == 1:
        return polygonal(parts[0])
    return polygonal(shapely.GeometryCollection(parts))


def unwrapped_parts(geometries: NDArray[Any], longitude: float = 0.0) -> NDArray[Any]:
    """Return each geometry `unwrapped`, (geometry,)."""
    west, _, east, _ = shapely.bounds(geometries).T
    plain = (east - west <= 180) & (np.abs((west + east) / 2 - longitude) < 180)
    found = np.empty(len(geometries), dtype=object)
    found[plain] = polygonal_parts(geometries[plain])
    found[~plain] = [unwrapped(one, longitude) for one in geometries[~plain]]
    return found


def normalized(geometry: BaseGeometry | None) -> BaseGeometry:
    """Return a polygon in degrees with longitudes from -180 to 180, cut where it crosses 180.

    This is the form of RFC 7946, section 3.1.9, in which two geometries can be compared. For what
    is understood see `unwrapped`.
    """
    whole = unwrapped(geometry)
    west, _, east, _ = whole.bounds
    if whole.is_empty or (west >= -180 and east <= 180):
        return whole
    earth = (-180.0, -90.0, 180.0, 90.0)
    (turned,) = _onto(np.array([whole], dtype=object), earth, turns=True)
    return polygonal(shapely.intersection(turned, shapely.box(*earth)))


def jumps(geometry: BaseGeometry, crs: CRS) -> bool:
    """Return whether a geometry in degrees has an edge from one side of 180 to the other."""
    if not wraps(crs):
        return False
    rings = shapely.get_rings([*parts_of(geometry)])
    points, ring = shapely.get_coordinates(rings, return_index=True)
    steps = np.abs(np.diff(points[:, 0]))[ring[1:] == ring[:-1]]
    return bool(((steps > 180) & (steps < 360)).any())


def cleaned(geometry: BaseGeometry | None, crs: CRS) -> BaseGeometry:
    """Return a polygon as it can be used in its own CRS: `normalized` in degrees, else
    `polygonal`."""
    return normalized(geometry) if wraps(crs) else polygonal(geometry)


def box_in_degrees(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """Return the box between two meridians and two parallels, as `normalized` does.

    It crosses 180 degrees where ``west`` is above ``east``, and may be wider than half a turn.
    """
    if west > east:
        east += 360.0
    # Between vertices less than half a turn apart nothing can be taken for a jump.
    return normalized(shapely.segmentize(shapely.box(west, south, east, north), 90.0))


def _unwrapped_part(part: shapely.Polygon, longitude: float) -> shapely.Polygon:
    if not np.isfinite(shapely.get_coordinates(part)).all():
        return part
    shell = _unwrapped_ring(shapely.get_coordinates(part.exterior))
    west, east = shell[:, 0].min(), shell[:, 0].max()
    turn = -360.0 * math.floor(((west + east) / 2 - longitude + 180) / 360)
    shell[:, 0] += turn
    west, east = west + turn, east + turn
    holes = []
    for ring in part.interiors:
        hole = _unwrapped_ring(shapely.get_coordinates(ring))
        first, last = hole[:, 0].min(), hole[:, 0].max()
        # The turn by which it reaches least out of the shell.
        turns = 360.0 * np.arange(-2, 3)
        beyond = np.maximum(west - first - turns, 0) + np.maximum(last + turns - east, 0)
        hole[:, 0] += turns[np.argmin(beyond)]
        holes.append(hole)
    return shapely.Polygon(shell, holes)


def _unwrapped_ring(points: Points) -> Points:
    """Return a ring without jumps, closed over the pole where it goes around one."""
    points = points.copy()
    steps = np.diff(points[:, 0])
    jumps = np.abs(steps) > 180
    if not jumps.any():
        return points
    # A whole turn may be an edge along a parallel around the Earth, or a vertex at 180 that is
    # called -180: whichever closes the ring.
    for taken in (jumps & (np.abs(steps) < 360), jumps):
        turns = np.cumsum(np.where(taken, -360.0 * np.round(steps / 360), 0.0))
        if len(turns) and turns[-1] == 0:
            points[1:, 0] += turns
            return points
    points[1:, 0] += turns
    pole = math.copysign(90.0, points[:, 1].mean())
    over = np.array([[points[-1, 0], pole], [points[0, 0], pole], points[0]])
    return np.concatenate([points, over])


# ---------------------------------------------------------------------------- reprojection


def reprojected(
    geometry: BaseGeometry | None, source: CRS, target: CRS, tolerance: float
) -> BaseGeometry:
    """Return a polygon in another CRS, in which its edges are where they were drawn.

    tolerance  by how much an edge may be off at most, in units of ``target``

    The result is `polygonal`, and `unwrapped` where ``target`` has degrees. Raises
    NotExpressibleError where ``target`` cannot express all of it.
    """
    whole = unwrapped(geometry) if wraps(source) else polygonal(geometry)
    if whole.is_empty or same_crs(source, target):
        return whole
    project = _projection(source, target)
    limits = _Limits(tolerance, _longest(source), wraps(target))
    (dense,) = _densified(np.array([whole], dtype=object), project, limits)
    return _moved(dense, project, source, target)


def reprojected_near(
    geometries: Sequence[BaseGeometry | None] | NDArray[Any],
    source: CRS,
    target: CRS,
    tolerance: float,
    area: BaseGeometry,
) -> NDArray[Any]:
    """Return what of each polygon lies around an area, in another CRS; (geometry,).

    tolerance  by how much an edge may be off at most, in units of ``target``
    area       in ``target``; polygons are whole in it, and are cut some way outside of it, so that
               the CRS need not express all of them

    The results are `polygonal`; those that have nothing around the area are empty.
    """
    given = np.asarray(geometries, dtype=object)
    if same_crs(source, target):
        if not wraps(source):
            return polygonal_parts(given)
        return unwrapped_parts(given, area.centroid.x)
    reach = reprojected(area, target, source, _converted(tolerance, target, source))
    longest = _longest(source)
    west, south, east, north = reach.bounds
    box = (west - longest, south - longest, east + longest, north + longest)
    if wraps(source):
        whole = unwrapped_parts(given, (west + east) / 2)
        box = (box[0], max(box[1], -90.0), box[2], min(box[3], 90.0))
    else:
        whole = polygonal_parts(given)
    whole = _onto(whole, box, turns=wraps(source))
    project = _projection(source, target)
    dense = _densified(whole, project, _Limits(tolerance, longest, wraps(target)), box)
    frame = shapely.segmentize(shapely.box(*box), longest)
    shapely.prepare(frame)
    bounds = shapely.bounds(dense)
    beyond = (bounds[:, :2] < box[:2]).any(axis=1) | (bounds[:, 2:] > box[2:]).any(axis=1)
    for i in np.flatnonzero(beyond):
        one = dense[i] if dense[i] is whole[i] else polygonal(dense[i])
        dense[i] = polygonal(shapely.intersection(one, frame))
    moved = shapely.transform(dense, project)
    return unwrapped_parts(moved, area.centroid.x) if wraps(target) else polygonal_parts(moved)


def search_boxes(
    area: BaseGeometry, crs: CRS, file_crs: CRS, tolerance: float, extent: Box | None = None
) -> list[Box]:
    """Return the boxes of a file's coordinates in which everything that touches an area lies.

    area       in ``crs``
    tolerance  by how much an edge of it may be off, in units of ``crs``
    extent     of the file, where it is known

    In degrees these are boxes in every count of longitudes that the file may have, and, where the
    file is wider than half a turn, strips that everything crosses which jumps from one side of 180
    to the other.
    """
    reach = reprojected(area, crs, file_crs, _converted(tolerance, crs, file_crs))
    west, south, east, north = reach.bounds
    if not wraps(file_crs):
        return [(west, south, east, north)]
    if east - west > 360:
        west, east = -180.0, 180.0
    first, last = (extent[0], extent[2]) if extent is not None else (-360.0, 360.0)
    boxes = [
        (west + turn, south, east + turn, north)
        for turn in (-720.0, -360.0, 0.0, 360.0, 720.0)
        if west + turn <= last and east + turn >= first
    ]
    strips = np.arange(first + 180.0, last, 180.0)
    boxes += [(float(x), south, float(x), north) for x in strips]
    return boxes


def turns_above(crs: CRS, west: float, x: Points) -> Points:
    """Return the degrees that bring each x to at least ``west`` and less than a turn above it.

    They are whole turns, and 0 everywhere where the CRS does not have longitudes in degrees.
    """
    if not wraps(crs):
        return np.zeros_like(x)
    turns: Points = -360.0 * np.floor((x - west) / 360.0)
    return turns


def square_kilometres(geometry: BaseGeometry, crs: CRS) -> float:
    """Return a geometry's area on the ellipsoid as it was drawn, by its vertices."""
    flat = shapely.transform(shapely.force_2d(geometry), _projection(crs, _EQUAL_AREA))
    return float(flat.area) / 1e6


def overlaps(
    polygons: Sequence[BaseGeometry], tree: shapely.STRtree
) -> Iterator[tuple[int, int, BaseGeometry, float]]:
    """Yield the pairs of polygons that touch: the positions of both, the first one ascending, the
    ground that they share, and its share of the smaller, 0 to 1.

    tree  of the polygons
    """
    left, right = tree.query(np.array(polygons, dtype=object), predicate="intersects")
    for one, other in sorted(zip(left.tolist(), right.tolist(), strict=True)):
        if one < other:
            shared = polygonal(polygons[one].intersection(polygons[other]))
            smaller = min(polygons[one].area, polygons[other].area)
            yield one, other, shared, shared.area / smaller


SLIVER = 0.01
"""Share of the smaller of two polygons that may overlap, as borders drawn twice do."""


def same_crs(one: CRS, other: CRS) -> bool:
    """Return whether coordinates, longitude before latitude, mean the same in both."""
    return bool(one.equals(other, ignore_axis_order=True))


def wraps(crs: CRS) -> bool:
    """Return whether a CRS has longitudes in degrees, of which 360 are a turn."""
    return bool(crs.is_geographic) and math.isclose(
        crs.axis_info[0].unit_conversion_factor, math.pi / 180, rel_tol=1e-6
    )


def _longest(crs: CRS) -> float:
    if crs.is_geographic:
        return LONGEST_DEGREES
    factor = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
    return LONGEST_METRES / (factor or 1.0)


def _converted(tolerance: float, crs: CRS, other: CRS) -> float:
    """Return a length in units of ``crs`` as one in units of ``other``, about."""
    return tolerance * _longest(other) / _longest(crs)


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> Transformer:
    """Return the transformation of coordinates from one CRS to another, x before y."""
    return Transformer.from_crs(source, target, always_xy=True)


def _projection(source: CRS, target: CRS) -> Callable[[Points], Points]:
    transform = transformer(source.srs, target.srs).transform

    def project(points: Points) -> Points:
        return np.column_stack(transform(points[:, 0], points[:, 1]))

    return project


def _moved(
    dense: BaseGeometry, project: Callable[[Points], Points], source: CRS, target: CRS
) -> BaseGeometry:
    moved = shapely.transform(dense, project)
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise NotExpressibleError(
            f"the area ({source.name}) lies in part outside what {target.name} can express"
        )
    return unwrapped(moved) if wraps(target) else polygonal(moved)


def _onto(geometries: NDArray[Any], box: Box, *, turns: bool) -> NDArray[Any]:
    """Return polygons that may touch a box, by whole turns with ``turns``; others become empty."""
    west, south, east, north = shapely.bounds(geometries).T
    level = (south <= box[3]) & (north >= box[1])
    touching = {
        turn: level & (west + turn <= box[2]) & (east + turn >= box[0])
        for turn in ((-360.0, 0.0, 360.0) if turns else (0.0,))
    }
    times = np.sum([*touching.values()], axis=0)
    found = geometries.copy()
    found[times == 0] = shapely.Polygon()
    for turn, of_turn in touching.items():
        if turn:
            moved = of_turn & (times == 1)
            found[moved] = [translate(one, xoff=turn) for one in geometries[moved]]
    for i in np.flatnonzero(times > 1):  # those that go nearly around the Earth
        copies = [translate(geometries[i], xoff=turn) for turn, at in touching.items() if at[i]]
        found[i] = polygonal(shapely.union_all(copies))
    return found


# ---------------------------------------------------------------------------- edges


@dataclass(frozen=True, slots=True)
class _Limits:
    """How an edge is divided."""

    tolerance: float
    """By how much a piece may bend, in units of the CRS it comes to."""
    longest: float
    """A piece, in units of the CRS it was drawn in."""
    wraps: bool
    """Whether the CRS it comes to has longitudes in degrees."""


def _densified(
    geometries: NDArray[Any],
    project: Callable[[Points], Points],
    limits: _Limits,
    box: Box | None = None,
) -> NDArray[Any]:
    """Return polygons with vertices added to their edges, of those alone that touch ``box``."""
    found = geometries.copy()
    filled = np.flatnonzero(~shapely.is_empty(geometries))
    if not filled.size:
        return found
    parts, of_geometry = shapely.get_parts(geometries[filled], return_index=True)
    rings, of_part = shapely.get_rings(parts, return_index=True)
    drawn, of_ring = shapely.get_coordinates(rings, return_index=True)
    points, of_ring = _divided(drawn, of_ring, project, limits, box)
    if len(points) == len(drawn):
        return found
    dense = shapely.linearrings(points, indices=of_ring)
    polygons = shapely.polygons(dense, indices=of_part)
    found[filled] = shapely.multipolygons(polygons, indices=of_geometry)
    single = filled[np.bincount(of_geometry) == 1]
    found[single] = shapely.get_geometry(found[single], 0)
    return found


def _divided(
    points: Points,
    ring: NDArray[np.int64],
    project: Callable[[Points], Points],
    limits: _Limits,
    box: Box | None,
) -> tuple[Points, NDArray[np.int64]]:
    """Return rings with vertices added, and the ring of each vertex.

    An edge is divided into equal pieces until each one's middle, and of a long one also the points
    at a quarter and three quarters, are, projected, within the tolerance of the straight line
    between its ends. It is walked from its smaller end, so that both its sides get the same
    vertices.
    """
    pending = ring[1:] == ring[:-1]
    for _ in range(_ROUNDS):
        edge = np.flatnonzero(pending)
        if box is not None:
            start, end = points[edge], points[edge + 1]
            low, high = np.minimum(start, end), np.maximum(start, end)
            near = (low <= box[2:]).all(axis=1) & (high >= box[:2]).all(axis=1)
            edge = edge[near]
        turned, first, last = _walked(points, edge)
        ends = np.full_like(points, np.nan)
        needed = np.union1d(edge, edge + 1)
        ends[needed] = project(points[needed])
        _, low, high = _walked(ends, edge, turned)
        length = np.abs(last - first).max(axis=1, initial=0.0)
        long = length > limits.longest / 8
        off = np.zeros(len(edge))
        for share, of in ((0.5, np.ones_like(long)), (0.25, long), (0.75, long)):
            between = project(first[of] + (last[of] - first[of]) * share)
            off[of] = np.maximum(off[of], _bend(between, low[of], high[of], limits.wraps))
        # A bend is as the square of a length.
        bent = np.clip(np.ceil(np.sqrt(off / limits.tolerance)), 1, _MOST_PIECES)
        pieces = np.maximum(np.ceil(length / limits.longest), bent).astype(int)
        if (pieces == 1).all():
            break
        divided = np.ones(len(points), np.int64)
        divided[edge] = pieces
        owner = np.repeat(np.arange(len(points)), divided)
        offset = np.arange(len(owner)) - (np.cumsum(divided) - divided)[owner]
        fresh = points[owner]
        inner = np.flatnonzero(offset)
        back = np.full(len(points), -1)
        back[edge] = np.arange(len(edge))
        at = back[owner[inner]]
        count, step = pieces[at], offset[inner]
        share = np.where(turned[at], count - step, step) / count
        fresh[inner] = first[at] + (last[at] - first[at]) * share[:, None]
        pending = divided[owner[:-1]] > 1
        points, ring = fresh, ring[owner]
    return points, ring


def _walked(
    points: Points, edge: NDArray[np.int64], turned: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], Points, Points]:
    """Return which edges are walked from their end, by default their smaller one; and the points
    from and to which each is walked."""
    start, end = points[edge], points[edge + 1]
    if turned is None:
        level = start[:, 0] == end[:, 0]
        turned = np.where(level, start[:, 1] > end[:, 1], start[:, 0] > end[:, 0])
    across = turned[:, None]
    return turned, np.where(across, end, start), np.where(across, start, end)


def _bend(points: Points, first: Points, last: Points, wraps: bool) -> NDArray[np.float64]:
    """Return how far points lie from the straight lines between two others, (point,).

    It is 0 where a point could not be projected.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        chord, way = _difference(last, first, wraps), _difference(points, first, wraps)
        squared = (chord**2).sum(axis=1)
        along = np.clip((way * chord).sum(axis=1) / squared, 0.0, 1.0)
        along = np.where(squared > 0, along, 0.0)
        found = np.hypot(*(way - along[:, None] * chord).T)
    return np.where(np.isfinite(found), found, 0.0)


def _difference(points: Points, origin: Points, wraps: bool) -> Points:
    found = points - origin
    if wraps:
        found[:, 0] -= 360.0 * np.round(found[:, 0] / 360.0)
    return found
