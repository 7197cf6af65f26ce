"""Several pieces of work at the same time."""

from __future__ import annotations

import threading

import pytest

from lc_platform.runtime.threads import side_by_side


@pytest.mark.parametrize(
    ("threads", "most", "together", "each"),
    [(4, 2, 2, 2), (4, 9, 3, 1), (2, 1, 1, 2), (1, 5, 1, 1)],
)
def test_pieces_share_the_threads_and_come_back_in_order(
    threads: int, most: int, together: int, each: int
) -> None:
    meeting = threading.Barrier(together)

    def work(item: int, its_threads: int) -> tuple[int, int]:
        if item < together:
            meeting.wait(timeout=60)  # breaks where fewer are at work at the same time
        return item, its_threads

    assert list(side_by_side(work, range(3), threads, most)) == [(i, each) for i in range(3)]


def test_an_error_is_raised_in_its_turn() -> None:
    def work(item: int, _: int) -> int:
        return 1 // item

    found = side_by_side(work, [1, 0], 2, 2)
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)
