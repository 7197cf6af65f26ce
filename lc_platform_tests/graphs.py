"""The whole graph through Dagster on a small simulated area, and archives that lack something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj import Transformer

from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import PATCH, Partition, dimensions, key
from lc_platform.artefacts.records import Records
from lc_platform.assets.partitions import patch_year_key
from lc_platform.config import Config
from lc_platform.graph import build
from lc_platform.sources.protocol import Acquisition, Cost, Pixels, Source
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store

YEAR = 2023
METRES = 320
"""Side of a patch."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def degrees(columns: int, rows: int) -> list[float]:
    """A box in degrees that touches ``columns`` x ``rows`` patches."""
    west, south, inside = METRES * 1720, METRES * 16250, 60
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True).transform
    low = to_degrees(west + inside, south + inside)
    high = to_degrees(west + METRES * columns - inside, south + METRES * rows - inside)
    return [*low, *high]


def settings(
    columns: int = 2, rows: int = 2, *, year: int = YEAR, **sections: Any
) -> dict[str, Any]:
    """A small configuration of one year; ``sections`` are laid over it."""
    data: dict[str, Any] = {
        "name": "small",
        "storage": "./data",
        "years": [year],
        "aoi": {
            "bbox": degrees(columns, rows),
            "crs": "EPSG:32633",
            "patch_size": METRES,
        },
        "imagery": {"source": "simulated", "max_cloud_cover": 12},
        "clouds": {"resolution": 40},
        "reference": {},
        "features": {"interval": 48, "min_valid_fraction": 0.3},
        "sampling": {"pixels_per_patch": 300},
        "model": {"num_iterations": 8, "min_data_in_leaf": 5},
        "processing": {"threads": 1},
        "operations": {},
    }
    for name, changed in sections.items():
        data[name] = {**data.get(name, {}), **changed}
    return data


def configured(folder: Path, columns: int = 2, rows: int = 2, **sections: Any) -> Config:
    """What `settings` gives, as the configuration of a folder."""
    return config.parse(settings(columns, rows, **sections), folder)


@dataclass
class Platform:
    """A configuration in a folder, with the history that Dagster keeps of it."""

    config: Config
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    def __post_init__(self) -> None:
        self.definitions = build(self.config)
        self.store = Store(self.config.storage_url)

    def launch(
        self, job: str, partitions: Sequence[str] = (), assets: Sequence[str] = (), **tags: str
    ) -> dg.ExecuteInProcessResult:
        """A job, or some of its assets, on no partition, one, or the range from the first to the
        last."""
        if len(partitions) > 1:
            tags |= {
                "dagster/asset_partition_range_start": partitions[0],
                "dagster/asset_partition_range_end": partitions[-1],
            }
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=partitions[0] if len(partitions) == 1 else None,
            tags=tags,
            run_config=QUIET,
            raise_on_error=False,
            asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
        )

    @property
    def patches(self) -> list[str]:
        return sorted(self.instance.get_dynamic_partitions(PATCH))

    @property
    def patch_years(self) -> list[str]:
        return [str(patch_year_key(patch, YEAR)) for patch in self.patches]

    def all_jobs(self) -> dict[str, list[dg.ExecuteInProcessResult]]:
        done = {"grid": [self.launch("grid")]}
        done["reference"] = [self.launch("reference", self.patches)]
        first, *others = self.patch_years
        done["patch_year"] = [
            self.launch("patch_year", [first]),
            self.launch("patch_year", others),
        ]
        done["training"] = [self.launch("training", [str(YEAR)])]
        done["prediction"] = [self.launch("prediction", self.patch_years)]
        done["mosaicking"] = [self.launch("mosaicking", [str(YEAR)])]
        return done

    def forget(self, asset: str, patch: str) -> None:
        """Have an artefact made again."""
        Records(self.store).forget(asset, Partition(patch, YEAR))

    def opened(self, asset: str, patch: str | None = None) -> Any:
        of = formats()
        year = YEAR if "year" in dimensions(asset) else None
        return of[asset].open(self.store, key(asset, patch, year))

    def classes(self, patch: str) -> NDArray[np.uint8]:
        return RasterCube(self.store, key("predictions", patch, YEAR)).read("class")

    def materializations(self, asset: str) -> list[dg.AssetMaterialization]:
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
        return [r.asset_materialization for r in records if r.asset_materialization]


def why(result: dg.ExecuteInProcessResult) -> str:
    """The words of a failed run."""
    words = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            words.append(str(data.user_failure_data and data.user_failure_data.description))
            words.append(str(data.error))
    return "\n".join(words)


def materialized(result: dg.ExecuteInProcessResult) -> list[tuple[str, str | None]]:
    return [
        (event.asset_key.path[-1], event.partition)
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
    ]


@dataclass
class Blind:
    """An archive that has acquisitions of everywhere, and nothing but no data on one box."""

    archive: Source
    box: GeoBox
    remote = False

    def search(
        self, area: Geometry, start: datetime, end: datetime, around: Geometry | None = None
    ) -> list[Acquisition]:
        # Its catalog does not tell what they cover.
        return [replace(a, coverage=0.0) for a in self.archive.search(area, start, end, around)]

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:
        return self.archive.cost(geobox, bands)

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        pixels = self.archive.read(acquisition, geobox, bands)
        middle = geobox.boundingbox
        box = self.box.boundingbox
        x, y = (middle.left + middle.right) / 2, (middle.bottom + middle.top) / 2
        if not (box.left < x < box.right and box.bottom < y < box.top):
            return pixels
        return replace(
            pixels,
            values=np.zeros_like(pixels.values),
            data_mask=np.zeros_like(pixels.data_mask),
        )


def silent(_stage: str, _places: int, outcomes: Iterable[Any]) -> Iterator[Any]:
    yield from outcomes


@dataclass
class Blank:
    """An archive that has nothing at a place, given in longitude and latitude."""

    archive: Source
    x: float
    y: float

    def __getattr__(self, name: str) -> object:
        return getattr(self.archive, name)

    def search(
        self, area: Geometry, start: datetime, end: datetime, around: Geometry | None = None
    ) -> list[Acquisition]:
        west, south, east, north = area.to_crs("EPSG:4326").boundingbox
        if west < self.x < east and south < self.y < north:
            return []
        return self.archive.search(area, start, end, around)
