"""Layers that are drawn of maps and reference: a class for each way to draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lc_platform.artefacts.layout import Partition, key
from lc_platform.artefacts.versions import digest
from lc_platform.cube import Legend
from lc_platform.reading.errors import NotFoundError, nearest
from lc_platform.storage.errors import MissingArtefactError
from lc_platform.viewer import colors, png
from lc_platform.viewer.colors import Ramp
from lc_platform.viewer.problems import ConflictError
from lc_platform.viewer.rasters import Raster
from lc_platform.viewer.scene import Scene, picked
from lc_platform.viewer.tile_grid import LARGEST_ZOOM, Tile

Kind = Literal["classes", "ramp", "image", "mask"]
PATCHES = 64
"""Of which a tile shows a part, at most; where it would show more it is empty."""
_BEYOND = 2
"""Zooms further than the pixels' own, up to which tiles are drawn, so that pixels have edges."""


@dataclass(frozen=True)
class Asked:
    """What of a layer is asked for."""

    year: int
    classes: frozenset[int] | None = None
    """All where None."""
    acquisition: str | None = None
    """The key of an acquisition, or a day ``YYYY-MM-DD``."""
    month: int | None = None
    since: int | None = None
    """The year that a change is counted from."""
    version: str | None = None
    """Of the layer, where whoever asks has one in mind."""


@dataclass(frozen=True)
class Entry:
    """A number of a layer that stands for something."""

    value: int
    label: str
    color: str
    """``#rrggbb``"""


class MapLayer(ABC):
    """Something that can be drawn on the map."""

    kind: ClassVar[Kind]
    takes: ClassVar[Sequence[str]] = ()
    id: str
    title: str
    group: str

    @abstractmethod
    def check(self, scene: Scene, year: int) -> None:
        """Raises MissingArtefactError or NotFoundError where there is nothing to draw of a year:
        it says why, and what to do."""

    @abstractmethod
    def version(self, scene: Scene, asked: Asked) -> str:
        """Return what differs where something else would be drawn."""

    @abstractmethod
    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[Any]:
        """Return the opened artefacts that a tile is drawn of, each of which has a number."""

    @abstractmethod
    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Any]) -> bytes:
        """Return a picture (PNG)."""

    def min_zoom(self, scene: Scene) -> int:
        """Return the first zoom at which it is drawn."""
        return scene.patches.zoom_of(PATCHES)

    def max_zoom(self, scene: Scene) -> int:
        """Return the last zoom at which a tile shows more than the one above it."""
        return min(scene.patches.native_zoom + _BEYOND, LARGEST_ZOOM)

    def entries(self, scene: Scene, year: int) -> list[Entry]:  # noqa: ARG002
        """Return the numbers that stand for something; none of a ramp or an image."""
        return []

    def ramp(self) -> Ramp | None:
        """Return the colours of a quantity, None of all other layers."""
        return None

    def note(self, scene: Scene, year: int) -> str | None:  # noqa: ARG002
        """Return what is missing of it, in words; None where it is whole, or not known."""
        return None


def entries_of(legend: Legend) -> list[Entry]:
    """Return classes as a legend tells them."""
    return [Entry(value, name, color) for value, (name, color) in legend.items()]


@dataclass(frozen=True)
class _FromMap(MapLayer):
    """A layer of a year's map, which has overviews for every zoom."""

    id: str
    title: str
    group: str
    file: str

    def raster(self, scene: Scene, year: int) -> Raster:
        """Return its file as it is now. Raises MissingArtefactError where there is no map of the
        year, NotFoundError where the map goes without this layer."""
        folder = key("mosaic", year=scene.reader.artefacts.year(year))
        try:
            return scene.rasters.get(f"{folder}/{self.file}")
        except MissingArtefactError:
            if not scene.reader.store.exists(folder):
                raise scene.not_made("mosaic", Partition(None, year)) from None
            raise NotFoundError(f"The map of {year} was made without {self.file}") from None

    def check(self, scene: Scene, year: int) -> None:
        self.raster(scene, year)

    def version(self, scene: Scene, asked: Asked) -> str:
        return self.raster(scene, asked.year).version

    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[Raster]:  # noqa: ARG002
        return [wanted(scene, self.raster(scene, asked.year), asked)]

    def min_zoom(self, scene: Scene) -> int:  # noqa: ARG002
        return 0


