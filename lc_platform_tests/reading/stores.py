"""Stores with a few artefacts that were made without Dagster, to be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.acquisition.acquire import acquire
from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import Partition, key
from lc_platform.artefacts.records import Records, Version
from lc_platform.cube import MAIN, Block, Layer, LazyCube, Summary, whole
from lc_platform.platform import Platform
from lc_platform.products import cloud_masks, features, mosaic, patch_grid, reference_rasters
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.reading.reader import Reader
from lc_platform.storage import zarr_cube
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store

MADE = Version("made", "0", "look")


def put(store: Store, asset: str, where: Partition, value: Any) -> Any:
    """Write an artefact with its record; returns its handle."""
    path = key(asset, where.patch, where.year)
    formats()[asset].write(store, path, value)
    Records(store).write(asset, where, MADE, {})
    return formats()[asset].open(store, path)


def classes(geobox: GeoBox, ids: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """No data in the first row; then the classes, one a column, over and over."""
    found = np.resize(np.array(ids, np.uint8), tuple(geobox.shape))
    found[:] = np.array(ids, np.uint8)[np.arange(geobox.shape[1]) % len(ids)]
    found[0] = 0
    return found


def predicted(patch: Patch, year: int, legend: Mapping[int, tuple[str, str]]) -> LazyCube:
    """A map of `classes`, 60 % sure, with the probabilities of the first two."""
    ids = tuple(legend)
    here = classes(patch.geobox, ids)
    values = {
        "class": here,
        "confidence": np.where(here, 60, 0).astype(np.uint8),
        "entropy": np.where(here, 50, 255).astype(np.uint8),
        **{
            f"probability_{i}": np.where(here, np.where(here == i, 60, 5), 255).astype(np.uint8)
            for i in ids[:2]
        },
    }

    def blocks(_: Summary) -> Iterator[Block]:
        for name, pixels in values.items():
            yield Block(name, (), whole(patch.geobox), pixels)

    return LazyCube(
        {MAIN: patch.geobox},
        {name: Layer((), "uint8", fill=0 if name == "class" else None) for name in values},
        blocks,
        attributes={"patch": patch.key, "year": year, "model_version": "m1"},
        legend=legend,
    )


def make(platform: Platform) -> PatchGrid:
    """Make of every patch imagery, masks, features, reference and a map, and of the first year a
    mosaic."""
    store, year = platform.store, platform.config.years[0]
    grid = patch_grid.lay(platform.grid_options(), platform.reference)
    put(store, "patch_grid", Partition(), grid)
    for patch in grid.patches:
        here = Partition(patch.key, year)
        raw: AcquisitionStack = put(
            store, "raw_bands", here, acquire(platform.source, platform.search(patch, year))
        )
        masks: CloudMasks = put(
            store, "cloud_masks", here, cloud_masks.detect(raw, platform.detection_options())
        )
        put(store, "features", here, features.build(raw, masks, platform.feature_options()))
        put(
            store,
            "reference_rasters",
            Partition(patch.key),
            reference_rasters.label(
                platform.reference.burnt, patch.key, patch.geobox, platform.reference_options()
            ),
        )
        put(store, "predictions", here, predicted(patch, year, platform.classes))
    maps = {p.key: RasterCube(store, key("predictions", p.key, year)) for p in grid.patches}
    joined = mosaic.Mosaic(year, grid.patches, maps, {}, platform.mosaic_options())
    put(store, "mosaic", Partition(year=year), joined)
    return grid


def copy(reader: Reader, store: Store, patch: str, year: int) -> None:
    """Lay the grid, and what there is of a patch's year, into another store."""
    for path in (key("patch_grid"), key("predictions", patch, year)):
        with store.file(path) as file:
            file.write_bytes(reader.store.read_bytes(path))
    for asset in ("raw_bands", "cloud_masks", "features"):
        path = key(asset, patch, year)
        zarr_cube.write(store, path, _again(zarr_cube.ZarrCube(reader.store, path)))


def _again(cube: zarr_cube.ZarrCube) -> LazyCube:
    """A stored cube, to be written again as it is."""
    arrays = {name: cube._arrays[name] for name in cube.layers}
    layers = {
        name: replace(
            cube.layers[name],
            chunks=(array.shards or array.chunks)[:-2],
            compressed=array.chunks[:-2],
        )
        for name, array in arrays.items()
    }

    def blocks(_: Summary) -> Iterator[Block]:
        for name, layer in layers.items():
            lengths = arrays[name].shape[:-2]
            starts = (range(0, n, step) for n, step in zip(lengths, layer.chunks, strict=True))
            for at in product(*starts):
                index = tuple(slice(a, a + step) for a, step in zip(at, layer.chunks, strict=True))
                select = dict(zip(layer.dims, index, strict=True))
                window = whole(cube.grids[layer.grid])
                yield Block(name, index, window, cube.read(name, window, **select))

    return LazyCube(cube.grids, layers, blocks, cube.coordinates, cube.attributes)


def country(store: Store, columns: int, rows: int, years: tuple[int, ...]) -> PatchGrid:
    """A grid of many patches, and an empty file in the place of each of their predictions."""
    size = 1000
    patches = [
        Patch(
            f"33N-r{row:03d}-c{column:03d}",
            GeoBox(
                (size, size),
                Affine(10, 0, 4e5 + column * 1e4, 0, -10, 5.2e6 - row * 1e4),
                "EPSG:32633",
            ),
            "33N",
            row,
            column,
        )
        for row in range(rows)
        for column in range(columns)
    ]
    grid = PatchGrid(patches, {patch.key: True for patch in patches})
    formats()["patch_grid"].write(store, key("patch_grid"), grid)
    for year in years:
        for patch in patches:
            where = Partition(patch.key, year)
            store.put(key("predictions", *where), b"")
            Records(store).write("predictions", where, MADE, {})
    return grid
