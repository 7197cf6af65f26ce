"""The grid of a country, and what its patches have in a window of it, across CRSs too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from lc_platform.area.grid import Patch
from lc_platform.area.mask import AreaMask
from lc_platform.cube import MAIN, Window, same_grid, windows
from lc_platform.errors import DataError
from lc_platform.runtime.overlap import read_ahead
from lc_platform.runtime.progress import track
from lc_platform.runtime.threads import available
from lc_platform.storage.raster_cube import Draft, RasterCube

WINDOW = 1024
"""Pixels along the side of the windows that are joined at a time."""


def check_grids(patches: Sequence[Patch], cubes: Mapping[str, RasterCube]) -> None:
    """Raises DataError where what is stored of a patch lies on another grid than the patch."""
    for patch in patches:
        cube = cubes.get(patch.key)
        if cube is not None and not same_grid(cube.grids[MAIN], patch.geobox):
            raise DataError(
                f"patch {patch.key}: {cube.path} lies on another grid than patch_grid says. The "
                "area or its split has changed: materialize the patch again"
            )


def join(
    target: Draft,
    patches: Sequence[Patch],
    grid: GeoBox,
    cubes: Mapping[str, RasterCube],
    layer: str,
    inside: AreaMask | None,
    seen: Callable[[str, NDArray[np.generic]], None] | None = None,
) -> None:
    """Put a layer of all patches in place, as far as the map reaches; where patches overlap, the
    last that knows wins.

    seen  is given what each patch has, part by part
    """

    def read(part: tuple[Patch, Window]) -> NDArray[np.generic]:
        patch, window = part
        values: NDArray[np.generic] = on_grid(patch, cubes[patch.key], [layer], grid, window)[0]
        return values

    parts = [(patch, window) for patch in patches for window in windows_of(patch, grid)]
    reads = read_ahead(read, parts, readers=available(0))
    for (patch, window), values in track(
        reads, f"windows of {layer.replace('_', ' ')}", len(parts)
    ):
        known = np.nan_to_num(values).astype(target.dtype)
        if inside is not None:
            known[~inside.read(window)] = 0
        if seen is not None:
            seen(patch.key, known)
        if not known.all():
            known = np.where(known == 0, target.read(window), known)
        target.write(known, window)


def grid_of(patches: Sequence[Patch], crs: str) -> GeoBox:
    """Return the grid of all patches together, whose pixels are theirs where the CRS is."""
    resolution = patches[0].resolution
    boxes = []
    for patch in patches:
        box = patch.geobox.extent
        same = patch.crs == crs
        boxes.append((box if same else box.to_crs(crs, resolution=resolution * 50)).boundingbox)
    edges = np.array([tuple(box) for box in boxes])
    anchor = next((p for p in patches if p.crs == crs), None)
    west, north = (
        (anchor.geobox.affine.c, anchor.geobox.affine.f) if anchor is not None else (0.0, 0.0)
    )
    left = west + np.floor(round((edges[:, 0].min() - west) / resolution, 6)) * resolution
    right = west + np.ceil(round((edges[:, 2].max() - west) / resolution, 6)) * resolution
    bottom = north + np.floor(round((edges[:, 1].min() - north) / resolution, 6)) * resolution
    top = north + np.ceil(round((edges[:, 3].max() - north) / resolution, 6)) * resolution
    shape = round((top - bottom) / resolution), round((right - left) / resolution)
    return GeoBox(shape, Affine(resolution, 0, left, 0, -resolution, top), crs)


def windows_of(patch: Patch, grid: GeoBox, size: int = WINDOW) -> Iterator[Window]:
    """Yield windows of the grid that cover a patch, ``size`` pixels along the side."""
    assert grid.crs is not None
    box = patch.geobox.extent
    if patch.crs != str(grid.crs):
        box = box.to_crs(str(grid.crs), resolution=patch.resolution * 50)
    edges = box.boundingbox
    left, right = ((x - grid.affine.c) / grid.affine.a for x in (edges.left, edges.right))
    top, bottom = ((y - grid.affine.f) / grid.affine.e for y in (edges.top, edges.bottom))
    if patch.crs == str(grid.crs):
        left, right, top, bottom = (round(edge) for edge in (left, right, top, bottom))
    row, column = max(int(np.floor(top)), 0), max(int(np.floor(left)), 0)
    last = min(int(np.ceil(bottom)), grid.shape[0]), min(int(np.ceil(right)), grid.shape[1])
    for rows, columns in windows((last[0] - row, last[1] - column), size):
        yield (
            slice(rows.start + row, rows.stop + row),
            slice(columns.start + column, columns.stop + column),
        )


def on_grid(
    patch: Patch, cube: RasterCube, layers: Sequence[str], grid: GeoBox, window: Window
) -> NDArray[Any]:
    """Return layers of one file that a patch has in a window of the grid, (layer, y, x), by nearest
    neighbour where its CRS is another."""
    if patch.crs == str(grid.crs):
        row = round((patch.geobox.affine.f - grid.affine.f) / grid.affine.e)
        column = round((patch.geobox.affine.c - grid.affine.c) / grid.affine.a)
        here = (
            slice(window[0].start - row, window[0].stop - row),
            slice(window[1].start - column, window[1].stop - column),
        )
        return cube.read_layers(layers, here)
    assert grid.crs is not None
    with (
        cube.opened(layers[0]) as raster,
        WarpedVRT(
            raster,
            crs=grid.crs.to_wkt(),
            transform=grid.affine,
            height=grid.shape[0],
            width=grid.shape[1],
            resampling=Resampling.nearest,
        ) as warped,
    ):
        names = list(raster.descriptions)
        bands = [names.index(layer) + 1 for layer in layers]
        values: NDArray[Any] = warped.read(bands, window=RasterWindow.from_slices(*window))
    return values
