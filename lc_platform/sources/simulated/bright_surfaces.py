"""Bright roofs and quarries: ground that a cloud detector takes for cloud on every day of the year.

A share of the cells of a lattice have one: in towns a rectangle, such as the white roof of a hall,
on bare ground a disc, such as a limestone quarry. They are as bright as cloud in all bands but
that of cirrus.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lc_platform.sources.simulated.landscape import BUILT, Ground
from lc_platform.sources.simulated.noise import cell_hash, draw, salt

SPECTRA = np.array(
    [
        [0.52, 0.54, 0.56, 0.58, 0.59, 0.60, 0.60, 0.60, 0.60, 0.26, 0.0022, 0.46, 0.38],
        [0.46, 0.48, 0.51, 0.55, 0.57, 0.58, 0.59, 0.60, 0.60, 0.26, 0.0022, 0.56, 0.49],
    ]
)
"""(surface, band), reflectance at the top of the atmosphere: of a white roof, of a quarry."""
_BARE = 10
_ROOFS, _QUARRIES = 600.0, 1000.0
"""Spacing of the lattices in Web Mercator metres."""


def bright_surfaces(ground: Ground, seed: int, share: float) -> NDArray[np.uint8]:
    """Return where there is a bright surface, (y, x): 1 a roof, 2 a quarry, 0 none.

    share  of the cells that have one, 0 to 1
    """
    out = np.zeros(ground.code.shape, np.uint8)
    if share > 0:
        _mark(ground.x, ground.y, ground.code, salt(seed, 6), share, out)
    return out


@njit(cache=True, nogil=True)
def _mark(x, y, code, s, share, out):  # type: ignore[no-untyped-def]
    for a in range(x.shape[0]):
        for b in range(x.shape[1]):
            kind = 1 if code[a, b] == BUILT else 2 if code[a, b] == _BARE else 0
            if kind == 0:
                continue
            step = _ROOFS if kind == 1 else _QUARRIES
            i, j = np.int64(np.floor(x[a, b] / step)), np.int64(np.floor(y[a, b] / step))
            h = cell_hash(i, j, s + np.uint64(kind))
            if draw(h, 0) >= share:
                continue
            u, v = x[a, b] / step - i - 0.5, y[a, b] / step - j - 0.5
            if kind == 1:
                width, height = 0.25 + 0.2 * draw(h, 1), 0.25 + 0.2 * draw(h, 2)
                inside = abs(u) < width and abs(v) < height
            else:
                inside = u * u + v * v < (0.3 + 0.2 * draw(h, 1)) ** 2
            if inside:
                out[a, b] = kind
