"""`lc-platform licences`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from lc_platform.cli.console import out


def licences(
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List the licences of what is installed with the platform."""
    from lc_platform.commands.licences import licences as installed

    found = installed()
    if as_json:
        print(json.dumps([one.to_dict() for one in found], indent=1))
        return
    table = Table("package", "version", "licence", box=None)
    for one in found:
        table.add_row(one.package, one.version, one.licence)
    out.print(table)
