"""Linear discriminant analysis whose covariance is shrunk towards that of unrelated features.

Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices",
Journal of Multivariate Analysis 88(2), say by how much.

Features of a season are many and vary together, more than there are fields to learn from: shrinkage
keeps differences from counting that only these fields have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.forest_kernels import to_probabilities
from lc_platform.runtime.threads import parallel_for

_ROWS = 1 << 14
"""Samples, or pixels, that are worked on at a time."""
_TOGETHER = 64
"""Pixels whose scores are added up at a time."""
_NEVER = -1e30
"""The score of a class that no sample has."""


@dataclass(frozen=True, slots=True, eq=False)
class Discriminant:
    """The scores of classes, each linear in the features."""

    class_ids: tuple[int, ...]
    """Ascending; the class of each column of the probabilities."""
    feature_names: tuple[str, ...]
    """In the order of the features it was trained on."""
    means: NDArray[np.float64]
    """(feature,), which stand for missing values."""
    weights: NDArray[np.float64]
    """(feature, class), of a feature's difference from its mean."""
    offsets: NDArray[np.float64]
    """(class,)"""
    separation: NDArray[np.float64]
    """(feature,), its variance between classes over that within."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """``shrinkage``, 0 where the samples' own covariance was taken and 1 where it had no say."""

    def probabilities(
        self, features: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing."""
        found = np.empty((len(features), len(self.class_ids)), np.float32)

        def part(some: slice) -> None:
            scores = np.empty((some.stop - some.start, len(self.class_ids)))
            _score(features[some], self.means, self.weights, self.offsets, scores)
            to_probabilities(scores)
            found[some] = scores

        parallel_for(part, len(features), _ROWS, threads)
        return found

    def importance(self) -> NDArray[np.float64]:
        """Return how well each feature tells classes apart by itself, (feature,)."""
        return self.separation

    def to_text(self) -> str:
        """Return it as JSON."""
        names = ("means", "weights", "offsets", "separation")
        return json.dumps(
            {
                "discriminant": "linear, covariance shrunk after Ledoit and Wolf (2004)",
                **{name: getattr(self, name).tolist() for name in names},
            }
        )


def from_text(
    text: str,
    class_ids: Sequence[int],
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> Discriminant:
    """Return a discriminant from its JSON and what its model card says of it.

    Raises ValueError where the text is no discriminant, or not one of these classes and features.
    """
    try:
        told = json.loads(text)
        means, weights, offsets, separation = (
            np.array(told[name], np.float64)
            for name in ("means", "weights", "offsets", "separation")
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The text is no discriminant: {error}") from error
    expected = len(feature_names), len(class_ids)
    if weights.shape != expected or means.shape != expected[:1] or offsets.shape != expected[1:]:
        raise ValueError(
            f"The discriminant's weights (feature, class) are {weights.shape}; {expected[0]} "
            f"feature names and {expected[1]} class ids were given. Model and model card do not "
            "belong together."
        )
    return Discriminant(
        tuple(class_ids),
        tuple(feature_names),
        means,
        weights,
        offsets,
        separation,
        dict(parameters or {}),
    )


def train(
    features: NDArray[np.float32] | Sequence[NDArray[np.float32]],
    labels: NDArray[np.integer[Any]],
    *,
    feature_names: Sequence[str],
    balanced: bool = False,
    class_ids: Sequence[int] = (),
) -> Discriminant:
    """Learn the classes' means and the covariance that they have in common.

    features       (sample, feature), NaN where missing, which counts as the feature's mean; or
                   several of them
    labels         (sample,), class ids
    feature_names  (feature,)
    balanced       whether all classes are as probable and weigh the same in the covariance
    class_ids      ascending; see `classifier.train`

    Raises ValueError where the shapes do not agree, or there are not two classes to tell apart.
    """
    parts = [features] if isinstance(features, np.ndarray) else list(features)
    if sum(map(len, parts)) != len(labels) or {p.shape[1] for p in parts} != {len(feature_names)}:
        raise ValueError("Features, labels and feature names do not agree.")
    ids = tuple(int(class_id) for class_id in (class_ids or np.unique(labels)))
    positions = np.searchsorted(ids, labels)
    counts = np.bincount(positions, minlength=len(ids))
    there = counts > 0
    if len(ids) < 2:
        raise ValueError(
            f"A classifier needs samples of at least two classes; these are of {list(ids)}."
        )
    priors = there / there.sum() if balanced else counts / counts.sum()
    # Each sample's share in the covariance.
    shares = (priors / np.maximum(counts, 1))[positions]
    means, centres = _means(parts, positions, counts)
    within = np.zeros(len(feature_names))
    for rows, values in _rows(parts, means):
        within += shares[rows] @ (values - centres[positions[rows]]) ** 2
    scale = np.sqrt(within)
    varies = scale > 1e-9 * np.maximum(np.abs(means), 1e-6)
    factors = np.where(varies, 1 / np.where(varies, scale, 1), 0)
    covariance, fourth = np.zeros((len(means), len(means))), 0.0
    for rows, values in _rows(parts, means):
        apart = (values - centres[positions[rows]]) * factors
        covariance += (apart * shares[rows, None]).T @ apart
        fourth += float((shares[rows] ** 2) @ (apart**2).sum(axis=1) ** 2)
    covariance, shrinkage = _shrunk(covariance, fourth, float((shares**2).sum()), int(varies.sum()))
    placed = centres * factors
    solved = np.linalg.solve(covariance, placed.T)  # (feature, class)
    logarithm = np.log(np.where(there, priors, 1))
    offsets = np.where(there, logarithm - (placed.T * solved).sum(axis=0) / 2, _NEVER)
    between = priors @ (centres - priors @ centres) ** 2
    return Discriminant(
        ids,
        tuple(feature_names),
        means,
        np.where(there, solved * factors[:, None], 0),
        offsets,
        between * factors**2,
        {"shrinkage": shrinkage},
    )


def _rows(
    parts: Sequence[NDArray[np.float32]], means: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield some samples at a time: which, and how they differ from the means, 0 if missing."""
    first = 0
    for part in parts:
        for start in range(0, len(part), _ROWS):
            values = part[start : start + _ROWS] - means
            values[np.isnan(values)] = 0
            yield slice(first + start, first + start + len(values)), values
        first += len(part)


def _means(
    parts: Sequence[NDArray[np.float32]],
    positions: NDArray[np.integer[Any]],
    counts: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features' means (feature,), and by how much those of each class differ (class,
    feature)."""
    width = parts[0].shape[1]
    total, known = np.zeros(width), np.zeros(width)
    for part in parts:
        total += np.nansum(part, axis=0, dtype=np.float64)
        known += np.count_nonzero(~np.isnan(part), axis=0)
    means = total / np.maximum(known, 1)
    centres = np.zeros((len(counts), width))
    for rows, values in _rows(parts, means):
        np.add.at(centres, positions[rows], values)
    return means, centres / np.maximum(counts, 1)[:, None]


def _shrunk(
    covariance: NDArray[np.float64], fourth: float, shares: float, dimensions: int
) -> tuple[NDArray[np.float64], float]:
    """Return a covariance that can be inverted, and how far it was shrunk.

    covariance  (feature, feature), 0 of features that do not vary
    fourth      the sum over samples of their squared share times the fourth power of their length
    shares      the sum of the squared shares
    dimensions  features that vary
    """
    usual = np.trace(covariance) / max(dimensions, 1) or 1.0
    varying = np.diag(covariance) > 0
    target = np.diag(np.where(varying, usual, 0))
    distance = float(((covariance - target) ** 2).sum())
    error = max(fourth - shares * float((covariance**2).sum()), 0.0)
    shrinkage = min(error / distance, 1.0) if distance > 0 else 1.0
    # Never so little that what is left of rounding decides.
    shrinkage = max(shrinkage, 1e-6)
    found = (1 - shrinkage) * covariance + shrinkage * target
    found[~varying, ~varying] = 1
    return found, shrinkage


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _score(features, means, weights, offsets, scores):  # type: ignore[no-untyped-def]
    """Fill scores (pixel, class); those of a pixel do not depend on other pixels, to the bit."""
    count, classes = scores.shape
    totals = np.empty((classes, _TOGETHER))
    apart = np.empty(_TOGETHER)
    for first in range(0, count, _TOGETHER):
        size = min(_TOGETHER, count - first)
        for k in range(classes):
            totals[k, :] = offsets[k]
        for d in range(means.shape[0]):
            for i in range(size):
                value = np.float64(features[first + i, d]) - means[d]
                apart[i] = value if value == value else 0.0
            for k in range(classes):
                weight = weights[d, k]
                for i in range(size):
                    totals[k, i] += apart[i] * weight
        for i in range(size):
            for k in range(classes):
                scores[first + i, k] = totals[k, i]
