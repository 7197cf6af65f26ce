"""One image out of several, without what clouds hide."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def median_of_valid(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (band, pixel), the median over time of the valid values of each pixel; NaN where none
    is valid.

    values  (time, band, pixel), numbers wherever a pixel is valid
    valid   (time, pixel)
    """
    times, bands, pixels = values.shape
    found = np.full((bands, pixels), np.nan, np.float32)
    ordered = np.empty(times, np.float32)
    for pixel in range(pixels):
        for band in range(bands):
            count = 0
            for time in range(times):
                if not valid[time, pixel]:
                    continue
                value = values[time, band, pixel]
                at = count
                while at > 0 and ordered[at - 1] > value:
                    ordered[at] = ordered[at - 1]
                    at -= 1
                ordered[at] = value
                count += 1
            if count:
                half = count // 2
                if count % 2:
                    found[band, pixel] = ordered[half]
                else:
                    found[band, pixel] = (ordered[half - 1] + ordered[half]) / np.float32(2)
    return found
