"""`lc-platform init`: what it asks, where there is a terminal, and what it writes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from lc_platform.cli.console import err, out, warn, written
from lc_platform.config import CATALOGS, SOURCES, load, template
from lc_platform.errors import PlatformError

_Answer = TypeVar("_Answer")
_SHOWN = 40
"""Classes that are listed."""
_NONE = "none"


def init(
    folder: Annotated[Path, typer.Argument(help="The folder for the configuration.")],
    source: Annotated[
        str | None, typer.Option(help=f"The imagery archive: {', '.join(SOURCES)}.")
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(help=f"Of stac: {', '.join(CATALOGS)}, or the path or URL of a catalog."),
    ] = None,
    area: Annotated[
        str | None,
        typer.Option(
            help="A file with the boundary; or west south east north, or longitude latitude of a "
            "place, in degrees, in quotes."
        ),
    ] = None,
    years: Annotated[str | None, typer.Option(help="Such as 2023, or 2020-2023.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="The reference map: a vector file or a raster.")
    ] = None,
    attribute: Annotated[
        str | None, typer.Option(help="The attribute of the reference that holds the class.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing, and take the defaults.")
    ] = False,
) -> None:
    """Write a commented configuration to start from. At a terminal it asks for the archive, the
    area, the years and the reference, and proposes the classes that the reference has; elsewhere,
    and with --yes, options say it."""
    from lc_platform.commands import new_configuration as new

    if source is not None and source not in SOURCES:
        raise PlatformError(f"--source {source}: there are {', '.join(SOURCES)}")
    if catalog is not None and source not in (None, "stac"):
        raise PlatformError(f"--catalog: is of source stac, and the source is {source}")
    new.file_in(folder)
    asking = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    if not asking and (source or "simulated") not in ("stac", "sentinel_hub"):
        source = None if catalog else source or "simulated"
    if not asking and not any((catalog, area, years, reference)):
        plain = source or "simulated"
        _write(folder, template(plain), plain, own_reference=False)
        return
    archive = _archive(new, source, catalog, asking)
    if attribute is not None and reference is None and not asking:
        raise PlatformError("--attribute: is of --reference, which is not given. Give both")
    proposal = _reference(new, folder, archive.source, reference, attribute, asking)
    where = _area(new, archive.source, area, proposal, asking)
    when = _years(new, archive.source, years, proposal, asking)
    text = new.text_of(folder, archive, area=where, years=when, reference=proposal)
    _write(folder, text, archive.source, own_reference=proposal is not None)


def _write(folder: Path, text: str, source: str, *, own_reference: bool) -> None:
    from lc_platform.commands import new_configuration as new

    with written(folder):
        file = new.write(folder, text)
        out.print(f"{file} is written; edit it.", markup=False)
        config = load(file)
        if source == "simulated" and not own_reference:
            from lc_platform.commands import demo as demonstration

            reference = demonstration.write_reference(config)
            if reference is not None:
                out.print(f"{reference} is the reference it names.", markup=False)
        elif source == "simulated":
            warn(
                "the simulated archive shows a landscape of its own. With a reference that it has "
                "not written, the map shows that all works, and is right no more often than by "
                "guessing. For a map of your area take another archive",
            )
    named = shlex.quote(str(file))
    out.print(f"Look at it:  lc-platform check -c {named}", markup=False)
    out.print(f"Then:  lc-platform run -c {named}", markup=False)


def _asked(
    question: str,
    given: str | None,
    default: str,
    read: Callable[[str], _Answer],
    asking: bool,
) -> _Answer:
    """Return what an option, an answer or the default says; asked again where it is not
    understood."""
    if given is not None or not asking:
        return read(given if given is not None else default)
    while True:
        try:
            return read(typer.prompt(question, default=default))
        except PlatformError as error:
            err.print("[yellow]not understood[/yellow]:", end=" ")
            err.print(str(error), markup=False)


def _archive(new: Any, source: str | None, catalog: str | None, asking: bool) -> Any:
    given = catalog or source
    choices = ", ".join((*CATALOGS, "sentinel_hub", "simulated"))
    return _asked(
        f"Imagery archive ({choices}, or a STAC catalog)",
        given,
        CATALOGS[0],
        new.archive_of,
        asking,
    )


def _reference(
    new: Any,
    folder: Path,
    source: str,
    given: Path | None,
    attribute: str | None,
    asking: bool,
) -> Any:
    """Return the proposal of a reference; None where there is none yet."""
    from lc_platform.commands import reference_proposal as proposing

    def read(text: str) -> Any:
        text = text.strip().strip("'\"")
        if text in ("", _NONE):
            return None
        return proposing.propose(new.path_of(text), attribute)

    files = _likely(folder) if asking and given is None else []
    if len(files) > 1:
        out.print("Files here that may be the reference map:")
        for file in files:
            out.print(f"  {file}", markup=False)
    default = str(files[0]) if len(files) == 1 else _NONE
    without = "the simulated landscape's own, of ten classes" if source == "simulated" else "later"
    question = f"Reference map (a vector file or a raster; {_NONE}: {without})"
    found = _asked(question, None if given is None else str(given), default, read, asking)
    if found is None:
        if asking and source == "simulated":
            names = ", ".join(new.usual_classes(source))
            out.print(f"Classes of the simulated landscape: {names}", markup=False)
        return None
    if asking and attribute is None and len(found.attributes) > 1:
        out.print("Attributes that may hold the class:")
        for name, values in found.attributes.items():
            named = name == found.attribute and found.names_from
            names = f"; the names are taken from {named}" if named else ""
            out.print(f"  {name}  {values}{names}", markup=False)
        found = _asked(
            "Attribute that holds the class",
            None,
            found.attribute,
            lambda name: proposing.propose(found.path, name),
            asking,
        )
    _show(found)
    return found


def _likely(folder: Path) -> list[Path]:
    """Return the files here that may be a reference."""
    kinds = ("*.gpkg", "*.shp", "*.geojson", "*.parquet", "*.tif", "*.fgb")
    places = dict.fromkeys(one.resolve() for one in (folder, Path.cwd()) if one.is_dir())
    return [file for place in places for kind in kinds for file in sorted(place.glob(kind))]


def _show(proposal: Any) -> None:
    of = f" of its attribute {proposal.attribute}" if proposal.attribute else ""
    of += f", with names from {proposal.names_from}" if proposal.names_from else ""
    out.print(f"Classes of {Path(proposal.path).name}, by the values{of}:", markup=False)
    table = Table("", "id", "name", "values", box=None)
    for one in proposal.classes[:_SHOWN]:
        color = Text("##", style=f"{one['color']} on {one['color']}")
        values = ", ".join(map(str, one["values"]))
        table.add_row(color, str(one["id"]), Text(one["name"]), Text(values))
    out.print(table)
    if len(proposal.classes) > _SHOWN:
        out.print(f"and {len(proposal.classes) - _SHOWN} more")
    if proposal.ignore:
        out.print(f"No label: {', '.join(map(str, proposal.ignore))}", markup=False)
    if proposal.unlabelled:
        several = proposal.unlabelled > 1
        out.print(
            f"{proposal.unlabelled} feature{'s have' if several else ' has'} no value of "
            f"{proposal.attribute}, so no class, and {'are' if several else 'is'} left out",
            markup=False,
        )
    if proposal.crs is not None:
        out.print(
            f"The reference is in {proposal.crs}. The map will be in UTM; for a map in "
            f'{proposal.crs} write `crs: "{proposal.crs}"` in the section aoi',
            markup=False,
        )
    for note in proposal.notes:
        warn(note)
    if not proposal.complete:
        warn(
            "the raster is large, and a part of its pixels was looked at: rare values may be "
            "missing, which `lc-platform check` names",
        )


def _area(new: Any, source: str, given: str | None, proposal: Any, asking: bool) -> Any:
    """Return the keys of `aoi` that say where; None for the template's."""
    extent = None if proposal is None else proposal.extent
    template_s = extent is None and given is None
    if extent is not None:
        default = " ".join(f"{one:.5f}" for one in extent)
    else:
        default = " ".join(map(str, new.usual_box(source)))
    if template_s and not asking:
        return None
    question = "Area (a file; west south east north; or longitude latitude of a place)"
    return _asked(question, given, default, lambda text: new.area_of(text, extent), asking)


def _years(new: Any, source: str, given: str | None, proposal: Any, asking: bool) -> Any:
    year = new.usual_year(source, proposal)
    dated = None if proposal is None else proposal.dated
    question = "Years"
    if dated is not None:
        says = f"the reference's {dated.by} says {dated.year}"
        question += f" ({says})"
        if not asking and given is None and dated.year == year:
            out.print(f"Year {year}, since {says}.", markup=False)
    return _asked(question, given, str(year), new.years_of, asking)
