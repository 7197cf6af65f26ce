"""Artefacts as datasets of xarray, whose pixels are read when they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio.windows import Window as RasterWindow

from lc_platform.artefacts.layout import Partition, key
from lc_platform.cube import MAIN, Cube, Layer, Legend, Window, shifted
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.handle import without_margin
from lc_platform.products.layers import decoded
from lc_platform.products.mosaic import LAND_COVER
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.reading.artefacts import Artefacts
from lc_platform.reading.errors import NotFoundError, nearest
from lc_platform.reading.lazy import LazyArray, variable
from lc_platform.reading.open_artefacts import of_one_version
from lc_platform.storage import raster_cube
from lc_platform.storage.file_sets import of_one_writing
from lc_platform.storage.raster_cube import opened_file
from lc_platform.storage.raster_opener import ByteRanges
from lc_platform.storage.store import Store

Legends = Mapping[str, Legend]
"""The classes of layers, by the layers' names; of all others under the empty name."""


def of_cube(cube: Cube, legends: Legends) -> xr.Dataset:
    """Return the layers of a cube on its own grid, without the margin beyond the patch.

    Labels along their dims, y and x (centres of pixels, in units of the CRS) and spatial_ref are
    its coordinates.
    """
    margin = int(cube.attributes.get("margin", 0))
    geobox = without_margin(cube.grids[MAIN], margin)
    found = {
        name: _layer(cube, name, layer, geobox, margin, legends.get(name, legends[MAIN]))
        for name, layer in cube.layers.items()
        if layer.grid == MAIN
    }
    labels = {
        dim: _labels(cube.coordinates[dim])
        for dim in dict.fromkeys(str(d) for v in found.values() for d in v.dims)
        if dim in cube.coordinates
    }
    return xr.Dataset(found, {**labels, **xr_coords(geobox)}, _plain(cube.attributes))


def _layer(
    cube: Cube, name: str, layer: Layer, geobox: GeoBox, margin: int, legend: Legend
) -> xr.Variable:
    how = decoded(name, layer, legend)

    def read(lead: Sequence[list[int]], window: Window) -> NDArray[Any]:
        select = dict(zip(layer.dims, lead, strict=True))
        return how.decode(cube.read(name, shifted(window, margin), **select))

    lead = tuple(len(cube.coordinates[dim]) for dim in layer.dims)
    array = LazyArray((*lead, *geobox.shape), how.dtype, read)
    return variable((*layer.dims, *geobox.dimensions), array, how.attributes)


def of_imagery(raw_bands: AcquisitionStack, collection: str | None) -> xr.Dataset:
    """Return a patch's year of imagery: ``reflectance`` (a radar's ``power`` or ``amplitude``),
    (time, band, y, x), float32, NaN where there is no data; and ``data_mask``, (time, y, x).

    collection  the name of an auxiliary one; the main one where None

    Raises NotFoundError where there is no such collection.
    """
    stack = raw_bands
    if collection is not None:
        if collection not in raw_bands.auxiliary:
            raise NotFoundError(
                f"{raw_bands.name}: raw_bands has no auxiliary collection {collection!r}; "
                f"{nearest(collection, raw_bands.auxiliary)}"
            )
        stack = raw_bands.auxiliary[collection]
    prefix = f"{stack.grid}/" if stack.grid else ""
    about = stack.cube.layers[f"{prefix}bands"].attributes
    quantity = str(about.get("long_name", "reflectance")).partition(",")[0]
    missing = about.get("_FillValue")

    def read(lead: Sequence[list[int]], window: Window) -> NDArray[Any]:
        return calibrated(stack, window, lead[0], [stack.bands[i] for i in lead[1]], missing)

    def has_data(lead: Sequence[list[int]], window: Window) -> NDArray[Any]:
        return stack.data_mask(window, lead[0])

    geobox = stack.geobox
    mask = decoded("data_mask", stack.cube.layers[f"{prefix}data_mask"], {})
    shape = len(stack), len(stack.bands), *geobox.shape
    rows_columns = geobox.dimensions
    return xr.Dataset(
        {
            quantity: variable(
                ("time", "band", *rows_columns),
                LazyArray(shape, np.float32, read),
                {"long_name": quantity, "units": "1"},
            ),
            "data_mask": variable(
                ("time", *rows_columns),
                LazyArray((len(stack), *geobox.shape), bool, has_data),
                mask.attributes,
            ),
        },
        {
            "time": stack.datetimes,
            "band": list(stack.bands),
            "acquisition": ("time", np.array(stack.keys, str)),
            **xr_coords(geobox),
        },
        {
            "patch": raw_bands.patch,
            "year": raw_bands.year,
            "season": raw_bands.season_interval,
            "collection": stack.collection,
        },
    )


