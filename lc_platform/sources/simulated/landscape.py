"""The simulated landscape: which parcel, class and height there is at a place.

Districts some 700 m wide at 46 degrees are the Voronoi cells of a jittered lattice. A district of
fields, vines, pastures or houses is ruled into rows of parcels in a direction of its own; a
natural one is broken into the Voronoi cells of a finer lattice. Rivers follow the edges between
districts.
All of it lies in a space that is slightly warped, so that no border is quite straight. Every
parcel has one class and exact borders, which ``reference`` draws from the same functions.

Of any sixteen neighbouring districts ten have a kind set by lot (a lake, a town, ...), so that all
classes occur within three kilometres; height and noise decide the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.runtime.bounded_cache import BoundedCache
from lc_platform.sources.simulated.changes import Changes, class_after
from lc_platform.sources.simulated.coordinates import pixel_centres
from lc_platform.sources.simulated.noise import cell_hash, draw, fractal_noise, gradient_noise, salt

DISTRICT = 1000.0
"""Lattice spacing of the districts, in Web Mercator metres, as all lengths here."""
CELL = 200.0
"""Lattice spacing of the parcels of a natural district."""
JITTER = 0.3
"""Greatest displacement of a seed from its cell's centre, of the spacing. Up to 0.32 the nearest
seed to a point is in the point's cell or one of the eight around."""
RIVER = 30.0
"""Half the width of a river."""
RIVER_CEILING = 1500.0
"""Height in metres above which a district's edge carries no river."""

FARM, VINE, PASTURE, SHRUB, BROADLEAF, CONIFER, LAKE, TOWN, ROCK = range(9)
_BY_LOT = np.array(
    [LAKE, TOWN, VINE, SHRUB, BROADLEAF, CONIFER, ROCK, FARM, PASTURE, FARM], dtype=np.int64
)
# Share of the classes 1 to 10 among the parcels of a kind of district.
_SHARES = np.array(
    [
        [0.40, 0.34, 0.14, 0.04, 0.02, 0.02, 0.01, 0.00, 0.02, 0.01],  # FARM
        [0.05, 0.04, 0.10, 0.74, 0.03, 0.01, 0.00, 0.00, 0.03, 0.00],  # VINE
        [0.03, 0.05, 0.78, 0.02, 0.06, 0.04, 0.00, 0.00, 0.01, 0.01],  # PASTURE
        [0.00, 0.00, 0.09, 0.00, 0.78, 0.08, 0.02, 0.00, 0.00, 0.03],  # SHRUB
        [0.00, 0.00, 0.03, 0.00, 0.03, 0.87, 0.07, 0.00, 0.00, 0.00],  # BROADLEAF
        [0.00, 0.00, 0.02, 0.00, 0.03, 0.08, 0.87, 0.00, 0.00, 0.00],  # CONIFER
        [0.00, 0.00, 0.36, 0.00, 0.20, 0.34, 0.05, 0.00, 0.02, 0.03],  # LAKE, its shore
        [0.00, 0.02, 0.11, 0.05, 0.01, 0.01, 0.00, 0.00, 0.80, 0.00],  # TOWN
        [0.00, 0.00, 0.08, 0.00, 0.12, 0.00, 0.04, 0.00, 0.00, 0.76],  # ROCK
    ]
)
_CUMULATIVE = np.cumsum(_SHARES, axis=1)
WATER = 8
BUILT = 9

_DISTRICTS, _LOT, _CELLS, _PARCEL, _HEIGHT, _WARP, _FOREST, _BASIN, _TEXTURE, _PIXEL = (
    np.uint64(salt(0, n)) for n in range(1, 11)
)

