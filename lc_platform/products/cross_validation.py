"""Classifiers of the folds, and what they say of ground that they have not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import calibration, conformal
from lc_platform.eo import classifier as classify
from lc_platform.eo.calibration import Calibrator, Reliability
from lc_platform.eo.classifier import ProbabilityModel
from lc_platform.eo.folds import Folds
from lc_platform.errors import DataError
from lc_platform.products.classifier_training import fitted
from lc_platform.products.ground_folds import (
    Blocks,
    GroundFolds,
    blocks_at,
    dealt,
)
from lc_platform.products.options import TrainingOptions
from lc_platform.products.regional_training import RegionalTraining
from lc_platform.products.training_samples import Samples
from lc_platform.products.wrong_labels import Judge, WrongLabels
from lc_platform.runtime.progress import track
from lc_platform.runtime.threads import side_by_side

_MOST_PIXELS = 200_000
"""That calibration looks at; more make it no better."""
_TOGETHER = 2 << 30
"""Bytes of samples that classifiers may be trained on at the same time."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Probabilities of pixels by classifiers that were trained on other ground."""

    probabilities: NDArray[np.float32]
    """(pixel, class), 0 to 1, not calibrated."""
    labels: NDArray[np.uint8]
    """(pixel,), class ids."""
    folds: NDArray[np.uint8]
    """(pixel,), whose classifier it was."""

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, which: NDArray[Any]) -> OutOfFold:
        return OutOfFold(self.probabilities[which], self.labels[which], self.folds[which])


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The folds' classifiers, and what a model's card says of them."""

    ground: GroundFolds
    classifiers: tuple[ProbabilityModel, ...]
    """(fold,), all of the same classes."""
    card: dict[str, Any]
    """``validation``, ``calibration``, ``conformal``, ``wrong_labels`` and ``split_warnings`` of
    the card."""
    wrong_labels: WrongLabels
    left_out: NDArray[np.uint32]
    """Ids of the polygons that the classifiers were trained without."""
    blocks: Mapping[str, Blocks]
    """By patch: the block of ground that each sample counts for, (sample,)."""


def cross_validate(
    samples: Mapping[str, Samples],
    grids: Mapping[str, GeoBox],
    classes: Mapping[int, str],
    options: TrainingOptions,
    year: int,
    regional: RegionalTraining | None = None,
) -> CrossValidation:
    """Deal the ground out to folds, train a classifier for each on the others, and calibrate.

    samples  by patch
    grids    by patch, where blocks are not whole patches
    classes  id -> name, ascending, of all samples that are for training
    regional  the regions that have a classifier each; None where one is of all

    Raises DataError where there are fewer than two blocks of ground with samples.
    """
    ids = tuple(classes)
    blocks = _blocks(samples, grids, options.block_size)
    if len(blocks) < 2:
        raise DataError(
            f"{year}: {_only(samples)} labelled pixels, all in one block of ground. At least two "
            "blocks are needed, one to train and one to test on: take smaller ones "
            f"(validation.block_size, now {_size(options)}), split the area into smaller patches "
            "(aoi.patch_size), or extend the reference"
        )
    ground, dealing = dealt(
        samples, grids, ids, count=options.folds, size=options.block_size, seed=options.seed
    )
    blocks_of = {p: ground.blocks_of_samples(one, grids.get(p)) for p, one in samples.items()}
    folds = {patch: ground.fold_of(of) for patch, of in blocks_of.items()}
    train = fitted if regional is None else regional.fitted

    def outside(fold: int) -> dict[str, NDArray[np.bool_]]:
        return {p: folds[p][: one.for_training] != fold for p, one in samples.items()}

    def trained(without: NDArray[np.uint32] | None = None) -> tuple[ProbabilityModel, ...]:
        def one(fold: int, threads: int) -> ProbabilityModel:
            return train(
                samples,
                replace(options, threads=threads),
                class_ids=ids,
                kept=outside(fold),
                without=without,
                blocks=blocks_of,
            )

        # A training of its own on each thread waits less than one on all of them.
        size = sum(one.features.nbytes for one in samples.values())
        several = side_by_side(
            one, range(ground.count), options.threads, max(1, _TOGETHER // max(size, 1))
        )
        return tuple(track(several, "folds", ground.count))

    classifiers = trained()
    taught = np.zeros((ground.count, len(ids)), np.bool_)
    for patch, one in samples.items():
        own, labels = folds[patch][: one.for_training], one.classes[: one.for_training]
        for fold in range(ground.count):
            taught[fold] |= np.isin(ids, labels[own != fold])
    judge = Judge(ids, taught)
    weights = None if regional is None else regional.weights
    parts = list(out_of_fold(samples, folds, classifiers, judge, weights=weights))
    wrong, told, warnings = judge.found(classes)
    left_out = np.empty(0, np.uint32)
    if options.wrong_labels == "leave_out":
        left_out = wrong.polygons[wrong.left_out]
        if len(left_out):
            classifiers = trained(left_out)
            parts = list(out_of_fold(samples, folds, classifiers, weights=weights))
    known = _known(parts, ids, taught, options.seed)
    card = _calibrated(known, ids, ground.count, options)
    card["validation"] = {
        "asked_folds": options.folds,
        "block_size": options.block_size,
        "blocks": len(ground.blocks),
        "folds": [
            {**told, **own}
            for told, own in zip(
                _told(dealing, taught, classes), card["validation"]["folds"], strict=True
            )
        ],
    }
    card["wrong_labels"] = told | {
        "treatment": options.wrong_labels,
        "left_out_polygons": len(left_out),
        "left_out_samples": sum(
            int(np.isin(one.polygons[: one.for_training], left_out).sum())
            for one in samples.values()
        ),
    }
    card["split_warnings"] = [
        *_warnings(samples, dealing, ground, classes, options),
        *(warnings if options.wrong_labels == "leave_out" else ()),
    ]
    if regional is not None:
        unlearnt = [
            regional.unlearnt(samples, options, outside(fold), blocks_of)
            for fold in range(ground.count)
        ]
        for one, names in zip(card["validation"]["folds"], unlearnt, strict=True):
            one["regions_not_learnt"] = names
        card["split_warnings"] += regional.warnings(unlearnt)
    return CrossValidation(ground, classifiers, card, wrong, left_out, blocks_of)


def out_of_fold(
    samples: Mapping[str, Samples],
    folds: Mapping[str, NDArray[np.uint8]],
    classifiers: Sequence[ProbabilityModel],
    judge: Judge | None = None,
    *,
    weights: Mapping[str, NDArray[np.float32]] | None = None,
) -> Iterator[OutOfFold]:
    """Yield, patch by patch, what the folds' classifiers say of the samples that stand for all
    pixels with a label.

    samples  by patch
    folds    by patch, (sample,), in which each is tested
    judge    hears what they say of all samples
    weights  by patch, (sample, region), of classifiers of several regions
    """
    for patch, one in samples.items():
        chosen = one.for_validation
        rows = np.flatnonzero(chosen) if judge is None else np.arange(len(one))
        of = folds[patch][rows]
        found = np.empty((len(rows), len(classifiers[0].class_ids)), np.float32)
        for fold in np.unique(of):
            own = of == fold
            found[own] = classify.probabilities(
                classifiers[fold],
                one.features[rows[own]],
                weights=None if weights is None else weights[patch][rows[own]],
            )
        if judge is not None:
            judge.add(patch, found, one.classes, one.polygons, of)
            found, of = found[chosen], of[chosen]
        yield OutOfFold(found, one.classes[chosen], of)


def _known(
    parts: Sequence[OutOfFold], ids: Sequence[int], taught: NDArray[np.bool_], seed: int
) -> OutOfFold:
    """Return the pixels of classes that their fold's classifier has learnt, or some of them."""
    whole = OutOfFold(
        np.concatenate([one.probabilities for one in parts]),
        np.concatenate([one.labels for one in parts]),
        np.concatenate([one.folds for one in parts]),
    )
    whole = whole.chosen(np.isin(whole.labels, ids))
    whole = whole.chosen(taught[whole.folds, np.searchsorted(ids, whole.labels)])
    if len(whole) <= _MOST_PIXELS:
        return whole
    drawn = np.random.default_rng(seed).choice(len(whole), _MOST_PIXELS, replace=False)
    return whole.chosen(np.sort(drawn))


