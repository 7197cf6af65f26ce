"""Maps of several years made consistent: a hidden Markov model of each pixel over the years.

Rabiner (1989), "A tutorial on hidden Markov models and selected applications in speech
recognition", Proceedings of the IEEE 77(2); for land cover Abercrombie and Friedl (2016),
"Improving the consistency of multitemporal land cover maps using a hidden Markov model", IEEE
TGRS 54(2). The state is the class of a year, and what is observed are the classifier's
probabilities, which are proportional to the likelihood times the shares that classes had in
training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import probabilities as class_probabilities
from lc_platform.runtime.threads import parallel_for

LEAST = 1e-6
"""Probability that stands for all below it: a year in which a classifier is wrong for certain must
not contradict all others."""
_ROWS = 8
"""Rows that a thread works on at a time."""


def transition_matrix(
    class_ids: Sequence[int],
    *,
    change: float = 0.02,
    forbidden: Iterable[tuple[int, int]] = (),
    probabilities: Mapping[tuple[int, int], float] | None = None,
) -> NDArray[np.float64]:
    """Make the prior probabilities of transitions from rules.

    class_ids      (class,), each once
    change         probability, 0 to 1, that a pixel is of another class a year later. The classes
                   that are allowed, and for which nothing else is said, have equal parts of it
    forbidden      pairs of class ids (from, to) that never follow one another; a class may be
                   forbidden to stay what it is, too
    probabilities  by pairs of class ids (from, to), of those for which they are known, 0 to 1
    Returns (from, to), rows sum to one.

    Raises ValueError where a rule names a class that is not there or two rules contradict each
    other, where they leave a class nothing that it can become, and where they forbid every change.
    """
    ids = [int(one) for one in class_ids]
    count, chosen, never = len(ids), dict(probabilities or {}), set(forbidden)
    if len(set(ids)) != count or not count:
        raise ValueError(f"Class ids must be given, each once: {ids}")
    if not 0 <= change <= 1:
        raise ValueError(f"A probability of change of {change} is not within 0 and 1.")
    for pair in [*never, *chosen]:
        for one in pair:
            if one not in ids:
                raise ValueError(f"The rule {pair[0]} to {pair[1]}: there is no class {one}.")
    for (before, after), value in chosen.items():
        if not 0 <= value <= 1:
            raise ValueError(f"The rule {before} to {after}: {value} is not within 0 and 1.")
        if value and (before, after) in never:
            raise ValueError(f"The rule {before} to {after} is forbidden and has {value} too.")
    matrix = np.zeros((count, count))
    for row, before in enumerate(ids):
        said = {after: chosen[before, after] for after in ids if (before, after) in chosen}
        left = 1 - sum(said.values())
        if left < -1e-9:
            raise ValueError(f"The transitions from {before} sum to {1 - left:g}, more than one.")
        open_to = [one for one in ids if one not in said and (before, one) not in never]
        others = [one for one in open_to if one != before]
        stays = before in open_to
        # What is said of other classes is a part of the change; the rest of it is shared out.
        elsewhere = sum(value for after, value in said.items() if after != before)
        shared = max(0.0, min(change - elsewhere, left)) if stays else max(0.0, left)
        weights = {one: shared / len(others) for one in others}
        if stays:
            weights[before] = left - (shared if others else 0.0)
        weights |= said
        total = sum(weights.values())
        if total <= 0:
            raise ValueError(
                f"The rules forbid all that class {before} could become, itself too. Allow one."
            )
        for after, value in weights.items():
            matrix[row, ids.index(after)] = value / total
    if count > 1 and not matrix[~np.eye(count, dtype=np.bool_)].any():
        raise ValueError("The rules forbid every change of class. Allow one, or raise `change`.")
    return matrix


def posteriors(
    probabilities: NDArray[np.float32],
    matrix: NDArray[np.float64],
    *,
    prior: Sequence[float] | None = None,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Probability of every class in every year, given all years (forward-backward algorithm).

    probabilities  (year, class, y, x), 0 to 1, summing to one over the classes, of years that
                   follow one another; NaN without data. A year without a map is all NaN
    matrix         (from, to), probabilities of a transition from one year to the next, rows sum to
                   one; or (year - 1, from, to), where years do not lie alike far apart
    prior          (class,), shares that the classes had in training, above 0; equal where None
    threads        that may be used, 0 for all
    Returns (year, class, y, x), summing to one; NaN in the years in which the pixel has no data:
    transitions pass over them, and nothing is made up for them. Pixels do not depend on others.

    Raises ValueError where the arrays do not fit together or hold no probabilities.
    """
    transitions, shares = checked(probabilities, matrix, prior)
    years, _, height, width = probabilities.shape
    result = np.empty(probabilities.shape, np.float32)

    def rows(part: slice) -> None:
        _posteriors(probabilities[:, :, part], transitions, shares, LEAST, result[:, :, part])

    if years and width:
        parallel_for(rows, height, _ROWS, threads)
    return result


