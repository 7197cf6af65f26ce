"""One kernel over the parts of an array, or several pieces of work, on several threads.

The kernels release the interpreter's lock. numba's own parallel loops are not used: one of its
threading layers aborts where two threads call it, another after a fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numba

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def available(threads: int) -> int:
    """Return how many threads a kernel may use: ``threads``, or if that is 0 NUMBA_NUM_THREADS, by
    default the number of cores."""
    return threads or int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def parallel_for(work: Callable[[slice], None], count: int, size: int, threads: int = 0) -> None:
    """Call ``work`` for each slice of at most ``size`` out of ``count``.

    threads  the number of threads, 0 for all; ``work`` itself uses one
    """
    parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    if available(threads) < 2 or len(parts) < 2:
        for part in parts:
            work(part)
        return
    for _ in _pool(available(threads)).map(work, parts):
        pass


def side_by_side(
    work: Callable[[_Item, int], _Result], items: Sequence[_Item], threads: int, most: int
) -> Iterator[_Result]:
    """Yield what ``work`` gives of each item and the number of threads that it may use, in order.

    threads  the number of threads of all together, 0 for all
    most     of the items at the same time, at least 1: what each holds in memory decides it
    """
    together = max(1, min(available(threads), most, len(items)))
    each = available(threads) // together
    with ThreadPoolExecutor(together, thread_name_prefix="side-by-side") as pool:
        yield from pool.map(lambda item: work(item, each), items)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    # Cached, because the memory of a thread that ends stays with the process.
    return ThreadPoolExecutor(workers, thread_name_prefix="in-parts")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
