"""Linear discriminant analysis whose covariance is shrunk towards that of unrelated features.

Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices",
Journal of Multivariate Analysis 88(2), say by how much.

Features of a season are many and vary together, more than there are fields to learn from: shrinkage
keeps differences from counting that only these fields have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.linear_model import NEVER, LinearModel, centred, feature_means
from lc_platform.eo.training_table import TrainingTable


def train(table: TrainingTable) -> LinearModel:
    """Learn the classes' means and the covariance that they have in common.

    A missing value counts as the feature's mean. Where the table is balanced, all classes are as
    probable and weigh the same in the covariance.
    """
    positions, parts = table.positions, table.parts
    there = table.counts > 0
    # Each sample's share in the covariance.
    priors, shares = table.priors, table.shares
    means = feature_means(parts)
    centres = _centres(table, means)
    within = np.zeros(len(means))
    for rows, values in centred(parts, means):
        within += shares[rows] @ (values - centres[positions[rows]]) ** 2
    scale = np.sqrt(within)
    varies = scale > 1e-9 * np.maximum(np.abs(means), 1e-6)
    factors = np.where(varies, 1 / np.where(varies, scale, 1), 0)
    covariance, fourth = np.zeros((len(means), len(means))), 0.0
    for rows, values in centred(parts, means):
        apart = (values - centres[positions[rows]]) * factors
        covariance += (apart * shares[rows, None]).T @ apart
        fourth += float((shares[rows] ** 2) @ (apart**2).sum(axis=1) ** 2)
    covariance, shrinkage = _shrunk(covariance, fourth, float((shares**2).sum()), int(varies.sum()))
    placed = centres * factors
    solved = np.linalg.solve(covariance, placed.T)  # (feature, class)
    logarithm = np.log(np.where(there, priors, 1))
    offsets = np.where(there, logarithm - (placed.T * solved).sum(axis=0) / 2, NEVER)
    between = priors @ (centres - priors @ centres) ** 2
    return LinearModel(
        "discriminant",
        table.class_ids,
        table.feature_names,
        means,
        np.where(there, solved * factors[:, None], 0),
        offsets,
        between * factors**2,
        {"shrinkage": shrinkage},
    )


def _centres(table: TrainingTable, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the means of each class differ from those of all, (class, feature)."""
    found = np.zeros((len(table.class_ids), len(means)))
    weights = table.sample_weights
    for rows, values in centred(table.parts, means):
        own = values if weights is None else values * weights[rows, None]
        np.add.at(found, table.positions[rows], own)
    return found / np.where(table.totals > 0, table.totals, 1.0)[:, None]


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
