"""Backscatter that an archive has as floating-point numbers, in 16 bits.

As amplitude, the square root of power, it keeps its precision over all that a radar measures: to
0.04 dB at -40 dB, to 0.004 dB at -20 dB, up to +16 dB.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SCALE = 1e-4
"""Amplitude = digital number * SCALE."""

Unit = Literal["power", "decibel"]
DeclaredUnit = Literal["power", "decibel", "unknown"]
"""The unit as an item declares it."""
UNITS: dict[str, DeclaredUnit] = {
    "": "unknown",
    **dict.fromkeys(("db", "decibel", "decibels"), "decibel"),
    **dict.fromkeys(("1", "power", "linear", "linear power", "natural", "m2/m2"), "power"),
}
"""By the text of the item, in small letters; any other tells nothing."""
_NOISE = -0.5
"""Linear power from which noise was taken is negative in the dark, by a few thousandths; decibels
of land and water are below -1 nearly everywhere."""


def apparent_unit(values: NDArray[Any]) -> Unit | None:
    """Return the unit that backscatter, finite numbers, can only be in; None where nobody can
    tell."""
    if not values.size:
        return None
    if values.min() > _NOISE:
        return "power"
    return "decibel" if np.median(values) < _NOISE else None


def power(values: np.ma.MaskedArray[Any, Any], unit: Unit) -> np.ma.MaskedArray[Any, Any]:
    """Return the backscatter in linear power, masked where it is none or not finite."""
    known = np.ma.masked_invalid(values)
    found = 10.0 ** (known / 10.0) if unit == "decibel" else known
    return np.ma.masked_less_equal(found, 0.0)


def digital_numbers(power: np.ma.MaskedArray[Any, Any]) -> np.ma.MaskedArray[Any, Any]:
    """Return the amplitude as uint16, 1 to 65535; what is brighter is cut off."""
    amplitude = np.rint(np.sqrt(power.filled(0.0)) / SCALE)
    numbers = np.clip(amplitude, 1, 65535).astype(np.uint16)
    return np.ma.MaskedArray(numbers, np.ma.getmaskarray(power))
