"""How the threads of the libraries share the cores: what they read when they are loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
"""Of LightGBM, of the kernels and of Zarr's codecs."""
WAITING = "OMP_WAIT_POLICY"


def wait_passively() -> None:
    """Have threads of OpenMP sleep while they wait for each other, unless the environment says
    otherwise.

    By default they spin, which takes the cores from what else is at work there, and from the very
    thread that they wait for.
    """
    os.environ.setdefault(WAITING, "PASSIVE")


@contextmanager
def shared(processes: int) -> Iterator[None]:
    """Processes that are started in the block take their share of the cores each, unless the
    environment says otherwise."""
    share = str(max(1, (os.cpu_count() or 1) // processes))
    limits = {name: share for name in THREADS if name not in os.environ}
    os.environ.update(limits)
    try:
        yield
    finally:
        for name in limits:
            del os.environ[name]
