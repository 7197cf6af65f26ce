"""Reading the next while this one is computed."""

from __future__ import annotations

import threading

import pytest

from lc_platform.eo.ahead import read_ahead


def test_what_was_read_comes_in_order_with_its_item() -> None:
    assert list(read_ahead(lambda item: item * 10, range(5))) == [(i, i * 10) for i in range(5)]
    assert list(read_ahead(lambda item: item, [])) == []


def test_the_next_is_read_while_this_one_is_used_and_no_further() -> None:
    began = [threading.Event() for _ in range(4)]

    def read(item: int) -> int:
        began[item].set()
        return item

    for item, _ in read_ahead(read, range(4)):
        if item < 3:
            assert began[item + 1].wait(10), "the next is being read already"
        if item < 2:
            assert not began[item + 2].wait(0.05), "but not the one after it"


def test_an_error_of_reading_comes_when_its_turn_does() -> None:
    def read(item: int) -> int:
        if item == 2:
            raise OSError("item 2 is damaged")
        return item

    items = read_ahead(read, range(4))
    assert [next(items), next(items)] == [(0, 0), (1, 1)]
    with pytest.raises(OSError, match="item 2 is damaged"):
        next(items)
