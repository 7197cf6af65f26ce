"""What the classes look like to a radar through the year: C-band backscatter of Sentinel-1.

Gamma nought in decibels, of the size seen over central Europe: smooth water is darkest, wood and
houses are brightest, above all in VH; a field follows its crop. South of the equator the year is
turned by six months.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lc_platform.catalogue import SIMULATED_AUXILIARY_BANDS
from lc_platform.sources.simulated.landscape import SHIFTS

POLARIZATIONS = SIMULATED_AUXILIARY_BANDS["sentinel-1-grd"]

# Of each class the day of the year, and VV and VH in decibels, at the turning points of its year.
_YEARS: dict[int, list[tuple[int, float, float]]] = {
    # Upright cereals weaken VV until they ripen.
    1: [
        (15, -10.0, -18.0), (80, -11.0, -18.5), (125, -15.0, -19.5), (155, -15.5, -19.0),
        (185, -11.0, -16.5), (210, -10.5, -18.0), (290, -9.5, -18.0),
    ],
    # Broad leaves strengthen both from bare soil on, VH most.
    2: [
        (15, -10.0, -18.5), (120, -10.5, -19.5), (160, -10.0, -18.0), (200, -8.5, -14.5),
        (250, -8.5, -14.0), (275, -9.5, -17.0), (300, -10.0, -18.5),
    ],
    3: [(15, -11.5, -18.5), (140, -12.0, -17.5), (200, -12.5, -18.5), (300, -11.5, -18.0)],
    4: [(15, -10.0, -16.5), (180, -9.5, -15.5), (280, -9.5, -16.0)],
    5: [(15, -10.5, -16.0), (180, -10.0, -15.0), (290, -10.5, -15.5)],
    # Bare branches scatter more than leaves let through.
    6: [(15, -8.0, -13.0), (110, -8.0, -13.0), (150, -9.0, -14.0), (270, -9.0, -14.0),
        (320, -8.0, -13.0)],
    7: [(15, -9.5, -15.0), (180, -8.5, -13.8), (300, -9.0, -14.5)],
    8: [(15, -18.5, -27.0)],
    9: [(15, -4.5, -11.5)],
    10: [(15, -12.0, -20.0), (180, -13.0, -20.5)],
}  # fmt: skip

SOIL = np.array([0.0, 0.8, 0.8, 0.9, 0.6, 0.4, 0.1, 0.1, 0.0, 0.1, 0.6])
"""(class,), how much of a change of the soil's moisture shows."""
SMOOTH_WATER = 8
"""The class that wind roughens."""


@lru_cache(maxsize=1)
def _calendar() -> NDArray[np.float64]:
    """Return (class, day of 365, polarization), decibels."""
    days = np.arange(365)
    out = np.zeros((11, 365, len(POLARIZATIONS)))
    for code, points in _YEARS.items():
        at = [day for day, *_ in points]
        for n in range(len(POLARIZATIONS)):
            out[code, :, n] = np.interp(days, at, [point[1 + n] for point in points], period=365)
    return out


def season(
    days: tuple[float, ...], polarizations: tuple[str, ...], wind: float
) -> NDArray[np.float32]:
    """Return the backscatter in decibels (day, class 0 to 10, shift, polarization) on days of the
    northern year.

    wind  0 to 1; water is up to 6 dB brighter in VV, half as much in VH
    """
    picked = [POLARIZATIONS.index(one) for one in polarizations]
    own = np.floor(np.array(days)).astype(int)[:, None] - (np.arange(SHIFTS) - 32)
    table = np.moveaxis(_calendar()[:, own % 365], 0, 1)[..., picked]
    table[:, SMOOTH_WATER] += wind * np.array([6.0, 3.0])[picked]
    return np.ascontiguousarray(table, dtype=np.float32)
