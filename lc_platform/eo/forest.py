"""Gradient-boosted trees of LightGBM, walked on bytes by pixels that look alike.

A tree asks only whether a feature is above a threshold, and a model has few thresholds of each
feature. So each value is replaced by the number of that feature's thresholds below it, which
loses nothing and fits a byte. Pixels are then put beside others with similar bytes, 256 to a
cluster. Most nodes send all of a cluster the same way, which its extremes tell at once; at the
few others its pixels are compared side by side. Scores are LightGBM's to the bit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import lightgbm
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import forest_text
from lc_platform.eo.forest_kernels import (
    CLUSTER,
    LEAF,
    scoring,
    to_probabilities,
    to_probability,
)
from lc_platform.eo.forest_text import Model, Tree, UnsupportedForestError
from lc_platform.runtime.threads import available, parallel_for

logger = logging.getLogger(__name__)

MAX_THRESHOLDS = 255
"""Of one feature: their number is the highest bin."""

_CHUNK = 1 << 16
"""Pixels, at most, among which those that look alike are looked for."""
_BYTES_OF_A_CHUNK = 1 << 22
"""Of bins, at most."""
_TELLING = 16
"""Columns, at most, by which pixels are compared."""


@dataclass(frozen=True, eq=False)
class Forest:
    """A model's trees as the kernel walks them.

    A column is a feature and the side its missing values take; each used feature has one or two.
    A node's decision is its bin (8 bits; higher goes right) with the position of its left child
    (24 bits), which the right one follows. A leaf's bin is 255: nothing is higher.
    """

    features: int
    """How many a pixel has."""
    outputs: int
    """Scores of a pixel: 1, or the number of classes."""
    sigmoid: float
    """What a binary score is multiplied with; 0 where the scores go through softmax."""
    used: NDArray[np.int64]
    """(used feature,), its index; ascending."""
    thresholds: NDArray[np.float64]
    """(used feature, threshold), ascending, infinite after the last."""
    steps: NDArray[np.int64]
    """(used feature,), of a binary search in its thresholds."""
    columns: NDArray[np.int64]
    """(used feature, missing goes left or right), -1 where no node needs it."""
    telling: NDArray[np.int64]
    """The columns that most nodes ask."""
    decisions: NDArray[np.uint32]
    """(node,)."""
    asked: NDArray[np.uint16]
    """(node,), its column."""
    values: NDArray[np.float64]
    """(node,), a leaf's value."""
    roots: NDArray[np.uint64]
    """(tree,); the trees of the outputs take turns."""
    most_leaves: int
    """Of a tree."""

    @classmethod
    def of(cls, booster: lightgbm.Booster) -> Forest:
        """Return the trees that ``booster.predict`` would use.

        Raises UnsupportedForestError where the model has categorical splits, linear leaves, zero
        as missing, averaged trees, more than MAX_THRESHOLDS thresholds of a feature, or an
        objective other than binary and multiclass.
        """
        return _forest(forest_text.read(booster.model_to_string()))

    def raw(self, features: NDArray[np.floating[Any]], *, threads: int = 0) -> NDArray[np.float64]:
        """Return the sums of the leaves, identical to ``booster.predict(features,
        raw_score=True)``.

        features  (pixel, feature), float32 or float64 in any layout, read as it is; NaN is missing
        threads   that may be used, 0 for all
        Returns (pixel,) where binary, else (pixel, class).

        Raises ValueError where the features are not the model's.
        """
        return self._scores(features, threads, np.dtype(np.float64), None)

    def predict(
        self, features: NDArray[np.floating[Any]], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return probabilities, those of ``booster.predict(features)`` rounded to float32.

        Arguments, shape and errors are those of ``raw``.
        """

        def transform(scores: NDArray[np.float64]) -> None:
            if self.sigmoid:
                to_probability(scores, self.sigmoid)
            else:
                to_probabilities(scores)

        return self._scores(features, threads, np.dtype(np.float32), transform)

    def _scores(
        self,
        features: NDArray[np.floating[Any]],
        threads: int,
        dtype: np.dtype[Any],
        transform: Callable[[NDArray[np.float64]], None] | None,
    ) -> NDArray[Any]:
        if features.ndim != 2 or features.shape[1] != self.features:
            raise ValueError(
                f"The model needs (pixel, feature) with {self.features} features; an array of "
                f"shape {features.shape} was given."
            )
        if features.dtype not in (np.float32, np.float64):
            raise ValueError(f"Features must be float32 or float64; they are {features.dtype}.")
        # float32 thresholds rounded down divide the float32 values exactly as the doubles do.
        kernel = scoring(features.dtype.name)
        thresholds = (
            _round_down(self.thresholds) if features.dtype == np.float32 else self.thresholds
        )
        count, columns = len(features), int(self.columns.max(initial=-1)) + 1
        result = np.empty((count, self.outputs), dtype)

        def score(part: slice) -> None:
            scores = np.empty((part.stop - part.start, self.outputs))
            kernel(
                features[part],
                self.used,
                thresholds,
                self.steps,
                self.columns,
                columns,
                self.telling,
                self.decisions,
                self.asked,
                self.values,
                self.roots,
                self.most_leaves,
                scores,
            )
            if transform is not None:
                transform(scores)
            result[part] = scores

        most = min(_CHUNK, _BYTES_OF_A_CHUNK // max(columns, 1))
        share = -(-count // available(threads))
        size = -(-min(most, share) // CLUSTER) * CLUSTER
        parallel_for(score, count, max(size, CLUSTER), threads)
        return result[:, 0] if self.outputs == 1 else result


_known: WeakKeyDictionary[lightgbm.Booster, tuple[int, Forest | None]] = WeakKeyDictionary()
_knowing = threading.Lock()


def forest_of(booster: lightgbm.Booster) -> Forest | None:
    """Return the booster's forest, made once; None where LightGBM itself has to predict.

    Why it has to is logged as a warning, once for each booster.
    """
    with _knowing:
        trees, forest = _known.get(booster, (-1, None))
        if trees != booster.num_trees():
            try:
                forest = Forest.of(booster)
            except UnsupportedForestError as error:
                forest = None
                logger.warning("LightGBM itself predicts, which takes many times longer: %s", error)
            _known[booster] = booster.num_trees(), forest
        return forest


def _round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        rounded = thresholds.astype(np.float32)
    return np.where(
        rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded
    ).astype(np.float32)


def _forest(model: Model) -> Forest:
    trees = model.trees
    feature = np.concatenate([np.empty(0, np.int64), *(tree.feature for tree in trees)])
    threshold = np.concatenate([np.empty(0), *(tree.threshold for tree in trees)])
    left = np.concatenate([np.empty(0, np.bool_), *(tree.missing_left for tree in trees)])
    used, position = np.unique(feature, return_inverse=True)
    unique = [np.unique(threshold[feature == index]) for index in used]
    for index, found in zip(used, unique, strict=True):
        if len(found) > MAX_THRESHOLDS:
            raise UnsupportedForestError(
                f"feature {model.names[index]} has {len(found)} thresholds, more than "
                f"{MAX_THRESHOLDS}; train with max_bin at most {MAX_THRESHOLDS}"
            )
    columns = np.full((len(used), 2), -1, np.int64)
    side = np.where(left, 0, 1)
    columns[position, side] = 0
    columns[columns == 0] = np.arange(int((columns == 0).sum()))
    asked = columns[position, side]
    telling = np.argsort(-np.bincount(asked), kind="stable")[:_TELLING]
    lengths = np.array([len(found) for found in unique], np.int64)
    padded = np.full((len(used), 1 << int(lengths.max(initial=1)).bit_length()), np.inf)
    bins = np.empty(len(feature), np.int64)
    for number, (row, found) in enumerate(zip(padded, unique, strict=True)):
        row[: len(found)] = found
        here = position == number
        bins[here] = np.searchsorted(found, threshold[here])
    most_leaves = max((len(tree.leaves) for tree in trees), default=1)
    nodes = sum(2 * len(tree.leaves) - 1 for tree in trees)
    for number, most, what in (
        (nodes, 1 << 24, "nodes"),
        (most_leaves, 1 << 16, "leaves of one tree"),
        (len(used) * 2, 1 << 16, "columns"),
    ):
        if number > most:
            raise UnsupportedForestError(f"it has {number} {what}, more than {most}")
    decisions, places = np.zeros((2, nodes), np.int64)
    values = np.zeros(nodes)
    roots: list[int] = []
    first = split = 0
    for tree in trees:
        own = slice(split, split + len(tree.feature))
        _lay_out(tree, bins[own], asked[own], first, decisions, places, values)
        roots.append(first)
        first += 2 * len(tree.leaves) - 1
        split += len(tree.feature)
    return Forest(
        features=len(model.names),
        outputs=model.outputs,
        sigmoid=model.sigmoid,
        used=used,
        thresholds=padded,
        steps=np.array([int(n).bit_length() for n in lengths], np.int64),
        columns=columns,
        telling=telling,
        decisions=decisions.astype(np.uint32),
        asked=places.astype(np.uint16),
        values=values,
        roots=np.array(roots, np.uint64),
        most_leaves=most_leaves,
    )


def _lay_out(
    tree: Tree,
    bins: NDArray[np.int64],
    asked: NDArray[np.int64],
    first: int,
    decisions: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """Write a tree's nodes from ``first`` on, level by level, siblings side by side."""
    level = np.array([0 if len(tree.feature) else ~0])
    at, end = np.array([first]), first + 1
    while len(level):
        leaf = level < 0
        values[at[leaf]] = tree.leaves[~level[leaf]]
        decisions[at[leaf]] = LEAF
        splits, parents = level[~leaf], at[~leaf]
        decisions[parents] = bins[splits] | end + 2 * np.arange(len(splits)) << 8
        columns[parents] = asked[splits]
        level = tree.children[splits].ravel()
        at = end + np.arange(len(level))
        end += len(level)
