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
FEWEST_BLOCKS = 15
"""Blocks from which on it is measured how often intervals hold (docs/accuracy.md); those from fewer
are not to be relied on."""


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
    blocks = _with_pixels(matrices[:, np.newaxis])
    resampled = scores(_resampled(blocks, seed, draws)[:, 0])
    low, high = _bounds([resampled], confidence)
    return ScoreIntervals(scores(blocks[:, 0].sum(axis=0)), low, high)


def score_differences(
    before: NDArray[np.integer[Any]],
    after: NDArray[np.integer[Any]],
    *,
    seed: int,
    draws: int = 2000,
    confidence: float = 0.95,
) -> ScoreIntervals:
    """How much better one classifier is than another on the same ground: scores of the second less
    those of the first, each draw of blocks the same for both.

    before, after  (block, reference class, predicted class), pixels of the same blocks; see
                   ``score_intervals`` for the rest

    Raises ValueError where the shapes differ, and as ``score_intervals`` does.
    """
    if before.shape != after.shape:
        raise ValueError(f"Matrices {before.shape} and {after.shape} are not of the same blocks.")
    blocks = _with_pixels(np.stack([before, after], axis=1))
    drawn = _resampled(blocks, seed, draws)
    low, high = _bounds([scores(drawn[:, 0]), scores(drawn[:, 1])], confidence)
    whole = [scores(blocks[:, one].sum(axis=0)) for one in (0, 1)]
    return ScoreIntervals(Scores(*_values(whole)), low, high)


def _with_pixels(blocks: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """blocks  (block, map, reference class, predicted class)"""
    labelled = blocks[blocks.any(axis=(1, 2, 3))]
    if len(labelled) < 2:
        raise ValueError(
            f"{len(labelled)} block{'' if len(labelled) == 1 else 's'} of ground with a reference: "
            "an interval needs at least two. Take smaller blocks, or extend the reference."
        )
    return labelled


def _resampled(blocks: NDArray[np.integer[Any]], seed: int, draws: int) -> NDArray[np.float64]:
    """The sums of blocks that are drawn anew: (draw, map, reference class, predicted class)."""
    rng = np.random.default_rng((abs(seed), int(seed < 0)))
    flat = blocks.reshape(len(blocks), -1).astype(np.float64)
    chance = np.full(len(blocks), 1 / len(blocks))
    drawn = np.empty((draws, flat.shape[1]))
    step = max(1, _TOGETHER // max(flat.shape))
    for first in range(0, draws, step):
        part = drawn[first : first + step]
        times = rng.multinomial(len(blocks) - 1, chance, len(part))
        np.matmul(times.astype(np.float64), flat, out=part)
    return drawn.reshape(draws, *blocks.shape[1:])


def _values(found: list[Scores]) -> list[NDArray[np.float64]]:
    """By score: of one, or the second less the first."""
    return [
        np.asarray(getattr(found[-1], field.name))
        - (getattr(found[0], field.name) if len(found) > 1 else 0)
        for field in fields(Scores)
    ]


def _bounds(found: list[Scores], confidence: float) -> tuple[Scores, Scores]:
    if not 0 < confidence < 1:
        raise ValueError(f"A confidence of {confidence} is not between 0 and 1.")
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]
    bounds = [_percentiles(values, tails) for values in _values(found)]
    return Scores(*(one[0] for one in bounds)), Scores(*(one[1] for one in bounds))


def _percentiles(values: NDArray[np.float64], tails: list[float]) -> NDArray[np.float64]:
    """Over the first axis, of what is not NaN; NaN where all is."""
    found = np.full((len(tails), *values.shape[1:]), np.nan)
    exists = ~np.isnan(values).all(axis=0)
    found[:, exists] = np.nanpercentile(values[:, exists], tails, axis=0)
    return found
