"""How a process that works through many patches gives their memory back."""

from __future__ import annotations

import ctypes
import platform

_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of glibc's malloc.h."""
_LARGE = 8 * 2**20


def return_large_arrays() -> None:
    """Have glibc return arrays of 8 MiB and more to the system when they are freed.

    By itself it raises this size to 32 MiB as it goes, and keeps what is smaller for later: with
    the arrays of many threads a worker grows by half within a few patches. Elsewhere this does
    nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
