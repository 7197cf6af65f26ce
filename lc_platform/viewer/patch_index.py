"""Which patches a tile shows, and from which zoom on they are few enough to be drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lc_platform.area.grid import Patch
from lc_platform.viewer.tile_grid import HALF, LARGEST_ZOOM, SIZE, Box, Tile, boxes_around


class PatchIndex:
    """The patches of a grid, to be looked up by tile."""

    def __init__(self, patches: Sequence[Patch]) -> None:
        self.patches = patches
        self.by_key = {patch.key: patch for patch in patches}
        self.boxes: dict[str, list[Box]] = {}
        """Where each patch lies in Web Mercator, by its key."""
        of: dict[str, list[Patch]] = {}
        for patch in patches:
            of.setdefault(patch.crs, []).append(patch)
        for crs, these in of.items():
            found = boxes_around(crs, np.array([patch.box for patch in these]))
            self.boxes |= {patch.key: boxes for patch, boxes in zip(these, found, strict=True)}
        pairs = [(i, box) for i, patch in enumerate(patches) for box in self.boxes[patch.key]]
        self._owners = np.array([i for i, _ in pairs], np.int64)
        self._edges = np.array([box for _, box in pairs], np.float64).reshape(-1, 4)

    def within(self, tile: Tile) -> list[Patch]:
        """Return the patches that a tile shows a part of, in the grid's order."""
        return self.touching(tile.box)

    def touching(self, box: Box) -> list[Patch]:
        """Return the patches that reach into a box, in the grid's order."""
        west, south, east, north = self._edges.T
        touched = (west < box.east) & (east > box.west) & (south < box.north) & (north > box.south)
        return [self.patches[i] for i in np.unique(self._owners[touched]).tolist()]

    @property
    def native_zoom(self) -> int:
        """The first zoom at which a pixel of a tile is no wider than one of the patches."""
        if not self.patches:
            return 0
        widest = 2 * HALF / SIZE * math.cos(math.radians(self._latitude))
        finest = min(patch.resolution for patch in self.patches)
        return min(max(math.ceil(math.log2(widest / finest)), 0), LARGEST_ZOOM)

    @property
    def _latitude(self) -> float:
        middle = float((self._edges[:, 1].min() + self._edges[:, 3].max()) / 2)
        return math.degrees(math.atan(math.sinh(middle / 6378137)))

    def zoom_of(self, most: int) -> int:
        """Return the first zoom at which no tile shows more than ``most`` patches."""
        for zoom in range(LARGEST_ZOOM):
            if _most_in_a_tile(self._edges, zoom) <= most:
                return zoom
        return LARGEST_ZOOM


def _most_in_a_tile(edges: NDArray[np.float64], zoom: int) -> int:
    """Return how many boxes the tile touches that touches most of them."""
    if not len(edges):
        return 0
    count = 2**zoom
    scale = count / (2 * HALF)
    left, right = (_tiles((edges[:, i] + HALF) * scale, count) for i in (0, 2))
    top, bottom = (_tiles((HALF - edges[:, i]) * scale, count) for i in (3, 1))
    tiles: list[NDArray[np.int64]] = []
    across, down = int((right - left).max()), int((bottom - top).max())
    if (across + 1) * (down + 1) > 64:  # a box is many tiles wide, so none touches many boxes
        return 1
    for i in range(down + 1):
        for j in range(across + 1):
            there = (top + i <= bottom) & (left + j <= right)
            tiles.append(((top + i) * count + left + j)[there])
    return int(np.unique(np.concatenate(tiles), return_counts=True)[1].max())


def _tiles(places: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    return np.clip(np.floor(places), 0, count - 1).astype(np.int64)
