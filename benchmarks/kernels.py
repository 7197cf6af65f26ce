"""Each kernel against what it replaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from s2cloudless.cloud_detector import S2PixelCloudDetector

from benchmarks import agreement, inputs, numpy_interpolation, peer, training
from benchmarks.archive import YEAR, real_scenes
from benchmarks.report import Table, ratios, seconds
from benchmarks.settings import Settings
from benchmarks.turns import in_pairs, in_turn, timed
from lc_platform.config import SENTINEL2_BANDS
from lc_platform.eo import classifier as classify
from lc_platform.eo import clouds, timeseries
from lc_platform.eo.classifier import Classifier

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
"""Nine features, as digital numbers."""
WARM = 128
"""Pixels along the side of what all are warmed up on."""
NOT_TILED = "not tiled"

Row = tuple[str, ...]
Values = NDArray[np.uint16] | NDArray[np.float32]


def run(settings: Settings) -> list[Table]:
    """Cloud detection, interpolation and classification, for every number of threads."""
    path = inputs.digital_numbers(settings.scenes, settings.folder, settings.size)
    numbers, real = np.load(path, mmap_mode="r"), real_scenes(settings.scenes)
    valid = inputs.clear(settings.scenes, settings.size)
    bands = [SENTINEL2_BANDS.index(band) for band in BANDS]
    series = Series(numbers[:, bands], valid, settings.folder)
    rows: list[Row] = []
    for threads in settings.threads:
        cv2.setNumThreads(threads)
        name = "cloud detection at 10 m"
        rows.append(_clouds(f"{name}, one scene", numbers, 1, settings.pairs, threads))
        named = f"{name}, {len(real)} scenes, {NOT_TILED}"
        rows.append(_clouds(named, real, len(real), settings.pairs, threads))
        rows += _interpolation(settings, series, threads)
    features = series.regular(series.values, 0)
    del series
    rows += _classifications(settings, features, real.shape[2:])
    return [
        Table(
            "kernels",
            f"Kernels, {settings.size} x {settings.size} pixels",
            ("kernel", "threads", "peer", "its time", "lc_platform", "times as fast"),
            rows,
            (
                f"Medians of {settings.pairs} pairs, in brackets the least and the most of a pair. "
                "Vectorized numpy has one thread whatever it is given.",
                f"Tiles of one scene have more pixels that look alike than a landscape of their "
                f"size, which the platform's trees make use of; the rows that say {NOT_TILED} have "
                f"none of that, but only {real.shape[2]} x {real.shape[3]} pixels.",
            ),
        )
    ]


def _row(
    kernel: str, threads: int, peer: str, theirs: Sequence[float], ours: Sequence[float]
) -> Row:
    return kernel, str(threads), peer, seconds(theirs), seconds(ours), ratios(theirs, ours)


def _clouds(name: str, numbers: NDArray[np.uint16], together: int, pairs: int, threads: int) -> Row:
    """Clear and cloudy scenes in turn.

    numbers   (scene, band, y, x), all 13 bands
    together  scenes a pair
    """
    detector = S2PixelCloudDetector(threshold=0.4, average_over=4, dilation_size=2)
    bands = [SENTINEL2_BANDS.index(band) for band in clouds.DETECTOR_BANDS]

    def scenes(pair: int, side: slice = slice(None)) -> tuple[NDArray[Any], NDArray[Any]]:
        first = pair * together % len(numbers)
        chosen = numbers[first : first + together][:, bands, side, side]
        reflectance = chosen * np.float32(inputs.SCALE)
        return np.ascontiguousarray(np.moveaxis(reflectance, 1, 3)), reflectance

    def theirs(bands_last: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        probability = detector.get_cloud_probability_maps(bands_last, num_threads=threads)
        return probability, detector.get_mask_from_prob(probability)

    def ours(bands_first: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        probability = clouds.s2cloudless_probability(bands_first, threads=threads)
        return probability, clouds.s2cloudless_mask(probability, 0.4, 4, 2)

    def check(found: tuple[NDArray[Any], ...], expected: tuple[NDArray[Any], ...]) -> None:
        agreement.near("cloud probability", found[0], expected[0], 1e-6)
        agreement.same("cloud mask", found[1], expected[1].astype(np.bool_))

    small = scenes(0, slice(WARM))
    check(ours(small[1]), theirs(small[0]))
    took = in_pairs(pairs, scenes, theirs, ours, check)
    return _row(name, threads, "s2cloudless", *took)


class Series:
    """Nine features of a patch's year, in memory and as files for the peer."""

    def __init__(self, values: NDArray[np.uint16], valid: NDArray[np.bool_], folder: Path) -> None:
        self.values, self.valid = values, valid
        self.days, self.targets = inputs.days(), timeseries.target_days(YEAR, 16)
        self.files = folder / "values.npy", folder / "valid.npy"
        folder.mkdir(exist_ok=True)
        for path, array in zip(self.files, (values, valid), strict=True):
            np.save(path, array)

    def small(self, folder: Path) -> Series:
        side = slice(WARM)
        return Series(self.values[:, :, side, side], self.valid[:, side, side], folder)

    def regular(self, values: Values, threads: int) -> NDArray[np.float32]:
        """By the platform; ``values`` are the series' own, of either type."""
        return timeseries.regularize(values, self.valid, self.days, self.targets, threads=threads)

    def regular_by_numpy(self) -> NDArray[np.float32]:
        return numpy_interpolation.regularize(self.values, self.valid, self.days, self.targets)


