"""How right a map is, measured against a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    position = np.full(256, -1, np.int64)
    position[0] = len(class_ids)
    position[list(class_ids)] = np.arange(len(class_ids))
    true, mapped = reference[counted], predicted[counted]
    for name, values in (("reference", true), ("prediction", mapped)):
        unknown = np.unique(values[position[values] < 0])
        if unknown.size:
            raise ValueError(
                f"The {name} has class {unknown[0]}; the classes are {tuple(class_ids)}."
            )
    columns = len(class_ids) + 1
    counts = np.bincount(
        position[true] * columns + position[mapped], minlength=len(class_ids) * columns
    ).reshape(len(class_ids), columns)
    return Confusion(
        tuple(class_ids),
        np.ascontiguousarray(counts[:, :-1], np.int64),
        np.ascontiguousarray(counts[:, -1], np.int64),
    )


def metrics(counts: Confusion, classes: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """Quality of a map, in plain values for JSON, under the names of ``metrics.json``.

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
    matrix = counts.matrix
    right, support, claimed = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    per_class: dict[str, dict[str, float | int | None]] = {}
    scores, weights = [], []
    for position, (_, name) in enumerate(classes):
        hit, wanted, found = int(right[position]), int(support[position]), int(claimed[position])
        seen = wanted > 0
        f1 = 2 * hit / (wanted + found) if seen else None
        per_class[name] = {
            "precision": hit / found if seen and found else None,
            "recall": hit / wanted if seen else None,
            "f1": f1,
            "support": wanted,
        }
        if f1 is not None:
            scores.append(f1)
            weights.append(wanted)
    pixels = int(matrix.sum())
    return {
        "classes": [{"id": class_id, "name": name} for class_id, name in classes],
        "overall_accuracy": int(right.sum()) / pixels if pixels else None,
        "f1_weighted": float(np.average(scores, weights=weights)) if scores else None,
        "f1_macro": float(np.mean(scores)) if scores else None,
        "per_class": per_class,
        "confusion_matrix": matrix.tolist(),
        "test_pixels": pixels,
        "unclassified_pixels": int(counts.unclassified.sum()),
    }
