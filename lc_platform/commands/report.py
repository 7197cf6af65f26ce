"""The report of a year's map, made where it is not current, and copied to where it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lc_platform import assets
from lc_platform.artefacts.layout import key
from lc_platform.commands import run as running
from lc_platform.commands.instance import chosen
from lc_platform.config import Config
from lc_platform.errors import PlatformError
from lc_platform.platform import Platform

MADE_OF = ("model", "evaluation", "mosaic", "area_statistics", "objects", "alignment")
"""What must be current for a report to say what the configuration says."""


class ReportError(PlatformError):
    """There is nothing to report of, or no place to write it to."""


@dataclass
class Reports:
    """The reports that were asked for."""

    run: running.Report
    files: dict[int, str] = field(default_factory=dict)
    """By year: where the report lies."""
    warnings: list[str] = field(default_factory=list)


def report(
    config: Config,
    progress: running.Progress,
    years: Sequence[int] = (),
    output: Path | None = None,
) -> Reports:
    """Make the reports of years that are not current; all of the configuration where none is given.

    output  a file that the report of one year is copied to

    Raises RunError where a year is not of the configuration; ReportError where a year has no map
    and metrics, several years are asked for in one file, or that cannot be written.
    """
    wanted = chosen(years, config.years, "--year", "years of the configuration")
    if output is not None and len(wanted) > 1:
        raise ReportError(
            f"{output}: is one file, and {len(wanted)} years are asked for. Name one by --year"
        )
    platform = Platform(config, [asset.recipe for asset in assets.ALL])
    platform.store.expect_folder()
    for year in wanted:
        needed = ("evaluation", "mosaic", "area_statistics", "objects")
        missing = [a for a in needed if not platform.store.exists(key(a, year=year))]
        if missing:
            raise ReportError(
                f"{year}: there is no {', '.join(missing)} to report of. Make them first: "
                "lc-platform run"
            )
    made = Reports(running.run(config, progress, years=wanted, select=["report"]))
    snapshot = platform.versions.look()
    for year in wanted:
        for asset in MADE_OF:
            stale = [s for s in snapshot.states(asset, year).values() if s.kind == "stale"]
            if stale:
                made.warnings.append(
                    f"{year}: {asset}, which the report tells of, is not current "
                    f"({stale[0].why}). Make it again: lc-platform run"
                )
        at = key("report", year=year)
        if not made.run.failures and platform.store.exists(at):
            made.files[year] = platform.store.path(at)
            if output is not None:
                try:
                    output.write_bytes(platform.store.read_bytes(at))
                except OSError as error:
                    raise ReportError(
                        f"{output}: cannot be written ({error.strerror}). Give another file"
                    ) from error
                made.files[year] = str(output)
    return made
