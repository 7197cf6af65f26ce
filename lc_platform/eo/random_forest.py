"""Random forests (Breiman 2001) and extremely randomized trees (Geurts, Ernst and Wehenkel 2006).

scikit-learn grows them, and our kernel walks them, to scikit-learn's probabilities within 1e-6.
They are stored as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.averaged_trees import AveragedTrees, Tree
from lc_platform.eo.training_table import TrainingTable

Kind = Literal["random_forest", "extra_trees"]


@dataclass(frozen=True, eq=False)
class RandomForest:
    """Trees whose leaves hold shares of classes; the mean of them is the probability.

    At each split a missing value goes to the side that training has found to be the better one for
    missing values, and where it has seen none there, to the one with more samples.
    """

    kind: Kind
    class_ids: tuple[int, ...]
    """Ascending; the class of each column of the probabilities."""
    feature_names: tuple[str, ...]
    """In the order of the features it was trained on."""
    trees: tuple[Tree, ...]
    impurity: NDArray[np.float64]
    """(feature,), by how much its splits have lowered the impurity; 1 in all."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What scikit-learn was given."""

    def check(self) -> None:
        """Raises ValueError where there are too many nodes to walk."""
        try:
            _ = self._walked
        except ValueError as error:
            raise ValueError(
                f"{self.kind}: {error}. Lower n_estimators, or raise min_samples_leaf"
            ) from error

    @cached_property
    def _walked(self) -> AveragedTrees:
        return AveragedTrees.of(self.trees, len(self.feature_names), len(self.class_ids))

    def probabilities(
        self, features: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing."""
        return self._walked.predict(features, threads=threads)

    def importance(self) -> NDArray[np.float64]:
        """Return by how much the splits of each feature have lowered the impurity, (feature,)."""
        return self.impurity

    def to_text(self) -> str:
        """Return it as JSON, a tree a line."""
        head = json.dumps({self.kind: "by scikit-learn", "impurity": self.impurity.tolist()})
        trees = ",\n".join(json.dumps(_to_dict(tree), separators=(",", ":")) for tree in self.trees)
        return f'{head[:-1]}, "trees": [\n{trees}\n]}}'


def train(
    kind: Kind,
    table: TrainingTable,
    parameters: Mapping[str, Any],
    *,
    seed: int,
    threads: int = 0,
) -> RandomForest:
    """Grow trees; the same samples, parameters and seed give the same ones.

    parameters  of scikit-learn's RandomForestClassifier or ExtraTreesClassifier
    threads     that may be used, 0 for all; the trees do not depend on it

    Raises ValueError where scikit-learn refuses the parameters.
    """
    from sklearn import ensemble

    grower = {
        "random_forest": ensemble.RandomForestClassifier,
        "extra_trees": ensemble.ExtraTreesClassifier,
    }[kind]
    grown = grower(**parameters, random_state=seed, n_jobs=threads or -1)
    grown.fit(table.whole(), table.positions, sample_weight=table.weights)
    found = RandomForest(
        kind,
        table.class_ids,
        table.feature_names,
        tuple(_grown(one.tree_, grown.classes_) for one in grown.estimators_),
        np.asarray(grown.feature_importances_, np.float64),
        dict(parameters),
    )
    found.check()
    return found


def from_text(
    text: str,
    class_ids: Sequence[int],
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> RandomForest:
    """Return a forest from its JSON and what its model card says of it.

    Raises ValueError where the text is no forest, or not one of these classes and features.
    """
    try:
        told = json.loads(text)
        (kind,) = (one for one in ("random_forest", "extra_trees") if one in told)
        trees = tuple(map(_tree, told["trees"]))
        impurity = np.array(told["impurity"], np.float64)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"The text is no forest: {error}") from error
    asked = max((int(tree.feature.max(initial=-1)) for tree in trees), default=-1)
    classes = max((int(tree.classes.max(initial=-1)) for tree in trees), default=-1)
    if len(impurity) != len(feature_names) or asked >= len(impurity) or classes >= len(class_ids):
        raise ValueError(
            f"The forest tells {classes + 1} classes or more by {len(impurity)} features; "
            f"{len(class_ids)} class ids and {len(feature_names)} feature names were given. Model "
            "and model card do not belong together."
        )
    return RandomForest(
        kind,  # type: ignore[arg-type]
        tuple(class_ids),
        tuple(feature_names),
        trees,
        impurity,
        dict(parameters or {}),
    )


def _grown(tree: Any, classes: NDArray[np.integer[Any]]) -> Tree:
    """Return a tree of scikit-learn's.

    classes  (column,), the class position of each column of the tree's values
    """
    is_leaf = tree.children_left < 0
    numbers = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1)
    shares = tree.value[is_leaf, 0]
    shares = shares / shares.sum(axis=1, keepdims=True)
    leaf, column = np.nonzero(shares)
    children = np.stack([tree.children_left, tree.children_right], axis=1)[~is_leaf]
    feature = tree.feature[~is_leaf].astype(np.int64)
    return Tree(
        feature,
        _at_most(tree.threshold[~is_leaf]),
        tree.missing_go_to_left[~is_leaf].astype(np.bool_),
        numbers[children],
        np.bincount(leaf, minlength=len(shares)),
        np.asarray(classes)[column].astype(np.int64),
        shares[leaf, column].astype(np.float32),
    )


def _at_most(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the highest float32 values that are not above the thresholds: they part float32 values
    as the thresholds do."""
    rounded = thresholds.astype(np.float32)
    lower = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded > thresholds, lower, rounded).astype(np.float32)


def _to_dict(tree: Tree) -> dict[str, Any]:
    return {
        "feature": tree.feature.tolist(),
        "threshold": _shortest(tree.threshold),
        "missing_left": tree.missing_left.astype(int).tolist(),
        "children": tree.children.ravel().tolist(),
        "leaf_classes": tree.counts.tolist(),
        "classes": tree.classes.tolist(),
        "shares": _shortest(tree.shares),
    }


def _shortest(values: NDArray[np.float32]) -> list[float]:
    """Return numbers that are written with the fewest digits that tell them from other float32."""
    return [float(str(value)) for value in values]


def _tree(told: Mapping[str, Any]) -> Tree:
    def whole(name: str) -> NDArray[np.int64]:
        return np.array(told[name], np.int64)

    feature, children, counts, classes = map(
        whole, ("feature", "children", "leaf_classes", "classes")
    )
    missing_left = np.array(told["missing_left"], np.bool_)
    threshold, shares = (np.array(told[name], np.float32) for name in ("threshold", "shares"))
    if not len(feature) == len(threshold) == len(missing_left) == len(counts) - 1:
        raise ValueError("a tree has not one leaf more than splits")
    if counts.sum() != len(classes) or len(classes) != len(shares):
        raise ValueError("a tree's leaves do not have a share of each of their classes")
    # Each split but the first, and each leaf, is the child of one split that comes before it.
    ends = np.sort(children)
    expected = np.concatenate([np.arange(-len(counts), 0), np.arange(1, len(feature))])
    parents = np.repeat(np.arange(len(feature)), 2)
    if (
        not np.array_equal(ends, expected[-len(children) or len(expected) :])
        or ((children >= 0) & (children <= parents)).any()
    ):
        raise ValueError("a tree's splits and leaves do not hang together")
    if (counts < 1).any() or (classes < 0).any() or (feature < 0).any():
        raise ValueError("a tree's numbers are out of range")
    return Tree(feature, threshold, missing_left, children.reshape(-1, 2), counts, classes, shares)
