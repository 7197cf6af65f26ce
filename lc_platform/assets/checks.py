"""Asset checks: what must hold before the next asset may use an artefact."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from lc_platform import products
from lc_platform.artefacts.layout import Partition
from lc_platform.assets import partitions
from lc_platform.assets.dagster_internals import (
    AssetCheckEvaluationTargetMaterializationData as TargetMaterialization,
)
from lc_platform.assets.io_manager import FAILED, ArtefactIOManager
from lc_platform.assets.partitions import partition_of
from lc_platform.assets.step_failures import Step, explained, forbid_retry
from lc_platform.errors import DataError

Store = dg.ResourceParam[ArtefactIOManager]
Problems = Mapping[Partition, str]
"""Partition -> what is wrong with it; empty if nothing is."""


def checks(years: Sequence[int]) -> list[dg.AssetChecksDefinition]:
    """Return the asset checks of the graph."""
    patch_year = partitions.patch_years(years)
    yearly = partitions.years(years)

    @dg.asset_check(asset="patch_grid", blocking=True)
    def grid_not_empty(
        context: dg.AssetCheckExecutionContext, io_manager: Store
    ) -> dg.AssetCheckResult:
        """The area has at least one patch. The metadata say how many of them have a reference."""
        step = Step(context.instance, context.run.run_id, "grid_not_empty", context.log)
        with explained(step):
            grid = io_manager.opened("patch_grid", Partition())
        if not grid.patches:
            forbid_retry(step)
        covered = sum(grid.has_reference.values())
        return dg.AssetCheckResult(
            passed=bool(grid.patches),
            metadata={"patches": len(grid.patches), "patches_with_reference": covered},
        )

    def acquisition_with_data(io_manager: ArtefactIOManager, at: Partition) -> Problems:
        """At least one acquisition has data on the patch."""
        acquisitions = io_manager.opened("raw_bands", at).acquisitions
        if any(a["data_fraction"] > 0 for a in acquisitions):
            return {}
        return {at: f"patch {at.patch}, {at.year}"}

    def aligned(io_manager: ArtefactIOManager, at: Partition) -> Problems:
        """Bands, acquisitions and the reference lie within half a pixel of one another."""
        problems = io_manager.opened("alignment", at).problems
        return {at: f"{at}: {'; '.join(problems.values())}"} if problems else {}

    def learnt_from_reference(io_manager: ArtefactIOManager, at: Partition) -> Problems:
        """The model tells at least two classes apart, and every training patch has reference."""
        grid = io_manager.opened("patch_grid", Partition())
        card = io_manager.opened("model", at).card
        bare = [p for p in card["training_patches"] if not grid.has_reference.get(p)]
        if bare:
            return {at: f"{at}: training patches without reference: {', '.join(bare[:5])}"}
        if len(card["classes"]) < 2:
            return {at: f"{at}: {len(card['classes'])} class"}
        return {}

    def every_class_has_samples(io_manager: ArtefactIOManager, at: Partition) -> Problems:
        """Every class of the configuration has samples; the map cannot show one that has none."""
        names = io_manager.opened("model", at).card["classes_without_samples"]
        return {at: f"{at}: {', '.join(names)}"} if names else {}

    def predicted_by_this_model(io_manager: ArtefactIOManager, at: Partition) -> Problems:
        """The prediction carries the version of the year's model."""
        model = io_manager.opened("model", Partition(year=at.year))
        found = io_manager.opened("predictions", at).attributes["model_version"]
        try:
            products.model.common_version({str(at.patch): found}, model.version)
        except DataError as error:
            return {at: str(error)}
        return {}

    def mosaic_complete(io_manager: ArtefactIOManager, at: Partition) -> Problems:
        """Every patch of the grid has a prediction; the map has no data where one has none."""
        grid = io_manager.opened("patch_grid", Partition())
        return {
            Partition(patch.key, at.year): f"{patch.key} {at}"
            for patch in grid.patches
            if not io_manager.exists("predictions", Partition(patch.key, at.year))
        }

    return [
        grid_not_empty,
        _of_partitions(
            acquisition_with_data,
            "raw_bands",
            patch_year,
            remedy="no acquisition has data on the patch. Check the archive's footprints, and the "
            "area (aoi)",
        ),
        _of_partitions(aligned, "alignment", patch_year, blocking=False),
        _of_partitions(
            learnt_from_reference,
            "model",
            yearly,
            remedy="Extend the reference, or materialize patch_grid again",
        ),
        _of_partitions(
            every_class_has_samples,
            "model",
            yearly,
            remedy="these classes will not be on the map",
            blocking=False,
        ),
        _of_partitions(predicted_by_this_model, "predictions", patch_year),
        _of_partitions(
            mosaic_complete,
            "mosaic",
            yearly,
            remedy="these patches are no data on the map",
            blocking=False,
        ),
    ]


def _of_partitions(
    problems: Callable[[ArtefactIOManager, Partition], Problems],
    asset: str,
    definition: dg.PartitionsDefinition,
    *,
    remedy: str = "",
    blocking: bool = True,
) -> dg.AssetChecksDefinition:
    """Return a check that is recorded for each partition of a run.

    problems  returns what is wrong with a partition; its name and docstring are the check's
    blocking  whether a failure stops downstream assets; else it is a warning

    Dagster records the result that a check returns only if the run has one partition; in a run over
    several each would be shown as skipped. So the check yields an evaluation for each.
    """
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN

    def evaluate(
        context: dg.AssetCheckExecutionContext, io_manager: Store
    ) -> Iterator[dg.Output[None] | dg.AssetCheckEvaluation]:
        step = Step(context.instance, context.run.run_id, problems.__name__, context.log)
        keys = context.partition_keys
        with explained(step):
            targets = _latest(context.instance, dg.AssetKey(asset), keys)
        yield dg.Output(None)
        for key in keys:
            at = partition_of(key, definition)
            with explained(step, at):
                found = problems(io_manager, at)
            if found and blocking:
                forbid_retry(step)
            yield dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(asset),
                check_name=problems.__name__,
                passed=not found,
                severity=severity,
                blocking=blocking,
                partition=key,
                target_materialization_data=targets.get(key),
                description=_description(found, remedy) if found else None,
                metadata=_metadata(found) if found else {},
            )

    return dg.asset_check(
        asset=asset,
        name=problems.__name__,
        description=problems.__doc__,
        blocking=blocking,
        partitions_def=definition,
    )(evaluate)  # type: ignore[arg-type]


def _latest(
    instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Collection[str]
) -> Mapping[str, TargetMaterialization]:
    """Return the latest materialization of each partition that has one."""
    latest = instance.event_log_storage.get_latest_storage_id_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION, set(keys)
    )
    if not latest:
        return {}
    wanted = dg.AssetRecordsFilter(asset, storage_ids=list(latest.values()))
    records = instance.fetch_materializations(wanted, limit=len(latest)).records
    return {
        str(record.partition_key): TargetMaterialization(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for record in records
    }


def _description(problems: Problems, remedy: str) -> str:
    """Return the first problems, and what to do."""
    return "; ".join(list(problems.values())[:10]) + (f": {remedy}" if remedy else "")


def _metadata(problems: Problems) -> Mapping[str, Any]:
    """Return how many problems there are, and with which partitions."""
    return {
        "count": len(problems),
        FAILED: dg.MetadataValue.json([str(at) for at in problems]),
    }
