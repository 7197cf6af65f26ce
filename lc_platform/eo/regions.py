"""How much each region has a say at a place: weights that blend over a distance at the borders.

Weights are of the place alone. They are computed at the nodes of a lattice that is laid from the
origin of the coordinates, and are bilinear between them, so that it does not matter of which grid
or window a place is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

NODES = 16
"""Steps of the lattice in the blending distance."""
_VERTICES = 16
"""Of a border, that are searched as one."""
_BLOCK = 16
"""Nodes along the side of a block, of which one place tells where no border is near."""


def blended(distances: NDArray[np.floating[Any]], blend: float) -> NDArray[np.float64]:
    """Return the weight of each region at places.

    distances  (region, ...), metres to the region's border: above 0 within it, below 0 outside
    blend      metres on either side of a border over which weights go from 0 to 1, above 0
    Returns (region, ...), 0 to 1, 1 together. Across the border of two regions they are linear;
    a place that lies in no region is of the nearest one, and of those that are not further from it
    than ``blend`` more.

    Raises ValueError where ``blend`` is not above 0.
    """
    if not blend > 0:
        raise ValueError(f"A blending distance of {blend:g} m is not above 0.")
    # Beyond all regions the nearest one counts as if the place lay on its border.
    beyond = np.minimum(distances.max(axis=0), 0)
    found = np.clip((distances - beyond + blend) / (2 * blend), 0, 1)
    return np.asarray(found / found.sum(axis=0), np.float64)


@dataclass(frozen=True, eq=False)
class Borders:
    """Regions in one projected CRS."""

    polygons: Sequence[BaseGeometry]
    """(region,), polygonal, metres; an empty one is nowhere."""

    @cached_property
    def _trees(self) -> list[shapely.STRtree]:
        """(region,), of pieces of its border."""
        for one in self.polygons:
            shapely.prepare(one)
        return [shapely.STRtree(_pieces(one)) for one in self.polygons]

    def distances(
        self, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]], reach: float
    ) -> NDArray[np.float64]:
        """Return how far places are from each region's border.

        x, y   (place,), metres
        reach  metres that matter: what is further counts as this far
        Returns (region, place), above 0 within the region, below 0 outside. Where a place lies in
        no region, all its distances are what they are, however far.
        """
        points = shapely.points(x, y)
        found = np.empty((len(self.polygons), len(points)))
        for row, one, tree in zip(found, self.polygons, self._trees, strict=True):
            row[:] = reach
            _nearest(tree, points, row, np.arange(len(points)), reach)
            row[~shapely.contains_xy(one, x, y)] *= -1
        beyond = np.flatnonzero((found < 0).all(axis=0))
        if len(beyond):
            for row, tree in zip(found, self._trees, strict=True):
                row[beyond] = np.inf
                _nearest(tree, points[beyond], row, beyond, None)
                row[beyond] *= -1
        return found


def _pieces(polygon: BaseGeometry) -> list[BaseGeometry]:
    """Return a polygon's border in short lines."""
    lines: list[BaseGeometry] = []
    for ring in shapely.get_rings(polygon):
        vertices = shapely.get_coordinates(ring)
        lines += [
            shapely.LineString(vertices[start : start + _VERTICES + 1])
            for start in range(0, len(vertices) - 1, _VERTICES)
        ]
    return lines


def _nearest(
    tree: shapely.STRtree,
    points: NDArray[Any],
    row: NDArray[np.float64],
    places: NDArray[np.intp],
    reach: float | None,
) -> None:
    """Put the distances of points to what is in a tree, where it is in reach, at their places."""
    if not len(tree.geometries):
        return
    (which, _), distances = tree.query_nearest(
        points, max_distance=reach, return_distance=True, all_matches=False
    )
    row[places[which]] = distances


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of regions at any place of a CRS."""

    borders: Borders
    blend: float
    """Metres, see `blended`."""

    def at(self, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return (region, ...), 0 to 1, 1 together; exactly 1 where no other region has a say.

        x, y  metres, of shapes that broadcast to one
        """
        spacing = self.blend / NODES
        across, up = np.broadcast_arrays(x, y)
        columns: NDArray[np.float64] = across.astype(np.float64) / spacing
        rows: NDArray[np.float64] = up.astype(np.float64) / spacing
        left, low = np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64)
        across, up = columns - left, rows - low
        cells, cell = np.unique((left << 32) + low, return_inverse=True)
        cell = cell.reshape(left.shape)
        corners = np.stack([cells, cells + (1 << 32), cells + 1, cells + (1 << 32) + 1])
        nodes, node = np.unique(corners, return_inverse=True)
        node = node.reshape(corners.shape)
        values = blended(self._distances(*_unpacked(nodes), spacing), self.blend)
        found = np.empty((len(values), *columns.shape), np.float32)
        for one, of_region in zip(found, values, strict=True):
            if (of_region == of_region[0]).all():
                one[...] = of_region[0]
                continue
            southwest, southeast, northwest, northeast = (of_region[at][cell] for at in node)
            south = southwest + across * (southeast - southwest)
            north = northwest + across * (northeast - northwest)
            one[...] = south + up * (north - south)
        return found

    def _distances(
        self, column: NDArray[np.int64], row: NDArray[np.int64], spacing: float
    ) -> NDArray[np.float64]:
        """Return how far nodes are from each region's border, (region, node), as
        `Borders.distances` does with the blending distance as its reach.

        All nodes of a block are as far as matters where its centre is further than that from all
        borders by more than half the block's diagonal; only those of other blocks are searched.
        """
        packed, block = np.unique((column // _BLOCK << 32) + row // _BLOCK, return_inverse=True)
        block = block.reshape(column.shape)
        half = (_BLOCK - 1) / 2
        x, y = ((at * _BLOCK + half) * spacing for at in _unpacked(packed))
        reach = self.blend + half * spacing * 1.5
        of_centres = self.borders.distances(x, y, reach)
        within = np.flatnonzero((of_centres > 0).any(axis=0))
        far = np.zeros(len(packed), np.bool_)
        far[within] = (abs(of_centres[:, within]) >= reach).all(axis=0)
        found = np.copysign(self.blend, of_centres)[:, block]
        near = np.flatnonzero(~far[block])
        found[:, near] = self.borders.distances(
            column[near] * spacing, row[near] * spacing, self.blend
        )
        return found


def _unpacked(packed: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the upper and the lower 32 bits, with their signs."""
    low = packed.astype(np.int32).astype(np.int64)
    return (packed - low) >> 32, low
