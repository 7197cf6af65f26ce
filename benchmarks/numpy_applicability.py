"""The dissimilarity index as numpy and scipy give it: what a kernel has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

_TOGETHER = 1024
"""Pixels whose distances to all samples are held at a time."""


def by_matrix_product(
    points: NDArray[np.float64], pixels: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest point, by numpy's matrix product in single precision.

    points  (sample, dimension)
    pixels  (pixel, dimension)
    Returns (pixel,). Distances that are small beside the points' own lengths are not exact.
    """
    single = points.astype(np.float32)
    squares = (single**2).sum(axis=1)
    nearest = np.empty(len(pixels), np.float32)
    for start in range(0, len(pixels), _TOGETHER):
        some = pixels[start : start + _TOGETHER].astype(np.float32)
        apart = some @ single.T
        apart *= -2
        apart += squares
        least = apart.min(axis=1) + (some**2).sum(axis=1)
        nearest[start : start + _TOGETHER] = np.sqrt(np.maximum(least, 0))
    return nearest


def by_cdist(points: NDArray[np.float64], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same by scipy's pairwise distances, in double precision."""
    parts = range(0, len(pixels), _TOGETHER)
    return np.concatenate(
        [cdist(pixels[start : start + _TOGETHER], points).min(axis=1) for start in parts]
    )


def by_tree(
    points: NDArray[np.float64], pixels: NDArray[np.float64], threads: int
) -> NDArray[np.float64]:
    """The same by scipy's k-d tree."""
    distances, _ = cKDTree(points).query(pixels, workers=threads)
    return np.asarray(distances)
