"""The ten land-cover classes of the simulated landscape."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LandCoverClass:
    """A class as the truth and the reference file have it."""

    id: int
    name: str
    color: str
    """``#rrggbb``, for colour tables and legends."""


CLASSES = (
    LandCoverClass(1, "winter cropland", "#f2d64b"),
    LandCoverClass(2, "summer cropland", "#e8963c"),
    LandCoverClass(3, "grassland", "#b4d96c"),
    LandCoverClass(4, "vineyard and orchard", "#a0527a"),
    LandCoverClass(5, "shrubland", "#8a9a4b"),
    LandCoverClass(6, "broadleaved forest", "#3f9b46"),
    LandCoverClass(7, "coniferous forest", "#1c5c3a"),
    LandCoverClass(8, "water", "#3b76c4"),
    LandCoverClass(9, "built-up", "#c8433a"),
    LandCoverClass(10, "bare rock and soil", "#b9b0a2"),
)

LOOKS_LIKE = {
    1: (2, 3), 2: (1, 3), 3: (1, 5), 4: (3, 5), 5: (3, 6),
    6: (7, 5), 7: (6, 5), 8: (3, 10), 9: (10, 4), 10: (9, 3),
}  # fmt: skip
"""Of each class the two it is most easily taken for."""
