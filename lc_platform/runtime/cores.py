"""Environment variables by which the threads of libraries share the cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
"""Numbers of threads of LightGBM, of the kernels and of Zarr's codecs."""
WAITING = "OMP_WAIT_POLICY"


def wait_passively() -> None:
    """Let threads of OpenMP sleep while they wait for each other, unless the environment says
    otherwise.

    By default they spin, which takes the cores from other processes, and from the very thread that
    they wait for.
    """
    os.environ.setdefault(WAITING, "PASSIVE")


@contextmanager
def shared(processes: int) -> Iterator[None]:
    """Give each process that is started in the block its share of the cores, unless the environment
    says otherwise."""
    share = str(max(1, (os.cpu_count() or 1) // processes))
    limits = {name: share for name in THREADS if name not in os.environ}
    os.environ.update(limits)
    try:
        yield
    finally:
        for name in limits:
            del os.environ[name]