# Vigour is a number in [0, 1] kept in eight steps, a shift of the calendar one in days around 32.
VIGOURS = 8
SHIFTS = 64
_SHIFT_DAYS = np.array([0.0, 9.0, 9.0, 11.0, 6.0, 7.0, 5.0, 0.0, 0.0, 6.0, 3.0])
_BRIGHT = np.array([0.0, 0.08, 0.08, 0.07, 0.08, 0.08, 0.05, 0.05, 0.02, 0.16, 0.08])
_GRAIN = np.array([0.0, 0.02, 0.02, 0.03, 0.05, 0.07, 0.07, 0.09, 0.01, 0.15, 0.07])
# Of a parcel that is hardly of its class at all, the share that looks like another.
_BLEND = np.array([0.0, 0.75, 0.75, 0.80, 0.85, 0.85, 0.80, 0.80, 0.0, 0.75, 0.75])
LOOKS_LIKE = {
    1: (2, 3), 2: (1, 3), 3: (1, 5), 4: (3, 5), 5: (3, 6),
    6: (7, 5), 7: (6, 5), 8: (3, 10), 9: (10, 4), 10: (9, 3),
}  # fmt: skip
"""Class -> the two classes that it is most easily taken for."""
_LOOKS_LIKE = np.array([LOOKS_LIKE.get(n, (n, n)) for n in range(11)])
_VIGOUR_GRAIN = np.array([0.0, 0.12, 0.12, 0.20, 0.30, 0.25, 0.10, 0.10, 0.05, 0.55, 0.25])


@njit(cache=True, nogil=True)
def height(x, y, seed):  # type: ignore[no-untyped-def]
    """Metres above the sea at a place."""
    s = seed ^ _HEIGHT
    upland = fractal_noise(x / 38000.0, y / 38000.0, s, 2, 0.4) * 1.9 + 0.42
    upland = min(max(upland, 0.0), 1.0)
    upland = upland * upland * (3.0 - 2.0 * upland)
    hills = fractal_noise(x / 7000.0, y / 7000.0, s + np.uint64(77), 4, 0.5)
    ridge = 1.0 - abs(fractal_noise(x / 9500.0, y / 9500.0, s + np.uint64(99), 4, 0.42)) * 1.5
    metres = 230.0 + 160.0 * hills + upland * upland * (500.0 + 1500.0 * ridge + 250.0 * hills)
    return max(metres, 1.0)


@njit(cache=True, nogil=True)
def elevations(x, y, seed):  # type: ignore[no-untyped-def]
    """Metres above the sea at places, (y, x)."""
    out = np.empty(x.shape, np.float32)
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            out[row, column] = height(x[row, column], y[row, column], seed)
    return out


@njit(cache=True, nogil=True)
def warp(x, y, seed):  # type: ignore[no-untyped-def]
    """The displacement of a place, from the map to the space the borders are straight in."""
    s = seed ^ _WARP
    u, v = x / 1900.0, y / 1900.0
    p, q = x / 330.0, y / 330.0
    return (
        150.0 * gradient_noise(u, v, s) + 14.0 * gradient_noise(p, q, s + np.uint64(1)),
        150.0 * gradient_noise(u, v, s + np.uint64(2))
        + 14.0 * gradient_noise(p, q, s + np.uint64(3)),
    )


@njit(cache=True, nogil=True)
def unwarp(x, y, seed):  # type: ignore[no-untyped-def]
    """Points of the straight space, each (n,), brought back to the map."""
    out_x, out_y = np.empty_like(x), np.empty_like(y)
    for n in range(x.size):
        px, py = x[n], y[n]
        for _ in range(14):  # a contraction by at least a third a step
            dx, dy = warp(px, py, seed)
            px, py = x[n] - dx, y[n] - dy
        out_x[n], out_y[n] = px, py
    return out_x, out_y


@njit(cache=True, nogil=True)
def _kind(i, j, x, y, metres, seed):  # type: ignore[no-untyped-def]
    own = cell_hash(i, j, seed ^ _LOT)
    i0, j0 = (i >> 2) << 2, (j >> 2) << 2
    rank = 0
    for n in range(16):
        rank += cell_hash(i0 + (n & 3), j0 + (n >> 2), seed ^ _LOT) < own
    if rank < _BY_LOT.size:
        return _BY_LOT[rank]
    wood = fractal_noise(x / 7000.0, y / 7000.0, seed ^ _FOREST, 2, 0.6)
    wood += 0.35 * (draw(own, 1) - 0.5)
    high = metres + 250.0 * (draw(own, 2) - 0.5)
    if high > 1650.0:
        return ROCK if draw(own, 3) < 0.6 else SHRUB
    if high > 1100.0:
        return CONIFER if wood > -0.25 else PASTURE
    if high > 600.0:
        if wood > 0.05:
            return CONIFER if draw(own, 3) < 0.5 else BROADLEAF
        return BROADLEAF if wood > -0.2 else PASTURE
    if wood > 0.3:
        return BROADLEAF if draw(own, 3) < 0.6 else CONIFER
    if wood < -0.55:
        return TOWN
    return FARM if draw(own, 4) < 0.72 else PASTURE


