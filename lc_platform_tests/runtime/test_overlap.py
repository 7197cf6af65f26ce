"""Reading and writing while something is computed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from lc_platform.runtime.overlap import read_ahead, write_behind


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


def test_an_item_is_written_while_the_next_is_made_and_all_in_order() -> None:
    made = [threading.Event() for _ in range(4)]
    written = []

    def items() -> Iterator[int]:
        for item in range(4):
            made[item].set()
            yield item

    def write(item: int) -> None:
        if item < 3:
            assert made[item + 1].wait(10), "the next is made while this one is written"
        written.append(item)

    write_behind(write, items())
    assert written == [0, 1, 2, 3]


def test_nothing_is_written_after_what_could_not_be() -> None:
    written = []

    def write(item: int) -> None:
        if item == 1:
            raise OSError("no room for item 1")
        written.append(item)

    with pytest.raises(OSError, match="no room for item 1"):
        write_behind(write, iter(range(5)))
    assert written == [0]


def test_who_stops_early_waits_for_what_is_being_read_and_leaves_no_thread() -> None:
    before = threading.active_count()
    items = read_ahead(lambda item: item, range(100), readers=3)
    assert next(items) == (0, 0)
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_what_is_being_written_is_finished_before_an_error_of_making_comes() -> None:
    written = []
    begun = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        begun.wait(10)
        raise ValueError("item 1 cannot be made")

    def write(item: int) -> None:
        begun.set()
        time.sleep(0.05)
        written.append(item)

    with pytest.raises(ValueError, match="item 1 cannot be made"):
        write_behind(write, items())
    assert written == [0]
