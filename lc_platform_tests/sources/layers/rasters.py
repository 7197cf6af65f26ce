"""Small rasters for layers, and grids in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.config.input_files import InputFile
from lc_platform.sources.layers.options import LayerOptions
from lc_platform.sources.layers.raster import open_layer

WEST, NORTH = 500_000, 5_200_000
GRID = GeoBox((24, 30), Affine(10, 0, WEST, 0, -10, NORTH), "EPSG:32633")


def raster(
    path: Path,
    values: NDArray[Any],
    *,
    pixel: float = 10,
    west: float = WEST,
    north: float = NORTH,
    crs: str | None = "EPSG:32633",
    **options: Any,
) -> Path:
    """A GeoTIFF of (band, y, x)."""
    names = options.pop("descriptions", ())
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=values.dtype, crs=crs,
        transform=Affine(pixel, 0, west, 0, -pixel, north), **options,
    ) as file:  # fmt: skip
        file.write(values)
        for band, name in enumerate(names, 1):
            file.set_band_description(band, name)
    return path


def hills(shape: tuple[int, int], pixel: float, west: float = 0.0, north: float = 0.0) -> Any:
    """Metres of a smooth surface at pixels' centres, float32."""
    x = west + (np.arange(shape[1]) + 0.5) * pixel
    y = north - (np.arange(shape[0])[:, None] + 0.5) * pixel
    return (400 + 90 * np.sin(x / 130) + 60 * np.cos(y / 170 + x / 400)).astype(np.float32)


def layer(path: Path | str | None = None, **options: Any) -> LayerOptions:
    """The options of a layer of a file."""
    files = {
        name: InputFile(Path(file).name, str(file))
        for name, file in {"path": path, **{n: options.pop(n, None) for n in _FILES}}.items()
        if file is not None
    }
    return LayerOptions(name="elevation", key="features.layers[0]", **files, **options)


_FILES = ("tile_index", "scale_path", "catalog")


def values(options: LayerOptions, grid: GeoBox = GRID) -> NDArray[np.float32]:
    """The layer's bands on a grid."""
    return open_layer(options, grid).read(grid)
