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


def erode_by_class(
    classes: NDArray[np.uint8], pixels: int, of_class: Mapping[int, int]
) -> NDArray[np.uint8]:
    """Do the same by a radius for each class.

    classes   (y, x), see `erode`
    pixels    radius of the classes that are not named
    of_class  class id -> radius
    Returns (y, x).
    """
    radius = np.full(256, pixels, np.int64)
    for class_id, own in of_class.items():
        radius[class_id] = own
    found = np.zeros_like(classes)
    for one in np.unique(radius[np.unique(classes[classes > 0])]):
        eroded = erode(classes, int(one))
        found = np.where((eroded > 0) & (radius[eroded] == one), eroded, found)
    return found


def hollow_polygons(
    strips: Iterable[tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.bool_]]],
    least: float,
) -> NDArray[np.uint32]:
    """Return the polygons of which erosion leaves too little, (polygon,), ids, ascending.

    strips  (y, x) each: the polygon of every pixel, 0 for none; whether the pixel has a label; and
            whether it still has one when it is eroded
    least   the share of a polygon's labelled pixels that is to be left, 0 to 1
    """
    counts: dict[int, NDArray[np.int64]] = {}
    for polygons, labelled, left in strips:
        ids, where = np.unique(polygons[labelled], return_inverse=True)
        totals = np.bincount(where, minlength=len(ids))
        cores = np.bincount(where, left[labelled], len(ids)).astype(np.int64)
        for one, *pair in zip(ids.tolist(), totals, cores, strict=True):
            counts[one] = counts.get(one, np.zeros(2, np.int64)) + pair
    hollow = [one for one, (total, core) in counts.items() if one and core < least * total]
    return np.array(sorted(hollow), np.uint32)


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


def draw_balanced(
    classes: NDArray[np.uint8], count: int, most: int | None, seed: tuple[int | str, ...]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return labelled pixels drawn at random, the same number of each class as far as it has them.

    classes  (y, x), class ids, 0 for none, which is never drawn
    count    how many at most: the number of each class is the largest with which that holds
    most     of a class; None for as many as that
    seed     see `draw`
    Returns rows and columns, (sample,) each, in row-major order.
    """
    sizes = np.bincount(classes.ravel(), minlength=256)[1:]
    share = _share(sizes[sizes > 0], count)
    share = share if most is None else min(share, most)
    drawn = [
        draw(np.where(classes == one, classes, np.uint8(0)), share, (*seed, int(one)))
        for one in np.flatnonzero(sizes) + 1
    ]
    if not drawn:
        return np.empty(0, np.int32), np.empty(0, np.int32)
    rows, columns = (np.concatenate(each) for each in zip(*drawn, strict=True))
    order = np.lexsort((columns, rows))
    return rows[order], columns[order]


def _share(sizes: NDArray[np.int64], count: int) -> int:
    """Return the largest number that may be taken of each size, or all of a smaller one, so that
    these are not more than ``count`` together."""
    left = count
    for position, size in enumerate(ordered := np.sort(sizes)):
        share = left // (len(ordered) - position)
        if size > share:
            return int(share)
        left -= int(size)
    return int(ordered[-1]) if len(ordered) else 0


def draw_by_polygon(
    strips: Iterable[NDArray[np.uint32]], most: int, count: int, seed: tuple[int | str, ...]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return pixels drawn at random, of each polygon as many as of the others or all that it has.

    strips  (y, x) each, one below the other: the polygon of every pixel that may be drawn, 0 of the
            others
    most    of a polygon
    count   of all polygons together; of more, so many are drawn at random
    seed    see `draw`; the draw does not depend on the height of the strips
    Returns rows and columns, (sample,) each, in row-major order.
    """
    generator = np.random.Generator(np.random.PCG64(_number(seed)))
    rows, columns = np.empty(0, np.int64), np.empty(0, np.int64)
    of, ranks = np.empty(0, np.uint32), np.empty(0)
    first = 0
    for polygons in strips:
        rank = generator.random(polygons.shape)
        y, x = np.nonzero(polygons)
        rows, columns = np.concatenate((rows, y + first)), np.concatenate((columns, x))
        of, ranks = np.concatenate((of, polygons[y, x])), np.concatenate((ranks, rank[y, x]))
        kept = _lowest(of, ranks, most)
        rows, columns, of, ranks = rows[kept], columns[kept], of[kept], ranks[kept]
        first += len(polygons)
    if len(rows) > count:
        kept = generator.choice(len(rows), count, replace=False, shuffle=False)
        rows, columns = rows[kept], columns[kept]
    order = np.lexsort((columns, rows))
    return rows[order].astype(np.int32), columns[order].astype(np.int32)


def _lowest(
    groups: NDArray[np.uint32], values: NDArray[np.float64], most: int
) -> NDArray[np.int64]:
    """Return which are among the ``most`` lowest values of their group."""
    order = np.lexsort((values, groups))
    ordered = groups[order]
    place = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    return order[place < most]


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
