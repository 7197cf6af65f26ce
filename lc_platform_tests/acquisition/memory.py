"""An archive in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from lc_platform.sources.protocol import Acquisition, Cost, Pixels


def seen(key: str, when: str, cloud_cover: float | None = 10.0) -> Acquisition:
    return Acquisition(
        key,
        datetime.fromisoformat(when).replace(tzinfo=UTC),
        (f"{key}-tile",),
        "sentinel-2a",
        cloud_cover,
        {"s2:processing_baseline": "05.09"},
    )


@dataclass
class Memory:
    """An archive in memory: band n of acquisition m is 1000 m + n everywhere, less what is dark."""

    acquisitions: list[Acquisition]
    without_data: tuple[str, ...] = ()
    searched: list[tuple[datetime, datetime]] = field(default_factory=list)
    asked: list[tuple[str, GeoBox, tuple[str, ...]]] = field(default_factory=list)
    remote = False

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:
        return Cost(1, 0.5, 2 * len(bands) * geobox.shape[0] * geobox.shape[1])

    def search(
        self,
        area: Geometry,
        start: datetime,
        end: datetime,
        around: Geometry | None = None,  # noqa: ARG002
    ) -> list[Acquisition]:
        assert area.crs is not None
        self.searched.append((start, end))
        return [a for a in self.acquisitions if start <= a.datetime < end]

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        self.asked.append((acquisition.key, geobox, tuple(bands)))
        count = len(bands)
        position = self.acquisitions.index(acquisition)
        there = np.full(geobox.shape, acquisition.key not in self.without_data)
        numbers = 1000 * (position + 1) + np.arange(count)[:, None, None]
        return Pixels(
            np.where(there, numbers, 0).astype(np.uint16),
            there,
            np.linspace(1e-4, 2e-4, count),
            np.full(count, -0.1 * position),
        )
