"""A map that was written down by hand, in a store, and a sample of it that people have judged."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import JUDGEMENTS, REFERENCE_SAMPLE, Partition, key
from lc_platform.artefacts.records import Version
from lc_platform.commands.sample import Sampled, sample
from lc_platform.config import Config, parse
from lc_platform.platform import Platform
from lc_platform.products.area_statistics import AreaStatistics, measure
from lc_platform.products.judgements import Judgement, JudgementRecords, now, point_code
from lc_platform.products.mosaic import LAND_COVER
from lc_platform.storage.raster_cube import tiled

YEAR = 2023
WEST, NORTH, METRES = 500_000.0, 5_170_000.0, 10.0
CLASSES = [
    {"id": 2, "name": "forest", "color": "#3f9b45"},
    {"id": 5, "name": "water", "color": "#2f6fd0"},
    {"id": 9, "name": "built-up", "color": "#d03030"},
]


def map_of_three() -> NDArray[np.uint8]:
    """120 x 100 pixels: 7000 of forest, 3000 of water, 1800 built-up, 200 without data."""
    values = np.full((120, 100), 2, np.uint8)
    values[70:100] = 5
    values[100:] = 9
    values[118:] = 0
    return values


def truth_of_three() -> NDArray[np.uint8]:
    """Some of what is mapped as forest is water, some of what is built-up is forest."""
    truth = map_of_three()
    truth[:70, ::10] = 5
    truth[100:118, :20] = 2
    truth[truth == 0] = 2
    return truth


class JudgedMap:
    """A store with a year's map, without anything that it was made from."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.folder = folder
        self.config: Config = parse(
            {
                "name": "judged",
                "storage": "./data",
                "years": [YEAR],
                "aoi": {"bbox": [15.0, 46.6, 15.01, 46.61], "patch_size": 500},
                "imagery": {"source": "simulated"},
                "reference": {"classes": CLASSES},
                **sections,
            },
            folder,
        )
        self.platform = Platform(self.config)

    def write(
        self,
        values: NDArray[np.uint8],
        version: str = "one",
        west: float = WEST,
        crs: str = "EPSG:32633",
    ) -> None:
        """Have the year's map be these classes, (y, x), from a north-western corner on."""
        grid = GeoBox(values.shape, Affine(METRES, 0, west, 0, -METRES, NORTH), crs)
        target, at = key("mosaic", year=YEAR), Partition(year=YEAR)
        with (
            self.platform.store.bundle(target, LAND_COVER) as staging,
            staging.file(LAND_COVER) as path,
            tiled(path, grid, ["class"], "uint8", 0) as raster,
        ):
            raster.write(values, (slice(0, values.shape[0]), slice(0, values.shape[1])))
            raster.tag(model_version="model")
        records = self.platform.versions.records
        records.forget("mosaic", at)
        records.write("mosaic", at, Version(version, "0", "0"), {})

    def sample(self, **asked: Any) -> Sampled:
        return sample(self.config, YEAR, **asked)

    @property
    def file(self) -> Path:
        return Path(self.config.storage_url) / REFERENCE_SAMPLE.format(year=YEAR)

    def points(self, layer: str = "reference_sample") -> geopandas.GeoDataFrame:
        return geopandas.read_file(self.file, layer=layer)

    def design(self) -> Any:
        return pyogrio.read_dataframe(self.file, layer="design")

    def edit(self, change: Callable[[geopandas.GeoDataFrame], Any]) -> None:
        """Change the points as a person does in QGIS, in place or as what ``change`` returns."""
        points = self.points()
        changed = change(points)
        points = points if changed is None else changed
        points.to_file(self.file, layer="reference_sample", driver="GPKG")

    def judge(self, truth: NDArray[np.uint8], west: float = WEST) -> None:
        """Write at each point the name of the class that the truth, (y, x), has there."""
        names = {one["id"]: one["name"] for one in CLASSES}

        def fill(points: geopandas.GeoDataFrame) -> None:
            rows = np.floor((NORTH - points.geometry.y) / METRES).astype(int)
            columns = np.floor((points.geometry.x - west) / METRES).astype(int)
            points["reference"] = [names[int(one)] for one in truth[rows, columns]]

        self.edit(fill)

    def codes(self) -> list[str]:
        """What the points are called in records of judgements, in the file's order."""
        file = self.platform.reference_sample(YEAR)
        assert file is not None
        sample = file.read()
        pixel, crs = sample.design.pixel_area**0.5, sample.design.crs
        places = zip(sample.points["x"], sample.points["y"], strict=True)
        return [point_code(x, y, pixel, crs) for x, y in places]

    @property
    def records(self) -> JudgementRecords:
        """What is judged in the web map."""
        return JudgementRecords(self.platform.store, JUDGEMENTS.format(year=YEAR))

    def say(self, point: str, who: str, seen: str | None, **more: Any) -> Judgement:
        """Have a person judge a point in the web map, None where it cannot be judged."""
        ids = {one["name"]: one["id"] for one in CLASSES}
        told: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "who": who,
            "when": now(),
            "point": point,
            "longitude": 15.0,
            "latitude": 46.6,
            "mosaic_version": "one",
            "opinion": "first",
            "blind": True,
            "class_id": ids.get(seen, 77) if seen else None,
            "class_name": seen or "",
        }
        record = Judgement(**{**told, **more})
        self.records.append(record)
        return record

    def statistics(self) -> AreaStatistics:
        files = formats()["mosaic"].open(self.platform.store, key("mosaic", year=YEAR))
        return measure(
            YEAR,
            self.platform.land_cover(YEAR, files),
            self.platform.area_statistics_options(),
            self.platform.reference_sample(YEAR),
        )
