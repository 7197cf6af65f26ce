"""Noise that is a function of place: integer hashes and gradient noise on hashed lattices.

Only additions, multiplications, divisions and square roots, so that every machine gets the same
numbers; no generator whose state would depend on the order of the calls.

Numba caches the kernels that call these by their own file alone: whoever changes a function here,
or one of ``landscape`` that ``reference`` calls, must delete ``__pycache__/*.nb?`` beside it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_X = np.uint64(0x9E3779B97F4A7C15)
_Y = np.uint64(0xC2B2AE3D27D4EB4F)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32, _11 = (np.uint64(n) for n in (30, 27, 31, 32, 11))
_LOW = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)


@njit(cache=True, nogil=True)
def mix(h):  # type: ignore[no-untyped-def]
    """A 64-bit number scrambled (the finalizer of SplitMix64, Steele et al. 2014)."""
    h = (h ^ (h >> _30)) * _M1
    h = (h ^ (h >> _27)) * _M2
    return h ^ (h >> _31)


@njit(cache=True, nogil=True)
def cell_hash(i, j, salt):  # type: ignore[no-untyped-def]
    """The 64-bit hash of an integer lattice cell (i, j)."""
    # a sum, as the exclusive or of two odd multiples is the same for (-i, -j)
    return mix((np.uint64(i) * _X + np.uint64(j) * _Y) ^ salt)


@njit(cache=True, nogil=True)
def draw(h, n):  # type: ignore[no-untyped-def]
    """The n-th uniform number in [0, 1) that belongs to the hash ``h``."""
    return (mix(h + np.uint64(n + 1) * _X) >> _11) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def _slope(i, j, fx, fy, salt):  # type: ignore[no-untyped-def]
    h = cell_hash(i, j, salt)
    gx = (h & _LOW) * (1.0 / 2147483648.0) - 1.0
    gy = (h >> _32) * (1.0 / 2147483648.0) - 1.0
    return gx * fx + gy * fy


@njit(cache=True, nogil=True)
def gradient_noise(x, y, salt):  # type: ignore[no-untyped-def]
    """Gradient noise (Perlin 1985/2002) at (x, y) in lattice units: mean 0, about [-1, 1]."""
    i = np.int64(np.floor(x))
    j = np.int64(np.floor(y))
    fx = x - i
    fy = y - j
    u = fx * fx * fx * (fx * (fx * 6.0 - 15.0) + 10.0)
    v = fy * fy * fy * (fy * (fy * 6.0 - 15.0) + 10.0)
    a = _slope(i, j, fx, fy, salt)
    b = _slope(i + 1, j, fx - 1.0, fy, salt)
    c = _slope(i, j + 1, fx, fy - 1.0, salt)
    d = _slope(i + 1, j + 1, fx - 1.0, fy - 1.0, salt)
    a += u * (b - a)
    c += u * (d - c)
    return 1.5 * (a + v * (c - a))


@njit(cache=True, nogil=True)
def fractal_noise(x, y, salt, octaves, gain):  # type: ignore[no-untyped-def]
    """Fractional Brownian motion: ``octaves`` of gradient noise, each turned by 37 degrees,
    2.13 times finer and ``gain`` times weaker than the one before. Mean 0, not normalized."""
    total = 0.0
    weight = 1.0
    for n in range(octaves):
        total += weight * gradient_noise(x, y, salt + np.uint64(n) * _Y)
        x, y = 2.13 * (0.8 * x - 0.6 * y) + 17.31, 2.13 * (0.6 * x + 0.8 * y) - 5.77
        weight *= gain
    return total


def salt(seed: int, *parts: int) -> np.uint64:
    """Return a 64-bit salt from a seed and further whole numbers; any two that differ are
    unrelated."""
    mask = (1 << 64) - 1
    h = seed & mask
    for part in parts:
        h = ((h ^ (part & mask)) + int(_X)) & mask
        h = ((h ^ (h >> 30)) * int(_M1)) & mask
        h = ((h ^ (h >> 27)) * int(_M2)) & mask
        h ^= h >> 31
    return np.uint64(h)
