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
    "training": ("model", "evaluation"),
    "prediction": ("predictions",),
    "mosaicking": ("mosaic",),
}
"""Job -> its assets; a later job needs the earlier ones."""

DESCRIPTIONS: Mapping[str, str] = {
    "grid": "Split the area into patches. Run it first: it makes the patches' partitions.",
    "reference": "Burn the reference of a patch.",
    "patch_year": "Acquire a patch's year, find its clouds, make features, draw samples.",
    "training": "Train on the samples of all patches of a year, and evaluate.",
    "prediction": "Predict a patch with the year's model.",
    "mosaicking": "Join a year's predictions into one map.",
}


COMPLETENESS = "completeness_checks"
"""The job of the completeness checks, which look at all partitions: no other job has them."""
COMPLETENESS_ASSET = "patch_grid"
"""Where the completeness checks are shown: beside the list of all patches."""


def completeness_name(asset: str) -> str:
    """What the completeness check of an asset is called."""
    return f"{asset}_complete"


def jobs(
    completeness: dg.AssetChecksDefinition | None = None,
) -> Sequence[dg.UnresolvedAssetJobDefinition]:
    """The jobs of the graph; and one of the completeness checks, which are in no other."""
    apart = dg.AssetSelection.checks(completeness) if completeness is not None else None

    def of(assets: Sequence[str]) -> dg.AssetSelection:
        selected = dg.AssetSelection.assets(*assets)
        return selected if apart is None else selected - apart

    found = [
        dg.define_asset_job(
            name,
            selection=of(assets),
            description=DESCRIPTIONS[name],
            executor_def=dg.in_process_executor,
        )
        for name, assets in JOBS.items()
    ]
    if apart is not None:
        found.append(
            dg.define_asset_job(
                COMPLETENESS,
                selection=apart,
                description="List what is missing, stale or failed, of every asset and year.",
                executor_def=dg.in_process_executor,
            )
        )
    return found
