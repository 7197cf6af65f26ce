"""What the machine can do at best: memory, processor, codec, disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
from numcodecs import Blosc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from lc_platform.runtime.threads import parallel_for

_REPEATS = 5
_MEMORY = 2**28
"""Bytes of an array that no cache holds."""
_FILE = 2**28
_NEAR = 2**14
"""Bytes that the first-level cache holds."""
_NODES = 770
"""Of a tree of s2cloudless; 4 bytes each, they lie in the first-level cache."""
_ROUNDS = 2**16


@dataclass(frozen=True)
class Disk:
    """Bytes a second of one file, one after the other."""

    write: float
    """Until all of it is on the disk."""
    read: float
    """Of a file that the system does not keep in memory."""
    read_again: float
    """Of one that it does."""


def fastest(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Seconds of the fastest repetition: what disturbs a machine only makes it slower."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def copying(threads: int) -> float:
    """Bytes a second that are read and written when an array is copied in memory."""
    source, target = np.ones(_MEMORY // 8), np.zeros(_MEMORY // 8)
    return 2 * _MEMORY / _in_threads(lambda part: _copy(source[part], target[part]), threads)


def reading(threads: int) -> float:
    """Bytes a second that are read when an array in memory is summed up."""
    source = np.ones(_MEMORY // 8)
    return _MEMORY / _in_threads(lambda part: _sum(source[part]), threads)


def _in_threads(work: Callable[[slice], object], threads: int) -> float:
    count = _MEMORY // 8
    work(slice(0, 8))
    return fastest(lambda: parallel_for(lambda part: _done(work(part)), count, count // 8, threads))


def _done(_: object) -> None:
    """For work whose result is not wanted."""


def comparing(threads: int) -> float:
    """Bytes a second that are compared with a threshold, in the first-level cache."""

    def work(_: slice) -> None:
        _compare(np.arange(_NEAR).astype(np.uint8), np.empty(_NEAR, np.bool_), _ROUNDS)

    return _NEAR * _ROUNDS * threads / _by_each(work, threads)


def adding(threads: int) -> float:
    """Additions of float64 a second, in the first-level cache."""

    def work(_: slice) -> None:
        _add(np.ones(_NEAR // 16), np.zeros(_NEAR // 16), _ROUNDS)

    return _NEAR // 16 * _ROUNDS * threads / _by_each(work, threads)


def looking_up(threads: int) -> float:
    """Look-ups a second in a table the size of a tree, each of which must wait for the one before;
    eight such chains side by side in a thread."""
    order = np.random.default_rng(42).permutation(_NODES)
    table = np.empty(_NODES, np.uint32)
    table[order] = np.roll(order, 1)

    def work(_: slice) -> None:
        _follow(table, _ROUNDS * 16)

    return 8 * _ROUNDS * 16 * threads / _by_each(work, threads)


def _by_each(work: Callable[[slice], None], threads: int) -> float:
    """Seconds in which every thread does the work once."""
    work(slice(0, 1))
    return fastest(lambda: parallel_for(work, threads, 1, threads))


def coding(values: NDArray[np.generic]) -> tuple[float, float]:
    """Bytes of ``values`` a second that one core compresses, and decompresses, as the store does:
    zstd over bitshuffle."""
    codec = Blosc(cname="zstd", clevel=3, shuffle=Blosc.BITSHUFFLE)
    whole = np.ascontiguousarray(values)
    packed = codec.encode(whole)
    room = np.empty_like(whole)
    repeats = max(_REPEATS, 2**24 // whole.nbytes)
    encode = fastest(lambda: codec.encode(whole), repeats)
    return whole.nbytes / encode, whole.nbytes / fastest(
        lambda: codec.decode(packed, room), repeats
    )


def disk(folder: Path) -> Disk:
    """Rates of the disk under a folder."""
    path = folder / "disk"
    content = np.random.default_rng(42).bytes(_FILE)
    room = bytearray(_FILE)

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())

    def read() -> None:
        with path.open("rb", buffering=0) as file:
            file.readinto(room)

    def read_from_disk() -> None:
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.readinto(room)

    try:
        rates = [_FILE / fastest(work, 3) for work in (write, read_from_disk, read)]
    finally:
        path.unlink(missing_ok=True)
    return Disk(*rates)


@numba.njit(cache=True, nogil=True)
def _copy(source, target):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        target[i] = source[i]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum(source):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(len(source)):
        total += source[i]
    return total


@numba.njit(cache=True, nogil=True)
def _compare(values, higher, rounds):  # type: ignore[no-untyped-def]
    for number in range(rounds):
        threshold = np.uint8(number)
        for i in range(len(values)):
            higher[i] = values[i] > threshold


@numba.njit(cache=True, nogil=True)
def _add(values, sums, rounds):  # type: ignore[no-untyped-def]
    for _ in range(rounds):
        for i in range(len(values)):
            sums[i] += values[i]


@numba.njit(cache=True, nogil=True)
def _follow(table, rounds):  # type: ignore[no-untyped-def]
    a, b, c, d = table[0], table[1], table[2], table[3]
    e, f, g, h = table[4], table[5], table[6], table[7]
    for _ in range(rounds):
        a, b, c, d = table[a], table[b], table[c], table[d]
        e, f, g, h = table[e], table[f], table[g], table[h]
    return a + b + c + d + e + f + g + h
