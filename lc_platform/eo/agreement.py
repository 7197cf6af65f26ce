"""How far two people agree on the classes of the same points (Cohen 1960, "A coefficient of
agreement for nominal scales", Educational and Psychological Measurement 20)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """What two people said of the points that both have judged."""

    class_ids: tuple[int, ...]
    points: NDArray[np.int64]
    """(class of the first, class of the second), in the order of the ids."""
    share: float
    """Of the points, those that both gave the same class; NaN where there is no point."""
    kappa: float
    """The same beyond what chance alone gives to people who say each class as often as these do:
    1 where they always agree, 0 where they agree as by chance. NaN where that is not defined: both
    gave all points one class, or there is none."""


def agreement(first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]]) -> Agreement:
    """Compare the classes that two people gave.

    first, second  (point,), class ids of the same points in the same order

    Raises ValueError where the shapes differ.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"first {first.shape} and second {second.shape} are not (point,) of both.")
    ids, position = np.unique(np.concatenate([first, second]), return_inverse=True)
    rows, columns = position[: len(first)], position[len(first) :]
    count = len(ids)
    points = np.bincount(rows * count + columns, minlength=count * count).reshape(count, count)
    total = points.sum()
    if not total:
        return Agreement((), points.astype(np.int64), float("nan"), float("nan"))
    share = float(np.trace(points) / total)
    by_chance = float(points.sum(axis=1) @ points.sum(axis=0) / total**2)
    kappa = (share - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")
    return Agreement(tuple(ids.tolist()), points.astype(np.int64), share, kappa)
