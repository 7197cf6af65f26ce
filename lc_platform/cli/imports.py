"""`lc-platform import`: what other programs have made, taken over."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lc_platform.catalogue import canonical_band, is_hls
from lc_platform.cli.console import out, tell_problem, warn, written
from lc_platform.cli.stopping import stoppable
from lc_platform.errors import PlatformError

if TYPE_CHECKING:
    from lc_platform.commands.import_eopatches import Imported

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

app = typer.Typer(
    help="Take over what other programs have made.", no_args_is_help=True, add_completion=False
)


@app.callback()
def import_() -> None:
    """Take over what other programs have made."""


@app.command()
def eopatches(
    folders: Annotated[
        list[Path], typer.Argument(help="EOPatches, or folders that have EOPatches in them.")
    ],
    to: Annotated[
        Path, typer.Option(help="The folder for the archive, the reference and the configuration.")
    ],
    bands: Annotated[
        str,
        typer.Option(help="The imagery's channels in their order: B02,B03,B04,B08,B11,B12."),
    ],
    collection: Annotated[
        str,
        typer.Option(help="What the imagery is of: sentinel-2-l1c, sentinel-2-l2a or another."),
    ],
    feature: Annotated[
        str | None,
        typer.Option(help="The imagery's feature; by default the one with so many channels."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="Reflectance of a number of 1; by default 1 of floating-point numbers, 0.0001 of "
            "whole numbers of Sentinel-2."
        ),
    ] = None,
    offset: Annotated[float, typer.Option(help="Reflectance of a number of 0.")] = 0.0,
    data_mask: Annotated[
        str | None,
        typer.Option(help="The mask of pixels that have data; IS_DATA or dataMask by default."),
    ] = None,
    clouds: Annotated[
        str | None,
        typer.Option(help="The mask of clouds; by default SCL of sentinel-2-l2a, or else CLM."),
    ] = None,
    no_clouds: Annotated[
        bool,
        typer.Option("--no-clouds", help="There are none, or the data mask leaves them out."),
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(help="A map of classes in mask_timeless, such as LULC: the reference."),
    ] = None,
) -> None:
    """Write EOPatches of eo-learn 1.x as a local archive of GeoTIFFs: imagery, cloud masks and a
    reference map; and a configuration that reads it."""
    from lc_platform.commands.eopatch_imagery import Selection
    from lc_platform.commands.import_eopatches import import_eopatches

    if clouds is not None and no_clouds:
        raise PlatformError("--clouds and --no-clouds: one says that there is a mask. Give one")
    names = tuple(canonical_band(one.strip()) for one in bands.split(",") if one.strip())
    if not names or len(set(names)) < len(names) or not all(map(_NAME.fullmatch, names)):
        raise PlatformError(
            f"--bands {bands}: each channel has a name of its own, of letters, digits, _ and -. "
            "Write B02,B03,B04,B08,B11,B12"
        )
    if taken := {"SCL", "CLM", "CLP"} & set(names):
        raise PlatformError(
            f"--bands {bands}: {taken.pop()} is a mask, and no band of the imagery. Call the "
            "channel something else, and name masks by --clouds"
        )
    if not _NAME.fullmatch(collection):
        raise PlatformError(
            f"--collection {collection}: a name has letters, digits, _ and -. Write sentinel-2-l1c "
            "or sentinel-2-l2a"
        )
    if is_hls(collection) or collection.startswith("sentinel-1"):
        raise PlatformError(
            f"--collection {collection}: what is imported is optical imagery with masks of clouds "
            "beside it, and neither radar nor HLS, whose clouds are told by its band Fmask. Take "
            "those from their archives, or give another name"
        )
    selection = Selection(
        bands=names,
        collection=collection,
        feature=feature,
        scale=scale,
        offset=offset,
        data_mask=data_mask,
        clouds=clouds,
        cloudless=no_clouds,
        reference=reference,
    )
    with written(to):
        found = stoppable(partial(import_eopatches, folders, to, selection))
    _show(found)
    raise typer.Exit(1 if found.problems else 0)


def _show(found: Imported) -> None:
    out.print(
        f"Imported: {_count(found.eopatches, 'EOPatch', 'EOPatches')} with "
        f"{_count(found.acquisitions, 'acquisition')}, stored as {found.data_type}: a number of 1 "
        f"is a reflectance of {found.scale:g}. clouds.method is {found.method}.",
        markup=False,
    )
    if found.left_out:
        out.print(f"Left out: {_count(found.left_out, 'acquisition')} without data.")
    if found.reference is not None:
        classes = ", ".join(str(one["name"]) for one in found.reference.classes)
        out.print(f"Classes of the reference: {classes}.", markup=False)
    for warning in found.warnings:
        warn(warning)
    for problem in found.problems:
        tell_problem(problem)
    named = shlex.quote(str(found.file))
    out.print(f"{found.file} is written; edit it.", markup=False)
    out.print(f"Look at it:  lc-platform check -c {named}", markup=False)
    out.print(f"Then:  lc-platform run -c {named}", markup=False)


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or f'{one}s'}"
