"""The agreement of two people."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.eo.agreement import agreement


def pairs(table: list[list[int]], ids: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points of a table (class of the first, class of the second)."""
    rows, columns = np.indices((len(ids), len(ids)))
    times = np.array(table).ravel()
    of = np.array(ids)
    return np.repeat(of[rows.ravel()], times), np.repeat(of[columns.ravel()], times)


def test_kappa_is_what_is_beyond_chance() -> None:
    """Of 50 points both say the one class of 20 and the other of 15: they agree on 0.7, by chance
    on 0.5 * 0.6 + 0.5 * 0.4 = 0.5, and (0.7 - 0.5) / (1 - 0.5) is 0.4."""
    found = agreement(*pairs([[20, 5], [10, 15]], [3, 8]))
    assert found.class_ids == (3, 8)
    assert found.points.tolist() == [[20, 5], [10, 15]]
    assert found.share == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)


def test_kappa_is_negative_where_people_agree_less_than_by_chance() -> None:
    """They agree on 0.29, by chance on 0.5 * 0.4 + 0.3 * 0.3 + 0.2 * 0.3 = 0.35: -0.06 / 0.65."""
    found = agreement(*pairs([[25, 13, 12], [12, 2, 16], [3, 15, 2]], [1, 4, 9]))
    assert found.kappa == pytest.approx(-0.06 / 0.65)


@pytest.mark.parametrize("said", [[], [5, 5, 5]], ids=["no point", "one class alone"])
def test_kappa_is_not_defined_without_two_classes(said: list[int]) -> None:
    points = np.array(said, np.int64)
    assert math.isnan(agreement(points, points).kappa)
