"""Read plans: the bands and grids of an acquisition."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, bbox_union

from lc_platform.area.grid import Patch
from lc_platform.catalogue import FILL_VALUES
from lc_platform.cube import MAIN, Calibration, Layer
from lc_platform.products.detector_options import ARCHIVE_BANDS
from lc_platform.products.options import AcquisitionOptions
from lc_platform.products.raw_bands import DETECTOR, detector_grid, tiled_grid
from lc_platform.sources.protocol import Cost, Source

READING = 1
"""Changes when sources read other pixels than before: what was read then is not reused."""


@dataclass(frozen=True)
class Grid:
    """A grid, and the bands that are read on it."""

    name: str
    geobox: GeoBox
    bands: tuple[str, ...]

    @property
    def prefix(self) -> str:
        return f"{self.name}/" if self.name else ""

    @property
    def facts(self) -> str:
        """The prefix of its facts' names."""
        return f"{DETECTOR}_" if self.name == DETECTOR else ""


@dataclass(frozen=True)
class Plan:
    """The bands and grids of one collection's acquisitions; the first grid is the patch's."""

    collection: str
    """The archive, the collection, and what else the pixels depend on."""
    grids: tuple[Grid, ...]
    margin: int = 0
    """Pixels of its first grid beyond the patch on each side."""
    name: str = ""
    """The name of an auxiliary collection; empty for the main one."""
    quantity: str = "reflectance"
    """The quantity of calibrated values."""
    data_type: str = "uint16"
    """Of the numbers, as the archive has them."""

    @property
    def time(self) -> str:
        """Name of the dim that acquisitions lie along."""
        return f"{self.name}/time" if self.name else "time"

    @property
    def extent(self) -> Geometry:
        """The ground that is read, which is more than what is mapped where the cloud detector
        needs neighbours."""
        return bbox_union(grid.geobox.boundingbox for grid in self.grids).polygon

    @property
    def layers(self) -> dict[str, Layer]:
        found: dict[str, Layer] = {}
        for grid in self.grids:
            dims = (self.time, f"{grid.prefix}band")
            count = len(grid.bands)
            fill = FILL_VALUES[self.data_type]
            found[f"{grid.prefix}bands"] = Layer(dims, self.data_type, grid.name, fill, (1, count))
            found[f"{grid.prefix}data_mask"] = Layer((self.time,), "uint8", grid.name)
        return found

    def calibration(self, grid: Grid, facts: Sequence[Mapping[str, Any]]) -> Calibration:
        """Return the calibration of a grid's digital numbers, of acquisitions with these facts."""
        shape = len(facts), len(grid.bands)
        scale, offset = (
            np.array([one[f"{grid.facts}{what}"] for one in facts], np.float64).reshape(shape)
            for what in ("scale", "offset")
        )
        missing: int | None = None
        if self.data_type == "int16":
            missing = int(FILL_VALUES[self.data_type])
        elif self.data_type == "uint16" and ZERO_IS_DATA.isdisjoint(grid.bands):
            missing = 0
        return Calibration(scale, offset, self.quantity, missing)

    @property
    def all_bands(self) -> tuple[str, ...]:
        """The bands of all grids, each once."""
        return tuple(dict.fromkeys(band for grid in self.grids for band in grid.bands))

    @property
    def bands(self) -> Mapping[str, tuple[str, ...]]:
        """Prefix of a grid's facts -> its bands."""
        return {grid.facts: grid.bands for grid in self.grids}

    @property
    def bytes(self) -> int:
        """The size of an acquisition in memory."""
        size = np.dtype(self.data_type).itemsize
        return sum(math.prod(g.geobox.shape) * (size * len(g.bands) + 1) for g in self.grids)

    def cost(self, source: Source) -> Cost:
        """Return the cost of an acquisition by the archive's price list."""
        return sum((source.cost(grid.geobox, grid.bands) for grid in self.grids), Cost())

    def digest(self) -> str:
        """Return a digest of what is read of an acquisition, and of its grids."""
        grids = [
            [str(g.geobox.crs), list(g.geobox.affine)[:6], list(g.geobox.shape), g.bands]
            for g in self.grids
        ]
        layers = {name: asdict(layer) for name, layer in self.layers.items()}
        text = json.dumps([READING, self.collection, grids, layers], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


ZERO_IS_DATA = frozenset({"CLP", "CLM", "CLD", "SNW", "shadowMask", "BQA", "QA_RADSAT"})
"""Bands in which 0 is a value as any other: no cloud, for example. In all others it is none."""


def plans(patch: Patch, options: AcquisitionOptions) -> list[Plan]:
    """Return how the acquisitions of a patch are read: a plan a collection, the main one first."""
    found = [_plan(patch, options)]
    for one in options.auxiliary:
        archive = _archive(options, one.source, one.collection, one.catalog or options.catalog)
        if one.backscatter is not None:
            archive = json.dumps([archive, one.backscatter])
        grid = Grid(one.name, _padded(patch.geobox, options.map_margin), one.bands)
        found.append(
            Plan(archive, (grid,), options.map_margin, one.name, one.quantity, one.data_type)
        )
    return found


def _plan(patch: Patch, options: AcquisitionOptions) -> Plan:
    return replace(_main_plan(patch, options), data_type=options.data_type)


def _main_plan(patch: Patch, options: AcquisitionOptions) -> Plan:
    bands, detector = options.bands, options.detector
    mapped = _padded(patch.geobox, options.map_margin)
    archive = _archive(options, options.source, options.collection, options.catalog)
    if options.resampling != "nearest":
        archive = json.dumps([archive, options.resampling])
    if detector is None:
        return Plan(archive, (_with_archive_masks(mapped, options),), options.map_margin)
    if detector.resolution == options.resolution and not detector.tiled:
        together = tuple(dict.fromkeys([*bands, *options.detector_bands]))
        margin = options.map_margin + detector.margin
        return Plan(archive, (Grid(MAIN, _padded(patch.geobox, margin), together),), margin)
    # One pixel more, for the bilinear way back to the patch's grid.
    coarse = detector_grid(mapped, detector.resolution, detector.margin + 1)
    if detector.tiled:
        coarse = tiled_grid(coarse)
    grids = _with_archive_masks(mapped, options), Grid(DETECTOR, coarse, options.detector_bands)
    return Plan(archive, grids, options.map_margin)


def _with_archive_masks(mapped: GeoBox, options: AcquisitionOptions) -> Grid:
    """Return the map's grid with its bands, and with those that a method takes masks from."""
    own = ARCHIVE_BANDS.get(options.cloud_method, ())
    return Grid(MAIN, mapped, tuple(dict.fromkeys([*options.bands, *own])))


def _padded(geobox: GeoBox, margin: int) -> GeoBox:
    return geobox.pad(margin) if margin else geobox


def _archive(options: AcquisitionOptions, source: str, collection: str, catalog: str | None) -> str:
    simulated: list[Any] = []
    if source == "simulated":
        simulated += options.simulation or ()
        if options.bright_surfaces:
            simulated.append(options.bright_surfaces)
        if options.simulated_changes is not None:
            simulated.append(options.simulated_changes.model_dump())
    return json.dumps([source, catalog, collection, *simulated])
