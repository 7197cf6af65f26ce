"""How many rounds of boosting are enough, by ground that is held out of them.

Neighbouring pixels are alike: rounds that learn a block by heart seem to help on random pixels of
the same block. What is held out are whole blocks, as in the folds of the validation (see `folds`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.folds import assign_folds
from lc_platform.eo.training_table import TrainingTable

PARTS = 5
"""One of which is held out, where there are as many blocks."""


@dataclass(frozen=True)
class EarlyStopping:
    """Where boosting stopped, and by what."""

    rounds: int
    """After which the score of the held-out ground was best."""
    limit: int
    """Rounds there could have been."""
    patience: int
    """Rounds without a better score, after which it stopped."""
    stopped: bool
    """Whether it stopped before the limit."""
    metric: str
    score: float
    """The best one, in the metric's unit."""
    blocks: int
    """Of ground, in all."""
    held_out_blocks: int
    held_out_samples: int

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a table that are trained on, and those that say when it is enough."""

    training: NDArray[np.int64]
    held_out: NDArray[np.int64]
    blocks: int
    held_out_blocks: int


def split(table: TrainingTable, seed: int) -> Split:
    """Hold about a fifth of the blocks out, with like shares of every class.

    table  with blocks
    seed   the same one and the same table give the same split

    A sample of a class that the others do not have is on neither side: how surely it is mistaken
    for another would drown what the rest says. Raises ValueError where the samples lie in fewer
    than two blocks.
    """
    if table.blocks is None:
        raise ValueError("Early stopping needs the block of ground that each sample lies in.")
    keys, position = np.unique(table.blocks, return_inverse=True)
    if len(keys) < 2:
        raise ValueError(
            f"all {len(table.positions)} samples lie in one block of ground. Early stopping needs "
            "at least two, one to train and one to stop by"
        )
    classes = len(table.class_ids)
    counts = np.bincount(position * classes + table.positions, minlength=len(keys) * classes)
    dealt = assign_folds(
        counts.reshape(len(keys), classes).astype(np.int64),
        min(PARTS, len(keys)),
        seed,
        table.class_ids,
    )
    out = dealt.fold[position] == 0
    learnt = np.bincount(table.positions[~out], minlength=classes) > 0
    return Split(
        np.flatnonzero(~out),
        np.flatnonzero(out & learnt[table.positions]),
        len(keys),
        int((dealt.fold == 0).sum()),
    )
