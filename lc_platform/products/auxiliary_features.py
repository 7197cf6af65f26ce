"""Bands of auxiliary collections, as they become features beside those of the main one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lc_platform.catalogue import ORBITS
from lc_platform.cube import Window
from lc_platform.eo import hls_fmask
from lc_platform.eo.landsat_qa import shows_ground
from lc_platform.eo.radiometry import calibrate
from lc_platform.errors import DataError
from lc_platform.products.feature_families import Observations
from lc_platform.products.raw_bands import AcquisitionStack

_ORBIT = "sat:orbit_state"
"""Of an acquisition's properties."""


@dataclass(frozen=True, slots=True)
class AuxiliaryBands:
    """The bands of an auxiliary collection that are features, and their quantity."""

    name: str
    """Of the collection in raw_bands; the features' names begin with it."""
    bands: tuple[str, ...]
    quantity: Literal["reflectance", "power", "amplitude"] = "reflectance"
    """What the calibrated values are. The power or the amplitude of a radar's echo becomes a
    feature in decibels, 10 or 20 log10 of it: backscatter spans factors of a thousand and its
    speckle multiplies, so that in decibels the differences of classes are of one size, and what
    lies between two dates is not all of the brighter one."""
    quality_band: str | None = None
    """Fmask of HLS; else Landsat's QA_PIXEL, whatever the archive calls it; None where all data
    show the ground."""
    orbit: str | None = None
    """``ascending`` or ``descending``, of a radar whose orbits are kept apart; None for all."""

    @property
    def features(self) -> tuple[str, ...]:
        """Their names, such as ``S1_VV`` or ``S1_VV_ascending``."""
        orbit = "" if self.orbit is None else f"_{self.orbit}"
        return tuple(f"{self.name}_{band}{orbit}" for band in self.bands)

    @property
    def acquired(self) -> str:
        """What its acquisitions are counted under, such as ``S1`` or ``S1_ascending``."""
        return self.name if self.orbit is None else f"{self.name}_{self.orbit}"

    @property
    def described(self) -> dict[str, Any]:
        """Of what they are made, as JSON has it; the orbit where it is kept apart."""
        found = asdict(self) | {"bands": list(self.bands)}
        return {key: value for key, value in found.items() if key != "orbit" or value is not None}

    @classmethod
    def of_description(cls, about: Mapping[str, Any]) -> AuxiliaryBands:
        """Return what was ``described``."""
        return cls(
            about["name"],
            tuple(about["bands"]),
            about["quantity"],
            about["quality_band"],
            about.get("orbit"),
        )

    def of(self, raw_bands: AcquisitionStack) -> AuxiliaryFeatures:
        """Raises DataError where raw_bands does not have the collection, or one of the bands, or
        an acquisition does not say its orbit where these are kept apart."""
        acquired = raw_bands.auxiliary
        if self.name not in acquired:
            raise DataError(
                f"{raw_bands.name}: raw_bands has no collection {self.name} beside the main one "
                f"(it has {', '.join(acquired) or 'none'}). Acquire it: materialize raw_bands again"
            )
        stack = acquired[self.name]
        found = AuxiliaryFeatures(self, stack, self._of_orbit(stack))
        if len(stack):
            stack.calibration(found.needed)
        return found

    def _of_orbit(self, stack: AcquisitionStack) -> tuple[int, ...]:
        """Return which acquisitions, by position, are of the orbit."""
        if self.orbit is None:
            return tuple(range(len(stack)))
        states = [one.get("properties", {}).get(_ORBIT) for one in stack.acquisitions]
        for one, state in zip(stack.acquisitions, states, strict=True):
            if state not in ORBITS:
                raise DataError(
                    f"{stack.name}: acquisition {one['key']} of {self.name} does not say whether "
                    f"its orbit is {' or '.join(ORBITS)} ({_ORBIT}: {state}), by which orbits are "
                    "told apart. Remove imagery.also's orbits: apart, or take an archive that "
                    "says it"
                )
        return tuple(position for position, state in enumerate(states) if state == self.orbit)


@dataclass(frozen=True, slots=True)
class AuxiliaryFeatures:
    """An auxiliary collection's acquisitions of a patch in a year, as features."""

    which: AuxiliaryBands
    stack: AcquisitionStack
    times: tuple[int, ...]
    """The positions of the acquisitions of the orbit. May be none; then the features are
    missing."""

    @property
    def described(self) -> dict[str, Any]:
        """Of what they are made, as JSON has it."""
        return self.which.described | {
            "collection": self.stack.collection,
            "acquisitions": self.stack.keys,
        }

    @property
    def needed(self) -> tuple[str, ...]:
        """Bands that are read."""
        which = self.which
        return which.bands if which.quality_band is None else (*which.bands, which.quality_band)

    def observed(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the digital numbers (time, band, y, x), and where they show the ground (time, y,
        x)."""
        if not self.times:
            rows, columns = (side.stop - side.start for side in window)
            nothing = np.empty((0, len(self.which.bands), rows, columns), np.uint16)
            return nothing, np.empty((0, rows, columns), np.bool_)
        times = slice(None) if len(self.times) == len(self.stack) else self.times
        numbers = self.stack.digital_numbers(window, times, self.needed)
        valid = self.stack.data_mask(window, times)
        if self.which.quality_band is not None:
            quality = np.where(valid, numbers[:, -1], 0).astype(np.uint16)
            fmask = self.which.quality_band == "Fmask"
            valid &= hls_fmask.masks(quality).ground if fmask else shows_ground(quality)
        return numbers[:, : len(self.which.bands)], valid

    def observations(self, numbers: NDArray[Any], valid: NDArray[np.bool_]) -> Observations:
        """Return what was ``observed`` in the features' unit; none where there is no acquisition.

        An echo of no power is no observation.
        """
        if not self.times:
            return Observations(numbers.astype(np.float32), valid, np.empty(0, np.int32))
        values = calibrate(numbers, *self.stack.calibration(self.which.bands, self.times))
        if self.which.quantity != "reflectance":
            values = decibels(values, _DECIBELS_A_DECADE[self.which.quantity])
        return Observations(values, valid, self.stack.days[list(self.times)])


_DECIBELS_A_DECADE = {"power": 10, "amplitude": 20}


def decibels(values: NDArray[np.float32], a_decade: int = 10) -> NDArray[np.float32]:
    """Return values of any shape in decibels; NaN where they are not above 0.

    a_decade  decibels that a factor of ten is: 10 of a power, 20 of an amplitude
    """
    result = np.full(values.shape, np.nan, np.float32)
    np.log10(values, out=result, where=values > 0)
    result *= a_decade
    return result
