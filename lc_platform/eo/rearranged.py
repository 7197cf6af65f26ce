"""A classifier that reads features, or tells classes, in an order of its own, or prepares them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.classifier import ProbabilityModel


@dataclass(frozen=True)
class Preprocessing:
    """What is done to features before a classifier reads them: ``(value - mean) / scale``."""

    mean: tuple[float, ...] = ()
    """(feature,), in the classifier's order; 0 where there is none."""
    scale: tuple[float, ...] = ()
    """(feature,), not 0; 1 where there is none."""
    missing: float | None = None
    """What a missing feature becomes, after that; it stays missing where None."""


@dataclass(frozen=True, eq=False)
class Rearranged:
    """A classifier behind what its card says of it."""

    classifier: ProbabilityModel
    """Whose features and classes have any order."""
    feature_names: tuple[str, ...]
    """The same as the classifier's, in another order."""
    preprocessing: Preprocessing = Preprocessing()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def class_ids(self) -> tuple[int, ...]:
        return tuple(sorted(self.classifier.class_ids))

    def probabilities(
        self, features: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing."""
        values = features[:, self._order]
        of = self.preprocessing
        if of.mean:
            values -= np.asarray(of.mean, np.float32)
        if of.scale:
            values /= np.asarray(of.scale, np.float32)
        if of.missing is not None:
            values[np.isnan(values)] = of.missing
        found = self.classifier.probabilities(values, threads=threads)
        return np.ascontiguousarray(found[:, self._by_class])

    def importance(self) -> NDArray[np.float64]:
        """Return how much each feature counts, (feature,), in the classifier's unit."""
        found = np.empty(len(self.feature_names))
        found[self._order] = self.classifier.importance()
        return found

    def to_text(self) -> str:
        """Return JSON that holds the classifier's own text."""
        return json.dumps(
            {
                "rearranged": self.classifier.to_text(),
                "features": self.classifier.feature_names,
                "classes": self.classifier.class_ids,
                "preprocessing": asdict(self.preprocessing),
            }
        )

    @cached_property
    def _order(self) -> list[int]:
        """(feature of the classifier,), its position among the features that are given."""
        at = {name: i for i, name in enumerate(self.feature_names)}
        return [at[name] for name in self.classifier.feature_names]

    @cached_property
    def _by_class(self) -> NDArray[np.intp]:
        """(class,), the position of each class, by its id, among the classifier's."""
        return np.argsort(self.classifier.class_ids)


def from_text(
    text: str,
    class_ids: Sequence[int],
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None,
    read: Callable[..., ProbabilityModel],
) -> Rearranged:
    """Return a classifier from its JSON and what its model card says of it.

    read  reads the text of the classifier within

    Raises ValueError where the text is none, or not one of these classes and features.
    """
    try:
        told = json.loads(text)
        features, classes = tuple(told["features"]), tuple(told["classes"])
        given = told["preprocessing"]
        of = Preprocessing(tuple(given["mean"]), tuple(given["scale"]), given["missing"])
        within = told["rearranged"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The text is no rearranged classifier: {error}") from error
    if sorted(features) != sorted(feature_names) or sorted(classes) != sorted(class_ids):
        raise ValueError(
            f"The model reads {len(features)} features and tells {len(classes)} classes; other "
            "ones were given. Model and model card do not belong together."
        )
    classifier = read(within, classes, features, parameters)
    return Rearranged(classifier, tuple(feature_names), of, dict(parameters or {}))
