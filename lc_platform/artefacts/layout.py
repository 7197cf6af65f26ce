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
    "catalog": "catalog/{year}",
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
MODEL_REGIONS = "regions.parquet"
"""The regions that have a classifier each; their files are `MODEL_REGION_TEXT` and
`MODEL_REGION_SPACE`, and ``model.txt`` lists them."""
MODEL_REGION_TEXT = "model_{region}.txt"
MODEL_REGION_SPACE = "training_space_{region}.parquet"
MODEL_POLYGONS = "polygon_blocks.parquet"
MODEL_WRONG_LABELS = "wrong_labels.parquet"
METRICS = "metrics.json"


FILES = {
    "patch_grid.parquet": "patches with their boxes, as a table with geometries",
    "raw_bands/{year}/{patch}.zarr": "digital numbers by time, band and pixel; the data mask",
    "cloud_masks/{year}/{patch}.zarr": "cloud probability, and the masks, by time and pixel",
    "features/{year}/{patch}.zarr": "features by date and pixel, or how they are computed",
    "observation_stats/{year}/{patch}.tif": "statistics of each pixel",
    "observation_stats/{year}/{patch}.parquet": "statistics of each date",
    "observation_stats/{year}/{patch}.png": "a plot of the dates",
    "reference_rasters/{patch}.tif": "class, ambiguity and a mask of each class",
    "reference_rasters/{patch}.polygons.tif": "the number of the polygon of each pixel",
    "alignment/{year}/{patch}.parquet": "shifts, a row a comparison",
    "training_samples/{year}/{patch}.parquet": "a row a sampled pixel",
    "model/{year}/model.txt": "the classifier; it begins with LightGBM's own text",
    "model/{year}/model.onnx": "the network of it, where there is one",
    "model/{year}/model_card.json": "what the model learnt from, and how",
    "model/{year}/fold_{fold}.txt": "the classifier of a fold",
    "model/{year}/fold_{fold}.onnx": "the network of it, where there is one",
    "model/{year}/folds.parquet": "the fold of each block of ground",
    "model/{year}/polygon_blocks.parquet": "the block of each polygon of the reference",
    "model/{year}/training_space.parquet": "samples that the area of applicability is of",
    "model/{year}/wrong_labels.parquet": "polygons whose label is probably wrong",
    "predictions/{year}/{patch}.tif": "class, confidence, entropy, margin, applicability",
    "held_out_predictions/{year}/{patch}.tif": "the same, by classifiers of other ground",
    "evaluation/{year}/metrics.json": "scores, intervals, confusion matrices, calibration",
    "evaluation/{year}/{figure}.png": "plots of them",
    "evaluation/{year}/label_errors.gpkg": "polygons whose label is probably wrong",
    "evaluation/{year}/report.html": "the report",
    "mosaic/{year}/land_cover.tif": "the map",
    "mosaic/{year}/confidence.tif": "percent; 0 is no data",
    "mosaic/{year}/applicability.tif": "percent of the threshold; 0 is no data",
    "mosaic/{year}/applicability.json": "shares outside, by class and patch",
    "mosaic/{year}/valid_observations.tif": "the count of valid observations",
    "mosaic/{year}/land_cover.png": "a picture of the map",
    "mosaic/{year}/land_cover.qml": "the map's style, which QGIS takes of itself",
    "mosaic/{year}/land_cover.sld": "the same as OGC has it",
    "mosaic/{year}/land_cover.parquet": "the map as polygons, with map.polygons",
    "area_statistics/{year}.parquet": "areas, a row a class and unit",
    "area_statistics/{year}.json": "the same, with how they were estimated",
    "reference_sample/{year}.gpkg": "points drawn from the map, and what people saw there",
    "reference_sample/{year}/{judgement}.json": "a judgement of the web map each",
    "objects/{year}.parquet": "a row an object of map.objects",
    "change/{year}.tif": "change, classes before and after, probabilities, confirmation",
    "change/{year}.parquet": "a row a transition",
    "change/{year}.json": "the same, with how it was estimated",
    "catalog/{year}/catalog.json": "the STAC catalog of the year",
    "catalog/{year}/{asset}/collection.json": "its collection of an asset",
    "catalog/{year}/{asset}/{item}.json": "its items, one for each artefact",
    "catalog/{year}/{asset}/items.parquet": "the items of a collection as stac-geoparquet",
    "catalog/{year}/styles/land_cover.qml": "the style of the classes for QGIS",
    "catalog/{year}/styles/land_cover.sld": "the same as OGC has it",
    "{raster}.tif.aux.xml": "names and colours of the classes of a GeoTIFF, as GDAL has them",
    ".records/": "a record of each artefact: its version, and what it was made of",
}
"""Every file of a store that other programs may open, and what is in it. Those of one artefact
appear in one step."""


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
