"""The map of all patches together, against GDAL's own virtual raster and COG writer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as RasterWindow

from benchmarks.agreement import DisagreementError
from benchmarks.memory import Alone, alone, gigabytes
from benchmarks.report import Table, ratios, seconds
from benchmarks.settings import Settings

YEAR = 2017
_CRS = "EPSG:32633"
_RESOLUTION = 10.0
_CLASSES = 10
_MODEL = "benchmark"
_COARSE = 25
"""Pixels between the seeds of the fields of classes."""
_DIFFERENT = 24
"""Patches of different content; then they begin again."""


@dataclass(frozen=True)
class _Map:
    """One of the mosaic's files, and how GDAL is told to make it."""

    asset: str
    layer: str
    file: str
    dtype: str
    overviews: str
    nodata: float | None = None
    """Of the map."""
    source_nodata: str | None = None


_MAPS = (
    _Map("predictions", "class", "land_cover.tif", "Byte", "mode", 0),
    _Map("predictions", "confidence", "confidence.tif", "Byte", "average"),
    _Map("observation_stats", "valid_observations", "valid_observations.tif", "UInt16", "average",
         source_nodata="nan"),
)  # fmt: skip


def run(settings: Settings) -> list[Table]:
    """300 patches of 1000 x 1000 pixels where they are asked for in full (then 3,000 too), else 24
    of the given size."""
    sizes = ((20, 15, 1000), (60, 50, 1000)) if settings.full else ((6, 4, settings.size),)
    rows = []
    for columns, rows_of_patches, size in sizes:
        pairs = settings.pairs if columns * rows_of_patches <= 300 else 1
        rows.append(measure(settings.folder / "mosaic", columns, rows_of_patches, size, pairs))
    return [
        Table(
            "mosaic",
            "Class, confidence and valid observations of all patches, each one "
            "Cloud-Optimized GeoTIFF",
            ("patches", "GDAL", "platform", "times as fast", "memory: GDAL", "platform"),
            rows,
            ("GDAL: a virtual raster a map, copied by its COG driver with the same compression, "
             "blocks, overviews and threads, in a process of its own with GDAL's default cache. "
             "All pixels of the maps are equal.",),
        )
    ]  # fmt: skip


def measure(folder: Path, columns: int, rows: int, size: int, pairs: int) -> tuple[str, ...]:
    """Both ways of joining ``columns`` x ``rows`` patches, in turn: a row of the table.

    Raises DisagreementError where they give other pixels.
    """
    folder.mkdir()
    shape: dict[str, Any] = {
        "folder": str(folder), "columns": columns, "rows": rows, "size": size
    }  # fmt: skip
    try:
        alone("benchmarks.mosaic:write_patches", **shape)
        theirs: list[Alone] = []
        ours: list[Alone] = []
        for _ in range(pairs):
            theirs.append(alone("benchmarks.mosaic:join_by_gdal", **shape))
            ours.append(alone("benchmarks.mosaic:join", **shape))
        for one in _MAPS:
            _check_equal(folder / "gdal" / one.file, folder / f"mosaic/{YEAR}" / one.file)
    finally:
        shutil.rmtree(folder)
    slow, fast = ([one.result for one in runs] for runs in (theirs, ours))
    return (
        f"{columns * rows} of {size} x {size}",
        seconds(slow),
        seconds(fast),
        ratios(slow, fast),
        gigabytes(max(one.peak for one in theirs)),
        gigabytes(max(one.peak for one in ours)),
    )


def write_patches(folder: str, columns: int, rows: int, size: int) -> None:
    """Write predictions and observation statistics of every patch by the platform's own formats:
    fields of classes, surer inside than at their edges."""
    from lc_platform.artefacts.formats import CogFormat
    from lc_platform.artefacts.layout import key
    from lc_platform.cube import MAIN, Block, Layer, LazyCube, whole
    from lc_platform.storage.store import Store

    store = Store(folder)
    for number, patch in enumerate(_patches(columns, rows, size)):
        layers: dict[str, Mapping[str, NDArray[Any]]] = {
            "predictions": _prediction(size, number % _DIFFERENT),
            "observation_stats": _statistics(size, number % _DIFFERENT),
        }
        for asset, values in layers.items():
            fill = float("nan") if asset == "observation_stats" else None

            def blocks(_: object, values: Any = values, patch: Any = patch) -> Iterator[Block]:
                for name, array in values.items():
                    yield Block(name, (), whole(patch.geobox), array)

            cube = LazyCube(
                {MAIN: patch.geobox},
                {name: Layer((), str(array.dtype), fill=fill) for name, array in values.items()},
                blocks,
                attributes={"patch": patch.key, "year": YEAR, "model_version": _MODEL},
            )
            CogFormat(lambda cube: cube).write(store, key(asset, patch.key, YEAR), cube)


def join(folder: str, columns: int, rows: int, size: int) -> float:
    """Seconds in which the platform writes the mosaic."""
    from lc_platform.artefacts.formats import MosaicFormat
    from lc_platform.artefacts.layout import key
    from lc_platform.products.mosaic import Mosaic
    from lc_platform.products.options import MosaicOptions
    from lc_platform.storage.raster_cube import RasterCube
    from lc_platform.storage.store import Store

    store, patches = Store(folder), _patches(columns, rows, size)
    classes = {i: (f"class {i}", "#808080") for i in range(1, _CLASSES + 1)}
    options = MosaicOptions(classes=classes, crs=_CRS)
    started = time.perf_counter()
    predictions, statistics = (
        {patch.key: RasterCube(store, key(asset, patch.key, YEAR)) for patch in patches}
        for asset in ("predictions", "observation_stats")
    )
    mosaic = Mosaic(YEAR, patches, predictions, statistics, options, _MODEL)
    MosaicFormat().write(store, key("mosaic", year=YEAR), mosaic)
    return time.perf_counter() - started


