"""Rasters that have no season, as they become features without a date."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import terrain
from lc_platform.sources.layers.options import LayerOptions

if TYPE_CHECKING:
    from lc_platform.sources.layers.raster import RasterLayer

_Derive = Callable[[NDArray[np.floating[Any]], float], NDArray[np.float32]]
_DERIVED: dict[str, _Derive] = {
    "slope": lambda elevation, pixel: terrain.slope(elevation, pixel)[None],
    "aspect": terrain.aspect,
    "curvature": terrain.curvature,
}
"""What is made of a terrain model, (feature, y, x), by its name in the configuration."""


@dataclass(frozen=True)
class StaticFeatures:
    """The features of a layer around a patch."""

    options: LayerOptions
    """Of the year."""
    features: tuple[str, ...]
    """Their names."""
    values: Callable[[GeoBox], NDArray[np.float32]]
    """Gives the bands on a grid, (band, y, x), NaN where missing."""
    dtype: str
    """Of the numbers in the rasters here; empty where there is none."""
    layer: RasterLayer | None = None
    """The rasters; None of the simulated archive's terrain."""

    def read(self, grid: GeoBox) -> NDArray[np.float32]:
        """Return the features on a grid, (feature, y, x); NaN where missing.

        What is derived of a terrain model reads a pixel more on each side, of the raster itself.
        """
        if not self.options.terrain:
            return self.values(grid)
        wide = self.values(grid.pad(1))
        pixel = abs(float(grid.resolution.x))
        derived = [_DERIVED[name](wide[0], pixel) for name in self.options.terrain]
        return np.concatenate([wide[:, 1:-1, 1:-1], *derived])

    def covers(self, grid: GeoBox) -> float:
        """Return about which share of a grid its rasters lie around, 0 to 1."""
        return 1.0 if self.layer is None else self.layer.covers(grid)

    @property
    def shows_classes(self) -> bool:
        """Whether its rasters have a table of colours."""
        return self.layer is not None and any(one.shows_classes for one in self.layer.tiles)

    @property
    def described(self) -> dict[str, Any]:
        """What they are made of, as JSON has it; not where the rasters lie on this machine."""
        options = self.options
        return {
            "name": options.name,
            "features": list(self.features),
            "raster": options.given,
            "type": self.dtype,
            "resampling": options.resampling,
            **({"encoding": options.encoding} if options.encoding else {}),
            **({"scale": list(options.scale)} if options.scale else {}),
        }


def open_layers(
    layers: Iterable[LayerOptions], grid: GeoBox, year: int
) -> tuple[StaticFeatures, ...]:
    """Return the features of layers around a grid in a year. Raises what `open_layer` does."""
    return tuple(_opened(one.of_year(year), grid) for one in layers)


def _opened(options: LayerOptions, grid: GeoBox) -> StaticFeatures:
    if options.simulated is not None:
        from lc_platform.sources.simulated.terrain import terrain as simulated

        seed = options.simulated
        return StaticFeatures(
            options, options.features(1), lambda on: simulated(on, seed), "float32"
        )
    from lc_platform.sources.layers.raster import open_layer

    layer = open_layer(options, grid)
    types = dict.fromkeys(tile.dtype for tile in layer.tiles)
    names = options.features(layer.count)
    return StaticFeatures(options, names, layer.read, ", ".join(types), layer)


def missing_pixels(values: NDArray[np.float32]) -> int:
    """Return how many pixels lack the first of a layer's features, of (feature, y, x)."""
    return int(np.isnan(values[0]).sum())
