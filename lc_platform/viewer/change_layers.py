"""Layers that compare two years."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lc_platform.artefacts.layout import Partition, key
from lc_platform.reading.errors import NotFoundError
from lc_platform.storage.errors import MissingArtefactError
from lc_platform.viewer import colors, png
from lc_platform.viewer.colors import Ramp
from lc_platform.viewer.map_layers import (
    Asked,
    Entry,
    Kind,
    LandCover,
    MapLayer,
    bands,
    entries_of,
    legend_of,
    wanted,
)
from lc_platform.viewer.rasters import Raster
from lc_platform.viewer.scene import Scene, picked
from lc_platform.viewer.tile_grid import Tile


def _changes(scene: Scene, year: int) -> Raster:
    """Return the changes that the platform has found up to a year. Raises MissingArtefactError."""
    scene.reader.artefacts.year(year)
    try:
        return scene.rasters.get(key("change", year=year))
    except MissingArtefactError:
        raise scene.not_made("change", Partition(None, year)) from None


@dataclass(frozen=True)
class Change(MapLayer):
    """What pixels have become that have changed: as the platform has found it, and where it has
    not, or since another year, where two maps differ."""

    id: str
    title: str
    group: str
    land_cover: LandCover
    kind: ClassVar[Kind] = "classes"
    takes: ClassVar[Sequence[str]] = ("classes", "from")

    def min_zoom(self, scene: Scene) -> int:  # noqa: ARG002
        return 0

    def check(self, scene: Scene, year: int) -> None:
        self._opened(scene, Asked(year))

    def version(self, scene: Scene, asked: Asked) -> str:
        return "-".join(one.version for one in self._opened(scene, asked))

    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[Raster]:  # noqa: ARG002
        found = self._opened(scene, asked)
        return [wanted(scene, found[0], asked)] if len(found) == 1 else found

    def _opened(self, scene: Scene, asked: Asked) -> list[Raster]:
        """Return the changes, or the maps of before and now."""
        before = self._before(scene, asked)
        if asked.since is None or asked.since == self._before(scene, Asked(asked.year)):
            try:
                return [_changes(scene, asked.year)]
            except MissingArtefactError:
                pass
        years = (before, asked.year)
        return [self.land_cover.raster(scene, year) for year in years]

    def _before(self, scene: Scene, asked: Asked) -> int:
        years = scene.reader.years
        if asked.since is not None:
            return scene.reader.artefacts.year(asked.since)
        earlier = [year for year in years if year < asked.year]
        if not earlier:
            raise NotFoundError(
                f"{asked.year}: there is no year before to compare it with. Take a later one"
            )
        return earlier[-1]

    def entries(self, scene: Scene, year: int) -> list[Entry]:
        return entries_of(legend_of(scene, self._opened(scene, Asked(year))[-1], "change"))

    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Raster]) -> bytes:
        if len(sources) == 1:
            values = picked(tile, bands(sources, "change"), 0, "uint8")
        else:
            before, now = (picked(tile, [(one, 0)], 0, "uint8") for one in sources)
            differs = (before > 0) & (now > 0) & (before != now)
            values = np.where(differs, now, np.uint8(0))
        legend = legend_of(scene, sources[-1], "change")
        return png.indexed(values, colors.of_classes(legend, asked.classes))


@dataclass(frozen=True)
class ChangeProbability(MapLayer):
    """How probable it is that a pixel has changed at all."""

    id: str
    title: str
    group: str
    colored: Ramp
    kind: ClassVar[Kind] = "ramp"

    def min_zoom(self, scene: Scene) -> int:  # noqa: ARG002
        return 0

    def ramp(self) -> Ramp:
        return self.colored

    def check(self, scene: Scene, year: int) -> None:
        _changes(scene, year)

    def version(self, scene: Scene, asked: Asked) -> str:
        return _changes(scene, asked.year).version

    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[Raster]:  # noqa: ARG002
        return [wanted(scene, _changes(scene, asked.year), asked)]

    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Raster]) -> bytes:  # noqa: ARG002
        values = picked(tile, bands(sources, "change_probability"), 0, "uint8")
        return png.indexed(values, self.colored.table)
