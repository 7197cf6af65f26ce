"""A patch's year in a store, and an archive that grows, fails and is asked by nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from lc_platform import config
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area import patches as area
from lc_platform.area.grid import Patch
from lc_platform.area.options import SplitOptions
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import Partition, key
from lc_platform.artefacts.versions import Version
from lc_platform.assets import ALL
from lc_platform.config import Config
from lc_platform.platform import Platform
from lc_platform.products import patch_grid
from lc_platform.products.options import AcquisitionOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources.protocol import Acquisition, Cost, Pixels
from lc_platform.storage.store import Store

YEAR = 2023
START = datetime(YEAR, 1, 1, 10, tzinfo=UTC)


def acquisition(number: int, baseline: str = "05.09") -> Acquisition:
    when = START + timedelta(days=5 * number)
    return Acquisition(
        f"A{number:02d}", when, (f"A{number:02d}-x",), properties={"baseline": baseline}
    )


@dataclass
class Archive:
    """Its pixels are noise that hangs on the acquisition, its baseline and the grid alone."""

    acquisitions: list[Acquisition]
    failing: dict[str, Exception] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    searches: int = 0
    remote: bool = True
    seconds: float = 0.0
    """That a read takes."""
    together: int = 0
    """The most reads that were under way at the same time."""

    def __post_init__(self) -> None:
        self._lock, self._now = threading.Lock(), 0

    def search(
        self,
        area: Geometry,  # noqa: ARG002
        start: datetime,
        end: datetime,
        around: Geometry | None = None,  # noqa: ARG002
    ) -> list[Acquisition]:
        self.searches += 1
        return [a for a in self.acquisitions if start <= a.datetime < end]

    def stop(self) -> None:
        """Nothing waits."""

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:  # noqa: ARG002
        return Cost(1)

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        with self._lock:
            self._now += 1
            self.together = max(self.together, self._now)
            self.asked.append(acquisition.key)
        try:
            time.sleep(self.seconds)
            if acquisition.key in self.failing:
                raise self.failing[acquisition.key]
            # Text's own hash differs between processes.
            seed = sum(map(ord, f"{acquisition.key}{acquisition.properties}{geobox.shape}"))
            noise = np.random.default_rng(seed)
            values = noise.integers(1, 10_000, (len(bands), *geobox.shape), np.uint16)
            there = np.full(geobox.shape, acquisition.key not in self.empty)
            number = int(acquisition.key[1:])
            return Pixels(
                np.where(there, values, 0).astype(np.uint16),
                there,
                np.full(len(bands), 1e-4),
                np.full(len(bands), -0.001 * number),
                Cost(1, 0.25, values.nbytes),
            )
        finally:
            with self._lock:
                self._now -= 1


@dataclass
class Site:
    """A store, and what acquires into it as the platform's graph does."""

    folder: Path
    config: Config

    @classmethod
    def at(
        cls, folder: Path, sections: Mapping[str, Any] = MappingProxyType({}), **imagery: Any
    ) -> Site:
        """With further ``sections`` of its configuration, and keys of its imagery."""
        usual = {"source": "simulated", "bands": ["B04", "B08"], "connections": 3}
        settings = {
            "name": "growing",
            "storage": str(folder / "data"),
            "years": [YEAR],
            "aoi": {"bbox": [15.6, 46.9, 15.601, 46.901], "crs": "EPSG:32633", "patch_size": 640},
            "imagery": usual | imagery,
            **sections,
        }
        return cls(folder, config.parse(settings, folder))

    @property
    def platform(self) -> Platform:
        return Platform(self.config, [asset.recipe for asset in ALL])

    @property
    def patch(self) -> Patch:
        return area.patches(SplitOptions.of(self.config))[0][0]

    @property
    def key(self) -> str:
        return key("raw_bands", self.patch.key, YEAR)

    @property
    def store(self) -> Store:
        return self.platform.store

    def laid(self) -> None:
        """Have the patch grid in the store."""
        platform = self.platform
        self.formats["patch_grid"].write(
            platform.store,
            key("patch_grid"),
            patch_grid.lay(platform.grid_options(), platform.reference),
        )

    def made(self, archive: Archive) -> dict[str, Any]:
        """Materialize raw_bands; returns its summary's facts."""
        self.laid()
        platform, patch = self.platform, self.patch
        offered = search_acquisitions(archive, patch, YEAR, AcquisitionOptions.of(self.config))
        cube = acquire(archive, offered, platform.reusable(patch.key, YEAR))
        where = Partition(patch.key, YEAR)
        records = platform.versions.records
        with records.changing("raw_bands", where):
            self.formats["raw_bands"].write(platform.store, self.key, cube)
        records.write("raw_bands", where, Version("made", "given", "look"), {})
        return cube.summary.facts

    @property
    def formats(self) -> Any:
        return formats()

    def stack(self) -> AcquisitionStack:
        found: AcquisitionStack = self.formats["raw_bands"].open(self.store, self.key)
        return found


def same(one: AcquisitionStack, other: AcquisitionStack) -> None:
    """All pixels and all that is told of each acquisition."""
    assert one.acquisitions == other.acquisitions
    for mine, theirs in ((one, other), (one.detector, other.detector)):
        np.testing.assert_array_equal(mine.digital_numbers(), theirs.digital_numbers())
        np.testing.assert_array_equal(mine.data_mask(), theirs.data_mask())
        np.testing.assert_array_equal(mine.datetimes, theirs.datetimes)
        for a, b in zip(mine.calibration(), theirs.calibration(), strict=True):
            np.testing.assert_array_equal(a, b)


def fresh(folder: Path, acquisitions: Sequence[Acquisition], **imagery: Any) -> AcquisitionStack:
    """What one undisturbed acquiring of all gives."""
    site = Site.at(folder / "undisturbed", **imagery)
    site.made(Archive(list(acquisitions)))
    return site.stack()
