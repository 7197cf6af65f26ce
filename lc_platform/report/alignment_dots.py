"""The picture on the page of a patch's alignment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lc_platform.products.alignment import LIMIT, Alignment

_WIDTH, _REACH = 64, 2.0
"""Pixels of the picture's side, and of imagery from its middle to its border."""
_COLORS = {"band": (140, 140, 140), "acquisition": (0, 114, 178), "reference": (213, 94, 0)}
_WITHIN, _BEYOND, _AXIS = (232, 243, 232), (255, 255, 255), (200, 200, 200)


def alignment_dots(of: Alignment) -> NDArray[np.uint8]:
    """Return a dot a comparison, (y, x, 3), from the middle as far as one lies from the other; what
    is within half a pixel is shaded. Bands are grey, acquisitions blue, the reference orange."""
    places = (np.arange(_WIDTH) + 0.5) / _WIDTH * 2 * _REACH - _REACH
    within = np.hypot(places[:, None], places) <= LIMIT
    picture = np.where(within[..., None], _WITHIN, _BEYOND).astype(np.uint8)
    picture[_WIDTH // 2, :] = picture[:, _WIDTH // 2] = _AXIS
    for kind, color in _COLORS.items():
        for one in of.comparisons:
            if one.comparison == kind and one.known:
                shifts = np.clip([one.dy_pixels, one.dx_pixels], -_REACH, _REACH)
                row, column = np.clip(
                    ((shifts + _REACH) / (2 * _REACH) * _WIDTH).astype(int), 1, _WIDTH - 2
                )
                picture[row - 1 : row + 2, column - 1 : column + 2] = color
    return picture
