"""The landscape's parcels as polygons, and a reference file with the mistakes a real one has.

Whether a polygon has a mistake, and which, is a function of its parcel, so that every box gets
the same polygons.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import geopandas
import numpy as np
import pandas
import shapely
from numba import njit
from numpy.typing import NDArray
from odc.geo.geom import Geometry

from lc_platform.catalogue import SIMULATED_CLASSES
from lc_platform.eo.polygons import polygonal_parts, transformer
from lc_platform.sources.simulated import landscape as land
from lc_platform.sources.simulated.changes import Changes, unchanged
from lc_platform.sources.simulated.coordinates import RADIUS, check_one_side, to_mercator
from lc_platform.sources.simulated.noise import draw, salt

LAYER = "reference"
"""The layer of the GeoPackage."""

_VERTICES = 64
_STEP = 25.0
_MISTAKE = np.uint64(salt(0, 60))


@dataclass(frozen=True, slots=True)
class ReferenceMistakes:
    """How often, as a share of the polygons, and by how much a reference is wrong."""

    shifted: float = 0.05
    """Drawn in the wrong place, by ``shift_metres``."""
    mislabelled: float = 0.03
    """Given the class of something that looks alike."""
    overlapping: float = 0.02
    """Drawn ``overlap_metres`` too far into all neighbours."""
    missing: float = 0.05
    """Not drawn."""
    shift_metres: float = 15.0
    overlap_metres: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value > 1 and not field.name.endswith("metres")):
                raise ValueError(
                    f"mistakes.{field.name}: {value} is not possible. Give a rate between 0 and 1 "
                    "or a distance of at least 0 m."
                )


NO_MISTAKES = ReferenceMistakes(0.0, 0.0, 0.0, 0.0)


def reference_polygons(
    seed: int, area: Geometry, mistakes: ReferenceMistakes, changes: Changes | None = None
) -> geopandas.GeoDataFrame:
    """Return the reference polygons that intersect ``area``, whole, in the area's CRS.

    Columns: ``class_id``, ``class_name``, ``parcel`` (16 hexadecimal digits), ``geometry``.
    """
    if area.crs is None:
        raise ValueError("the area of the reference has no CRS. Give the geometry one.")
    forward = to_mercator(str(area.crs))
    outline = shapely.segmentize(area.geom, max(area.geom.length / 200.0, 1e-9))
    within = shapely.transform(outline, forward.transform, interleaved=False)
    check_one_side(
        shapely.get_coordinates(within)[:, 0],
        f"the area of the reference ({area.geom.bounds} in {area.crs})",
    )
    reach = 350.0 + 2.0 * max(mistakes.shift_metres, mistakes.overlap_metres) * _stretch(within)
    parcels, codes, hashes = _parcels(salt(seed, 1), within.buffer(reach))

    def happens(n: int, rate: float) -> NDArray[np.bool_]:
        return _draws(hashes, n) < rate

    stable = unchanged(hashes, codes, changes)
    codes = _mislabelled(hashes, codes, mistakes)
    stretch = np.array([_stretch(parcel) for parcel in parcels])
    shifted = happens(3, mistakes.shifted)
    angle = 2 * np.pi * _draws(hashes, 4)
    for n in np.flatnonzero(shifted):
        step = mistakes.shift_metres * stretch[n]
        offset = step * np.array([np.cos(angle[n]), np.sin(angle[n])])
        parcels[n] = shapely.transform(parcels[n], lambda xy, by=offset: xy + by)
    wide = happens(5, mistakes.overlapping)
    parcels[wide] = shapely.buffer(parcels[wide], mistakes.overlap_metres * stretch[wide])

    back = transformer("EPSG:3857", str(area.crs))
    geometry = shapely.transform(parcels, back.transform, interleaved=False)
    kept = stable & ~happens(6, mistakes.missing) & shapely.intersects(geometry, area.geom)
    order = np.flatnonzero(kept)[np.argsort(hashes[kept])]
    return geopandas.GeoDataFrame(
        _attributes(hashes[order], codes[order]), geometry=geometry[order], crs=str(area.crs)
    )


def reference_at(
    seed: int,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    mistakes: ReferenceMistakes,
    changes: Changes | None = None,
) -> pandas.DataFrame:
    """Return the attributes of the polygons that are drawn, where they should be, around places in
    Web Mercator; nothing of places for which that takes more than arithmetic.

    Columns: ``class_id``, ``class_name``, ``parcel``.
    """
    hashes, codes = land.parcels_at(x, y, salt(seed, 1))
    drawn = (codes > 0) & (_draws(hashes, 6) >= mistakes.missing)
    drawn &= _draws(hashes, 3) >= mistakes.shifted
    drawn &= unchanged(hashes, codes, changes)
    hashes, codes = hashes[drawn], codes[drawn]
    return _attributes(hashes, _mislabelled(hashes, codes, mistakes))


def _mislabelled(
    hashes: NDArray[np.uint64], codes: NDArray[np.int64], mistakes: ReferenceMistakes
) -> NDArray[np.int64]:
    wrong = _draws(hashes, 1) < mistakes.mislabelled
    second = (_draws(hashes, 2) < 0.35).astype(int)
    out = codes.copy()
    out[wrong] = [land.LOOKS_LIKE[c][k] for c, k in zip(codes[wrong], second[wrong], strict=True)]
    return out


def _attributes(hashes: NDArray[np.uint64], codes: NDArray[np.int64]) -> pandas.DataFrame:
    names = {c.id: c.name for c in SIMULATED_CLASSES}
    return pandas.DataFrame(
        {
            "class_id": codes.astype(int),
            "class_name": [names[c] for c in codes],
            "parcel": [f"{h:016x}" for h in hashes],
        }
    )


def write_reference(polygons: geopandas.GeoDataFrame, path: Path) -> Path:
    """Writes a GeoPackage with the layer ``reference``; one that is there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial.gpkg")
    partial.unlink(missing_ok=True)
    polygons.to_file(partial, layer=LAYER, driver="GPKG")
    return partial.replace(path)


