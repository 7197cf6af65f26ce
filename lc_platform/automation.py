"""The jobs: what is launched together, in the order of the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

JOBS: Mapping[str, tuple[str, ...]] = {
    "grid": ("patch_grid",),
    "reference": ("reference_rasters",),
    "patch_year": (
        "raw_bands",
        "cloud_masks",
        "observation_stats",
        "features",
        "training_samples",
    ),
    "learning": ("model", "evaluation"),
    "mapping": ("predictions",),
    "joining": ("mosaic",),
}
"""Job -> its assets; a later job needs the earlier ones."""

DESCRIPTIONS: Mapping[str, str] = {
    "grid": "Split the area into patches. Run it first: it makes the patches' partitions.",
    "reference": "Burn the reference of a patch.",
    "patch_year": "Acquire a patch's year, find its clouds, make features, draw samples.",
    "learning": "Train on the samples of all patches of a year, and evaluate.",
    "mapping": "Predict a patch with the year's model.",
    "joining": "Join a year's predictions into one map.",
}


def jobs() -> Sequence[dg.UnresolvedAssetJobDefinition]:
    return [
        dg.define_asset_job(
            name,
            selection=dg.AssetSelection.assets(*assets),
            description=DESCRIPTIONS[name],
            executor_def=dg.in_process_executor,
        )
        for name, assets in JOBS.items()
    ]
