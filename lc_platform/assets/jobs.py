"""The jobs, in the order of the graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import dagster as dg

JOBS: Mapping[str, tuple[str, ...]] = {
    "grid": ("patch_grid",),
    "reference": ("reference_rasters",),
    "patch_year": (
        "raw_bands",
        "cloud_masks",
        "observation_stats",
        "alignment",
        "features",
        "training_samples",
    ),
    "training": ("model",),
    "prediction": ("predictions", "held_out_predictions"),
    "mosaicking": ("evaluation", "mosaic", "area_statistics", "objects", "report", "catalog"),
    "change_detection": ("change",),
}
"""Job -> its assets; a later job needs the earlier ones."""

DESCRIPTIONS: Mapping[str, str] = {
    "grid": "Split the area into patches. Run it first: it makes the patches' partitions.",
    "reference": "Rasterize the reference of a patch.",
    "patch_year": "Acquire a patch in a year, detect clouds, compute features, draw samples.",
    "training": "Train on the samples of all patches of a year.",
    "prediction": "Predict a patch with the year's model, and where it has a reference with models "
    "of other ground.",
    "mosaicking": (
        "Evaluate a year, join its predictions into one map, add up its areas, give objects "
        "their classes, report, and list all of it in a STAC catalog."
    ),
    "change_detection": "Find what has changed since the year before, from the predictions of both "
    "years and of those around them.",
}


COMPLETENESS = "completeness_checks"
"""The job of the completeness checks. They read the state of all partitions: no other job has
them."""
COMPLETENESS_ASSET = "patch_grid"
"""The asset that has the completeness checks: its page has the list of all patches."""


def completeness_name(asset: str) -> str:
    """Return the name of the completeness check of an asset."""
    return f"{asset}_complete"


def jobs(
    present: Collection[str],
    completeness: dg.AssetChecksDefinition | None = None,
) -> Sequence[dg.UnresolvedAssetJobDefinition]:
    """Return the jobs of the graph, and that of the completeness checks, which are in no other.

    present  the assets that the graph has
    """
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
        if set(assets) <= set(present)
    ]
    if apart is not None:
        found.append(
            dg.define_asset_job(
                COMPLETENESS,
                selection=apart,
                description="List missing, stale and failed partitions of every asset and year.",
                executor_def=dg.in_process_executor,
            )
        )
    return found