@njit(cache=True, nogil=True)
def seed_point(i, j, spacing, s):  # type: ignore[no-untyped-def]
    """Where the seed of a jittered lattice's cell (i, j) lies, in the straight space."""
    h = cell_hash(i, j, s)
    return (
        (i + 0.5 + JITTER * (2.0 * draw(h, 1) - 1.0)) * spacing,
        (j + 0.5 + JITTER * (2.0 * draw(h, 2) - 1.0)) * spacing,
    )


@njit(cache=True, nogil=True)
def districts(i0, j0, columns, rows, seed):  # type: ignore[no-untyped-def]
    """Districts of the lattice cells from (i0, j0) on.

    Returns seeds (row, column, 2), the cosine and sine of the ruling's direction, same shape, and
    (row, column): kind, hash, the basin the rivers divide (-1 where none may run).
    """
    seeds = np.empty((rows, columns, 2))
    direction = np.empty((rows, columns, 2))
    kind = np.empty((rows, columns), np.uint8)
    hashes = np.empty((rows, columns), np.uint64)
    basin = np.empty((rows, columns), np.int8)
    for r in range(rows):
        for c in range(columns):
            i, j = i0 + c, j0 + r
            x, y = seed_point(i, j, DISTRICT, seed ^ _DISTRICTS)
            seeds[r, c, 0], seeds[r, c, 1] = x, y
            h = cell_hash(i, j, seed ^ _DISTRICTS)
            t = 2.0 * draw(h, 3) - 1.0
            direction[r, c, 0] = (1.0 - t * t) / (1.0 + t * t)
            direction[r, c, 1] = 2.0 * t / (1.0 + t * t)
            metres = height(x, y, seed)
            kind[r, c] = _kind(i, j, x, y, metres, seed)
            hashes[r, c] = h
            basin[r, c] = gradient_noise(x / 9000.0, y / 9000.0, seed ^ _BASIN) > 0.0
            if metres > RIVER_CEILING:
                basin[r, c] = -1
    return seeds, direction, kind, hashes, basin


@njit(cache=True, nogil=True)
def is_ruled(kind):  # type: ignore[no-untyped-def]
    """Whether a kind of district is divided into rows of parcels."""
    return kind in (FARM, VINE, PASTURE, TOWN)


@njit(cache=True, nogil=True)
def row_edge(row, kind, h):  # type: ignore[no-untyped-def]
    """Where a row of a ruled district begins, across the ruling, from the seed."""
    spacing = 165.0 if kind == TOWN else 340.0
    return (row + 0.5 * draw(h, 1000 + row) - 0.25) * spacing


@njit(cache=True, nogil=True)
def parcel_edge(row, column, kind, h):  # type: ignore[no-untyped-def]
    """Where a parcel of a row begins, along the ruling, from the seed."""
    spacing = 90.0 + 110.0 * draw(h, 3000 + row)
    if kind == TOWN:
        spacing *= 0.7
    return (column + 0.5 * draw(h, 100000 + row * 1000 + column) - 0.25) * spacing


@njit(cache=True, nogil=True)
def ruled_parcel(u, v, kind, h):  # type: ignore[no-untyped-def]
    """Row and column of the parcel at (u, v) along and across the ruling of a district."""
    row = np.int64(np.floor(v / (165.0 if kind == TOWN else 340.0)))
    if v < row_edge(row, kind, h):
        row -= 1
    elif v >= row_edge(row + 1, kind, h):
        row += 1
    spacing = 90.0 + 110.0 * draw(h, 3000 + row)
    if kind == TOWN:
        spacing *= 0.7
    column = np.int64(np.floor(u / spacing))
    if u < parcel_edge(row, column, kind, h):
        column -= 1
    elif u >= parcel_edge(row, column + 1, kind, h):
        column += 1
    return row, column


@njit(cache=True, nogil=True)
def parcel_hash(i, j, h):  # type: ignore[no-untyped-def]
    """What a parcel of the district with hash ``h`` is known by: its row and column, or its cell
    of the finer lattice."""
    return cell_hash(i, j, h ^ _PARCEL)


@njit(cache=True, nogil=True)
def river_hash(h):  # type: ignore[no-untyped-def]
    """What a district's river is known by."""
    return cell_hash(0, 0, h)


