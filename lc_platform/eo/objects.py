"""One class for each object, such as a parcel, from the probabilities of its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import probabilities as class_probabilities

LEAST = 1e-6
"""Probability that stands for all below it: one pixel that is sure of another class does not
decide alone."""
_UNIT = 1e-6
"""Of the logarithms' sums. They are whole numbers, so that windows and patches may be added in any
order and give the same."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectSums:
    """What the pixels of some windows say of each object."""

    ids: NDArray[np.int64]
    """(object,), ascending, each once."""
    logarithms: NDArray[np.int64]
    """(object, class), sums of the natural logarithms of the probabilities, in millionths."""
    votes: NDArray[np.int64]
    """(object, class), pixels by their most probable class."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectClasses:
    """The classes of objects, (object,) each, in the order of the ids."""

    ids: NDArray[np.int64]
    classes: NDArray[np.uint8]
    """Class ids; 0 where no pixel of the object has data."""
    probability: NDArray[np.float32]
    """Of that class, 0 to 1: the geometric mean of the pixels' probabilities, so scaled that the
    classes sum to one; NaN without data."""
    second: NDArray[np.uint8]
    """The class that comes next; 0 without data, or where there is one class alone."""
    agreement: NDArray[np.float32]
    """Share of the pixels whose own most probable class is the object's; NaN without data."""
    pixels: NDArray[np.int64]
    """With data."""


def accumulate(objects: NDArray[np.integer[Any]], probabilities: NDArray[np.float32]) -> ObjectSums:
    """Add up what a window says of the objects in it.

    objects        (y, x), the object of each pixel, 1 and above, 0 for none
    probabilities  (class, y, x), 0 to 1, summing to one; NaN without data
    Returns the sums of the objects that have a pixel here, with data or not. Windows must not
    overlap: their pixels would count twice.

    Raises ValueError where the shapes do not agree, an object is below 0, or the probabilities
    are none.
    """
    if objects.shape != probabilities.shape[1:]:
        raise ValueError(
            f"objects (y, x) {objects.shape} and probabilities (class, y, x) "
            f"{probabilities.shape} do not agree."
        )
    valid = class_probabilities.check(probabilities)
    found, positions = np.unique(objects, return_inverse=True)
    if found.size and found[0] < 0:
        raise ValueError(f"Object {found[0]} is below 0: number objects from 1 on, 0 is for none.")
    shape = len(found), len(probabilities)
    logarithms, votes = np.zeros((2, *shape), np.int64)
    positions = positions.reshape(objects.shape)
    _accumulate(positions, probabilities, valid, LEAST, _UNIT, logarithms, votes)
    kept = found > 0
    return ObjectSums(found[kept].astype(np.int64), logarithms[kept], votes[kept])


def merge(sums: Iterable[ObjectSums]) -> ObjectSums:
    """Add the sums of windows or patches, in whatever order.

    Raises ValueError where there are none, or they are of different numbers of classes.
    """
    parts = list(sums)
    widths = sorted({part.logarithms.shape[1] for part in parts})
    if len(widths) != 1:
        raise ValueError(
            f"Sums of objects of {' and '.join(map(str, widths)) or 'no'} classes cannot be "
            "added: all must come from the probabilities of one model."
        )
    ids, positions = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)
    logarithms, votes = np.zeros((2, len(ids), widths[0]), np.int64)
    np.add.at(logarithms, positions, np.concatenate([part.logarithms for part in parts]))
    np.add.at(votes, positions, np.concatenate([part.votes for part in parts]))
    return ObjectSums(ids, logarithms, votes)


def mean_probabilities(sums: ObjectSums) -> NDArray[np.float64]:
    """Return the probabilities of each object's classes, (object, class), summing to one: the
    geometric means of its pixels', so scaled."""
    pixels = sums.votes.sum(axis=1)
    mean = sums.logarithms * _UNIT / np.maximum(pixels, 1)[:, None]
    scaled: NDArray[np.float64] = np.exp(mean - mean.max(axis=1, initial=-np.inf, keepdims=True))
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def decide(sums: ObjectSums, class_ids: Sequence[int]) -> ObjectClasses:
    """Give each object the class whose mean log-probability is the highest, of equals the first.

    class_ids  (class,), 1 to 255, in the order of the probabilities

    Raises ValueError where they are not as many as the sums' classes.
    """
    count, classes = sums.logarithms.shape
    if len(class_ids) != classes:
        raise ValueError(f"{len(class_ids)} class ids are given for sums of {classes} classes.")
    ids = np.array([*class_ids, 0], np.uint8)
    pixels = sums.votes.sum(axis=1)
    known = pixels > 0
    scaled = mean_probabilities(sums)
    order = np.argsort(-sums.logarithms, axis=1, kind="stable")
    first = order[:, 0]
    second = order[:, 1] if classes > 1 else np.full(count, classes)
    rows = np.arange(count)
    nothing = np.float32(np.nan)
    return ObjectClasses(
        sums.ids,
        np.where(known, ids[first], 0).astype(np.uint8),
        np.where(known, scaled[rows, first], nothing).astype(np.float32),
        np.where(known, ids[second], 0).astype(np.uint8),
        np.where(known, sums.votes[rows, first] / np.maximum(pixels, 1), nothing).astype(
            np.float32
        ),
        pixels,
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _accumulate(objects, probabilities, valid, least, unit, logarithms, votes):  # type: ignore[no-untyped-def]
    classes, height, width = probabilities.shape
    for y in range(height):
        for x in range(width):
            if not valid[y, x]:
                continue
            at, best = objects[y, x], 0
            for k in range(classes):
                value = probabilities[k, y, x]
                best = k if value > probabilities[best, y, x] else best
                logarithms[at, k] += round(np.log(max(np.float64(value), least)) / unit)
            votes[at, best] += 1
