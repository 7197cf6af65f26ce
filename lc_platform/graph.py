"""The whole platform on one screen: assets, checks, jobs, schedules, sensors, resources."""

from __future__ import annotations

import dagster as dg

from lc_platform import assets, automation, config, logs, report
from lc_platform.artefacts.formats import formats
from lc_platform.assets.checks import checks
from lc_platform.assets.io_manager import ArtefactIOManager
from lc_platform.assets.partitions import quiet
from lc_platform.platform import Platform
from lc_platform.runtime.memory import return_large_arrays
from lc_platform.runtime.redaction import conceal_warnings


def build(configuration: config.Config) -> dg.Definitions:
    """The platform for a configuration."""
    return_large_arrays()
    conceal_warnings()
    platform = Platform(configuration, [asset.recipe for asset in assets.ALL])
    present = platform.partition_years
    completeness = automation.completeness_checks(platform)
    links = report.MapLinks(configuration.viewer.address, platform.grid)
    aged = automation.freshness(configuration.operations)
    with quiet():
        return dg.Definitions(
            assets=[
                asset.bound(years, configuration.patches_per_run).map_asset_specs(aged)
                for asset in assets.ALL
                if (years := present.get(asset.name))
            ],
            asset_checks=[*checks(configuration.years), completeness],
            jobs=automation.jobs(present, completeness),
            schedules=automation.schedules(platform),
            sensors=automation.sensors(platform),
            loggers={"console": dg.colored_console_logger, "json": logs.json_lines},
            resources={
                "platform": platform,
                "io_manager": ArtefactIOManager(
                    platform.store,
                    formats(configuration.processing.threads),
                    report.Describer(platform.account, links),
                    platform.clock,
                    platform.failed_before,
                ),
            },
            executor=dg.in_process_executor,
        )
