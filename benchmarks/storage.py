"""What a patch-year takes in the store, by the real scenes as they are."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from affine import Affine
from odc.geo.geobox import GeoBox

from benchmarks.archive import CRS, RESOLUTION, YEAR, TiledArchive, real_scenes
from benchmarks.memory import gigabytes
from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area.grid import Patch
from lc_platform.artefacts.formats import ZarrFormat
from lc_platform.config import SENTINEL2_BANDS, Config, parse
from lc_platform.cube import MAIN
from lc_platform.eo.clouds import detector_margin
from lc_platform.products import cloud_masks
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.options import AcquisitionOptions, DetectionOptions
from lc_platform.products.raw_bands import DETECTOR, AcquisitionStack, detector_grid
from lc_platform.storage.store import Store

_SIZE = 1000
_ACQUISITIONS = 70
_CORNER = (500_000.0, 5_100_000.0)
"""Metres east and north: where the scenes' north-western corner is put."""
_COORDINATES = ("x", "y", "time", "band", "spatial_ref")
_RAW, _MASKS = "raw_bands.zarr", "cloud_masks.zarr"


@dataclass(frozen=True)
class _Stored:
    """Bytes of arrays of one patch-year of 1000 x 1000 pixels and 70 acquisitions."""

    bands: float
    detector: float
    masks: float

    def row(self, name: str) -> tuple[str, ...]:
        total = self.bands + self.detector + self.masks
        parts = (self.bands, self.detector, self.masks, total)
        return (name, *(gigabytes(part) for part in parts))


def run(settings: Settings) -> list[Table]:
    """Bytes with all 13 bands and clouds at 10 m, and with the platform's defaults."""
    everything = _configuration(settings.folder, {"bands": list(SENTINEL2_BANDS)}, 10)
    rows = [
        _measure(settings, everything).row("13 bands and clouds at 10 m"),
        _measure(settings, _configuration(settings.folder, {}, None)).row("the defaults"),
    ]
    return [
        Table(
            "storage",
            f"Stored for {_SIZE} x {_SIZE} pixels x {_ACQUISITIONS} acquisitions",
            ("what", "bands", "for the cloud detector", "cloud masks", "together"),
            rows,
            ("The five real scenes are stored once as they are, without noise or repetition, as a "
             "patch of their own size; the bytes of its arrays are scaled by pixels and "
             "acquisitions.",),
        )
    ]  # fmt: skip


def _configuration(folder: Path, imagery: dict[str, list[str]], clouds: int | None) -> Config:
    return parse(
        {
            "name": "storage",
            "storage": "storage",
            "years": [YEAR],
            "aoi": {"bbox": [14, 46, 15, 47], "crs": CRS, "patch_size": 1000},
            "imagery": {"source": "simulated", **imagery},
            "clouds": {"resolution": clouds} if clouds else {},
        },
        folder,
    )


def _measure(settings: Settings, config: Config) -> _Stored:
    scenes = real_scenes(settings.scenes)
    west, north = _CORNER
    archive = TiledArchive(
        scenes, len(scenes), noise=0, origin=(-round(north / RESOLUTION), round(west / RESOLUTION))
    )
    rows, columns = scenes.shape[2:]
    # With its margin the patch is then exactly a scene, and nothing is stored twice.
    margin = _margin(config)
    small = _patch(rows - 2 * margin, columns - 2 * margin, margin)
    store = Store.of(config)
    try:
        made = acquire(
            archive, search_acquisitions(archive, small, YEAR, AcquisitionOptions.of(config))
        )
        ZarrFormat(AcquisitionStack).write(store, _RAW, made)
        raw: AcquisitionStack = ZarrFormat(AcquisitionStack).open(store, _RAW)
        masks = cloud_masks.detect(raw, DetectionOptions(**dict(config.clouds)))
        ZarrFormat(CloudMasks).write(store, _MASKS, masks)
        bands, looked = (_bytes(store, _RAW, grid) for grid in (MAIN, DETECTOR))
        masked = _bytes(store, _MASKS, MAIN)
    finally:
        shutil.rmtree(config.storage_url)
    large = _patch(_SIZE, _SIZE, margin)
    years = _ACQUISITIONS / len(scenes)
    return _Stored(
        bands * years * _pixels(large.geobox.pad(margin)) / _pixels(small.geobox.pad(margin)),
        looked * years * _looked_at(large, config) / _looked_at(small, config),
        masked * years * _pixels(large.geobox) / _pixels(small.geobox),
    )


def _margin(config: Config) -> int:
    """Pixels stored beyond the patch."""
    clouds = config.clouds
    if clouds.resolution > config.aoi.resolution:
        return 0
    return detector_margin(clouds.average_over, clouds.dilation)


def _patch(rows: int, columns: int, margin: int) -> Patch:
    """A patch whose margin begins at the corner."""
    west, north = (c + sign * margin * RESOLUTION for c, sign in zip(_CORNER, (1, -1), strict=True))
    affine = Affine(RESOLUTION, 0, west, 0, -RESOLUTION, north)
    return Patch("storage", GeoBox((rows, columns), affine, CRS), "33N", 0, 0)


def _pixels(grid: GeoBox) -> int:
    return int(grid.shape[0] * grid.shape[1])


def _looked_at(patch: Patch, config: Config) -> int:
    """Pixels of the cloud detector's own grid."""
    clouds = config.clouds
    margin = detector_margin(clouds.average_over, clouds.dilation) + 1
    return _pixels(detector_grid(patch.geobox, clouds.resolution, margin))


def _bytes(store: Store, key: str, grid: str) -> int:
    """Of the chunks of a grid's layers; its coordinates and descriptions are left out, which do
    not grow with the patch."""
    folder = Path(store.physical(key)) / grid
    return sum(
        file.stat().st_size
        for layer in folder.glob("*/c")
        if layer.parent.name not in _COORDINATES
        for file in layer.rglob("*")
        if file.is_file()
    )
