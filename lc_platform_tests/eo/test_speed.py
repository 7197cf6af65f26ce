"""The kernels are faster than what they stand for: ratios in one process, far below what is
measured (docs/performance.md), so that only a lost kernel fails here and no busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray
from s2cloudless.cloud_detector import S2PixelCloudDetector

from benchmarks.numpy_interpolation import regularize as plain_regularize
from benchmarks.numpy_smoothing import smooth as plain_smooth
from lc_platform.eo import applicability, classification_methods, clouds, smoothing, timeseries
from lc_platform.eo import classifier as classify

pytestmark = [pytest.mark.slow, pytest.mark.proof]


def ratio(plain: Callable[[], Any], ours: Callable[[], Any], pairs: int = 5) -> float:
    """How many times as long the plain version takes: the median of pairs, one after the other."""
    plain(), ours()
    ratios = []
    for _ in range(pairs):
        start = time.perf_counter()
        plain()
        between = time.perf_counter()
        ours()
        ratios.append((between - start) / (time.perf_counter() - between))
    return median(ratios)


def scene(side: int) -> NDArray[np.float32]:
    """(1, band, y, x) of fields, some of them cloudy, with noise; nothing is there twice."""
    rng = np.random.default_rng(5)
    ground = rng.uniform(0.02, 0.4, (8, 8, 10)) + rng.integers(0, 2, (8, 8, 1)) * 0.4
    fields = np.kron(ground.transpose(2, 0, 1), np.ones((1, side // 8, side // 8)))
    return (fields * rng.normal(1, 0.05, fields.shape)).astype(np.float32)[None]


def test_clouds_are_found_several_times_as_fast_as_by_s2cloudless(
    record_property: Callable[[str, object], None],
) -> None:
    reflectance = scene(160)
    bands_last = np.ascontiguousarray(reflectance.transpose(0, 2, 3, 1))
    detector = S2PixelCloudDetector()
    found = ratio(
        lambda: detector.get_cloud_probability_maps(bands_last, num_threads=1),
        lambda: clouds.s2cloudless_probability(reflectance, threads=1),
    )
    record_property("figure", f"clouds: {found:.1f} times s2cloudless")
    assert found > 4


@pytest.fixture(scope="module")
def classifier() -> classify.Classifier:
    rng = np.random.default_rng(6)
    labels = rng.integers(1, 11, 4000)
    features = rng.normal(size=(4000, 207)) + rng.normal(size=(11, 207))[labels]
    return classification_methods.train(  # type: ignore[return-value]
        "lightgbm",
        features.astype(np.float32),
        labels,
        feature_names=[f"f{i}" for i in range(207)],
        parameters={"num_leaves": 31, "num_iterations": 50},
        seed=1,
        threads=1,
    )


def test_pixels_are_classified_several_times_as_fast_as_by_lightgbm(
    classifier: classify.Classifier, record_property: Callable[[str, object], None]
) -> None:
    pixels = np.random.default_rng(7).normal(0, 1.4, (6000, 207)).astype(np.float32)
    booster: lightgbm.Booster = classifier.booster
    found = ratio(
        lambda: booster.predict(pixels, num_threads=1),
        lambda: classify.probabilities(classifier, pixels, threads=1),
    )
    record_property("figure", f"classification: {found:.1f} times LightGBM")
    assert found > 3


def test_a_year_is_interpolated_several_times_as_fast_as_by_numpy(
    record_property: Callable[[str, object], None],
) -> None:
    rng = np.random.default_rng(8)
    days = np.sort(rng.choice(365, 70, replace=False)).astype(np.int32)
    values = rng.integers(1, 10_000, (70, 9, 64, 128)).astype(np.uint16)
    valid = rng.random((70, 64, 128)) < 0.6
    targets = timeseries.target_days(2019, 16)
    found = ratio(
        lambda: plain_regularize(values, valid, days, targets),
        lambda: timeseries.regularize(values, valid, days, targets, threads=1),
    )
    record_property("figure", f"interpolation: {found:.1f} times vectorized numpy")
    assert found > 3


def test_probabilities_are_smoothed_faster_than_by_numpy(
    record_property: Callable[[str, object], None],
) -> None:
    rng = np.random.default_rng(9)
    drawn = rng.dirichlet(np.full(5, 0.3), (200, 200)).astype(np.float32)
    probabilities = np.ascontiguousarray(drawn.transpose(2, 0, 1))
    variances = [20.0] * 5
    found = ratio(
        lambda: plain_smooth(probabilities, variances, 7),
        lambda: smoothing.smooth(probabilities, variances, threads=1),
    )
    record_property("figure", f"smoothing: {found:.1f} times vectorized numpy")
    assert found > 1


def test_applicability_takes_no_longer_than_lightgbms_classification(
    record_property: Callable[[str, object], None],
) -> None:
    """Of features that vary together, as those of a season do."""
    rng = np.random.default_rng(10)
    axes, labels = rng.normal(size=(6, 100)), rng.integers(1, 11, 12_000)
    features = (rng.normal(size=(11, 6)) * 3)[labels] @ axes + rng.normal(size=(12_000, 6)) @ axes
    features = (features + rng.normal(0, 0.2, features.shape)).astype(np.float32)
    samples, pixels = features[:8000], features[8000:]
    trained = classification_methods.train(
        "lightgbm",
        samples,
        labels[:8000],
        feature_names=[f"f{i}" for i in range(100)],
        parameters={"num_leaves": 31},
        seed=1,
        threads=1,
    )
    importance = trained.importance()
    space = applicability.fit(samples, importance, np.arange(8000) % 4)
    window = np.ascontiguousarray(pixels.T)[:, None]
    found = ratio(
        lambda: trained.booster.predict(pixels, num_threads=1),
        lambda: applicability.dissimilarity(space, window, threads=1),
    )
    record_property("figure", f"applicability: {found:.1f} times LightGBM's classification")
    assert found > 1
