"""How right a map is, measured against a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Counts of pixels by reference and predicted class; add those of windows or patches."""

    class_ids: tuple[int, ...]
    matrix: NDArray[np.int64]
    """(reference class, predicted class), in the order of the ids."""
    unclassified: NDArray[np.int64]
    """(reference class,), pixels with a reference that the map leaves without data."""

    @classmethod
    def empty(cls, class_ids: Sequence[int]) -> Confusion:
        """No pixel yet."""
        count = len(class_ids)
        return cls(tuple(class_ids), np.zeros((count, count), np.int64), np.zeros(count, np.int64))

    def __add__(self, other: Confusion) -> Confusion:
        """Both counts together. Raises ValueError where the classes differ."""
        if self.class_ids != other.class_ids:
            raise ValueError(
                f"Counts of classes {self.class_ids} and {other.class_ids} cannot be added."
            )
        return Confusion(
            self.class_ids, self.matrix + other.matrix, self.unclassified + other.unclassified
        )


def confusion(
    reference: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    class_ids: Sequence[int],
    left_out: NDArray[np.bool_] | None = None,
) -> Confusion:
    """Count the pixels of a window by reference and predicted class.

    reference  (y, x) or any shape, class ids, 0 for none; a pixel without reference is not counted
    predicted  same shape, class ids, 0 for no data; counted as unclassified, not as an error
    class_ids  all classes there may be
    left_out   same shape, pixels not to count, for example those that two classes claim

    Raises ValueError for a class that is not among ``class_ids``, or where the shapes differ.
    """
    if reference.shape != predicted.shape:
        raise ValueError(f"reference {reference.shape} and prediction {predicted.shape} differ.")
    counted = reference != 0
    if left_out is not None:
        counted &= ~left_out
    rows, mapped = _positions(reference[counted], predicted[counted], class_ids)
    columns = len(class_ids) + 1
    counts = np.bincount(rows * columns + mapped, minlength=len(class_ids) * columns).reshape(
        len(class_ids), columns
    )
    return Confusion(
        tuple(class_ids),
        np.ascontiguousarray(counts[:, :-1], np.int64),
        np.ascontiguousarray(counts[:, -1], np.int64),
    )


