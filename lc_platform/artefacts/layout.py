"""Where each artefact lies in the store: the one home of every path."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import NamedTuple

from lc_platform.area.grid import PATCH_KEY
from lc_platform.errors import PlatformError

_KEYS = {
    "patch_grid": "patch_grid.parquet",
    "raw_bands": "raw_bands/{year}/{patch}.zarr",
    "cloud_masks": "cloud_masks/{year}/{patch}.zarr",
    "observation_stats": "observation_stats/{year}/{patch}.tif",
    "reference_rasters": "reference_rasters/{patch}.tif",
    "alignment": "alignment/{year}/{patch}.parquet",
    "features": "features/{year}/{patch}.zarr",
    "training_samples": "training_samples/{year}/{patch}.parquet",
    "model": "model/{year}",
    "predictions": "predictions/{year}/{patch}.tif",
    "held_out_predictions": "held_out_predictions/{year}/{patch}.tif",
    "evaluation": "evaluation/{year}",
    "mosaic": "mosaic/{year}",
    "area_statistics": "area_statistics/{year}.parquet",
    "objects": "objects/{year}.parquet",
    "change": "change/{year}.tif",
    "report": "evaluation/{year}/report.html",
}

OPTIONAL = ("change",)
"""The assets that a configuration may ask for."""

EVERY_ASSET = tuple(_KEYS)
"""Every asset, in the order of the work."""

ASSETS = tuple(asset for asset in EVERY_ASSET if asset not in OPTIONAL)
"""Those that every configuration has."""

RECORDS = ".records"
"""The folder of the artefacts' records, see `lc_platform.artefacts.records`."""

CLAIM = f"{RECORDS}/deployment.json"
"""Says which deployment works on the store."""

SPENDING = f"{RECORDS}/spending/{{month}}"
"""The folder of what was spent in an archive in a month, see `lc_platform.acquisition.budget`."""

REFERENCE_SAMPLE = "reference_sample/{year}.gpkg"
"""Points drawn from a year's map, and what people saw there: no asset, since people fill it in."""

JUDGEMENTS = "reference_sample/{year}"
"""The folder of what people judge of these points in the web map, see
`lc_platform.products.judgements`."""

MODEL_TEXT = "model.txt"
MODEL_ONNX = "model.onnx"
"""The network that is in the text, if any; `MODEL_FOLD_ONNX` that of a fold's."""
MODEL_FOLD_ONNX = "fold_{fold}.onnx"
MODEL_CARD = "model_card.json"
MODEL_FOLD_TEXT = "fold_{fold}.txt"
MODEL_FOLDS = "folds.parquet"
MODEL_SPACE = "training_space.parquet"
MODEL_POLYGONS = "polygon_blocks.parquet"
MODEL_WRONG_LABELS = "wrong_labels.parquet"
METRICS = "metrics.json"


class PatchKeyError(PlatformError):
    """What was given for a patch's key could name another place than its own."""


def key(asset: str, patch: str | None = None, year: int | None = None) -> str:
    """The store's key of an asset's partition. Raises KeyError for an unknown asset, PatchKeyError
    where the patch's key is none."""
    if patch is not None and not PATCH_KEY.fullmatch(patch):
        raise PatchKeyError(
            f"patch {patch[:60]!r}: is no key of a patch (1 to 100 letters, digits, _ and -). Take "
            "one of patch_grid, and delete the partition where it was added by hand"
        )
    return _KEYS[asset].format(patch=patch, year=year)


@cache
def dimensions(asset: str) -> frozenset[str]:
    """Which of ``patch`` and ``year`` an asset is partitioned by."""
    return frozenset(d for d in ("patch", "year") if "{" + d + "}" in _KEYS[asset])


PATCH = "patch"


YEAR = "year"


class Partition(NamedTuple):
    """Which partition a piece of work is for."""

    patch: str | None = None
    year: int | None = None

    def __str__(self) -> str:
        return " ".join(str(part) for part in self if part is not None)

    def within(self, dimensions: Collection[str]) -> Partition:
        """The partition that belongs to it of what is partitioned by ``dimensions``."""
        return Partition(
            self.patch if PATCH in dimensions else None, self.year if YEAR in dimensions else None
        )
