"""Colours of what is no class of the configuration: ones that the colour-blind can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Legend
from lc_platform.storage.raster_cube import rgba

Stops = Sequence[tuple[float, str]]
"""Values and their colours ``#rrggbb``, in order; between them colours are mixed."""

SURE = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
"""Viridis, from the least to the most."""
UNSURE = ("#ffffe5", "#fee391", "#fe9929", "#cc4c02", "#662506")
"""The more, the more it needs a look."""
MANY = ("#ffffd9", "#c7e9b4", "#41b6c4", "#225ea8", "#081d58")
OUTSIDE = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")
"""Blue within, red outside, white on the threshold."""
ORANGE, PURPLE, BLUE, GREY = "#d55e00", "#aa3377", "#0072b2", "#9a9a9a"


@dataclass(frozen=True)
class Ramp:
    """Colours of a quantity that is stored as whole numbers."""

    unit: str
    low: float
    high: float
    """Numbers beyond have the last colour."""
    colors: Sequence[str]
    missing: int | None
    """The stored number that says nothing."""

    @property
    def stops(self) -> list[tuple[float, str]]:
        places = np.linspace(self.low, self.high, len(self.colors))
        return [(float(place), color) for place, color in zip(places, self.colors, strict=True)]

    @property
    def table(self) -> NDArray[np.uint8]:
        """(256, 4), the colour of each number."""
        values = np.clip(np.arange(256), self.low, self.high)
        places = [place for place, _ in self.stops]
        channels = np.array([rgba(color) for _, color in self.stops], float)
        found = np.stack([np.interp(values, places, one) for one in channels.T], axis=-1)
        if self.missing is not None:
            found[self.missing] = 0
        table: NDArray[np.uint8] = found.round().astype(np.uint8)
        return table


def of_classes(legend: Legend, shown: frozenset[int] | None = None) -> NDArray[np.uint8]:
    """Return (256, 4), the colour of each class; of one that the legend has not, grey; nothing of
    those that are not shown.

    shown  class ids; all of them where None
    """
    table = np.zeros((256, 4), np.uint8)
    table[1:] = rgba(GREY)
    for class_id, (_, color) in legend.items():
        if 0 < class_id < 256:
            table[class_id] = rgba(color)
    if shown is not None:
        table[[i for i in range(256) if i not in shown]] = 0
    return table


def of_numbers(colors: Mapping[int, tuple[str, int]]) -> NDArray[np.uint8]:
    """Return (256, 4) of a colour and an opacity (0 to 255) by number; nothing of others."""
    table = np.zeros((256, 4), np.uint8)
    for number, (color, opacity) in colors.items():
        table[number] = (*rgba(color)[:3], opacity)
    return table
