"""Patches joined into one map, window by window, across CRSs too."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from lc_platform.area.grid import Patch
from lc_platform.area.mask import AreaMask
from lc_platform.cube import MAIN, Summary, Thumbnail, Window, same_grid, windows
from lc_platform.errors import DataError
from lc_platform.products.applicable_area import APPLICABILITY, ApplicableArea
from lc_platform.products.model import common_version
from lc_platform.products.options import MosaicOptions
from lc_platform.products.reference_rasters import colored
from lc_platform.runtime.overlap import read_ahead
from lc_platform.runtime.progress import track
from lc_platform.runtime.threads import available
from lc_platform.storage.raster_cube import Draft, RasterCube, palette, rgba, tiled
from lc_platform.storage.staging import Staging

LAND_COVER = "land_cover.tif"
CONFIDENCE = "confidence.tif"
APPLICABLE = "applicability.tif"
APPLICABLE_SHARES = "applicability.json"
VALID_OBSERVATIONS = "valid_observations.tif"
PICTURE = "land_cover.png"
_PICTURE_SIZE = 1000
"""Pixels of the map along the longer side of its picture, at most."""

_WINDOW = 1024


@dataclass
class Mosaic:
    """A country's map of a year, to be joined from its patches."""

    year: int
    patches: Sequence[Patch]
    """All patches of the grid; those without a prediction stay no data."""
    predictions: Mapping[str, RasterCube]
    statistics: Mapping[str, RasterCube]
    options: MosaicOptions
    model_version: str | None = None
    """The version all predictions must carry, where it is known."""
    summary: Summary = field(default_factory=Summary)
    drawn: Callable[[NDArray[np.uint8], Mapping[int, int]], bytes] | None = None
    """Draws the map's picture (PNG) of its classes (y, x), fewer than there are in the map, and the
    number of the map's pixels by class."""

    def write(self, staging: Staging) -> int:
        """Write the maps: classes, confidence, valid observations, and applicability where all
        predictions have it, with its shares by class and patch; and their picture where one is
        drawn; returns the maps' bytes.

        Raises DataError where there is no prediction, or predictions of several models.
        """
        predicted = [p for p in self.patches if p.key in self.predictions]
        if not predicted:
            raise DataError(
                f"{self.year}: no patch has a prediction. Materialize predictions first"
            )
        version = common_version(
            {p.key: str(self.predictions[p.key].attributes["model_version"]) for p in predicted},
            self.model_version,
        )
        options = self.options
        crs = options.crs or Counter(p.crs for p in predicted).most_common(1)[0][0]
        grid = _grid(self.patches, crs)
        inside = options.area.on(grid) if options.area is not None else None
        picture, larger = Thumbnail(grid.shape, 1), Thumbnail(grid.shape, 1, _PICTURE_SIZE)
        counts = np.zeros(256, dtype=np.int64)
        colormap = {0: (0, 0, 0, 0)} | {i: rgba(c) for i, (_, c) in options.classes.items()}

        def land_cover() -> int:
            with staging.file(f"{LAND_COVER}.aux.xml") as path:
                path.write_text(palette(options.classes, 1), encoding="utf-8")
            with staging.file(LAND_COVER) as path:
                with tiled(path, grid, ["class"], "uint8", 0, colormap, "mode") as target:
                    _join(target, predicted, grid, self.predictions, "class", inside)
                    for window in windows(grid.shape, _WINDOW):
                        values = target.read(window)
                        counts[:] += np.bincount(values.ravel(), minlength=256)
                        picture.update(window, values[None])
                        larger.update(window, values[None])
                    target.tag(year=self.year, model_version=version, patches=len(predicted))
                    beside = applicability(target) if judged else 0
                return path.stat().st_size + beside

        def applicability(classes: Draft) -> int:
            with staging.file(APPLICABLE) as path:
                name = APPLICABILITY
                with tiled(path, grid, [name], "uint8", 0, overviews="average") as target:
                    seen = applicable.add_patch
                    _join(target, predicted, grid, self.predictions, name, inside, seen)
                    for window in windows(grid.shape, _WINDOW):
                        applicable.add(classes.read(window), target.read(window))
                return path.stat().st_size

        def confidence() -> int:
            with staging.file(CONFIDENCE) as path:
                with tiled(path, grid, ["confidence"], "uint8", 0, overviews="average") as target:
                    _join(target, predicted, grid, self.predictions, "confidence", inside)
                return path.stat().st_size

        def valid_observations() -> int:
            seen = [p for p in predicted if p.key in self.statistics]
            name = "valid_observations"
            with staging.file(VALID_OBSERVATIONS) as path:
                with tiled(path, grid, [name], "uint16", overviews="average") as target:
                    _join(target, seen, grid, self.statistics, name, inside)
                return path.stat().st_size

        judged = all(APPLICABILITY in self.predictions[p.key].layers for p in predicted)
        applicable = ApplicableArea()
        for cubes in (self.predictions, self.statistics):
            _check_grids(predicted, cubes)
        # One after the other: two at once would be a little faster, and hold twice the memory.
        size = land_cover() + confidence() + valid_observations()
        if self.drawn is not None:
            pixels = {i: int(counts[i]) for i in options.classes if counts[i]}
            with staging.file(PICTURE) as path:
                path.write_bytes(self.drawn(larger.values[0].astype(np.uint8), pixels))
        if judged:
            names = {i: name for i, (name, _) in options.classes.items()}
            with staging.file(APPLICABLE_SHARES) as path:
                path.write_text(json.dumps(applicable.to_dict(names), indent=2), encoding="utf-8")
            self.summary.facts |= {
                "share_outside_applicability": applicable.share_outside,
                "share_outside_applicability_by_class": applicable.by_class(names),
            }
        missing = [p.key for p in self.patches if p.key not in self.predictions]
        self.summary.picture = colored(picture.values[0].astype(np.uint8), options.classes)
        self.summary.facts |= {
            "patches": len(predicted),
            "patches_missing": len(missing),
            "missing": ", ".join(missing[:20]) + (" ..." if len(missing) > 20 else ""),
            "rows": grid.shape[0],
            "columns": grid.shape[1],
            "crs": crs,
            "model_version": version,
            "class_pixels": {
                name: int(counts[i]) for i, (name, _) in options.classes.items() if counts[i]
            },
        }
        return size


