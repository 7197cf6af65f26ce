"""Cubes without dims as Cloud-Optimized GeoTIFFs, with the classes' colours and names."""

from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as RasterWindow

from lc_platform.cube import MAIN, Layer, LazyCube, Window
from lc_platform.runtime.threads import available
from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError
from lc_platform.storage.raster_opener import ByteRanges, Opening
from lc_platform.storage.staging import PART, Staging
from lc_platform.storage.store import Store

# GDAL's own default, a twentieth of the memory in every process, is too much for many workers.
os.environ.setdefault("GDAL_CACHEMAX", "128")

# A file of the store that does not tell its place is damaged, and refused by name.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning, module="rasterio")

_ATTRIBUTES = "LC_PLATFORM"
_BLOCK = 256
_COG_BLOCK = 512
_WIDE = 8192


def write(
    staging: Staging, cube: LazyCube, classes: Mapping[int, tuple[str, str]] | None = None
) -> int:
    """Write a cube while it is computed, each layer a band; returns the bytes stored.

    classes  id -> (name, colour) for the band ``class``
    """
    dtypes = {spec.dtype for spec in cube.layers.values()}
    assert len(dtypes) == 1
    assert not any(spec.dims for spec in cube.layers.values())
    names = list(cube.layers)
    with staging.file(f"{PART}.tif") as path:
        with tiled(path, cube.geobox, names, dtypes.pop(), _nodata(cube)) as raster:
            for block in cube:
                raster.write(block.values, block.window, names.index(block.layer) + 1)
            raster.tag(**{_ATTRIBUTES: json.dumps(cube.attributes)})
        size = path.stat().st_size
    if classes and "class" in names:
        with staging.file(f"{PART}.tif.aux.xml") as path:
            path.write_text(palette(classes, names.index("class") + 1), encoding="utf-8")
    return size


def _nodata(cube: LazyCube) -> float | None:
    fills = {spec.fill for spec in cube.layers.values() if spec.fill is not None}
    first = next(iter(cube.layers.values())).fill
    floating = any(f != f for f in fills)
    return first if floating or (len(fills) == 1 and len(cube.layers) == 1) else None


class Draft:
    """A raster while it is written, window by window in any order."""

    def __init__(self, raster: Any) -> None:
        self._raster = raster
        self.dtype: str = raster.dtypes[0]

    def write(self, values: NDArray[Any], window: Window, band: int = 1) -> None:
        """Put values, (y, x), in a window. Raises OSError where there is no room."""
        with _written(self._raster.name):
            self._raster.write(values, band, window=RasterWindow.from_slices(*window))

    def read(self, window: Window, band: int = 1) -> NDArray[Any]:
        """What was written in a window, (y, x)."""
        with _written(self._raster.name):
            values: NDArray[Any] = self._raster.read(band, window=RasterWindow.from_slices(*window))
        return values

    def tag(self, **tags: Any) -> None:
        self._raster.update_tags(**tags)


@contextmanager
def tiled(
    path: Path,
    geobox: GeoBox,
    names: list[str],
    dtype: str,
    nodata: float | None = None,
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None,
    overviews: str = "nearest",
) -> Iterator[Draft]:
    """A raster to write windows of, in any order; it becomes a COG at ``path`` at the end.

    Until then what was written lies beside it, not compressed. Raises OSError where it cannot be
    written. GDAL keeps quiet about some writes that fail, so what is in the COG is read again and
    compared.
    """
    draft = path.with_name(f"{path.name}.draft.tif")
    rows, columns = geobox.shape
    assert geobox.crs is not None
    try:
        with _written(path):
            raster = rasterio.open(
                draft,
                "w+",
                driver="GTiff",
                height=rows,
                width=columns,
                count=len(names),
                dtype=dtype,
                crs=geobox.crs.to_wkt(),
                transform=geobox.affine,
                nodata=nodata,
                tiled=True,
                blockxsize=_BLOCK,
                blockysize=_BLOCK,
                interleave="band",
                bigtiff="if_safer",
                sparse_ok=True,
            )
        try:
            for band, name in enumerate(names, 1):
                raster.set_band_description(band, name)
            if colormap:
                raster.write_colormap(1, dict(colormap))
            yield Draft(raster)
            # Before it is closed: a write that fails while closing leaves a hole in the draft.
            expected = _checksums(raster)
        except BaseException:
            with suppress(RasterioError, CPLE_BaseError, SystemError):
                raster.close()
            raise
        with _written(path):
            raster.close()
            copy_raster(
                draft,
                path,
                driver="COG",
                compress="deflate",
                predictor="yes",
                blocksize=_COG_BLOCK,
                overview_resampling=overviews,
                bigtiff="if_safer",
                num_threads=available(0),
            )
            _verify(path, expected)
    finally:
        draft.unlink(missing_ok=True)


