"""zeit-cdts' side of the benchmarks, as its users write it. Runs in its environment."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import zeit  # type: ignore[import-not-found]

from benchmarks.worker import serve

held: dict[str, Any] = {}
"""What was prepared for the next call."""


def smooth(probabilities: str, variance: float, window: int, into: str) -> float:
    """Seconds of smoothing (class, y, x); the smoothed classes' positions are stored."""
    given = np.load(probabilities)
    started = time.perf_counter()
    smoothed = zeit.smooth_probs(given, window, 0.5, variance, n_jobs=int(sys.argv[1]))
    took = time.perf_counter() - started
    np.save(into, np.asarray(smoothed).argmax(axis=0))
    return took


def hold_training(samples: str, weights: list[float], folds: list[int]) -> float:
    """Learn the training's space; the mean distance of its samples."""
    held["training"] = zeit.train_di(
        np.load(samples), weights=weights, folds=np.array(folds), n_jobs=int(sys.argv[1])
    )
    return float(held["training"].mean_distance)


def applicability(points: str, into: str) -> float:
    """Seconds of the dissimilarity index of (point, feature), which is stored."""
    given = np.load(points)
    started = time.perf_counter()
    found = zeit.aoa(given, held["training"], n_jobs=int(sys.argv[1]))
    took = time.perf_counter() - started
    np.save(into, np.asarray(found["DI"], np.float64))
    return took


def phenology(values: str, days: list[str], smoothing: float, into: str) -> float:
    """Seconds of the seasons of (time, y, x), NaN where missing, by Beck's curve and thresholds;
    their starts and ends in days of the year are stored."""
    given = np.load(values)
    started = time.perf_counter()
    found = zeit.phenology(
        given,
        dates=days,
        curve="beck",
        whittaker_lambda=smoothing,
        max_seasons=1,
        n_jobs=int(sys.argv[1]),
    )
    measures = [np.asarray(found[f"TRS2.{one}"]) for one in ("sos", "eos")]
    took = time.perf_counter() - started
    np.save(into, np.stack([one.reshape(given.shape[1:]) for one in measures]))
    return took


if __name__ == "__main__":
    serve({one.__name__: one for one in (smooth, hold_training, applicability, phenology)})
