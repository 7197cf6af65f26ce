"""Sequences of classes over years, and the rules that they follow."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import markov

IDS = (2, 5, 9)


def scene(
    seed: int, years: int, classes: int = 3, shape: tuple[int, int] = (2, 3), missing: float = 0.2
) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    drawn = generator.dirichlet(np.full(classes, 0.5), (years, *shape)).astype(np.float32)
    probabilities = np.ascontiguousarray(np.moveaxis(drawn, -1, 1))
    gaps = np.broadcast_to(generator.random((years, 1, *shape)) < missing, probabilities.shape)
    probabilities[gaps] = np.nan
    return probabilities


def rules(seed: int, classes: int = 3) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    matrix = generator.random((classes, classes)) * (generator.random((classes, classes)) < 0.7)
    matrix += np.eye(classes)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def sequences(
    series: NDArray[np.float32], matrix: NDArray[np.float64], prior: NDArray[np.float64]
) -> dict[tuple[int, ...], float]:
    """The probability of every sequence of classes of a pixel, (year, class) -> by sequence."""
    years, classes = series.shape
    weights = {}
    for path in product(range(classes), repeat=years):
        weight = prior[path[0]]
        for t, k in enumerate(path):
            if t:
                weight *= matrix[path[t - 1], k]
            if not np.isnan(series[t]).any():
                weight *= max(float(series[t, k]), markov.LEAST) / prior[k]
        weights[path] = float(weight)
    total = sum(weights.values())
    return {path: weight / total for path, weight in weights.items()}


def years_of(*values: float | None) -> NDArray[np.float32]:
    """(year, class, 1, 1): the probability of the first of two classes, None without data."""
    series = [(np.nan, np.nan) if one is None else (one, 1 - one) for one in values]
    return np.array(series, np.float32)[:, :, None, None]