def check_file(store: Store, key: str, physical: str) -> str | None:
    """Read all of a GeoTIFF that is a part of what a key names; returns the writing that it came
    by, where the store tells.

    Raises DamagedArtefactError where it is damaged, UnavailableError where the store cannot be
    reached.
    """
    ranges = None if store.local else ByteRanges(store.fs, physical)
    with opened_file(store, key, physical, ranges) as raster:
        _read_all(raster)
    return None if ranges is None else ranges.writing()


@contextmanager
def opened_file(
    store: Store, key: str, physical: str, ranges: ByteRanges | None = None
) -> Iterator[Any]:
    """A GeoTIFF that is a part of what a key names, as rasterio opens it.

    ranges  of its object, where it lies in an object store and they are open already

    What was read is to be used when the block has ended well. Raises DamagedArtefactError where the
    file is damaged, UnavailableError where the store cannot be reached.
    """
    if ranges is None and not store.local:
        ranges = ByteRanges(store.fs, physical)
    opening = None if ranges is None else Opening(ranges)
    try:
        with rasterio.open(opening.name if opening else physical, opener=opening) as raster:
            if raster.crs is None:
                raise RasterioError("it has no coordinate system")
            yield raster
        if opening is not None and opening.failure is not None:
            raise RasterioError(str(opening.failure))
    except (RasterioError, CPLE_BaseError) as error:
        why = (opening and opening.failure) or error
        name = PurePosixPath(physical).name
        raise store.fault(store.path(key), why) or DamagedArtefactError(
            f"{store.path(key)}: {name} is damaged ({_first(why)}). Materialize it again", key
        ) from why


def _first(error: BaseException) -> BaseException:
    """What an error began with: rasterio's own words may point to it alone."""
    while (before := error.__cause__) is not None:
        error = before
    return error


def _read_all(raster: Any) -> None:
    for window in _parts(raster):
        raster.read(window=window)


def _checksums(raster: Any) -> list[int]:
    """Of each band; GDAL's own is several times slower to compute than the band is to read."""
    sums = []
    for band in raster.indexes:
        checksum = 0
        for window in _parts(raster):
            part = raster.read(band, window=window)
            checksum = zlib.crc32(np.ascontiguousarray(part).data, checksum)
        sums.append(checksum)
    return sums


def _parts(raster: Any) -> Iterator[RasterWindow]:
    """Windows of a raster that are blocks high and hold little, however wide it is."""
    for row in range(0, raster.height, _COG_BLOCK):
        for column in range(0, raster.width, _WIDE):
            width = min(_WIDE, raster.width - column)
            yield RasterWindow(column, row, width, min(_COG_BLOCK, raster.height - row))


def _verify(path: Path, expected: list[int]) -> None:
    with rasterio.open(path) as raster:
        levels = [None, *range(len(raster.overviews(1)))]

    def read(level: int | None) -> list[int]:
        with rasterio.open(path, overview_level=level) as raster:
            return _checksums(raster)

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(read, levels))
    if found[0] != expected:
        raise OSError(errno.EIO, "what was written does not read back", str(path))


@contextmanager
def _written(path: str | Path) -> Iterator[None]:
    """GDAL's errors as the system's, which it keeps in a text, or does not tell at all."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, SystemError) as error:
        path = Path(path)
        if shutil.disk_usage(path.parent).free < 2**20:
            raise OSError(errno.ENOSPC, "No space left on device", str(path)) from error
        raise OSError(errno.EIO, str(error), str(path)) from error


def rgba(color: str) -> tuple[int, int, int, int]:
    """``#rrggbb`` as four numbers."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue, 255