def _calibrated(
    known: OutOfFold, ids: Sequence[int], folds: int, options: TrainingOptions
) -> dict[str, Any]:
    """Return of the card what calibrates, and what it was like before and after; each fold's is of
    the other folds, so that it can be judged."""
    method, coverages = options.calibration, options.coverages
    found, of_folds = _calibrator(known, ids, method), []
    after = np.empty_like(known.probabilities)
    for fold in range(folds):
        own = known.folds == fold
        others = known.chosen(~own)
        one = _calibrator(others, ids, method)
        after[own] = _applied(one, known.probabilities[own])
        sets = _thresholds(others, one, ids, coverages)
        of_folds.append({"calibration": _to_dict(one), "conformal": sets})
    told: dict[str, Any] = {"pixels": len(known)}
    if len(known):
        for name, values in (("before", known.probabilities), ("after", after)):
            diagram = calibration.reliability(values, known.labels, ids)
            told[f"expected_calibration_error_{name}"] = diagram.expected_calibration_error
            told[f"reliability_{name}"] = reliability_to_dict(diagram)
    return {
        "validation": {"folds": of_folds},
        "calibration": {**_to_dict(found), **told},
        "conformal": _thresholds(known, found, ids, coverages),
    }


def reliability_to_dict(diagram: Reliability) -> dict[str, list[float | None]]:
    """Return a diagram as JSON has it: ``pixels``, mean ``confidence`` and ``accuracy`` by bin."""

    def plain(values: NDArray[Any]) -> list[float | None]:
        return [None if np.isnan(value) else float(value) for value in values]

    return {
        "edges": plain(diagram.edges),
        "pixels": [int(count) for count in diagram.pixels],
        "confidence": plain(diagram.confidence),
        "accuracy": plain(diagram.accuracy),
    }


