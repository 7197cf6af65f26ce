"""The patches of a configuration's area."""

from __future__ import annotations

from lc_platform.area.boundary import Boundary, read_boundary
from lc_platform.area.grid import Patch, split
from lc_platform.config import Config
from lc_platform.cube import Summary
from lc_platform.errors import PlatformError


class AreaError(PlatformError, ValueError):
    """The area cannot be split as the configuration says; the message names the key."""


def boundary(config: Config) -> Boundary:
    """The area of interest. Raises BoundaryError naming the key and the file."""
    aoi = config.aoi
    return read_boundary(
        boundary=config.located(aoi.boundary, "aoi.boundary") if aoi.boundary else None,
        layer=aoi.layer,
        bbox=aoi.bbox,
        country=aoi.country,
        natural_earth=config.located(aoi.natural_earth, "aoi.natural_earth")
        if aoi.natural_earth
        else None,
    )


def patches(config: Config) -> tuple[list[Patch], list[str]]:
    """The patches that touch the area, and what was repaired in its boundary.

    Raises BoundaryError or AreaError naming the key of the configuration that must change.
    """
    area, aoi = boundary(config), config.aoi
    try:
        found = split(
            area.geometry,
            area.crs,
            buffer=aoi.buffer,
            target_crs=aoi.crs,
            resolution=aoi.resolution,
            columns_rows=aoi.split,
            patch_size=aoi.patch_size,
        )
    except ValueError as error:
        if not str(error).startswith("aoi."):
            raise
        raise AreaError(str(error)) from error
    return found, [area.note] if area.note else []


def summary(found: list[Patch], covered: dict[str, bool], notes: list[str]) -> Summary:
    """What the grid says of itself."""
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