@njit(cache=True, nogil=True)
def parcel_class(kind, h, dx, dy):  # type: ignore[no-untyped-def]
    """Class of a parcel with hash ``h`` whose anchor lies (dx, dy) from its district's seed."""
    if kind == LAKE and dx * dx + dy * dy < (0.34 + 0.16 * draw(h, 5)) ** 2 * DISTRICT * DISTRICT:
        return WATER
    if kind == TOWN and dx * dx + dy * dy > (0.40 + 0.2 * draw(h, 5)) ** 2 * DISTRICT * DISTRICT:
        kind = FARM
    u = draw(h, 6)
    for n in range(10):
        if u < _CUMULATIVE[kind, n]:
            return n + 1
    return 10 if kind == ROCK else 3


@njit(cache=True, nogil=True)
def _district_at(x, y, i0, j0, seeds, basin):  # type: ignore[no-untyped-def]
    """Row and column in ``seeds`` of the district at a point, and whether a river runs there."""
    c0 = np.int64(np.floor(x / DISTRICT)) - i0
    r0 = np.int64(np.floor(y / DISTRICT)) - j0
    best, r, c = 1e18, 0, 0
    for rr in range(r0 - 1, r0 + 2):
        for cc in range(c0 - 1, c0 + 2):
            dx, dy = x - seeds[rr, cc, 0], y - seeds[rr, cc, 1]
            d = dx * dx + dy * dy
            if d < best:
                best, r, c = d, rr, cc
    if basin[r, c] >= 0:
        for rr in range(r0 - 1, r0 + 2):
            for cc in range(c0 - 1, c0 + 2):
                if basin[rr, cc] >= 0 and basin[rr, cc] != basin[r, c]:
                    lx, ly = seeds[rr, cc, 0] - seeds[r, c, 0], seeds[rr, cc, 1] - seeds[r, c, 1]
                    dx, dy = x - seeds[rr, cc, 0], y - seeds[rr, cc, 1]
                    # distance to the bisector = difference of squares / (2 * distance of seeds)
                    d = dx * dx + dy * dy - best
                    if d * d < 4.0 * RIVER * RIVER * (lx * lx + ly * ly):
                        return r, c, True
    return r, c, False


@njit(cache=True, nogil=True)
def _cell_at(x, y, seed):  # type: ignore[no-untyped-def]
    i0, j0 = np.int64(np.floor(x / CELL)), np.int64(np.floor(y / CELL))
    best, i, j, px, py = 1e18, i0, j0, x, y
    for jj in range(j0 - 1, j0 + 2):
        for ii in range(i0 - 1, i0 + 2):
            sx, sy = seed_point(ii, jj, CELL, seed ^ _CELLS)
            d = (x - sx) * (x - sx) + (y - sy) * (y - sy)
            if d < best:
                best, i, j, px, py = d, ii, jj, sx, sy  # type: ignore[assignment]
    return i, j, px, py


@njit(cache=True, nogil=True)
def natural_seed(i, j, seed):  # type: ignore[no-untyped-def]
    """Seed of a cell of the finer lattice, in the straight space."""
    return seed_point(i, j, CELL, seed ^ _CELLS)


@njit(cache=True, nogil=True)
def _parcel_at(qx, qy, i0, j0, seeds, direction, kind, hashes, basin, seed):  # type: ignore[no-untyped-def]
    """Hash and class of the parcel at a point of the straight space, and whether it is a river."""
    r, c, river = _district_at(qx, qy, i0, j0, seeds, basin)
    h, k = hashes[r, c], kind[r, c]
    dx, dy = qx - seeds[r, c, 0], qy - seeds[r, c, 1]
    if river:
        return river_hash(h), WATER, True
    if is_ruled(k):
        cosine, sine = direction[r, c, 0], direction[r, c, 1]
        row, column = ruled_parcel(cosine * dx + sine * dy, cosine * dy - sine * dx, k, h)
        parcel = parcel_hash(column, row, h)
        u = 0.5 * (parcel_edge(row, column, k, h) + parcel_edge(row, column + 1, k, h))
        v = 0.5 * (row_edge(row, k, h) + row_edge(row + 1, k, h))
        cls = parcel_class(k, parcel, cosine * u - sine * v, sine * u + cosine * v)
        return parcel, cls, False
    i, j, sx, sy = _cell_at(qx, qy, seed)
    parcel = parcel_hash(i, j, h)
    return parcel, parcel_class(k, parcel, sx - seeds[r, c, 0], sy - seeds[r, c, 1]), False


