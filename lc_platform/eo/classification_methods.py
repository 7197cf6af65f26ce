"""The classifiers that users choose from by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import classifier as trees
from lc_platform.eo import discriminant
from lc_platform.eo.classifier import Classifier, ProbabilityModel
from lc_platform.eo.discriminant import Discriminant

Method = Literal["lightgbm", "discriminant", "combined"]

_BESIDE = "\ndiscriminant="
"""Where the discriminant begins in the text of both: behind what LightGBM reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """Trees and a discriminant, which make different mistakes; the mean of their probabilities."""

    trees: Classifier
    discriminant: Discriminant

    @property
    def class_ids(self) -> tuple[int, ...]:
        return self.trees.class_ids

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.trees.feature_names

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {**self.trees.parameters, **self.discriminant.parameters}

    def probabilities(
        self, features: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing."""
        found = self.trees.probabilities(features, threads=threads)
        found += self.discriminant.probabilities(features, threads=threads)
        found *= np.float32(0.5)
        return found

    def importance(self) -> NDArray[np.float64]:
        """Return (feature,), that of the trees."""
        return self.trees.importance()

    def to_text(self) -> str:
        """Return LightGBM's text, which any LightGBM reads, and behind it the discriminant."""
        return f"{self.trees.to_text()}{_BESIDE}{self.discriminant.to_text()}"


def train(
    method: Method,
    features: NDArray[np.float32] | Sequence[NDArray[np.float32]],
    labels: NDArray[np.integer[Any]],
    *,
    feature_names: Sequence[str],
    parameters: Mapping[str, Any],
    seed: int,
    balanced: bool = False,
    class_ids: Sequence[int] = (),
    threads: int = 0,
) -> ProbabilityModel:
    """Train a classifier; see `classifier.train` for the arguments.

    Raises ValueError as that does.
    """

    def linear() -> Discriminant:
        return discriminant.train(
            features, labels, feature_names=feature_names, balanced=balanced, class_ids=class_ids
        )

    if method == "discriminant":
        return linear()
    found = trees.train(
        features,
        labels,
        feature_names=feature_names,
        parameters=parameters,
        seed=seed,
        balanced=balanced,
        class_ids=class_ids,
        threads=threads,
    )
    return Combined(found, linear()) if method == "combined" else found


def from_text(
    text: str,
    class_ids: Sequence[int],
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> ProbabilityModel:
    """Return a classifier from its text and what its model card says of it.

    Raises ValueError where the text is not a classifier, or not one of these classes and features.
    """
    if text.startswith("{"):
        return discriminant.from_text(text, class_ids, feature_names, parameters)
    forest, beside, linear = text.partition(_BESIDE)
    found = trees.from_text(forest, class_ids, feature_names, parameters)
    if not beside:
        return found
    return Combined(found, discriminant.from_text(linear, class_ids, feature_names))


def identity(text: str) -> str:
    """Return what of a classifier's text makes its probabilities, without how it was trained."""
    forest, _, linear = text.partition(_BESIDE)
    return forest.split("\nparameters:")[0] + linear
