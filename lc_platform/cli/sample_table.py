"""What `sample` is asked for, and what it says of the points that it has drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from lc_platform.commands.sample import Sampled


StandardError = Annotated[
    float | None,
    typer.Option(
        help="Of the overall accuracy, 0.01 by default: the number of points follows from it."
    ),
]
Points = Annotated[
    int | None, typer.Option(min=1, help="How many points, in place of --standard-error.")
]
AllocationMethod = Annotated[
    str,
    typer.Option(
        help="How they are shared among the classes: mixed (some of each, the rest by area), "
        "equal, proportional, or optimal (by area and expected accuracy)."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Another seed, another draw; 42 by default.")]
Again = Annotated[
    bool,
    typer.Option("--again", help="Complement the sample that is there; what is judged is kept."),
]


def show(found: Sampled, year: int, command: str, out: Console) -> None:
    """Print a sample's strata, what was done, and what is to be done next.

    command  that makes the areas when the points are judged
    """
    out.print(_table_of(found))
    for line in _lines_of(found, year, command):
        out.print(line, markup=False)


def _table_of(found: Sampled) -> Table:
    """A row a stratum."""
    table = Table("class", box=None)
    for name in ("pixels", "hectares", "expected user's accuracy", "points", "anticipated +- ha"):
        table.add_column(name, justify="right")
    for one in found.strata:
        table.add_row(
            one.name,
            str(one.pixels),
            f"{one.hectares:.6g}",
            f"{one.users_accuracy:.2f}",
            str(one.points),
            "" if one.standard_error is None else f"{1.96 * one.standard_error:.3g}",
        )
    return table


def _lines_of(found: Sampled, year: int, command: str) -> Iterator[str]:
    if found.standard_error is not None:
        yield f"Overall accuracy: a standard error of {found.standard_error:.3f} is anticipated."
    did = "complemented" if found.complemented else "drawn"
    yield (
        f"{found.path}: {found.points} points of {len(found.strata)} strata, {did} from the map of "
        f"{year} (mosaic {found.mosaic_version}) with seed {found.seed}."
    )
    if found.complemented:
        yield (
            f"{found.kept} judged points are in it as they were judged; {found.set_aside} that it "
            "does not have any more are kept in the layer set_aside."
        )
    yield (
        "Fill in its column `reference` (class name or id; leave empty what cannot be judged), for "
        f"example in QGIS. Then:  {command}"
    )
    yield (
        "Judge by what training has not seen, such as images or a visit: filled in from the "
        "training reference, a sample says how well the map repeats it, not how right it is."
    )
