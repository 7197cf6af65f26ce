"""Sets of classes that hold the true one with a chosen probability, class by class.

Split conformal prediction with a threshold a class (Sadinle, Lei and Wasserman 2019, "Least
ambiguous set-valued classifiers with bounded error levels", J. American Statistical Association
114). It promises nothing of the classifier; what it needs is that the pixels it is fitted on are
like those it is used for, and that the classifier was trained on neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.probabilities import check_labelled


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a class's probability must reach for the class to be in a pixel's set."""

    class_ids: tuple[int, ...]
    coverage: float
    values: tuple[float, ...]
    """(class,), 0 to 1; 0 for a class with too few pixels to say, which is in every set."""

    @property
    def always(self) -> tuple[int, ...]:
        """The ids of the classes that are in every set for want of pixels."""
        return tuple(
            one for one, value in zip(self.class_ids, self.values, strict=True) if value == 0
        )


def fit(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    class_ids: Sequence[int],
    coverage: float = 0.9,
) -> Thresholds:
    """Choose the thresholds.

    probabilities  (pixel, class), 0 to 1, of pixels that the classifier was not trained on
    labels         (pixel,), class ids
    class_ids      (class,), in the order of the columns
    coverage       of the pixels of each class, whose sets are to hold it; between 0 and 1. A class
                   needs 1 / (1 - coverage) - 1 pixels, 9 for 0.9

    Raises ValueError for a coverage out of its range, and as ``probabilities.check_labelled`` does.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"A coverage of {coverage} is not between 0 and 1.")
    columns = check_labelled(probabilities, labels, class_ids)
    values = []
    for position in range(len(class_ids)):
        own = probabilities[columns == position, position]
        rank = int(np.floor((1 - coverage) * (len(own) + 1) + 1e-9))
        values.append(float(np.partition(own, rank - 1)[rank - 1]) if rank else 0.0)
    return Thresholds(tuple(class_ids), coverage, tuple(values))


def prediction_sets(
    probabilities: NDArray[np.float32], thresholds: Thresholds
) -> NDArray[np.bool_]:
    """The classes that each pixel may have.

    probabilities  (pixel, class), 0 to 1, NaN without data
    Returns (pixel, class). A set of several classes cannot tell them apart; an empty one is of a
    pixel that is like none of them, or has no data.

    Raises ValueError where the number of classes differs.
    """
    if probabilities.shape[1] != len(thresholds.values):
        raise ValueError(
            f"Probabilities of {probabilities.shape[1]} classes and thresholds of "
            f"{len(thresholds.values)} do not agree."
        )
    return probabilities >= np.array(thresholds.values, probabilities.dtype)


def to_bits(sets: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Sets as numbers for a raster: bit i is set where the i-th class is in the set.

    sets  (pixel, class), up to 32 classes
    Raises ValueError for more.
    """
    if sets.shape[1] > 32:
        raise ValueError(f"{sets.shape[1]} classes do not fit into 32 bits.")
    return np.asarray(sets @ (np.uint32(1) << np.arange(sets.shape[1], dtype=np.uint32)), np.uint32)
