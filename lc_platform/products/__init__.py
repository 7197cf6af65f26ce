"""A file for each asset, named like it: its handle, and how it is computed window by window.

``products.model`` is imported when it is first used, so that what only asks how artefacts stand
does not wait for the science.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lc_platform.products import (
        alignment,
        area_statistics,
        auxiliary_features,
        catalog,
        change,
        cloud_detectors,
        cloud_masks,
        evaluation,
        features,
        held_out_predictions,
        model,
        mosaic,
        objects,
        observation_stats,
        options,
        patch_grid,
        predictions,
        raw_bands,
        reference_rasters,
        reference_sample,
        report,
        training_samples,
    )

__all__ = [
    "alignment",
    "area_statistics",
    "auxiliary_features",
    "catalog",
    "change",
    "cloud_detectors",
    "cloud_masks",
    "evaluation",
    "features",
    "held_out_predictions",
    "model",
    "mosaic",
    "objects",
    "observation_stats",
    "options",
    "patch_grid",
    "predictions",
    "raw_bands",
    "reference_rasters",
    "reference_sample",
    "report",
    "training_samples",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
