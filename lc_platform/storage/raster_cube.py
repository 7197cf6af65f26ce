"""Cubes without dims as Cloud-Optimized GeoTIFFs, with the classes' colours and names."""

from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree
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
from lc_platform.storage.file_sets import ending
from lc_platform.storage.raster_opener import ByteRanges, Opening
from lc_platform.storage.staging import PART, Staging
from lc_platform.storage.store import Store

# GDAL's own default, a twentieth of the memory in every process, is too much for many workers.
os.environ.setdefault("GDAL_CACHEMAX", "128")

# A file of the store that does not tell its place is damaged, and refused by name.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning, module="rasterio")

_ATTRIBUTES = "LC_PLATFORM"
_BESIDE = "LC_PLATFORM_BESIDE"
"""The layers that lie in files beside the main one: name -> [data type, no data]."""
_BLOCK = 256
_COG_BLOCK = 512
_WIDE = 8192


def write(
    staging: Staging, cube: LazyCube, classes: Mapping[int, tuple[str, str]] | None = None
) -> int:
    """Write a cube while it is computed, each layer a band; returns the bytes stored.

    A GeoTIFF has one data type: a layer of another type than the first lies in a file of its own
    beside, named like it.

    classes  id -> (name, colour) for the band ``class``
    """
    assert not any(spec.dims for spec in cube.layers.values())
    dtype = next(iter(cube.layers.values())).dtype
    names = [name for name, spec in cube.layers.items() if spec.dtype == dtype]
    beside = {n: (s.dtype, s.fill) for n, s in cube.layers.items() if s.dtype != dtype}
    with ExitStack() as staged:
        files = {name: staged.enter_context(staging.file(_file(name))) for name in (MAIN, *beside)}
        with ExitStack() as drafts:

            def draft(name: str, bands: list[str], dtype: str, nodata: float | None) -> Draft:
                made = tiled(files[name], cube.geobox, bands, dtype, nodata)
                return drafts.enter_context(made)

            main = draft(MAIN, names, dtype, _nodata([cube.layers[name] for name in names]))
            others = {name: draft(name, [name], *spec) for name, spec in beside.items()}
            for block in cube:
                if block.layer in others:
                    others[block.layer].write(block.values, block.window)
                else:
                    main.write(block.values, block.window, names.index(block.layer) + 1)
            main.describe(cube.attributes)
            main.tag(**{_BESIDE: json.dumps(beside)})
        size = sum(path.stat().st_size for path in files.values())
    if classes and "class" in names:
        with staging.file(f"{PART}.tif.aux.xml") as path:
            path.write_text(palette(classes, names.index("class") + 1), encoding="utf-8")
    return size


def _file(layer: str) -> str:
    """Return the name of the file that a layer lies in, while it is written."""
    return f"{PART}.{layer}.tif" if layer else f"{PART}.tif"


def _nodata(layers: Sequence[Layer]) -> float | None:
    fills = {spec.fill for spec in layers if spec.fill is not None}
    floating = any(f != f for f in fills)
    return layers[0].fill if floating or (len(fills) == 1 and len(layers) == 1) else None


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

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Keep the attributes of a cube, by which `RasterCube` reads it."""
        self.tag(**{_ATTRIBUTES: json.dumps(attributes)})


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
    file is damaged, UnavailableError where it was replaced meanwhile, or where the store cannot be
    reached.
    """
    if store.local:
        physical = os.path.realpath(physical)  # Else another version may stand there at an error.
    elif ranges is None:
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
        problem = f"{PurePosixPath(physical).name} is damaged ({_first(why)})"
        raise store.fault(store.path(key), why) or store.unreadable(key, physical, problem) from why


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
    """GDAL's side file that gives a band of classes its colours and names: as a palette, as names
    of categories, and as a raster attribute table."""
    return palettes({band: classes})


def palettes(legends: Mapping[int, Mapping[int, tuple[str, str]]]) -> str:
    """GDAL's side file that gives bands the colours and names of their values, by band."""
    described = "".join(_palette(legend, band) for band, legend in legends.items())
    return f"<PAMDataset>\n{described}</PAMDataset>\n"


def _palette(classes: Mapping[int, tuple[str, str]], band: int) -> str:
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
        f"  <PAMRasterBand band={quoteattr(str(band))}>\n"
        "    <ColorInterp>Palette</ColorInterp>\n"
        f"    <ColorTable>\n{entries}\n    </ColorTable>\n"
        f"    <CategoryNames>\n{categories}\n    </CategoryNames>\n"
        f"{_attribute_table(classes)}"
        "  </PAMRasterBand>\n"
    )


_COLUMNS = (
    ("Value", "Integer", 0, "MinMax", 5),
    ("Class", "String", 2, "Name", 2),
    ("Red", "Integer", 0, "Red", 6),
    ("Green", "Integer", 0, "Green", 7),
    ("Blue", "Integer", 0, "Blue", 8),
    ("Alpha", "Integer", 0, "Alpha", 9),
)
"""Of a raster attribute table: name, type and usage with GDAL's numbers for them."""


