"""Which pixels a classifier learns from, and which patches it is tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from math import isqrt

import numpy as np
from numpy.typing import NDArray


def erode(classes: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Keep a pixel whose whole neighbourhood is of its class; the others become 0.

    classes  (y, x), class ids, 0 for none, which counts as another class
    pixels   radius of the neighbourhood, a disk: dy * dy + dx * dx <= pixels * pixels (1 is the
             pixel and its four neighbours); 0 keeps all. What lies outside the array has no say.
    Returns (y, x).
    """
    height, width = classes.shape
    keep = np.ones(classes.shape, np.bool_)
    for down in range(min(pixels, height - 1) + 1):
        reach = isqrt(pixels * pixels - down * down)
        for right in range(-min(reach, width - 1) if down else 1, min(reach, width - 1) + 1):
            # One half of the disk: the comparison of two pixels tells both of them.
            left, shift = max(right, 0), max(-right, 0)
            here = np.s_[: height - down, shift : width - left]
            there = np.s_[down:, left : width - shift]
            same = classes[here] == classes[there]
            keep[here] &= same
            keep[there] &= same
    return np.where(keep, classes, np.uint8(0))


def draw(
    classes: NDArray[np.uint8], count: int, seed: tuple[int | str, ...]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return labelled pixels drawn at random, each at most once and each with the same chance.

    classes  (y, x), class ids, 0 for none, which is never drawn
    count    how many; all where there are fewer
    seed     the same words draw the same pixels, for example (42, "33N-r003-c012")
    Returns rows and columns, (sample,) each, in row-major order.
    """
    before = np.concatenate(([0], np.cumsum(np.count_nonzero(classes, axis=1))))
    total = int(before[-1])
    if count < total:
        generator = np.random.Generator(np.random.PCG64(_number(seed)))
        ranks = np.sort(generator.choice(total, count, replace=False, shuffle=False))
    else:
        ranks = np.arange(total)
    rows = np.searchsorted(before, ranks, side="right") - 1
    columns = np.empty_like(rows)
    for row in np.unique(rows):
        here = slice(*np.searchsorted(rows, (row, row + 1)))
        columns[here] = np.flatnonzero(classes[row])[ranks[here] - before[row]]
    return rows.astype(np.int32), columns.astype(np.int32)


def test_patches(keys: Iterable[str], fraction: float, seed: int) -> frozenset[str]:
    """Return the patches that are held out for the test; all others are for training.

    keys      of all patches, in any order
    fraction  of the patches, 0 to 1 without 1, rounded to a whole number
    Returns none where the fraction is 0 or there is but one patch; otherwise at least one, and
    at least one is left to train on. A patch's rank depends on its key and the seed alone, so
    that a patch more or less changes the choice by one at most.

    Raises ValueError for a fraction outside its range.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"A test fraction of {fraction} is not within 0 and 1 (without 1).")
    ranked = sorted(set(keys), key=lambda key: (_number((seed, key)), key))
    if fraction == 0 or len(ranked) < 2:
        return frozenset()
    count = min(max(round(fraction * len(ranked)), 1), len(ranked) - 1)
    return frozenset(ranked[:count])


ONE_SIDED = 0.1
"""A side of the split has too little of a class where its share of it is below this part of its
share of all pixels."""


def one_sided(training: Mapping[int, int], test: Mapping[int, int]) -> dict[int, float]:
    """Return the classes that a split into training and test leaves almost wholly on one side.

    training, test  pixels by class id
    Returns by class id, in order, the share of its pixels that is in training, 0 to 1. A class is
    not among them because it is rare: its shares are compared with those of all pixels.
    """
    whole = sum(training.values()) + sum(test.values())
    expected = sum(training.values()) / whole if whole else 0.0
    found = {}
    for one in sorted({*training, *test}):
        count = training.get(one, 0) + test.get(one, 0)
        if not count:
            continue
        share = training.get(one, 0) / count
        if share < ONE_SIDED * expected or 1 - share < ONE_SIDED * (1 - expected):
            found[one] = share
    return found


def _number(words: tuple[int | str, ...]) -> int:
    # Not hash(), which differs from process to process.
    text = "\x1f".join(str(word) for word in words)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
