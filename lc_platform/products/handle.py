"""The base of all handles of a patch's artefacts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from odc.geo.geobox import GeoBox

from lc_platform.cube import MAIN, Cube, Window, shifted, whole
from lc_platform.eo.season import Season, season_of

SEASON = "season"
"""Among the attributes: the season as it is described; absent where it is the calendar year."""


@dataclass(frozen=True)
class PatchHandle:
    """A patch's artefact, read from a cube."""

    cube: Cube

    @property
    def patch(self) -> str:
        """The patch's key."""
        return str(self.cube.attributes["patch"])

    @property
    def geobox(self) -> GeoBox:
        """The patch's grid."""
        return self.cube.grids[MAIN]


@dataclass(frozen=True)
class PatchYearHandle(PatchHandle):
    """An artefact of a patch and a year, read from a cube.

    Windows are in the patch's pixels. They may reach ``margin`` pixels beyond it on each side,
    which is how neighbourhood operations give the same result in neighbouring patches.
    """

    @cached_property
    def margin(self) -> int:
        """Pixels stored beyond the patch on each side."""
        return int(self.cube.attributes.get("margin", 0))

    @cached_property
    def geobox(self) -> GeoBox:
        """The patch's grid, without the margin."""
        return without_margin(self.cube.grids[MAIN], self.margin)

    def _stored(self, window: Window | None) -> Window:
        """Return a window of the patch, all of it where None, in the pixels of what is stored."""
        return shifted(whole(self.geobox) if window is None else window, self.margin)

    @property
    def year(self) -> int:
        return int(self.cube.attributes["year"])

    @property
    def name(self) -> str:
        """The patch and the year, as errors name them."""
        return f"patch {self.patch}, {self.year}"


@dataclass(frozen=True)
class SeasonHandle(PatchYearHandle):
    """An artefact whose pixels lie along a year's season."""

    @property
    def about_season(self) -> dict[str, Any]:
        """Those of the attributes, for what is made of it."""
        described = self.cube.attributes.get(SEASON)
        return {} if described is None else {SEASON: described}

    @cached_property
    def season(self) -> Season:
        """The season that it is of, in its year."""
        return season_of(self.cube.attributes.get(SEASON))

    @property
    def season_interval(self) -> str:
        """Its season in its year, first and last day, as ISO 8601 has them."""
        return f"{self.season.first(self.year)}/{self.season.last(self.year)}"


def without_margin(geobox: GeoBox, margin: int) -> GeoBox:
    """Return a grid without ``margin`` pixels on each side."""
    rows, columns = geobox.shape
    return geobox[margin : rows - margin, margin : columns - margin]