def _attribute_table(classes: Mapping[int, tuple[str, str]]) -> str:
    fields = "\n".join(
        f'      <FieldDefn index="{index}"><Name>{name}</Name>'
        f'<Type typeAsString="{kind}">{kind_number}</Type>'
        f'<Usage usageAsString="{usage}">{usage_number}</Usage></FieldDefn>'
        for index, (name, kind, kind_number, usage, usage_number) in enumerate(_COLUMNS)
    )
    rows = [(0, "no data", 0, 0, 0, 0)]
    rows += [(value, name, *rgba(color)) for value, (name, color) in sorted(classes.items())]
    described = "\n".join(
        f'      <Row index="{index}">{"".join(f"<F>{escape(str(one))}</F>" for one in row)}</Row>'
        for index, row in enumerate(rows)
    )
    return (
        '    <GDALRasterAttributeTable tableType="thematic">\n'
        f"{fields}\n{described}\n    </GDALRasterAttributeTable>\n"
    )


def legends(side_file: bytes) -> Mapping[int, Mapping[int, tuple[str, str]]]:
    """What `palettes` wrote: the names and colours of values, by band. Empty where it is no such
    file."""
    try:
        bands = list(ElementTree.fromstring(side_file).iter("PAMRasterBand"))
    except ElementTree.ParseError:
        return {}
    found = {}
    for band in bands:
        names = [one.text or "" for one in band.iter("Category")]
        colors = [
            "#" + "".join(f"{int(entry.get(channel, 0)):02x}" for channel in ("c1", "c2", "c3"))
            for entry in band.iter("Entry")
        ]
        pairs = enumerate(zip(names, colors, strict=False))
        known = {value: pair for value, pair in pairs if value and pair[0]}
        if known:
            found[int(band.get("band", 0))] = known
    return found


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
        self._ranges = self._ranges_of(physical)
        self._beside: dict[str, tuple[str, ByteRanges | None]] = {}
        with self.opened() as raster:
            try:
                beside = json.loads(raster.tags().get(_BESIDE, "{}"))
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
            } | {name: Layer((), dtype, fill=fill) for name, (dtype, fill) in beside.items()}
        for name in beside:
            file = physical.removesuffix(".tif") + ending(_file(name))
            self._beside[name] = file, self._ranges_of(file)

    @property
    def beside(self) -> Sequence[str]:
        """The layers that lie in files of their own, beside the main one."""
        return list(self._beside)

    def _ranges_of(self, physical: str) -> ByteRanges | None:
        return None if self._store.local else ByteRanges(self._store.fs, physical)

    @contextmanager
    def opened(self, layer: str = MAIN) -> Iterator[Any]:
        """The raster, as rasterio opens it: the version that was there when this was made.

        layer  that lies in a file of its own, where not the main file is meant

        Raises StorageError naming the file where it is damaged, or was replaced meanwhile.
        """
        physical, ranges = self._beside.get(layer, (self._physical, self._ranges))
        opening = None if ranges is None else Opening(ranges)
        name = physical if opening is None else opening.name
        try:
            with rasterio.open(name, opener=opening) as raster:
                yield raster
            if opening is not None and opening.failure is not None:
                raise RasterioError(str(opening.failure))
        except (RasterioError, CPLE_BaseError) as error:
            why = (opening and opening.failure) or error
            which = f"its file of {layer} " if layer in self._beside else ""
            problem = f"{which}is no GeoTIFF, or is damaged ({_first(why)})"
            raise self._store.fault(self.path, why) or self._store.unreadable(
                self._key, self._physical, problem
            ) from why

    def check(self) -> set[str | None]:
        """Read all of it; returns the writings that its files came by, None where the store does
        not tell: several where they do not belong together.

        Raises StorageError where it is damaged.
        """
        for layer in (MAIN, *self._beside):
            with self.opened(layer) as raster:
                _read_all(raster)
        with self._store.reaching(self.path):
            ranges = [self._ranges, *(ranges for _, ranges in self._beside.values())]
            return {None if one is None else one.writing() for one in ranges}

    def read(self, layer: str, window: Window | None = None, **_: Any) -> NDArray[Any]:
        """A layer's values, (y, x), in a window. Raises StorageError where it is damaged."""
        values: NDArray[Any] = self.read_layers([layer], window)[0]
        return values

    def read_every(self, window: Window | None = None) -> dict[str, NDArray[Any]]:
        """The values of all layers, (y, x), in a window, each file opened once; errors as of
        ``read``."""
        main = [name for name in self.layers if name not in self._beside]
        found = dict(zip(main, self.read_layers(main, window), strict=True))
        return found | {name: self.read(name, window) for name in self._beside}

    def read_layers(self, layers: Sequence[str], window: Window | None = None) -> NDArray[Any]:
        """Values of layers that lie in one file, (layer, y, x), in a window; errors as of
        ``read``."""
        place = None if window is None else RasterWindow.from_slices(*window)
        alone = layers[0] in self._beside
        bands = [1] if alone else [self._names.index(layer) + 1 for layer in layers]
        with self.opened(layers[0]) as raster:
            values: NDArray[Any] = raster.read(bands, window=place)
        return values
