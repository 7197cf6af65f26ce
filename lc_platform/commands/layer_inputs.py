"""Whether the rasters of `features.layers` can be read, and how much of the area they cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lc_platform.area.grid import Patch
from lc_platform.commands.inputs import Inputs
from lc_platform.errors import PlatformError
from lc_platform.platform import Platform
from lc_platform.products.static_layers import StaticFeatures, open_layers
from lc_platform.runtime.progress import track

_LOOKED_AT = 25
"""Patches around which rasters are opened, at most, spread over the area."""
_COVERED = 0.999
"""Share of the area from which on it counts as covered."""


def look_at_layers(platform: Platform, patches: Sequence[Patch], found: Inputs) -> None:
    """Open the layers of each year around patches that are spread over the area, and add what is
    found of them, in sentences."""
    spread = patches[:: max(1, -(-len(patches) // _LOOKED_AT))]
    part = "the area" if len(spread) == len(patches) else f"{len(spread)} patches looked at"
    said: set[str] = set()
    for layer in platform.feature_options().layers:
        for year in platform.config.years:
            try:
                around = [
                    open_layers([layer], patch.geobox, year)[0]
                    for patch in track(spread, "patches", len(spread))
                ]
            except PlatformError as error:
                if error.transient:
                    found.warnings.append(str(error))
                elif str(error) not in found.problems:  # of another year
                    found.problems.append(str(error))
                continue
            shares = [one.covers(patch.geobox) for one, patch in zip(around, spread, strict=True)]
            fact, warnings = _told(around, float(np.mean(shares)), part)
            if fact not in said:  # a raster is that of all years, where it is not of one
                said.add(fact)
                found.facts.append(fact)
                found.warnings += warnings


def _told(around: Sequence[StaticFeatures], share: float, part: str) -> tuple[str, list[str]]:
    options = around[0].options
    types = ", ".join(sorted({one.dtype for one in around if one.dtype}))
    count = len(around[0].features)
    fact = (
        f"layer {options.name}: {count} {'feature' if count == 1 else 'features'} of "
        f"{options.given} ({types or 'no raster here'}, {options.resampling}), which covers "
        f"{share:.0%} of {part}"
    )
    warnings = []
    if share < _COVERED:
        warnings.append(
            f"{options.key}: {options.given} covers {share:.0%} of {part}; elsewhere "
            f"{options.name} is missing. Give a raster of all of it, or several by a tile_index or "
            "a virtual one (gdalbuildvrt)"
        )
    if options.resampling != "nearest" and any(one.shows_classes for one in around):
        warnings.append(
            f"{options.key}.resampling: {options.given} has a table of colours, as classes have, "
            f"and {options.resampling} makes numbers between them. Take resampling: nearest"
        )
    return fact, warnings