def wanted(scene: Scene, raster: Raster, asked: Asked) -> Raster:
    """Return a raster in the version that is asked for.

    Raises ConflictError where that was replaced and is not kept: tiles of two versions are not to
    be seen side by side.
    """
    if asked.version is None or asked.version == raster.version:
        return raster
    before = scene.rasters.before(raster.key, asked.version)
    if before is None:
        raise ConflictError(
            f"{raster.store.path(raster.key)}: was made again. Ask for api/layers, which names the "
            "tiles of what is there now"
        )
    return before


@dataclass(frozen=True)
class LandCover(_FromMap):
    """The map itself."""

    kind: ClassVar[Kind] = "classes"
    takes: ClassVar[Sequence[str]] = ("classes",)

    def entries(self, scene: Scene, year: int) -> list[Entry]:
        return entries_of(legend_of(scene, self.raster(scene, year)))

    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Raster]) -> bytes:
        values = picked(tile, [(sources[0], 0)], 0, "uint8")
        legend = legend_of(scene, sources[0])
        return png.indexed(values, colors.of_classes(legend, asked.classes))


@dataclass(frozen=True)
class MapQuantity(_FromMap):
    """A quantity of each pixel of the map."""

    colored: Ramp
    kind: ClassVar[Kind] = "ramp"

    def ramp(self) -> Ramp:
        return self.colored

    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Raster]) -> bytes:  # noqa: ARG002
        missing = -1 if self.colored.missing is None else self.colored.missing
        values = picked(tile, [(sources[0], 0)], missing, "uint8")
        return png.indexed(values, self.colored.table)


@dataclass(frozen=True)
class _OfPatches(MapLayer):
    """A layer that is drawn of the patches' own artefacts."""

    id: str
    title: str
    group: str
    asset: str

    def check(self, scene: Scene, year: int) -> None:
        scene.first_raster(self.asset, year)

    def version(self, scene: Scene, asked: Asked) -> str:
        return scene.made(self.asset, asked.year)[1]

    def note(self, scene: Scene, year: int) -> str | None:
        return scene.incomplete(self.asset, year)

    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[Any]:
        return scene.rasters_of(self.asset, asked.year, tile)


@dataclass(frozen=True)
class PatchQuantity(_OfPatches):
    """A quantity that the patches' maps have, and the joined map has not."""

    layer: str
    colored: Ramp
    kind: ClassVar[Kind] = "ramp"

    def check(self, scene: Scene, year: int) -> None:
        _check_band(scene.first_raster(self.asset, year), self.layer)

    def ramp(self) -> Ramp:
        return self.colored

    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Raster]) -> bytes:  # noqa: ARG002
        missing = self.colored.missing
        assert missing is not None
        values = picked(tile, bands(sources, self.layer), missing, "uint8", missing)
        return png.indexed(values, self.colored.table)


def _check_band(raster: Raster, layer: str) -> None:
    if layer not in raster.layers:
        raise NotFoundError(
            f"{raster.store.path(raster.key)}: has no {layer}; {nearest(layer, raster.layers)}. "
            "It was made by an older version of the platform: make it again by `lc-platform run`"
        )


def bands(sources: Sequence[Raster], layer: str) -> list[tuple[Raster, int]]:
    """Return those of rasters that have a layer, and which band of each it is."""
    return [(one, one.layers.index(layer)) for one in sources if layer in one.layers]


@dataclass(frozen=True)
class Reference(_OfPatches):
    """What the reference says of each pixel."""

    kind: ClassVar[Kind] = "classes"
    takes: ClassVar[Sequence[str]] = ("classes",)

    def entries(self, scene: Scene, year: int) -> list[Entry]:
        return entries_of(legend_of(scene, scene.first_raster(self.asset, year)))

    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Raster]) -> bytes:
        values = picked(tile, bands(sources, "class"), 0, "uint8")
        legend: dict[int, tuple[str, str]] = {}
        for raster in sources:
            legend |= legend_of(scene, raster)
        return png.indexed(values, colors.of_classes(legend, asked.classes))


def legend_of(scene: Scene, raster: Raster, layer: str = "class") -> Legend:
    """Return the classes of a raster's layer, as they were when it was made."""
    band = raster.layers.index(layer) + 1 if layer in raster.layers else 1
    return raster.legends.get(band) or scene.reader.artefacts.legend


_AMBIGUOUS = Entry(1, "claimed by several classes", colors.PURPLE)


