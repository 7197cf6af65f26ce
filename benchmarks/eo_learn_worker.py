"""eo-learn's side of the benchmarks, as its users write it. Runs in the peer's environment."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from eolearn.core import (  # type: ignore[import-not-found]
    EOPatch,
    EOTask,
    EOWorkflow,
    ExtractBandsTask,
    FeatureType,
    LoadTask,
    MapFeatureTask,
    MergeFeatureTask,
    OverwritePermission,
    SaveTask,
    linearly_connect_tasks,
)
from eolearn.features import NormalizedDifferenceIndexTask, SimpleFilterTask  # type: ignore[import-not-found]
from eolearn.features.extra.interpolation import LinearInterpolationTask  # type: ignore[import-not-found]
from eolearn.mask import JoinMasksTask  # type: ignore[import-not-found]
from eolearn.mask.extra.cloud_mask import CloudMaskTask  # type: ignore[import-not-found]
from numpy.typing import NDArray
from sentinelhub.constants import CRS
from sentinelhub.geometry import BBox

from benchmarks.memory import peak
from benchmarks.worker import serve

BANDS = FeatureType.DATA, "BANDS"
DATA = FeatureType.MASK, "IS_DATA"
CLOUDS = FeatureType.MASK, "CLM"
VALID = FeatureType.MASK, "VALID"
CHOSEN = FeatureType.DATA, "CHOSEN"
NDVI = FeatureType.DATA, "NDVI"
NDWI = FeatureType.DATA, "NDWI"
NORM = FeatureType.DATA, "NORM"
FEATURES = FeatureType.DATA, "FEATURES"
CLASSES = FeatureType.MASK_TIMELESS, "CLASSES"

B02, B03, B04, B08, B11, B12 = 1, 2, 3, 7, 11, 12
"""Positions among the 13 bands."""

held: dict[str, Any] = {}
"""What was prepared for the next call."""


def year_of(year: int, days: list[int]) -> list[datetime]:
    return [datetime(year, 1, 1) + timedelta(days=day) for day in days]


def empty_patch(size: int, year: int, days: list[int]) -> EOPatch:
    box = BBox((0, 0, 10 * size, 10 * size), CRS("32633"))
    return EOPatch(bbox=box, timestamps=year_of(year, days))


def sixteen_days(year: int, threads: int) -> LinearInterpolationTask:
    """To regular dates, compiled by numba and on its threads where there are several."""
    return LinearInterpolationTask(
        FEATURES,
        parallel=threads > 1,
        mask_feature=VALID,
        resample_range=(f"{year}-01-01", f"{year + 1}-01-01", 16),
    )


def hold_series(values: str, valid: str, days: list[int], year: int) -> None:
    """Digital numbers (time, band, y, x) as a patch in memory, for `interpolate`."""
    numbers = np.load(values, mmap_mode="r")
    patch = empty_patch(numbers.shape[2], year, days)
    patch[FEATURES] = np.moveaxis(numbers, 1, 3).astype(np.float32, order="C")
    patch[VALID] = np.load(valid)[..., np.newaxis]
    held["series"] = patch


def interpolate(year: int, threads: int, result: str | None) -> float:
    """Seconds; the result, (target, band, y, x), goes to a file where one is named."""
    task = sixteen_days(year, threads)
    started = time.perf_counter()
    regular = task.execute(held["series"])
    seconds = time.perf_counter() - started
    if result is not None:
        np.save(result, np.moveaxis(regular[FEATURES], 3, 1))
    return seconds


def save_patch(values: str, folder: str, days: list[int], year: int) -> None:
    """Digital numbers (time, band, y, x) as a patch of reflectance on disk, in eo-learn's way."""
    numbers = np.load(values, mmap_mode="r")
    patch = empty_patch(numbers.shape[2], year, days)
    patch[BANDS] = np.moveaxis(numbers, 1, 3) * np.float32(1e-4)
    patch[DATA] = np.ones((*patch[BANDS].shape[:3], 1), np.bool_)
    patch.save(folder, overwrite_permission=OverwritePermission.OVERWRITE_PATCH)


