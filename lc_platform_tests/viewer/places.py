"""Places in the patches of a store, some of which patches of another zone show too."""

from __future__ import annotations

from itertools import product

import pyproj

from lc_platform.area.grid import Patch
from lc_platform.reading.reader import Reader


def degrees(patch: Patch, row: float, column: float) -> tuple[float, float]:
    """Longitude and latitude of a place in a patch, in pixels from its north-western corner."""
    x, y = patch.geobox.affine * (column, row)
    to = pyproj.Transformer.from_crs(patch.crs, 4326, always_xy=True)
    lon, lat = to.transform(x, y)
    return lon, lat


def own_pixel(reader: Reader, patch: Patch) -> tuple[int, int]:
    """Row and column of a pixel that counts as the patch's, below its first row."""
    rows, columns = patch.shape
    for row, column in product(range(3, rows, 5), range(1, columns, 3)):
        found = reader.pixel(*degrees(patch, row + 0.5, column + 0.5))
        if found.patch.key == patch.key:
            return row, column
    raise AssertionError(f"{patch.key}: all of it is shown by others")
