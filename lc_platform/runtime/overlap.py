"""Reading the next part of an image, and writing the previous one, while a part is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Read = TypeVar("_Read")


def read_ahead(
    read: Callable[[_Item], _Read], items: Iterable[_Item], *, readers: int = 1
) -> Iterator[tuple[_Item, _Read]]:
    """Yield each item with the result of ``read`` for it, in order.

    As many threads read the next ``readers`` items while the caller uses this one; at most one
    result more than that is in memory. An error of ``read`` is raised when the item's turn comes.
    """
    with ThreadPoolExecutor(readers, thread_name_prefix="read-ahead") as pool:
        waiting: deque[tuple[_Item, Future[_Read]]] = deque()
        for item in items:
            waiting.append((item, pool.submit(read, item)))
            if len(waiting) > readers:
                due, future = waiting.popleft()
                yield due, future.result()
        while waiting:
            due, future = waiting.popleft()
            yield due, future.result()


def write_behind(write: Callable[[_Item], None], items: Iterable[_Item]) -> None:
    """Call ``write`` for each item, in order.

    A thread writes an item while the next one is made; at most two are in memory. An error of
    ``write`` is raised before the next item is written.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="write-behind") as pool:
        writing: Future[None] | None = None
        for item in items:
            if writing is not None:
                writing.result()
            writing = pool.submit(write, item)
        if writing is not None:
            writing.result()
