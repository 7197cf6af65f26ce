"""Acquisitions that a cloud detector is judged on, read as the platform reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area import patches as area
from lc_platform.area.grid import Patch
from lc_platform.area.options import SplitOptions
from lc_platform.config import Config, parse
from lc_platform.products.options import AcquisitionOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources import open_source
from lc_platform.sources.protocol import Acquisition, Cost, Pixels, Source
from lc_platform.sources.simulated import SimulatedArchive

YEAR = 2018
PLACES = ((16.31, 46.94), (14.09, 47.94), (15.06, 46.21))
"""Longitude and latitude; the second lies in mountains that have snow in winter."""
_PARTLY = (0.1, 0.9)
_CLOUDLESS = 0.002


@dataclass(frozen=True)
class Listed:
    """A source that finds these acquisitions and reads their pixels from an archive."""

    acquisitions: Sequence[Acquisition]
    archive: Source

    @property
    def remote(self) -> bool:
        return False

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:  # noqa: ARG002
        return Cost()

    def search(
        self,
        area: Geometry,  # noqa: ARG002
        start: datetime,  # noqa: ARG002
        end: datetime,  # noqa: ARG002
        around: Geometry | None = None,  # noqa: ARG002
    ) -> list[Acquisition]:
        return list(self.acquisitions)

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        return self.archive.read(acquisition, geobox, bands)


@dataclass(frozen=True)
class Truth:
    """What the simulated sky and ground were, each (time, y, x)."""

    thick: NDArray[np.bool_]
    """At least half opaque."""
    thin: NDArray[np.bool_]
    """Cloud or cirrus of 4 to 50 % opacity."""
    shadow: NDArray[np.bool_]
    snow: NDArray[np.bool_]

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Bare ground in the sun under a clear sky."""
        return ~(self.thick | self.thin | self.shadow | self.snow)


@dataclass(frozen=True)
class Scenes:
    """Acquisitions of one patch."""

    config: Config
    patch: Patch
    source: Source

    def stack(self, resolution: float, margin: int) -> AcquisitionStack:
        """The acquisitions in memory, as the platform acquires them for a detector of
        ``resolution`` metres that sees ``margin`` of its pixels beyond the patch."""
        detector = {"resolution": resolution, "average_over": margin, "dilation": 0}
        clouds = self.config.clouds.model_copy(update=detector)
        config = self.config.model_copy(update={"clouds": clouds})
        year = config.years[0]
        return AcquisitionStack(
            acquire(
                self.source,
                search_acquisitions(self.source, self.patch, year, AcquisitionOptions.of(config)),
            ).load()
        )

    def truth(self) -> Truth:
        """Of scenes of the simulated archive."""
        assert isinstance(self.source, Listed)
        archive = self.source.archive
        assert isinstance(archive, SimulatedArchive)
        grid, found = self.patch.geobox, self.source.acquisitions
        skies = np.array([archive.cloud_truth(a, grid) for a in found])
        snow = np.array([archive.snow_truth(a, grid) for a in found])
        return Truth(skies[:, 0], skies[:, 1], skies[:, 2] & ~skies[:, 1], snow)

    def without_clouds(self) -> Scenes:
        """The same acquisitions of the simulated archive under a sky without clouds."""
        assert isinstance(self.source, Listed)
        bare = SimulatedArchive(cloudiness=0.0)
        return replace(self, source=Listed(self.source.acquisitions, bare))


def year_of(place: tuple[float, float], size: int) -> Scenes:
    """All acquisitions of a year of the simulated archive, of the ``size`` x ``size`` pixels about
    a place that the platform would make a patch of."""
    config = parse(
        {
            "name": "scenes",
            "storage": "unused",
            "years": [YEAR],
            "aoi": {
                "bbox": [*place, *(degrees + 1e-4 for degrees in place)],
                "crs": "EPSG:32633",
                "patch_size": 10 * size,
            },
            "imagery": {"source": "simulated"},
        }
    )
    archive = open_source(config)
    patch = area.patches(SplitOptions.of(config))[0][0]
    start, end = datetime(YEAR, 1, 1, tzinfo=UTC), datetime(YEAR + 1, 1, 1, tzinfo=UTC)
    limit = config.imagery.max_cloud_cover
    found = archive.search(patch.geobox.extent, start, end)
    return Scenes(
        config, patch, Listed([a for a in found if (a.cloud_cover or 0) <= limit], archive)
    )


