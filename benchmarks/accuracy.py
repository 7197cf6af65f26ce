"""The accuracy of maps on ground that training has not seen, with the defaults of before and now.

What is chosen (the method, the erosion of polygons) is chosen on the simulated archive, whose truth
is known; the site in Flanders only judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.ground import Ground, flanders, simulated
from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.config import MODEL_METHOD, Sampling
from lc_platform.config.model import model_parameters
from lc_platform.eo import accuracy, bootstrap, objects
from lc_platform.eo import classifier as classify
from lc_platform.eo.classifier import ProbabilityModel
from lc_platform.eo.combined import Combined
from lc_platform.eo.folds import assign_folds
from lc_platform.products.classifier_training import fitted
from lc_platform.products.options import TrainingOptions
from lc_platform.products.sampling_options import SamplingOptions
from lc_platform.products.training_samples import Samples, collect

FOLDS, REPETITIONS, SIDE = 4, 4, 16
"""SIDE: pixels along the side of a block of Flanders, 160 m."""
PIXELS = 1500
"""Samples of a simulated patch, the demonstration's share of it."""
METHODS = ("lightgbm", "discriminant", "combined")
FORESTS = ("random_forest", "extra_trees")
BEFORE = "lightgbm", 1, 0.8
"""Method, erosion and least valid fraction of an acquisition, as they were by default."""
NOW = MODEL_METHOD, Sampling().erosion, 0.0
Matrices = NDArray[np.int64]
"""(unit of ground, reference class, predicted class), pixels."""


def run(settings: Settings) -> list[Table]:
    """Both, the simulated archive first."""
    return [
        against_truth(simulated(settings.folder / "simulated")),
        *on_flanders(settings),
    ]


def options(ids: Sequence[int], method: str) -> TrainingOptions:
    """The platform's, for some classes and a method."""
    named = {i: str(i) for i in ids}
    return TrainingOptions(
        classes=named,
        parameters=model_parameters({"method": method}),
        seed=42,
        threads=1,
        method=method,
    )


def samples(
    ground: Ground, erosion: int, pixels: int, validation: int, core_fraction: float = 0.0
) -> dict[str, Samples]:
    """Drawn as the platform draws them, by patch."""
    chosen = SamplingOptions(
        pixels_per_patch=pixels,
        erosion=erosion,
        core_fraction=core_fraction,
        validation_pixels=validation if erosion else 0,
        seed=42,
        classes=ground.platform.classes,
    )
    drawn = {p: collect(*opened, chosen) for p, opened in ground.patches.items()}
    return {patch: one for patch, one in drawn.items() if len(one)}


def members(classifier: ProbabilityModel) -> dict[str, ProbabilityModel]:
    """Of a combined classifier: both, and each alone, as it is trained alone too."""
    assert isinstance(classifier, Combined)
    parts = *classifier.members, classifier
    return dict(zip(METHODS, parts, strict=True))


# The simulated archive


def against_truth(ground: Ground) -> Table:
    """Every pixel, predicted by a classifier of other patches, against the truth."""
    ids = sorted(ground.platform.classes)
    patches = sorted(ground.patches)
    truths = {patch: ground.truth(patch) for patch in patches}
    counts = np.array([np.bincount(truths[p].ravel(), minlength=256)[ids] for p in patches])
    found: dict[tuple[int, str], Matrices] = {}
    for erosion in (0, 1):
        drawn = samples(ground, erosion, PIXELS, 0)
        dealt = assign_folds(counts, FOLDS, 0, ids)
        for fold in range(FOLDS):
            test = [p for p, of in zip(patches, dealt.fold, strict=True) if of == fold]
            training = {p: one for p, one in drawn.items() if p not in test}
            trained = members(fitted(training, options(ids, "combined"), class_ids=ids))
            for forest in FORESTS:
                trained[forest] = fitted(training, options(ids, forest), class_ids=ids)
            for name, one in trained.items():
                matrices = found.setdefault(
                    (erosion, name), np.zeros((len(patches), len(ids), len(ids)), np.int64)
                )
                for patch in test:
                    values = ground.patches[patch][0].read()
                    classes = classify.predict(one, values).classes
                    matrices[patches.index(patch)] += accuracy.confusion(
                        truths[patch], classes, one.class_ids
                    ).matrix
    before = found[1, "lightgbm"]
    rows: list[tuple[str, ...]] = []
    for (erosion, name), matrices in found.items():
        whole = accuracy.scores(matrices.sum(axis=0))
        rows.append(
            (
                name,
                str(erosion),
                f"{whole.overall_accuracy:.4f}",
                f"{whole.f1_weighted:.4f}",
                difference(before, matrices),
            )
        )
    return Table(
        "accuracy-simulated",
        f"Simulated archive, {len(patches)} patches with mistakes in their reference",
        ("method", "erosion", "overall accuracy", "weighted F1", "more than before (95 %)"),
        rows,
        (
            f"Against the truth of every pixel, by classifiers of other patches: {FOLDS} folds of "
            "patches. Intervals are of the paired difference, by a bootstrap over patches. "
            "The defaults are chosen here.",
        ),
    )


# Flanders


