"""Smoothing of probabilities and the area of applicability, against numpy and scipy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import agreement, inputs, numpy_applicability, numpy_smoothing, peer, training
from benchmarks.kernels import BANDS, WARM, Row, Series
from benchmarks.report import Table, ratios, seconds
from benchmarks.settings import Settings
from benchmarks.turns import in_pairs, timed
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
    classifier = training.train(samples, names)
    importance = classifier.booster.feature_importance("gain")
    samples = samples[:: max(1, len(samples) // SAMPLES)]
    space = applicability.fit(samples, importance, np.arange(len(samples)) % 4)
    probabilities = classify.predict(classifier, features).probabilities
    rows: list[Row] = []
    for threads in settings.threads:
        rows.append(_smoothing(probabilities, settings.pairs, threads))
        rows += _applicability(classifier, space, features, settings.pairs, threads)
        rows += _zeit(probabilities, samples, importance, features, settings, threads)
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
                "zeit-cdts (smooth_probs, aoa) is given arrays in memory, of which its processes "
                "take what they need; its half of the neighbours and weights are the platform's.",
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
    for other, (theirs, within) in peers.items():

        def check(found: NDArray[Any], expected: NDArray[Any], within: float = within) -> None:
            known = ~np.isnan(found)
            agreement.near("dissimilarity", found[known], expected[known], within)

        ours(some[:, :1])
        took = in_pairs(pairs, lambda _: (some, some), theirs, ours, check)
        many = features.shape[1] / some.shape[1]
        whole = tuple([many * one for one in times] for times in took)
        rows.append((name, str(threads), other, *map(seconds, whole), ratios(*whole)))

    pixels = np.ascontiguousarray(features.reshape(len(features), -1).T)

    def lightgbm(given: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(classifier.booster.predict(given, num_threads=threads))

    took = in_pairs(pairs, lambda _: (pixels, features), lightgbm, ours, lambda *_: None)
    rows.append((name, str(threads), "LightGBM, classifying", *map(seconds, took), ratios(*took)))
    return rows


def _zeit(
    probabilities: NDArray[np.float32],
    samples: NDArray[np.float32],
    importance: NDArray[Any],
    features: NDArray[np.float32],
    settings: Settings,
    threads: int,
) -> list[Row]:
    """zeit-cdts in a process of its own; where a feature is missing, both are given its mean."""
    folder, classes = settings.folder, len(probabilities)
    given = {n: str(folder / f"zeit-{n}.npy") for n in ("probabilities", "samples", "points")}
    came = folder / "zeit-came.npy"
    means = np.nanmean(samples, axis=0)
    training_samples = np.where(np.isnan(samples), means, samples)
    folds = np.arange(len(samples)) % 4
    space = applicability.fit(training_samples, importance, folds, threads=threads)
    whole = np.where(np.isnan(features), means[:, None, None], features).astype(np.float32)
    valid = np.nan_to_num(probabilities, nan=1 / classes)
    np.save(given["probabilities"], valid)
    np.save(given["samples"], training_samples)
    some = np.ascontiguousarray(whole[:, ::SHARE])
    np.save(given["points"], some.reshape(len(some), -1).T)
    rows: list[Row] = []
    with peer.ZEIT.worker(threads, folder) as worker:
        smoothing_times: tuple[list[float], list[float]] = [], []
        for _ in range(settings.pairs):
            smoothing_times[0].append(
                worker.call(
                    "smooth",
                    probabilities=given["probabilities"],
                    variance=VARIANCE,
                    window=WINDOW,
                    into=str(came),
                )
            )
            took, smoothed = timed(
                lambda: smoothing.smooth(
                    valid, [VARIANCE] * classes, window=WINDOW, threads=threads
                )
            )
            smoothing_times[1].append(took)
            inner = np.s_[WINDOW // 2 : -(WINDOW // 2), WINDOW // 2 : -(WINDOW // 2)]
            theirs = np.load(came)[inner]
            agreement.same("smoothed class", smoothed.argmax(axis=0)[inner], theirs, 0.999)
        name = f"smoothing, {classes} classes, {WINDOW} x {WINDOW} neighbours"
        rows.append((name, str(threads), "zeit-cdts", *_shown(*smoothing_times)))
        mean_distance = worker.call(
            "hold_training",
            samples=given["samples"],
            weights=(importance / importance[space.used].mean()).tolist(),
            folds=folds.tolist(),
        )
        # Its threshold is the whisker itself, and not the highest index below: one is compared.
        ours = np.array([[space.mean_distance]])
        agreement.near("mean distance", ours, np.array([[mean_distance]]), 1e-6)
        times: tuple[list[float], list[float]] = [], []
        applicability.dissimilarity(space, some[:, :1], threads=threads)
        for _ in range(settings.pairs):
            times[0].append(worker.call("applicability", points=given["points"], into=str(came)))
            took, found = timed(lambda: applicability.dissimilarity(space, some, threads=threads))
            times[1].append(took)
            agreement.near("dissimilarity", found.reshape(1, -1), np.load(came)[None], 1e-5)
        many = whole.shape[1] / some.shape[1]
        scaled = [[many * one for one in each] for each in times]
        name = f"applicability, {len(features)} features, {len(space.points)} samples"
        rows.append((name, str(threads), "zeit-cdts", *_shown(*scaled)))
    return rows


def _shown(theirs: list[float], ours: list[float]) -> tuple[str, str, str]:
    return seconds(theirs), seconds(ours), ratios(theirs, ours)