def confusion_by_block(
    blocks: NDArray[np.integer[Any]],
    count: int,
    reference: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    class_ids: Sequence[int],
) -> NDArray[np.int64]:
    """Count pixels by block of ground, reference and predicted class.

    blocks     (pixel,), positions of the blocks, 0 to ``count`` - 1
    count      of the blocks
    reference  (pixel,), class ids, 0 for none
    predicted  (pixel,), class ids, 0 for no data; a pixel without either is not counted
    class_ids  all classes there may be
    Returns (block, reference class, predicted class).

    Raises ValueError for a block or a class that is out of its range, or where the shapes differ.
    """
    if not blocks.shape == reference.shape == predicted.shape:
        raise ValueError(
            f"blocks {blocks.shape}, reference {reference.shape} and prediction {predicted.shape} "
            "differ."
        )
    if blocks.size and not 0 <= blocks.min() <= blocks.max() < count:
        raise ValueError(
            f"Blocks {blocks.min()} to {blocks.max()} are not within 0 to {count - 1}."
        )
    both = (reference != 0) & (predicted != 0)
    rows, columns = _positions(reference[both], predicted[both], class_ids)
    classes = len(class_ids)
    cells = (blocks[both].astype(np.int64) * classes + rows) * classes + columns
    return np.bincount(cells, minlength=count * classes**2).reshape(count, classes, classes)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Quality of one map or of many; NaN where a number does not exist: all of a class without a
    reference pixel, which the means leave out, and the precision of one that is never predicted."""

    overall_accuracy: NDArray[np.float64]
    """(...,), 0 to 1, as all but the support."""
    balanced_accuracy: NDArray[np.float64]
    """(...,), mean recall."""
    f1_weighted: NDArray[np.float64]
    """(...,), mean F1 by support."""
    f1_macro: NDArray[np.float64]
    """(...,), mean F1."""
    precision: NDArray[np.float64]
    """(..., class)"""
    recall: NDArray[np.float64]
    """(..., class)"""
    f1: NDArray[np.float64]
    """(..., class), 2 TP / (2 TP + FP + FN)."""
    support: NDArray[np.float64]
    """(..., class), pixels of the reference."""


def scores(matrix: NDArray[Any]) -> Scores:
    """Return the quality from confusion matrices, all at once.

    matrix  (..., reference class, predicted class), counts or weights, not negative
    """
    right = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    support, claimed = matrix.sum(axis=-1, dtype=np.float64), matrix.sum(axis=-2, dtype=np.float64)
    seen = support > 0
    pixels = support.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen, right / claimed, np.nan)
        recall = right / support
        f1 = np.where(seen, 2 * right / (support + claimed), np.nan)
        classes = seen.sum(axis=-1)
        return Scores(
            right.sum(axis=-1) / pixels,
            np.where(seen, recall, 0).sum(axis=-1) / classes,
            np.where(seen, f1 * support, 0).sum(axis=-1) / pixels,
            np.where(seen, f1, 0).sum(axis=-1) / classes,
            precision,
            recall,
            f1,
            support,
        )


def no_information_rate(matrix: NDArray[np.integer[Any]]) -> tuple[int, float] | None:
    """Return the position of the reference's most frequent class and its share of the pixels, 0 to
    1: how often it would be right to say this class everywhere. None without a pixel.

    matrix  (reference class, predicted class), counts
    """
    support = matrix.sum(axis=1)
    if not support.sum():
        return None
    position = int(support.argmax())
    return position, float(support[position] / support.sum())


def shares(
    matrix: NDArray[np.integer[Any]], by: Literal["reference", "map"]
) -> NDArray[np.float64]:
    """Return a confusion matrix as shares of its rows, whose diagonal is recall, or of its columns,
    whose diagonal is precision.

    matrix  (reference class, predicted class), counts
    Returns the same shape, 0 to 1; NaN in a row or column without a pixel.
    """
    total = matrix.sum(axis=1 if by == "reference" else 0, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(matrix / total, np.float64)


def metrics(counts: Confusion, classes: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """Return the quality of a map, in plain values for JSON, under the names of ``metrics.json``.

    classes  (id, name) in the order of the counts' ids
    Returns ``classes``, ``overall_accuracy``, ``f1_weighted`` (by support), ``f1_macro``,
    ``per_class`` {name: precision, recall, f1, support}, ``confusion_matrix`` (rows =
    reference), ``test_pixels`` (those in the matrix) and ``unclassified_pixels``. A number that
    does not exist is None: all of a class without a reference pixel, which the macro mean leaves
    out, and the precision of a class that is nowhere predicted. F1 = 2 TP / (2 TP + FP + FN).

    Raises ValueError where the classes are not those of the counts.
    """
    if tuple(class_id for class_id, _ in classes) != counts.class_ids:
        raise ValueError(f"Classes {list(classes)} are not those counted, {counts.class_ids}.")
    matrix, found = counts.matrix, scores(counts.matrix)
    per_class: dict[str, dict[str, float | int | None]] = {
        name: {
            "precision": _number(found.precision[position]),
            "recall": _number(found.recall[position]),
            "f1": _number(found.f1[position]),
            "support": int(found.support[position]),
        }
        for position, (_, name) in enumerate(classes)
    }
    return {
        "classes": [{"id": class_id, "name": name} for class_id, name in classes],
        "overall_accuracy": _number(found.overall_accuracy),
        "f1_weighted": _number(found.f1_weighted),
        "f1_macro": _number(found.f1_macro),
        "per_class": per_class,
        "confusion_matrix": matrix.tolist(),
        "test_pixels": int(matrix.sum()),
        "unclassified_pixels": int(counts.unclassified.sum()),
    }


def _number(value: NDArray[np.float64]) -> float | None:
    return None if np.isnan(value) else float(value)


def _positions(
    reference: NDArray[np.uint8], predicted: NDArray[np.uint8], class_ids: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of both in ``class_ids``, no data (0) after the last. Raises ValueError for any other."""
    position = np.full(256, -1, np.int64)
    position[0] = len(class_ids)
    position[list(class_ids)] = np.arange(len(class_ids))
    for name, values in (("reference", reference), ("prediction", predicted)):
        unknown = np.unique(values[position[values] < 0])
        if unknown.size:
            raise ValueError(
                f"The {name} has class {unknown[0]}; the classes are {tuple(class_ids)}."
            )
    return position[reference], position[predicted]
