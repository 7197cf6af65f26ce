"""Points drawn from the strata of a small map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.point_sample import PointDraw, Points


def land(height: int = 90, width: int = 70, seed: int = 1) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.choice([0, 3, 9, 200], (height, width), p=[0.1, 0.6, 0.25, 0.05]).astype(np.uint8)


def drawn(strata: NDArray[np.uint8], allocation: dict[int, int], seed: int) -> Points:
    draw = PointDraw(allocation, seed)
    draw.add(strata, 0, 0)
    return draw.points()


def places(points: Points, stratum: int) -> list[tuple[int, int]]:
    own = points.strata == stratum
    return list(zip(points.rows[own].tolist(), points.columns[own].tolist(), strict=True))