@dataclass(frozen=True)
class Ambiguity(_OfPatches):
    """Where polygons of several classes of the reference overlap."""

    kind: ClassVar[Kind] = "mask"

    def entries(self, scene: Scene, year: int) -> list[Entry]:  # noqa: ARG002
        return [_AMBIGUOUS]

    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Raster]) -> bytes:  # noqa: ARG002
        values = picked(tile, bands(sources, "ambiguous"), 0, "uint8")
        return png.indexed(values, colors.of_numbers({1: (_AMBIGUOUS.color, 220)}))


_DIFFER = Entry(1, "reference and map differ", colors.ORANGE)
_AGREE = Entry(2, "reference and map agree", colors.GREY)


@dataclass(frozen=True)
class Disagreement(_OfPatches):
    """Where the map is another class than the reference; what is ambiguous is left out."""

    kind: ClassVar[Kind] = "mask"

    def entries(self, scene: Scene, year: int) -> list[Entry]:  # noqa: ARG002
        return [_DIFFER, _AGREE]

    def check(self, scene: Scene, year: int) -> None:
        scene.first_raster("predictions", year)
        scene.first_raster("reference_rasters", None)

    def version(self, scene: Scene, asked: Asked) -> str:
        made = scene.made("predictions", asked.year), scene.made("reference_rasters", None)
        return "-".join(version for _, version in made)

    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[Raster]:
        return [
            *scene.rasters_of("predictions", asked.year, tile),
            *scene.rasters_of("reference_rasters", None, tile),
        ]

    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Raster]) -> bytes:  # noqa: ARG002
        maps, references = _apart(sources)
        found = picked(tile, bands(maps, "class"), 0, "uint8")
        wanted = picked(tile, bands(references, "class"), 0, "uint8")
        ambiguous = picked(tile, bands(references, "ambiguous"), -1, "uint8")
        known = (found > 0) & (wanted > 0) & (ambiguous == 0)
        values = np.where(known, np.where(found == wanted, 2, 1), 0).astype(np.uint8)
        shades = {1: (_DIFFER.color, 255), 2: (_AGREE.color, 70)}
        return png.indexed(values, colors.of_numbers(shades))


def _apart(sources: Sequence[Raster]) -> tuple[list[Raster], list[Raster]]:
    """Return rasters of the map, and those of the reference: these alone say what is ambiguous."""
    references = [one for one in sources if "ambiguous" in one.layers]
    return [one for one in sources if one not in references], references


_WRONG = Entry(1, "label is probably wrong", colors.ORANGE)


@dataclass(frozen=True)
class WrongLabels(_OfPatches):
    """Polygons of the reference whose label is probably wrong."""

    kind: ClassVar[Kind] = "mask"

    def entries(self, scene: Scene, year: int) -> list[Entry]:  # noqa: ARG002
        return [_WRONG]

    def check(self, scene: Scene, year: int) -> None:
        where = Partition(None, scene.reader.artefacts.year(year))
        if scene.wrong_polygons(where) is None:
            raise NotFoundError(f"Labels of {year} were not judged: that takes validation.folds")
        scene.first_raster(self.asset, None, ".polygons.tif")

    def version(self, scene: Scene, asked: Asked) -> str:
        polygons = scene.wrong_polygons(Partition(None, asked.year))
        accused = digest([] if polygons is None else polygons.tolist())
        return f"{accused}-{scene.made(self.asset, None)[1]}"

    def sources(self, scene: Scene, tile: Tile, asked: Asked) -> Sequence[Any]:
        wrong = scene.wrong_polygons(Partition(None, asked.year))
        rasters = scene.rasters_of(self.asset, None, tile, ".polygons.tif")
        return [*rasters, _Accused(wrong)] if rasters and wrong is not None else []

    def draw(self, scene: Scene, tile: Tile, asked: Asked, sources: Sequence[Any]) -> bytes:  # noqa: ARG002
        *rasters, accused = sources
        values = picked(tile, [(one, 0) for one in rasters], 0, "uint32")
        table = colors.of_numbers({1: (_WRONG.color, 230)})
        return png.indexed(np.isin(values, accused.polygons).astype(np.uint8), table)


@dataclass(frozen=True)
class _Accused:
    """Polygons whose label is probably wrong, as a source of tiles."""

    polygons: NDArray[np.uint32]

    @property
    def number(self) -> Hashable:
        return self.polygons.tobytes()