def _stretch(geometry: shapely.Geometry) -> float:
    """Web Mercator metres in a metre on the ground."""
    return float(np.cosh(geometry.centroid.y / RADIUS))


@njit(cache=True, nogil=True)
def _draw_all(hashes, n):  # type: ignore[no-untyped-def]
    out = np.empty(hashes.size)
    for k in range(hashes.size):
        out[k] = draw(hashes[k] ^ _MISTAKE, n)
    return out


def _draws(hashes: NDArray[np.uint64], n: int) -> NDArray[np.float64]:
    out: NDArray[np.float64] = _draw_all(hashes, n)
    return out


def _parcels(
    seed: np.uint64, within: shapely.Geometry
) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.uint64]]:
    """Return parcels of all districts that may touch an area in Web Mercator: outlines, class,
    hash."""
    ring = 3  # a district's neighbours are up to two cells away, its own edge one
    i0, j0, columns, rows = land.lattice(within.bounds, land.DISTRICT, margin=0.0, ring=ring)
    table = land.districts(i0, j0, columns, rows, seed)
    shapely.prepare(within)
    found = []
    for r in range(2, rows - 2):
        for c in range(2, columns - 2):
            x, y = table[0][r, c]
            reach = 1.2 * land.DISTRICT  # a seed's cell reaches no further
            if within.intersects(shapely.box(x - reach, y - reach, x + reach, y + reach)):
                found.append(_district(r, c, *table, seed))  # type: ignore[call-arg]
    corners, owner = (np.concatenate([part[n] for part in found]) for n in (0, 1))
    codes, hashes = (np.concatenate([part[n] for part in found]) for n in (2, 3))
    counts = [part[2].size for part in found]
    owner += np.repeat(np.cumsum([0, *counts[:-1]]), [part[1].size for part in found])
    # As rings: to segmentize a polygon is to repair it, which loses the thin ones.
    rings = shapely.segmentize(shapely.linearrings(corners, indices=owner), _STEP)
    straight = shapely.get_coordinates(rings)
    bent = land.unwarp(straight[:, 0].copy(), straight[:, 1].copy(), seed)
    parcels = polygonal_parts(
        shapely.polygons(shapely.set_coordinates(rings, np.stack(bent, axis=1)))
    )
    near = shapely.intersects(parcels, within)
    return parcels[near], codes[near], hashes[near]


