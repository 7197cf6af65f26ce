"""How many points a sample needs for the accuracy and the areas of a map, and in which strata.

After Olofsson et al. (2014, "Good practices for estimating area and assessing accuracy of land
change", Remote Sensing of Environment 148, section 5.1) and Cochran (1977, "Sampling techniques").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Allocation = Literal["equal", "proportional", "mixed", "optimal"]

FEWEST = 2
"""Points of a stratum without which there is no standard error."""


def sample_size(
    mapped_area: Sequence[float], users_accuracy: Sequence[float], standard_error: float
) -> int:
    """Points of the whole sample that overall accuracy is known by with a standard error.

    mapped_area     (class,), in any unit, or as shares
    users_accuracy  (class,), what is expected of the map, 0 to 1
    standard_error  of the overall accuracy that is aimed for, above 0, for example 0.01
    Returns how many, rounded up: equation 13 of Olofsson et al. (2014), where the number of
    pixels is taken to be large.

    Raises ValueError for a value out of its range, where the numbers of classes differ, and where
    the map is expected to be perfect, which needs no sample.
    """
    weights = np.asarray(mapped_area, np.float64)
    accuracy = np.asarray(users_accuracy, np.float64)
    if weights.shape != accuracy.shape or not weights.size:
        raise ValueError(f"{weights.size} areas and {accuracy.size} accuracies do not agree.")
    if not (weights >= 0).all() or not weights.any():
        raise ValueError(f"Mapped areas must be 0 or more, and one of them more: {mapped_area}")
    if not ((accuracy >= 0) & (accuracy <= 1)).all():
        raise ValueError(f"User's accuracies must be within 0 and 1: {users_accuracy}")
    if not standard_error > 0:
        raise ValueError(f"A standard error of {standard_error} cannot be aimed for; raise it.")
    spread = float((weights / weights.sum() * np.sqrt(accuracy * (1 - accuracy))).sum())
    if not spread:
        raise ValueError(
            "All classes are expected to be always right, or always wrong: no sample is needed for "
            "that. Give the user's accuracies that the map may have."
        )
    return ceil((spread / standard_error) ** 2 - 1e-9)  # not one more for a rounding error


def allocate(
    count: int,
    pixels: Mapping[int, int],
    method: Allocation = "mixed",
    *,
    minimum: int = 50,
    users_accuracy: Mapping[int, float] | None = None,
) -> dict[int, int]:
    """Points of each stratum.

    count           of the whole sample
    pixels          by stratum
    method          equal: the same number in each. proportional: by area, but at least 2.
                    optimal: for the least standard error of the overall accuracy (Neyman), by area
                    and by how uncertain a stratum is, but at least 2. mixed, which Olofsson et al.
                    (2014) recommend: ``minimum`` in each that would have fewer by area, and the
                    rest by area
    minimum         points of a rare stratum, if mixed: 50 to 100
    users_accuracy  by stratum, what is expected, for the optimal method
    Returns by stratum; together ``count``, and in none more than it has pixels.

    Raises ValueError where the strata have fewer pixels than there are points, where there are
    fewer points than each stratum needs, and where the optimal method is given no accuracies.
    """
    sizes = np.array(list(pixels.values()), np.int64)
    if (sizes < 0).any():
        raise ValueError(f"Numbers of pixels cannot be negative: {dict(pixels)}")
    least = np.minimum(minimum if method == "mixed" else FEWEST, sizes)
    if count > sizes.sum():
        raise ValueError(f"{count} points cannot be drawn from {sizes.sum()} pixels.")
    if count < least.sum():
        raise ValueError(
            f"{count} points are too few for {len(sizes)} strata that need {least.sum()} together "
            f"(at least {least.max()} each). Draw more."
        )
    wishes = sizes.astype(np.float64)
    if method == "equal":
        wishes = (sizes > 0).astype(np.float64)
    elif method == "optimal":
        if users_accuracy is None:
            raise ValueError(
                "The optimal allocation needs the user's accuracies that are expected."
            )
        accuracy = np.array([users_accuracy[one] for one in pixels])
        wishes = sizes * np.sqrt(accuracy * (1 - accuracy))
    given = _apportion(count, wishes, least, sizes)
    return dict(zip(pixels, given.tolist(), strict=True))


def _apportion(
    count: int,
    wishes: NDArray[np.float64],
    least: NDArray[np.int64],
    most: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Whole numbers in proportion to wishes, within bounds; they sum to ``count``."""
    low, high = 0.0, float(count) * 2
    wishes = np.maximum(wishes, 1e-12 * max(wishes.max(), 1.0))  # so that all can be filled up
    shares = wishes / wishes.sum()
    while np.clip(high * shares, least, most).sum() < count:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if np.clip(middle * shares, least, most).sum() < count:
            low = middle
        else:
            high = middle
    exact = np.clip(high * shares, least, most)
    whole: NDArray[np.int64] = np.floor(exact + 1e-6).astype(np.int64)
    # The largest remainders are rounded up.
    rest = np.where(whole < most, exact - whole, -1)
    whole[np.argsort(-rest, kind="stable")[: count - int(whole.sum())]] += 1
    return whole


def expected_matrix(
    mapped_area: Sequence[float], users_accuracy: Sequence[float]
) -> NDArray[np.float64]:
    """The error matrix of a map of which only the user's accuracies are expected: what is wrong of
    a class is of the other classes in proportion to their areas.

    mapped_area     (class,), in any unit, or as shares
    users_accuracy  (class,), 0 to 1
    Returns (map class, reference class), shares of each class of the map; rows sum to 1.

    Raises ValueError where the numbers of classes differ, or there are not two with an area.
    """
    area, accuracy = np.asarray(mapped_area, np.float64), np.asarray(users_accuracy, np.float64)
    if area.shape != accuracy.shape or np.count_nonzero(area) < 2:
        raise ValueError(
            f"{area.size} areas, of which {np.count_nonzero(area)} are not 0, and {accuracy.size} "
            "accuracies: two classes with an area are needed, and an accuracy for each."
        )
    others = np.where(np.eye(len(area), dtype=np.bool_), 0, area)
    matrix: NDArray[np.float64] = others / others.sum(axis=1, keepdims=True)
    return matrix * (1 - accuracy)[:, np.newaxis] + np.diag(accuracy)
