"""Reflectance that cannot be, as where a scale or an offset was taken out twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST = -0.03
"""Reflectance. Atmospheric correction leaves a little less than nothing over water and in shadow,
rarely below -0.02; an offset of -0.1 that is taken out twice has vegetation (0.02 to 0.05 in the
visible) and water (0.01 in the infrared) at -0.05 to -0.09."""
HIGHEST = 2.0
"""Reflectance. Fresh snow and the brightest clouds are at 1.2 to 1.6."""
HIGHEST_NDVI = 1.2
"""Between -1 and 1 where no band is negative. Where red is a little below nothing over dark forest
it is 1.05."""
SHARE = 0.1
"""Of the pixels with data, from which on a scene is told: single targets, the edges of detectors
and of clouds come to a hundredth. Of Flanders' and Slovenia's 123 real scenes and of the simulated
ones over town, mountains and sea none has a pixel below `LOWEST`; with the offset taken out twice
half of them have more than a fifth."""
BRIGHT_SHARE = 0.5
_FEWEST = 50
"""Pixels that tell something."""
_LEAST_SUM = 0.05
"""Reflectance of both bands together below which an index is noise."""


def implausible(
    numbers: NDArray[np.number[Any]],
    valid: NDArray[np.bool_],
    scale: Sequence[float],
    offset: Sequence[float],
    bands: Sequence[str],
    bright: Sequence[str] = (),
) -> str:
    """Return what of a scene's reflectance cannot be, in words; empty where all of it can.

    numbers  (band, y, x), digital numbers: reflectance = number * scale + offset
    valid    (y, x), where there is data
    scale    (band,), greater than 0
    offset   (band,)
    bands    names; B08 and B04 are those of the NDVI
    bright   those of the bands that are reflectance for certain, and so not above `HIGHEST`
    """
    count = int(valid.sum())
    if count < _FEWEST:
        return ""
    found = []
    for band, values, factor, shift in zip(bands, numbers, scale, offset, strict=True):
        if shift < LOWEST:  # else nothing can be below
            below = int(((values < (LOWEST - shift) / factor) & valid).sum()) / count
            if below >= SHARE:
                least = float(values[valid].min()) * factor + shift
                found.append(f"{band} is below {LOWEST:g} in {below:.0%} (down to {least:.2f})")
        if band in bright:
            above = int(((values > (HIGHEST - shift) / factor) & valid).sum()) / count
            if above >= BRIGHT_SHARE:
                found.append(f"{band} is above {HIGHEST:g} in {above:.0%}")
    if not found and {"B08", "B04"} <= {*bands}:
        near, red = (
            numbers[at].astype(np.float32) * np.float32(scale[at]) + np.float32(offset[at])
            for at in (bands.index("B08"), bands.index("B04"))
        )
        total = near + red
        above = int(((near - red > HIGHEST_NDVI * total) & (total > _LEAST_SUM) & valid).sum())
        if above / count >= SHARE:
            found.append(f"NDVI is above {HIGHEST_NDVI:g} in {above / count:.0%}")
    return ", ".join(found)
