"""A model of the size that land-cover maps take: 10 classes, 100 rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.config import LIGHTGBM_DEFAULTS, MODEL_METHOD, Map
from lc_platform.eo import applicability, calibration, classification_methods
from lc_platform.eo import classifier as classify
from lc_platform.eo.classifier import Classifier, ProbabilityModel
from lc_platform.products.features import FeatureStack
from lc_platform.products.model import LandCoverModel

CLASSES = tuple(range(1, 11))


def pick(pixels: int) -> NDArray[np.intp]:
    """Positions of the pixels to train on, ascending: 20,000 where there are as many."""
    chosen = np.random.default_rng(42).choice(pixels, min(20_000, pixels), replace=False)
    return np.sort(chosen).astype(np.intp)


def train(features: NDArray[np.float32], names: Sequence[str]) -> Classifier:
    """Train on real features and made-up classes.

    features  (sample, feature), NaN where missing
    """
    return classification_methods.train(  # type: ignore[return-value]
        "lightgbm",
        features,
        made_up_classes(features),
        feature_names=names,
        parameters=LIGHTGBM_DEFAULTS,
        seed=42,
    )


def made_up_classes(features: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return classes (sample,) that can be told by the features, though not surely."""
    random = np.random.default_rng(42)
    spread = np.nanstd(features, axis=0) + 1e-6
    plain = np.nan_to_num((features - np.nanmean(features, axis=0)) / spread)
    score = plain @ random.standard_normal((features.shape[1], len(CLASSES)))
    score += random.gumbel(scale=0.2 * score.std(), size=score.shape)
    # The medians are the same, so that no class is left out.
    labels: NDArray[np.int64] = np.array(CLASSES)[(score - np.median(score, axis=0)).argmax(axis=1)]
    return labels


def model(features: FeatureStack) -> LandCoverModel:
    """A model learnt from a patch's pixels with the platform's defaults: trees and a discriminant,
    calibrated by pixels that were held out, and its training space."""
    samples = _samples(features)
    labels, held_out = made_up_classes(samples), np.arange(len(samples)) % 4 == 0

    def learnt(chosen: NDArray[np.bool_]) -> ProbabilityModel:
        return classification_methods.train(
            MODEL_METHOD,
            samples[chosen],
            labels[chosen],
            feature_names=features.names,
            parameters=LIGHTGBM_DEFAULTS,
            seed=42,
            class_ids=CLASSES,
        )

    found = classify.probabilities(learnt(~held_out), samples[held_out])
    calibrator = calibration.fit(found, labels[held_out], CLASSES)
    classifier = learnt(np.ones(len(samples), np.bool_))
    some = samples[:: -(-len(samples) // Map().applicability_samples)]
    space = applicability.fit(some, classifier.importance(), np.arange(len(some)) % 4)
    card = _card(classifier) | {
        "calibration": calibrator.to_dict(),
        "applicability": {
            "samples": len(space.points),
            "threshold": space.threshold,
            "mean_distance": space.mean_distance,
        },
    }
    return LandCoverModel(classifier.to_text(), card, training_space=space)


def trees_alone(features: FeatureStack) -> LandCoverModel:
    """A model of the same trees, which is what peers have: neither a discriminant, nor calibrated,
    nor told where it applies."""
    samples = _samples(features)
    classifier = train(samples, features.names)
    return LandCoverModel(classifier.to_text(), _card(classifier))


def _samples(features: FeatureStack) -> NDArray[np.float32]:
    """Return (sample, feature) of some pixels of a patch."""
    by_feature = features.read().reshape(len(features.names), -1)
    return np.ascontiguousarray(by_feature[:, pick(by_feature.shape[1])].T)


def _card(classifier: ProbabilityModel) -> dict[str, Any]:
    return {
        "classes": [{"id": i, "name": f"class {i}"} for i in classifier.class_ids],
        "features": list(classifier.feature_names),
        "parameters": dict(classifier.parameters),
    }
