"""The accuracy of maps whose segments have one class each, beside that of their pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import (
    FOLDS,
    PIXELS,
    REPETITIONS,
    SIDE,
    Matrices,
    difference,
    options,
    samples,
)
from benchmarks.ground import Ground, flanders, simulated
from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.config import MODEL_METHOD, Sampling
from lc_platform.cube import first_pixel
from lc_platform.eo import accuracy, segments
from lc_platform.eo import classifier as classify
from lc_platform.eo.folds import assign_folds
from lc_platform.products.classifier_training import fitted

SIZES = 3, 5, 8
COMPACTNESSES = 0.1, 0.3
EROSION = Sampling().erosion
_HEAD = "size", "compactness", "weighted F1", "more than by pixel (95 %)"
_HELD_OUT = (
    "Each pixel with a label is predicted by the classifier of its own fold, and so are those that "
    "share its segment. Intervals are of the paired difference to the map without segments, by a "
    "bootstrap over {}."
)


def run(settings: Settings) -> Iterator[Table]:
    """Both, the simulated archive first; the site in Flanders only judges."""
    yield against_truth(simulated(settings.folder / "simulated"))
    yield on_flanders(flanders(settings.data, settings.folder / "flanders", min_valid_fraction=0))


def _map(
    probabilities: NDArray[np.float32],
    origin: tuple[int, int],
    size: int,
    compactness: float,
) -> NDArray[np.intp]:
    """Return the position of each pixel's class, (y, x), as the platform makes it."""
    if size:
        found = segments.segment(
            np.sqrt(probabilities), origin=origin, size=size, compactness=compactness
        )
        probabilities = segments.smooth(probabilities, found)
    return np.nan_to_num(probabilities, nan=-1).argmax(axis=0)


# The simulated archive


def against_truth(ground: Ground) -> Table:
    """Every pixel, predicted by a classifier of other patches, against the truth."""
    ids = sorted(ground.platform.classes)
    patches = sorted(ground.patches)
    truths = {patch: ground.truth(patch) for patch in patches}
    counts = np.array([np.bincount(truths[p].ravel(), minlength=256)[ids] for p in patches])
    folds = dict(zip(patches, assign_folds(counts, FOLDS, 0, ids).fold, strict=True))
    drawn = samples(ground, EROSION, PIXELS, 0)
    corners = {p: first_pixel(ground.patches[p][0].geobox) for p in patches}
    ends = {p: np.add(corners[p], truths[p].shape) for p in patches}
    first = np.min(list(corners.values()), axis=0)
    shape = tuple(np.max(list(ends.values()), axis=0) - first)
    probabilities = np.full((len(ids), *shape), np.nan, np.float32)
    places = {
        p: tuple(
            slice(start - at, end - at)
            for start, end, at in zip(corners[p], ends[p], first, strict=True)
        )
        for p in patches
    }
    for fold in range(FOLDS):
        training = {p: one for p, one in drawn.items() if folds[p] != fold}
        one = fitted(training, options(ids, MODEL_METHOD), class_ids=ids)
        for patch in (p for p in patches if folds[p] == fold):
            values = ground.patches[patch][0].read()
            found = classify.predict(one, values).probabilities
            probabilities[:, *places[patch]] = found
    seen = ~np.isnan(probabilities[0])

    def judged(size: int, compactness: float) -> Matrices:
        mapped = _map(probabilities, (int(first[0]), int(first[1])), size, compactness)
        total = []
        for patch in patches:
            known = seen[places[patch]] & np.isin(truths[patch], ids)
            pairs = truths[patch][known], np.array(ids, np.uint8)[mapped[places[patch]][known]]
            total.append(accuracy.confusion(*pairs, ids).matrix)
        return np.array(total)

    without = judged(0, 0)
    settings = [(size, compactness) for size in SIZES for compactness in COMPACTNESSES]
    return Table(
        "segments-simulated",
        f"Simulated archive, {len(patches)} patches with mistakes in their reference",
        _HEAD,
        [_row(without), *(_row(without, judged(*one), *one) for one in settings)],
        ("Against the truth of every pixel. " + _HELD_OUT.format("patches"),),
    )