def partly_cloudy(place: tuple[float, float], size: int, count: int) -> Scenes:
    """At most ``count`` acquisitions, spread over the year, with 10 to 90 % thick cloud."""
    return _chosen(year_of(place, size), count, cloudless=False)


def cloudless(place: tuple[float, float], size: int, count: int) -> Scenes:
    """At most ``count`` acquisitions, spread over the year, without any cloud."""
    return _chosen(year_of(place, size), count, cloudless=True)


def _chosen(scenes: Scenes, count: int, *, cloudless: bool) -> Scenes:
    assert isinstance(scenes.source, Listed)
    archive = scenes.source.archive
    assert isinstance(archive, SimulatedArchive)
    rows, columns = scenes.patch.shape
    coarse = scenes.patch.geobox.zoom_to((max(1, rows // 8), max(1, columns // 8)))
    fitting = []
    for acquisition in scenes.source.acquisitions:
        thick, thin, _ = archive.cloud_truth(acquisition, coarse)
        share = float(thick.mean())
        if (
            float((thick | thin).mean()) <= _CLOUDLESS
            if cloudless
            else _PARTLY[0] <= share <= _PARTLY[1]
        ):
            fitting.append(acquisition)
    picked = np.unique(np.linspace(0, len(fitting) - 1, count).round().astype(int))
    return replace(scenes, source=Listed([fitting[i] for i in picked], archive))


def real(data: Path) -> Scenes:
    """The five acquisitions of the real imagery of Slovenia, 1 km x 1 km.

    Raises FileNotFoundError where they are not there.
    """
    folder = data / "slovenia" / "l1c"
    items = sorted(folder.glob("*/S2A*.json"))
    if not items:
        raise FileNotFoundError(f"{folder} has no acquisitions: the real imagery is not there")
    config = parse(
        {
            "name": "scenes",
            "storage": "unused",
            "years": [2015],
            "aoi": {
                "bbox": json.loads(items[0].read_text(encoding="utf-8"))["bbox"],
                "crs": "EPSG:32633",
                "split": [1, 1],
            },
            "imagery": {
                "source": "stac",
                "catalog": str((folder / "catalog.json").resolve()),
                "max_cloud_cover": 100,
            },
            "reference": {
                "path": "unused.tif",
                "classes": [{"id": 1, "name": "any", "color": "#000000"}],
            },
        }
    )
    return Scenes(config, area.patches(SplitOptions.of(config))[0][0], open_source(config))


def flanders(data: Path) -> Scenes:
    """The acquisitions of 2018 of the real series of Flanders, L2A, 640 m x 640 m.

    Raises FileNotFoundError where they are not there.
    """
    folder = data / "flanders" / "l2a"
    if not (folder / "catalog.json").is_file():
        raise FileNotFoundError(f"{folder} has no catalog: the real imagery is not there")
    config = parse(
        {
            "name": "scenes",
            "storage": "unused",
            "years": [2018],
            "aoi": {
                "boundary": str((data / "flanders" / "aoi.gpkg").resolve()),
                "crs": "EPSG:32631",
                "split": [1, 1],
            },
            "imagery": {
                "source": "stac",
                "collection": "sentinel-2-l2a",
                "catalog": str((folder / "catalog.json").resolve()),
                "max_cloud_cover": 100,
            },
            "clouds": {"method": "scl"},
            "reference": {
                "path": "unused.tif",
                "classes": [{"id": 1, "name": "any", "color": "#000000"}],
            },
        }
    )
    return Scenes(config, area.patches(SplitOptions.of(config))[0][0], open_source(config))
