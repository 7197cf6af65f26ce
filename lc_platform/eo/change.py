"""Transitions between two years, from the probabilities of both and of the years around them.

Two maps laid over each other call a change what is a mistake of either. Here a transition is
weighed by what both years' probabilities say of it, by how probable rules make it, and by the
years before and after: what a third year does not confirm is not probable. The posterior of a pair
of states in a hidden Markov model (Rabiner 1989), see ``markov``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import markov
from lc_platform.runtime.threads import parallel_for

_ROWS = 8
"""Rows that a thread works on at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """The transition of each pixel, (y, x) each."""

    before: NDArray[np.uint8]
    """Class ids; 0 where one of the two years has no data."""
    after: NDArray[np.uint8]
    """Likewise."""
    probability: NDArray[np.float32]
    """Of that transition, 0 to 1; NaN where one of the two years has no data."""
    change: NDArray[np.float32]
    """Of all transitions together that count as a change, 0 to 1; NaN likewise."""


def transitions(
    probabilities: NDArray[np.float32],
    matrix: NDArray[np.float64],
    class_ids: Sequence[int],
    *,
    first: int = 0,
    counted: NDArray[np.bool_] | None = None,
    evidence: float | None = None,
    prior: Sequence[float] | None = None,
    threads: int = 0,
) -> Transitions:
    """Find each pixel's most probable transition from one year to the next.

    probabilities  (year, class, y, x), 0 to 1, summing to one over the classes, of two years or
                   more that follow one another; NaN without data. A year without a map is all NaN
    matrix         (from, to), prior probabilities of a transition from one year to the next, rows
                   sum to one, 0 where it is forbidden; see ``markov.transition_matrix``. Or
                   (year - 1, from, to), where years do not lie alike far apart
    class_ids      (class,), 1 to 255
    first          which year the transitions are from, to the next. The other years, if there are
                   any, confirm it or not
    counted        (from, to), which transitions are a change; all to another class where None.
                   Crops that follow one another are transitions and no change
    evidence       the probability, 0 to 1, that all changes together must have for the transition
                   to be a change: where it is reached, the most probable change is taken, and
                   elsewhere the most probable transition that is none. The most probable of all
                   where None
    prior          (class,), shares that the classes had in training, above 0; equal where None
    threads        that may be used, 0 for all
    Returns the transitions; a forbidden one is never among them. Of transitions that are as
    probable, staying comes first, then the classes' order. Pixels do not depend on others.

    Raises ValueError where the arrays do not fit together or hold no probabilities.
    """
    steps, shares = markov.checked(probabilities, matrix, prior)
    years, classes, height, width = probabilities.shape
    if not 0 <= first < years - 1:
        raise ValueError(
            f"A transition from year {first} to the next is not among {years} years, which are "
            "counted from 0."
        )
    if len(class_ids) != classes:
        raise ValueError(f"{len(class_ids)} class ids are given for {classes} classes.")
    counts = ~np.eye(classes, dtype=np.bool_) if counted is None else np.asarray(counted, np.bool_)
    if counts.shape != (classes, classes):
        raise ValueError(f"counted (from, to) {counts.shape} does not fit {classes} classes.")
    if evidence is not None and not 0 <= evidence <= 1:
        raise ValueError(f"An evidence of {evidence} is no probability within 0 and 1.")
    least = -1.0 if evidence is None else float(evidence)
    ids = np.array(class_ids, np.uint8)
    before, after = np.zeros((2, height, width), np.uint8)
    probability, change = np.empty((2, height, width), np.float32)

    def rows(part: slice) -> None:
        _transitions(
            probabilities[:, :, part], steps, shares, markov.LEAST, first, counts, least, ids,
            before[part], after[part], probability[part], change[part],
        )  # fmt: skip

    if width:
        parallel_for(rows, height, _ROWS, threads)
    return Transitions(before, after, probability, change)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _transitions(  # type: ignore[no-untyped-def]
    probabilities, matrix, prior, least, first, counted, needed, ids,
    before, after, probability, change,
):  # fmt: skip
    years, classes, height, width = probabilities.shape
    evidence, ahead, back = np.empty((3, years, classes, width))
    known = np.empty((years, width), np.bool_)
    total, changed, joint = np.empty((3, width))
    # Of the transitions that are no change, and of those that are one; all are in the first where
    # none is to be preferred.
    highest = np.empty((2, width))
    source, target = np.empty((2, 2, width), np.int64)
    for y in range(height):
        markov.likelihoods(probabilities[:, :, y], prior, least, evidence, known)
        markov.forward(evidence, matrix, prior, ahead)
        markov.backward(evidence, matrix, back)
        total[:], changed[:] = 0, 0
        highest[:] = -1
        for turn in range(2):  # staying comes first
            for i in range(classes):
                for j in range(classes):
                    step = matrix[first, i, j]
                    if step == 0 or (i == j) != (turn == 0):
                        continue
                    counts = counted[i, j]
                    kind = 1 if counts and needed >= 0 else 0
                    for x in range(width):
                        joint[x] = (
                            ahead[first, i, x]
                            * step
                            * evidence[first + 1, j, x]
                            * back[first + 1, j, x]
                        )
                        total[x] += joint[x]
                        changed[x] += joint[x] if counts else 0.0
                        better = joint[x] > highest[kind, x]
                        highest[kind, x] = joint[x] if better else highest[kind, x]
                        source[kind, x] = i if better else source[kind, x]
                        target[kind, x] = j if better else target[kind, x]
        for x in range(width):
            if known[first, x] and known[first + 1, x]:
                share = changed[x] / total[x]
                kind = 1 if needed >= 0 and share >= needed else 0
                if highest[kind, x] < 0:  # the rules know but the other kind
                    kind = 1 - kind
                before[y, x], after[y, x] = ids[source[kind, x]], ids[target[kind, x]]
                probability[y, x] = highest[kind, x] / total[x]
                change[y, x] = share
            else:
                probability[y, x] = change[y, x] = np.nan
