"""Selections along the dims of an array, as Zarr reads them fastest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np


def positive(one: int | slice | Sequence[int], length: int) -> int | slice | Sequence[int]:
    """A selection along a dim without negative positions, and without steps in a slice."""
    if isinstance(one, slice):
        start, stop, step = one.indices(length)
        return slice(start, max(start, stop)) if step == 1 else range(start, stop, step)
    if isinstance(one, int | np.integer):
        return int(one) + (length if one < 0 else 0)
    return [int(position) + (length if position < 0 else 0) for position in one]


def runs_of(
    picked: Sequence[int | slice | Sequence[int]], shape: Sequence[int]
) -> Iterator[tuple[tuple[int | slice, ...], tuple[slice, ...]]]:
    """A selection as slices: where each lies in the store, and where in the result.

    Zarr reads a list of positions many times slower than the same positions as slices.
    """
    parts: list[list[tuple[int | slice, slice | None]]] = []
    for one, length in zip(picked, shape, strict=True):
        if isinstance(one, int):
            parts.append([(one, None)])
        elif isinstance(one, slice):
            start, stop, _ = one.indices(length)
            parts.append([(slice(start, stop), slice(None))])
        else:
            breaks = np.flatnonzero(np.diff(one) != 1) + 1
            edges = [0, *breaks.tolist(), len(one)]
            parts.append(
                [
                    (slice(int(one[a]), int(one[b - 1]) + 1), slice(a, b))
                    for a, b in itertools.pairwise(edges)
                    if a < b
                ]
            )
    for run in itertools.product(*parts):
        yield (
            tuple(there for there, _ in run),
            tuple(here for _, here in run if here is not None),
        )
