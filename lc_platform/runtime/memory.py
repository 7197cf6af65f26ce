"""The return of memory to the system, in a process that computes many patches."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h."""
_LARGE = 8 * 2**20
_KEPT = 64 * 2**20


def return_large_arrays() -> None:
    """Let glibc return arrays of 8 MiB and more to the system when they are freed.

    By itself it raises this size to 32 MiB as it goes, and keeps what is smaller for later: with
    the arrays of many threads a worker grows by half within a few patches. Some of what is freed
    below that size is kept, as glibc would by itself: else each window's arrays are asked for, and
    cleared, anew, which takes a tenth of a patch's time. Elsewhere this does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
