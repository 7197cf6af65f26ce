"""The base of all handles of a patch's artefacts."""

from __future__ import annotations

from dataclasses import dataclass

from odc.geo.geobox import GeoBox

from lc_platform.cube import MAIN, Cube


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
    """An artefact of a patch and a year, read from a cube."""

    @property
    def year(self) -> int:
        return int(self.cube.attributes["year"])

    @property
    def name(self) -> str:
        """The patch and the year, as errors name them."""
        return f"patch {self.patch}, {self.year}"
