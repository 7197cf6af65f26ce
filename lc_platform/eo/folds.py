"""Cross-validation on ground that training has not seen: folds of blocks of ground.

Neighbouring pixels are alike, so that a random split tests a classifier on what it has learnt by
heart; blocks are held out as a whole (Roberts et al. 2017, "Cross-validation strategies for data
with temporal, spatial, hierarchical, or phylogenetic structure", Ecography 40). They are spread
over the folds class by class, the rarest first (Sechidis et al. 2011, "On the stratification of
multi-label data").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Side = Literal["training", "test"]

_ATTEMPTS, _MOST_ATTEMPTS = 10, 60
"""Orders in which blocks are dealt out, of which the best is taken. As long as a class is missing
that might be there, the rest are tried too, at random."""
_COORDINATE_BITS = 28
"""Of a block's row and column, which go from - 2**27 to 2**27 - 1."""


class Gap(NamedTuple):
    """A class that a fold does not have on one side."""

    class_id: int
    fold: int
    side: Side


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Which block is tested in which fold; a fold's training is all other blocks."""

    class_ids: tuple[int, ...]
    fold: Counts
    """(block,), from 0."""
    test: Counts
    """(fold, class), pixels."""
    training: Counts
    """(fold, class), pixels."""

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The classes that a fold cannot be trained on or tested on, by class and fold. A class
        in fewer blocks than there are folds has some by necessity."""
        sides: tuple[tuple[Side, Counts], ...] = (("training", self.training), ("test", self.test))
        return tuple(
            Gap(class_id, fold, side)
            for position, class_id in enumerate(self.class_ids)
            for fold in range(len(self.test))
            for side, pixels in sides
            if not pixels[fold, position]
        )


def block_keys(
    x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]], size: float, zone: int = 0
) -> Counts:
    """The block of ground that each place lies in: squares from the origin of the coordinates,
    their lower bounds within.

    x, y  any shape, in units of the coordinate system, metres for example
    size  of a block, in the same unit
    zone  tells coordinate systems apart, 0 to 127: blocks of two are never the same
    Returns the same shape, a number that is the block's own wherever it is computed.

    Raises ValueError for a size that is not above 0, a zone out of its range, and for places that
    are more than 2**27 blocks from the origin.
    """
    if not size > 0:
        raise ValueError(f"Blocks of size {size} have no area.")
    if not 0 <= zone < 128:
        raise ValueError(f"Zone {zone} is not within 0 to 127.")
    half = 1 << (_COORDINATE_BITS - 1)
    key = np.full(np.shape(x), zone, np.int64)
    for values in (y, x):
        number = np.floor(np.asarray(values, np.float64) / size)
        if not (np.abs(number) < half).all():
            raise ValueError(
                f"Blocks of size {size} are too small for coordinates up to "
                f"{np.abs(values).max():g}, or some are missing."
            )
        key = (key << _COORDINATE_BITS) | (number.astype(np.int64) + half)
    return key


def home_blocks(
    groups: NDArray[np.integer[Any]],
    blocks: NDArray[np.integer[Any]],
    pixels: NDArray[np.integer[Any]] | None = None,
) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    """The one block that all pixels of a group count for, so that no fold is tested on a polygon
    that it was trained on: the block in which most of it lies, of equals the one with the lowest
    key.

    groups, blocks  (entry,), keys; an entry is a pixel, or some pixels of one group in one block
    pixels          (entry,), how many; one each where None
    Returns the groups, ascending, and the block of each.

    Raises ValueError where the shapes differ.
    """
    counts = np.ones(groups.shape, np.int64) if pixels is None else pixels
    if not groups.shape == blocks.shape == counts.shape or groups.ndim != 1:
        raise ValueError(
            f"groups {groups.shape}, blocks {blocks.shape} and pixels {counts.shape} (entry,) do "
            "not agree."
        )
    order = np.lexsort((blocks, groups))
    ordered, places = groups[order], blocks[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]) | (places[1:] != places[:-1])
    totals = np.add.reduceat(counts[order], np.flatnonzero(first)) if len(order) else counts
    ordered, places = ordered[first], places[first]
    best = np.lexsort((places, -totals, ordered))
    names, at = np.unique(ordered[best], return_index=True)
    return names, places[best][at]


def assign_folds(counts: Counts, folds: int, seed: int, class_ids: Sequence[int]) -> Folds:
    """Deal blocks out to folds so that, where it is possible, every class is in the test and in
    the training of every fold, and each fold has like shares of every class.

    counts     (block, class), pixels with a reference; a block may have none
    folds      how many, at least 2
    seed       the same seed and counts give the same folds
    class_ids  in the order of the counts
    Returns the folds; their ``gaps`` say where it is not possible.

    Raises ValueError where there are fewer blocks with a reference than folds, or not two classes
    to tell apart.
    """
    if counts.ndim != 2 or counts.shape[1] != len(class_ids):
        raise ValueError(
            f"counts (block, class) {counts.shape} do not agree with {len(class_ids)} classes."
        )
    if folds < 2:
        raise ValueError(f"{folds} folds: at least 2 are needed, one to train and one to test on.")
    labelled = np.flatnonzero(counts.any(axis=1))
    if len(labelled) < folds:
        raise ValueError(
            f"{folds} folds need as many blocks with a reference; there are {len(labelled)}. Take "
            "fewer folds or smaller blocks, or extend the reference."
        )
    present = np.flatnonzero(counts.any(axis=0))
    if len(present) < 2:
        raise ValueError(
            f"The reference has one class only ({class_ids[present[0]]}); at least two are needed "
            "to tell apart. Extend it."
        )
    own = counts[np.ix_(labelled, present)]
    best, least = np.zeros(len(own), np.int64), (np.inf, np.inf)
    for attempt in range(_MOST_ATTEMPTS):
        if attempt >= _ATTEMPTS and least[0] <= _unavoidable(own > 0, folds):
            break
        rng = np.random.default_rng((abs(seed), int(seed < 0), attempt))
        start = _deal(own, folds, rng) if attempt < _ATTEMPTS else rng.permutation(len(own)) % folds
        found = _repair(own > 0, start, folds)
        cost = _missing(_presence(own > 0, found, folds)), _unevenness(own, found, folds)
        if cost < least:
            best, least = found, cost
    fold = np.full(len(counts), -1, np.int64)
    fold[labelled] = best
    empty = np.flatnonzero(fold < 0)
    fold[empty] = np.arange(len(empty)) % folds
    test = np.zeros((folds, len(class_ids)), np.int64)
    np.add.at(test, fold, counts)
    return Folds(tuple(class_ids), fold, test, test.sum(axis=0) - test)


def random_folds(pixels: int, folds: int, seed: int) -> Counts:
    """The split that tests on the neighbours of what was trained on, whose figures are too good:
    it shows by how much.

    Returns (pixel,), folds from 0, of sizes that differ by one at most.
    """
    return np.random.default_rng((abs(seed), int(seed < 0))).permutation(pixels) % folds


def growing_subsets(blocks: int, shares: Sequence[float], seed: int) -> NDArray[np.bool_]:
    """Of the blocks, some and then more, each set within the next: for a learning curve.

    shares  of the blocks, above 0 and up to 1, not decreasing
    Returns (share, block), at least one block each.

    Raises ValueError for shares that are out of their range or decrease.
    """
    wanted = np.asarray(shares, np.float64)
    if not ((wanted > 0) & (wanted <= 1)).all() or (np.diff(wanted) < 0).any():
        raise ValueError(f"Shares must be above 0, up to 1 and not decrease: {list(shares)}")
    rank = np.random.default_rng((abs(seed), int(seed < 0))).permutation(blocks)
    return rank < np.maximum(np.rint(wanted * blocks), 1)[:, np.newaxis]


def _deal(counts: Counts, folds: int, rng: np.random.Generator) -> Counts:
    """Greedily: always the class with the fewest blocks left, its largest blocks first, each to
    the fold that lacks the class, or lacks most of it."""
    has = counts > 0
    shares = counts / counts.sum(axis=0)
    fold = np.full(len(counts), -1, np.int64)
    wanted = np.full((folds, counts.shape[1]), 1 / folds)
    room = np.full(folds, 1 / folds)
    size = counts.sum(axis=1) / counts.sum()
    blocks = np.zeros((folds, counts.shape[1]), np.int64)
    tie = rng.random(len(counts))
    left = has.copy()
    while left.any():
        number = left.sum(axis=0)
        rarest = int(np.where(number > 0, number, np.iinfo(np.int64).max).argmin())
        waiting = np.flatnonzero(left[:, rarest])
        # Blocks of about the same size go in any order.
        for block in waiting[
            np.lexsort((tie[waiting], -np.ceil(4 * np.log2(shares[waiting, rarest]))))
        ]:
            order = np.lexsort(
                (rng.random(folds), -room, -wanted[:, rarest], blocks[:, rarest] > 0)
            )
            chosen = order[0]
            fold[block] = chosen
            wanted[chosen] -= shares[block]
            room[chosen] -= size[block]
            blocks[chosen] += has[block]
        left[waiting] = False
    return fold


def _presence(has: NDArray[np.bool_], fold: Counts, folds: int) -> Counts:
    """(fold, class), in how many of its blocks a fold has a class."""
    found = np.zeros((folds, has.shape[1]), np.int64)
    np.add.at(found, fold, has)
    return found


def _missing(presence: Counts) -> int:
    """How often a class is missing in a test or in a training."""
    return int((presence == 0).sum() + (presence == presence.sum(axis=0)).sum())


def _unavoidable(has: NDArray[np.bool_], folds: int) -> int:
    """How often classes are missing at the least, since they are in too few blocks."""
    blocks = has.sum(axis=0)
    return int(np.maximum(folds - blocks, 0).sum() + (blocks == 1).sum())


def _unevenness(counts: Counts, fold: Counts, folds: int) -> float:
    test = np.zeros((folds, counts.shape[1]))
    np.add.at(test, fold, counts)
    return float(((test / counts.sum(axis=0) - 1 / folds) ** 2).sum())


def _repair(has: NDArray[np.bool_], fold: Counts, folds: int) -> Counts:
    """Move blocks, or exchange two, as long as fewer classes are missing for it."""
    fold = fold.copy()
    presence = _presence(has, fold, folds)
    rows = has.astype(np.int64)
    fewest = _unavoidable(has, folds)
    while _missing(presence) > fewest:
        if not _improve(rows, fold, presence):
            break
    return fold


def _improve(rows: Counts, fold: Counts, presence: Counts) -> bool:
    before = _missing(presence)
    for to, class_ in np.argwhere(presence == 0).tolist():
        for block in np.flatnonzero((rows[:, class_] > 0) & (fold != to)).tolist():
            origin = int(fold[block])
            for other in (-1, *np.flatnonzero(fold == to).tolist()):
                moved = rows[block] - (rows[other] if other >= 0 else 0)
                presence[origin] -= moved
                presence[to] += moved
                if _missing(presence) < before:
                    fold[block] = to
                    if other >= 0:
                        fold[other] = origin
                    return True
                presence[origin] += moved
                presence[to] -= moved
    return False