def most_probable_classes(
    probabilities: NDArray[np.float32],
    matrix: NDArray[np.float64],
    class_ids: Sequence[int],
    *,
    prior: Sequence[float] | None = None,
    threads: int = 0,
) -> NDArray[np.uint8]:
    """The most probable sequence of classes over the years (Viterbi's algorithm).

    probabilities, matrix, prior, threads  as for ``posteriors``
    class_ids                              (class,), 1 to 255
    Returns (year, y, x), class ids; 0 in the years in which the pixel has no data. Consecutive
    years never have a transition whose probability is 0; of sequences that are as probable, the
    one with the classes that come first is taken, from the last year back.

    Raises ValueError where the arrays do not fit together or hold no probabilities.
    """
    transitions, shares = checked(probabilities, matrix, prior)
    years, classes, height, width = probabilities.shape
    if len(class_ids) != classes:
        raise ValueError(f"{len(class_ids)} class ids are given for {classes} classes.")
    ids = np.array(class_ids, np.uint8)
    result = np.zeros((years, height, width), np.uint8)

    def rows(part: slice) -> None:
        _viterbi(probabilities[:, :, part], transitions, shares, LEAST, ids, result[:, part])

    if years and width:
        parallel_for(rows, height, _ROWS, threads)
    return result


def checked(
    probabilities: NDArray[np.float32],
    matrix: NDArray[np.float64],
    prior: Sequence[float] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrices (year - 1, from, to) and the prior, which sums to one.

    Raises ValueError where the arrays do not fit together or hold no probabilities.
    """
    if probabilities.ndim != 4:
        raise ValueError(
            f"Probabilities must be (year, class, y, x); they are of shape {probabilities.shape}."
        )
    years, classes = probabilities.shape[:2]
    transitions = np.asarray(matrix, np.float64)
    steps = max(years - 1, 0)
    if transitions.shape not in ((classes, classes), (steps, classes, classes)):
        raise ValueError(
            f"A matrix of transitions (from, to) of shape {transitions.shape} does not fit "
            f"{classes} classes."
            if transitions.ndim != 3
            else f"Matrices of transitions (year - 1, from, to) of shape {transitions.shape} do "
            f"not fit {years} years and {classes} classes."
        )
    sums = transitions.sum(axis=-1)
    if not (transitions >= 0).all() or np.abs(sums - 1).max(initial=0) > 1e-6:
        raise ValueError(
            "Each row of the matrix of transitions must be of 0 and above and sum to one; the "
            f"sums are {sums.round(4).tolist()}. See `transition_matrix`."
        )
    transitions = np.broadcast_to(transitions, (steps, classes, classes)).copy()
    shares = np.ones(classes) if prior is None else np.asarray(prior, np.float64)
    if shares.shape != (classes,) or not (np.isfinite(shares) & (shares > 0)).all():
        raise ValueError(f"The prior must be above 0 for each of the {classes} classes: {prior}")
    for year in probabilities:
        class_probabilities.check(year)
    return transitions, shares / shares.sum()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def likelihoods(probabilities, prior, least, evidence, known):  # type: ignore[no-untyped-def]
    """Fill evidence (year, class, x) with what a row's years say, 1 where a year says nothing,
    and known (year, x) with whether it says something."""
    years, classes, width = probabilities.shape
    for t in range(years):
        known[t] = True
        for k in range(classes):
            for x in range(width):
                value = np.float64(probabilities[t, k, x])
                known[t, x] &= not np.isnan(value)
                evidence[t, k, x] = max(value, least) / prior[k]
        for k in range(classes):
            for x in range(width):
                evidence[t, k, x] = evidence[t, k, x] if known[t, x] else 1.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def forward(evidence, matrix, prior, messages):  # type: ignore[no-untyped-def]
    """Fill messages (year, class, x) with the classes' probabilities given the years up to each."""
    years, classes, width = evidence.shape
    total = np.empty(width)
    for t in range(years):
        total[:] = 0
        for j in range(classes):
            message = messages[t, j]
            message[:] = prior[j] if t == 0 else 0.0
            if t > 0:
                for i in range(classes):
                    step = matrix[t - 1, i, j]
                    if step > 0:
                        for x in range(width):
                            message[x] += messages[t - 1, i, x] * step
            for x in range(width):
                message[x] *= evidence[t, j, x]
                total[x] += message[x]
        for j in range(classes):
            for x in range(width):
                messages[t, j, x] /= total[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def backward(evidence, matrix, messages):  # type: ignore[no-untyped-def]
    """Fill messages (year, class, x) with how probable the years after each are, up to a factor."""
    years, classes, width = evidence.shape
    total = np.empty(width)
    messages[years - 1] = 1.0
    for t in range(years - 2, -1, -1):
        total[:] = 0
        for i in range(classes):
            message = messages[t, i]
            message[:] = 0.0
            for j in range(classes):
                step = matrix[t, i, j]
                if step > 0:
                    for x in range(width):
                        message[x] += step * evidence[t + 1, j, x] * messages[t + 1, j, x]
            for x in range(width):
                total[x] += message[x]
        for i in range(classes):
            for x in range(width):
                messages[t, i, x] /= total[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _posteriors(probabilities, matrix, prior, least, result):  # type: ignore[no-untyped-def]
    years, classes, height, width = probabilities.shape
    evidence, before, after = np.empty((3, years, classes, width))
    known = np.empty((years, width), np.bool_)
    total = np.empty(width)
    for y in range(height):
        likelihoods(probabilities[:, :, y], prior, least, evidence, known)
        forward(evidence, matrix, prior, before)
        backward(evidence, matrix, after)
        for t in range(years):
            total[:] = 0
            for k in range(classes):
                for x in range(width):
                    before[t, k, x] *= after[t, k, x]
                    total[x] += before[t, k, x]
            for k in range(classes):
                for x in range(width):
                    share = before[t, k, x] / total[x]
                    result[t, k, y, x] = share if known[t, x] else np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _viterbi(probabilities, matrix, prior, least, ids, result):  # type: ignore[no-untyped-def]
    years, classes, height, width = probabilities.shape
    evidence = np.empty((years, classes, width))
    known = np.empty((years, width), np.bool_)
    score, previous = np.empty((2, classes, width))
    came = np.empty((years, classes, width), np.int16)
    steps = np.log(matrix)
    for y in range(height):
        likelihoods(probabilities[:, :, y], prior, least, evidence, known)
        for t in range(years):
            for j in range(classes):
                for x in range(width):
                    previous[j, x] = score[j, x]
            for j in range(classes):
                if t == 0:
                    score[j] = np.log(prior[j])
                else:
                    score[j] = -np.inf
                    came[t, j] = 0
                    for i in range(classes):
                        step = steps[t - 1, i, j]
                        for x in range(width):
                            reached = previous[i, x] + step
                            better = reached > score[j, x]
                            score[j, x] = reached if better else score[j, x]
                            came[t, j, x] = i if better else came[t, j, x]
                for x in range(width):
                    score[j, x] += np.log(evidence[t, j, x])
        for x in range(width):
            best = 0
            for k in range(1, classes):
                best = k if score[k, x] > score[best, x] else best
            for t in range(years - 1, -1, -1):
                if known[t, x]:
                    result[t, y, x] = ids[best]
                best = came[t, best, x] if t > 0 else best
