"""Trees of a random forest, walked by many pixels side by side.

Their leaves hold shares of classes, of which a pixel gets the mean. They are grown until leaves are
almost pure, so that pixels part early and each goes its own way: a walk is bound by memory and by
the number of its instructions. So trees are taken in blocks that stay in the second-level cache
with a group of pixels, which is read in order before it is walked; at a tree's top, where there are
few nodes, all pixels are compared at once; and below several pixels take a step each before any
takes the next one, and those that have arrived make room for others. Leaves that hold the same
shares are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lc_platform.runtime.threads import available, parallel_for

MAX_NODES = 1 << 30
"""Of all trees."""

_HIGHEST = np.int32(np.iinfo(np.int32).max)
"""The key of a missing value that goes right, and one that no threshold has."""
_LOWEST = np.int32(np.iinfo(np.int32).min)
"""The key of a missing value that goes left."""
_GROUP = 128
"""Pixels that walk together."""
_TOP = 4
"""Levels of a tree at which all pixels of a group are compared with each node."""
_STEPS_OF_ALL = 8
"""Steps below these that all pixels take; about half of the way that is left to the leaves."""
_SIDE_BY_SIDE = 32
"""Pixels that take a step each in turn."""
_STEPS = 4
"""After which those that have arrived make room."""
_TREES = 4
"""Trees whose leaves are added at a time."""
_BYTES_OF_A_BLOCK = 600_000
"""Of the nodes of the trees that take a group of pixels one after the other, at most."""
_BYTES_OF_KEYS = 1 << 22
"""Of the pixels that take a block of trees group by group, at most."""
_CHUNK = 1 << 14
"""Pixels that a thread takes at a time."""
_LINE = 16
"""Words of four bytes in a line of the cache."""


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree. Its first split is the root; a tree of one leaf has no split."""

    feature: NDArray[np.int64]
    """(split,)"""
    threshold: NDArray[np.float32]
    """(split,); what is above it goes right."""
    missing_left: NDArray[np.bool_]
    """(split,), whether a missing value goes left."""
    children: NDArray[np.int64]
    """(split, left or right); a leaf is the complement of its index."""
    counts: NDArray[np.int64]
    """(leaf,), classes that it has a share of, 1 or more."""
    classes: NDArray[np.int64]
    """(share,), positions of the classes, leaf by leaf."""
    shares: NDArray[np.float32]
    """(share,), above 0; 1 in all of a leaf."""


