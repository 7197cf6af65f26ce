"""The kernel that computes programs of `eo.expressions` over pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.expressions import Operation, Program

_BLOCK = 512
"""Pixels that an operation takes at a time: all registers stay in the cache, and the loop over a
block is vectorized."""
_TOGETHER = 32 * _BLOCK
"""Pixels that are laid side by side at a time, for they stay in the cache too."""
_LARGEST = np.finfo(np.float32).max
_ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _POWER, _NEGATE, _SQUARE, _ROOT, _EXPONENTIAL = map(
    int, Operation
)


def run(program: Program, values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return a program's value of each pixel, in the shape of the bands.

    values  the program's bands in order, arrays of one shape, float32, NaN where missing
    Returns float32; NaN where a band is, and where there is no finite value (a division by zero,
    a root of a negative number).
    """
    shape = np.shape(values[0])
    flat = [np.asarray(one, np.float32).ravel() for one in values]
    out = np.empty(flat[0].size, np.float32)
    constants = np.array(program.constants, np.float32)
    steps = np.array(program.steps, np.int64).reshape(-1, 4)
    for start in range(0, out.size, _TOGETHER):
        part = slice(start, start + _TOGETHER)
        bands = np.stack([one[part] for one in flat])
        _run(bands, constants, steps, program.registers, program.result, out[part])
    return out.reshape(shape)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _run(bands, constants, steps, registers, result, out):  # type: ignore[no-untyped-def]
    block = np.zeros((registers, _BLOCK), np.float32)
    for i in range(len(constants)):
        for x in range(_BLOCK):
            block[len(bands) + i, x] = constants[i]
    pixels = bands.shape[1]
    for start in range(0, pixels, _BLOCK):
        count = min(_BLOCK, pixels - start)
        for i in range(len(bands)):
            _copy(bands[i], start, count, block[i])
        for i in range(len(steps)):
            _step(steps[i, 0], block[steps[i, 1]], block[steps[i, 2]], block[steps[i, 3]])
        _finite(block[result], start, count, out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _step(operation, target, left, right):  # type: ignore[no-untyped-def]
    if operation == _ADD:
        _add(target, left, right)
    elif operation == _SUBTRACT:
        _subtract(target, left, right)
    elif operation == _MULTIPLY:
        _multiply(target, left, right)
    elif operation == _DIVIDE:
        _divide(target, left, right)
    elif operation == _POWER:
        _power(target, left, right)
    elif operation == _NEGATE:
        _negate(target, left)
    elif operation == _SQUARE:
        _square(target, left)
    elif operation == _ROOT:
        _root(target, left)
    elif operation == _EXPONENTIAL:
        _exponential(target, left)


# Loops in functions of their own are vectorized.


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add(target, left, right):  # type: ignore[no-untyped-def]
    for x in range(_BLOCK):
        target[x] = left[x] + right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _subtract(target, left, right):  # type: ignore[no-untyped-def]
    for x in range(_BLOCK):
        target[x] = left[x] - right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _multiply(target, left, right):  # type: ignore[no-untyped-def]
    for x in range(_BLOCK):
        target[x] = left[x] * right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _divide(target, left, right):  # type: ignore[no-untyped-def]
    for x in range(_BLOCK):
        target[x] = left[x] / right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _power(target, left, right):  # type: ignore[no-untyped-def]
    for x in range(_BLOCK):
        target[x] = left[x] ** right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _negate(target, left):  # type: ignore[no-untyped-def]
    for x in range(_BLOCK):
        target[x] = -left[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _square(target, left):  # type: ignore[no-untyped-def]
    for x in range(_BLOCK):
        target[x] = left[x] * left[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _root(target, left):  # type: ignore[no-untyped-def]
    for x in range(_BLOCK):
        target[x] = np.sqrt(left[x])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _exponential(target, left):  # type: ignore[no-untyped-def]
    for x in range(_BLOCK):
        target[x] = np.exp(left[x])


@numba.njit(cache=True, nogil=True)
def _copy(values, start, count, target):  # type: ignore[no-untyped-def]
    for x in range(count):
        target[x] = values[start + x]


@numba.njit(cache=True, nogil=True)
def _finite(values, start, count, out):  # type: ignore[no-untyped-def]
    for x in range(count):
        value = values[x]
        out[start + x] = value if abs(value) <= _LARGEST else np.float32(np.nan)
