"""Clouds and their shadows by the networks of the package ukis-csmask, an extra of the platform.

Wieland, Li and Martinis (2019), "Multi-sensor cloud and cloud shadow segmentation with a
convolutional neural network", Remote Sensing of Environment 230; release 1.0 has U-Nets with
EfficientNet-B4 as encoder, one each for the top of the atmosphere and for surface reflectance, with
four bands and with six.

A network sees a tile as a whole: its layers of squeeze and excitation pool over all of it. So what
it says of a pixel depends on where the tile lies. Tiles lie on one lattice that begins at the CRS's
origin, whatever is asked for; they overlap, and are blended as the package does it. What is missing
in a tile is mirrored from what is in that tile. A pixel is therefore the same, to the bit, in every
window and in every patch that has its tiles whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.signal.windows import tukey

from lc_platform.eo.csmask import STEP, TILE, NetworkName, network_file, tiles
from lc_platform.eo.onnx_model import open_session
from lc_platform.runtime.threads import available, parallel_for

GROUND, CLOUD, SHADOW = range(3)
"""The classes of the probabilities."""
Read = Callable[[int, int], NDArray[np.float32]]
Compute = Callable[[], NDArray[np.float32] | None]
Kept = Callable[[tuple[int, int], Compute], NDArray[np.float32] | None]
_TAPER = 0.4
"""Share of a tile along which its weight rises and falls (Tukey's window)."""


@dataclass(frozen=True, eq=False)
class CloudNetwork:
    """A network that tells clouds and shadows apart from the ground."""

    session: Any
    """Of onnxruntime."""
    mean: tuple[float, ...]
    """(band,), reflectance, which is taken off each band."""
    deviation: tuple[float, ...]
    """(band,), which each band is divided by then."""

    def tile_probabilities(self, reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (class, y, x), 0 to 1, of one whole tile (band, y, x) without missing values."""
        mean, deviation = (
            np.array(one, np.float32)[:, None, None] for one in (self.mean, self.deviation)
        )
        name = self.session.get_inputs()[0].name
        scores = self.session.run(None, {name: ((reflectance - mean) / deviation)[None]})[0][0]
        powers = np.exp(scores - scores.max(axis=0))
        found: NDArray[np.float32] = powers / powers.sum(axis=0)
        return found


@lru_cache(maxsize=1)
def network(name: NetworkName) -> CloudNetwork:
    """Return a network. Raises what `csmask.network_file` and `onnx_model.open_session` do."""
    file = network_file(name)
    return CloudNetwork(open_session(file.model), file.mean, file.deviation)


def _computed(place: tuple[int, int], compute: Compute) -> NDArray[np.float32] | None:  # noqa: ARG001
    return compute()


def _weights() -> NDArray[np.float32]:
    """Return (y, x), the weight of each pixel of a tile."""
    one = tukey(TILE, _TAPER)
    found: NDArray[np.float32] = (one[:, None] * one).astype(np.float32)
    return found


def probabilities(
    of: CloudNetwork,
    read: Read,
    rows: tuple[int, int],
    columns: tuple[int, int],
    *,
    threads: int = 0,
    kept: Kept = _computed,
) -> NDArray[np.float32]:
    """Return the probability of each class, (class, y, x), 0 to 1.

    read           of the first row and column of a tile, counted from the CRS's origin: its
                   reflectance (band, y, x), ``TILE`` pixels along each side, NaN where missing
    rows, columns  the first and the number of those that are asked for
    threads        that may be used, 0 for all; tiles are dealt to them, and each is run on one
    kept           of a tile's place and what computes its probabilities: these, perhaps from before
    A tile without any data has no say; where no tile with data has one, the result is NaN.
    """
    weights = _weights()
    total = np.zeros((3, rows[1], columns[1]), np.float32)
    weight = np.zeros((rows[1], columns[1]), np.float32)
    places = [(k, j) for k in tiles(*rows) for j in tiles(*columns)]
    together = max(1, available(threads))
    for start in range(0, len(places), together):
        some = places[start : start + together]
        found: list[NDArray[np.float32] | None] = [None] * len(some)
        parallel_for(partial(_into, found, some, of, read, kept), len(some), 1, threads)
        # In the order of the lattice, so that sums do not depend on the window or the threads.
        for place, one in zip(some, found, strict=True):
            if one is not None:
                _add(total, weight, one, weights, place, (rows[0], columns[0]))
    with np.errstate(invalid="ignore"):
        total /= np.where(weight > 0, weight, np.float32(np.nan))
    return total


def _into(
    found: list[NDArray[np.float32] | None],
    places: Sequence[tuple[int, int]],
    of: CloudNetwork,
    read: Read,
    kept: Kept,
    part: slice,
) -> None:
    for at in range(part.start, part.stop):
        found[at] = kept(places[at], partial(_of_tile, of, read, places[at]))


def _of_tile(of: CloudNetwork, read: Read, place: tuple[int, int]) -> NDArray[np.float32] | None:
    tile = completed(read(STEP * place[0], STEP * place[1]))
    return None if tile is None else of.tile_probabilities(tile)


def _add(
    total: NDArray[np.float32],
    weight: NDArray[np.float32],
    found: NDArray[np.float32],
    weights: NDArray[np.float32],
    place: tuple[int, int],
    first: tuple[int, int],
) -> None:
    here, there = [], []
    for k, begin, length in zip(place, first, weight.shape, strict=True):
        start = STEP * k - begin
        low, high = max(start, 0), min(start + TILE, length)
        here.append(slice(low, high))
        there.append(slice(low - start, high - start))
    at, of = tuple(here), tuple(there)
    total[(slice(None), *at)] += found[(slice(None), *of)] * weights[of]
    weight[at] += weights[of]


def completed(tile: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return a tile (band, y, x) whose missing values, NaN, are mirrored from its others; None
    where it has none.

    Within the box around what is there, a missing pixel takes the value of the one as far beyond
    the nearest pixel that is there, or of that pixel itself where this one is missing too; around
    the box all of it is mirrored again and again. Where a band is missing, all are taken to be.
    """
    missing = np.logical_or.reduce(np.isnan(tile), axis=0)
    if not missing.any():
        return tile
    if missing.all():
        return None
    rows, columns = (np.flatnonzero(~missing.all(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inner, gaps = tile[(slice(None), *box)], missing[box]
    if gaps.any():
        nearest = distance_transform_edt(gaps, return_distances=False, return_indices=True)
        beyond = 2 * nearest - np.indices(gaps.shape)
        for axis, length in enumerate(gaps.shape):
            beyond[axis] = np.where(
                (beyond[axis] >= 0) & (beyond[axis] < length), beyond[axis], nearest[axis]
            )
        there = ~gaps[beyond[0], beyond[1]]
        row, column = (np.where(there, b, n) for b, n in zip(beyond, nearest, strict=True))
        inner = inner[:, row, column]
    for axis, side in enumerate(box, start=1):
        inner = inner.take(_mirrored(tile.shape[axis], side), axis)
    return np.ascontiguousarray(inner)


def _mirrored(length: int, side: slice) -> NDArray[np.intp]:
    """Return, for each of ``length`` pixels, which of those of ``side`` it is an image of."""
    size = side.stop - side.start
    within = (np.arange(length) - side.start) % (2 * size)
    found: NDArray[np.intp] = np.minimum(within, 2 * size - 1 - within)
    return found
