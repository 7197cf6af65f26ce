"""How the features of a series lie: which band or index, on which date."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


def date_of(name: str) -> int | None:
    """Return the day of the season, from 1, that a feature of a series is of by its name; None of a
    feature without a date."""
    found = re.fullmatch(r".+_([0-9]{3})", name)
    return int(found[1]) if found else None


@dataclass(frozen=True, eq=False)
class SeriesLayout:
    """The features on dates among all features, bands and indices by dates."""

    signals: tuple[str, ...]
    """Bands and indices, in the order of the features."""
    days: tuple[int, ...]
    """(date,), days of the year from 1, ascending."""
    positions: NDArray[np.int64]
    """(signal, date), among the features."""

    @classmethod
    def of(cls, names: Sequence[str]) -> Self:
        """Return the layout of features by their names; other ones than those on dates are left
        out.

        Raises ValueError where none is on a date, or a band is not on all dates.
        """
        at = {name: position for position, name in enumerate(names) if date_of(name) is not None}
        signals = tuple(dict.fromkeys(name[:-4] for name in at))
        days = tuple(sorted({day for name in at if (day := date_of(name)) is not None}))
        if not at:
            raise ValueError(
                "A network of series reads bands and indices on dates, and none of the "
                f"{len(names)} features is on a date. Add series to features.families"
            )
        wanted = [[f"{signal}_{day:03d}" for day in days] for signal in signals]
        lacking = [name for row in wanted for name in row if name not in at]
        if lacking:
            raise ValueError(
                "A network of series reads every band and index on all dates, and there is no "
                f"{lacking[0]}."
            )
        return cls(signals, days, np.array([[at[n] for n in row] for row in wanted], np.int64))
