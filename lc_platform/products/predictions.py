"""The map of a patch: class, confidence, entropy and margin of every pixel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import (
    MAIN,
    Block,
    Layer,
    LazyCube,
    Summary,
    Thumbnail,
    Window,
    first_pixel,
    whole,
)
from lc_platform.eo import classifier as classify
from lc_platform.eo.applicability import PERCENT_NO_DATA
from lc_platform.eo.classifier import Prediction
from lc_platform.eo.conformal import Thresholds
from lc_platform.products.applicable_area import APPLICABILITY, ApplicableArea
from lc_platform.products.features import FeatureStack
from lc_platform.products.model import LandCoverModel
from lc_platform.products.options import PredictionOptions
from lc_platform.products.postprocessing import finished, reader
from lc_platform.products.probability_layers import percent_of, probability_layers
from lc_platform.products.reference_rasters import colored
from lc_platform.products.set_layers import set_layers, sets_of


def predict(features: FeatureStack, model: LandCoverModel, options: PredictionOptions) -> LazyCube:
    """Classify a patch, as far as it lies in the options' area; all of it where there is none.

    Layers (y, x), uint8: ``class`` (0 where the pixel has no valid observation), ``confidence``
    (percent, of that class), ``entropy`` (percent of its maximum, 255 where no data), ``margin``
    (percent by which the most probable class is ahead of the second, 255 where no data),
    ``applicability`` (percent of the threshold, 1 to 100 inside the area of applicability, 101 to
    255 outside, 0 where no data; not there where the model cannot tell), where they are asked for
    ``set_1`` and so on (bit i of all of them together is set for the model's i-th class, where a
    pixel may be of it), and where they are kept one ``probability_{id}`` a class (percent, 255
    where no data). All but the applicability, which
    is of the pixel alone, are what they are after the options' postprocessing.

    Raises DataError where the patch's features are not those the model was trained on, or do not
    reach as far beyond the patch as the postprocessing needs.
    """
    read = reader(features, model, options.area, options.postprocessing)
    class_ids = model.classifier.class_ids
    geobox = features.geobox
    thresholds = None if options.coverage is None else model.thresholds(options.coverage)
    layers = {
        "class": Layer((), "uint8", fill=0),
        "confidence": Layer((), "uint8"),
        "entropy": Layer((), "uint8", fill=classify.ENTROPY_NO_DATA),
        "margin": Layer((), "uint8", fill=classify.MARGIN_NO_DATA),
    }
    judged = options.applicability and model.judges_applicability
    if judged:
        layers[APPLICABILITY] = Layer((), "uint8", fill=PERCENT_NO_DATA)
    if options.probabilities:
        layers |= probability_layers(class_ids)
    if thresholds is not None:
        layers |= set_layers(len(class_ids))
    inside = options.area.on(geobox) if options.area is not None else None
    regions = None if model.regions is None else model.regions.on(geobox)

    def classified_window(values: NDArray[np.float32], tile: Window) -> Prediction:
        weights = None if regions is None else regions.read(tile)
        return model.predict(values, judged=judged, weights=weights, threads=options.threads)

    def blocks(summary: Summary) -> Iterator[Block]:
        picture = Thumbnail(geobox.shape, 1)
        counts = np.zeros(256, dtype=np.int64)
        confidence = 0
        applicable = ApplicableArea()
        for tile, found in finished(
            read,
            classified_window,
            class_ids,
            options.postprocessing,
            whole(geobox),
            origin=first_pixel(geobox),
            window=options.window,
            threads=options.threads,
        ):
            counts += np.bincount(found.classes.ravel(), minlength=256)
            confidence += int(found.confidence.sum())
            picture.update(tile, found.classes[None])
            yield Block("class", (), tile, found.classes)
            yield Block("confidence", (), tile, found.confidence)
            yield Block("entropy", (), tile, found.entropy)
            yield Block("margin", (), tile, found.margin)
            if found.applicability is not None:
                applicable.add(found.classes, found.applicability)
                yield Block(APPLICABILITY, (), tile, found.applicability)
            if thresholds is not None:
                for name, bits in sets_of(found.probabilities, thresholds):
                    yield Block(name, (), tile, bits)
            if options.probabilities:
                for name, percent in percent_of(found.probabilities, class_ids):
                    yield Block(name, (), tile, percent)
        classified = int(counts[1:].sum())
        pixels = int(np.prod(geobox.shape)) if inside is None else inside.count()
        summary.picture = colored(picture.values[0].astype(np.uint8), options.classes)
        summary.facts |= {
            "valid_fraction": classified / max(pixels, 1),
            "mean_confidence": confidence / classified if classified else None,
            "class_pixels": {
                name: int(counts[i]) for i, (name, _) in options.classes.items() if counts[i]
            },
            "model_version": model.version,
        }
        if judged:
            names = {i: name for i, (name, _) in options.classes.items()}
            summary.facts |= {
                "share_outside_applicability": applicable.share_outside,
                "share_outside_applicability_by_class": applicable.by_class(names),
            }

    return LazyCube(
        {MAIN: geobox},
        layers,
        blocks,
        attributes={
            "patch": features.patch,
            "year": features.year,
            "model_version": model.version,
            **({} if thresholds is None else {"sets": _about(thresholds)}),
        },
        legend=options.classes,
    )


def _about(thresholds: Thresholds) -> dict[str, Any]:
    """Return what the bits of the sets stand for, the lowest first, and what they promise."""
    return {
        "classes": list(thresholds.class_ids),
        "coverage": thresholds.coverage,
        "in_every_set": list(thresholds.always),
    }
