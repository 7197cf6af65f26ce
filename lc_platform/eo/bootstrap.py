"""How far the figures of a map's quality may be off: a bootstrap over blocks of ground.

Pixels of one block are alike and tell little more than one of them, so that whole blocks are drawn
anew (Efron and Tibshirani 1993, "An introduction to the bootstrap"), one less than there are, which
gives the variance its full size when they are few (Rao and Wu 1988, "Resampling inference with
complex survey data"). A block enters as its confusion matrix, so that a draw costs what the classes
cost, however many pixels there are.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.accuracy import Scores, scores

_TOGETHER = 1 << 22
"""Numbers of a set of draws that are worked on at once."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreIntervals:
    """Scores of all blocks together, and the interval of each."""

    value: Scores
    low: Scores
    high: Scores


def score_intervals(
    matrices: NDArray[np.integer[Any]],
    *,
    seed: int,
    draws: int = 2000,
    confidence: float = 0.95,
) -> ScoreIntervals:
    """Percentile intervals of overall and balanced accuracy, F1, precision and recall.

    matrices    (block, reference class, predicted class), pixels; a block without any is left out
    seed        the same seed and matrices give the same intervals
    draws       of the blocks, with replacement
    confidence  between 0 and 1

    The bounds of a class are of the draws that have it; see ``Scores`` for where there are none.
    Raises ValueError where fewer than two blocks have a pixel, and for a confidence out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"A confidence of {confidence} is not between 0 and 1.")
    blocks = matrices[matrices.any(axis=(1, 2))]
    if len(blocks) < 2:
        raise ValueError(
            f"{len(blocks)} block{'' if len(blocks) == 1 else 's'} of ground with a reference: an "
            "interval needs at least two. Take smaller blocks, or extend the reference."
        )
    rng = np.random.default_rng((abs(seed), int(seed < 0)))
    flat = blocks.reshape(len(blocks), -1).astype(np.float64)
    chance = np.full(len(blocks), 1 / len(blocks))
    drawn = np.empty((draws, flat.shape[1]))
    step = max(1, _TOGETHER // max(flat.shape))
    for first in range(0, draws, step):
        part = drawn[first : first + step]
        times = rng.multinomial(len(blocks) - 1, chance, len(part))
        np.matmul(times.astype(np.float64), flat, out=part)
    resampled = scores(drawn.reshape(draws, *matrices.shape[1:]))
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]
    bounds = [_percentiles(getattr(resampled, field.name), tails) for field in fields(Scores)]
    low, high = (Scores(*(bound[side] for bound in bounds)) for side in (0, 1))
    return ScoreIntervals(scores(blocks.sum(axis=0)), low, high)


def _percentiles(values: NDArray[np.float64], tails: list[float]) -> NDArray[np.float64]:
    """Over the first axis, of what is not NaN; NaN where all is."""
    found = np.full((len(tails), *values.shape[1:]), np.nan)
    exists = ~np.isnan(values).all(axis=0)
    found[:, exists] = np.nanpercentile(values[:, exists], tails, axis=0)
    return found
