"""Generalization of a class map: a mode filter and a minimum mapping unit.

Both decide a pixel by what lies within a stated distance of it, so that windows with that margin
give what the whole gives.
"""

from __future__ import annotations

import math
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.runtime.threads import parallel_for

_ROWS = 32
"""Rows that a thread filters at a time."""


def mode_margin(window: int) -> int:
    """How many pixels beyond a window's border its filtered classes depend on."""
    return window // 2


def mode_filter(
    classes: NDArray[np.uint8], *, window: int = 3, threads: int = 0
) -> NDArray[np.uint8]:
    """Give each pixel the class that is most frequent around it.

    classes  (y, x), class ids, 0 where there is no data
    window   side of the square neighbourhood in pixels, odd; the pixel is in its middle
    threads  that may be used, 0 for all
    Returns (y, x). Of classes that are as frequent, the pixel's own stays, or else the lowest id
    comes. No data stays, and neither it nor what lies outside of the array counts. By
    ``mode_margin(window)`` pixels more on each side, a window's classes are those of the whole.

    Raises ValueError where the window has no middle.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"A neighbourhood of {window} pixels has no middle: give an odd number.")
    ids, positions = np.unique(classes, return_inverse=True)
    if ids.size == 0 or ids[0] != 0:  # position 0 is no data
        ids, positions = np.concatenate(([0], ids)).astype(np.uint8), positions + 1
    dense = positions.reshape(classes.shape).astype(np.uint8)
    filtered = np.zeros_like(dense)

    def rows(part: slice) -> None:
        _filter(dense, len(ids), window // 2, part.start, part.stop, filtered)

    parallel_for(rows, classes.shape[0], _ROWS, threads)
    return ids[filtered]


def unit_in_pixels(hectares: float, pixel_size: float) -> int:
    """How many pixels a piece of land must have so as not to be below the minimum mapping unit.

    hectares    the unit, 0 and above
    pixel_size  side of a pixel in metres, above 0

    Raises ValueError where one of them is outside of its range.
    """
    if not (math.isfinite(hectares) and hectares >= 0 and pixel_size > 0):
        raise ValueError(
            f"A minimum mapping unit of {hectares} ha in pixels of {pixel_size} m is none: the "
            "unit must be 0 or above, the pixel's side above 0."
        )
    return max(1, math.ceil(round(hectares * 10_000 / pixel_size**2, 6)))


def sieve_margin(pixels: int, *, rounds: int = 1) -> int:
    """How many pixels beyond a window's border its sieved classes depend on.

    A piece below the unit ends within ``pixels - 1`` of any of its pixels, and so does what is
    seen of a larger one that is not below it. One such distance leads to the pieces beside a
    piece, and one tells whether they are below the unit; each further round adds one. A unit of
    0.5 ha at 10 m (50 pixels) needs 98 pixels, one of 1 ha 198; whoever cannot afford a margin of
    ``2 * (pixels - 1)`` cannot have that unit without seams.
    """
    return (rounds + 1) * (pixels - 1)


def sieve(
    classes: NDArray[np.uint8],
    pixels: int,
    *,
    connectivity: Literal[4, 8] = 4,
    rounds: int = 1,
) -> NDArray[np.uint8]:
    """Dissolve pieces of land below a minimum mapping unit in those beside them.

    classes       (y, x), class ids, 0 where there is no data
    pixels        the least that a piece, connected pixels of one class, has; see
                  ``unit_in_pixels``. 1 leaves all as it is
    connectivity  4 where pixels are connected by their sides, 8 by their corners too
    rounds        1 and above. In each, a piece below the unit that has its border with land that
                  is not below it, or that was dissolved in a round before, takes the class of
                  the longest such border, the lowest id of equals
    Returns (y, x). No data stays, no class comes of it, and nothing reaches over it. What has no
    such border after all rounds keeps its class: islands, and the inner part of land that is all
    in small pieces. By ``sieve_margin(pixels, rounds=rounds)`` pixels more on each side, a
    window's classes are those of the whole.

    Raises ValueError where a parameter is outside of its range.
    """
    if pixels < 1 or rounds < 1 or connectivity not in (4, 8):
        raise ValueError(
            f"A unit of {pixels} pixels in {rounds} rounds by {connectivity} neighbours is none: "
            "pixels and rounds must be 1 or above, neighbours 4 or 8."
        )
    sieved = np.ascontiguousarray(classes).copy()
    if pixels > 1 and sieved.size:
        _sieve(sieved, pixels, connectivity == 8, rounds)
    return sieved


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _filter(classes, count, reach, start, stop, filtered):  # type: ignore[no-untyped-def]
    height, width = classes.shape
    frequency = np.empty(count, np.int32)
    for y in range(start, stop):
        frequency[:] = 0
        top, bottom = max(0, y - reach), min(height, y + reach + 1)
        for x in range(-reach, width):
            if x + reach < width:
                for row in range(top, bottom):
                    frequency[classes[row, x + reach]] += 1
            if x - reach - 1 >= 0:
                for row in range(top, bottom):
                    frequency[classes[row, x - reach - 1]] -= 1
            if x < 0 or classes[y, x] == 0:
                continue
            most = classes[y, x]
            best = frequency[most]
            for k in range(1, count):
                if frequency[k] > best:
                    most, best = k, frequency[k]
            filtered[y, x] = most


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sieve(classes, pixels, corners, rounds):  # type: ignore[no-untyped-def]
    height, width = classes.shape
    settled = np.zeros(classes.shape, np.bool_)
    seen = np.zeros(classes.shape, np.bool_)
    members = np.empty(height * width, np.int32)
    starts = np.empty(height * width + 1, np.int32)
    pieces, kept = 0, 0
    for y in range(height):
        for x in range(width):
            if seen[y, x] or classes[y, x] == 0:
                continue
            end = _fill(classes, y, x, corners, seen, members, kept)
            if end - kept >= pixels:
                for i in range(kept, end):
                    settled[members[i] // width, members[i] % width] = True
            else:
                starts[pieces] = kept
                pieces += 1
                kept = end
    starts[pieces] = kept
    given = np.zeros(pieces, np.uint8)
    borders = np.zeros(256, np.int32)
    done = np.zeros(pieces, np.bool_)
    for _ in range(rounds):
        for piece in range(pieces):
            if not done[piece]:
                inside = members[starts[piece] : starts[piece + 1]]
                given[piece] = _longest(classes, settled, inside, borders)
        # Only now, so that the order of the pieces does not matter.
        for piece in range(pieces):
            if given[piece] and not done[piece]:
                done[piece] = True
                for i in range(starts[piece], starts[piece + 1]):
                    y, x = members[i] // width, members[i] % width
                    classes[y, x] = given[piece]
                    settled[y, x] = True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill(classes, y, x, corners, seen, members, start):  # type: ignore[no-untyped-def]
    """Write down the pixels that are connected to one, and return where they end."""
    height, width = classes.shape
    own = classes[y, x]
    seen[y, x] = True
    members[start] = y * width + x
    end = start + 1
    at = start
    while at < end:
        row, column = members[at] // width, members[at] % width
        at += 1
        for down in range(-1, 2):
            for right in range(-1, 2):
                if down != 0 and right != 0 and not corners:
                    continue
                beside, along = row + down, column + right
                if not (0 <= beside < height and 0 <= along < width) or seen[beside, along]:
                    continue
                if classes[beside, along] == own:
                    seen[beside, along] = True
                    members[end] = beside * width + along
                    end += 1
    return end


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _longest(classes, settled, inside, borders):  # type: ignore[no-untyped-def]
    """Return the class with which a piece has the longest border, 0 where it has none."""
    height, width = classes.shape
    borders[:] = 0
    for i in range(inside.shape[0]):
        row, column = inside[i] // width, inside[i] % width
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            beside, along = row + down, column + right
            if 0 <= beside < height and 0 <= along < width and settled[beside, along]:
                borders[classes[beside, along]] += 1
    longest = 0
    for k in range(1, 256):
        if borders[k] > borders[longest]:
            longest = k
    return longest
