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


def _beside(asset: str, ending: str) -> str:
    """Return the path of a file that lies beside an asset's own, with another ending."""
    return _KEYS[asset].rpartition(".")[0] + ending


def _within(asset: str, name: str) -> str:
    """Return the path of a file in an asset's folder."""
    return f"{_KEYS[asset]}/{name}"


FILES = {
    _KEYS["patch_grid"]: "patches with their boxes, as a table with geometries",
    _KEYS["raw_bands"]: "digital numbers by time, band and pixel; the data mask",
    _KEYS["cloud_masks"]: "cloud probability, and the masks, by time and pixel",
    _KEYS["features"]: "features by date and pixel, or how they are computed",
    _KEYS["observation_stats"]: "statistics of each pixel",
    _beside("observation_stats", ".parquet"): "statistics of each date",
    _beside("observation_stats", ".png"): "a plot of the dates",
    _KEYS["reference_rasters"]: "class, ambiguity and a mask of each class",
    _beside("reference_rasters", ".polygons.tif"): "the number of the polygon of each pixel",
    _KEYS["alignment"]: "shifts, a row a comparison",
    _KEYS["training_samples"]: "a row a sampled pixel",
    _within("model", MODEL_TEXT): "the classifier; it begins with LightGBM's own text",
    _within("model", MODEL_ONNX): "the network of it, where there is one",
    _within("model", MODEL_CARD): "what the model learnt from, and how",
    _within("model", MODEL_FOLD_TEXT): "the classifier of a fold",
    _within("model", MODEL_FOLD_ONNX): "the network of it, where there is one",
    _within("model", MODEL_FOLDS): "the fold of each block of ground",
    _within("model", MODEL_POLYGONS): "the block of each polygon of the reference",
    _within("model", MODEL_SPACE): "samples that the area of applicability is of",
    _within("model", MODEL_REGIONS): "the regions that have a classifier each, with model.regions",
    _within("model", MODEL_REGION_TEXT): "the classifier of a region",
    _within("model", MODEL_REGION_SPACE): "the same samples of a region's classifier",
    _within("model", MODEL_WRONG_LABELS): "polygons whose label is probably wrong",
    _KEYS["predictions"]: "class, confidence, entropy, margin, applicability",
    _KEYS["held_out_predictions"]: "the same, by classifiers of other ground",
    _within("evaluation", METRICS): "scores, intervals, confusion matrices, calibration",
    _within("evaluation", "{figure}.png"): "plots of them",
    _within("evaluation", "label_errors.gpkg"): "polygons whose label is probably wrong",
    _KEYS["report"]: "the report",
    _within("mosaic", "land_cover.tif"): "the map",
    _within("mosaic", "confidence.tif"): "percent; 0 is no data",
    _within("mosaic", "applicability.tif"): "percent of the threshold; 0 is no data",
    _within("mosaic", "applicability.json"): "shares outside, by class and patch",
    _within("mosaic", "valid_observations.tif"): "the count of valid observations",
    _within("mosaic", "land_cover.png"): "a picture of the map",
    _within("mosaic", "land_cover.qml"): "the map's style, which QGIS takes of itself",
    _within("mosaic", "land_cover.sld"): "the same as OGC has it",
    _within("mosaic", "land_cover.parquet"): "the map as polygons, with map.polygons",
    _KEYS["area_statistics"]: "areas, a row a class and unit",
    _beside("area_statistics", ".json"): "the same, with how they were estimated",
    REFERENCE_SAMPLE: "points drawn from the map, and what people saw there",
    f"{JUDGEMENTS}/{{judgement}}.json": "a judgement of the web map each",
    _KEYS["objects"]: "a row an object of map.objects",
    _KEYS["change"]: "change, classes before and after, probabilities, confirmation",
    _beside("change", ".parquet"): "a row a transition",
    _beside("change", ".json"): "the same, with how it was estimated",
    _within("catalog", "catalog.json"): "the STAC catalog of the year",
    _within("catalog", "{asset}/collection.json"): "its collection of an asset",
    _within("catalog", "{asset}/{item}.json"): "its items, one for each artefact",
    _within("catalog", "{asset}/items.parquet"): "the items of a collection as stac-geoparquet",
    _within("catalog", "styles/land_cover.qml"): "the style of the classes for QGIS",
    _within("catalog", "styles/land_cover.sld"): "the same as OGC has it",
    "{raster}.tif.aux.xml": "names and colours of the classes of a GeoTIFF, as GDAL has them",
    f"{RECORDS}/": "a record of each artefact: its version, and what it was made of",
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
