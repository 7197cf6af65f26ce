"""Cubes without dims as Cloud-Optimized GeoTIFFs, with the classes' colours and names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioIOError
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as RasterWindow

from lc_platform.eo.cube import MAIN, Computed, Layer, Window
from lc_platform.storage.store import MissingArtefactError, Staging, StorageError, Store

PART = "part"
_ATTRIBUTES = "LC_PLATFORM"
_BLOCK = 256


def write(
    staging: Staging, cube: Computed, classes: Mapping[int, tuple[str, str]] | None = None
) -> int:
    """Write a cube while it is computed, each layer a band; returns the bytes stored.

    classes  id -> (name, colour) for the band ``class``
    """
    dtypes = {spec.dtype for spec in cube.layers.values()}
    assert len(dtypes) == 1 and all(not spec.dims for spec in cube.layers.values())
    names = list(cube.layers)
    with staging.file(f"{PART}.tif") as path:
        with tiled(path, cube.geobox, names, dtypes.pop(), _nodata(cube)) as raster:
            for block in cube:
                rows, columns = block.window
                raster.write(
                    block.values,
                    names.index(block.layer) + 1,
                    window=RasterWindow.from_slices(rows, columns),
                )
            raster.update_tags(**{_ATTRIBUTES: json.dumps(cube.attributes)})
        size = path.stat().st_size
    if classes and "class" in names:
        with staging.file(f"{PART}.tif.aux.xml") as path:
            path.write_text(palette(classes, names.index("class") + 1), encoding="utf-8")
    return size


def _nodata(cube: Computed) -> float | None:
    fills = {spec.fill for spec in cube.layers.values() if spec.fill is not None}
    first = next(iter(cube.layers.values())).fill
    floating = any(f != f for f in fills)
    return first if floating or len(fills) == 1 and len(cube.layers) == 1 else None


@contextmanager
def tiled(
    path: Path,
    geobox: GeoBox,
    names: list[str],
    dtype: str,
    nodata: float | None = None,
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None,
    overviews: str = "nearest",
) -> Any:
    """A raster to write windows of, in any order; it becomes a COG at ``path`` at the end."""
    draft = path.with_name(f"{path.name}.draft.tif")
    rows, columns = geobox.shape
    try:
        with rasterio.open(
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
            compress="zstd",
            zstd_level=1,
            interleave="band",
            bigtiff="if_safer",
            sparse_ok=True,
        ) as raster:
            for band, name in enumerate(names, 1):
                raster.set_band_description(band, name)
            if colormap:
                raster.write_colormap(1, dict(colormap))
            yield raster
        copy_raster(
            draft,
            path,
            driver="COG",
            compress="deflate",
            predictor="yes",
            blocksize=512,
            overview_resampling=overviews,
            bigtiff="if_safer",
            num_threads="all_cpus",
        )
    except RasterioIOError as error:
        raise _as_os_error(error, path) from error
    finally:
        draft.unlink(missing_ok=True)


def _as_os_error(error: Exception, path: Path) -> Exception:
    """GDAL keeps the system's reason in a text; the store tells it by number."""
    import errno
    import shutil

    if shutil.disk_usage(path.parent).free < 2**20 or "No space left" in str(error):
        return OSError(errno.ENOSPC, "No space left on device", str(path))
    return error


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
        if not store.exists(key):
            raise MissingArtefactError(f"{store.path(key)}: is not there. Materialize it first")
        self.path = store.path(key)
        self._store, self._key = store, key
        with self.opened() as raster:
            self.grids: Mapping[str, GeoBox] = {
                MAIN: GeoBox(raster.shape, raster.transform, raster.crs.to_wkt())
            }
            self._names = list(raster.descriptions)
            self.layers: Mapping[str, Layer] = {
                name: Layer((), dtype, fill=raster.nodata)
                for name, dtype in zip(raster.descriptions, raster.dtypes, strict=True)
            }
            self.attributes: Mapping[str, Any] = json.loads(raster.tags().get(_ATTRIBUTES, "{}"))
        self.coordinates: Mapping[str, NDArray[Any]] = {}

    @cached_property
    def _target(self) -> Any:
        if self._store.local:
            return self._store.physical(self._key)
        return self._key

    @contextmanager
    def opened(self) -> Any:
        """The raster, as rasterio opens it.

        Raises StorageError naming the file where it is damaged.
        """
        store = self._store
        try:
            if store.local:
                with rasterio.open(self._target) as raster:
                    yield raster
            else:
                with rasterio.open(store.physical(self._key), opener=store.fs) as raster:
                    yield raster
        except RasterioIOError as error:
            raise StorageError(
                f"{self.path}: is no GeoTIFF, or is damaged ({error}). Materialize it again"
            ) from error

    def read(self, layer: str, window: Window | None = None, **_: Any) -> NDArray[Any]:
        """A layer's values, (y, x), in a window. Raises StorageError where it is damaged."""
        band = self._names.index(layer) + 1
        place = None if window is None else RasterWindow.from_slices(*window)
        with self.opened() as raster:
            values: NDArray[Any] = raster.read(band, window=place)
        return values

