"""A layer on any grid: its rasters found, put side by side and resampled.

No raster is read by GDAL's warp, which approximates: a pixel's value would hang on its window. Each
pixel's centre is transformed exactly, and what is around it is interpolated (`eo.resampling`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import resampling
from lc_platform.eo.resampling import Points
from lc_platform.sources.layers import catalog, tile_index
from lc_platform.sources.layers.lattice import Lattice, lattices
from lc_platform.sources.layers.options import LayerOptions, Network
from lc_platform.sources.layers.tiles import RasterLink, Tile, name_of, open_tile
from lc_platform.sources.network.limits import Limits
from lc_platform.sources.network.remote_files import RemoteFiles
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.stac.sampling import points_a_side

_POINTS, _NUMBERS = 2**20, 2**23
"""Points, and numbers of a raster, that are held at a time."""
_LOOKED_AT = 16
"""Points along a grid's side at which it is asked whether there is a raster."""
_COARSER = 1.01
"""From how many times a raster's pixels on a grid's pixel is a mean."""


@dataclass(frozen=True)
class RasterLayer:
    """The rasters of a layer around a grid."""

    options: LayerOptions
    tiles: tuple[Tile, ...]
    """In order of preference; none where no raster is near the grid."""
    count: int
    """Bands that are read."""
    lattices: tuple[Lattice, ...]

    def read(self, grid: GeoBox) -> NDArray[np.float32]:
        """Return the values on a grid, (band, y, x); NaN where missing and beyond the rasters.

        Raises SourceError naming the key and the file where one is damaged, TransientSourceError
        where a server did not answer.
        """
        out = np.full((self.count, *grid.shape), np.nan, np.float32)
        for lattice in self.lattices:
            for rows in self._strips(lattice, grid):
                part = out[:, rows]
                missing = np.isnan(part).all(axis=0)
                if missing.any():
                    found = self._on(lattice, grid[rows, :])
                    np.copyto(part, found, where=missing)
        return out

    def covers(self, grid: GeoBox) -> float:
        """Return about which share of a grid the rasters lie around, 0 to 1: missing values in
        them are not looked for."""
        points = grid.zoom_to((_LOOKED_AT, _LOOKED_AT))
        inside = np.zeros(points.shape, np.bool_)
        for lattice in self.lattices:
            for rows, columns in lattice.positions(points):
                for one in lattice.placed:
                    inside |= (
                        (rows >= one.rows.start)
                        & (rows < one.rows.stop)
                        & (columns >= one.columns.start)
                        & (columns < one.columns.stop)
                    )
        return float(inside.mean())

    def _strips(self, lattice: Lattice, grid: GeoBox) -> Iterator[slice]:
        """Yield some rows of a grid after the other."""
        of = lattice.resolution_in(grid.crs)
        ratio = [max(1.0, abs(a / b)) for a, b in zip(grid.resolution.xy, of.xy, strict=True)]
        side = self._side(lattice, grid)
        at_once = min(
            _POINTS / (grid.shape[1] * side**2),
            _NUMBERS / (self.count * grid.shape[1] * ratio[0] * ratio[1]),
        )
        step = max(1, int(at_once))
        for first in range(0, grid.shape[0], step):
            yield slice(first, min(first + step, grid.shape[0]))

    def _side(self, lattice: Lattice, grid: GeoBox) -> int:
        """Return how many points a grid's pixel takes the mean of, in each direction."""
        if self.options.resampling != "average":
            return 1
        of = lattice.resolution_in(grid.crs)
        return points_a_side(of, grid.resolution, lattice.crs == grid.crs, from_ratio=_COARSER)

    def _on(self, lattice: Lattice, grid: GeoBox) -> NDArray[np.float32]:
        method, side = self.options.resampling, self._side(lattice, grid)
        if method != "average":
            out = np.full((self.count, *grid.shape), np.nan, np.float32)
            for points in lattice.positions(grid):
                values, moved = self._around(lattice, [points])
                if values is not None:
                    found = resampling.interpolate(values, moved[0], method)
                    np.copyto(out, found, where=np.isfinite(found))
            return out
        shares = (np.arange(side) + 0.5) / side
        by_turn = [[*lattice.positions(grid, across, down)] for down in shares for across in shares]
        every = [points for turns in by_turn for points in turns]
        values, moved = self._around(lattice, every)
        if values is None:
            return np.full((self.count, *grid.shape), np.nan, np.float32)
        return resampling.mean(values, moved, (grid.shape[0], grid.shape[1]))

    def _around(
        self, lattice: Lattice, several: Sequence[Points]
    ) -> tuple[NDArray[np.float32] | None, list[Points]]:
        """Return the rasters' values around points, (band, row, column), and the points in them;
        None where there is no raster."""
        sides = []
        for axis, beyond in ((0, lattice.rows), (1, lattice.columns)):
            ends = [
                (np.nanmin(points[axis]), np.nanmax(points[axis]))
                for points in several
                if not np.isnan(points[axis]).all()
            ]
            if not ends:
                return None, []
            low = max(int(np.floor(min(e[0] for e in ends))) - resampling.REACH, beyond.start)
            high = min(int(np.floor(max(e[1] for e in ends))) + resampling.REACH + 1, beyond.stop)
            if low >= high:
                return None, []
            sides.append(slice(low, high))
        rows, columns = sides
        values = self._window(lattice, rows, columns)
        return values, [(r - rows.start, c - columns.start) for r, c in several]

    def _window(self, lattice: Lattice, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return the values of some rows and columns of a lattice: those of the first raster that
        has any there."""
        shape = rows.stop - rows.start, columns.stop - columns.start
        out = np.full((self.count, *shape), np.nan, np.float32)
        for one in lattice.placed:
            down = slice(max(rows.start, one.rows.start), min(rows.stop, one.rows.stop))
            across = slice(
                max(columns.start, one.columns.start), min(columns.stop, one.columns.stop)
            )
            if down.start >= down.stop or across.start >= across.stop:
                continue
            part = out[
                :,
                down.start - rows.start : down.stop - rows.start,
                across.start - columns.start : across.stop - columns.start,
            ]
            missing = np.isnan(part).all(axis=0)
            if missing.any():
                found = one.tile.read(_less(down, one.rows), _less(across, one.columns))
                np.copyto(part, found, where=missing)
        return out


def _less(part: slice, of: slice) -> slice:
    return slice(part.start - of.start, part.stop - of.start)


def open_layer(options: LayerOptions, grid: GeoBox) -> RasterLayer:
    """Return a layer around a grid of the options' year.

    Raises SourceError naming the key and the file where a raster is missing, damaged, without a
    place on Earth or a band; where the rasters differ in their bands; and where a catalog or an
    index cannot be read. TransientSourceError where a server did not answer.
    """
    links, files = _found(options, grid)
    tiles = tuple(open_tile(link, options, files) for link in links)
    counts = {len(tile.bands): tile for tile in tiles}
    if len(counts) > 1:
        one, other = [*counts.values()][:2]
        raise SourceError(
            f"{one.link.where} has {len(one.bands)} bands, and {name_of(other.link.uri)} has "
            f"{len(other.bands)}. Name those that all have in {options.key}.bands"
        )
    count = next(iter(counts), len(options.bands))
    return RasterLayer(options, tiles, count, tuple(lattices(tiles, grid.crs)) if tiles else ())


def _found(options: LayerOptions, grid: GeoBox) -> tuple[list[RasterLink], RemoteFiles]:
    """Return the rasters near a grid, and how they are read."""
    if options.path is not None:
        where = f"{options.key}.path: {options.path.written}"
        return [RasterLink(options.path.located, where)], remote_files(options.network)
    if options.tile_index is not None:
        tiles = tile_index.tiles_of(options)
        # One at least, which says how many bands there are.
        uris = tile_index.on(tiles, grid) or [str(tiles.uri.iloc[0])]
        where = f"{options.key}.tile_index"
        return [RasterLink(uri, f"{where}: {name_of(uri)}") for uri in uris], remote_files(
            options.network
        )
    return catalog.rasters(options, grid)


@lru_cache(maxsize=8)
def remote_files(network: Network) -> RemoteFiles:
    """Return what rasters of servers are read by, of this process."""
    return RemoteFiles(
        Limits(
            "layers",
            connections=network.connections,
            requests_per_minute=network.requests_per_minute,
            retries=network.retries,
        )
    )
