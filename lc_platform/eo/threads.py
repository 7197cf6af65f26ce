"""One kernel over the parts of an array, on several threads.

The kernels release the interpreter's lock. numba's own parallel loops are not used: one of its
threading layers aborts where two threads call it, another after a fork.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba


def available(threads: int) -> int:
    """How many threads a kernel may use: ``threads``, or where that is 0 all of them, which is
    NUMBA_NUM_THREADS, by default the cores."""
    return threads or int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def in_parts(work: Callable[[slice], None], count: int, size: int, threads: int = 0) -> None:
    """Call ``work`` for each slice of at most ``size`` out of ``count``.

    threads  that may be used, 0 for all
    """
    parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    workers = min(available(threads), len(parts))
    if workers < 2:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, parts):
            pass
