"""Which pixels of an acquisition show the ground, as the archive's own quality band says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FILL, DILATED_CLOUD, CIRRUS, CLOUD, CLOUD_SHADOW, SNOW, CLEAR, WATER = (1 << n for n in range(8))
"""Bits of QA_PIXEL of Landsat 8-9, Collection 2 (USGS LSDS-1619); above them lie four confidences
of two bits each: of cloud, cloud shadow, snow or ice, and cirrus."""

_HIDDEN = FILL | DILATED_CLOUD | CIRRUS | CLOUD | CLOUD_SHADOW


def shows_ground(qa_pixel: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return where Landsat's QA_PIXEL, of any shape, has neither fill, cloud, the pixels around
    one, cirrus nor cloud shadow. Snow is ground, as it is with the scene classification of
    Sentinel-2."""
    shown: NDArray[np.bool_] = (qa_pixel & np.uint16(_HIDDEN)) == 0
    return shown
