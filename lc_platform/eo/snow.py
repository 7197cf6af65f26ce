"""Snow, by rules on single pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GREEN, RED = "B03", "B04"
INFRARED = ("B8A", "B11")
"""Near and shortwave."""


def is_snow(
    green: NDArray[np.float32], near: NDArray[np.float32], shortwave: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return where snow lies, by Hall et al. (1995): NDSI of at least 0.4, and a near infrared
    above 0.11, which water is below.

    green, near, shortwave  reflectance in B03, B08 or B8A, and B11, of one shape; where there is no
                            green, red stands for it (Xiao et al. 2001)
    """
    return (green - shortwave >= np.float32(0.4) * (green + shortwave)) & (near > np.float32(0.11))
