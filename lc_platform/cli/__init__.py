"""The command line: lc-platform."""

from __future__ import annotations

import gc
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from lc_platform.cli import (
    comparison,
    configuration,
    imports,
    init,
    licences,
    sample_table,
    serving,
)
from lc_platform.cli.console import ConfigFile, err, out, tell_problem, warn, written
from lc_platform.cli.display import Display
from lc_platform.cli.failures import SimilarFailures, grouped
from lc_platform.cli.map_files import map_files, metrics_of, see_it
from lc_platform.cli.plan_tables import AMOUNTS, amounts, notes_on, table_of
from lc_platform.cli.run_summary import summary
from lc_platform.cli.stopping import end_if_asked, stoppable
from lc_platform.config import (
    DEMO_FOLDER,
    FILE_NAME,
    Config,
    load,
)
from lc_platform.errors import PlatformError
from lc_platform.runtime import signals
from lc_platform.runtime.progress import at

app = typer.Typer(
    help="Land-cover maps from satellite time series.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_FAILURES_SHOWN = 5
"""Failures that are listed of an asset and year; similar ones count once."""
_CAUSES_SHOWN = 20
"""Failures that are listed of a run, likewise."""


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.print(f"lc-platform {version('lc-platform')}")
        raise typer.Exit()


@app.callback()
def main_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Land-cover maps from satellite time series."""


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="The folder of the demo.")] = Path(DEMO_FOLDER),
    workers: Annotated[int, typer.Option(min=1, help="The number of worker processes.")] = min(
        2, os.cpu_count() or 1
    ),
) -> None:
    """Make a land-cover map from the simulated archive: no account, no network."""
    from lc_platform.commands import demo as demonstration

    with written(folder):
        config = stoppable(partial(demonstration.prepare, folder))
    end_if_asked()
    report = _run(config, workers=workers)
    end_if_asked()
    if report.succeeded:
        _show(map_files(config))
        for year in config.years:
            judged: Sequence[str] = metrics_of(config, year)["test_patches"]
            truth = stoppable(partial(demonstration.accuracy_against_truth, config, year, judged))
            end_if_asked()
            out.print(
                f"The simulated reference has errors, as real ones have: of the truth {truth:.3f} "
                f"is right in {year}."
            )
        file = folder / FILE_NAME
        _show([see_it(config, file)])
        out.print(f"See the map beside Dagster's UI:  lc-platform ui -c {shlex.quote(str(file))}")
    raise typer.Exit(0 if report.succeeded else 1)


app.command()(init.init)


@app.command()
def run(
    config: ConfigFile,
    year: Annotated[
        list[int] | None, typer.Option(help="A year; all of the configuration by default.")
    ] = None,
    patch: Annotated[
        list[str] | None,
        typer.Option(
            help="A patch's key; all by default. With it, assets of all patches together are made "
            "only if --select names them."
        ),
    ] = None,
    select: Annotated[
        list[str] | None, typer.Option(help="An asset, for example features; all by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="The number of worker processes.")] = 1,
) -> None:
    """Materialize the graph, or a part of it; Dagster's UI shows the same history."""
    configuration = load(config)
    report = _run(
        configuration, years=year or (), patches=patch or (), select=select or (), workers=workers
    )
    if report.succeeded and not patch and not select:
        _show([*map_files(configuration), see_it(configuration, config)])
    raise typer.Exit(0 if report.succeeded else 1)


@app.command()
def plan(
    config: ConfigFile,
    year: Annotated[
        list[int] | None, typer.Option(help="A year; all of the configuration by default.")
    ] = None,
    patch: Annotated[list[str] | None, typer.Option(help="A patch's key; all by default.")] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Do not search the archive; estimate from the satellites' orbits."
        ),
    ] = False,
    patches: Annotated[bool, typer.Option("--patches", help="List each patch too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Show the cost of the imagery before it is acquired: requests, units, bytes, hours, budget."""
    import json

    from lc_platform.commands import plan as planning

    configuration = load(config)
    found = planning.make(
        configuration, _searches, years=year or (), patches=patch or (), offline=offline
    )
    if as_json:
        print(json.dumps(found.to_dict(), indent=1))
        return
    imagery = configuration.imagery
    also = "".join(f" and {one.collection}" for one in imagery.also)
    out.print(
        f"{configuration.name}: {len(found.patches)} patches, {imagery.collection}{also} from "
        f"{imagery.source}"
    )
    rows: list[tuple[str, ...]] = [(str(y), *amounts(found, n)) for y, n in found.years.items()]
    if len(rows) > 1:
        rows.append(("all", *amounts(found, found.total)))
    out.print(table_of(("year", *AMOUNTS), rows, found.remote))
    if patches:
        rows = [(f"{p} {y}", *amounts(found, n)) for (p, y), n in found.needs.items()]
        out.print(table_of(("patch", *AMOUNTS), rows, found.remote))
    for line in notes_on(found):
        out.print(line, markup=False)
    for key, y in found.without[:_FAILURES_SHOWN]:
        warn(f"{key} {y}: the archive has no acquisition")
    more = len(found.without) - _FAILURES_SHOWN
    if more > 0:
        err.print(f"  and none of {more} more patches and years")


def _nothing_yet(config: Path) -> str:
    return (
        "Nothing has been made yet. `lc-platform check` says whether all is ready, "
        f"`lc-platform run -c {shlex.quote(str(config))}` makes the map."
    )


@app.command()
def status(config: ConfigFile) -> None:
    """Show for each asset and year what is done, missing, stale and failed, and why.

    A partition that waits for a failed one counts as missing, not as failed.

    An archive on the network is not searched: its new acquisitions and corrections show when
    raw_bands is run. Those of a catalog in a folder show here.
    """
    # Garbage collection would take a fifth of the time of so short a process.
    gc.disable()
    try:
        configuration = load(config)
        from lc_platform.commands.instance import closed_home
        from lc_platform.commands.status import status as statuses

        rows = statuses(configuration)
    finally:
        gc.enable()
    if home := closed_home(configuration):
        warn(
            f"{home}: Dagster's records cannot be read, as nothing can be written there. What "
            "failed is not told",
        )
    if all(row.is_untouched for row in rows):
        out.print(_nothing_yet(config), markup=False)
        return
    table = Table("asset", "year", "done", "total", "missing", "stale", "failed", box=None)
    for row in rows:
        missing, stale = row.count("missing"), row.count("stale")
        why = row.why_missing
        table.add_row(
            row.asset,
            str(row.year or ""),
            str(row.done),
            str(len(row.states)),
            f"{missing}: {why}" if why else str(missing or ""),
            f"{stale}: {row.why_stale}" if stale else "",
            str(len(row.failed) or ""),
        )
    out.print(table)
    for row in rows:
        failed = grouped((row.asset, where, why) for where, why in row.failed.items())
        _list_failures(failed, _FAILURES_SHOWN)
        for warning in row.warnings:
            err.print(f"[yellow]warning[/yellow] {row.asset} {row.year}: {escape(warning)}")


@app.command()
def check(
    config: ConfigFile,
    deployment: Annotated[
        bool,
        typer.Option(
            "--deployment",
            help="Check only the store and Dagster's records, as before a server starts: "
            "neither the files nor the archive.",
        ),
    ] = False,
) -> None:
    """Check whether the work can begin: the configuration, the area, the reference and its classes,
    the archive, the store, Dagster's records."""
    configuration = load(config)
    found = stoppable(partial(_inspected, configuration, deployment=deployment))
    for fact in found.facts:
        out.print(fact, markup=False)
    for warning in found.warnings:
        warn(warning)
    for problem in found.problems:
        tell_problem(problem)
    if found.problems:
        count = len(found.problems)
        out.print(f"{configuration.name}: not ready, {count} {'error' if count == 1 else 'errors'}")
        raise typer.Exit(1)
    out.print(f"{configuration.name}: ready, {configuration.storage_url}")


def _inspected(config: Config, *, deployment: bool) -> Any:
    """Return facts, warnings and problems of the inputs, the store and Dagster's records."""
    with at("loading the platform"):
        from lc_platform import assets
        from lc_platform.commands import inputs
        from lc_platform.commands import run as running
        from lc_platform.platform import Platform

        recipes = [asset.recipe for asset in assets.ALL]
    found = inputs.Inputs()
    if not deployment:
        found = inputs.inspect(Platform(config, recipes))
    try:
        with at("store and Dagster's records"):
            found.warnings[:0] = running.check(config)
    except PlatformError as error:
        found.problems.append(str(error))
    return found


@app.command()
def verify(
    config: ConfigFile,
    year: Annotated[
        list[int] | None, typer.Option(help="A year; may be given several times.")
    ] = None,
    patch: Annotated[
        list[str] | None, typer.Option(help="A patch's key; may be given several times.")
    ] = None,
) -> None:
    """Read all stored artefacts and list the damaged ones; `run` makes those again."""
    configuration = load(config)
    from lc_platform.commands.instance import RunError
    from lc_platform.commands.status import status as statuses
    from lc_platform.commands.verify import Verification
    from lc_platform.storage.errors import MissingArtefactError

    try:
        found = Verification(configuration, year or (), patch or ())
    except MissingArtefactError:
        if all(row.is_untouched for row in statuses(configuration)):
            raise RunError(_nothing_yet(config)) from None
        raise
    read = problems = 0
    display = Display(out)

    def work() -> None:
        nonlocal read, problems
        for one in display.stage("verify", len(found.artefacts), found):
            read += 1
            if one.problem:
                problems += 1
                out.print(f"{one.asset} {one.partition}: {one.problem}", markup=False)

    try:
        stoppable(work, display)
    finally:
        of = f"of {len(found.artefacts)} " if read < len(found.artefacts) else ""
        out.print(f"{read} {of}artefacts read, {problems} damaged.")
        if problems:
            out.print("`lc-platform run` makes them again.")
    if problems:
        raise typer.Exit(1)


@app.command()
def sample(
    config: ConfigFile,
    year: Annotated[int, typer.Option(help="The year whose map is sampled.")],
    standard_error: sample_table.StandardError = None,
    points: sample_table.Points = None,
    allocation: sample_table.AllocationMethod = "mixed",
    seed: sample_table.Seed = None,
    again: sample_table.Again = False,
) -> None:
    """Draw points at random from a year's map into reference_sample/{year}.gpkg, to be judged by
    people: the next run estimates the areas of its classes from them, with their uncertainty."""
    from lc_platform.commands import sample as sampling

    asked: dict[str, Any] = {"standard_error": standard_error, "points": points, "seed": seed}
    asked |= {"allocation": allocation, "again": again}
    work = partial(sampling.sample, load(config), year, **asked)
    sample_table.show(stoppable(work), year, f"lc-platform run -c {shlex.quote(str(config))}", out)


@app.command()
def prune(
    config: ConfigFile,
    older_than: Annotated[
        float | None,
        typer.Option(help="Hours; object_store.keep_replaced of the configuration by default."),
    ] = None,
    unfinished_older_than: Annotated[
        float | None,
        typer.Option(
            help="Days, for imagery whose acquisition has stopped before its end; "
            "object_store.keep_unfinished of the configuration by default."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List them, and remove nothing.")
    ] = False,
) -> None:
    """Remove replaced versions of artefacts, and unfinished ones."""
    from datetime import timedelta

    from lc_platform.storage.prune import prune as removed
    from lc_platform.storage.store import Store

    configuration = load(config)
    hours = configuration.object_store.keep_replaced if older_than is None else older_than
    days = None if unfinished_older_than is None else timedelta(days=unfinished_older_than)
    found = removed(
        Store.of(configuration), timedelta(hours=hours), unfinished=days, dry_run=dry_run
    )
    for one in found:
        out.print(f"{one.key}  {one.bytes / 1e6:.1f} MB", markup=False)
    did = "would be removed" if dry_run else "removed"
    out.print(f"{len(found)} versions, {sum(one.bytes for one in found) / 1e9:.2f} GB {did}.")


@app.command()
def report(
    config: ConfigFile,
    year: Annotated[
        list[int] | None, typer.Option(help="A year; all of the configuration by default.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A file that the report of one year is copied to."),
    ] = None,
) -> None:
    """Write the report of a year's map: one HTML file that can be mailed and printed."""
    from lc_platform.commands import report as reporting

    configuration = load(config)
    display = Display(out)

    def work() -> reporting.Reports:
        return reporting.report(configuration, display.outcomes, year or (), output)

    made = stoppable(work, display)
    for warning in made.warnings:
        warn(warning)
    _list_failures(grouped(made.run.failures), _CAUSES_SHOWN)
    for one, file in made.files.items():
        out.print(f"Report of {one}:   {file}", markup=False)
    raise typer.Exit(0 if made.run.succeeded and made.files else 1)


@app.command()
def compare(
    files: comparison.Files,
    folder: comparison.Folder = Path("comparison"),
    year: Annotated[
        list[int] | None, typer.Option(help="A year; all of the configurations by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Validate several configurations on the same ground, and say how they differ."""
    from lc_platform.commands import compare as comparing

    configurations = comparison.loaded(files)
    display = Display(out)

    def work() -> comparing.Comparison:
        return comparing.compare(
            configurations, display.outcomes, folder, years=year or (), workers=workers
        )

    found = stoppable(work, display)
    for name, run in found.runs.items():
        for warning in [*run.warnings, *([run.stopped] if run.stopped else [])]:
            warn(f"{name}: {warning}")
        _list_failures(grouped(run.failures), _CAUSES_SHOWN)
    for warning in found.warnings:
        warn(warning)
    for table in comparison.tables(found):
        out.print(table)
    for line in comparison.lines(found):
        out.print(line, markup=False)
    done = all(run.succeeded for run in found.runs.values())
    raise typer.Exit(0 if done and found.files and not found.left_out else 1)


app.add_typer(configuration.app, name="config")
app.add_typer(imports.app, name="import")
app.command()(licences.licences)
app.command()(serving.metrics)
app.command()(serving.ui)
app.command("map")(serving.web_map)


def _run(config: Config, **asked: Any) -> Any:
    from lc_platform.commands import run as running

    display = Display(out)

    def work() -> running.Report:
        return running.run(config, display.outcomes, **asked)

    report = stoppable(work, display)
    for warning in report.warnings:
        warn(warning)
    out.print(summary(report))
    if report.notes:
        out.print(report.notes, markup=False)
    _list_failures(grouped(report.failures), _CAUSES_SHOWN)
    for year, patches in report.missing.items():
        if patches:
            # All of them: whoever uses the map has to know.
            err.print(f"{year}: not in the map: {', '.join(patches)}", markup=False)
    if report.stopped:
        err.print(f"[red]stopped[/red]: {report.stopped}")
    if report.interrupted:
        err.print("[red]stopped[/red]; the same command goes on from here.")
        raise typer.Exit(signals.status())
    return report


def _list_failures(failures: Sequence[SimilarFailures], most: int) -> None:
    for one in failures[:most]:
        err.print(f"[red]failed[/red] {one}")
        err.print(f"  {one.reason}", markup=False)
    if rest := failures[most:]:
        count = sum(len(one.partitions) for one in rest)
        err.print(f"  and {count} more with other reasons; Dagster's UI has them all")


def _searches(total: int, results: Iterable[Any]) -> Iterator[Any]:
    """Pass results on, and show their number on standard error."""
    with Display(err) as display:
        yield from display.stage("patches and years searched", total, results)


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        out.print(line, markup=False)


def main() -> None:
    """The entry point: errors a user can mend are a message, not a traceback."""
    try:
        app()
    except PlatformError as error:
        tell_problem(str(error))
        raise SystemExit(1) from None
