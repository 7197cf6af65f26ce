"""What the classes look like through the year: top-of-atmosphere reflectance in 13 bands.

A class is a mixture of a few pure surfaces whose shares change along the year (green crop, straw,
bare soil, leaves, ...). The surfaces' reflectances, path radiance included, are of the size seen
in Sentinel-2 L1C over central Europe. South of the equator the year is turned by six months.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lc_platform.catalogue import SENTINEL2_BANDS
from lc_platform.sources.simulated.landscape import SHIFTS, VIGOURS

PATH = np.array(
    [0.095, 0.068, 0.040, 0.022, 0.017, 0.013, 0.010, 0.008, 0.006, 0.002, 0.0010, 0.001, 0.0005]
)
"""(band,), the part of the reflectance that the clear air itself scatters."""

SNOW = np.array([0.66, 0.65, 0.64, 0.64, 0.63, 0.61, 0.60, 0.58, 0.55, 0.25, 0.0020, 0.075, 0.055])
"""(band,), fresh snow."""

# Reflectance of each band in ten-thousandths.
_SURFACES = {
    "crop": [1240, 930, 950, 520, 1050, 2900, 3700, 3850, 4050, 1300, 14, 1900, 920],
    "grass": [1250, 960, 1040, 660, 1250, 2650, 3150, 3300, 3500, 1150, 14, 2250, 1220],
    "straw": [1380, 1170, 1260, 1420, 1780, 2140, 2320, 2480, 2660, 950, 15, 3250, 2350],
    "soil": [1330, 1080, 1060, 1120, 1300, 1440, 1530, 1640, 1780, 660, 14, 2500, 2000],
    "leaf": [1180, 850, 800, 440, 820, 2500, 3250, 3400, 3600, 1200, 13, 1700, 760],
    "autumn": [1210, 940, 980, 1080, 1450, 2050, 2350, 2450, 2650, 900, 13, 2200, 1280],
    "twig": [1210, 910, 790, 730, 920, 1260, 1440, 1500, 1640, 580, 12, 1600, 1060],
    "needle": [1150, 800, 620, 400, 620, 1420, 1720, 1810, 1920, 640, 12, 900, 420],
    "shrub": [1210, 910, 860, 630, 1020, 1950, 2350, 2480, 2670, 900, 13, 1950, 1120],
    "vine": [1230, 950, 940, 740, 1180, 2200, 2620, 2760, 2960, 1000, 14, 2150, 1300],
    "water": [1220, 880, 630, 390, 340, 290, 280, 240, 210, 90, 11, 90, 60],
    "roof": [1460, 1280, 1210, 1240, 1340, 1470, 1570, 1670, 1750, 640, 15, 1950, 1720],
    "rock": [1500, 1340, 1370, 1480, 1630, 1740, 1820, 1920, 2030, 720, 16, 2620, 2320],
}  # fmt: skip

# Of each class its companion, the surface that takes what lack of vigour leaves, and the day of
# the year and the shares at the turning points of its year.
_YEARS: dict[int, tuple[str, list[tuple[int, dict[str, float]]]]] = {
    1: (
        "soil",
        [
            (15, {"crop": 0.36, "soil": 0.64}),
            (60, {"crop": 0.45, "soil": 0.55}),
            (95, {"crop": 0.72, "soil": 0.28}),
            (125, {"crop": 0.96, "soil": 0.04}),
            (150, {"crop": 0.88, "straw": 0.12}),
            (174, {"crop": 0.28, "straw": 0.72}),
            (192, {"straw": 1.0}),
            (206, {"straw": 0.65, "soil": 0.35}),
            (240, {"straw": 0.25, "soil": 0.65, "grass": 0.10}),
            (280, {"soil": 0.96, "crop": 0.04}),
            (320, {"crop": 0.24, "soil": 0.76}),
        ],
    ),
    2: (
        "soil",
        [
            (15, {"soil": 0.80, "straw": 0.14, "grass": 0.06}),
            (90, {"soil": 0.82, "grass": 0.18}),
            (120, {"soil": 1.0}),
            (148, {"soil": 0.94, "crop": 0.06}),
            (172, {"crop": 0.45, "soil": 0.55}),
            (196, {"crop": 0.90, "soil": 0.10}),
            (232, {"crop": 0.92, "soil": 0.08}),
            (256, {"crop": 0.48, "straw": 0.52}),
            (275, {"straw": 0.75, "soil": 0.25}),
            (292, {"straw": 0.30, "soil": 0.70}),
            (330, {"soil": 0.80, "straw": 0.12, "grass": 0.08}),
        ],
    ),
    3: (
        "straw",
        [
            (15, {"grass": 0.55, "straw": 0.30, "soil": 0.15}),
            (75, {"grass": 0.62, "straw": 0.26, "soil": 0.12}),
            (110, {"grass": 0.90, "straw": 0.10}),
            (142, {"grass": 0.98, "straw": 0.02}),
            (158, {"grass": 0.62, "straw": 0.38}),
            (186, {"grass": 0.90, "straw": 0.10}),
            (206, {"grass": 0.66, "straw": 0.34}),
            (246, {"grass": 0.88, "straw": 0.12}),
            (290, {"grass": 0.82, "straw": 0.18}),
            (335, {"grass": 0.62, "straw": 0.26, "soil": 0.12}),
        ],
    ),
    4: (
        "soil",
        [
            (15, {"grass": 0.30, "twig": 0.32, "soil": 0.38}),
            (95, {"grass": 0.40, "twig": 0.28, "soil": 0.32}),
            (130, {"vine": 0.25, "grass": 0.32, "twig": 0.10, "soil": 0.33}),
            (175, {"vine": 0.60, "grass": 0.12, "soil": 0.28}),
            (235, {"vine": 0.62, "grass": 0.10, "soil": 0.28}),
            (285, {"vine": 0.22, "autumn": 0.28, "grass": 0.18, "soil": 0.32}),
            (320, {"grass": 0.30, "twig": 0.34, "soil": 0.36}),
        ],
    ),
    5: (
        "straw",
        [
            (15, {"shrub": 0.42, "twig": 0.40, "straw": 0.18}),
            (100, {"shrub": 0.48, "twig": 0.36, "straw": 0.16}),
            (140, {"shrub": 0.85, "straw": 0.08, "soil": 0.07}),
            (200, {"shrub": 0.86, "straw": 0.10, "soil": 0.04}),
            (245, {"shrub": 0.74, "straw": 0.22, "soil": 0.04}),
            (290, {"shrub": 0.55, "autumn": 0.20, "twig": 0.12, "straw": 0.13}),
            (325, {"shrub": 0.42, "twig": 0.40, "straw": 0.18}),
        ],
    ),
    6: (
        "twig",
        [
            (15, {"twig": 0.95, "soil": 0.05}),
            (100, {"twig": 0.92, "leaf": 0.08}),
            (124, {"leaf": 0.82, "twig": 0.18}),
            (150, {"leaf": 1.0}),
            (250, {"leaf": 0.92, "twig": 0.08}),
            (280, {"leaf": 0.42, "autumn": 0.58}),
            (300, {"autumn": 0.65, "twig": 0.35}),
            (322, {"twig": 1.0}),
        ],
    ),
    7: (
        "twig",
        [
            (15, {"needle": 0.94, "twig": 0.06}),
            (110, {"needle": 0.95, "leaf": 0.05}),
            (170, {"needle": 0.88, "leaf": 0.12}),
            (250, {"needle": 0.90, "leaf": 0.10}),
            (320, {"needle": 0.95, "twig": 0.05}),
        ],
    ),
    8: ("water", [(15, {"water": 1.0}), (200, {"water": 0.98, "leaf": 0.02})]),
    9: (
        "roof",
        [
            (15, {"roof": 0.80, "grass": 0.10, "twig": 0.10}),
            (110, {"roof": 0.76, "grass": 0.16, "twig": 0.08}),
            (150, {"roof": 0.72, "grass": 0.14, "leaf": 0.14}),
            (250, {"roof": 0.74, "grass": 0.14, "leaf": 0.12}),
            (310, {"roof": 0.78, "grass": 0.12, "twig": 0.10}),
        ],
    ),
    10: (
        "rock",
        [
            (15, {"rock": 0.88, "straw": 0.06, "soil": 0.06}),
            (120, {"rock": 0.86, "grass": 0.06, "soil": 0.08}),
            (180, {"rock": 0.84, "grass": 0.08, "soil": 0.08}),
            (290, {"rock": 0.88, "straw": 0.06, "soil": 0.06}),
        ],
    ),
}
# The share of the other surfaces that the companion takes at no vigour at all.
_LACK = {1: 0.32, 2: 0.30, 3: 0.40, 4: 0.30, 5: 0.30, 6: 0.16, 7: 0.16, 8: 0.0, 9: 0.85, 10: 0.6}


@lru_cache(maxsize=1)
def _calendar() -> NDArray[np.float64]:
    """Return (class, vigour, day of 365, band), reflectance."""
    days = np.arange(365)
    out = np.zeros((11, VIGOURS, 365, len(SENTINEL2_BANDS)))
    lack = 1.0 - (np.arange(VIGOURS) + 0.5) / VIGOURS
    for code, (companion, points) in _YEARS.items():
        mixture = np.zeros((365, len(SENTINEL2_BANDS)))
        for surface, spectrum in _SURFACES.items():
            share = np.interp(
                days, [day for day, _ in points], [at.get(surface, 0.0) for _, at in points],
                period=365,
            )  # fmt: skip
            mixture += share[:, None] * np.array(spectrum) * 1e-4
        taken = (_LACK[code] * lack)[:, None, None]
        out[code] = (1.0 - taken) * mixture + taken * np.array(_SURFACES[companion]) * 1e-4
    return out


@lru_cache(maxsize=32)
def season(days: tuple[float, ...], bands: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the reflectance (day, class 0 to 10, vigour, shift, band) on days of the northern
    year."""
    calendar = _calendar()[..., [SENTINEL2_BANDS.index(band) for band in bands]]
    own = np.floor(np.array(days)).astype(int)[:, None] - (np.arange(SHIFTS) - 32)
    return np.ascontiguousarray(np.moveaxis(calendar[:, :, own % 365], 2, 0), dtype=np.float32)
