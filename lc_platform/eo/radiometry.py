"""From digital numbers to the physical values that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def calibrate(
    numbers: NDArray[np.number[Any]],
    scale: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return digital numbers as physical values: number * scale + offset.

    numbers        (time, band, y, x)
    scale, offset  (time, band)
    Returns (time, band, y, x): reflectance, or a radar's power or amplitude. Where there is no
    data, it is the value of the number that stands for it; NaN where that is NaN.
    """
    values: NDArray[np.float32] = np.multiply(
        numbers, scale[:, :, None, None], dtype=np.float32, casting="same_kind"
    )
    if offset.any():
        values += offset[:, :, None, None].astype(np.float32)
    return values
