"""Smoothing of probabilities and the area of applicability, against numpy and scipy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import agreement, inputs, numpy_applicability, numpy_smoothing, training
from benchmarks.kernels import BANDS, WARM, Row, Series
from benchmarks.report import Table, ratios, seconds
from benchmarks.settings import Settings
from benchmarks.turns import in_pairs
from lc_platform.config import SENTINEL2_BANDS
from lc_platform.eo import applicability, smoothing
from lc_platform.eo import classifier as classify

WINDOW = 7
VARIANCE = 20.0
SAMPLES = 10_000
"""From which the training's space is learnt."""
SHARE = 50
"""Peers that compare every pixel with every sample are given one row in as many."""


def run(settings: Settings) -> list[Table]:
    """Both, of one patch's year, for every number of threads."""
    path = inputs.digital_numbers(settings.scenes, settings.folder, settings.size)
    bands = [SENTINEL2_BANDS.index(band) for band in BANDS]
    numbers, valid = np.load(path, mmap_mode="r"), inputs.clear(settings.scenes, settings.size)
    series = Series(numbers[:, bands], valid, settings.folder)
    features = series.regular(series.values, 0).reshape(-1, settings.size, settings.size)
    del series
    every = features.reshape(len(features), -1)
    picked = training.pick(every.shape[1])
    names = [f"feature_{i}" for i in range(len(features))]
    samples = np.ascontiguousarray(every[:, picked].T)
    classifier = training.learn(samples, names)
    importance = classifier.booster.feature_importance("gain")
    samples = samples[:: max(1, len(samples) // SAMPLES)]
    space = applicability.fit(samples, importance, np.arange(len(samples)) % 4)
    probabilities = classify.predict(classifier, features).probabilities
    rows: list[Row] = []
    for threads in settings.threads:
        rows.append(_smoothing(probabilities, settings.pairs, threads))
        rows += _applicability(classifier, space, features, settings.pairs, threads)
    side = settings.size
    return [
        Table(
            "postprocessing",
            f"After the classification, {side} x {side} pixels",
            ("kernel", "threads", "peer", "its time", "lc_platform", "times as fast"),
            rows,
            (
                f"Medians of {settings.pairs} pairs, in brackets the least and the most of a pair. "
                "numpy's own loops have one thread whatever they are given.",
                f"scipy and numpy compare every pixel with every sample; they and the platform "
                f"were given one row in {SHARE}, and both times are multiplied by that.",
                "LightGBM classifies the same pixels: applicability is to take no longer.",
            ),
        )
    ]


def _smoothing(probabilities: NDArray[np.float32], pairs: int, threads: int) -> Row:
    classes = len(probabilities)
    variances = [VARIANCE] * classes
    valid = np.nan_to_num(probabilities, nan=1 / classes)

    def theirs(given: NDArray[np.float32]) -> NDArray[np.float32]:
        return numpy_smoothing.smooth(given, variances, WINDOW)

    def ours(given: NDArray[np.float32]) -> NDArray[np.float32]:
        return smoothing.smooth(given, variances, window=WINDOW, threads=threads)

    def check(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
        inner = slice(WINDOW // 2, -(WINDOW // 2))
        agreement.near("smoothed", found[:, inner, inner], expected[:, inner, inner], 1e-4)

    small = valid[:, :WARM, :WARM]
    check(ours(small), theirs(small))
    took = in_pairs(pairs, lambda _: (valid, valid), theirs, ours, check)
    name = f"smoothing, {classes} classes, {WINDOW} x {WINDOW} neighbours"
    return name, str(threads), "numpy", seconds(took[0]), seconds(took[1]), ratios(*took)


def _applicability(
    classifier: classify.Classifier,
    space: applicability.TrainingSpace,
    features: NDArray[np.float32],
    pairs: int,
    threads: int,
) -> list[Row]:
    name = f"applicability, {len(features)} features, {len(space.points)} samples"
    some = np.ascontiguousarray(features[:, ::SHARE])

    def placed(given: NDArray[np.float32]) -> NDArray[np.float64]:
        pixels = given.reshape(len(given), -1)[space.used].T
        return np.nan_to_num((pixels - space.means) * space.factors)

    def ours(given: NDArray[np.float32]) -> NDArray[Any]:
        return applicability.dissimilarity(space, given, threads=threads).ravel()

    def scaled(distances: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(distances / space.mean_distance)

    peers: dict[str, tuple[Callable[[NDArray[np.float32]], NDArray[Any]], float]] = {
        "numpy, matrix product": (
            lambda given: scaled(
                numpy_applicability.by_matrix_product(space.points, placed(given))
            ),
            1e-2,  # single precision, where a pixel is near a sample
        ),
        "scipy, cdist": (
            lambda given: scaled(numpy_applicability.by_cdist(space.points, placed(given))),
            1e-6,
        ),
        "scipy, k-d tree": (
            lambda given: scaled(numpy_applicability.by_tree(space.points, placed(given), threads)),
            1e-6,
        ),
    }
    rows = []
    for peer, (theirs, within) in peers.items():

        def check(found: NDArray[Any], expected: NDArray[Any], within: float = within) -> None:
            known = ~np.isnan(found)
            agreement.near("dissimilarity", found[known], expected[known], within)

        ours(some[:, :1])
        took = in_pairs(pairs, lambda _: (some, some), theirs, ours, check)
        many = features.shape[1] / some.shape[1]
        whole = tuple([many * one for one in times] for times in took)
        rows.append((name, str(threads), peer, *map(seconds, whole), ratios(*whole)))

    pixels = np.ascontiguousarray(features.reshape(len(features), -1).T)

    def lightgbm(given: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(classifier.booster.predict(given, num_threads=threads))

    took = in_pairs(pairs, lambda _: (pixels, features), lightgbm, ours, lambda *_: None)
    rows.append((name, str(threads), "LightGBM, classifying", *map(seconds, took), ratios(*took)))
    return rows
