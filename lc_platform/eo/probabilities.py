"""What every method that reads class probabilities asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.01
"""How far a pixel's probabilities may sum to something other than one."""


def check(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Return which pixels have probabilities: those without a NaN in any class.

    probabilities  (class, y, x), 0 to 1, summing to one over the classes; NaN without data
    Returns (y, x).

    Raises ValueError where the array is not of that shape, or a pixel's probabilities are not
    within 0 and 1 or do not sum to one.
    """
    if probabilities.ndim != 3 or not probabilities.shape[0]:
        raise ValueError(
            f"Probabilities must be (class, y, x) with one class or more; they are of shape "
            f"{probabilities.shape}."
        )
    valid = np.empty(probabilities.shape[1:], np.bool_)
    wrong, row, column = _check(probabilities, TOLERANCE, valid)
    if wrong:
        values = probabilities[:, row, column]
        raise ValueError(
            f"The probabilities of {wrong} pixels are not within 0 and 1 or do not sum to one; the "
            f"first is row {row}, column {column}: {np.round(values, 4).tolist()} sum to "
            f"{float(values.sum()):.4f}. Hand over probabilities as the classifier gives them, "
            "NaN where there is no data."
        )
    return valid


def check_labelled(
    probabilities: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    class_ids: Sequence[int],
) -> NDArray[np.int64]:
    """Return the column of each labelled pixel's class.

    probabilities  (pixel, class), 0 to 1, summing to one over the classes
    labels         (pixel,), class ids
    class_ids      (class,), in the order of the columns

    Raises ValueError where that is not so or a probability is missing, where there is no pixel or
    only one class, and where the shapes do not agree.
    """
    if probabilities.shape != (len(labels), len(class_ids)):
        raise ValueError(
            f"probabilities (pixel, class) {probabilities.shape} do not agree with {len(labels)} "
            f"labels and {len(class_ids)} classes."
        )
    if len(class_ids) < 2:
        raise ValueError(f"Classes {list(class_ids)}: there must be two to tell apart.")
    if not len(labels):
        raise ValueError("There is no labelled pixel with probabilities.")
    valid = np.empty((1, len(labels)), np.bool_)
    wrong, _, pixel = _check(np.ascontiguousarray(probabilities.T)[:, np.newaxis], TOLERANCE, valid)
    if not valid.all():
        raise ValueError(
            f"Pixel {int(valid[0].argmin())} has no probabilities (NaN). Leave pixels without data "
            "out."
        )
    if wrong:
        values = probabilities[pixel]
        raise ValueError(
            f"The probabilities of {wrong} pixels are not within 0 and 1 or do not sum to one; the "
            f"first is pixel {pixel}: {np.round(values, 4).tolist()} sum to "
            f"{float(values.sum()):.4f}. Hand over probabilities as the classifier gives them."
        )
    order = np.argsort(class_ids)
    ordered = np.asarray(class_ids)[order]
    found = np.minimum(np.searchsorted(ordered, labels), len(order) - 1)
    unknown = labels[ordered[found] != labels]
    if unknown.size:
        raise ValueError(
            f"The labels have class {unknown[0]}; the probabilities are of {list(class_ids)}."
        )
    return np.asarray(order[found], np.int64)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _check(probabilities, tolerance, valid):  # type: ignore[no-untyped-def]
    classes, height, width = probabilities.shape
    total = np.empty(width, np.float64)
    inside = np.empty(width, np.bool_)
    wrong, row, column = 0, -1, -1
    for y in range(height):
        total[:] = 0
        inside[:] = True
        for k in range(classes):
            for x in range(width):
                value = probabilities[k, y, x]
                total[x] += value
                inside[x] &= not (value < 0 or value > 1)
        for x in range(width):
            known = not np.isnan(total[x])
            valid[y, x] = known
            if known and not (inside[x] and abs(total[x] - 1) <= tolerance):
                if wrong == 0:
                    row, column = y, x
                wrong += 1
    return wrong, row, column
