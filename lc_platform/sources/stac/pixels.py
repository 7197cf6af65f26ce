"""Pixels of one band of a STAC item on a grid.

They are not read by ``odc.stac.load``: odc pastes the file's pixels where a grid is only nearly
the archive's (on 9.995 m pixels it drifts off by a pixel in 2,000), and across coordinate systems
both it and GDAL's own mean depend on the window that is read. So every pixel is taken at its
centre, exactly (`lc_platform.sources.stac.sampling`), and a coarser grid averages such points.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo import CRS, Resolution
from odc.geo.converters import rio_geobox
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.warp import calculate_default_transform
from rasterio.windows import Window

from lc_platform.catalogue import FILL_VALUES, DataType
from lc_platform.eo.resampling import Interpolation
from lc_platform.sources import raster_files
from lc_platform.sources.network.remote_files import Content, RemoteFile, RemoteFiles, tag
from lc_platform.sources.protocol import Cost, SourceError
from lc_platform.sources.stac import amplitude, geotiff, interpolation, sampling

_log = logging.getLogger(__name__)


def unsigned(uri: str) -> str:
    """Return a link as it may be told: its query may be a signature."""
    return uri.partition("?")[0] if "://" in uri else uri


@dataclass(frozen=True, slots=True)
class Layer:
    """One band of one item: where it is and what its digital numbers mean."""

    where: str
    """Acquisition, band and file, as an error names them."""
    acquisition: str
    """Its key."""
    band: str
    uri: str
    index: int
    """Of the band in the file, from 1."""
    nodata: tuple[float, ...]
    """The item's values of no data; the file's own counts too, and 0 where neither has one."""
    scale: float
    offset: float
    classification: bool
    """Never averaged."""
    backscatter: amplitude.DeclaredUnit | None = None
    """The unit that the item declares of a radar's floating-point numbers; they are read as
    amplitude."""
    radar: bool = False
    asset: str = ""
    """Its key in the item."""

    @property
    def link(self) -> str:
        """Of the file, without what may sign it."""
        return unsigned(self.uri)

    @property
    def otherwise(self) -> str:
        """What to do where the file cannot be mended, as the end of an error's sentence."""
        return f"or leave the acquisition out by imagery.exclude: [{self.acquisition}]"


@dataclass(frozen=True, slots=True)
class Read:
    """A layer on a grid."""

    values: NDArray[Any]
    """(y, x), digital numbers; the type's of ``catalogue.FILL_VALUES`` where it is no data."""
    valid: NDArray[np.bool_]
    """(y, x)"""
    cost: Cost
    content: Content | None = None
    """The fetched parts of a remote file; while this object lives, none is fetched again.
    """

    @property
    def tag(self) -> str:
        """What tells the remote file's state from others; empty where nothing does."""
        return tag(self.content.parts[0]) if self.content and self.content.parts else ""


def read_layer(
    layer: Layer,
    geobox: GeoBox,
    files: RemoteFiles,
    data_type: DataType = "uint16",
    resampling: Interpolation = "nearest",
) -> Read:
    """Return a layer's digital numbers on a grid.

    data_type   that they are returned in, which holds the file's
    resampling  to a grid that is finer than the file: its pixel at each grid pixel's centre, or
                what lies between the pixels around it

    To a grid of twice the file's size and more, the mean of its valid pixels. Of a classification
    always the pixel at the centre. No data outside the file.

    Raises SourceError naming acquisition, band and file where the file is missing, damaged or not
    of numbers that the type holds, TransientSourceError where the archive did not answer.
    """
    try:
        with raster_files.opened(layer.uri, files, layer.where, layer.otherwise) as (file, remote):
            numbers, valid = _on_grid(layer, file, remote, geobox, data_type, resampling)
    except (RasterioError, OSError, ValueError, IndexError) as error:
        raise _damaged(layer, error) from error
    wanted = np.dtype(data_type)
    if wanted.kind != "f" and not np.can_cast(numbers.dtype, wanted) and valid.any():
        data, limits = numbers[valid], np.iinfo(wanted)
        if data.min() < limits.min or data.max() > limits.max:
            holds = f"{numbers.dtype} from {data.min()} to {data.max()}"
            raise _unsupported(layer, holds, data_type)
    fill = FILL_VALUES[data_type]
    if not valid.all():
        numbers = np.where(valid, numbers, 0)
    values = numbers.astype(wanted, copy=False)
    if fill and not valid.all():
        values = np.where(valid, values, wanted.type(fill))
    if remote is None:
        return Read(values, valid, Cost())
    return Read(values, valid, remote.cost, remote.content)


