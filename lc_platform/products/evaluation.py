"""The accuracy of a model on patches that it was not trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lc_platform.cube import Summary, Window, count_windows, windows
from lc_platform.eo import accuracy
from lc_platform.errors import DataError
from lc_platform.products.features import FeatureStack
from lc_platform.products.held_out_predictions import folds_in, predicted
from lc_platform.products.model import LandCoverModel
from lc_platform.products.options import EvaluationOptions
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.runtime.progress import track


@dataclass(frozen=True)
class Evaluation:
    """Metrics, and their pictures (PNG) by file name."""

    metrics: Mapping[str, Any]
    """The content of ``metrics.json``."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)


def assess(
    model: LandCoverModel,
    features: Mapping[str, FeatureStack],
    references: Mapping[str, ReferenceMap],
    options: EvaluationOptions,
    *,
    patches: Collection[str] = (),
) -> Evaluation:
    """Return the metrics on all reference pixels of the test patches: not eroded, not sampled, only
    those that are ambiguous left out.

    features, references  by patch
    patches               all patches of the area: the metrics name those without features, which
                          are not in the map
    Raises DataError where a test patch is missing, has other features than the model was trained
    on, or a reference on another grid; and where none of them has a reference pixel.
    """
    ids = tuple(options.classes)
    area, window = options.area, options.window
    counts = accuracy.Confusion.empty(ids)
    for patch in model.card["test_patches"]:
        for what, available in (("features", features), ("reference_rasters", references)):
            if patch not in available:
                raise DataError(
                    f"patch {patch}, {model.card['year']}: is a test patch of the model and has no "
                    f"{what}. Materialize them, or train the model again"
                )
        model.check_fits(features[patch])
        references[patch].check_lies_on(
            features[patch].geobox, f"patch {patch}, {model.card['year']}"
        )
    shapes = {patch: features[patch].geobox.shape for patch in model.card["test_patches"]}

    def tiles() -> Iterator[tuple[str, Window]]:
        return ((patch, tile) for patch in shapes for tile in windows(shapes[patch], window))

    total = sum(count_windows(shape, window) for shape in shapes.values())
    inside = {p: area.on(features[p].geobox) for p in shapes} if area is not None else {}
    for patch, tile in track(tiles(), "windows", total):
        reference = references[patch].classes(tile)
        if patch in inside:
            reference = np.where(inside[patch].read(tile), reference, np.uint8(0))
        if not reference.any():
            continue
        folds = folds_in(
            model, patch, features[patch].geobox, references[patch].polygons(tile), tile
        )
        found = predicted(
            model, features[patch].read(tile), reference != 0, folds, threads=options.threads
        )
        counts += accuracy.confusion(
            reference, found.classes, ids, references[patch].ambiguous(tile)
        )
    names = [(class_id, name) for class_id, (name, _) in options.classes.items()]
    metrics = accuracy.metrics(counts, names)
    if not metrics["test_pixels"]:
        raise DataError(
            f"{model.card['year']}: no test patch has a reference pixel with a prediction "
            f"({', '.join(model.card['test_patches'])}). Extend the reference, or choose another "
            "sampling.seed"
        )
    metrics |= {
        "test_patches": list(model.card["test_patches"]),
        "missing_patches": sorted(set(patches) - set(features)),
        "model_version": model.version,
        "split_warnings": list(model.card.get("split_warnings", ())),
    }
    shown = ("overall_accuracy", "f1_weighted", "f1_macro", "test_pixels", "model_version")
    return Evaluation(metrics, summary=Summary({name: metrics[name] for name in shown}))
