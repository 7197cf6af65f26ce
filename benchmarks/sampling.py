"""What eroding the reference's polygons brings, on ground that training has not seen: not at all,
by a pixel, or by a pixel where that leaves half of a polygon."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.accuracy import FOLDS, PIXELS, difference, judge, matrices, options, samples
from benchmarks.ground import Ground, flanders, simulated
from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.config import MODEL_METHOD
from lc_platform.eo import accuracy
from lc_platform.eo import classifier as classify
from lc_platform.eo.folds import assign_folds
from lc_platform.products.classifier_training import fitted

CASES = {
    "1 pixel": (1, 0.0),
    "1 pixel, by size": (1, 0.5),
    "none": (0, 0.0),
}
"""Erosion and core fraction; the first is what the others are compared with."""
_COLUMNS = ("held out", "erosion", "samples", "weighted F1", "more than 1 pixel (95 %)")


def run(settings: Settings) -> Iterator[Table]:
    """Flanders first, which is small."""
    ground = flanders(settings.data, settings.folder / "flanders-0.0", min_valid_fraction=0.0)
    yield _of_flanders(ground)
    yield _against_truth(simulated(settings.folder / "simulated"))


def _of_flanders(ground: Ground) -> Table:
    rows = []
    for what in ("blocks of 160 m", "whole parcels"):
        first = None
        for name, (erosion, core) in CASES.items():
            judged = judge(ground, erosion, what, core)
            found = matrices(judged, MODEL_METHOD, by_parcel=False)
            first = found if first is None else first
            ((_, one),) = samples(ground, erosion, 1 << 20, 0, core).items()
            score = accuracy.scores(found.sum(axis=0)).f1_weighted
            rows.append((what, name, f"{len(one):,}", f"{score:.4f}", difference(first, found)))
    return Table(
        "sampling-flanders",
        "Flanders 2018",
        _COLUMNS,
        rows,
        ("Pixels in 22 parcels, out of fold, by the default method.",),
    )


def _against_truth(ground: Ground) -> Table:
    ids = sorted(ground.platform.classes)
    patches = sorted(ground.patches)
    truths = {patch: ground.truth(patch) for patch in patches}
    counts = np.array([np.bincount(truths[p].ravel(), minlength=256)[ids] for p in patches])
    dealt = assign_folds(counts, FOLDS, 0, ids)
    rows, first = [], None
    for name, (erosion, core) in CASES.items():
        drawn = samples(ground, erosion, PIXELS, 0, core)
        found = np.zeros((len(patches), len(ids), len(ids)), np.int64)
        for fold in range(FOLDS):
            test = [p for p, of in zip(patches, dealt.fold, strict=True) if of == fold]
            training = {p: one for p, one in drawn.items() if p not in test}
            trained = fitted(training, options(ids, MODEL_METHOD), class_ids=ids)
            for patch in test:
                classes = classify.predict(trained, ground.patches[patch][0].read()).classes
                found[patches.index(patch)] = accuracy.confusion(
                    truths[patch], classes, trained.class_ids
                ).matrix
        first = found if first is None else first
        score = accuracy.scores(found.sum(axis=0)).f1_weighted
        total = sum(map(len, drawn.values()))
        rows.append(("patches", name, f"{total:,}", f"{score:.4f}", difference(first, found)))
    return Table(
        "sampling-simulated",
        f"Simulated archive, {len(patches)} patches with mistakes in their reference",
        _COLUMNS,
        rows,
        ("Against the truth of every pixel, by the default method.",),
    )
