"""An archive that cannot be read on some patches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import dagster as dg
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from lc_platform.sources import open_source
from lc_platform.sources.protocol import Acquisition, Cost, Pixels, Source
from lc_platform_tests.graphs import Platform

Fail = Callable[[], object]


@dataclass
class Failing:
    """An archive that cannot be read on some patches."""

    archive: Source
    patches: Mapping[str, GeoBox]
    fails: Mapping[str, Fail]
    """patch -> what is raised when it is read"""
    searched: Counter[str] = field(default_factory=Counter)
    """How often each patch was attempted."""
    found: Acquisition | None = None
    """The last acquisition that was searched for: the clearest of its patch."""
    remote = False

    def _patch(self, area: Geometry) -> str:
        centre = area.to_crs("EPSG:32633").centroid
        return next(p for p, box in self.patches.items() if box.extent.contains(centre))

    def search(
        self, area: Geometry, start: datetime, end: datetime, around: Geometry | None = None
    ) -> list[Acquisition]:
        self.searched[self._patch(area)] += 1
        self.found = min(
            self.archive.search(area, start, end, around), key=lambda one: one.cloud_cover or 0.0
        )
        return [replace(self.found, coverage=0.0)]

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:
        return self.archive.cost(geobox, bands)

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        fail = self.fails.get(self._patch(geobox.extent))
        if fail is not None:
            fail()
        return self.archive.read(acquisition, geobox, bands)

    def stop(self) -> None:
        return


def failing(definitions: dg.Definitions, platform: Platform, fails: Mapping[int, Fail]) -> Failing:
    resource = definitions.resources["platform"]  # type: ignore[index]
    boxes = {p.key: p.geobox for p in platform.opened("patch_grid").patches}
    named = {platform.patches[n]: fail for n, fail in fails.items()}
    resource.source = Failing(open_source(platform.config), boxes, named)
    made: Failing = resource.source
    return made


def unforeseen_key() -> object:
    properties: dict[str, str] = {}
    return properties["s2:mgrs_tile"]