@njit(cache=True, nogil=True)
def _clip(points, count, nx, ny, limit, into):  # type: ignore[no-untyped-def]
    """The part of a convex polygon with nx * x + ny * y <= limit (Sutherland and Hodgman 1974)."""
    n = 0
    for k in range(count):
        ax, ay = points[k, 0], points[k, 1]
        b = k + 1 if k + 1 < count else 0
        bx, by = points[b, 0], points[b, 1]
        da, db = nx * ax + ny * ay - limit, nx * bx + ny * by - limit
        if da <= 0.0:
            into[n, 0], into[n, 1] = ax, ay
            n += 1
        if (da < 0.0 and db > 0.0) or (da > 0.0 and db < 0.0):
            t = da / (da - db)
            into[n, 0], into[n, 1] = ax + t * (bx - ax), ay + t * (by - ay)
            n += 1
    return n


@njit(cache=True, nogil=True)
def _nearer(points, count, x, y, ox, oy, margin, spare):  # type: ignore[no-untyped-def]
    """The part of a polygon at least ``margin`` on (x, y)'s side of the bisector to (ox, oy)."""
    nx, ny = ox - x, oy - y
    length = np.sqrt(nx * nx + ny * ny)
    limit = 0.5 * (nx * (x + ox) + ny * (y + oy)) - margin * length
    count = _clip(points, count, nx, ny, limit, spare)
    _copy(spare, count, points)
    return count


@njit(cache=True, nogil=True)
def _copy(points, count, out):  # type: ignore[no-untyped-def]
    for k in range(count):
        out[k, 0], out[k, 1] = points[k, 0], points[k, 1]


