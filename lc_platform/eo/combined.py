"""Several classifiers, which make different mistakes: a weighted mean of their probabilities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.classifier import ProbabilityModel

_BESIDE = "\ndiscriminant="
"""Where the discriminant begins in the text of what is combined by default: behind what LightGBM
reads."""
_USUAL = ("lightgbm", "discriminant")


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """Classifiers of the same classes by the same features."""

    methods: tuple[str, ...]
    """(member,)"""
    members: tuple[ProbabilityModel, ...]
    """(member,), two or more."""
    weights: tuple[float, ...]
    """(member,), above 0; they count in proportion to each other."""

    @property
    def class_ids(self) -> tuple[int, ...]:
        return self.members[0].class_ids

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.members[0].feature_names

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Those of all members where LightGBM and a discriminant weigh the same, else by method."""
        if self._usual:
            return {**self.members[0].parameters, **self.members[1].parameters}
        return {
            method: {"weight": weight, **one.parameters}
            for method, one, weight in zip(self.methods, self.members, self.weights, strict=True)
        }

    @property
    def _usual(self) -> bool:
        return self.methods == _USUAL and self.weights[0] == self.weights[1]

    def probabilities(
        self, features: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing."""
        total = np.zeros((len(features), len(self.class_ids)), np.float32)
        for one, weight in zip(self.members, self.weights, strict=True):
            total += np.float32(weight) * one.probabilities(features, threads=threads)
        total *= np.float32(1 / sum(self.weights))
        return total

    def importance(self) -> NDArray[np.float64]:
        """Return how much each feature counts, (feature,): that of LightGBM where it weighs the
        same as a discriminant, else the weighted mean of the members' shares, 1 in all."""
        if self._usual:
            return self.members[0].importance()
        total = np.zeros(len(self.feature_names))
        for one, weight in zip(self.members, self.weights, strict=True):
            own = one.importance()
            total += weight * own / (own.sum() or 1.0)
        return total / sum(self.weights)

    def to_text(self) -> str:
        """Return LightGBM's text, which any LightGBM reads, with the discriminant behind it, where
        these two weigh the same; JSON of all members' texts else."""
        texts = [one.to_text() for one in self.members]
        if self._usual:
            return f"{texts[0]}{_BESIDE}{texts[1]}"
        rows = zip(self.methods, self.weights, texts, strict=True)
        return json.dumps(
            {"combined": [{"method": m, "weight": w, "text": text} for m, w, text in rows]}
        )


@dataclass(frozen=True)
class Parts:
    """What the text of combined classifiers is made of."""

    methods: tuple[str, ...]
    weights: tuple[float, ...]
    texts: tuple[str, ...]
    usual: bool
    """Whether they are LightGBM and a discriminant of the same weight."""


def parts(text: str) -> Parts | None:
    """Return what a text of `Combined.to_text` is made of; None where it is of one classifier.

    Raises ValueError where it is damaged.
    """
    if not text.startswith("{"):
        trees, beside, linear = text.partition(_BESIDE)
        return Parts(_USUAL, (1.0, 1.0), (trees, linear), True) if beside else None
    if not text.startswith('{"combined"'):
        return None
    try:
        told = json.loads(text)["combined"]
        methods, weights, texts = zip(
            *((str(m["method"]), float(m["weight"]), str(m["text"])) for m in told), strict=True
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The text is of no combined classifiers: {error}") from error
    return Parts(methods, weights, texts, False)
