"""geomad's, whittaker-eilers' and scikit-image's side of the benchmarks, as their users write it.
Runs in their environment."""

from __future__ import annotations

import sys
import time

import geomad  # type: ignore[import-not-found]
import numpy as np
import whittaker_eilers  # type: ignore[import-not-found]
from skimage.feature import graycomatrix, graycoprops  # type: ignore[import-not-found]

from benchmarks.worker import serve


def geometric_median(points: str, into: str) -> float:
    """Seconds of the geometric medians of (y, x, band, time), NaN where missing, which are
    stored."""
    given = np.load(points)
    started = time.perf_counter()
    found = geomad.nangeomedian_pcm(given, eps=1e-6, maxiters=1000, num_threads=int(sys.argv[1]))
    took = time.perf_counter() - started
    np.save(into, found)
    return took


def whittaker(values: str, weights: str, smoothing: float, into: str) -> float:
    """Seconds of smoothing (pixel, day) with weights of their own, which is stored."""
    data, weigh = np.load(values).tolist(), np.load(weights).tolist()
    started = time.perf_counter()
    smoother = whittaker_eilers.WhittakerSmoother(smoothing, 2, len(data[0]), weights=weigh[0])
    found = []
    for one, its in zip(data, weigh, strict=True):
        smoother.update_weights(its)
        found.append(smoother.smooth(one))
    took = time.perf_counter() - started
    np.save(into, np.array(found))
    return took


def texture(grey: str, levels: int, window: int, measures: list[str], into: str) -> float:
    """Seconds of the texture (measure, y, x) of grey levels (y, x) with a margin, which is
    stored."""
    image = np.load(grey)
    rows, columns = (side - window + 1 for side in image.shape)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    found = np.empty((len(measures), rows, columns))
    started = time.perf_counter()
    for y, x in np.ndindex(rows, columns):
        matrix = graycomatrix(
            image[y : y + window, x : x + window], [1], angles, levels, symmetric=True, normed=True
        )
        for i, measure in enumerate(measures):
            found[i, y, x] = graycoprops(matrix, measure).mean()
    took = time.perf_counter() - started
    np.save(into, found)
    return took


if __name__ == "__main__":
    serve({one.__name__: one for one in (geometric_median, whittaker, texture)})
