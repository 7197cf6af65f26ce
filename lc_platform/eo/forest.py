"""Gradient-boosted trees of LightGBM, walked on bytes instead of floating-point features.

A tree asks only whether a feature is above a threshold, and a model has few thresholds of each
feature. So each value is replaced by the number of that feature's thresholds below it, which
loses nothing and fits a byte; then eight pixels at a time walk a tree side by side, so that the
wait for one's memory is the others' work. Scores are LightGBM's to the bit.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal
from weakref import WeakKeyDictionary

import lightgbm
import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray

from lc_platform.eo.threads import in_parts

logger = logging.getLogger(__name__)

MAX_THRESHOLDS = 255
"""Of one feature: their number is the highest bin."""

_CHUNK = 8192
"""Pixels that a thread takes at a time."""
_BYTES_OF_A_BLOCK = 20_000
"""Bins that are walked together; beside a tree's nodes they fit the first-level cache."""


class UnsupportedForestError(ValueError):
    """The kernel cannot walk this model; the message says why."""


@dataclass(frozen=True, eq=False)
class Forest:
    """A model's trees as the kernel walks them.

    A column is a feature and the side its missing values take; each used feature has one or two.
    A node's decision is its bin (8 bits; higher goes right) with the position of its left child
    (24 bits), which the right one follows. A leaf is its own left child, and its bin is 255:
    nothing is higher.
    """

    features: int
    """How many a pixel has."""
    outputs: int
    """Scores of a pixel: 1, or the number of classes."""
    sigmoid: float
    """What a binary score is multiplied with; 0 where the scores go through softmax."""
    block: int
    """Pixels walked together."""
    used: NDArray[np.int64]
    """(used feature,), its index; ascending."""
    thresholds: NDArray[np.float64]
    """(used feature, threshold), ascending, infinite after the last."""
    steps: NDArray[np.int64]
    """(used feature,), of a binary search in its thresholds."""
    columns: NDArray[np.int64]
    """(used feature, missing goes left or right), -1 where no node needs it."""
    decisions: NDArray[np.uint32]
    """(node,)."""
    origins: NDArray[np.uint32]
    """(node,), where the bins of its column begin in a block."""
    values: NDArray[np.float64]
    """(node,), a leaf's value."""
    roots: NDArray[np.uint64]
    """(tree,); the trees of the outputs take turns."""

    @classmethod
    def of(cls, booster: lightgbm.Booster) -> Forest:
        """The trees that ``booster.predict`` would use.

        Raises UnsupportedForestError where the model has categorical splits, linear leaves, zero
        as missing, averaged trees, more than MAX_THRESHOLDS thresholds of a feature, or an
        objective other than binary and multiclass.
        """
        return _forest(booster.model_to_string())

    def raw(self, features: NDArray[np.floating[Any]], *, threads: int = 0) -> NDArray[np.float64]:
        """Sums of the leaves, identical to ``booster.predict(features, raw_score=True)``.

        features  (pixel, feature), float32 or float64 in any layout, read as it is; NaN is missing
        threads   that may be used, 0 for all
        Returns (pixel,) where binary, else (pixel, class).

        Raises ValueError where the features are not the model's.
        """
        return self._scores(features, threads, np.dtype(np.float64), None)

    def predict(
        self, features: NDArray[np.floating[Any]], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Probabilities, those of ``booster.predict(features)`` rounded to float32.

        Arguments, shape and errors are those of ``raw``.
        """

        def transform(scores: NDArray[np.float64]) -> None:
            if self.sigmoid:
                _to_probability(scores, self.sigmoid)
            else:
                _to_probabilities(scores)

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
        kernel = _kernel(features.dtype.name)
        thresholds = (
            _round_down(self.thresholds) if features.dtype == np.float32 else self.thresholds
        )
        count = len(features)
        result = np.empty((count, self.outputs), dtype)

        def walk(part: slice) -> None:
            scores = np.empty((part.stop - part.start, self.outputs))
            kernel(
                features[part],
                self.used,
                thresholds,
                self.steps,
                self.columns,
                self.decisions,
                self.origins,
                self.values,
                self.roots,
                self.block,
                scores,
            )
            if transform is not None:
                transform(scores)
            result[part] = scores

        in_parts(walk, count, _CHUNK, threads)
        return result[:, 0] if self.outputs == 1 else result


_known: WeakKeyDictionary[lightgbm.Booster, tuple[int, Forest | None]] = WeakKeyDictionary()
_knowing = threading.Lock()


def forest_of(booster: lightgbm.Booster) -> Forest | None:
    """The booster's forest, made once; None where LightGBM itself has to predict.

    Why it has to is logged as a warning, once for each booster.
    """
    with _knowing:
        trees, forest = _known.get(booster, (-1, None))
        if trees != booster.num_trees():
            try:
                forest = Forest.of(booster)
            except UnsupportedForestError as error:
                forest = None
                logger.warning(
                    "LightGBM itself predicts, which takes several times longer: %s", error
                )
            _known[booster] = booster.num_trees(), forest
        return forest


def _round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        rounded = thresholds.astype(np.float32)
    return np.where(
        rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded
    ).astype(np.float32)


# --- Reading LightGBM's text ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Tree:
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    children: NDArray[np.int64]
    """(split, left or right), a leaf is the complement of its index."""
    leaves: NDArray[np.float64]


def _forest(text: str) -> Forest:
    head, *blocks = text.split("\n\nend of trees", 1)[0].split("\nTree=")
    header = _fields(head)
    outputs = int(header["num_tree_per_iteration"])
    sigmoid = _sigmoid(header, outputs)
    if "average_output" in header:
        raise UnsupportedForestError(
            "its trees are averaged (a random forest); only boosted sums are known"
        )
    trees = [_tree(_fields(block)) for block in blocks]
    feature = np.concatenate([np.empty(0, np.int64), *(tree.feature for tree in trees)])
    threshold = np.concatenate([np.empty(0), *(tree.threshold for tree in trees)])
    left = np.concatenate([np.empty(0, np.bool_), *(tree.missing_left for tree in trees)])
    used = np.unique(feature)
    unique = [np.unique(threshold[feature == index]) for index in used]
    names = header["feature_names"].split(" ")
    for index, found in zip(used, unique, strict=True):
        if len(found) > MAX_THRESHOLDS:
            raise UnsupportedForestError(
                f"feature {names[index]} has {len(found)} thresholds, more than "
                f"{MAX_THRESHOLDS}; train with max_bin at most {MAX_THRESHOLDS}"
            )
    columns = np.full((len(used), 2), -1, np.int64)
    columns[np.searchsorted(used, feature), np.where(left, 0, 1)] = 0
    count = int((columns == 0).sum())
    columns[columns == 0] = np.arange(count)
    block = max(64, min(4096, _BYTES_OF_A_BLOCK // max(count, 1) // 8 * 8))
    lengths = np.array([len(found) for found in unique], np.int64)
    padded = np.full((len(used), 1 << int(lengths.max(initial=1)).bit_length()), np.inf)
    for row, found in zip(padded, unique, strict=True):
        row[: len(found)] = found
    decisions: list[NDArray[Any]] = []
    origins: list[NDArray[Any]] = []
    values: list[NDArray[Any]] = []
    roots: list[int] = []
    first = 0
    for tree in trees:
        position = np.searchsorted(used, tree.feature)
        column = columns[position, np.where(tree.missing_left, 0, 1)]
        bins = np.array(
            [np.searchsorted(unique[p], t) for p, t in zip(position, tree.threshold, strict=True)],
            np.int64,
        )
        laid_out = _laid_out(tree, bins, column * block, first)
        for parts, part in zip((decisions, origins, values), laid_out, strict=True):
            parts.append(part)
        roots.append(first)
        first += len(laid_out[0])
    if first > 1 << 24:
        raise UnsupportedForestError(f"its {first} nodes are more than {1 << 24}")
    return Forest(
        features=int(header["max_feature_idx"]) + 1,
        outputs=outputs,
        sigmoid=sigmoid,
        block=block,
        used=used,
        thresholds=padded,
        steps=np.array([int(n).bit_length() for n in lengths], np.int64),
        columns=columns,
        decisions=np.concatenate([np.empty(0, np.uint32), *decisions]).astype(np.uint32),
        origins=np.concatenate([np.empty(0, np.uint32), *origins]).astype(np.uint32),
        values=np.concatenate([np.empty(0), *values]),
        roots=np.array(roots, np.uint64),
    )


def _fields(block: str) -> dict[str, str]:
    lines = (line.partition("=") for line in block.split("\n"))
    return {name: value for name, _, value in lines}


def _sigmoid(header: Mapping[str, str], outputs: int) -> float:
    objective, *parameters = header.get("objective", "").split(" ")
    if objective == "binary" and outputs == 1:
        for parameter in parameters:
            name, _, value = parameter.partition(":")
            if name == "sigmoid":
                return float(value)
    if objective == "multiclass" and outputs > 1:
        return 0.0
    raise UnsupportedForestError(
        f"its objective is {header.get('objective') or 'a function of its own'!r}; only binary "
        "and multiclass are known"
    )


def _tree(fields: Mapping[str, str]) -> _Tree:
    if fields.get("is_linear", "0") != "0":
        raise UnsupportedForestError("its leaves are linear models")
    if fields["num_cat"] != "0":
        raise UnsupportedForestError("it splits by category")

    def numbers(name: str, dtype: type) -> NDArray[Any]:
        return np.array(fields.get(name, "").split(), dtype)

    leaves = numbers("leaf_value", np.float64)
    if len(leaves) == 1:
        nothing = np.empty(0, np.int64)
        return _Tree(nothing, np.empty(0), nothing.astype(np.bool_), nothing.reshape(0, 2), leaves)
    threshold = numbers("threshold", np.float64)
    decision = numbers("decision_type", np.int64)
    # Bits of a decision: 1 categorical; 2 missing goes left; 4 missing is zero, 8 NaN.
    missing = decision >> 2 & 3
    if (missing == 1).any():
        raise UnsupportedForestError("it was trained with zero_as_missing")
    if (missing > 2).any():
        raise UnsupportedForestError("it treats missing values in an unknown way")
    return _Tree(
        numbers("split_feature", np.int64),
        threshold,
        # Where NaN was not among the training values, it is taken as 0.
        np.where(missing == 2, decision & 2 != 0, threshold >= 0),
        np.stack([numbers("left_child", np.int64), numbers("right_child", np.int64)], axis=1),
        leaves,
    )


def _laid_out(
    tree: _Tree, bins: NDArray[np.int64], columns: NDArray[np.int64], first: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Decisions, origins and values, level by level, siblings side by side, from ``first`` on."""
    size = 2 * len(tree.leaves) - 1
    decisions, origins = np.zeros((2, size), np.int64)
    values = np.zeros(size)
    level = np.array([0 if len(tree.feature) else ~0])
    at, end = np.zeros(1, np.int64), 1
    while len(level):
        leaf = level < 0
        values[at[leaf]] = tree.leaves[~level[leaf]]
        decisions[at[leaf]] = 255 | at[leaf] + first << 8
        splits, parents = level[~leaf], at[~leaf]
        left = end + 2 * np.arange(len(splits))
        decisions[parents] = bins[splits] | left + first << 8
        origins[parents] = columns[splits]
        level = tree.children[splits].ravel()
        at = end + np.arange(len(level))
        end += len(level)
    return decisions, origins, values


# --- Kernels -------------------------------------------------------------------------------------

_LANES = 8
_LEAF = np.uint8(255)


@njit(nogil=True, cache=True)
def _to_probability(scores: NDArray[np.float64], sigmoid: float) -> None:
    """Scores (pixel, 1) become probabilities."""
    for pixel in range(scores.shape[0]):
        scores[pixel, 0] = 1.0 / (1.0 + math.exp(-sigmoid * scores[pixel, 0]))


@njit(nogil=True, cache=True)
def _to_probabilities(scores: NDArray[np.float64]) -> None:
    """Scores (pixel, class) become probabilities by softmax."""
    for pixel in range(scores.shape[0]):
        highest = scores[pixel, 0]
        for k in range(1, scores.shape[1]):
            highest = max(highest, scores[pixel, k])
        total = 0.0
        for k in range(scores.shape[1]):
            scores[pixel, k] = math.exp(scores[pixel, k] - highest)
            total += scores[pixel, k]
        for k in range(scores.shape[1]):
            scores[pixel, k] /= total


@njit(nogil=True, cache=True, error_model="numpy")
def _bin(features, first, size, used, thresholds, steps, columns, block, bins):  # type: ignore[no-untyped-def]
    """Bins (column, pixel of the block) of ``size`` pixels from ``first`` on."""
    zero = features.dtype.type(0)
    tiny = features.dtype.type(np.float32(1e-35))
    for j in range(used.shape[0]):
        feature = used[j]
        for i in range(size):
            value = features[first + i, feature]
            # LightGBM drops what is as small as this when it reads a row.
            if abs(value) <= tiny:
                value = zero
            # Shifts, because the compiler would make a jump of a choice, and predict it wrongly.
            position = np.uint64(0)
            for bit in range(steps[j] - 1, -1, -1):
                middle = position + np.uint64((1 << bit) - 1)
                position += np.uint64(thresholds[np.uint64(j), middle] < value) << np.uint64(bit)
            missing = value != value
            left, right = columns[j, 0], columns[j, 1]
            if left >= 0:
                bins[left * block + i] = 0 if missing else position
            if right >= 0:
                bins[right * block + i] = 255 if missing else position


@njit(nogil=True, cache=True, error_model="numpy")
def _child(decision, origin, bins, pixel):  # type: ignore[no-untyped-def]
    higher = bins[np.uint64(origin) + pixel] > np.uint8(decision)
    return np.uint64(decision >> np.uint32(8)) + np.uint64(higher)


def _walk(  # type: ignore[no-untyped-def]
    features, used, thresholds, steps, columns, decisions, origins, values, roots, block, scores
):
    """Fill scores (pixel, output) with the sums of the leaves, in the order of the trees."""
    count, outputs = scores.shape
    bins = np.zeros(max(1, (columns.max() + 1)) * block if columns.size else block, np.uint8)
    sums = np.empty((outputs, block))
    for first in range(0, count, block):
        size = min(block, count - first)
        _bin(features, first, size, used, thresholds, steps, columns, block, bins)
        sums[:] = 0
        for tree in range(roots.shape[0]):
            root = roots[tree]
            total = sums[tree % outputs]
            for group in range(0, size, _LANES):
                p0 = np.uint64(group)
                p1, p2, p3 = p0 + np.uint64(1), p0 + np.uint64(2), p0 + np.uint64(3)
                p4, p5, p6 = p0 + np.uint64(4), p0 + np.uint64(5), p0 + np.uint64(6)
                p7 = p0 + np.uint64(7)
                a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = root
                while True:
                    decision = decisions[a0]
                    every = decision
                    a0 = _child(decision, origins[a0], bins, p0)
                    decision = decisions[a1]
                    every &= decision
                    a1 = _child(decision, origins[a1], bins, p1)
                    decision = decisions[a2]
                    every &= decision
                    a2 = _child(decision, origins[a2], bins, p2)
                    decision = decisions[a3]
                    every &= decision
                    a3 = _child(decision, origins[a3], bins, p3)
                    decision = decisions[a4]
                    every &= decision
                    a4 = _child(decision, origins[a4], bins, p4)
                    decision = decisions[a5]
                    every &= decision
                    a5 = _child(decision, origins[a5], bins, p5)
                    decision = decisions[a6]
                    every &= decision
                    a6 = _child(decision, origins[a6], bins, p6)
                    decision = decisions[a7]
                    every &= decision
                    a7 = _child(decision, origins[a7], bins, p7)
                    if np.uint8(every) == _LEAF:
                        break
                total[p0] += values[a0]
                total[p1] += values[a1]
                total[p2] += values[a2]
                total[p3] += values[a3]
                total[p4] += values[a4]
                total[p5] += values[a5]
                total[p6] += values[a6]
                total[p7] += values[a7]
        for i in range(size):
            for k in range(outputs):
                scores[first + i, k] = sums[k, i]


@cache
def _kernel(dtype: str) -> Callable[..., None]:
    """``_walk`` compiled for features of the type in any layout, read-only or not: one variant."""

    def array(of: Any, dimensions: int, layout: Literal["A", "C"] = "C") -> Any:
        return numba.types.Array(of, dimensions, layout, readonly=True)

    real = getattr(numba.types, dtype)
    integers = numba.types.int64
    signature = numba.types.void(
        array(real, 2, "A"),
        array(integers, 1),
        array(real, 2),
        array(integers, 1),
        array(integers, 2),
        array(numba.types.uint32, 1),
        array(numba.types.uint32, 1),
        array(numba.types.float64, 1),
        array(numba.types.uint64, 1),
        integers,
        numba.types.Array(numba.types.float64, 2, "C"),
    )
    compiled: Callable[..., None] = njit(signature, nogil=True, cache=True, error_model="numpy")(
        _walk
    )
    return compiled
