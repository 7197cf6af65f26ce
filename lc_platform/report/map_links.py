"""Links from Dagster's pages to the web map, at the place and the layer of an artefact."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.layout import Partition
from lc_platform.eo.polygons import METRES_PER_DEGREE
from lc_platform.storage.errors import StorageError

LAYERS: Mapping[str, str] = {
    "raw_bands": "true_color",
    "cloud_masks": "clouds",
    "observation_stats": "valid_observations",
    "reference_rasters": "reference",
    "alignment": "true_color",
    "features": "true_color",
    "training_samples": "reference",
    "held_out_predictions": "disagreement",
    "evaluation": "disagreement",
    "change": "change",
}
"""The layer that shows an asset, where it is not the map."""
_MAP = "land_cover"
_WIDTH = 700.0
"""Pixels of the screen that a place fills."""
_WORLD = 512.0
"""Pixels of the world at zoom 0."""
_CLOSEST = 18.0


@dataclass(frozen=True)
class _Place:
    longitude: float
    latitude: float
    metres: float
    """Of its longer side."""

    def camera(self) -> str:
        """Return zoom/latitude/longitude, as the map's address has it."""
        around = 360 * METRES_PER_DEGREE * math.cos(math.radians(self.latitude))
        zoom = math.log2(max(1.0, _WIDTH * around / (_WORLD * self.metres)))
        return f"{min(zoom, _CLOSEST):.2f}/{self.latitude:.5f}/{self.longitude:.5f}"


class MapLinks:
    """The map's addresses of what is made.

    address  of the map, with a slash at its end; None where there is none to link to
    grid     opens the patches; raises StorageError where there are none
    """

    def __init__(self, address: str | None, grid: Callable[[], PatchGrid]) -> None:
        self._address = address
        self._grid = grid
        self._places: Mapping[str | None, _Place] = {}

    def of(self, asset: str, where: Partition) -> str | None:
        """Return the address at an artefact's place, of its year and the layer that shows it; None
        where there is no map, or the patches cannot be read."""
        if self._address is None:
            return None
        if where.patch not in self._places or asset == "patch_grid":
            try:
                self._places = _places(self._grid().patches)
            except StorageError:
                return None  # what was made is whole, and its page tells less
        place = self._places.get(where.patch)
        if place is None:
            return None
        year = f"&year={where.year}" if where.year else ""
        return f"{self._address}#{place.camera()}{year}&layer={LAYERS.get(asset, _MAP)}"


def _places(patches: Iterable[Patch]) -> Mapping[str | None, _Place]:
    """Return each patch's place by its key, and that of all together under None."""
    found: dict[str | None, _Place] = {
        p.key: _Place(*p.centre, max(p.shape) * p.resolution) for p in patches
    }
    if not found:
        return {}
    east = [place.longitude for place in found.values()]
    if max(east) - min(east) > 180:  # across 180 degrees
        east = [longitude % 360 for longitude in east]
    north = [place.latitude for place in found.values()]
    latitude = (min(north) + max(north)) / 2
    narrower = math.cos(math.radians(latitude))
    span = METRES_PER_DEGREE * max((max(east) - min(east)) * narrower, max(north) - min(north))
    longitude = ((min(east) + max(east)) / 2 + 180) % 360 - 180
    longest = max(place.metres for place in found.values())
    return {**found, None: _Place(longitude, latitude, span + longest)}