def _on_grid(
    layer: Layer,
    file: rasterio.DatasetReader,
    remote: RemoteFile | None,
    geobox: GeoBox,
    data_type: DataType,
    resampling: Interpolation,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the digital numbers, of the file's type or rounded, and where they are data, both (y,
    x)."""
    dtype = np.dtype(file.dtypes[layer.index - 1])
    if dtype.kind not in ("f" if layer.backscatter else "uif" if data_type == "float32" else "ui"):
        raise _unexpected_type(layer, dtype, data_type)
    own = _own_grid(file, geobox.crs)
    if own is None:
        raise SourceError(f"{layer.where} does not tell its grid and coordinate system.")
    nodata = _no_data(layer, file, data_type)
    side = 1
    if not layer.classification:
        of_file = _resolution_in(own, geobox.crs)
        side = sampling.points_a_side(of_file, geobox.resolution, own.crs == geobox.crs)
    points = geobox.zoom_to((geobox.shape[0] * side, geobox.shape[1] * side))
    method: Interpolation = "nearest"
    if side == 1 and not layer.classification and not layer.backscatter and _coarser(own, geobox):
        method = resampling
    found, valid = _at_centres(layer, file, own, remote, points, nodata, method)
    boxes = (geobox.shape[0], side, geobox.shape[1], side)
    if layer.backscatter:
        numbers = np.ma.masked_invalid(np.ma.MaskedArray(found, ~valid))
        power = amplitude.power(numbers, _unit(layer, numbers))
        amplitudes = amplitude.digital_numbers(power.reshape(boxes).mean(axis=(1, 3)))
        return amplitudes.data, ~np.ma.getmaskarray(amplitudes)
    if side == 1:
        return found, valid
    means = np.ma.MaskedArray(found, ~valid).reshape(boxes).mean(axis=(1, 3))
    if dtype.kind == "f":
        return means.filled(np.nan), ~np.ma.getmaskarray(means)
    return np.floor(means.filled(0) + 0.5).astype(dtype), ~np.ma.getmaskarray(means)


def _at_centres(
    layer: Layer,
    file: rasterio.DatasetReader,
    own: GeoBox,
    remote: RemoteFile | None,
    grid: GeoBox,
    nodata: Sequence[float],
    method: Interpolation,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the file's pixel at each grid pixel's centre, or what lies between the pixels around
    it, and where the one at the centre is data, both (y, x)."""
    where = None if file.crs is None else sampling.pixel_indices(own, grid)
    blocks: list[geotiff.Block] = []
    if remote is not None and file.crs is not None:
        needed = where or sampling.pixels_around(file, grid)
        if method != "nearest":
            needed = interpolation.with_neighbours(needed, file.shape)
        blocks = raster_files.fetch(file, remote, [layer.index], needed.rows, needed.columns)
    if where is None:
        found, valid = sampling.warped(file, layer.index, grid, nodata)
        if method == "nearest" or file.crs is None:
            return found, valid
        between, known = sampling.warped(file, layer.index, grid, nodata, method)
        return np.where(known, between, found), valid

    def window(rows: slice, columns: slice) -> NDArray[Any]:
        if remote is not None:
            found = geotiff.window(file, layer.index, blocks, remote.cached, rows, columns)
            if found is not None:
                return found
        read: NDArray[Any] = file.read(layer.index, window=Window.from_slices(rows, columns))
        return read

    dtype = file.dtypes[layer.index - 1]
    found, valid = sampling.picked(where, file.shape, dtype, nodata, window)
    if method == "nearest":
        return found, valid
    return interpolation.between(own, grid, method, nodata, window, (found, valid)), valid


def _own_grid(file: rasterio.DatasetReader, crs: CRS | None) -> GeoBox | None:
    """Return the file's grid; of a file that has ground control points alone (Sentinel-1 GRD), one
    in ``crs`` of about its pixels: a polynomial through the points, without terrain correction.
    None where it tells neither."""
    if file.crs is None and file.gcps[0]:
        points, of_points = file.gcps
        transform, width, height = calculate_default_transform(
            of_points, str(crs), file.width, file.height, gcps=points
        )
        return GeoBox((height, width), transform, crs)
    own = rio_geobox(file)
    return own if own.crs is not None and isinstance(own, GeoBox) else None


