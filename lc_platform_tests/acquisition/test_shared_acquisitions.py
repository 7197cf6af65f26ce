"""Acquisitions that the seasons of two years share are read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.reuse import ReusableAcquisition, stored
from lc_platform.acquisition.search import NoAcquisitionError, search_acquisitions
from lc_platform.cube import InMemoryCube
from lc_platform.products.options import AcquisitionOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform_tests.acquisition.memory import Memory, seen
from lc_platform_tests.acquisition.patches import L2A, SCL, configured, patch

OCTOBER = {"begins": "10-01"}
ALL = [
    seen("before", "2021-08-31T23:59:59"),
    seen("autumn", "2021-09-20T10:00:00"),
    seen("winter", "2022-01-20T10:00:00"),
    seen("september", "2022-09-20T10:00:00"),
    seen("october", "2022-10-10T10:00:00"),
    seen("spring", "2023-04-01T10:00:00"),
    seen("next", "2023-10-29T10:00:00"),
    seen("after", "2023-10-31T00:00:00"),
]
SHARED = {"september", "october"}


def options(padding: int = 30) -> AcquisitionOptions:
    features = {"indices": [], "padding": padding}
    return AcquisitionOptions.of(configured(L2A, clouds=SCL, season=OCTOBER, features=features))


@dataclass
class Kept:
    """A year's raw bands, as a place that acquisitions are taken over from."""

    cube: InMemoryCube

    def part(self, layer: str, position: int) -> NDArray[Any]:
        return self.cube.arrays[layer][position]

    def offered(self) -> list[ReusableAcquisition]:
        return list(stored(self.cube, self, verified=True))


def acquired(
    archive: Memory, year: int, beside: Any = tuple, padding: int = 30
) -> tuple[InMemoryCube, list[str]]:
    """A year's raw bands, and the keys that were read of it, in their order."""
    archive.asked.clear()
    found = search_acquisitions(archive, patch(), year, options(padding))
    cube = acquire(archive, found, beside=beside).load()
    return cube, [key for key, *_ in archive.asked]


def keys(cube: InMemoryCube) -> list[str]:
    return [one["key"] for one in cube.attributes["acquisitions"]]


def test_a_season_is_asked_for_with_the_days_around_it() -> None:
    archive = Memory(ALL)
    cube, _ = acquired(archive, 2022)
    assert archive.searched == [
        (datetime(2021, 9, 1, tzinfo=UTC), datetime(2022, 10, 31, tzinfo=UTC))
    ]
    stack = AcquisitionStack(cube)
    assert stack.keys == ["autumn", "winter", "september", "october"]
    assert stack.days.tolist() == [-11, 111, 354, 374]  # since 1 October 2021
    assert stack.keys[stack.of_season] == ["winter", "september"]
    alone, _ = acquired(archive, 2022, padding=0)
    assert keys(alone) == ["winter", "september"]


def test_what_the_year_beside_has_is_taken_over_whichever_comes_first() -> None:
    archive = Memory(ALL)
    for first, second in ((2022, 2023), (2023, 2022)):
        whole, _ = acquired(archive, second)
        one, _ = acquired(archive, first)
        other, read = acquired(archive, second, Kept(one).offered)
        assert set(read) == set(keys(other)) - SHARED
        assert keys(other) == keys(whole)
        assert other.attributes == whole.attributes
        for layer, values in whole.arrays.items():
            np.testing.assert_array_equal(other.arrays[layer], values)


def test_of_two_years_that_are_acquired_at_the_same_time_one_reads_what_they_share() -> None:
    """The earlier one begins with it, the later one ends with it and looks again before."""
    archive = Memory(ALL)
    earlier, read = acquired(archive, 2022)
    assert set(read[:2]) == SHARED
    progress: list[int] = []

    def beside() -> Sequence[ReusableAcquisition]:
        progress.append(len(archive.asked))
        return Kept(earlier).offered() if len(progress) > 1 else []

    later, read = acquired(archive, 2023, beside)
    assert progress == [0, 2]
    assert read == ["next", "spring"]
    assert keys(later) == ["september", "october", "spring", "next"]


def test_a_season_of_which_there_is_nothing_is_not_made_of_the_days_around_it() -> None:
    archive = Memory([seen("september", "2022-09-20T10:00:00", 90), ALL[4]])
    with pytest.raises(NoAcquisitionError) as caught:
        search_acquisitions(archive, patch(), 2022, options())
    assert "none of 1 acquisitions between 2021-10-01 and 2022-09-30" in str(caught.value)
    with pytest.raises(NoAcquisitionError, match="no acquisition between 2023-10-01 and 2024-09-3"):
        search_acquisitions(Memory([]), patch(), 2024, options())
