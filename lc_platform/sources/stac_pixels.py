"""Pixels of one band of a STAC item on a grid.

They are read through rasterio's WarpedVRT and not ``odc.stac.load``: odc pastes the file's pixels
where a grid is only nearly the archive's (on 9.995 m pixels it drifts off by a pixel in 2,000),
and across coordinate systems both it and GDAL's own mean depend on the window that is read.
So every pixel is taken at its centre, exactly, and a coarser grid averages such points.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS, Resolution
from odc.geo.converters import rio_geobox
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from lc_platform.sources.protocol import SourceError, TransientSourceError

HTTP_SECONDS = 60
"""How long an archive may take to answer."""

_MEAN_FROM_RATIO = 1.99  # twice as coarse, of pixels that are not quite 10 m too
# In pixels. A centre on the border of two file pixels then falls on one side in every window.
_NUDGE = 1e-6
_EXACT = 1e-6
_TRANSIENT = re.compile(
    r"HTTP response code: (0|408|429|5\d\d)|CURL|[Tt]imed? ?out|[Cc]onnection|resolve host"
)
# GDAL remembers, for the whole process, that a remote file could not be read, and would answer a
# retry from that memory. So it is told to remember nothing of those that failed once.
_FAILED: set[str] = set()


@dataclass(frozen=True, slots=True)
class Layer:
    """One band of one item: where it is and what its digital numbers mean."""

    where: str
    """Acquisition, band and file, as an error names them."""
    uri: str
    index: int
    """Of the band in the file, from 1."""
    nodata: float | None
    """None where the item does not tell it: then it is the file's own, or else 0."""
    scale: float
    offset: float
    classification: bool
    """Never averaged."""


def read_layer(layer: Layer, geobox: GeoBox) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Digital numbers and where they are data, both (y, x).

    The file's pixel at each grid pixel's centre, or, from twice its size on, the mean of its valid
    pixels (of a classification never). No data outside the file.

    Raises SourceError naming acquisition, band and file where the file is missing, damaged or not
    of whole numbers from 0 to 65535, TransientSourceError where the archive did not answer.
    """
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_TIMEOUT": str(HTTP_SECONDS)}
    if layer.uri in _FAILED:
        options["CPL_VSIL_CURL_NON_CACHED"] = f"/vsicurl/{layer.uri}"
    try:
        # Not shared: one file may be read by several threads at a time.
        with rasterio.Env(**options), rasterio.open(layer.uri, sharing=False) as file:
            dtype = np.dtype(file.dtypes[layer.index - 1])
            if dtype.kind not in "ui":
                raise _not_whole_numbers(layer, str(dtype))
            own = rio_geobox(file)
            if own.crs is None or not isinstance(own, GeoBox):
                raise SourceError(f"{layer.where} does not tell its grid and coordinate system.")
            nodata = layer.nodata if layer.nodata is not None else file.nodatavals[layer.index - 1]
            side = 1 if layer.classification else _points_a_side(own, geobox)
            points = geobox.zoom_to((geobox.shape[0] * side, geobox.shape[1] * side))
            numbers = _at_centres(file, layer.index, points, nodata or 0)
    except (RasterioError, OSError, ValueError, IndexError) as error:
        _FAILED.add(layer.uri)
        raise _read_failure(layer, error) from error
    if side > 1:
        boxes = numbers.reshape(geobox.shape[0], side, geobox.shape[1], side)
        numbers = np.floor(boxes.mean(axis=(1, 3)) + 0.5)
    data = numbers.compressed()
    if data.size and (data.min() < 0 or data.max() > 65535):
        raise _not_whole_numbers(layer, f"{dtype} from {data.min()} to {data.max()}")
    return numbers.filled(0).astype(np.uint16), ~np.ma.getmaskarray(numbers)


def _points_a_side(own: GeoBox, geobox: GeoBox) -> int:
    """How many points, spread evenly, a grid pixel's mean is taken of in each direction.

    1 where the grid is not twice as coarse as the file. Otherwise one a file pixel where a whole
    number of these fits the grid pixel, more where not. The same for every window of a grid.
    """
    grid, file = geobox.resolution, _resolution_in(own, geobox.crs)
    ratio = min(abs(grid.x / file.x), abs(grid.y / file.y))
    if ratio < _MEAN_FROM_RATIO:
        return 1
    times = (1, 2, 3) if own.crs == geobox.crs else ()
    return round(ratio * next((n for n in times if abs(n * ratio - round(n * ratio)) < 0.02), 4))


@lru_cache
def _resolution_in(own: GeoBox, crs: CRS) -> Resolution:
    return own.to_crs(crs).resolution


def _at_centres(
    file: rasterio.DatasetReader, index: int, geobox: GeoBox, nodata: float
) -> np.ma.MaskedArray[Any, Any]:
    """The file's pixel at each grid pixel's centre, masked where it is no data."""
    height, width = geobox.shape
    with WarpedVRT(
        file,
        crs=str(geobox.crs),
        transform=geobox.transform * Affine.translation(_NUDGE, _NUDGE),
        height=height,
        width=width,
        src_nodata=nodata,
        nodata=nodata,
        tolerance=_EXACT,
    ) as on_grid:
        return np.ma.masked_equal(on_grid.read(index), nodata)


def _not_whole_numbers(layer: Layer, holds: str) -> SourceError:
    return SourceError(
        f"{layer.where} holds {holds}; only whole numbers from 0 to 65535 are supported. "
        f"Leave the band out, or use a collection of digital numbers."
    )


def _read_failure(layer: Layer, error: BaseException) -> SourceError:
    where, told = layer.where, "; ".join(dict.fromkeys(str(cause) for cause in _causes(error)))
    if "://" in layer.uri:
        if _TRANSIENT.search(told):
            return TransientSourceError(f"{where} did not answer ({told}). Try again later.")
        return SourceError(f"{where} cannot be read ({told}).")
    if not Path(layer.uri).exists():
        return SourceError(
            f"{where} is listed in the catalog but is not there. Restore the file, or take the "
            f"item out of the catalog."
        )
    return SourceError(
        f"{where} cannot be read; it is damaged, cut short or not what the catalog says ({told}). "
        f"Fetch the file again."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