def _coarser(own: GeoBox, geobox: GeoBox) -> bool:
    """Whether a file's pixels are larger than a grid's."""
    grid, file = geobox.resolution, _resolution_in(own, geobox.crs)
    return max(abs(file.x / grid.x), abs(file.y / grid.y)) > 1.02


@lru_cache
def _resolution_in(own: GeoBox, crs: CRS) -> Resolution:
    return own.to_crs(crs).resolution


def _no_data(layer: Layer, file: rasterio.DatasetReader, data_type: DataType) -> tuple[float, ...]:
    """Return the values of no data: all that the item and the file tell and the file's type can
    hold, or else 0, of signed numbers that are stored as such -9999, of floating-point ones NaN."""
    dtype, own = np.dtype(file.dtypes[layer.index - 1]), file.nodatavals[layer.index - 1]
    declared = [*layer.nodata, *(() if own is None else (own,))]
    if dtype.kind == "f":
        return tuple(dict.fromkeys(declared)) or (np.nan,)
    limits = np.iinfo(dtype)
    representable = [v for v in declared if float(v).is_integer() and limits.min <= v <= limits.max]
    signed = dtype.kind == "i" and data_type == "int16" and not layer.classification
    return tuple(dict.fromkeys(representable)) or (FILL_VALUES["int16"] if signed else 0,)


def _unit(layer: Layer, numbers: np.ma.MaskedArray[Any, Any]) -> amplitude.Unit:
    """In which unit a radar's floating-point numbers are. Raises SourceError where nobody can
    tell, and where they cannot be what the item says."""
    assert layer.backscatter is not None
    values = numbers.compressed()
    seen = amplitude.apparent_unit(values)
    if layer.backscatter == "unknown":
        if seen is not None:
            if seen == "decibel":
                _say_decibels(layer.band)
            return seen
        if not values.size:
            return "power"
        raise SourceError(
            f"{layer.where} holds {values.dtype} from {values.min():g} to {values.max():g} and its "
            f"item tells no unit: backscatter in decibels is negative nearly everywhere, in linear "
            f"power without_geometry. Have the item say unit: dB, or unit: power, in raster:bands."
        )
    if layer.backscatter == "power" and seen == "decibel":
        raise SourceError(
            f"{layer.where} holds {values.dtype} from {values.min():g} to {values.max():g}, which "
            f"are decibels, and its item tells a linear unit. Have the item say unit: dB in "
            f"raster:bands."
        )
    return layer.backscatter


@lru_cache
def _say_decibels(band: str) -> None:
    _log.warning(
        "band %s: its items tell no unit of the backscatter; as it is negative it is taken as "
        "decibels",
        band,
    )


def _unexpected_type(layer: Layer, dtype: np.dtype[Any], data_type: DataType) -> SourceError:
    if layer.radar:
        return SourceError(
            f"{layer.where} holds {dtype}, and its item tells "
            f"{'floating-point' if layer.backscatter else 'no floating-point'} numbers. Have the "
            f"item say data_type: {dtype}{' and the unit (dB, or power)' * (dtype.kind == 'f')} in "
            f"raster:bands, or leave the band out."
        )
    return _unsupported(layer, str(dtype), data_type)


def _unsupported(layer: Layer, holds: str, data_type: DataType) -> SourceError:
    limits = np.iinfo(data_type)
    return SourceError(
        f"{layer.where} holds {holds}; only whole numbers from {limits.min} to {limits.max} are "
        f"read as {data_type}. Give the archive's type (imagery.data_type: int16 or float32), "
        f"leave the band out, or use another collection."
    )


def _damaged(layer: Layer, error: BaseException) -> SourceError:
    where, causes = layer.where, "; ".join(dict.fromkeys(str(cause) for cause in _causes(error)))
    if "://" not in layer.uri and not Path(layer.uri).exists():
        return SourceError(
            f"{where} is listed in the catalog but is not there. Restore the file, take the "
            f"item out of the catalog, {layer.otherwise}."
        )
    return SourceError(
        f"{where} cannot be read; it is damaged, cut short or not what the catalog says "
        f"({causes}). Fetch the file again, {layer.otherwise}."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
