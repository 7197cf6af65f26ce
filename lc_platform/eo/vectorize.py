"""A class map as polygons, of windows one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes


@dataclass
class Vectorizer:
    """Pieces of land as polygons: connected pixels of one class, by their sides.

    Windows that tile the map are added in any order. What touches no window's border is given at
    once; the rest is held, and united across the borders at the end. So memory grows with the
    pieces at borders, not with those within; a piece that spans the map is one polygon, held as a
    whole.
    """

    shape: tuple[int, int]
    """Rows and columns of the map."""
    _held: dict[int, list[shapely.Geometry]] = field(default_factory=dict)

    def add(
        self, classes: NDArray[np.uint8], row: int, column: int
    ) -> Iterator[tuple[int, shapely.Polygon]]:
        """Yield the pieces of a window that touch none of its borders but the map's own.

        classes      (y, x), class ids, 0 where there is no data
        row, column  of the window's first pixel
        Yields class ids and polygons, whose coordinates are columns and rows of pixels' corners.
        """
        rows, columns = classes.shape
        left, top = column if column else -1, row if row else -1
        right = column + columns if column + columns < self.shape[1] else -1
        bottom = row + rows if row + rows < self.shape[0] else -1
        for outline, value in shapes(classes, mask=classes > 0, connectivity=4):
            first, *holes = (np.add(ring, (column, row)) for ring in outline["coordinates"])
            piece = shapely.Polygon(first, holes)
            west, north, east, south = piece.bounds
            if west == left or north == top or east == right or south == bottom:
                self._held.setdefault(int(value), []).append(piece)
            else:
                yield int(value), piece

    def rest(self) -> Iterator[tuple[int, shapely.Polygon]]:
        """Yield the pieces that lie across borders of windows, once all windows were added."""
        for value in sorted(self._held):
            united = shapely.union_all(self._held.pop(value))
            for piece in shapely.get_parts(united):
                # A straight side that crosses a border has a corner there.
                yield value, shapely.simplify(piece, 0)
