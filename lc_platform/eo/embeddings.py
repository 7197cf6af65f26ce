"""Embeddings of a year as archives store them, in eight bits, and what they stand for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALPHAEARTH_NO_DATA = -128


def alphaearth(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values of AlphaEarth Foundations' Satellite Embedding, any shape, -1 to 1.

    numbers  -127 to 127, NaN where missing

    The power of 2 keeps the small values of a unit vector apart: ``(v / 127.5) ** 2`` with the sign
    of ``v`` (Brown et al. 2025, "AlphaEarth Foundations", arXiv 2507.22291).
    """
    share: NDArray[np.float32] = numbers / np.float32(127.5)
    found: NDArray[np.float32] = share * np.abs(share)
    return found
