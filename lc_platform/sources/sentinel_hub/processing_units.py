"""Sentinel Hub's price of a Process API request, in processing units.

By https://docs.sentinel-hub.com/api/latest/api/overview/processing-unit/: one unit is 512 x 512
pixels of three bands, 8 or 16 bits each, one sample a pixel, with no orthorectification.
"""

from __future__ import annotations

SMALLEST_AREA_FACTOR = 0.01
SMALLEST_COST = 0.005


def processing_units(
    width: int,
    height: int,
    bands: int,
    *,
    samples: int = 1,
    float32: bool = False,
    orthorectified: bool = False,
) -> float:
    """Return the units that one request costs where it succeeds; one that fails costs none.

    width, height   pixels of the answer
    bands           of the input, ``dataMask`` not counted
    samples         observations that the evalscript sees of each pixel
    float32         values of 32 bits instead of 8 or 16
    orthorectified  Sentinel-1, put on a terrain model
    """
    area = max(width * height / 512**2, SMALLEST_AREA_FACTOR)
    factors = area * bands / 3 * samples * (2 if float32 else 1) * (2 if orthorectified else 1)
    return max(factors, SMALLEST_COST)
