"""The section `features`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, PlainValidator, field_validator

from lc_platform.catalogue import canonical_band
from lc_platform.config.fields import Fraction, Section, Truth, Whole, fraction
from lc_platform.config.problems import nearest, shown
from lc_platform.eo import indices as indices_of

IndexEntry = str | dict[str, tuple[str, str]]


def index_entry(entry: Any) -> IndexEntry:
    """Return a name of a known index, or one name with its two bands. Raises ValueError."""
    known = [*indices_of.KNOWN, "NORM"]
    if isinstance(entry, str):
        if entry not in known:
            raise ValueError(
                f"{entry} is not known; known are {', '.join(known)}.{nearest(entry, known)} "
                f"Any other normalized difference is written {{{entry}: [B8A, B05]}}"
            )
        return entry
    example = "{NDRE: [B8A, B05]}"
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise ValueError(
            f"{shown(entry)} is not one index. Write a name, or one name with its two bands: "
            f"{example}"
        )
    ((name, bands),) = entry.items()
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(
            f"{shown(name)} is no name of an index. Take letters, digits, _ and -: {example}"
        )
    if name in known:
        raise ValueError(f"{name} has its bands already. Take another name for others")
    if (
        not isinstance(bands, Sequence)
        or len(bands) != 2
        or not all(isinstance(band, str) for band in bands)
        or canonical_band(bands[0]) == canonical_band(bands[1])
    ):
        raise ValueError(
            f"{name}: {shown(bands)} is not a pair of bands. A normalized difference needs two "
            f"different ones: {example}"
        )
    return {name: (canonical_band(bands[0]), canonical_band(bands[1]))}


class Features(Section):
    """The features of the classifier."""

    indices: tuple[Annotated[IndexEntry, PlainValidator(index_entry)], ...] = (
        "NDVI",
        "NDWI",
        "NORM",
    )
    """NDVI, NDWI, NDBI and NORM; any other normalized difference by its bands: {NDRE: [B8A,
    B05]}."""
    interval: Whole = Field(16, ge=1, le=366)
    """Days between the dates of the features."""
    min_valid_fraction: Fraction = 0.0
    """Share of a patch that an acquisition must show, without clouds, to be used; 0 takes every
    valid pixel. Above 0 neighbouring patches use different acquisitions, and the map has seams."""
    stored: Truth = True
    """Whether `features` are stored, or computed anew whenever they are read."""

    _fraction_unit = field_validator("min_valid_fraction", mode="before")(fraction)

    @field_validator("indices")
    @classmethod
    def _named_once(cls, indices: tuple[IndexEntry, ...]) -> tuple[IndexEntry, ...]:
        names = [indices_of.parse(index, ()).name for index in indices]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named more than once. Name it once")
        return indices