def _row(
    without: Matrices, found: Matrices | None = None, size: int = 0, compactness: float = 0
) -> tuple[str, ...]:
    now = without if found is None else found
    score = f"{accuracy.scores(now.sum(axis=0)).f1_weighted:.4f}"
    if found is None:
        return "none", "", score, ""
    return str(size), f"{compactness:g}", score, difference(without, found)


# Flanders


@dataclass(frozen=True)
class Site:
    """All pixels of a site, predicted by the classifiers of folds."""

    units: NDArray[np.int64]
    """(pixel,), what is held out together, of the pixels with a label."""
    labels: NDArray[np.intp]
    """(pixel,), positions of their classes."""
    places: tuple[NDArray[np.int32], NDArray[np.int32]]
    """(pixel,) each, their rows and columns."""
    folds: Sequence[NDArray[np.int64]]
    """By repetition, (pixel,)."""
    probabilities: Sequence[NDArray[np.float32]]
    """By repetition, (fold, class, y, x)."""
    origin: tuple[int, int]

    def judged(self, size: int, compactness: float) -> Matrices:
        """All repetitions together, by unit."""
        count = self.probabilities[0].shape[1]
        total = np.zeros((int(self.units.max()) + 1, count, count), np.int64)
        for folds, found in zip(self.folds, self.probabilities, strict=True):
            own = found[folds, :, *self.places].T
            for fold in range(FOLDS):
                # Without a label: by the same classifier as the pixels that are judged.
                field = found[fold].copy()
                field[:, *self.places] = own
                mapped = _map(field, self.origin, size, compactness)[self.places]
                here = folds == fold
                np.add.at(total, (self.units[here], self.labels[here], mapped[here]), 1)
        return total


def site(ground: Ground, what: str) -> Site:
    """Hold units of ground out, fold by fold, as `accuracy.judge` does."""
    everything = 1 << 20
    ((patch, one),) = samples(ground, EROSION, everything, everything).items()
    ids = [int(i) for i in np.unique(one.classes)]
    blocks = one.rows // SIDE * 1000 + one.columns // SIDE
    keys, units = np.unique(blocks if "blocks" in what else one.polygons, return_inverse=True)
    rows = np.flatnonzero(one.for_validation)
    labels = np.searchsorted(ids, one.classes[rows])
    counts = np.zeros((len(keys), len(ids)), np.int64)
    np.add.at(counts, (units[rows], labels), 1)
    stack = ground.patches[patch][0]
    values = stack.read()
    dealt, found = [], []
    for repetition in range(REPETITIONS):
        folds = assign_folds(counts, FOLDS, repetition, ids).fold[units]
        of_folds = []
        for fold in range(FOLDS):
            kept = {patch: folds[: one.for_training] != fold}
            trained = fitted({patch: one}, options(ids, MODEL_METHOD), class_ids=ids, kept=kept)
            of_folds.append(classify.predict(trained, values).probabilities)
        dealt.append(folds[rows])
        found.append(np.array(of_folds))
    places = one.rows[rows], one.columns[rows]
    return Site(units[rows], labels, places, dealt, found, first_pixel(stack.geobox))


def on_flanders(ground: Ground) -> Table:
    """Blocks of 160 m, and whole parcels."""
    rows: list[tuple[str, ...]] = []
    for what in ("blocks of 160 m", "whole parcels"):
        one = site(ground, what)
        without = one.judged(0, 0)
        rows.append((what, *_row(without)))
        rows += [
            (what, *_row(without, one.judged(*setting), *setting))
            for setting in [(size, compactness) for size in SIZES for compactness in COMPACTNESSES]
        ]
    return Table(
        "segments-flanders",
        f"Flanders 2018, held out in {FOLDS} folds, {REPETITIONS} times",
        ("held out", *_HEAD),
        rows,
        (
            "Of all pixels in parcels, all repetitions together. "
            + _HELD_OUT.format("what is held out together"),
        ),
    )
