"""The accuracy of a year's map on ground that training has not seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Summary, Window, count_windows, windows
from lc_platform.eo import accuracy, bootstrap, calibration
from lc_platform.eo.accuracy import Confusion
from lc_platform.errors import DataError
from lc_platform.products.cross_validation import reliability_to_dict
from lc_platform.products.ground_folds import confusion_in_blocks
from lc_platform.products.held_out_predictions import HeldOutPredictions
from lc_platform.products.model import LandCoverModel, common_version
from lc_platform.products.object_scores import by_object
from lc_platform.products.options import EvaluationOptions
from lc_platform.products.points_of_year import PointsOfYear
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.products.split_comparison import compare_splits
from lc_platform.products.training_samples import Samples
from lc_platform.runtime.progress import track

CONFIDENCE = 0.95
"""Of the intervals."""
SCORES = ("overall_accuracy", "balanced_accuracy", "f1_weighted", "f1_macro")
"""Of all classes together."""
ELSEWHERE = "trained_elsewhere"
"""The key of the card, and of metrics.json, that tells of a model that was not trained here."""
_OF_A_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Evaluation:
    """Metrics, and their pictures (PNG) by file name."""

    metrics: Mapping[str, Any]
    """The content of ``metrics.json``."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)


def assess(
    model: LandCoverModel,
    held_out: Mapping[str, HeldOutPredictions],
    references: Mapping[str, ReferenceMap],
    samples: Mapping[str, Samples],
    options: EvaluationOptions,
    *,
    patches: Collection[str] = (),
) -> Evaluation:
    """Return the metrics on all reference pixels, each predicted by a classifier of other ground;
    without folds on those of the test patches. None is eroded or sampled, only those that are
    ambiguous are left out. A model that was trained elsewhere is judged as it is on all of them,
    which ``trained_elsewhere`` and ``split_warnings`` say. Where users brought
    points in place of a reference map, these are the pixels of the year's points.

    held_out, references, samples  by patch
    patches  all patches of the area: the metrics name those without predictions, which are not in
             the map

    Raises DataError where a test patch of the area is missing, its predictions are of another
    model, or its reference lies on another grid; and where no reference pixel has a prediction.
    """
    year = model.card["year"]
    if options.at_points:
        references = {p: PointsOfYear(one.cube, samples.get(p)) for p, one in references.items()}
    _check(model, held_out, references, patches)
    common_version({p: one.model_version for p, one in held_out.items()}, model.version)
    counted = _counted(model, held_out, references, options)
    names = [(class_id, name) for class_id, (name, _) in options.classes.items()]
    metrics = accuracy.metrics(counted.confusion, names)
    if not metrics["test_pixels"]:
        raise DataError(
            f"{year}: there is no reference pixel with a prediction on any patch that is tested "
            f"({', '.join(model.card['test_patches'])}). Extend the reference, or choose another "
            "sampling.seed"
        )
    matrix = counted.confusion.matrix
    validation = model.card.get("validation", {})
    metrics |= {
        "balanced_accuracy": plain(accuracy.scores(matrix).balanced_accuracy),
        "intervals": _intervals(counted.blocks, [name for _, name in names], model),
        "confusion_matrix_by_reference": plain(accuracy.shares(matrix, "reference")),
        "confusion_matrix_by_map": plain(accuracy.shares(matrix, "map")),
        "validation": {
            "folds": len(model.fold_texts),
            "block_size": validation.get("block_size"),
            "blocks": len(counted.blocks),
        },
        "calibration": _calibration(model, counted.sure),
        "prediction_sets": counted.sets.told(options) if model.fold_texts else None,
        **_splits(model, samples, references, options),
        "test_patches": sorted(counted.patches),
        "missing_patches": sorted(set(patches) - set(held_out)),
        "model_version": model.version,
        "split_warnings": list(model.card.get("split_warnings", ())),
    }
    metrics |= {k: model.card[k] for k in ("early_stopping", ELSEWHERE) if k in model.card}
    shown = (*SCORES, "test_pixels", "model_version")
    facts = {name: metrics[name] for name in shown}
    if options.objects is not None:
        cubes = {patch: one.cube for patch, one in held_out.items()}
        of = by_object(options.objects, cubes, references, int(year), options.classes)
        metrics["by_object"] = of
        facts["f1_weighted_by_object"] = of["f1_weighted"]
    facts["expected_calibration_error"] = metrics["calibration"]["expected_calibration_error_map"]
    return Evaluation(metrics, summary=Summary(facts))


def _splits(
    model: LandCoverModel,
    samples: Mapping[str, Samples],
    references: Mapping[str, ReferenceMap],
    options: EvaluationOptions,
) -> dict[str, Any]:
    """Return how a small classifier of the same kind does by other splits; nothing of a model that
    cannot be trained here."""
    if ELSEWHERE in model.card:
        return {"random_split": None, "block_split": None, "learning_curve": None}
    return compare_splits(
        model,
        {p: one for p, one in samples.items() if one.for_training},
        {patch: one.geobox for patch, one in references.items()},
        threads=options.threads,
    )


def _check(
    model: LandCoverModel,
    held_out: Mapping[str, HeldOutPredictions],
    references: Mapping[str, ReferenceMap],
    patches: Collection[str],
) -> None:
    for patch in model.card["test_patches"]:
        if patches and patch not in patches:
            continue  # it is no longer in the area
        for what, available in (
            ("held_out_predictions", held_out),
            ("reference_rasters", references),
        ):
            if patch not in available:
                raise DataError(
                    f"patch {patch}, {model.card['year']}: is a test patch of the model and has no "
                    f"{what}. Materialize them, or train the model again"
                )
    for patch, one in held_out.items():
        if patch in references:
            references[patch].check_lies_on(one.geobox, one.name)


