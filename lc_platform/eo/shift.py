"""Whether images, and images and a reference, lie on one another: shifts of parts of a pixel.

Edges are compared, not values: where a field ends is where two bands, two dates and the parcels of
a reference agree. They are correlated block by block in the Fourier domain, so that a block full
of clouds has one voice among many; the peak of the sum is found between the pixels by evaluating
the transform there (Guizar-Sicairos et al. 2008, "Efficient subpixel image registration
algorithms", Optics Letters 33(2)). How far it moves when blocks are left out (the jackknife of
Quenouille and Tukey) is its uncertainty.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_STEP = 0.05
"""Pixels between the positions at which the correlation is evaluated, before a parabola through
the highest of them."""
_TURNS = 4
"""Times, at most, that blocks are cut anew where the shift found before puts them."""
_GROUPS = 12
"""Of blocks, one of which is left out in turn."""
_SEEN = 0.5
"""Share of a block's pixels that both must have for it to count."""


class Shift(NamedTuple):
    """How far the content of one image lies from that of another."""

    rows: float
    """Pixels down; NaN where nothing can be said."""
    columns: float
    """Pixels to the right; NaN likewise."""
    uncertainty: float
    """Standard error in pixels of the worse of the two; infinite where nothing can be said."""
    blocks: int
    """How many were compared."""

    @property
    def distance(self) -> float:
        """Pixels."""
        return float(np.hypot(self.rows, self.columns))