def _calibrator(
    known: OutOfFold, ids: Sequence[int], method: calibration.Method | Literal["none"]
) -> Calibrator | None:
    if method == "none" or not len(known):
        return None
    return calibration.fit(known.probabilities, known.labels, ids, method)


def _applied(one: Calibrator | None, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    return probabilities if one is None else one.apply(probabilities)


def _to_dict(one: Calibrator | None) -> dict[str, Any]:
    return {"method": "none"} if one is None else one.to_dict()


def _thresholds(
    known: OutOfFold,
    one: Calibrator | None,
    ids: Sequence[int],
    coverages: Sequence[float],
) -> dict[str, list[float]]:
    """Return the thresholds of each coverage, by class; 0 of a class with too few pixels to say."""
    if not len(known):
        return {f"{coverage:g}": [0.0] * len(ids) for coverage in coverages}
    probabilities = _applied(one, known.probabilities)
    return {
        f"{coverage:g}": list(conformal.fit(probabilities, known.labels, ids, coverage).values)
        for coverage in coverages
    }


def _told(
    dealing: Folds, taught: NDArray[np.bool_], classes: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    names = list(classes.values())
    for fold, (test, learnt) in enumerate(zip(dealing.test, taught, strict=True)):
        yield {
            "blocks": int((dealing.fold == fold).sum()),
            "test_samples": dict(zip(names, test.tolist(), strict=True)),
            "classes_not_learnt": [n for n, so in zip(names, learnt, strict=True) if not so],
            "classes_not_tested": [n for n, c in zip(names, test, strict=True) if not c],
        }


def _warnings(
    samples: Mapping[str, Samples],
    dealing: Folds,
    ground: GroundFolds,
    classes: Mapping[int, str],
    options: TrainingOptions,
) -> list[str]:
    """Return a sentence for every class that no fold can both learn and test, and where there are
    fewer folds than were asked for."""
    said = []
    remedy = (
        f"Take smaller blocks (validation.block_size, now {_size(options)}), or extend the "
        "reference"
    )
    if ground.count < options.folds:
        said.append(
            f"{ground.count} blocks of ground have samples, so there are {ground.count} folds "
            f"instead of {options.folds}. {remedy}"
        )
    without = {gap.class_id for gap in dealing.gaps if gap.side == "training"}
    for class_id in sorted(without):
        count = sum(int((one.classes == class_id).sum()) for one in samples.values())
        said.append(
            f"class {classes[class_id]}: all its {count:,} samples are in one block of ground, so "
            "the classifier that it is tested by has not learnt it, and its accuracy is too low. "
            f"{remedy}"
        )
    return said


def _blocks(
    samples: Mapping[str, Samples], grids: Mapping[str, GeoBox], size: float | None
) -> NDArray[np.int64]:
    return np.unique(
        np.concatenate(
            [
                np.unique(blocks_at(patch, grids.get(patch), one.rows, one.columns, size))
                for patch, one in samples.items()
            ]
        )
    )


def _only(samples: Mapping[str, Samples]) -> str:
    first = next(iter(samples))
    return f"only patch {first} has" if len(samples) == 1 else f"{len(samples)} patches have"


def _size(options: TrainingOptions) -> str:
    return "a patch" if options.block_size is None else f"{options.block_size:g} m"
