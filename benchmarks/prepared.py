"""Areas ready to be run: configuration, patch grid, reference, raw bands and a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import yaml
from affine import Affine
from numpy.typing import NDArray

from benchmarks import training
from benchmarks.archive import CRS, RESOLUTION, YEAR, TiledArchive, real_scenes
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area.grid import PatchGrid
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.commands import run
from lc_platform.config import FILE_NAME, SENTINEL2_BANDS, Config, load
from lc_platform.products.features import FeatureStack
from lc_platform.products.model import LandCoverModel
from lc_platform.products.options import AcquisitionOptions
from lc_platform.storage.store import Store

_WEST, _NORTH = 500_000, 5_100_000
"""Metres; near them the area's corner lies, at the next multiple of a patch."""
_SIZE_TO_LEARN = 200
_FORMATS = formats()


@dataclass(frozen=True)
class Prepared:
    """An area whose patches wait for their masks, features and predictions."""

    file: Path
    """The configuration."""
    patches: tuple[str, ...]
    """Their keys, neighbours following each other."""
    raw_bytes: int
    """Of the raw bands of all patches, as stored."""


def prepare(
    folder: Path,
    data: Path,
    *,
    size: int,
    patches: int,
    model: LandCoverModel | None = None,
    acquisitions: int = 70,
    clouds: int = 80,
    every_band: bool = False,
    threads: int = 0,
) -> Prepared:
    """Make an area of ``patches`` squares of ``size`` pixels, one beside the other.

    folder        where all of it is kept; empty or not there
    data          the folder of the real imagery and its reference
    acquisitions  of the year
    clouds        metres, the resolution of the cloud detector
    every_band    whether all 13 bands are stored at 10 m, or those that the platform acquires
    threads       of training and inference
    """
    scenes = real_scenes(data / "slovenia" / "l1c")
    reference = np.load(data / "slovenia" / "expected" / "lulc.npy")
    west, north = (round(v / RESOLUTION / size) * size for v in (_WEST, _NORTH))
    archive = TiledArchive(scenes, acquisitions, origin=(-north, west))
    file = _configuration(folder, data, reference, (west, north), size, patches, clouds, threads)
    config = load(file)
    materialize(config, "patch_grid", "reference_rasters")
    store = Store.of(config)
    grid: PatchGrid = _FORMATS["patch_grid"].open(store, key("patch_grid"))
    acquired = config
    if every_band:
        imagery = config.imagery.model_copy(update={"bands": SENTINEL2_BANDS})
        acquired = config.model_copy(update={"imagery": imagery})
    written = 0
    for patch in grid.patches:
        stack = acquire(
            archive, search_acquisitions(archive, patch, YEAR, AcquisitionOptions.of(acquired))
        )
        written += _FORMATS["raw_bands"].write(store, key("raw_bands", patch.key, YEAR), stack)
    if model is not None:
        _FORMATS["model"].write(store, key("model", year=YEAR), model)
    return Prepared(file, tuple(patch.key for patch in grid.patches), written)


def trained(folder: Path, data: Path) -> tuple[Prepared, LandCoverModel]:
    """A small area, and a model learnt from it, which fits areas of any size."""
    area = prepare(folder, data, size=_SIZE_TO_LEARN, patches=1)
    config = load(area.file)
    materialize(config, "cloud_masks", "features")
    store = Store.of(config)
    features: FeatureStack = _FORMATS["features"].open(
        store, key("features", area.patches[0], YEAR)
    )
    model = training.model(features)
    _FORMATS["model"].write(store, key("model", year=YEAR), model)
    return area, model


def materialize(config: Config, *assets: str) -> run.Report:
    """Run assets of all patches. Raises RuntimeError with the reasons where one fails."""
    report = run.run(config, unseen, select=assets)
    check(report)
    return report


def check(report: run.Report) -> None:
    """Raises RuntimeError with the reasons where a run failed."""
    if not report.succeeded:
        reasons = [f"{job} {place}: {why}" for job, place, why in report.failures]
        raise RuntimeError("\n".join([*reasons, report.stopped or ""]))


def unseen(
    stage: str,  # noqa: ARG001
    total: int,  # noqa: ARG001
    outcomes: Iterable[run.Outcome],
) -> Iterator[run.Outcome]:
    """Progress that nobody watches."""
    yield from outcomes


def _configuration(
    folder: Path,
    data: Path,
    reference: NDArray[np.uint16],
    corner: tuple[int, int],
    size: int,
    patches: int,
    clouds: int,
    threads: int,
) -> Path:
    """Write the configuration, the boundary and the reference; returns the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    west, north = (pixels * RESOLUTION for pixels in corner)
    east, south = west + patches * size * RESOLUTION, north - size * RESOLUTION
    ring = [[west + 1, south + 1], [east - 1, south + 1], [east - 1, north - 1],
            [west + 1, north - 1], [west + 1, south + 1]]  # fmt: skip
    boundary = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": CRS}},
        "features": [
            {
                "type": "Feature",
                "properties": {},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        ],
    }
    (folder / "boundary.geojson").write_text(json.dumps(boundary), encoding="utf-8")
    rows, columns = (
        np.arange(length) % period
        for length, period in zip((size, patches * size), reference.shape, strict=True)
    )
    with rasterio.open(
        folder / "reference.tif",
        "w",
        driver="GTiff",
        height=size,
        width=patches * size,
        count=1,
        dtype="uint8",
        crs=CRS,
        transform=Affine(RESOLUTION, 0, west, 0, -RESOLUTION, north),
        tiled=True,
        compress="deflate",
        nodata=0,
    ) as raster:
        raster.write(reference[rows[:, None], columns].astype(np.uint8), 1)
    configuration = {
        "name": "benchmark",
        "storage": "store",
        "years": [YEAR],
        "aoi": {
            "boundary": "boundary.geojson",
            "crs": CRS,
            "patch_size": size * RESOLUTION,
            "resolution": RESOLUTION,
        },
        "imagery": {"source": "stac", "catalog": str(data / "slovenia" / "l1c" / "catalog.json")},
        "clouds": {"resolution": clouds},
        "reference": {
            "path": "reference.tif",
            "classes": [
                {"id": i, "name": f"class {i}", "color": "#808080"} for i in training.CLASSES
            ],
        },
        "processing": {"threads": threads},
    }
    file = folder / FILE_NAME
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    return file
