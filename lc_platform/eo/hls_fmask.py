"""What Fmask's bits say in the Harmonized Landsat and Sentinel-2 product, version 2.

Masek et al. (2021), HLS Product User Guide v2.0, table 9: bit 1 cloud, bit 2 next to cloud or
shadow, bit 3 cloud shadow, bit 4 snow or ice, bit 5 water, bits 6 and 7 aerosol; 255 is no data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CLOUD, ADJACENT, SHADOW, SNOW = (1 << bit for bit in (1, 2, 3, 4))


class FmaskMasks(NamedTuple):
    """Boolean masks of the shape of the band."""

    cloud: NDArray[np.bool_]
    """Also what is next to a cloud or a shadow, and no shadow."""
    shadow: NDArray[np.bool_]
    snow: NDArray[np.bool_]
    ground: NDArray[np.bool_]
    """Neither cloud nor shadow. Snow is ground, as it is with the scene classification of
    Sentinel-2."""


def masks(fmask: NDArray[np.integer[Any]]) -> FmaskMasks:
    """Return the masks of a band of any shape, which has data everywhere."""
    shadow = (fmask & SHADOW) > 0
    cloud = ((fmask & CLOUD) > 0) | (((fmask & ADJACENT) > 0) & ~shadow)
    return FmaskMasks(cloud, shadow & ~cloud, (fmask & SNOW) > 0, ~cloud & ~shadow)
