"""The reference map of a patch: which class each pixel is labelled with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import (
    MAIN,
    Block,
    Layer,
    LazyCube,
    Legend,
    Summary,
    Thumbnail,
    Window,
    extent,
    same_grid,
    tracked,
)
from lc_platform.eo.rasterize import ReferenceRaster
from lc_platform.errors import DataError
from lc_platform.products.handle import PatchHandle
from lc_platform.sources.reference_options import ReferenceOptions

_TILE = 2048


@dataclass(frozen=True)
class ReferenceMap(PatchHandle):
    """Classes of a patch's pixels, 0 where there is no label."""

    def check_lies_on(self, geobox: GeoBox, name: str) -> None:
        """Raises DataError where ``geobox``, the grid of ``name``'s features, is another one."""
        if not same_grid(self.geobox, geobox):
            raise DataError(
                f"{name}: features and reference_rasters lie on different grids "
                f"({extent(geobox)}; {extent(self.geobox)}). The area has changed since one of "
                "them was made: materialize both of this patch again, raw_bands first"
            )

    def classes(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return (y, x), class ids; where several classes claim a pixel, the last polygon's."""
        return self.cube.read("class", window)

    def ambiguous(self, window: Window | None = None) -> NDArray[np.bool_]:
        """Return (y, x), True where two or more classes claim a pixel."""
        return self.cube.read("ambiguous", window).astype(bool)

    def polygons(self, window: Window | None = None) -> NDArray[np.uint32]:
        """Return (y, x), the id of the polygon that gives a pixel its class, also where it is
        ambiguous: the position in the reference's file, counted from 1, the same in every patch.
        0 where there is none, and everywhere where the reference is a raster."""
        if "polygons" not in self.cube.layers:  # as it was stored before there were ids
            return np.zeros(self.classes(window).shape, np.uint32)
        return self.cube.read("polygons", window)

    def unambiguous(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return (y, x), class ids, 0 also where ambiguous."""
        return np.where(self.ambiguous(window), np.uint8(0), self.classes(window))


def label(
    burnt: Callable[[GeoBox], ReferenceRaster],
    patch: str,
    geobox: GeoBox,
    options: ReferenceOptions,
) -> LazyCube:
    """Return the reference of a patch: ``class``, ``ambiguous`` and one ``mask_{id}`` a class,
    uint8, and the ids of ``polygons``, uint32.

    burnt  gives the reference on a grid
    """
    class_ids = options.ids
    masks = [f"mask_{class_id}" for class_id in class_ids]

    def blocks(summary: Summary) -> Iterator[Block]:
        picture = Thumbnail(geobox.shape, 1)
        counts = np.zeros(256, dtype=np.int64)
        ambiguous = 0
        for window in tracked(geobox.shape, _TILE):
            raster = burnt(geobox[window])
            counts += np.bincount(raster.classes.ravel(), minlength=256)
            ambiguous += int(raster.ambiguous.sum())
            picture.update(window, raster.classes[None])
            yield Block("class", (), window, raster.classes)
            yield Block("ambiguous", (), window, raster.ambiguous.astype(np.uint8))
            for name, mask in zip(masks, raster.masks, strict=True):
                yield Block(name, (), window, mask.astype(np.uint8))
            yield Block("polygons", (), window, raster.polygons)
        pixels = int(np.prod(geobox.shape))
        summary.picture = colored(picture.values[0].astype(np.uint8), options.legend)
        summary.facts |= {
            "labelled_fraction": 1 - int(counts[0]) / pixels,
            "ambiguous_pixels": ambiguous,
            "class_pixels": {
                name: int(counts[i]) for i, (name, _) in options.legend.items() if counts[i]
            },
        }

    names = ["class", "ambiguous", *masks]
    return LazyCube(
        {MAIN: geobox},
        {name: Layer((), "uint8", fill=0 if name == "class" else None) for name in names}
        | {"polygons": Layer((), "uint32", fill=0)},
        blocks,
        attributes={"patch": patch, "classes": list(class_ids)},
        legend=options.legend,
    )


def colored(classes: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    """Return class ids (y, x) as colours (y, x, 3); white where there is no class."""
    table = np.full((256, 3), 255, dtype=np.uint8)
    for class_id, (_, color) in legend.items():
        table[class_id] = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return table[classes]
