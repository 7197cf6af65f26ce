"""The terrain model of the simulated planet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.sources.simulated.coordinates import pixel_centres
from lc_platform.sources.simulated.landscape import elevations
from lc_platform.sources.simulated.noise import salt


def terrain(grid: GeoBox, seed: int) -> NDArray[np.float32]:
    """Return the metres above the sea at the pixel centres of a grid, (1, y, x): those that decide
    what grows on the planet of a seed, and how it is lit."""
    found: NDArray[np.float32] = elevations(*pixel_centres(grid), salt(seed, 1))
    return found[None]
