"""A year's map as it is stored, read by window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as RasterWindow

from lc_platform.cube import Window, tracked
from lc_platform.products.mosaic import LAND_COVER
from lc_platform.storage import raster_cube
from lc_platform.storage.store import Store

_WINDOW = 1024


@dataclass(frozen=True)
class OpenMap:
    """The map while its file is open."""

    geobox: GeoBox
    model_version: str
    raster: Any
    """As rasterio opens it."""

    def windows(self) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        """Yield all windows with their class ids, (y, x), 0 where there is no data."""
        for window in tracked(self.geobox.shape, _WINDOW):
            yield window, self.raster.read(1, window=RasterWindow.from_slices(*window))


@dataclass(frozen=True)
class LandCover:
    """The land cover of a mosaic."""

    store: Store
    key: str
    """The mosaic's."""
    files: Mapping[str, str]
    """The mosaic's files: their paths by name."""
    version: str
    """The mosaic's, of its data."""

    @contextmanager
    def opened(self) -> Iterator[OpenMap]:
        """The map, to be read; what was read is to be used when the block has ended well.

        Raises StorageError where it is damaged.
        """
        with raster_cube.opened_file(self.store, self.key, self.files[LAND_COVER]) as raster:
            grid = GeoBox(raster.shape, raster.transform, raster.crs.to_string())
            yield OpenMap(grid, str(raster.tags().get("model_version", "")), raster)