@dataclass
class _Sets:
    """How many pixels' sets hold their class, by class, and how large they are."""

    class_ids: tuple[int, ...]
    """Of the model."""
    held: NDArray[np.int64]
    """(class id,), 0 to 255."""
    pixels: NDArray[np.int64]
    """(class id,)"""
    size: int = 0
    """Of all sets together."""

    def add(self, sets: NDArray[np.uint32], labels: NDArray[np.uint8]) -> None:
        position = np.full(256, -1, np.int64)
        position[list(self.class_ids)] = np.arange(len(self.class_ids))
        bit = position[labels]
        holds = (bit >= 0) & ((sets >> np.maximum(bit, 0).astype(np.uint32)) & 1).astype(np.bool_)
        self.held += np.bincount(labels[holds], minlength=256)
        self.pixels += np.bincount(labels, minlength=256)
        self.size += int(np.bitwise_count(sets).sum())

    def told(self, options: EvaluationOptions) -> dict[str, Any]:
        pixels = int(self.pixels.sum())
        return {
            "coverage": options.coverage,
            "covered": int(self.held.sum()) / pixels,
            "covered_per_class": {
                name: int(self.held[i]) / int(self.pixels[i]) if self.pixels[i] else None
                for i, (name, _) in options.classes.items()
            },
            "mean_size": self.size / pixels,
        }


@dataclass
class _Counted:
    """What is counted of all patches."""

    confusion: Confusion
    blocks: dict[int, NDArray[np.int64]]
    """By block of ground: (reference class, predicted class)."""
    sure: NDArray[np.int64]
    """(right, percent), pixels by whether they are right, and by confidence."""
    sets: _Sets
    patches: set[str]
    """Those with a reference pixel that is predicted."""


def _counted(
    model: LandCoverModel,
    held_out: Mapping[str, HeldOutPredictions],
    references: Mapping[str, ReferenceMap],
    options: EvaluationOptions,
) -> _Counted:
    ids = tuple(options.classes)
    zeros = np.zeros(256, np.int64)
    sets = _Sets(model.classifier.class_ids, zeros, zeros.copy())
    counted = _Counted(Confusion.empty(ids), {}, np.zeros((2, 101), np.int64), sets, set())
    both = [patch for patch in sorted(held_out) if patch in references]
    if model.ground is None:
        both = [patch for patch in both if patch in model.card["test_patches"]]
    shapes = {patch: held_out[patch].geobox.shape for patch in both}
    area = options.area
    inside = {p: area.on(held_out[p].geobox) for p in both} if area is not None else {}

    def tiles() -> Iterator[tuple[str, Window]]:
        return ((patch, w) for patch in both for w in windows(shapes[patch], options.window))

    total = sum(count_windows(shape, options.window) for shape in shapes.values())
    for patch, tile in track(tiles(), "windows", total):
        reference = references[patch].unambiguous(tile)
        if patch in inside:
            reference = np.where(inside[patch].read(tile), reference, np.uint8(0))
        if not reference.any():
            continue
        of = held_out[patch]
        predicted = of.classes(tile)
        counted.confusion += accuracy.confusion(reference, predicted, ids)
        here = (reference != 0) & (predicted != 0)
        if not here.any():
            continue
        counted.patches.add(patch)
        labels, mapped = reference[here], predicted[here]
        if model.ground is not None and (of_classes := of.sets(tile)) is not None:
            sets.add(of_classes[here], labels)
        found = confusion_in_blocks(
            model.ground, patch, of.geobox, partial(references[patch].polygons, tile),
            here, labels, [mapped], ids, tile,
        )  # fmt: skip
        for key, (matrix,) in found.items():
            counted.blocks[key] = counted.blocks.get(key, 0) + matrix
        np.add.at(counted.sure, ((labels == mapped).astype(int), of.confidence(tile)[here]), 1)
    return counted


def _calibration(model: LandCoverModel, sure: NDArray[np.int64]) -> dict[str, Any]:
    """Return how well confidence is calibrated: of the samples that stand for all reference pixels
    before and after, and of the map on all reference pixels.

    sure  (right, percent), pixels
    """
    reliability = calibration.reliability_of(np.arange(101) / 100, sure.sum(axis=0), sure[1])
    told = dict(model.card.get("calibration", {"method": "none"}))
    return told | {
        "expected_calibration_error_map": reliability.expected_calibration_error,
        "reliability_map": reliability_to_dict(reliability),
    }


def _intervals(
    blocks: Mapping[int, NDArray[np.int64]], names: list[str], model: LandCoverModel
) -> dict[str, Any] | None:
    """Return the intervals of all scores, [low, high] each; None where there is one block only,
    whose ground says nothing of other ground."""
    if len(blocks) < 2:
        return None
    matrices = np.stack([blocks[key] for key in sorted(blocks)])
    found = bootstrap.score_intervals(
        matrices, seed=int(model.card.get("seed", 0)), confidence=CONFIDENCE
    )

    def interval(score: str, position: int | None = None) -> list[Any]:
        bounds = (getattr(of, score) for of in (found.low, found.high))
        return [plain(one if position is None else one[position]) for one in bounds]

    return {
        "confidence": CONFIDENCE,
        "blocks": len(blocks),
        **{score: interval(score) for score in SCORES},
        "per_class": {
            name: {score: interval(score, position) for score in _OF_A_CLASS}
            for position, name in enumerate(names)
        },
    }


def plain(value: NDArray[np.floating[Any]]) -> Any:
    """Return numbers as JSON has them, None for one that does not exist."""
    if np.ndim(value):
        return [plain(one) for one in value]
    return None if np.isnan(value) else float(value)
