"""What must hold before the next asset may use an artefact."""

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
from lc_platform.assets.partitions import place
from lc_platform.assets.step_failures import Step, explained, not_again
from lc_platform.errors import DataError

Store = dg.ResourceParam[ArtefactIOManager]
Problems = Mapping[Partition, str]
"""What is wrong, by the partition that it is wrong with; empty where nothing is."""


def checks(years: Sequence[int]) -> list[dg.AssetChecksDefinition]:
    """The gates of the graph."""
    patch_year = partitions.patch_years(years)
    yearly = partitions.years(years)

    @dg.asset_check(asset="patch_grid", blocking=True)
    def grid_not_empty(
        context: dg.AssetCheckExecutionContext, io_manager: Store
    ) -> dg.AssetCheckResult:
        """The area has at least one patch; how many of them have a reference is said beside."""
        step = Step(context.instance, context.run.run_id, "grid_not_empty", context.log)
        with explained(step):
            grid = io_manager.opened("patch_grid", Partition())
        if not grid.patches:
            not_again(step)
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
        """Every patch of the grid has a prediction; one that has none is no data on the map."""
        grid = io_manager.opened("patch_grid", Partition())
        return {
            Partition(patch.key, at.year): f"{patch.key} {at}"
            for patch in grid.patches
            if not io_manager.there("predictions", Partition(patch.key, at.year))
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
    """A check by what is wrong with one partition, recorded for each partition of a run.

    problems  its name is the check's, and its docstring what the check says of itself
    blocking  whether what fails goes no further; else it is a warning

    Dagster records the result of a check that returns one for a partition only where the run is of
    one; in a run over several every partition would then be shown as skipped. So it is recorded
    here, partition by partition.
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
            at = place(key, definition)
            with explained(step, at):
                found = problems(io_manager, at)
            if found and blocking:
                not_again(step)
            yield dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(asset),
                check_name=problems.__name__,
                passed=not found,
                severity=severity,
                blocking=blocking,
                partition=key,
                target_materialization_data=targets.get(key),
                description=_words(found, remedy) if found else None,
                metadata=_named(found) if found else {},
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
    """The materialization that a check looks at, of each partition that has one."""
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


def _words(problems: Problems, remedy: str) -> str:
    """A bounded sample of what is wrong, and what to do."""
    return "; ".join(list(problems.values())[:10]) + (f": {remedy}" if remedy else "")


def _named(problems: Problems) -> Mapping[str, Any]:
    """How much is wrong, and with which partitions."""
    return {
        "count": len(problems),
        FAILED: dg.MetadataValue.json([str(at) for at in problems]),
    }
