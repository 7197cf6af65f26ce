"""Spectral indices: one number a pixel from several bands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Index:
    """How a spectral index is made from bands."""

    name: str
    bands: tuple[str, ...]
    """In the order of the formula: (a, b) of a normalized difference."""
    kind: Literal["normalized_difference", "norm"] = "normalized_difference"


KNOWN: Mapping[str, Index] = {
    index.name: index
    for index in (
        Index("NDVI", ("B08", "B04")),
        Index("NDWI", ("B03", "B08")),
        Index("NDBI", ("B11", "B08")),
    )
}
"""Vegetation (Rouse et al. 1974), water (McFeeters 1996), built-up (Zha et al. 2003)."""


def parse(specification: str | Mapping[str, Sequence[str]], bands: Sequence[str]) -> Index:
    """Return the index that a name, or a name with its two bands, stands for.

    specification  a name of KNOWN; "NORM", the Euclidean norm of ``bands``; or one entry
                   {name: [a, b]}, the normalized difference (a - b) / (a + b)
    bands          of the features, in order

    Raises ValueError for an unknown name, and for an entry that is not one name with two
    different bands.
    """
    if isinstance(specification, str):
        if specification == "NORM":
            return Index("NORM", tuple(bands), "norm")
        if specification in KNOWN:
            return KNOWN[specification]
        raise ValueError(
            f"{specification} is no known index ({', '.join((*KNOWN, 'NORM'))}). "
            f"Give its two bands: {{{specification}: [B08, B04]}}."
        )
    if len(specification) != 1:
        raise ValueError(f"An index is one name with its two bands; {dict(specification)} is not.")
    ((name, pair),) = specification.items()
    if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
        raise ValueError(f"{name}: a normalized difference needs two different bands, not {pair}.")
    return Index(name, tuple(pair))


def required_bands(indices: Iterable[Index], bands: Sequence[str]) -> tuple[str, ...]:
    """``bands``, and after them what the indices need beyond them, in order of first need."""
    return tuple(dict.fromkeys((*bands, *(band for index in indices for band in index.bands))))


def normalized_difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (a - b) / (a + b) of two reflectances of one shape; NaN where their sum is 0.

    Between -1 and 1 where neither is negative; an atmospheric correction's negative reflectance
    may lead beyond, and is not clipped.
    """
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    total = a + b
    with np.errstate(divide="ignore", invalid="ignore"):
        result: NDArray[np.float32] = np.divide(a - b, total, out=np.empty(total.shape, np.float32))
    if not total.all():
        result[total == 0] = np.nan
    return result


def norm(values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the Euclidean norm over the bands of a pixel; NaN where any band is."""
    total = np.zeros(np.shape(values[0]), np.float32)
    for value in values:
        total += np.square(value, dtype=np.float32)
    return np.sqrt(total, out=total)


def compute(index: Index, reflectance: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return an index of bands given by name, arrays of one shape in reflectance, NaN where
    missing.

    Returns float32 of the same shape. Raises KeyError where a band of the index is not given.
    """
    values = [reflectance[band] for band in index.bands]
    if index.kind == "norm":
        return norm(values)
    return normalized_difference(values[0], values[1])