def _interpolation(settings: Settings, series: Series, threads: int) -> list[Row]:
    """eo-learn, numpy and the platform's, on digital numbers and on real numbers."""
    expected = settings.folder / "interpolated.npy"
    floats = series.values.astype(np.float32)

    def checked(what: str, work: Callable[[], NDArray[np.float32]]) -> Callable[[int], float]:
        def turn(number: int) -> float:
            took, found = timed(work)
            if number == 0:
                agreement.near(f"interpolation by {what}", found, np.load(expected, "r"), 1e-3)
            return took

        return turn

    with peer.EO_LEARN.worker(threads, settings.folder) as worker:

        def hold(one: Series) -> None:
            values, valid = map(str, one.files)
            days = one.days.tolist()
            worker.call("hold_series", values=values, valid=valid, days=days, year=YEAR)

        def eo_learn(number: int) -> float:
            result = None if number else str(expected)
            took: float = worker.call("interpolate", year=YEAR, threads=threads, result=result)
            return took

        small = series.small(settings.folder / "warm")
        hold(small)
        eo_learn(1)
        small.regular_by_numpy()
        small.regular(small.values, threads)
        small.regular(small.values.astype(np.float32), threads)
        hold(series)
        took = in_turn(
            settings.pairs,
            {
                "eo-learn": eo_learn,
                "numpy": checked("numpy", series.regular_by_numpy),
                "uint16": checked("the platform", lambda: series.regular(series.values, threads)),
                "float32": checked("the platform", lambda: series.regular(floats, threads)),
            },
        )
    name = f"interpolation, {inputs.ACQUISITIONS} to {len(series.targets)} dates, 9 features"
    return [
        _row(f"{name}, {kind}", threads, against, took[against], took[kind])
        for against, kind in (("eo-learn", "uint16"), ("eo-learn", "float32"), ("numpy", "uint16"))
    ]


def _classifications(
    settings: Settings, features: NDArray[np.float32], scene: tuple[int, ...]
) -> list[Row]:
    """Of all pixels (date, feature, y, x), and of those that one scene's tile has."""
    every = features.reshape(-1, features.shape[2] * features.shape[3])
    tile = features[..., : scene[0], : scene[1]].reshape(len(every), -1)
    names = [f"feature_{i}" for i in range(len(every))]
    picked = training.pick(every.shape[1])
    classifier = training.train(np.ascontiguousarray(every[:, picked].T), names)
    name = f"classification, 10 classes x 100 rounds, {len(names)} features"
    return [
        _classification(named, classifier, pixels, settings.pairs, threads)
        for threads in settings.threads
        for named, pixels in ((name, every), (f"{name}, {NOT_TILED}", tile))
    ]


def _classification(
    name: str, classifier: Classifier, by_feature: NDArray[np.float32], pairs: int, threads: int
) -> Row:
    """Each in the layout that suits it: by pixel, and by feature, as windows are read."""
    by_pixel = np.ascontiguousarray(by_feature.T)

    def theirs(pixels: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(classifier.booster.predict(pixels, num_threads=threads))

    def ours(pixels: NDArray[np.float32]) -> NDArray[Any]:
        return classify.probabilities(classifier, pixels, threads=threads)

    def check(found: NDArray[Any], expected: NDArray[Any]) -> None:
        agreement.near("class probability", found.T, expected.T, 1e-6)
        agreement.same("class", found.argmax(axis=1), expected.argmax(axis=1))

    check(ours(by_feature[:, : WARM**2].T), theirs(by_pixel[: WARM**2]))
    took = in_pairs(pairs, lambda _: (by_pixel, by_feature.T), theirs, ours, check)
    return _row(name, threads, "LightGBM", *took)
