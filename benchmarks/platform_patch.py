"""The platform's side of a patch-year: the assets' own bodies, the real store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import inputs, training
from benchmarks.archive import CRS, YEAR
from benchmarks.memory import peak
from benchmarks.worker import serve
from lc_platform import config
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.area.grid import Patch
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import MODEL_TEXT, key
from lc_platform.assets import imagery, learning, maps
from lc_platform.config import Config
from lc_platform.cube import windows
from lc_platform.platform import Platform
from lc_platform.products.options import AcquisitionOptions

PATCH = "33N-r000-c000"


def configured(folder: str, resolution: float | None, threads: int) -> Config:
    """The platform's defaults, but for the detector's resolution where one is given."""
    classes = [{"id": i, "name": f"class {i}", "color": "#808080"} for i in training.CLASSES]
    return config.parse(
        {
            "name": "benchmark",
            "storage": folder,
            "years": [YEAR],
            "aoi": {"bbox": [14.0, 46.0, 14.1, 46.1], "crs": CRS, "patch_size": 1000},
            "imagery": {"source": "simulated", "max_cloud_cover": 100},
            "clouds": {} if resolution is None else {"resolution": resolution},
            "reference": {"path": "none.gpkg", "attribute": "class", "classes": classes},
            "processing": {"threads": threads},
        },
        Path(folder),
    )


class Workshop:
    """A configuration, its store, and what the assets make of it."""

    def __init__(self, folder: str, resolution: float | None, threads: int) -> None:
        self.config = configured(folder, resolution, threads)
        self.platform = Platform(self.config)
        self.formats = formats()

    def write(self, asset: str, value: Any) -> None:
        self.formats[asset].write(self.platform.store, key(asset, PATCH, YEAR), value)

    def open(self, asset: str) -> Any:
        return self.formats[asset].open(self.platform.store, key(asset, PATCH, YEAR))

    def clouds(self) -> None:
        body, options = imagery.cloud_masks.body, self.platform.detection_options()
        self.write("cloud_masks", body(self.open("raw_bands"), options))

    def features(self) -> None:
        body, options = learning.features.body, self.platform.feature_options()
        raw_bands, cloud_masks = self.open("raw_bands"), self.open("cloud_masks")
        self.write("features", body(raw_bands, cloud_masks, options))

    def prediction(self) -> None:
        body, options = maps.predictions.body, self.platform.prediction_options()
        self.write("predictions", body(self.open("features"), self.open("model"), options))


def store(values: str, size: int, folder: str, resolution: float | None) -> None:
    """Write ``raw_bands`` of a file of digital numbers, as acquisition does."""
    workshop = Workshop(folder, resolution, 0)
    patch = Patch(PATCH, inputs.geobox(size), "33N", 0, 0)
    archive = inputs.FileArchive(Path(values), size)
    workshop.write(
        "raw_bands",
        acquire(
            archive,
            search_acquisitions(archive, patch, YEAR, AcquisitionOptions.of(workshop.config)),
        ),
    )


def learn(trees_alone: list[str], defaults: list[str]) -> str:
    """Train on the features of the first store and put a model of trees alone into some and one of
    the platform's defaults into others; the path of the trees' text in LightGBM's format."""
    shops = [Workshop(folder, None, 0) for folder in (*trees_alone, *defaults)]
    first = shops[0]
    first.clouds()
    first.features()
    learnt = first.open("features")
    models = training.trees_alone(learnt), training.model(learnt)
    for number, shop in enumerate(shops):
        shop.write("model", models[number >= len(trees_alone)])
    return str(Path(first.platform.store.path(key("model", year=YEAR))) / MODEL_TEXT)


def read(folder: str, resolution: float | None) -> float:
    """Seconds that reading and decoding everything stored takes, window by window."""
    workshop = Workshop(folder, resolution, 0)
    raw_bands = workshop.open("raw_bands")
    side = workshop.config.processing.window
    started = time.perf_counter()
    for stack in {raw_bands.grid: raw_bands, raw_bands.detector.grid: raw_bands.detector}.values():
        for window in windows(stack.geobox.shape, side):
            stack.digital_numbers(window)
    return time.perf_counter() - started


def run(folder: str, resolution: float | None, threads: int, result: str) -> dict[str, Any]:
    """From stored raw bands to the stored map: seconds in all and of each step, and the most bytes
    that the process has held so far. The classes (y, x) go to a file."""
    workshop = Workshop(folder, resolution, threads)
    steps: dict[str, float] = {}
    started = time.perf_counter()
    for step in (workshop.clouds, workshop.features, workshop.prediction):
        began = time.perf_counter()
        step()
        steps[step.__name__] = time.perf_counter() - began
    seconds = time.perf_counter() - started
    most = peak()
    np.save(result, workshop.open("predictions").read("class"))
    return {"seconds": seconds, "steps": steps, "peak": most}


if __name__ == "__main__":
    serve({one.__name__: one for one in (store, learn, read, run)})
