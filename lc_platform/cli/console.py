"""Where the commands print, and the option that most of them take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lc_platform.config import ENVIRONMENT_VARIABLE

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
if not out.is_terminal:
    out = Console(highlight=False, soft_wrap=True, width=400)  # one line a row, for grep

ConfigFile = Annotated[
    Path,
    typer.Option(
        "-c", "--config", envvar=ENVIRONMENT_VARIABLE, help="The configuration file (YAML)."
    ),
]
