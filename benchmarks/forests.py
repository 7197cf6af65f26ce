"""Forests of scikit-learn's, as it predicts with them and as the platform does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from benchmarks import agreement, inputs, training
from benchmarks.archive import YEAR
from benchmarks.kernels import BANDS
from benchmarks.report import Table, ratios, seconds
from benchmarks.settings import Settings
from benchmarks.turns import in_pairs
from lc_platform.config import PARAMETERS, SENTINEL2_BANDS
from lc_platform.eo import random_forest, timeseries
from lc_platform.eo.random_forest import Kind
from lc_platform.eo.training_table import TrainingTable

THEIRS = {"random_forest": RandomForestClassifier, "extra_trees": ExtraTreesClassifier}
SEED = 42


def run(settings: Settings) -> list[Table]:
    """Prediction of all pixels of a patch, for every number of threads."""
    path = inputs.digital_numbers(settings.scenes, settings.folder, settings.size)
    bands = [SENTINEL2_BANDS.index(band) for band in BANDS]
    by_date = timeseries.regularize(
        np.load(path, mmap_mode="r")[:, bands],
        inputs.clear(settings.scenes, settings.size),
        inputs.days(),
        timeseries.target_days(YEAR, 16),
    )
    by_feature = by_date.reshape(-1, by_date.shape[2] * by_date.shape[3])
    samples = np.ascontiguousarray(by_feature[:, training.pick(by_feature.shape[1])].T)
    table = TrainingTable.of(
        samples,
        training.made_up_classes(samples),
        feature_names=[f"feature_{i}" for i in range(len(by_feature))],
    )
    return [
        Table(
            "forests",
            f"Forests, {settings.size} x {settings.size} pixels",
            (
                "method",
                "leaves of a tree",
                "threads",
                "scikit-learn",
                "lc_platform",
                "times as fast",
            ),
            [
                row
                for kind in ("random_forest", "extra_trees")
                for row in _rows(kind, table, by_feature, settings)
            ],
            (
                f"Of {len(by_feature)} features and {len(training.CLASSES)} classes, trained on "
                f"{len(samples):,} samples; probabilities agree within 1e-6. Medians of "
                f"{settings.pairs} pairs, in brackets the least and the most of a pair.",
            ),
        )
    ]


def _rows(
    kind: Kind, table: TrainingTable, by_feature: NDArray[np.float32], settings: Settings
) -> list[tuple[str, ...]]:
    given = PARAMETERS[kind].defaults
    model = random_forest.train(kind, table, given, seed=SEED)
    peer = THEIRS[kind](**given, random_state=SEED, n_jobs=-1)
    peer.fit(table.whole(), table.positions)
    by_pixel = np.ascontiguousarray(by_feature.T)
    leaves = np.mean([len(tree.counts) for tree in model.trees])

    def check(found: NDArray[Any], expected: NDArray[Any]) -> None:
        agreement.near("class probability", found, expected, 1e-6)

    rows = []
    for threads in settings.threads:
        peer.n_jobs = threads

        def theirs(pixels: NDArray[np.float32]) -> NDArray[Any]:
            return np.asarray(peer.predict_proba(pixels))

        def ours(pixels: NDArray[np.float32], threads: int = threads) -> NDArray[Any]:
            return model.probabilities(pixels, threads=threads)

        check(ours(by_feature[:, :999].T), theirs(by_pixel[:999]))
        slow, fast = in_pairs(
            settings.pairs, lambda _: (by_pixel, by_feature.T), theirs, ours, check
        )
        rows.append(
            (
                kind, f"{leaves:.0f}", str(threads), seconds(slow), seconds(fast),
                ratios(slow, fast),
            )
        )  # fmt: skip
    return rows
