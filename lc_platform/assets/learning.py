"""Reference, features and samples; the model that learns from them, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lc_platform import products, report
from lc_platform.area.grid import PatchGrid
from lc_platform.assets.declaration import asset
from lc_platform.cube import LazyCube
from lc_platform.platform import Platform

if TYPE_CHECKING:
    from lc_platform.products.cloud_masks import CloudMasks
    from lc_platform.products.evaluation import Evaluation
    from lc_platform.products.features import FeatureStack
    from lc_platform.products.model import LandCoverModel
    from lc_platform.products.raw_bands import AcquisitionStack
    from lc_platform.products.reference_rasters import ReferenceMap
    from lc_platform.products.training_samples import Samples


@asset(
    group="reference",
    kinds={"geotiff"},
    code_version="2",
    settings=(
        "reference.path",
        "simulated_reference",
        "reference.attribute",
        "reference.ignore",
        "reference.classes.id",
        "reference.classes.values",
        "reference.classes.attribute",
    ),
    appearance=("reference.classes.name", "reference.classes.color"),
)
def reference_rasters(platform: Platform, patch: str, patch_grid: PatchGrid) -> LazyCube:
    """The reference on a patch: class of each pixel, a mask a class, where it is ambiguous."""
    return products.reference_rasters.label(
        platform.reference.burnt,
        patch,
        patch_grid[patch].geobox,
        **platform.class_list,
    )


@asset(
    group="features",
    kinds={"zarr"},
    code_version="2",
    settings=(
        "imagery.bands",
        "indices",
        "further_features",
        "features.interval",
        "features.min_valid_fraction",
        "clipped_area",
    ),
    appearance=("features.stored",),
)
def features(platform: Platform, raw_bands: AcquisitionStack, cloud_masks: CloudMasks) -> LazyCube:
    """Bands and indices on regular dates, gaps interpolated."""
    return products.features.build(
        raw_bands, cloud_masks, **platform.feature_list, **platform.windows
    )


@asset(
    group="features",
    kinds={"parquet"},
    code_version="1",
    settings=("sampling.pixels_per_patch", "sampling.erosion", "sampling.seed", "clipped_area"),
    appearance=("reference.classes.name",),
)
def training_samples(
    platform: Platform, features: FeatureStack, reference_rasters: ReferenceMap
) -> Samples:
    """Pixels drawn at random from a patch: features, class, patch, row and column."""
    return products.training_samples.collect(
        features, reference_rasters, **platform.sampling, **platform.windows
    )


@asset(
    group="model",
    kinds={"lightgbm"},
    code_version="1",
    settings=(
        "model_parameters",
        "sampling.test_fraction",
        "sampling.seed",
        "sampling.class_weights",
        "reference.classes.id",
    ),
    appearance=("reference.classes.name",),
)
def model(platform: Platform, year: int, training_samples: Mapping[str, Samples]) -> LandCoverModel:
    """The classifier of a year, as LightGBM text, and its model card."""
    return products.model.learn(training_samples, year=year, **platform.learning)


@asset(
    group="model",
    kinds={"json", "png"},
    code_version="1",
    settings=("clipped_area",),
    appearance=("reference.classes.name", "reference.classes.color"),
)
def evaluation(
    platform: Platform,
    model: LandCoverModel,
    features: Mapping[str, FeatureStack],
    reference_rasters: Mapping[str, ReferenceMap],
) -> Evaluation:
    """Metrics on all reference pixels of the held-out patches, and the confusion matrix."""
    return report.with_confusion_matrix(
        products.evaluation.assess(model, features, reference_rasters, **platform.assessing)
    )