@dataclass(frozen=True)
class Judged:
    """What classifiers of other ground say of all pixels with a label."""

    units: NDArray[np.int64]
    """(pixel,), positions of the units that are held out together."""
    parcels: NDArray[np.uint32]
    """(pixel,)"""
    labels: NDArray[np.uint8]
    """(pixel,), class ids."""
    probabilities: dict[str, list[NDArray[np.float32]]]
    """By method and repetition, (pixel, class)."""


def on_flanders(settings: Settings) -> Iterator[Table]:
    """Blocks of 160 m, and whole parcels."""
    grounds = {
        valid: flanders(
            settings.data, settings.folder / f"flanders-{valid}", min_valid_fraction=valid
        )
        for valid in (BEFORE[2], NOW[2])
    }
    for what in ("blocks of 160 m", "whole parcels"):
        yield _table(grounds, what)


def judge(ground: Ground, erosion: int, what: str, core_fraction: float = 0.0) -> Judged:
    """Hold units of ground out, fold by fold."""
    everything = 1 << 20
    ((patch, one),) = samples(ground, erosion, everything, everything, core_fraction).items()
    ids = tuple(int(i) for i in np.unique(one.classes))
    blocks = one.rows // SIDE * 1000 + one.columns // SIDE
    keys, units = np.unique(blocks if "blocks" in what else one.polygons, return_inverse=True)
    counts = np.zeros((len(keys), len(ids)), np.int64)
    rows = np.flatnonzero(one.for_validation)
    np.add.at(counts, (units[rows], np.searchsorted(ids, one.classes[rows])), 1)
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in METHODS}
    for repetition in range(REPETITIONS):
        folds = assign_folds(counts, FOLDS, repetition, ids).fold[units]
        probabilities = {n: np.zeros((len(one), len(ids)), np.float32) for n in METHODS}
        for fold in range(FOLDS):
            kept = {patch: folds[: one.for_training] != fold}
            trained = fitted({patch: one}, options(ids, "combined"), class_ids=ids, kept=kept)
            asked = rows[folds[rows] == fold]
            for name, member in members(trained).items():
                probabilities[name][asked] = classify.probabilities(member, one.features[asked])
        for name in METHODS:
            found[name].append(probabilities[name][rows])
    return Judged(units[rows], one.polygons[rows], one.classes[rows], found)


def matrices(judged: Judged, method: str, by_parcel: bool) -> Matrices:
    """All repetitions together, by unit. By parcel, each pixel has its parcel's class."""
    ids = np.unique(judged.labels)
    total = np.zeros((int(judged.units.max()) + 1, len(ids), len(ids)), np.int64)
    for probabilities in judged.probabilities[method]:
        predicted = probabilities.argmax(axis=1)
        if by_parcel:
            sums = objects.accumulate(
                judged.parcels[np.newaxis].astype(np.int64),
                np.ascontiguousarray(probabilities.T[:, np.newaxis]),
            )
            decided = objects.decide(sums, [int(i) for i in ids])
            classes = decided.classes[np.searchsorted(decided.ids, judged.parcels)]
            predicted = np.searchsorted(ids, classes)
        np.add.at(total, (judged.units, np.searchsorted(ids, judged.labels), predicted), 1)
    return total


def _table(grounds: Mapping[float, Ground], what: str) -> Table:
    cases = {(erosion, valid): None for _, erosion, valid in (BEFORE, NOW)}
    cases[0, NOW[2]] = cases[1, NOW[2]] = None
    judged = {case: judge(grounds[case[1]], case[0], what) for case in cases}
    rows: list[tuple[str, ...]] = []
    for by_parcel in (False, True):
        before = matrices(judged[BEFORE[1:]], BEFORE[0], by_parcel=False)
        for (erosion, valid), one in judged.items():
            for method in METHODS:
                now = matrices(one, method, by_parcel)
                setting = method, erosion, valid
                named = {BEFORE: "before", NOW: "now"}.get(setting, "")
                rows.append(
                    (
                        "parcel" if by_parcel else "pixel",
                        method,
                        str(erosion),
                        f"{valid:g}",
                        f"{accuracy.scores(now.sum(axis=0)).f1_weighted:.4f}",
                        difference(before, now),
                        "" if by_parcel and named == "before" else named,
                    )
                )
    count = int(next(iter(judged.values())).units.max()) + 1
    return Table(
        f"accuracy-flanders-{'parcels' if 'parcels' in what else 'blocks'}",
        f"Flanders 2018, {count} {what} held out in {FOLDS} folds, {REPETITIONS} times",
        (
            "by", "method", "erosion", "least valid fraction", "weighted F1",
            "more than before (95 %)", "",
        ),
        rows,
        (
            "Of all pixels in parcels, out of fold, all repetitions together. By parcel, all its "
            "pixels have the class of their mean log-probability. Intervals are of the paired "
            "difference to the pixels of before, by a bootstrap over what is held out together.",
        ),
    )  # fmt: skip


def difference(before: Matrices, after: Matrices) -> str:
    """Return by how much the weighted F1 is higher after, with its interval."""
    found = bootstrap.score_differences(before, after, seed=1)
    value, low, high = (float(one.f1_weighted) for one in (found.value, found.low, found.high))
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
