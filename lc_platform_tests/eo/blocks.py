"""Blocks of ground, and how many pixels of each class they have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def landscape(blocks: int = 400, seed: int = 4) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    often = np.array([0.9, 0.6, 0.3, 0.1, 0.03])
    counts: NDArray[np.int64] = rng.poisson(60, (blocks, 5)) * (rng.random((blocks, 5)) < often)
    return counts
