"""Area of applicability: where a classifier is asked about what its training has not shown it.

Meyer and Pebesma (2021), "Predicting into unknown space? Estimating the area of applicability of
spatial prediction models", Methods in Ecology and Evolution 12(9). The dissimilarity index of a
pixel is its distance to the nearest training sample, in the space of the standardized features
weighted by their importance, in units of the mean distance between training samples. What is
above the threshold, which the training samples' own indices across folds give, is outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.nearest import NearestSample
from lc_platform.runtime.threads import parallel_for

_PIXELS = 4096
"""That a thread works on at a time."""
_SAMPLES = 1024
"""Likewise."""
OUTSIDE = 100
"""The highest `percent` that is inside the area of applicability."""
PERCENT_NO_DATA = 0
_TOGETHER = 512
"""Samples whose distances to all others are held at a time."""


@dataclass(frozen=True, eq=False)
class TrainingSpace:
    """What is to be known of the training samples to judge a pixel.

    All but ``threshold`` and ``mean_distance`` are of the features whose importance is above 0.
    """

    features: int
    """How many a pixel has."""
    used: NDArray[np.int64]
    """(used feature,), their positions among all, the most important first."""
    means: NDArray[np.float64]
    """(used feature,), over the training samples, in the feature's unit."""
    factors: NDArray[np.float64]
    """(used feature,), its weight over its standard deviation."""
    points: NDArray[np.float64]
    """(sample, used feature), standardized and weighted."""
    mean_distance: float
    """Between two training samples."""
    threshold: float
    """The highest index that is inside."""

    @cached_property
    def nearest(self) -> NearestSample:
        """The search for the nearest of the points, made when it is first needed."""
        return NearestSample(self.points)


def choose(labels: NDArray[np.integer[Any]], most: int, seed: int) -> NDArray[np.int64]:
    """Draw the samples that stand for all of the training: of each class as many, as far as it has
    them, so that rare classes are known as well as frequent ones.

    labels  (sample,), class ids
    most    samples that are drawn; all where there are no more
    seed    the same labels and seed draw the same samples
    Returns their positions, ascending.

    Distances to fewer samples are longer, and so are those between samples of different folds: the
    threshold, which is learnt from the same samples, keeps its meaning.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    generator = np.random.default_rng((abs(seed), int(seed < 0)))
    ids, position, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shares = np.zeros(len(ids), np.int64)
    left = most
    for waiting, one in zip(range(len(ids), 0, -1), np.argsort(counts, kind="stable"), strict=True):
        shares[one] = min(counts[one], left // waiting)
        left -= int(shares[one])
    drawn = [
        generator.choice(np.flatnonzero(position == one), share, replace=False)
        for one, share in enumerate(shares)
    ]
    return np.sort(np.concatenate(drawn))


def fit(
    features: NDArray[np.floating[Any]],
    importance: NDArray[np.floating[Any]],
    folds: NDArray[np.integer[Any]],
    *,
    threads: int = 0,
) -> TrainingSpace:
    """Learn from the training samples what is like them.

    features    (sample, feature), NaN where missing, which counts as the feature's mean
    importance  (feature,), of any unit; a feature of 0 or below has no say. LightGBM's gain, for
                example
    folds       (sample,), which fold of the cross-validation a sample is in
    threads     that may be used, 0 for all
    Returns the space and its threshold: the highest of the samples' indices to the samples of
    other folds that is no outlier, that is at most 1.5 interquartile ranges above the third
    quartile.

    Raises ValueError where the shapes do not agree, the folds are not two or more, no feature has
    a say, or all samples are alike.
    """
    count, width = features.shape
    weights = np.asarray(importance, np.float64)
    if weights.shape != (width,) or folds.shape != (count,):
        raise ValueError(
            f"features (sample, feature) {features.shape}, importance (feature,) {weights.shape} "
            f"and folds (sample,) {folds.shape} do not agree."
        )
    if len(np.unique(folds)) < 2:
        raise ValueError(
            "The threshold of applicability needs samples of two folds or more; they are all of "
            "one. Add blocks of ground, or folds."
        )
    if np.isinf(features).any() or not np.isfinite(weights).all():
        raise ValueError("Features and their importance must be finite, or NaN where missing.")
    known = ~np.isnan(features)
    seen = np.maximum(known.sum(axis=0), 1)
    values = np.where(known, features, 0).astype(np.float64)
    means = values.sum(axis=0) / seen
    apart = np.where(known, values - means, 0)
    # What is missing counts as the mean, but makes the others vary no less.
    deviations = np.sqrt((apart**2).sum(axis=0) / np.maximum(seen - 1, 1))
    positions = np.flatnonzero((weights > 0) & (deviations > 0))
    used = positions[np.argsort(-weights[positions], kind="stable")]
    if not used.size:
        raise ValueError(
            "No feature that varies has an importance above 0: applicability cannot be judged."
        )
    factors = weights[used] / weights[used].mean() / deviations[used]
    points = np.ascontiguousarray(apart[:, used] * factors)
    mean_distance = _mean_distance(points)
    if not mean_distance > 0:
        raise ValueError("All training samples are alike: applicability cannot be judged.")
    nearest = np.empty(count)
    for fold in np.unique(folds):
        inside = folds == fold
        nearest[inside] = _nearest(points[~inside], points[inside], threads)
    indices = nearest / mean_distance
    lower, upper = np.quantile(indices, [0.25, 0.75])
    threshold = float(indices[indices <= upper + 1.5 * (upper - lower)].max())
    return TrainingSpace(width, used, means[used], factors, points, mean_distance, threshold)


def dissimilarity(
    space: TrainingSpace, features: NDArray[np.floating[Any]], *, threads: int = 0
) -> NDArray[np.float32]:
    """The dissimilarity index of each pixel of a window.

    features  (feature, y, x), in the training's order; a NaN counts as the training's mean
    threads   that may be used, 0 for all
    Returns (y, x), 0 where a training sample is the same, without end above; NaN where all
    features that have a say are missing. Pixels do not depend on others, to the bit.

    Raises ValueError where the number of features is not the training's.
    """
    if features.shape[0] != space.features:
        raise ValueError(
            f"The training had {space.features} features; {features.shape[0]} were given."
        )
    pixels = features.reshape(space.features, -1)
    index = np.empty(pixels.shape[1], np.float32)
    nearest = space.nearest

    def part(some: slice) -> None:
        found = nearest.distances(
            pixels[:, some], used=space.used, means=space.means, factors=space.factors
        )
        index[some] = found / space.mean_distance

    parallel_for(part, len(index), _PIXELS, threads)
    return index.reshape(features.shape[1:])


def is_applicable(space: TrainingSpace, index: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where the index is at most the threshold; False where it is NaN."""
    return index <= np.float32(space.threshold)


