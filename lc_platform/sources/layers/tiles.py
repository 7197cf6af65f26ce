"""One raster file of a layer: what it says of itself, and its values by window."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.converters import rio_geobox
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from lc_platform.area.coordinates import CoordinatesError, usable
from lc_platform.config.input_files import is_there
from lc_platform.eo import embeddings
from lc_platform.sources import raster_files
from lc_platform.sources.layers.options import LayerOptions
from lc_platform.sources.network.remote_files import RemoteFile, RemoteFiles
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.stac.pixels import unsigned


@dataclass(frozen=True)
class RasterLink:
    """Where a raster is, and what is known of it without opening it."""

    uri: str
    where: str
    """Key and file, as messages begin."""
    bands: tuple[int, ...] = ()
    """Those that are read, from 1; those that the options name where there is none."""
    scale: float | None = None
    """The item's, where the raster is one of a STAC catalog."""
    offset: float | None = None
    nodata: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Tile:
    """A raster that can be read."""

    link: RasterLink
    options: LayerOptions
    files: RemoteFiles
    geobox: GeoBox
    types: tuple[str, ...]
    """Of all its bands."""
    bands: tuple[int, ...]
    """Those that are read, from 1."""
    shows_classes: bool
    """Whether it has a table of colours, as maps of classes have."""

    @property
    def dtype(self) -> str:
        """Of the bands that are read."""
        return ", ".join(dict.fromkeys(self.types[band - 1] for band in self.bands))

    def read(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return the values of a window, (band, y, x), NaN where missing.

        Raises SourceError naming the key and the file where it is damaged or another one than
        when it was looked at, TransientSourceError where its server did not answer.
        """
        with _opened(self.link, self.files) as (file, remote):
            if file.shape != tuple(self.geobox.shape) or tuple(file.dtypes) != self.types:
                raise SourceError(
                    f"{self.link.where} was replaced by another raster while it was read. Run it "
                    "again"
                )
            if remote is not None:
                every = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
                raster_files.fetch(file, remote, self.bands, *every)
            window = Window.from_slices(rows, columns)
            numbers = file.read(list(self.bands), window=window)
            missing = self._missing(file, numbers, window)
            scales, offsets = _calibration(self.options, self.link, file, self.bands)
        values: NDArray[np.float32] = numbers.astype(np.float32)
        values[missing] = np.nan
        if self.options.encoding == "alphaearth":
            return embeddings.alphaearth(values)
        if self.options.scale_path is not None:
            values *= self._scales_of_pixels(window)
        for band, scale, offset in zip(values, scales, offsets, strict=True):
            if scale != 1:
                band *= np.float32(scale)
            if offset:
                band += np.float32(offset)
        return values

    def _missing(
        self, file: rasterio.DatasetReader, numbers: NDArray[Any], window: Window
    ) -> NDArray[np.bool_]:
        options, dtype = self.options, numbers.dtype
        given = (options.nodata,) if options.nodata is not None else self.link.nodata
        if options.encoding == "alphaearth":
            given = (embeddings.ALPHAEARTH_NO_DATA,)
        missing = np.isnan(numbers) if dtype.kind == "f" else np.zeros(numbers.shape, np.bool_)
        for i, band in enumerate(self.bands):
            flags = file.mask_flag_enums[band - 1]
            own = file.nodatavals[band - 1]
            values = given if given or own is None else (own,)
            for value in values:
                missing[i] |= _equals(numbers[i], value)
            if not given and not {MaskFlags.nodata, MaskFlags.all_valid} & set(flags):
                missing[i] |= file.read_masks(band, window=window) == 0
        return missing

    def _scales_of_pixels(self, window: Window) -> NDArray[np.float32]:
        """Return (1 or band, y, x), of the raster of scales."""
        options = self.options
        link = scales_of(options)
        with _opened(link, self.files) as (file, _):
            if file.shape != tuple(self.geobox.shape) or not file.transform.almost_equals(
                self.geobox.affine, precision=1e-3 * abs(self.geobox.affine.a)
            ):
                raise SourceError(
                    f"{link.where} has other pixels than {self.link.where.partition(': ')[2]}, "
                    "whose scales it is to hold. Give the scales of this raster"
                )
            if file.count not in (1, len(self.types)):
                raise SourceError(
                    f"{link.where} has {file.count} bands, and scales are of one band for all, or "
                    f"of each of the {len(self.types)}. Give the scales of this raster"
                )
            bands = [1] if file.count == 1 else list(self.bands)
            found: NDArray[np.float32] = file.read(bands, window=window).astype(np.float32)
            for i, band in enumerate(bands):
                if (nodata := file.nodatavals[band - 1]) is not None:
                    found[i][_equals(found[i], nodata)] = np.nan
        return found


def scales_of(options: LayerOptions) -> RasterLink:
    """Return the raster that holds the scales of pixels."""
    assert options.scale_path is not None
    file = options.scale_path
    return RasterLink(file.located, f"{options.key}.scale_path: {file.written}")


def open_tile(link: RasterLink, options: LayerOptions, files: RemoteFiles) -> Tile:
    """Return a raster after a look at it.

    Raises SourceError naming the key and the file where it is missing, damaged, without a place on
    Earth, not of numbers, or lacks a band; TransientSourceError where its server did not answer.
    """
    where = link.where
    if not is_there(link.uri):
        of_year = "" if options.year is None else f" (for {options.year})"
        raise SourceError(f"{where} is not there{of_year}. Give the raster's file, or leave it out")
    with _opened(link, files) as (file, _):
        placed = not file.transform.is_identity
        try:
            usable(
                file.crs.to_wkt() if file.crs else None,
                tuple(file.bounds) if placed else None,
                where,
                "Assign the one it lies in, for example with gdal_edit.py -a_srs",
            )
        except CoordinatesError as error:
            raise SourceError(str(error)) from error
        if not placed:
            raise SourceError(
                f"{where} does not say where its pixels lie (it has no geotransform and no world "
                "file). Georeference it, for example with gdal_translate -a_ullr"
            )
        bands = link.bands or _bands(options, file, where)
        for band in bands:
            if np.dtype(file.dtypes[band - 1]).kind not in "iuf":
                raise SourceError(
                    f"{where} holds {file.dtypes[band - 1]} in band {band}, and features are real "
                    "numbers. Convert it, or leave the band out"
                )
        for name in ("scale", "offset"):
            if len(given := getattr(options, name)) not in (0, 1, len(bands)):
                raise SourceError(
                    f"{options.key}.{name}: there are {len(given)} for the {len(bands)} bands of "
                    f"{where.partition(': ')[2]}. Give one number, or one a band"
                )
        if options.terrain and len(bands) > 1:
            raise SourceError(
                f"{where} has {len(bands)} bands, and {options.key}.terrain is of one, the "
                "elevation. Name it in bands"
            )
        geobox = rio_geobox(file)
        assert isinstance(geobox, GeoBox)
        colored = ColorInterp.palette in file.colorinterp
        return Tile(link, options, files, geobox, tuple(file.dtypes), bands, colored)


@contextmanager
def _opened(
    link: RasterLink, files: RemoteFiles
) -> Iterator[tuple[rasterio.DatasetReader, RemoteFile | None]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with raster_files.opened(
                link.uri, files, link.where, "or leave the layer out", alone=False
            ) as found:
                yield found
    except RasterioError as error:
        raise SourceError(
            f"{link.where} cannot be read as a raster; it is damaged, cut short or none that GDAL "
            f"reads ({str(error).replace(link.uri, unsigned(link.uri))}). Get the file again"
        ) from error


def _bands(options: LayerOptions, file: rasterio.DatasetReader, where: str) -> tuple[int, ...]:
    """Return the bands that the options name, by their numbers."""
    if not options.bands:
        return tuple(range(1, file.count + 1))
    found = []
    for band in options.bands:
        number = _number_of(band, file.descriptions)
        if number is None or number > file.count:
            named = [name for name in file.descriptions if name]
            has = f", named {', '.join(named[:10])}" if named and isinstance(band, str) else ""
            raise SourceError(
                f"{where} has no band {band} (it has {file.count}{has}). Correct "
                f"{options.key}.bands, or get the raster that has it"
            )
        found.append(number)
    return tuple(found)


def _number_of(band: int | str, names: Sequence[str | None]) -> int | None:
    if isinstance(band, int):
        return band
    return names.index(band) + 1 if band in names else None


def _calibration(
    options: LayerOptions,
    link: RasterLink,
    file: rasterio.DatasetReader,
    bands: Sequence[int],
) -> tuple[list[float], list[float]]:
    """Return the scale and the offset of each band: those of the options, of the item, of the
    file."""
    found = []
    for given, of_item, own in (
        (options.scale, link.scale, file.scales),
        (options.offset, link.offset, file.offsets),
    ):
        told = given or (() if of_item is None else (of_item,))
        if told:
            found.append([float(told[0])] * len(bands) if len(told) == 1 else list(told))
        else:
            found.append([float(own[band - 1]) for band in bands])
    return found[0], found[1]


def _equals(numbers: NDArray[Any], value: float) -> NDArray[np.bool_]:
    """Return where numbers are a value, as their type holds it."""
    dtype = numbers.dtype
    if dtype.kind == "f":
        equal: NDArray[np.bool_] = numbers == dtype.type(value)
        return equal
    limits = np.iinfo(dtype)
    if not float(value).is_integer() or not limits.min <= value <= limits.max:
        return np.zeros(numbers.shape, np.bool_)
    return np.asarray(numbers == dtype.type(value))


def name_of(uri: str) -> str:
    """Return a raster as messages name it: its file's name, without what may sign a URL."""
    plain = unsigned(uri)
    return plain if "://" in plain else Path(plain).name
