"""Linear interpolation in time as vectorized numpy: what a kernel has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def regularize(
    values: NDArray[np.uint16],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    targets: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Linear interpolation of each pixel's valid observations to the target days.

    values   (time, band, y, x), digital numbers
    valid    (time, y, x), False where cloudy or without data
    days     (time,), days since 1 January, increasing
    targets  (target,), likewise
    Returns (target, band, y, x), digital numbers; NaN before a pixel's first and after its last
    valid observation.
    """
    times = np.arange(len(days), dtype=np.int16)[:, None, None]
    # The last valid time up to each time, and the first from it on; -1 and `len` where none is.
    last = np.maximum.accumulate(np.where(valid, times, np.int16(-1)), axis=0)
    backward = np.where(valid, times, np.int16(len(days)))[::-1]
    first = np.minimum.accumulate(backward, axis=0)[::-1]
    regular = np.empty((len(targets), *values.shape[1:]), np.float32)
    for i, target in enumerate(targets):
        up_to = int(np.searchsorted(days, target, side="right")) - 1
        since = int(np.searchsorted(days, target, side="left"))
        none = np.full(valid.shape[1:], -1, np.int16)
        before = last[up_to] if up_to >= 0 else none
        after = first[since] if since < len(days) else none
        known = (before >= 0) & (after >= 0) & (after < len(days))
        before, after = np.where(known, before, 0), np.where(known, after, 0)
        apart = np.maximum(days[after] - days[before], 1)
        share = ((target - days[before]) / apart).astype(np.float32)
        share[~known] = np.nan
        low = np.take_along_axis(values, before[None, None], axis=0)[0].astype(np.float32)
        high = np.take_along_axis(values, after[None, None], axis=0)[0].astype(np.float32)
        high -= low
        high *= share
        np.add(low, high, out=regular[i])
    return regular