class NormTask(MapFeatureTask):  # type: ignore[misc]
    """Euclidean norm of a pixel's bands."""

    def map_method(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        length: NDArray[np.float32] = np.linalg.norm(feature, axis=-1, keepdims=True)
        return length


class PredictTask(EOTask):  # type: ignore[misc]
    """The most probable class of each pixel, 0 where there is no feature at all."""

    def __init__(self, model: str, classes: list[int], threads: int) -> None:
        self.booster = lightgbm.Booster(model_file=model)
        self.classes = np.array(classes, np.uint8)
        self.threads = threads

    def execute(self, eopatch: EOPatch) -> EOPatch:
        series = eopatch[FEATURES]
        dates, height, width, count = series.shape
        pixels = np.moveaxis(series, 0, 2).reshape(height * width, dates * count)
        probability = self.booster.predict(pixels, num_threads=self.threads)
        found = self.classes[np.argmax(probability, axis=1)].reshape(height, width)
        # A pixel has all bands of an observation or none.
        found[np.isnan(series[..., 0]).all(axis=0)] = 0
        eopatch[CLASSES] = found[..., np.newaxis]
        return eopatch


def hold_workflow(folder: str, model: str, classes: list[int], year: int, threads: int) -> None:
    """From a stored patch to its stored map, for `run_workflow`."""
    root, patch = str(Path(folder).parent), Path(folder).name
    steps = {
        "read": [LoadTask(root, features=[BANDS, DATA])],
        "clouds": [CloudMaskTask(BANDS, DATA, CLOUDS)],
        "features": [
            JoinMasksTask([DATA, CLOUDS], VALID, lambda data, cloud: data & ~cloud),
            ExtractBandsTask(BANDS, CHOSEN, [B02, B03, B04, B08, B11, B12]),
            NormalizedDifferenceIndexTask(BANDS, NDVI, [B08, B04]),
            NormalizedDifferenceIndexTask(BANDS, NDWI, [B03, B08]),
            NormTask(CHOSEN, NORM),
            MergeFeatureTask([CHOSEN, NDVI, NDWI, NORM], FEATURES),
            SimpleFilterTask(VALID, lambda valid: np.mean(valid) >= 0.8, [FEATURES, VALID]),
            sixteen_days(year, threads),
        ],
        "prediction": [
            PredictTask(model, classes, threads),
            SaveTask(
                root,
                features=[CLASSES],
                overwrite_permission=OverwritePermission.OVERWRITE_FEATURES,
            ),
        ],
    }
    tasks = [(task, step) for step, of in steps.items() for task in of]
    nodes = linearly_connect_tasks(*tasks)
    held["workflow"] = EOWorkflow(nodes), nodes, root, patch


def run_workflow(result: str) -> dict[str, Any]:
    """Seconds in all and of each step, and the most bytes that the process has held so far. The
    classes (y, x) go to a file."""
    workflow, nodes, root, patch = held["workflow"]
    ends = {node: {"eopatch_folder": patch} for node in (nodes[0], nodes[-1])}
    started = time.perf_counter()
    done = workflow.execute(ends)
    seconds = time.perf_counter() - started
    steps: dict[str, float] = {}
    for node in done.stats.values():
        took = (node.end_time - node.start_time).total_seconds()
        steps[node.node_name] = steps.get(node.node_name, 0.0) + took
    most = peak()
    stored = EOPatch.load(str(Path(root) / patch), features=[CLASSES])
    np.save(result, stored[CLASSES][..., 0])
    return {"seconds": seconds, "steps": steps, "peak": most}


if __name__ == "__main__":
    serve(
        {
            one.__name__: one
            for one in (hold_series, interpolate, save_patch, hold_workflow, run_workflow)
        }
    )
