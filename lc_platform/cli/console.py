"""Where the commands print, the option that most of them take, and what those say that write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lc_platform.config import ENVIRONMENT_VARIABLE, FILE_NAME, file_here
from lc_platform.errors import PlatformError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
if not out.is_terminal:
    out = Console(highlight=False, soft_wrap=True, width=400)  # one line a row, for grep

_OPTION: dict[str, Any] = {
    "envvar": ENVIRONMENT_VARIABLE,
    "help": "The configuration file (YAML).",
    "show_default": f"{FILE_NAME} of this folder",
}


def _here() -> Path:
    if (here := file_here()) is None:
        raise typer.BadParameter(
            f"this folder has no {FILE_NAME}. Name the configuration by -c FILE or by "
            f"{ENVIRONMENT_VARIABLE}, or change to its folder; `lc-platform init DIR` writes one",
            param_hint="'-c' / '--config'",
        )
    return here


ConfigFile = Annotated[Path, typer.Option("-c", "--config", default_factory=_here, **_OPTION)]
ConfigFileIfAny = Annotated[
    Path | None, typer.Option("-c", "--config", default_factory=file_here, **_OPTION)
]


def warn(words: str) -> None:
    """Print a warning; brackets in it stay what they are."""
    err.print("[yellow]warning[/yellow]:", end=" ")
    err.print(words, markup=False)


def tell_problem(words: str) -> None:
    """Print what is wrong, likewise."""
    err.print("[red]error[/red]:", end=" ")
    err.print(words, markup=False)


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """Say of a folder that nothing can be written there. Raises PlatformError for an OSError."""
    try:
        yield
    except OSError as error:
        raise PlatformError(
            f"{folder}: cannot be written ({error.strerror}). Give a folder that can be"
        ) from error
