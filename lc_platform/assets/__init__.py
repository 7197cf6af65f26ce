"""The assets: what depends on what. No arithmetic, no paths."""

from lc_platform.assets.imagery import (
    alignment,
    cloud_masks,
    observation_stats,
    patch_grid,
    raw_bands,
)
from lc_platform.assets.learning import (
    evaluation,
    features,
    held_out_predictions,
    model,
    reference_rasters,
    training_samples,
)
from lc_platform.assets.maps import area_statistics, change, mosaic, objects, predictions
from lc_platform.assets.publishing import catalog, report

ALL = (
    patch_grid,
    raw_bands,
    cloud_masks,
    observation_stats,
    reference_rasters,
    alignment,
    features,
    training_samples,
    model,
    predictions,
    held_out_predictions,
    evaluation,
    mosaic,
    area_statistics,
    objects,
    change,
    report,
    catalog,
)
"""In the order of the work."""