@njit(cache=True, nogil=True)
def _district(r, c, seeds, direction, kinds, hashes, basins, seed):  # type: ignore[no-untyped-def]
    """The parcels of the district in row r and column c, all convex in the straight space.

    Returns corners (n, 2), the parcel each belongs to (n,), classes (m,) and hashes (m,).
    """
    x, y = seeds[r, c, 0], seeds[r, c, 1]
    kind, h = kinds[r, c], hashes[r, c]
    corners = [(0.0, 0.0)]
    owner = [0]
    codes = [0]
    owns = [np.uint64(0)]
    spare = np.empty((_VERTICES, 2))
    parcel = np.empty((_VERTICES, 2))
    dry = np.empty((_VERTICES, 2))
    reach = 2.0 * land.DISTRICT
    for k in range(4):
        dry[k, 0] = x + (reach if k in (1, 2) else -reach)
        dry[k, 1] = y + (reach if k >= 2 else -reach)
    inside = 4
    for rr in range(r - 2, r + 3):
        for cc in range(c - 2, c + 3):
            if rr != r or cc != c:
                inside = _nearer(dry, inside, x, y, seeds[rr, cc, 0], seeds[rr, cc, 1], 0.0, spare)
    for rr in range(r - 2, r + 3):
        for cc in range(c - 2, c + 3):
            if basins[r, c] < 0 or basins[rr, cc] < 0 or basins[rr, cc] == basins[r, c]:
                continue
            # What the river takes from what is left of the district, and what then is left.
            ox, oy = seeds[rr, cc, 0], seeds[rr, cc, 1]
            nx, ny = ox - x, oy - y
            limit = 0.5 * (nx * (x + ox) + ny * (y + oy)) - land.RIVER * np.sqrt(nx * nx + ny * ny)
            n = _clip(dry, inside, -nx, -ny, -limit, parcel)
            if n >= 3:
                own = land.parcel_hash((rr - r + 2) * 5 + cc - c + 2, 0, land.river_hash(h))
                _keep(parcel, n, land.WATER, own, corners, owner, codes, owns)
            inside = _clip(dry, inside, nx, ny, limit, spare)
            _copy(spare, inside, dry)

    if inside < 3:
        pass
    elif land.is_ruled(kind):
        cosine, sine = direction[r, c, 0], direction[r, c, 1]
        # Along and across the ruling, from the seed.
        u0, v0 = cosine * x + sine * y, cosine * y - sine * x
        u = cosine * dry[:inside, 0] + sine * dry[:inside, 1] - u0
        v = cosine * dry[:inside, 1] - sine * dry[:inside, 0] - v0
        first_row = land.ruled_parcel(0.0, v.min(), kind, h)[0]
        last_row = land.ruled_parcel(0.0, v.max(), kind, h)[0]
        for row in range(first_row, last_row + 1):
            low, high = land.row_edge(row, kind, h), land.row_edge(row + 1, kind, h)
            middle = 0.5 * (low + high)
            first = land.ruled_parcel(u.min(), middle, kind, h)[1]
            last = land.ruled_parcel(u.max(), middle, kind, h)[1]
            for column in range(first, last + 1):
                west = land.parcel_edge(row, column, kind, h)
                east = land.parcel_edge(row, column + 1, kind, h)
                n = _clip(dry, inside, cosine, sine, u0 + east, parcel)
                n = _clip(parcel, n, -cosine, -sine, -(u0 + west), spare)
                n = _clip(spare, n, -sine, cosine, v0 + high, parcel)
                n = _clip(parcel, n, sine, -cosine, -(v0 + low), spare)
                if n >= 3:
                    own = land.parcel_hash(column, row, h)
                    du, dv = 0.5 * (west + east), middle
                    code = land.parcel_class(
                        kind, own, cosine * du - sine * dv, sine * du + cosine * dv
                    )
                    _keep(spare, n, code, own, corners, owner, codes, owns)
    else:
        i0 = np.int64(np.floor(dry[:inside, 0].min() / land.CELL)) - 1
        i1 = np.int64(np.floor(dry[:inside, 0].max() / land.CELL)) + 1
        j0 = np.int64(np.floor(dry[:inside, 1].min() / land.CELL)) - 1
        j1 = np.int64(np.floor(dry[:inside, 1].max() / land.CELL)) + 1
        for j in range(j0, j1 + 1):
            for i in range(i0, i1 + 1):
                sx, sy = land.natural_seed(i, j, seed)
                _copy(dry, inside, parcel)
                n = inside
                for jj in range(j - 2, j + 3):
                    for ii in range(i - 2, i + 3):
                        if (ii != i or jj != j) and n >= 3:
                            ox, oy = land.natural_seed(ii, jj, seed)
                            n = _nearer(parcel, n, sx, sy, ox, oy, 0.0, spare)
                if n >= 3:
                    own = land.parcel_hash(i, j, h)
                    code = land.parcel_class(kind, own, sx - x, sy - y)
                    _keep(parcel, n, code, own, corners, owner, codes, owns)
    points = np.empty((len(corners) - 1, 2))
    for k in range(len(corners) - 1):
        points[k, 0], points[k, 1] = corners[k + 1]
    return (
        points, np.array(owner)[1:] - 1, np.array(codes)[1:], np.array(owns)[1:]
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _keep(points, count, code, own, corners, owner, codes, owns):  # type: ignore[no-untyped-def]
    for k in range(count):
        corners.append((points[k, 0], points[k, 1]))
        owner.append(len(codes))
    codes.append(np.int64(code))
    owns.append(own)