@dataclass(frozen=True, eq=False)
class AveragedTrees:
    """The trees as the kernel walks them.

    A node has four words: the key of its threshold, its column, and where its left and its right
    child begin. Columns are the features, and the features once more for nodes that send missing
    values to the left. Keys are ordered as the floats are. A leaf has its row of the shares for a
    key, and is its own child. Shares are counted in parts of a whole number, so that their sum does
    not depend on the order, and the mean is off by the number of trees over 2 ** 33 at most.
    """

    nodes: NDArray[np.int32]
    """(word,), tree by tree."""
    roots: NDArray[np.uint32]
    """(tree + 1,), where a tree's nodes begin."""
    tops: NDArray[np.uint32]
    """(node,), where the splits of each tree's upper levels begin, parents before children."""
    tops_of: NDArray[np.int64]
    """(tree + 1,), where a tree's begin among them."""
    blocks: NDArray[np.int64]
    """(block + 1,), the first tree of each block."""
    shares: NDArray[np.uint64]
    """(row, pair of classes), the second class in the upper half; the first row has none."""
    whole: int
    """What the shares of a pixel sum up to."""
    features: int
    outputs: int
    """The number of classes."""

    @classmethod
    def of(cls, trees: Sequence[Tree], features: int, classes: int) -> AveragedTrees:
        """Return trees of so many features and classes.

        Raises ValueError where there are more nodes than MAX_NODES.
        """
        count = sum(2 * len(tree.counts) - 1 for tree in trees)
        if count > MAX_NODES:
            raise ValueError(f"{count} nodes of all trees are more than {MAX_NODES}")
        a_tree = ((1 << 32) - 1 - len(trees)) // len(trees)
        distinct = [_distinct_leaves(tree, classes, a_tree) for tree in trees]
        none = np.zeros((1, distinct[0][0].shape[1]), np.uint64)
        shares, rows = _distinct(np.concatenate([none, *(found for found, _ in distinct)]))
        nodes, roots, tops, row = [], [0], [], 1
        for tree, (found, leaves) in zip(trees, distinct, strict=True):
            laid_out, top = _laid_out(
                tree, leaves, rows[row : row + len(found)], features, roots[-1]
            )
            nodes.append(laid_out)
            tops.append(top)
            roots.append(roots[-1] + laid_out.size)
            row += len(found)
        return cls(
            np.concatenate(nodes, axis=None),
            np.array(roots, np.uint32),
            np.concatenate(tops).astype(np.uint32),
            np.cumsum([0, *map(len, tops)]),
            _blocks(np.diff(roots) * 4),
            shares,
            a_tree * len(trees),
            features,
            classes,
        )

    def predict(self, features: NDArray[np.float32], *, threads: int = 0) -> NDArray[np.float32]:
        """Return probabilities, (pixel, class).

        features  (pixel, feature), in any layout, read as it is; NaN is missing
        threads   that may be used, 0 for all

        Raises ValueError where the features are not the model's.
        """
        if features.ndim != 2 or features.shape[1] != self.features:
            raise ValueError(
                f"The model needs (pixel, feature) with {self.features} features; an array of "
                f"shape {features.shape} was given."
            )
        count = len(features)
        found = np.empty((count, self.outputs), np.float32)
        together = max(1, _BYTES_OF_KEYS // (8 * _GROUP * max(self.features, 1)))

        def part(some: slice) -> None:
            _average(
                features[some],
                self.nodes,
                self.roots,
                self.tops,
                self.tops_of,
                self.blocks,
                self.shares,
                self.whole,
                together,
                found[some],
            )

        share = -(-count // available(threads))
        size = -(-min(_CHUNK, share) // _GROUP) * _GROUP
        parallel_for(part, count, max(size, _GROUP), threads)
        return found


def _distinct_leaves(
    tree: Tree, classes: int, whole: int
) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """Return the distinct shares of a tree's leaves in parts of a whole, (row, pair of classes),
    and the row of each leaf."""
    parts = np.zeros((len(tree.counts), classes + classes % 2), np.uint64)
    leaf = np.repeat(np.arange(len(tree.counts)), tree.counts)
    parts[leaf, tree.classes] = np.rint(tree.shares * np.float64(whole)).astype(np.uint64)
    return _distinct(parts[:, ::2] | parts[:, 1::2] << np.uint64(32))


def _distinct(rows: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """Return the rows that differ, in the order in which they come first, and which of them each
    row is."""
    order = np.lexsort(rows.T)
    new = np.ones(len(rows), np.bool_)
    new[1:] = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    # The sort is stable, so that the first of equal rows is the one that comes first.
    first = order[new]
    number = np.empty(len(first), np.intp)
    number[np.argsort(first)] = np.arange(len(first))
    which = np.empty(len(rows), np.intp)
    which[order] = number[np.cumsum(new) - 1]
    return rows[np.sort(first)], which


def _blocks(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first tree of each block, and the number of trees.

    sizes  (tree,), bytes
    """
    firsts, held = [0], 0
    for tree, size in enumerate(sizes):
        if held and held + size > _BYTES_OF_A_BLOCK:
            firsts.append(tree)
            held = 0
        held += size
    return np.array([*firsts, len(sizes)], np.int64)


def _laid_out(
    tree: Tree,
    leaves: NDArray[np.intp],
    rows: NDArray[np.intp],
    features: int,
    begin: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return a tree's nodes, (node, word), and where the splits of its upper levels begin.

    A split is followed by the child with more splits below it, if it has such a child. Leaves come
    last, each distinct one once.

    leaves  (leaf,), which of the distinct ones it is
    rows    (distinct leaf,), of the shares
    begin   where the tree begins among all words
    """
    splits = len(tree.feature)
    levels = [np.arange(min(splits, 1))]
    while len(levels[-1]):
        below = tree.children[levels[-1]].ravel()
        levels.append(below[below >= 0])
    below = np.zeros(splits + 1, np.int64)  # the last one is what a leaf has
    for level in reversed(levels):
        below[level] = 1 + below[np.maximum(tree.children[level], -1)].sum(axis=1)
    place = np.zeros(splits, np.int64)
    for level in levels:
        children = tree.children[level]
        under = below[np.maximum(children, -1)]
        follows = place[level] + 1
        later = under[:, 0] < under[:, 1]  # the left one
        for side, behind in ((0, later), (1, ~later)):
            split = children[:, side] >= 0
            place[children[split, side]] = (follows + behind * under[:, 1 - side])[split]
    leaf = splits + leaves[np.where(tree.children < 0, ~tree.children, 0)]
    words = np.zeros((splits + len(rows), 4), np.int64)
    words[place, 0] = _keys(tree.threshold)
    words[place, 1] = tree.feature + features * tree.missing_left
    words[place, 2:] = np.where(
        tree.children < 0, leaf, place[np.maximum(tree.children, 0)] if splits else 0
    )
    words[splits:, 0] = rows
    words[splits:, 2:] = np.arange(splits, len(words))[:, None]
    words[:, 2:] = 4 * words[:, 2:] + begin
    return (
        words.astype(np.uint32).view(np.int32),
        4 * place[np.concatenate(levels[:_TOP])] + begin,
    )


def _keys(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return whole numbers that are ordered as the values are."""
    bits = np.ascontiguousarray(values + np.float32(0)).view(np.int32)  # -0 becomes 0
    keys: NDArray[np.int32] = bits ^ (bits >> 31 & _HIGHEST)
    return keys


@njit(nogil=True, cache=True, error_model="numpy")
def _read(features, first, size, keys, offsets):  # type: ignore[no-untyped-def]
    """Fill keys (word,) with those of some pixels, group by group and column by column, and offsets
    (group, column) with where a column begins in its group.

    Missing values are higher than all, and in the columns of nodes that send them left lower than
    all. Where a group misses none, both columns are one.
    """
    width = features.shape[1]
    groups = (size + _GROUP - 1) // _GROUP
    values = keys.view(np.float32)
    spare = np.uint64(groups * width * _GROUP)
    for k in range(width):
        for group in range(groups):
            start = np.uint64((group * width + k) * _GROUP)
            before = first + group * _GROUP
            for i in range(min(_GROUP, size - group * _GROUP)):
                values[start + np.uint64(i)] = features[before + i, k] + np.float32(0)
            missing = np.int32(0)
            for i in range(_GROUP):
                value = values[start + np.uint64(i)]
                missing |= np.int32(value != value)
            offsets[group, k] = k * _GROUP
            offsets[group, k + width] = k * _GROUP
            if missing:
                offsets[group, k + width] = spare - np.uint64(group * width * _GROUP)
                for i in range(_GROUP):
                    bits = keys[start + np.uint64(i)]
                    value = values[start + np.uint64(i)]
                    key = bits ^ (bits >> np.int32(31) & _HIGHEST)
                    keys[spare + np.uint64(i)] = _LOWEST if value != value else key
                for i in range(_GROUP):
                    bits = keys[start + np.uint64(i)]
                    value = values[start + np.uint64(i)]
                    key = bits ^ (bits >> np.int32(31) & _HIGHEST)
                    keys[start + np.uint64(i)] = _HIGHEST if value != value else key
                spare += np.uint64(_GROUP)
            else:
                for i in range(_GROUP):
                    bits = keys[start + np.uint64(i)]
                    keys[start + np.uint64(i)] = bits ^ (bits >> np.int32(31) & _HIGHEST)


@njit(nogil=True, cache=True, error_model="numpy")
def _touch(words, start, stop):  # type: ignore[no-untyped-def]
    """Read a line of the cache after the other, which is much faster than as the walk comes by."""
    seen = np.int32(0)
    for i in range(start, stop, _LINE):
        seen |= words[np.uint64(i)]
    return seen


@njit(nogil=True, cache=True, error_model="numpy")
def _start(nodes, root, tops, keys, group, offsets, at):  # type: ignore[no-untyped-def]
    """Fill at (pixel,) with the nodes that pixels come to at a tree's upper levels."""
    at[:] = root
    for top in tops:
        node = np.uint64(top)
        key, column = nodes[node], group + np.uint64(offsets[nodes[node + np.uint64(1)]])
        left = np.uint32(nodes[node + np.uint64(2)])
        right = np.uint32(nodes[node + np.uint64(3)])
        for i in range(_GROUP):
            child = right if keys[column + np.uint64(i)] > key else left
            at[i] = child if at[i] == top else at[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _walk(  # type: ignore[no-untyped-def]
    nodes, roots, tops, tops_of, first, last, keys, group, offsets, at, lanes, places, rows
):
    """Fill rows (tree * pixel,) with the rows of the leaves that a group's pixels come to.

    group          where its keys begin
    lanes, places  to work in, (tree * pixel and those that go side by side,)
    """
    here = np.zeros(_SIDE_BY_SIDE, np.uint64)
    pixels = np.zeros(_SIDE_BY_SIDE, np.uint64)
    under_way = np.uint64(0)
    for tree in range(first, last):
        _start(
            nodes,
            roots[tree],
            tops[tops_of[tree] : tops_of[tree + 1]],
            keys,
            group,
            offsets,
            at,
        )
        for _ in range(_STEPS_OF_ALL):
            for i in range(_GROUP):
                node = np.uint64(at[i])
                column = np.uint64(offsets[np.uint64(nodes[node + np.uint64(1)])])
                right = np.uint64(keys[group + column + np.uint64(i)] > nodes[node])
                at[i] = np.uint32(nodes[node + np.uint64(2) + right])
        for i in range(_GROUP):
            node, lane = np.uint64(at[i]), np.uint32((tree - first) * _GROUP + i)
            rows[lane] = np.uint32(nodes[node])
            lanes[under_way], places[under_way] = lane, at[i]
            under_way += np.uint64(np.uint32(nodes[node + np.uint64(2)]) != at[i])
    while under_way > np.uint64(0):
        for i in range(_SIDE_BY_SIDE):  # the last one goes along until its row is full
            lanes[under_way + np.uint64(i)] = lanes[under_way - np.uint64(1)]
            places[under_way + np.uint64(i)] = places[under_way - np.uint64(1)]
        kept = np.uint64(0)
        for start in range(np.uint64(0), under_way, np.uint64(_SIDE_BY_SIDE)):
            for i in range(_SIDE_BY_SIDE):
                here[i] = places[start + np.uint64(i)]
                pixels[i] = group + np.uint64(lanes[start + np.uint64(i)] % np.uint32(_GROUP))
            for _ in range(_STEPS):
                for i in range(_SIDE_BY_SIDE):
                    node = here[i]
                    column = np.uint64(offsets[np.uint64(nodes[node + np.uint64(1)])])
                    right = np.uint64(keys[pixels[i] + column] > nodes[node])
                    here[i] = np.uint64(np.uint32(nodes[node + np.uint64(2) + right]))
            # Those that have arrived are written over by the next that have not.
            for i in range(min(np.uint64(_SIDE_BY_SIDE), under_way - start)):
                node, lane = here[i], lanes[start + np.uint64(i)]
                rows[lane] = np.uint32(nodes[node])
                lanes[kept], places[kept] = lane, np.uint32(node)
                kept += np.uint64(np.uint32(nodes[node + np.uint64(2)]) != np.uint32(node))
        under_way = kept


@njit(nogil=True, cache=True, error_model="numpy")
def _add(rows, shares, first, totals):  # type: ignore[no-untyped-def]
    """Add the shares in _TREES leaves of each pixel of a group, which begins at the first one, to
    the totals (pixel, pair of classes)."""
    for i in range(_GROUP):
        pixel = np.uint64(first + i)
        a, b = np.uint64(rows[i]), np.uint64(rows[i + _GROUP])
        c, d = np.uint64(rows[i + 2 * _GROUP]), np.uint64(rows[i + 3 * _GROUP])
        for k in range(shares.shape[1]):
            totals[pixel, k] += shares[a, k] + shares[b, k] + shares[c, k] + shares[d, k]


@njit(nogil=True, cache=True, error_model="numpy")
def _average(  # type: ignore[no-untyped-def]
    features, nodes, roots, tops, tops_of, blocks, shares, whole, together, found
):
    """Fill found (pixel, class) with the means of the leaves' shares.

    together  groups of pixels that take a block of trees one after the other
    Returns what was read ahead, without which the compiler would leave out to read it.
    """
    count, outputs = found.shape
    width = features.shape[1]
    together = min(together, (count + _GROUP - 1) // _GROUP)
    block = together * _GROUP
    keys = np.zeros(2 * block * width, np.int32)
    offsets = np.zeros((together, 2 * width), np.uint32)
    totals = np.empty((block, shares.shape[1]), np.uint64)
    at = np.zeros(_GROUP, np.uint32)
    lanes, places = np.zeros((2, _TREES * _GROUP + _SIDE_BY_SIDE), np.uint32)
    rows = np.zeros(_TREES * _GROUP, np.uint32)
    seen = np.int32(0)
    for first in range(0, count, block):
        size = min(block, count - first)
        _read(features, first, size, keys, offsets)
        totals[:] = 0
        for b in range(len(blocks) - 1):
            seen |= _touch(nodes, np.int64(roots[blocks[b]]), np.int64(roots[blocks[b + 1]]))
            for group in range((size + _GROUP - 1) // _GROUP):
                start = group * width * _GROUP
                seen |= _touch(keys, start, start + width * _GROUP)
                for tree in range(blocks[b], blocks[b + 1], _TREES):
                    last = min(tree + _TREES, blocks[b + 1])
                    rows[(last - tree) * _GROUP :] = 0
                    _walk(
                        nodes, roots, tops, tops_of, tree, last, keys, np.uint64(start),
                        offsets[group], at, lanes, places, rows,
                    )  # fmt: skip
                    _add(rows, shares, group * _GROUP, totals)
        for i in range(size):
            for k in range(outputs):
                part = totals[i, k // 2] >> np.uint64(32 * (k % 2)) & np.uint64(0xFFFFFFFF)
                found[first + i, k] = part / whole
    return seen
