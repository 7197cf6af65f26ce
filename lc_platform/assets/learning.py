"""Assets of the classifier: reference, features, samples, model and evaluation."""

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
    from lc_platform.products.feature_options import FeatureOptions
    from lc_platform.products.features import FeatureStack
    from lc_platform.products.held_out_predictions import HeldOutPredictions
    from lc_platform.products.model import LandCoverModel
    from lc_platform.products.options import (
        EvaluationOptions,
        HeldOutOptions,
        TrainingOptions,
    )
    from lc_platform.products.raw_bands import AcquisitionStack
    from lc_platform.products.reference_rasters import ReferenceMap
    from lc_platform.products.sampling_options import SamplingOptions
    from lc_platform.products.training_samples import Samples
    from lc_platform.sources.reference_options import ReferenceOptions


@asset(
    group="reference",
    kinds={"geotiff"},
    code_version="3",
    options=Platform.reference_options,
)
def reference_rasters(
    platform: Platform, patch: str, patch_grid: PatchGrid, options: ReferenceOptions
) -> LazyCube:
    """The reference on a patch: class of each pixel, a mask a class, where it is ambiguous, and
    the polygon it comes from."""
    return products.reference_rasters.label(
        platform.reference.burnt, patch, patch_grid[patch].geobox, options
    )


@asset(
    group="features",
    kinds={"zarr"},
    code_version="2",
    options=Platform.feature_options,
)
def features(
    raw_bands: AcquisitionStack, cloud_masks: CloudMasks, options: FeatureOptions
) -> LazyCube:
    """Bands and indices on regular dates, gaps interpolated."""
    return products.features.build(raw_bands, cloud_masks, options)


@asset(
    group="features",
    kinds={"parquet"},
    code_version="2",
    options=Platform.sampling_options,
)
def training_samples(
    platform: Platform,
    features: FeatureStack,
    reference_rasters: ReferenceMap,
    options: SamplingOptions,
) -> Samples:
    """Pixels drawn at random from a patch: features, class, patch, polygon, row and column."""
    return products.training_samples.collect(features, reference_rasters, options, platform.points)


@asset(
    group="model",
    kinds={"lightgbm"},
    code_version="2",
    options=Platform.training_options,
)
def model(
    platform: Platform,
    year: int,
    training_samples: Mapping[str, Samples],
    options: TrainingOptions,
) -> LandCoverModel:
    """The classifier of a year, as text, and its model card."""
    grids = {patch.key: patch.geobox for patch in platform.grid().patches}
    points = None if platform.points is None else platform.points.count(year)
    return products.model.train(training_samples, options, year=year, grids=grids, points=points)


@asset(
    group="model",
    kinds={"geotiff"},
    code_version="1",
    options=Platform.held_out_options,
)
def held_out_predictions(
    features: FeatureStack,
    reference_rasters: ReferenceMap,
    model: LandCoverModel,
    options: HeldOutOptions,
) -> LazyCube:
    """Class and probabilities of every pixel with a reference, by models of other ground."""
    return products.held_out_predictions.hold_out(features, reference_rasters, model, options)


@asset(
    group="model",
    kinds={"json", "png", "geopackage"},
    code_version="3",
    options=Platform.evaluation_options,
)
def evaluation(
    platform: Platform,
    model: LandCoverModel,
    training_samples: Mapping[str, Samples],
    held_out_predictions: Mapping[str, HeldOutPredictions],
    reference_rasters: Mapping[str, ReferenceMap],
    options: EvaluationOptions,
) -> Evaluation:
    """Metrics on all reference pixels, each predicted by a model of other ground, figures, and the
    polygons whose label is probably wrong."""
    grids = {patch.key: patch.geobox for patch in platform.grid().patches}
    found = products.evaluation.assess(
        model, held_out_predictions, reference_rasters, training_samples, options, patches=grids
    )
    found = report.with_evaluation_figures(found)
    return report.with_label_errors(found, model, platform.reference, grids, options.classes)
