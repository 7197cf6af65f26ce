"""The trees that LightGBM's own text tells of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class UnsupportedForestError(ValueError):
    """The kernel cannot walk this model; the message says why."""


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree. Its first split is the root; a tree of one leaf has no split."""

    feature: NDArray[np.int64]
    """(split,)"""
    threshold: NDArray[np.float64]
    """(split,); what is above it goes right."""
    missing_left: NDArray[np.bool_]
    """(split,), whether a missing value goes left."""
    children: NDArray[np.int64]
    """(split, left or right); a leaf is the complement of its index."""
    leaves: NDArray[np.float64]
    """(leaf,), what it adds to the score."""


@dataclass(frozen=True, eq=False)
class Model:
    """The trees and how their sum becomes a probability."""

    names: tuple[str, ...]
    """Of the features a pixel has."""
    outputs: int
    """Scores of a pixel: 1, or the number of classes."""
    sigmoid: float
    """What a binary score is multiplied with; 0 where the scores go through softmax."""
    trees: tuple[Tree, ...]
    """Those of the outputs take turns."""


def read(text: str) -> Model:
    """Return the model in a text of ``lightgbm.Booster.model_to_string``.

    Raises UnsupportedForestError where it has categorical splits, linear leaves, zero as missing,
    averaged trees, or an objective other than binary and multiclass.
    """
    head, *blocks = text.split("\n\nend of trees", 1)[0].split("\nTree=")
    header = _fields(head)
    outputs = int(header["num_tree_per_iteration"])
    sigmoid = _sigmoid(header, outputs)
    if "average_output" in header:
        raise UnsupportedForestError(
            "its trees are averaged (a random forest); only boosted sums are known"
        )
    return Model(
        tuple(header["feature_names"].split(" ")),
        outputs,
        sigmoid,
        tuple(_tree(_fields(block)) for block in blocks),
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


def _tree(fields: Mapping[str, str]) -> Tree:
    if fields.get("is_linear", "0") != "0":
        raise UnsupportedForestError("its leaves are linear models")
    if fields["num_cat"] != "0":
        raise UnsupportedForestError("it splits by category")

    def numbers(name: str, dtype: type) -> NDArray[Any]:
        return np.fromstring(fields.get(name, ""), dtype, sep=" ")

    leaves = numbers("leaf_value", np.float64)
    if len(leaves) == 1:
        nothing = np.empty(0, np.int64)
        return Tree(nothing, np.empty(0), nothing.astype(np.bool_), nothing.reshape(0, 2), leaves)
    threshold = numbers("threshold", np.float64)
    decision = numbers("decision_type", np.int64)
    # Bits of a decision: 1 categorical; 2 missing goes left; 4 missing is zero, 8 NaN.
    missing = decision >> 2 & 3
    if (missing == 1).any():
        raise UnsupportedForestError("it was trained with zero_as_missing")
    if (missing > 2).any():
        raise UnsupportedForestError("it treats missing values in an unknown way")
    return Tree(
        numbers("split_feature", np.int64),
        threshold,
        # Where NaN was not among the training values, it is taken as 0.
        np.where(missing == 2, decision & 2 != 0, threshold >= 0),
        np.stack([numbers("left_child", np.int64), numbers("right_child", np.int64)], axis=1),
        leaves,
    )