def calibrated(
    stack: AcquisitionStack,
    window: Window,
    times: Sequence[int] | slice,
    bands: Sequence[str],
    missing: int | None,
) -> NDArray[np.float32]:
    """Return (time, band, y, x), what digital numbers stand for; NaN where a number is ``missing``,
    which says that there is no data."""
    from lc_platform.eo.radiometry import calibrate

    numbers = stack.digital_numbers(window, times, bands)
    values = calibrate(numbers, *stack.calibration(bands, times))
    if missing is not None:
        values[numbers == missing] = np.nan
    return values


def of_masks(masks: CloudMasks, legends: Legends) -> xr.Dataset:
    """Return clouds of a patch's year, with the keys of the acquisitions along time."""
    keys = np.array([one["key"] for one in masks.acquisitions], str)
    return of_cube(masks.cube, legends).assign_coords(acquisition=("time", keys))


def of_maps(artefacts: Artefacts, where: Partition) -> xr.Dataset:
    """Return a year's maps on one grid, each under the name of its file: of one writing.

    Raises MissingArtefactError where they are not made yet.
    """
    store, path = artefacts.store, key("mosaic", year=where.year)

    def read() -> tuple[xr.Dataset, list[str | None]]:
        files = artefacts.files("mosaic", where)
        objects = {
            name: None if store.local else ByteRanges(store.fs, physical)
            for name, physical in files.items()
            if name.endswith(".tif")
        }
        found = _maps(store, path, files, objects, artefacts.legend)
        return found, [one.writing() for one in objects.values() if one is not None]

    return of_one_version(lambda: of_one_writing(store, path, read))


def _maps(
    store: Store,
    path: str,
    files: Mapping[str, str],
    objects: Mapping[str, ByteRanges | None],
    legend: Legend,
) -> xr.Dataset:
    found, grid = {}, None
    about: dict[str, str] = {}
    stored = _legend(store, path, files)
    for file, ranges in objects.items():
        name, physical = file.removesuffix(".tif"), files[file]
        of_classes = file == LAND_COVER
        with opened_file(store, path, physical, ranges) as raster:
            grid = GeoBox(raster.shape, raster.transform, raster.crs.to_string())
            layer = Layer((), raster.dtypes[0])
            tags = raster.tags()
        how = decoded("class" if of_classes else name, layer, stored or legend)
        read = partial(_map_window, store, path, physical, ranges)
        array = LazyArray(grid.shape, how.dtype, partial(_decoded, how.decode, read))
        found[name] = variable(grid.dimensions, array, how.attributes)
        if of_classes:
            about = {k: v for k, v in tags.items() if k in ("year", "model_version", "patches")}
    assert grid is not None
    return xr.Dataset(found, xr_coords(grid), about)


def _legend(store: Store, path: str, files: Mapping[str, str]) -> Legend:
    """The classes as the map has them beside it; none where it has none."""
    physical = files.get(f"{LAND_COVER}.aux.xml")
    if physical is None:
        return {}
    try:
        with store.reaching(store.path(path)):
            content = store.content(physical)
    except FileNotFoundError as error:
        raise store.unreadable(path, physical, f"{LAND_COVER} has lost its classes") from error
    return raster_cube.legends(content).get(1, {})


def _decoded(decode: Any, read: Any, lead: Sequence[list[int]], window: Window) -> NDArray[Any]:
    values: NDArray[Any] = decode(read(lead, window))
    return values


def _map_window(
    store: Store,
    path: str,
    physical: str,
    ranges: ByteRanges | None,
    _lead: Sequence[list[int]],
    window: Window,
) -> NDArray[Any]:
    with opened_file(store, path, physical, ranges) as raster:
        values: NDArray[Any] = raster.read(1, window=RasterWindow.from_slices(*window))
    return values


def _labels(labels: NDArray[Any]) -> NDArray[Any]:
    return labels if labels.dtype.kind in "Mfiu" else np.array(list(labels), str)


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a cube's attributes that a file can keep beside it."""
    return {k: v for k, v in attributes.items() if isinstance(v, str | int | float)}