@njit(cache=True, nogil=True)
def _parcels_at(  # type: ignore[no-untyped-def]
    x, y, i0, j0, seeds, direction, kind, hashes, basin, seed, parcels, codes
):
    for n in range(x.size):
        wx, wy = warp(x[n], y[n], seed)
        parcels[n], cls, river = _parcel_at(
            x[n] + wx, y[n] + wy, i0, j0, seeds, direction, kind, hashes, basin, seed
        )
        codes[n] = 0 if river else cls


def parcels_at(
    x: NDArray[np.float64], y: NDArray[np.float64], seed: np.uint64
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hash and class of the parcels at places in Web Mercator, each (n,); class 0 in a
    river, of which a place does not say in which parcel it lies."""
    box = (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    i0, j0, columns, rows = lattice(box, DISTRICT, margin=350.0, ring=1)
    parcels, codes = np.empty(x.size, np.uint64), np.empty(x.size, np.int64)
    table = districts(i0, j0, columns, rows, seed)
    _parcels_at(x, y, i0, j0, *table, seed, parcels, codes)  # type: ignore[call-arg]
    return parcels, codes


@njit(cache=True, nogil=True)
def _survey(  # type: ignore[no-untyped-def]
    x,
    y,
    i0,
    j0,
    seeds,
    direction,
    kind,
    hashes,
    basin,
    heights,
    hi0,
    hj0,
    step,
    seed,
    years,
    felled,
    built,
    rotated,
    code,
    other,
    vigour,
    shift,
    blend,
    bright,
    metres,
    east,
    north,
    pixel,
):
    rows, columns = x.shape
    for a in range(rows):
        for b in range(columns):
            px, py = x[a, b], y[a, b]
            wx, wy = warp(px, py, seed)
            qx, qy = px + wx, py + wy
            parcel, cls, _ = _parcel_at(qx, qy, i0, j0, seeds, direction, kind, hashes, basin, seed)
            cls = class_after(cls, parcel, years, felled, built, rotated)
            code[a, b] = cls

            # bilinear height and its slope, on a lattice fixed to the planet
            fx, fy = px / step - hi0, py / step - hj0
            i, j = np.int64(fx), np.int64(fy)
            fx -= i
            fy -= j
            h00, h10 = heights[j, i], heights[j, i + 1]
            h01, h11 = heights[j + 1, i], heights[j + 1, i + 1]
            low, high = h00 + fx * (h10 - h00), h01 + fx * (h11 - h01)
            z = low + fy * (high - low)
            metres[a, b] = z
            east[a, b] = ((h10 - h00) * (1.0 - fy) + (h11 - h01) * fy) / step
            north[a, b] = (high - low) / step

            own = cell_hash(
                np.int64(np.floor(px + 0.318)), np.int64(np.floor(py + 0.318)), seed ^ _PIXEL
            )
            pixel[a, b] = np.uint32(own >> np.uint64(32))
            grain = gradient_noise(px / 47.0, py / 47.0, seed ^ _TEXTURE)
            grain += 1.2 * (draw(own, 1) - 0.5)
            bright[a, b] = 1.0 + _BRIGHT[cls] * (2.0 * draw(parcel, 7) - 1.0) + _GRAIN[cls] * grain
            if cls in (WATER, BUILT):
                days = 0.0
            else:
                days = _SHIFT_DAYS[cls] * (draw(parcel, 8) + draw(parcel, 9) - 1.0)
                days += min(max((z - 250.0) * 0.008, -2.0), 9.0)
            shift[a, b] = np.uint8(min(max(days + 32.5, 0.0), SHIFTS - 1.0))
            other[a, b] = _LOOKS_LIKE[cls, 0 if draw(parcel, 11) < 0.65 else 1]
            mixed = draw(parcel, 12) ** 3
            mixed = _BLEND[cls] * mixed * mixed * mixed * (1.0 + 0.6 * grain)
            blend[a, b] = min(max(mixed, 0.0), 0.95)
            v = draw(parcel, 10) + _VIGOUR_GRAIN[cls] * (grain + draw(own, 2) - 0.5)
            vigour[a, b] = np.uint8(min(max(v * VIGOURS, 0.0), VIGOURS - 1.0))


@njit(cache=True, nogil=True)
def _heights(i0, j0, columns, rows, step, seed):  # type: ignore[no-untyped-def]
    out = np.empty((rows, columns))
    for j in range(rows):
        for i in range(columns):
            out[j, i] = height((i0 + i) * step, (j0 + j) * step, seed)
    return out


@dataclass(frozen=True, slots=True)
class Ground:
    """What does not change from one acquisition to the next, each (y, x)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    code: NDArray[np.uint8]
    """Class id, 1 to 10."""
    other: NDArray[np.uint8]
    """Class it looks like in part."""
    vigour: NDArray[np.uint8]
    """How green for its class, 0 to 7."""
    shift: NDArray[np.uint8]
    """Days its calendar is late, plus 32."""
    blend: NDArray[np.float32]
    """How much it looks like the other class, 0 to 0.95."""
    bright: NDArray[np.float32]
    """Factor on the reflectance."""
    metres: NDArray[np.float32]
    """Height above the sea."""
    east: NDArray[np.float32]
    """Rise of the ground to the east, height over Web Mercator distance."""
    north: NDArray[np.float32]
    pixel: NDArray[np.uint32]
    """A random number of the place."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(getattr(self, name).nbytes for name in self.__slots__)


_HEIGHT_STEP = 96.0


class Landscape:
    """The ground of a planet with a seed; keeps the grids surveyed last.

    seed    any whole number
    changes what changes from year to year; nothing where None
    memory  greatest number of bytes kept
    """

    def __init__(
        self, seed: int, changes: Changes | None = None, memory: int = 256 * 2**20
    ) -> None:
        self.salt = salt(seed, 1)
        self._changes = changes or Changes(0)
        self._changing = changes is not None
        self._kept: BoundedCache[tuple[GeoBox, int], Ground] = BoundedCache(
            memory, lambda ground: ground.nbytes
        )

    def ground(self, geobox: GeoBox, year: int | None = None) -> Ground:
        """Return the ground at the pixel centres of a grid in a year; before anything has changed
        where None."""
        passed = max(0, year - self._changes.since) if self._changing and year is not None else 0
        key = (geobox, passed)
        ground = self._kept.get(key)
        if ground is None:
            ground = self._surveyed(geobox, passed)
            self._kept.put(key, ground)
        return ground

    def _surveyed(self, geobox: GeoBox, years: int) -> Ground:
        changes = self._changes
        x, y = pixel_centres(geobox)
        box = (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
        i0, j0, columns, rows = lattice(box, DISTRICT, margin=350.0, ring=1)
        hi0, hj0, hcolumns, hrows = lattice(box, _HEIGHT_STEP, margin=0.0, ring=1)
        codes = np.empty((4, *x.shape), np.uint8)
        values = np.empty((5, *x.shape), np.float32)
        ground = Ground(
            x,
            y,
            code=codes[0],
            other=codes[1],
            vigour=codes[2],
            shift=codes[3],
            blend=values[0],
            bright=values[1],
            metres=values[2],
            east=values[3],
            north=values[4],
            pixel=np.empty(x.shape, np.uint32),
        )
        _survey(  # type: ignore[call-arg]
            x, y, i0, j0, *districts(i0, j0, columns, rows, self.salt),
            _heights(hi0, hj0, hcolumns, hrows, _HEIGHT_STEP, self.salt),
            hi0, hj0, _HEIGHT_STEP, self.salt,
            years, changes.felled, changes.built, changes.rotated,
            ground.code, ground.other, ground.vigour, ground.shift, ground.blend, ground.bright,
            ground.metres, ground.east, ground.north, ground.pixel,
        )  # fmt: skip
        return ground


def lattice(
    box: tuple[float, float, float, float], spacing: float, margin: float, ring: int
) -> tuple[int, int, int, int]:
    """Return the first column and row, and number of columns and rows, of the lattice cells that a
    box (west, south, east, north) with a margin touches, and ``ring`` more on every side."""
    i0 = int(np.floor((box[0] - margin) / spacing)) - ring
    j0 = int(np.floor((box[1] - margin) / spacing)) - ring
    i1 = int(np.floor((box[2] + margin) / spacing)) + ring + 1
    j1 = int(np.floor((box[3] + margin) / spacing)) + ring + 1
    return i0, j0, i1 - i0, j1 - j0