def join_by_gdal(folder: str, columns: int, rows: int, size: int) -> float:  # noqa: ARG001
    """Seconds in which GDAL writes the same maps; they lie in ``gdal``."""
    target = Path(folder) / "gdal"
    target.mkdir(exist_ok=True)
    started = time.perf_counter()
    for one in _MAPS:
        sources = sorted((Path(folder) / one.asset / str(YEAR)).glob("*.tif"))
        virtual = target / f"{one.file}.vrt"
        virtual.write_text(_virtual(one, sources), encoding="utf-8")
        copy_raster(
            virtual,
            target / one.file,
            driver="COG",
            compress="deflate",
            predictor="yes",
            blocksize=512,
            overview_resampling=one.overviews,
            bigtiff="if_safer",
            num_threads="all_cpus",
        )
    return time.perf_counter() - started


def _virtual(one: _Map, sources: list[Path]) -> str:
    """The virtual raster that gdalbuildvrt makes of a band of files side by side."""
    places = []
    for path in sources:
        with rasterio.open(path) as raster:
            band = raster.descriptions.index(one.layer) + 1
            places.append((path, band, raster.transform, raster.shape, raster.crs))
    west = min(transform.c for _, _, transform, _, _ in places)
    north = max(transform.f for _, _, transform, _, _ in places)
    step = places[0][2].a
    entries, right, bottom = [], 0, 0
    for path, band, transform, (height, width), _ in places:
        x, y = round((transform.c - west) / step), round((north - transform.f) / step)
        right, bottom = max(right, x + width), max(bottom, y + height)
        kind = "SimpleSource" if one.source_nodata is None else "ComplexSource"
        nodata = "" if one.source_nodata is None else f"<NODATA>{one.source_nodata}</NODATA>"
        entries.append(
            f'<{kind}><SourceFilename relativeToVRT="0">{escape(str(path))}</SourceFilename>'
            f"<SourceBand>{band}</SourceBand>"
            f'<SourceProperties RasterXSize="{width}" RasterYSize="{height}" '
            f'DataType="{"Float32" if one.source_nodata else "Byte"}" BlockXSize="512" '
            f'BlockYSize="512"/>'
            f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
            f'<DstRect xOff="{x}" yOff="{y}" xSize="{width}" ySize="{height}"/>{nodata}</{kind}>'
        )
    nodata = "" if one.nodata is None else f"<NoDataValue>{one.nodata}</NoDataValue>"
    return (
        f'<VRTDataset rasterXSize="{right}" rasterYSize="{bottom}">'
        f"<SRS>{escape(places[0][4].to_wkt())}</SRS>"
        f"<GeoTransform>{west}, {step}, 0, {north}, 0, {-step}</GeoTransform>"
        f'<VRTRasterBand dataType="{one.dtype}" band="1">{nodata}{"".join(entries)}'
        "</VRTRasterBand></VRTDataset>"
    )


def _patches(columns: int, rows: int, size: int) -> list[Any]:
    from affine import Affine
    from odc.geo.geobox import GeoBox

    from lc_platform.area.grid import Patch

    found = []
    for row in range(rows):
        for column in range(columns):
            west = 400_000 + column * size * _RESOLUTION
            north = 5_100_000 - row * size * _RESOLUTION
            affine = Affine(_RESOLUTION, 0, west, 0, -_RESOLUTION, north)
            key = f"33N-r{row:03d}-c{column:03d}"
            found.append(Patch(key, GeoBox((size, size), affine, _CRS), "33N", row, column))
    return found


@cache
def _prediction(size: int, seed: int) -> Mapping[str, NDArray[np.uint8]]:
    """Class, confidence and entropy (y, x): the highest of smooth random fields, one a class."""
    import cv2

    random = np.random.default_rng((1, seed))
    seeds = size // _COARSE + 2
    best = np.full((size, size), -np.inf, np.float32)
    second, classes = best.copy(), np.zeros((size, size), np.uint8)
    for number in range(1, _CLASSES + 1):
        coarse = random.standard_normal((seeds, seeds)).astype(np.float32)
        field = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        second = np.maximum(second, np.minimum(field, best))
        classes[field > best] = number
        best = np.maximum(best, field)
    noise = random.normal(0, 3, (size, size))
    confidence = np.clip(45 + 40 * (best - second) + noise, 20, 100).astype(np.uint8)
    return {"class": classes, "confidence": confidence, "entropy": 100 - confidence}


@cache
def _statistics(size: int, seed: int) -> Mapping[str, NDArray[np.float32]]:
    import cv2

    random = np.random.default_rng((2, seed))
    coarse = random.uniform(15, 45, (8, 8)).astype(np.float32)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    return {
        "valid_observations": np.rint(smooth),
        "cloud_probability": np.round(1 - smooth / 70, 3),
        "ndvi": np.round(smooth / 60, 3),
    }


def _check_equal(one: Path, other: Path) -> None:
    with rasterio.open(one) as theirs, rasterio.open(other) as ours:
        if theirs.shape != ours.shape or theirs.overviews(1) != ours.overviews(1):
            raise DisagreementError(f"{one.name}: {theirs.shape} and {ours.shape}")
        height, width = theirs.shape
        for row in range(0, height, 1024):
            strip = RasterWindow(0, row, width, min(1024, height - row))
            if not np.array_equal(theirs.read(1, window=strip), ours.read(1, window=strip)):
                raise DisagreementError(f"{one.name}: pixels differ from row {row} on")