def edges(images: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Edges that images have in common: the mean of their gradients' magnitudes.

    images  (image, y, x), bands or dates of one grid; NaN without data and under clouds
    Returns (y, x), each image's magnitude in units of its mean; NaN where no image has a pixel and
    its four neighbours.
    """
    total = np.zeros(images.shape[1:], np.float64)
    count = np.zeros(images.shape[1:], np.int32)
    for image in images:
        magnitude = _gradient(image.astype(np.float64))
        known = ~np.isnan(magnitude)
        mean = magnitude[known].mean() if known.any() else 0.0
        if mean > 0:
            total[known] += magnitude[known] / mean
            count += known
    found = np.full(total.shape, np.nan, np.float32)
    np.divide(total, count, out=found, where=count > 0, casting="same_kind")
    return found


def class_edges(classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Edges of a class raster, by the same operator as an image's.

    classes  (y, x), class ids; 0, where there is no class, counts as one: a parcel ends there
    Returns (y, x), 0 within a class; NaN along the array's border.
    """
    total = np.zeros(classes.shape)
    for one in np.unique(classes):
        total += _gradient((classes == one).astype(np.float64))
    return total.astype(np.float32)


def between(
    reference: NDArray[np.floating[Any]],
    moved: NDArray[np.floating[Any]],
    *,
    most: float = 4.0,
    block: int = 32,
) -> Shift:
    """How far the edges of ``moved`` lie from those of ``reference``.

    reference, moved  (y, x), edges of one grid, see ``edges`` and ``class_edges``; NaN without
    most              pixels that are looked at in each direction, above 0
    block             side of the blocks that are compared, in pixels; they overlap by half. It is
                      at least 4 times ``most``, and as large as the array where that is smaller
    Returns where what lies at (y, x) in ``reference`` lies in ``moved``: at (y + rows,
    x + columns). Nothing can be said where there are no edges, or no block has data in both. A
    shift of as much as ``most`` is one that may be larger.

    Raises ValueError where the shapes do not agree, or a parameter is outside of its range.
    """
    if reference.shape != moved.shape or reference.ndim != 2:
        raise ValueError(
            f"Edges (y, x) of shapes {reference.shape} and {moved.shape} do not lie on one grid."
        )
    if not most > 0 or block < 4 * most:
        raise ValueError(
            f"Blocks of {block} pixels cannot show shifts of {most}: `most` must be above 0, and "
            "a block at least 4 times as large."
        )
    nothing = Shift(np.nan, np.nan, np.inf, 0)
    displaced: tuple[int, int] = 0, 0
    for _ in range(_TURNS):
        # Blocks of one are cut where the content of the other has gone: what remains is small, and
        # a window that stays where it is does not pull it towards nothing.
        spectra, blocks = _spectra(reference, moved, displaced, block)
        if not blocks:
            return nothing
        limits = [(-most - by, most - by) for by in displaced]
        left = _peak(spectra.sum(axis=0), limits)
        if left is None:
            return nothing
        rows, columns = (by + more for by, more in zip(displaced, left, strict=True))
        nearest = round(rows), round(columns)
        if nearest == displaced:
            break
        displaced = nearest
    return Shift(rows, columns, _uncertainty(spectra, limits), blocks)


def _uncertainty(spectra: NDArray[np.complex128], limits: list[tuple[float, float]]) -> float:
    """The standard error of the worse coordinate, by leaving out neighbouring blocks in turn."""
    whole = spectra.sum(axis=0)
    found = [_peak(whole - group, limits) for group in spectra]
    told = np.array([one for one in found if one is not None])
    if len(told) < max(2, len(spectra)):
        return float(np.inf)
    return float(np.sqrt((told.var(axis=0) * (len(told) - 1)).max()))


def _gradient(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitude of the central differences; NaN where one of the four neighbours is missing."""
    magnitude = np.full(image.shape, np.nan)
    if min(image.shape) > 2:
        down = image[2:, 1:-1] - image[:-2, 1:-1]
        right = image[1:-1, 2:] - image[1:-1, :-2]
        magnitude[1:-1, 1:-1] = np.hypot(down, right) + 0 * image[1:-1, 1:-1]
    return magnitude


def _spectra(
    reference: NDArray[np.floating[Any]],
    moved: NDArray[np.floating[Any]],
    displaced: tuple[int, int],
    block: int,
) -> tuple[NDArray[np.complex128], int]:
    """Cross spectra of the blocks, summed over neighbours, and how many blocks they are of.

    displaced  whole pixels by which the blocks of ``moved`` are cut further down and right
    Returns (group, frequency down, frequency right), empty where no block has edges in both.
    """
    sides = [
        min(block, length - abs(by)) for length, by in zip(reference.shape, displaced, strict=True)
    ]
    if min(sides) < 4:
        return np.empty((0, 0, 0), np.complex128), 0
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in sides))
    tops, lefts = (
        _starts(length, side, by)
        for length, side, by in zip(reference.shape, sides, displaced, strict=True)
    )
    groups: dict[int, NDArray[np.complex128]] = {}
    blocks = 0
    for number, (top, left) in enumerate(product(tops, lefts)):
        below, right = top + displaced[0], left + displaced[1]
        one = _windowed(
            reference[top : top + sides[0], left : left + sides[1]],
            moved[below : below + sides[0], right : right + sides[1]],
            window,
        )
        if one is not None:
            group = number * _GROUPS // (len(tops) * len(lefts))
            spectrum = np.conj(np.fft.fft2(one[0])) * np.fft.fft2(one[1])
            groups[group] = groups[group] + spectrum if group in groups else spectrum
            blocks += 1
    return np.array([*groups.values()], np.complex128), blocks


def _starts(length: int, side: int, displaced: int) -> NDArray[np.intp]:
    """Where blocks begin, about half a block apart, so that the displaced ones are inside too."""
    first, last = max(0, -displaced), length - side - max(0, displaced)
    count = -(-2 * (last - first) // side) + 1
    return np.unique(np.linspace(first, last, count).round().astype(np.intp))


def _windowed(
    one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]], window: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Both blocks without their mean, fading out to their border, each of length one."""
    known = ~(np.isnan(one) | np.isnan(other))
    if known.mean() < _SEEN:
        return None
    weights = window * known
    parts = []
    for values in (one, other):
        filled = np.where(known, values, 0).astype(np.float64)
        centred = weights * (filled - (weights * filled).sum() / weights.sum())
        length = np.sqrt((centred**2).sum())
        if not length > 1e-9 * (1 + np.abs(filled).max()):
            return None
        parts.append(centred / length)
    return parts[0], parts[1]


def _peak(
    spectrum: NDArray[np.complex128], limits: list[tuple[float, float]]
) -> tuple[float, float] | None:
    """Where the correlation is highest, in pixels down and right; nothing where it is nowhere
    above 0."""
    best = (0.0, 0.0)
    for step, reach in ((0.5, np.inf), (_STEP, 0.5)):
        axes = [
            np.arange(max(low, at - reach), min(high, at + reach) + step / 2, step)
            for (low, high), at in zip(limits, best, strict=True)
        ]
        down, right = (
            np.exp(2j * np.pi * np.outer(axis, np.fft.fftfreq(size)))
            for axis, size in zip(axes, spectrum.shape, strict=True)
        )
        correlation = (down @ spectrum @ right.T).real
        i, j = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
        if correlation[i, j] <= 0:
            return None
        best = (
            float(axes[0][i] + step * _vertex(correlation[:, j], int(i))),
            float(axes[1][j] + step * _vertex(correlation[i], int(j))),
        )
    return best


def _vertex(values: NDArray[np.float64], at: int) -> float:
    """Where a parabola through a peak and its neighbours is highest, in steps from the peak."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, peak, after = values[at - 1 : at + 2]
    bend = before - 2 * peak + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
