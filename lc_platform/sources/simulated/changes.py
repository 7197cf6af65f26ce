"""What changes on the simulated ground from year to year: forest is felled, fields are built on,
and crops rotate, parcel by parcel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lc_platform.sources.simulated.noise import draw

SUMMER_CROPS = 2
"""And before it the winter crops."""
GRASSLAND = 3
SHRUBLAND = 5
BROADLEAF_FOREST = 6
CONIFEROUS_FOREST = 7
BUILT = 9


@njit(cache=True, nogil=True)
def class_after(cls, parcel, years, felled, built, rotated):  # type: ignore[no-untyped-def]
    """Class of a parcel a number of years after the first one: felled and built once for all, its
    crops another each year."""
    if years > 0:
        if cls in (BROADLEAF_FOREST, CONIFEROUS_FOREST) and draw(parcel, 20) < felled * years:
            return SHRUBLAND
        if cls <= GRASSLAND and draw(parcel, 21) < built * years:
            return BUILT
        if cls <= SUMMER_CROPS and draw(parcel, 1000 + years) < rotated:
            return SUMMER_CROPS + 1 - cls
    return cls


@njit(cache=True, nogil=True)
def _are_changed(classes, parcels, years, felled, built):  # type: ignore[no-untyped-def]
    changed = np.empty(classes.size, np.bool_)
    for n in range(classes.size):
        after = class_after(classes[n], parcels[n], years, felled, built, 0.0)
        changed[n] = after != classes[n]
    return changed


@dataclass(frozen=True, slots=True)
class Changes:
    """What changes on the ground from year to year, in shares of the parcels a year."""

    since: int
    """The last year in which nothing has changed."""
    felled: float = 0.0
    """Of forest, which becomes shrubland."""
    built: float = 0.0
    """Of cropland and grassland, which become built-up."""
    rotated: float = 0.0
    """Of cropland, which has the other of its crops than in the first year."""
    reference_until: int | None = None
    """The year until which the reference leaves out what changes."""

    def __post_init__(self) -> None:
        for name in ("felled", "built", "rotated"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"changes.{name}: {getattr(self, name)} is no share. Give 0 to 1.")


def unchanged(
    parcels: NDArray[np.uint64], classes: NDArray[np.int64], changes: Changes | None
) -> NDArray[np.bool_]:
    """Return which parcels, (n,), the reference does not leave out as they change."""
    if changes is None or changes.reference_until is None:
        return np.ones(classes.size, np.bool_)
    years = changes.reference_until - changes.since
    changed = _are_changed(classes, parcels, years, changes.felled, changes.built)
    return np.asarray(~changed)
