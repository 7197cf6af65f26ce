"""`lc-platform compare`: its arguments, and the table that it prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from lc_platform.config import Config, ConfigError, load

if TYPE_CHECKING:
    from lc_platform.commands.compare import Comparison

Files = Annotated[
    list[Path],
    typer.Argument(help="Configuration files; the others are compared with the first."),
]
Folder = Annotated[
    Path,
    typer.Option(help="Where each has a store of its own, and the comparison is written."),
]


def loaded(files: list[Path]) -> dict[str, Config]:
    """Return configurations by their files' names. Raises ConfigError where two have one name."""
    found: dict[str, Config] = {}
    for file in files:
        if file.stem in found:
            raise ConfigError(
                f"{file}: another file is called {file.stem} too, and a comparison tells them by "
                "their names. Rename one of them"
            )
        found[file.stem] = load(file)
    return found


def tables(comparison: Comparison) -> Iterator[Table]:
    """Yield a table a year: a row a configuration."""
    for year, of in comparison.found.get("years", {}).items():
        table = Table(year, box=None)
        for name in ("features", "accuracy", "F1 weighted", "F1 less the first's", "95 % interval"):
            table.add_column(name, justify="right")
        for one in of["configurations"]:
            table.add_row(
                one["name"],
                str(one["features"]),
                *(_score(one["scores"][score]) for score in ("overall_accuracy", "f1_weighted")),
                *_difference(one["differences"]),
            )
        yield table


def lines(comparison: Comparison) -> Iterator[str]:
    """Yield what was compared, what was not made anew, and where it is written."""
    for year, of in comparison.found.get("years", {}).items():
        yield (
            f"{year}: {of['pixels']:,} reference pixels on {of['blocks']:,} blocks of ground, each "
            "predicted by classifiers that have not seen its block."
        )
        if of["few_blocks"]:
            yield f"Beware:      {year}: {of['few_blocks']}"
    for name, of in comparison.found.get("configurations", {}).items():
        taken = ", ".join(f"{count} {asset}" for asset, count in of["taken_over"].items())
        if taken:
            yield (
                f"{name}: not made anew, as its own storage or another configuration has them: "
                f"{taken}."
            )
    for name in comparison.left_out:
        yield f"{name}: has no evaluation, and is not compared."
    if words := comparison.found.get("simulated"):
        yield f"Beware:      {words}"
    for file in comparison.files:
        yield f"Comparison:  {file}"


def _score(found: list[float | None]) -> str:
    return "" if found[0] is None else f"{found[0]:.3f}"


def _difference(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """Of the weighted F1, which stands beside it."""
    if found is None or found["f1_weighted"][0] is None:
        return "", ""
    value, low, high = found["f1_weighted"]
    return f"{value:+.3f}", "" if low is None else f"{low:+.3f} to {high:+.3f}"
