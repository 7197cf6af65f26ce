"""Trees of a random forest, walked by many pixels side by side.

Their leaves hold shares of classes, of which a pixel gets the mean. They are grown until leaves are
almost pure, so that pixels part early and each goes its own way. A walk then waits for memory most
of the time: so a node is one word, several pixels take a step each before any takes the next one,
and those that have arrived make room for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lc_platform.runtime.threads import available, parallel_for

MAX_FEATURES = 1 << 11
MAX_NODES = 1 << 20
"""Of one tree."""

_HIGHEST = np.int32(np.iinfo(np.int32).max)
"""The key of the threshold of a leaf: nothing is above it."""
_LOWEST = np.int32(np.iinfo(np.int32).min)
_SIDE_BY_SIDE = 32
"""Pixels that take a step each in turn."""
_STEPS = 8
"""After which those that have arrived make room."""
_TOGETHER = 128
"""Pixels that take a tree one after the other, while its nodes are in the cache."""
_CHUNK = 1 << 14
"""Pixels that a thread takes at a time."""


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

    From its highest bit on, a node has the key of its threshold (32 bits), its feature, counted on
    from the last one where missing values go left (12), and the position of its left child in its
    tree (20), which the right one follows. A leaf is its own left child. Keys are ordered as the
    floats are.
    """

    nodes: NDArray[np.int64]
    """(node,)"""
    leaves: NDArray[np.uint32]
    """(node,), a leaf's number, over all trees, and 1; 0 of a split."""
    roots: NDArray[np.uint64]
    """(tree,), where its nodes begin."""
    starts: NDArray[np.uint32]
    """(leaf + 1,), where its shares begin."""
    classes: NDArray[np.uint32]
    """(share,)"""
    shares: NDArray[np.float32]
    """(share,), over the number of trees."""
    outputs: int
    """The number of classes."""

    @classmethod
    def of(cls, trees: Sequence[Tree], features: int, classes: int) -> AveragedTrees:
        """Return trees of so many features and classes.

        Raises ValueError where there are more features than MAX_FEATURES, or more nodes of a tree
        than MAX_NODES.
        """
        if features > MAX_FEATURES:
            raise ValueError(f"{features} features are more than {MAX_FEATURES}")
        nodes, leaves, roots, first, leaf = [], [], [], 0, 1
        for tree in trees:
            packed, numbers = _laid_out(tree, features)
            roots.append(first)
            nodes.append(packed)
            leaves.append(np.where(numbers < 0, 0, numbers + leaf))
            first += len(packed)
            leaf += len(tree.counts)
        counts = np.concatenate([tree.counts for tree in trees])
        return cls(
            np.concatenate(nodes),
            np.concatenate(leaves).astype(np.uint32),
            np.array(roots, np.uint64),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32),
            np.concatenate([tree.classes for tree in trees]).astype(np.uint32),
            (np.concatenate([tree.shares for tree in trees]) / len(trees)).astype(np.float32),
            classes,
        )

    def predict(self, features: NDArray[np.float32], *, threads: int = 0) -> NDArray[np.float32]:
        """Return probabilities, (pixel, class).

        features  (pixel, feature), in any layout, read as it is; NaN is missing
        threads   that may be used, 0 for all
        """
        count = len(features)
        found = np.empty((count, self.outputs), np.float32)

        def part(some: slice) -> None:
            _average(
                features[some],
                self.nodes,
                self.leaves,
                self.roots,
                self.starts,
                self.classes,
                self.shares,
                found[some],
            )

        share = -(-count // available(threads))
        size = -(-min(_CHUNK, share) // _TOGETHER) * _TOGETHER
        parallel_for(part, count, max(size, _TOGETHER), threads)
        return found


def _laid_out(tree: Tree, features: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a tree's nodes level by level, siblings side by side, and the leaf that each is, -1
    of a split. Raises ValueError where there are too many."""
    count = 2 * len(tree.counts) - 1
    if count > MAX_NODES:
        raise ValueError(f"{count} nodes of a tree are more than {MAX_NODES}")
    nodes, leaves = np.zeros((2, count), np.int64)
    level = np.array([0 if len(tree.feature) else ~0])
    first = end = 0
    while len(level):
        at = np.arange(first, first + len(level))
        end = first + len(level)
        leaf = level < 0
        nodes[at[leaf]] = np.int64(_HIGHEST) << 32 | at[leaf]
        leaves[at[leaf]], leaves[at[~leaf]] = ~level[leaf], -1
        splits = level[~leaf]
        nodes[at[~leaf]] = (
            _keys(tree.threshold[splits]).astype(np.int64) << 32
            | tree.feature[splits] + features * tree.missing_left[splits] << 20
            | end + 2 * np.arange(len(splits))
        )
        level, first = tree.children[splits].ravel(), end
    return nodes, leaves


def _keys(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return whole numbers that are ordered as the values are."""
    bits = np.ascontiguousarray(values + np.float32(0)).view(np.int32)  # -0 becomes 0
    keys: NDArray[np.int32] = bits ^ (bits >> 31 & _HIGHEST)
    return keys


@njit(nogil=True, cache=True, error_model="numpy")
def _read(features, first, size, keys):  # type: ignore[no-untyped-def]
    """Fill keys (pixel * side * feature,) of some pixels: missing values are higher than all on the
    first side, and lower on the second."""
    width = features.shape[1]
    values = keys.view(np.float32)
    for start in range(0, width, 16):  # sixteen features of a pixel share a line of the cache
        for i in range(size):
            for k in range(start, min(start + 16, width)):
                values[2 * i * width + k] = features[first + i, k] + np.float32(0)
    for i in range(size):
        for right in range(2 * i * width, (2 * i + 1) * width):
            bits = keys[right]
            missing = values[right] != values[right]
            key = bits ^ (bits >> np.int32(31) & _HIGHEST)
            keys[right] = _HIGHEST if missing else key
            keys[right + width] = _LOWEST if missing else key


@njit(nogil=True, cache=True, error_model="numpy")
def _walk(  # type: ignore[no-untyped-def]
    nodes, leaves, root, keys, width, size, pixels, places, reached
):
    """Fill reached (pixel,) with the leaves of a tree that pixels come to.

    pixels, places  to work in, (pixel,), a multiple of those that go side by side
    """
    at = np.zeros(_SIDE_BY_SIDE, np.uint64)
    offsets = np.zeros(_SIDE_BY_SIDE, np.uint64)
    for i in range(len(pixels)):  # those beyond go along, and are left out at the end
        pixels[i], places[i] = min(i, size - 1), 0
    under_way = size
    while under_way > 0:
        kept = np.uint64(0)
        for first in range(0, under_way, _SIDE_BY_SIDE):
            for i in range(_SIDE_BY_SIDE):
                at[i], offsets[i] = (
                    places[first + i],
                    pixels[first + i] * np.uint64(2 * width),
                )
            for _ in range(_STEPS):
                for i in range(_SIDE_BY_SIDE):
                    node = nodes[root + at[i]]
                    key = keys[offsets[i] + np.uint64(node >> np.int64(20) & np.int64(0xFFF))]
                    right = np.uint64(key > np.int32(node >> np.int64(32)))
                    at[i] = np.uint64(node & np.int64(0xFFFFF)) + right
            # Those that have arrived are written over by the next that have not.
            for i in range(min(_SIDE_BY_SIDE, under_way - first)):
                pixel = pixels[first + i]
                leaf = leaves[root + at[i]]
                reached[pixel] = leaf
                pixels[kept], places[kept] = pixel, at[i]
                kept += np.uint64(leaf == 0)
        under_way = np.int64(kept)


@njit(nogil=True, cache=True, error_model="numpy")
def _average(features, nodes, leaves, roots, starts, classes, shares, found):  # type: ignore[no-untyped-def]
    """Fill found (pixel, class) with the sums of the leaves' shares, in the order of the trees."""
    count, outputs = found.shape
    width = features.shape[1]
    keys = np.zeros(2 * _TOGETHER * width, np.int32)
    totals = np.empty((_TOGETHER, outputs))
    pixels, places = np.zeros(_TOGETHER, np.uint64), np.zeros(_TOGETHER, np.uint64)
    reached = np.zeros(_TOGETHER, np.uint32)
    for first in range(0, count, _TOGETHER):
        size = min(_TOGETHER, count - first)
        _read(features, first, size, keys)
        totals[:] = 0
        for tree in range(roots.shape[0]):
            _walk(
                nodes,
                leaves,
                roots[tree],
                keys,
                width,
                size,
                pixels,
                places,
                reached,
            )
            for i in range(size):
                leaf = reached[i]
                for k in range(starts[leaf - np.uint32(1)], starts[leaf]):
                    totals[i, classes[k]] += shares[k]
        for i in range(size):
            for k in range(outputs):
                found[first + i, k] = totals[i, k]
