"""Shadows of clouds: where the sun is hidden by a cloud, and the near infrared says so.

As in Fmask (Zhu and Woodcock 2012, "Object-based cloud and cloud shadow detection in Landsat
imagery", Remote Sensing of Environment 118; Zhu et al. 2015 for Sentinel-2) the cloud mask is
projected away from the sun over a range of heights, and what it covers is shadow where the near
infrared is dark. Fmask fits one height to each cloud, and fills the scene's near infrared to tell
dark ground from shadow, for which it needs whole scenes. Here each pixel is judged by itself, so
that it does not matter how the ground is cut into patches: every height counts, and dark is what is
dark for the pixel's own season (`temporal_mask.DARK`), which water and slopes in the shade are not.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

HEIGHTS = (200.0, 12_000.0)
"""Metres above the ground between which clouds are looked for (Fmask)."""


def offsets(
    east: float, north: float, resolution: float, reach: int, heights: tuple[float, float] = HEIGHTS
) -> NDArray[np.int32]:
    """Return at which pixels the clouds stand that may hide the sun from one.

    east, north  metres that a line towards the sun goes for each metre that it rises
    resolution   metres along a pixel's side
    reach        rows and columns, at most
    heights      metres, the lowest and the highest
    Returns (pixel, 2), rows (southwards) and columns from the pixel itself, which is not among
    them; from the lowest cloud to the highest.
    """
    per_metre = max(abs(east), abs(north)) / resolution
    if per_metre == 0:
        return np.zeros((0, 2), np.int32)
    highest = min(heights[1], (reach + 0.5) / per_metre)
    steps = max(2, int(np.ceil((highest - heights[0]) * per_metre * 2)) + 1)
    height = np.linspace(heights[0], highest, steps)[:, None]
    found = np.rint(height * np.array([-north, east]) / resolution).astype(np.int32)
    found = found[(np.abs(found).max(axis=1) <= reach) & found.any(axis=1)]
    first = np.unique(found, axis=0, return_index=True)[1]
    return np.ascontiguousarray(found[np.sort(first)])


def cast(
    dark: NDArray[np.bool_], cloud: NDArray[np.bool_], offsets: NDArray[np.int32], margin: int
) -> NDArray[np.bool_]:
    """Return which pixels lie in the shadow of a cloud.

    dark     (y, x), where the near infrared is as in a shadow
    cloud    (y + 2 margin, x + 2 margin)
    offsets  (pixel, 2), rows and columns of the clouds that count
    margin   pixels that the clouds are known beyond ``dark`` on each side; what lies beyond has
             no cloud
    Returns (y, x).
    """
    out = np.zeros(dark.shape, np.bool_)
    _cast(dark, cloud, offsets, margin, out)
    return out


@numba.njit(cache=True, nogil=True)
def _cast(dark, cloud, offsets, margin, out):  # type: ignore[no-untyped-def]
    rows, columns = dark.shape
    for y in range(rows):
        for x in range(columns):
            if dark[y, x]:
                for k in range(offsets.shape[0]):
                    v, u = y + margin + offsets[k, 0], x + margin + offsets[k, 1]
                    if 0 <= v < cloud.shape[0] and 0 <= u < cloud.shape[1] and cloud[v, u]:
                        out[y, x] = True
                        break
