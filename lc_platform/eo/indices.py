"""Spectral indices: one number a pixel from several bands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lc_platform.catalogue import BAND_ALIASES, SENTINEL2_BANDS, canonical_band
from lc_platform.eo import expressions
from lc_platform.eo.expressions import ExpressionError

FORMULA = "formula"
"""Among an index's constants, the key of its expression."""


@dataclass(frozen=True, slots=True)
class Index:
    """How a spectral index is made from bands."""

    name: str
    bands: tuple[str, ...]
    """In the order of the formula: (a, b) of a normalized difference."""
    kind: Literal["normalized_difference", "norm", "expression"] = "normalized_difference"
    formula: str = ""
    """Of an expression, as `eo.expressions` writes it."""

    @property
    def counted(self) -> dict[str, Any]:
        """What versions are made of."""
        about = {"name": self.name, "bands": self.bands, "kind": self.kind}
        return about | ({"formula": self.formula} if self.formula else {})


KNOWN: Mapping[str, Index] = {
    index.name: index
    for index in (
        Index("NDVI", ("B08", "B04")),
        Index("NDWI", ("B03", "B08")),
        Index("NDBI", ("B11", "B08")),
    )
}
"""Vegetation (Rouse et al. 1974), water (McFeeters 1996), built-up (Zha et al. 2003)."""


_KERNELS = {"kNN": "1", "kNR": "exp(-2 * ((N - R) / (N + R)) ** 2)"}
"""The catalogue's Gaussian kernels of two bands, with the length scale of half their sum, which
Camps-Valls et al. 2021 give: kNDVI is tanh(NDVI ** 2) then."""


@dataclass(frozen=True)
class CatalogueIndex:
    """An index of Awesome Spectral Indices (Montero et al. 2023) that Sentinel-2 has the bands
    of."""

    title: str
    formula: str
    """Over the catalogue's names of bands, its constants, and kernels such as ``kNR``."""
    reference: str


def catalogue() -> Mapping[str, CatalogueIndex]:
    """Return the indices of the catalogue by name."""
    return _catalogue()[2]


@cache
def _catalogue() -> tuple[dict[str, str], dict[str, float], dict[str, CatalogueIndex]]:
    """Bands of Sentinel-2 by the catalogue's names, constants, and indices."""
    file = resources.files("lc_platform.eo") / "spectral_indices.json"
    data = json.loads(file.read_text("utf-8"))
    found = {name: CatalogueIndex(**about) for name, about in data["indices"].items()}
    return data["bands"], data["constants"], found


def known_names() -> list[str]:
    """Return every name that stands for an index by itself."""
    return list(dict.fromkeys([*KNOWN, "NORM", *catalogue()]))


def parse(specification: str | Mapping[str, Any], bands: Sequence[str]) -> Index:
    """Return the index that a name, or a name with its definition, stands for.

    specification  a name of KNOWN or of the catalogue; "NORM", the Euclidean norm of ``bands``; or
                   one entry: {name: [a, b]}, the normalized difference (a - b) / (a + b); {name:
                   text}, an expression over bands; {name: {formula: text, ...}}, one with the
                   constants that it names; {name: {...}}, an index of the catalogue with other
                   constants
    bands          of the features, in order

    Raises ValueError for an unknown name, for an entry that is not one name with its definition,
    and for an expression that `eo.expressions` refuses.
    """
    if isinstance(specification, str):
        if specification == "NORM":
            return Index("NORM", tuple(bands), "norm")
        if specification in KNOWN:
            return KNOWN[specification]
        if specification in catalogue():
            return _of_catalogue(specification, {})
        raise ValueError(
            f"{specification} is no known index ({', '.join((*KNOWN, 'NORM'))}) and no name of "
            f"Awesome Spectral Indices. Give its two bands: {{{specification}: [B08, B04]}}, or an "
            f"expression: {{{specification}: (B08 - B04) / B02}}."
        )
    if len(specification) != 1:
        raise ValueError(f"An index is one name with its two bands; {dict(specification)} is not.")
    ((name, meant),) = specification.items()
    if isinstance(meant, str):
        return _expression(name, meant, {})
    if isinstance(meant, Mapping):
        constants = {key: value for key, value in meant.items() if key != FORMULA}
        if FORMULA in meant:
            return _expression(name, meant[FORMULA], constants)
        return _of_catalogue(name, constants)
    if len(meant) != 2 or meant[0] == meant[1]:
        raise ValueError(f"{name}: a normalized difference needs two different bands, not {meant}.")
    return Index(name, tuple(meant))


def _band(name: str) -> str | None:
    band = canonical_band(name)
    return band if band in SENTINEL2_BANDS else None


def _expression(name: str, formula: str, constants: Mapping[str, float]) -> Index:
    for constant in constants:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", constant) or _band(constant):
            raise ValueError(
                f"{name}: {constant} cannot name a constant: it is a band, or no name. Take "
                "letters, digits and _, and no band's name"
            )
    names = [*SENTINEL2_BANDS, *(alias for alias, band in BAND_ALIASES.items() if _band(band))]
    return _read(name, formula, _band, constants, names)


def _of_catalogue(name: str, constants: Mapping[str, float]) -> Index:
    bands, usual, found = _catalogue()
    if name not in found:
        raise ValueError(
            f"{name} is no index of Awesome Spectral Indices, whose constants could be given. "
            f"Give its formula too: {{{name}: {{formula: (B08 - B04) / (B08 + c), c: 0.5}}}}"
        )
    formula = found[name].formula
    symbols = set(re.findall(r"[A-Za-z_]\w*", formula)) - {*bands, *_KERNELS}
    for constant in constants:
        if constant not in symbols:
            raise ValueError(
                f"{name}: has no constant {constant}; it has {', '.join(sorted(symbols)) or 'none'}"
            )
    values = {**usual, **constants}
    absent = sorted(symbols - set(values))
    if absent:
        raise ValueError(
            f"{name}: {', '.join(absent)} has no usual value. Give it: "
            f"{{{name}: {{{absent[0]}: 50}}}}"
        )
    for kernel, written in _KERNELS.items():
        formula = formula.replace(kernel, f"({written})")
    given = {symbol: values[symbol] for symbol in symbols}
    return _read(name, formula, bands.get, given, list(bands), functions=True)


def _read(
    name: str,
    formula: str,
    band: Callable[[str], str | None],
    constants: Mapping[str, float],
    names: Sequence[str],
    *,
    functions: bool = False,
) -> Index:
    try:
        found = expressions.read(formula, band, constants, names, functions=functions)
    except ExpressionError as error:
        raise ValueError(f"{name}: {error}") from None
    return Index(name, found.bands, "expression", found.formula)


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
    if index.kind == "expression":
        from lc_platform.eo import expression_kernel  # which numba compiles

        return expression_kernel.run(expressions.compiled(index.formula, index.bands), values)
    return normalized_difference(values[0], values[1])
