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
_TOGETHER = 64 * _BLOCK
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
    if not np.size(values[0]):
        return np.empty(shape, np.float32)
    rows = len(values[0]) if len(shape) > 1 else 1
    # A view, also of one band of several that lie beside each other at every time.
    lines = [np.asarray(one, np.float32).reshape(rows, -1) for one in values]
    out = np.empty((rows, lines[0].shape[1]), np.float32)
    constants = np.array(program.constants, np.float32)
    steps = np.array(program.steps, np.int64).reshape(-1, 4)
    width = out.shape[1]
    deep, wide = min(rows, max(1, _TOGETHER // width)), min(width, _TOGETHER)
    bands = np.empty((len(lines), deep * wide), np.float32)
    for row in range(0, rows, deep):
        for column in range(0, width, wide):
            part = slice(row, row + deep), slice(column, column + wide)
            target = out[part]
            for i, one in enumerate(lines):
                bands[i, : target.size].reshape(target.shape)[:] = one[part]
            _run(bands, constants, steps, program.registers, program.result, target.ravel())
    return out.reshape(shape)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _run(bands, constants, steps, registers, result, out):  # type: ignore[no-untyped-def]
    own = len(bands)
    block = np.empty((registers - own, _BLOCK), np.float32)
    for i in range(len(constants)):
        block[i] = constants[i]
    pixels = len(out)
    for start in range(0, pixels, _BLOCK):
        stop = min(start + _BLOCK, pixels)
        count = stop - start
        for i in range(len(steps)):
            a, b = steps[i, 2], steps[i, 3]
            # Parts are cut here: an index that begins elsewhere than at 0 is not vectorized.
            left = bands[a, start:stop] if a < own else block[a - own, :count]
            right = bands[b, start:stop] if b < own else block[b - own, :count]
            _step(steps[i, 0], block[steps[i, 1] - own, :count], left, right)
        found = bands[result, start:stop] if result < own else block[result - own, :count]
        _finite(found, out[start:stop])


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
    for x in range(len(target)):
        target[x] = left[x] + right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _subtract(target, left, right):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] = left[x] - right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _multiply(target, left, right):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] = left[x] * right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _divide(target, left, right):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] = left[x] / right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _power(target, left, right):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] = left[x] ** right[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _negate(target, left):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] = -left[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _square(target, left):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] = left[x] * left[x]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _root(target, left):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] = np.sqrt(left[x])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _exponential(target, left):  # type: ignore[no-untyped-def]
    for x in range(len(target)):
        target[x] = np.exp(left[x])


@numba.njit(cache=True, nogil=True)
def _finite(values, out):  # type: ignore[no-untyped-def]
    for x in range(len(out)):
        value = values[x]
        out[x] = value if abs(value) <= _LARGEST else np.float32(np.nan)
