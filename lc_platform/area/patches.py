"""The patches that an area is split into."""

from __future__ import annotations

from lc_platform.area.boundary import Boundary, read_boundary
from lc_platform.area.grid import Patch, split
from lc_platform.area.options import AreaOptions, SplitOptions
from lc_platform.cube import Summary
from lc_platform.errors import PlatformError


class AreaError(PlatformError, ValueError):
    """The area cannot be split as the options say; the message names the configuration's key."""


def boundary(options: AreaOptions) -> Boundary:
    """Read the area of interest. Raises BoundaryError naming the key and the file."""
    return read_boundary(
        boundary=options.boundary.located if options.boundary else None,
        layer=options.layer,
        bbox=options.bbox,
        country=options.country,
        natural_earth=options.natural_earth.located if options.natural_earth else None,
    )


def patches(options: SplitOptions) -> tuple[list[Patch], list[str]]:
    """Return the patches that touch the area, and what was repaired in its boundary.

    Raises BoundaryError or AreaError naming the key of the configuration that must change.
    """
    area = boundary(options)
    try:
        found = split(
            area.geometry,
            area.crs,
            buffer=options.buffer,
            target_crs=options.crs,
            resolution=options.resolution,
            columns_rows=options.split,
            patch_size=options.patch_size,
        )
    except ValueError as error:
        if not str(error).startswith("aoi."):
            raise
        raise AreaError(str(error)) from error
    return found, [area.note] if area.note else []


def summary(found: list[Patch], covered: dict[str, bool], notes: list[str]) -> Summary:
    """Return the summary of a grid."""
    facts: dict[str, object] = {
        "patches": len(found),
        "patches_with_reference": sum(covered.values()),
        "zones": ", ".join(sorted({p.zone for p in found})),
        "patch_rows": found[0].shape[0],
        "patch_columns": found[0].shape[1],
    }
    if notes:
        facts["notes"] = "; ".join(notes)
    return Summary(facts)