def percent(space: TrainingSpace, index: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the index in percent of the threshold, as a map keeps it.

    index  any shape, NaN where it cannot be judged
    Returns the same shape, rounded up: 1 to 100 (OUTSIDE) inside the area of applicability, 101 to
    255 outside of it, 255 where the index is 2.55 times the threshold or more, or NaN. 0
    (PERCENT_NO_DATA) is left to pixels without data.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.ceil(100 * index / np.float32(space.threshold))
    return _as_kept(share, is_applicable(space, index))


def regional_percent(
    spaces: Sequence[TrainingSpace],
    weights: NDArray[np.float32],
    features: NDArray[np.floating[Any]],
    *,
    threads: int = 0,
) -> NDArray[np.uint8]:
    """Return the same as `percent` of a window where regions have a training of their own: the mean
    of the indices, each in units of its region's threshold, by the regions' weights.

    spaces    (region,)
    weights   (region, y, x), 0 to 1, 1 together
    features  (feature, y, x), see `dissimilarity`
    """
    total = np.zeros(weights.shape[1:], np.float32)
    for space, weight in zip(spaces, weights, strict=True):
        here = weight > 0
        if not here.any():
            continue
        pixels = np.ascontiguousarray(features[:, here])[:, np.newaxis]
        with np.errstate(divide="ignore", invalid="ignore"):
            index = dissimilarity(space, pixels, threads=threads)[0] / np.float32(space.threshold)
        total[here] += weight[here] * index
    with np.errstate(invalid="ignore"):
        return _as_kept(np.ceil(100 * total), total <= 1)


def _as_kept(share: NDArray[np.floating[Any]], within: NDArray[np.bool_]) -> NDArray[np.uint8]:
    share = np.nan_to_num(share, nan=255, posinf=255)
    inside = np.clip(share, 1, OUTSIDE).astype(np.uint8)
    outside = np.clip(share, OUTSIDE + 1, 255).astype(np.uint8)
    found: NDArray[np.uint8] = np.where(within, inside, outside)
    return found


def _nearest(
    points: NDArray[np.float64], asked: NDArray[np.float64], threads: int
) -> NDArray[np.float64]:
    search, found = NearestSample(points), np.empty(len(asked))

    def part(rows: slice) -> None:
        found[rows] = search.distances(asked[rows].T)

    parallel_for(part, len(asked), _SAMPLES, threads)
    return found


def _mean_distance(points: NDArray[np.float64]) -> float:
    """Mean distance of each sample to every other."""
    squares = (points**2).sum(axis=1)
    total = 0.0
    for start in range(0, len(points), _TOGETHER):
        some = points[start : start + _TOGETHER]
        apart = squares[start : start + _TOGETHER, None] + squares - 2 * (some @ points.T)
        np.sqrt(np.maximum(apart, 0, out=apart), out=apart)
        apart[np.arange(len(some)), start + np.arange(len(some))] = 0
        total += float(apart.sum())
    return total / (len(points) * max(len(points) - 1, 1))
