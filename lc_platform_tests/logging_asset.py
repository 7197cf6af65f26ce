"""An asset that writes lines by Dagster and by Python."""

import logging

import dagster as dg

from lc_platform import logs
from lc_platform.assets.partitions import patch_years


@dg.asset(
    partitions_def=patch_years([2023]),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def features(context: dg.AssetExecutionContext) -> None:
    for key in sorted(context.partition_keys):
        patch, year = key.split("|")
        with logs.about(patch=patch, year=int(year)):
            context.log.info("by Dagster")
            logging.getLogger("lc_platform.eo").info("by Python")
