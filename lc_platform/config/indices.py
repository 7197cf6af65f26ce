"""The entries of `features.indices`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from lc_platform.catalogue import canonical_band
from lc_platform.config.fields import Text
from lc_platform.config.problems import nearest, shown
from lc_platform.config.readings import as_read
from lc_platform.eo import indices as indices_of

IndexEntry = str | dict[str, tuple[str, str] | str | dict[str, Any]]
IndexInput = (
    Text
    | Annotated[
        dict[str, tuple[str, str] | str | dict[str, Any]], Field(min_length=1, max_length=1)
    ]
)
"""What a file may have for one."""
_EXAMPLE = "{NDRE: [B8A, B05]}"
_EXPRESSION = "{EVI2: 2.5 * (B08 - B04) / (B08 + 2.4 * B04 + 1)}"


def index_entry(entry: Any) -> IndexEntry:
    """Return a name of a known index, or one name with its two bands, its expression, or its
    constants. Raises ValueError."""
    if isinstance(entry, str):
        known = indices_of.known_names()
        if entry not in known:
            raise ValueError(
                f"{entry} is not known; known are {', '.join([*indices_of.KNOWN, 'NORM'])} and the "
                f"names of Awesome Spectral Indices.{nearest(entry, known)} Any other normalized "
                f"difference is written {{{entry}: [B8A, B05]}}, any expression {_EXPRESSION}"
            )
        return _checked(entry)
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise ValueError(
            f"{shown(entry)} is not one index. Write a name, or one name with its two bands, "
            f"{_EXAMPLE}, or with its expression, {_EXPRESSION}"
        )
    ((name, meant),) = entry.items()
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(
            f"{shown(name)} is no name of an index. Take letters, digits, _ and -: {_EXAMPLE}"
        )
    if name in (*indices_of.KNOWN, "NORM"):
        raise ValueError(f"{name} has its bands already. Take another name for others")
    if isinstance(meant, str):
        return _checked({name: meant})
    if isinstance(meant, Mapping):
        return _checked({name: _constants(name, meant)})
    if (
        not isinstance(meant, Sequence)
        or len(meant) != 2
        or not all(isinstance(band, str) for band in meant)
        or canonical_band(meant[0]) == canonical_band(meant[1])
    ):
        raise ValueError(
            f"{name}: {shown(meant)} is not a pair of bands. A normalized difference needs two "
            f"different ones: {_EXAMPLE}; an expression is text: {_EXPRESSION}"
        )
    return {name: (canonical_band(meant[0]), canonical_band(meant[1]))}


def _checked(entry: IndexEntry) -> IndexEntry:
    indices_of.parse(entry, ())
    return entry


def _constants(name: str, given: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the constants of an index, and its expression where it is given."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key == indices_of.FORMULA:
            if not isinstance(value, str):
                raise ValueError(
                    f"{name}: {shown(value)} is no expression. Write text: {_EXPRESSION}"
                )
            found[key] = value
            continue
        number = as_read(value)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError(f"{name}: {shown(value)} is no value of a constant. Write a number")
        if not math.isfinite(number):
            raise ValueError(f"{name}: {key} is {number}. Write a finite number")
        found[str(key)] = float(number)
    return found