def _check_grids(patches: Sequence[Patch], cubes: Mapping[str, RasterCube]) -> None:
    for patch in patches:
        cube = cubes.get(patch.key)
        if cube is not None and not same_grid(cube.grids[MAIN], patch.geobox):
            raise DataError(
                f"patch {patch.key}: {cube.path} lies on another grid than patch_grid says. The "
                "area or its split has changed: materialize the patch again"
            )


def _join(
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
        return _on_grid(patch, cubes[patch.key], layer, grid, window)

    parts = [(patch, window) for patch in patches for window in _windows_of(patch, grid)]
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


def _grid(patches: Sequence[Patch], crs: str) -> GeoBox:
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


def _windows_of(patch: Patch, grid: GeoBox) -> Iterator[Window]:
    """Yield windows of the grid that cover a patch."""
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
    for rows, columns in windows((last[0] - row, last[1] - column), _WINDOW):
        yield (
            slice(rows.start + row, rows.stop + row),
            slice(columns.start + column, columns.stop + column),
        )


def _on_grid(
    patch: Patch, cube: RasterCube, layer: str, grid: GeoBox, window: Window
) -> NDArray[np.generic]:
    """Return what a patch has in a window of the grid, by nearest neighbour where its CRS is
    another."""
    if patch.crs == str(grid.crs):
        row = round((patch.geobox.affine.f - grid.affine.f) / grid.affine.e)
        column = round((patch.geobox.affine.c - grid.affine.c) / grid.affine.a)
        here = (
            slice(window[0].start - row, window[0].stop - row),
            slice(window[1].start - column, window[1].stop - column),
        )
        return cube.read(layer, here)
    assert grid.crs is not None
    with (
        cube.opened() as raster,
        WarpedVRT(
            raster,
            crs=grid.crs.to_wkt(),
            transform=grid.affine,
            height=grid.shape[0],
            width=grid.shape[1],
            resampling=Resampling.nearest,
        ) as warped,
    ):
        band = list(raster.descriptions).index(layer) + 1
        values: NDArray[np.generic] = warped.read(band, window=RasterWindow.from_slices(*window))
    return values
