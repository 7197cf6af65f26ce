"""Whether peer and platform gave the same; figures of two that did not are worth nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class DisagreementError(Exception):
    """Peer and platform gave different results."""


def near(
    what: str, ours: NDArray[np.floating[Any]], theirs: NDArray[np.floating[Any]], within: float
) -> None:
    """Raises DisagreementError where values are further apart, or missing (NaN) in one alone."""
    farthest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        missing = np.isnan(one)
        if not np.array_equal(missing, np.isnan(other)):
            raise DisagreementError(f"{what}: not the same values are missing")
        apart = np.abs(one.astype(np.float64) - other)
        farthest = max(farthest, float(np.max(apart, initial=0, where=~missing)))
    if farthest > within:
        raise DisagreementError(f"{what}: {farthest:g} apart, {within:g} is allowed")


def same(what: str, ours: NDArray[Any], theirs: NDArray[Any], at_least: float = 1.0) -> float:
    """The share of equal values. Raises DisagreementError where it is less than ``at_least``."""
    share = float(np.mean(ours == theirs))
    if share < at_least:
        raise DisagreementError(f"{what}: {share:.4%} are the same, {at_least:.4%} are asked for")
    return share
