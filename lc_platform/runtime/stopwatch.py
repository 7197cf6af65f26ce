"""The time of the platform's own work, without orchestration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Sums the seconds of blocks of work, which do not overlap."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started
