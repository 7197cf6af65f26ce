"""What must hold before the next asset may use an artefact."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from lc_platform.artefacts.layout import Place
from lc_platform.assets import partitions
from lc_platform.assets.io_manager import FAILED, ArtefactIOManager
from lc_platform.assets.partitions import place
from lc_platform.errors import DataError
from lc_platform.products.model import common_version

Store = dg.ResourceParam[ArtefactIOManager]


def checks(years: Sequence[int]) -> list[dg.AssetChecksDefinition]:
    """The gates of the graph."""
    patch_year = partitions.patch_years(years)
    yearly = partitions.years(years)

    def here(context: dg.AssetCheckExecutionContext, definition: Any) -> list[Place]:
        return [place(key, definition) for key in context.partition_keys]

    @dg.asset_check(asset="patch_grid", blocking=True)
    def grid_not_empty(io_manager: Store) -> dg.AssetCheckResult:
        """The area has at least one patch; how many of them have a reference is said beside."""
        grid = io_manager.opened("patch_grid", Place())
        covered = sum(grid.has_reference.values())
        return dg.AssetCheckResult(
            passed=bool(grid.patches),
            metadata={"patches": len(grid.patches), "patches_with_reference": covered},
        )

    @dg.asset_check(asset="raw_bands", blocking=True, partitions_def=patch_year)
    def acquisition_with_data(
        context: dg.AssetCheckExecutionContext, io_manager: Store
    ) -> dg.AssetCheckResult:
        """At least one acquisition has data on the patch."""
        empty = {
            at: f"patch {at.patch}, {at.year}"
            for at in here(context, patch_year)
            if not any(
                a["data_fraction"] > 0 for a in io_manager.opened("raw_bands", at).acquisitions
            )
        }
        return _verdict(
            empty,
            "no acquisition has data on the patch. Check the archive's footprints, and the area "
            "(aoi)",
        )

    @dg.asset_check(asset="model", blocking=True, partitions_def=yearly)
    def learnt_from_reference(
        context: dg.AssetCheckExecutionContext, io_manager: Store
    ) -> dg.AssetCheckResult:
        """The model tells at least two classes apart, and every training patch has reference."""
        grid = io_manager.opened("patch_grid", Place())
        problems = {}
        for at in here(context, yearly):
            card = io_manager.opened("model", at).card
            bare = [p for p in card["training_patches"] if not grid.has_reference.get(p)]
            if len(card["classes"]) < 2:
                problems[at] = f"{at}: {len(card['classes'])} class"
            if bare:
                problems[at] = f"{at}: training patches without reference: {', '.join(bare[:5])}"
        return _verdict(problems, "Extend the reference, or materialize patch_grid again")

    @dg.asset_check(asset="model", partitions_def=yearly)
    def every_class_has_samples(
        context: dg.AssetCheckExecutionContext, io_manager: Store
    ) -> dg.AssetCheckResult:
        """Every class of the configuration has samples; the map cannot show one that has none."""
        absent = {
            at: f"{at}: {', '.join(names)}"
            for at in here(context, yearly)
            if (names := io_manager.opened("model", at).card["classes_without_samples"])
        }
        return _verdict(
            absent, "these classes will not be on the map", severity=dg.AssetCheckSeverity.WARN
        )

    @dg.asset_check(asset="predictions", blocking=True, partitions_def=patch_year)
    def predicted_by_this_model(
        context: dg.AssetCheckExecutionContext, io_manager: Store
    ) -> dg.AssetCheckResult:
        """The prediction carries the version of the year's model."""
        problems = {}
        for at in here(context, patch_year):
            model = io_manager.opened("model", Place(year=at.year))
            found = io_manager.opened("predictions", at).attributes["model_version"]
            try:
                common_version({str(at.patch): found}, model.version)
            except DataError as error:
                problems[at] = str(error)
        return _verdict(problems)

    @dg.asset_check(asset="mosaic", partitions_def=yearly)
    def mosaic_complete(
        context: dg.AssetCheckExecutionContext, io_manager: Store
    ) -> dg.AssetCheckResult:
        """Every patch of the grid has a prediction; one that has none is no data on the map."""
        grid = io_manager.opened("patch_grid", Place())
        gaps = {
            Place(patch.key, at.year): f"{patch.key} {at}"
            for at in here(context, yearly)
            for patch in grid.patches
            if not io_manager.there("predictions", Place(patch.key, at.year))
        }
        return _verdict(
            gaps, "these patches are no data on the map", severity=dg.AssetCheckSeverity.WARN
        )

    return [
        grid_not_empty,
        acquisition_with_data,
        learnt_from_reference,
        every_class_has_samples,
        predicted_by_this_model,
        mosaic_complete,
    ]


def _verdict(
    problems: Mapping[Place, str],
    remedy: str = "",
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Passed where there is no problem; else every place that has one, and a bounded sample."""
    if not problems:
        return dg.AssetCheckResult(passed=True, severity=severity)
    return dg.AssetCheckResult(
        passed=False,
        severity=severity,
        description="; ".join(list(problems.values())[:10]) + (f": {remedy}" if remedy else ""),
        metadata={
            "count": len(problems),
            FAILED: dg.MetadataValue.json([str(place) for place in problems]),
        },
    )