def palette(classes: Mapping[int, tuple[str, str]], band: int) -> str:
    """GDAL's side file that gives a band of classes its colours and names."""
    last = max(classes)
    names = ["no data"] + [classes[i][0] if i in classes else "" for i in range(1, last + 1)]
    colors = [(0, 0, 0, 0)] + [
        rgba(classes[i][1]) if i in classes else (0, 0, 0, 0) for i in range(1, last + 1)
    ]
    entries = "\n".join(
        f'      <Entry c1="{r}" c2="{g}" c3="{b}" c4="{a}"/>' for r, g, b, a in colors
    )
    categories = "\n".join(f"      <Category>{escape(n)}</Category>" for n in names)
    return (
        "<PAMDataset>\n"
        f"  <PAMRasterBand band={quoteattr(str(band))}>\n"
        "    <ColorInterp>Palette</ColorInterp>\n"
        f"    <ColorTable>\n{entries}\n    </ColorTable>\n"
        f"    <CategoryNames>\n{categories}\n    </CategoryNames>\n"
        "  </PAMRasterBand>\n"
        "</PAMDataset>\n"
    )


class RasterCube:
    """A stored COG, read by window; holds no pixels."""

    def __init__(self, store: Store, key: str) -> None:
        self.path = store.path(key)
        self._store = store
        self._key = key
        try:
            if store.local and not store.exists(key):
                raise FileNotFoundError(key)
            store.current(key, self._describe)
        except FileNotFoundError as error:
            raise MissingArtefactError(
                f"{self.path}: is not there. Materialize it first"
            ) from error
        self.coordinates: Mapping[str, NDArray[Any]] = {}

    def _describe(self, physical: str) -> None:
        self._physical = physical
        self._ranges = None if self._store.local else ByteRanges(self._store.fs, physical)
        with self.opened() as raster:
            try:
                self.attributes: Mapping[str, Any] = json.loads(raster.tags()[_ATTRIBUTES])
                self.grids: Mapping[str, GeoBox] = {
                    MAIN: GeoBox(raster.shape, raster.transform, raster.crs.to_wkt())
                }
            except (KeyError, ValueError, AttributeError) as error:
                raise DamagedArtefactError(
                    f"{self.path}: is no raster of this platform, or is damaged. Materialize "
                    "it again",
                    self._key,
                ) from error
            self._names = list(raster.descriptions)
            self.layers: Mapping[str, Layer] = {
                name: Layer((), dtype, fill=raster.nodata)
                for name, dtype in zip(raster.descriptions, raster.dtypes, strict=True)
            }

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The raster, as rasterio opens it: the version that was there when this was made.

        Raises StorageError naming the file where it is damaged, or was replaced meanwhile.
        """
        opening = None if self._ranges is None else Opening(self._ranges)
        name = self._physical if opening is None else opening.name
        try:
            with rasterio.open(name, opener=opening) as raster:
                yield raster
            if opening is not None and opening.failure is not None:
                raise RasterioError(str(opening.failure))
        except (RasterioError, CPLE_BaseError) as error:
            why = (opening and opening.failure) or error
            problem = f"is no GeoTIFF, or is damaged ({_first(why)})"
            raise self._store.fault(self.path, why) or self._store.unreadable(
                self._key, self._physical, problem
            ) from why

    def check(self) -> str | None:
        """Read all of it; returns the writing that it came by, where the store tells.

        Raises StorageError where it is damaged.
        """
        with self.opened() as raster:
            _read_all(raster)
        with self._store.reaching(self.path):
            return None if self._ranges is None else self._ranges.writing()

    def read(self, layer: str, window: Window | None = None, **_: Any) -> NDArray[Any]:
        """A layer's values, (y, x), in a window. Raises StorageError where it is damaged."""
        band = self._names.index(layer) + 1
        place = None if window is None else RasterWindow.from_slices(*window)
        with self.opened() as raster:
            values: NDArray[Any] = raster.read(band, window=place)
        return values
