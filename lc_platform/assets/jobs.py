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


STANDING = "standing_checks"
"""The job of the standing checks, which are of no job of their asset: they look at all of it."""
STANDING_ASSET = "patch_grid"
"""Where the standing checks are shown: beside the list of all patches."""


def standing_name(asset: str) -> str:
    """What the standing check of an asset is called."""
    return f"{asset}_complete"


def jobs(
    standing: dg.AssetChecksDefinition | None = None,
) -> Sequence[dg.UnresolvedAssetJobDefinition]:
    """The jobs of the graph; and one of the standing checks, which are in no other."""
    apart = dg.AssetSelection.checks(standing) if standing is not None else None

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
                STANDING,
                selection=apart,
                description="List what is missing, stale or failed, of every asset and year.",
                executor_def=dg.in_process_executor,
            )
        )
    return found
