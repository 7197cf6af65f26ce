"""Bayesian smoothing as vectorized numpy: what a kernel has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

LEAST = 1e-4
"""Probability that stands for all below it."""
_ROWS = 64


def smooth(
    probabilities: NDArray[np.float32], variances: Sequence[float], window: int
) -> NDArray[np.float32]:
    """Smooth class probabilities by the better half of each pixel's neighbours.

    probabilities  (class, y, x), 0 to 1, of which none is missing
    variances      (class,), of the logits
    window         side of the neighbourhood in pixels, odd
    Returns (class, y, x), summing to one; NaN where the neighbourhood is not all inside.
    """
    classes, height, _ = probabilities.shape
    clipped = np.clip(probabilities, LEAST, 1 - LEAST)
    logits = np.log(clipped / (1 - clipped))
    smoothed = np.full(probabilities.shape, np.nan, np.float32)
    reach, count = window // 2, (window**2 + 1) // 2
    inner = slice(reach, -reach)
    for k in range(classes):
        for top in range(reach, height - reach, _ROWS):
            rows = slice(top, min(top + _ROWS, height - reach))
            near = logits[k, rows.start - reach : rows.stop + reach]
            windows = sliding_window_view(near, (window, window)).reshape(
                rows.stop - top, -1, window**2
            )
            best = np.partition(windows, window**2 - count, axis=2)[:, :, -count:]
            mean, variance = best.mean(axis=2), best.var(axis=2, ddof=1)
            own = logits[k, rows, inner]
            posterior = (variance * own + variances[k] * mean) / (variance + variances[k])
            smoothed[k, rows, inner] = 1 / (1 + np.exp(-posterior))
    return smoothed / smoothed.sum(axis=0)
