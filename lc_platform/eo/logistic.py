"""Multinomial logistic regression by scikit-learn, of standardized features."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.linear_model import NEVER, LinearModel, centred, feature_means
from lc_platform.eo.training_table import TrainingTable

logger = logging.getLogger(__name__)


def train(table: TrainingTable, parameters: Mapping[str, Any], *, seed: int) -> LinearModel:
    """Fit a regression whose weights are kept small.

    parameters  of scikit-learn's LogisticRegression
    seed        of the solvers that draw samples

    A missing value counts as the feature's mean. That the solver has not converged is logged as a
    warning.

    Raises ValueError where scikit-learn refuses the parameters.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    means = feature_means(table.parts)
    values, deviations = _standardized(table, means)
    offsets = np.where(table.counts > 0, 0.0, NEVER)
    weights = np.zeros((len(means), len(table.class_ids)))
    present = np.flatnonzero(table.counts)
    if len(present) > 1:
        regression = LogisticRegression(**parameters, random_state=seed)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            regression.fit(values, table.positions, sample_weight=table.weights)
        if any(issubclass(one.category, ConvergenceWarning) for one in caught):
            logger.warning(
                "logistic: not converged after max_iter: %s iterations, so that the model depends "
                "on where it stopped. Raise max_iter, or lower C",
                parameters.get("max_iter", 100),
            )
        # Of two classes scikit-learn has the scores of the second alone.
        which = present if len(present) > 2 else present[1:]
        weights[:, which] = regression.coef_.T
        offsets[which] = regression.intercept_
    return LinearModel(
        "logistic",
        table.class_ids,
        table.feature_names,
        means,
        weights / deviations[:, None],
        offsets,
        np.sqrt((weights**2).mean(axis=1)),
        dict(parameters),
    )


def _standardized(
    table: TrainingTable, means: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return all samples (sample, feature) less the means and over the standard deviations, and
    these, (feature,): 1 of what does not vary."""
    values = np.empty((len(table.positions), len(means)), np.float32)
    squares = np.zeros(len(means))
    for rows, apart in centred(table.parts, means):
        squares += (apart**2).sum(axis=0)
        values[rows] = apart
    deviations = np.sqrt(squares / len(values))
    varies = deviations > 1e-9 * np.maximum(np.abs(means), 1e-6)
    deviations = np.where(varies, deviations, 1)
    values *= np.where(varies, 1 / deviations, 0).astype(np.float32)
    return values, deviations
