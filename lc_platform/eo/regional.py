"""Classifiers by region: the mean of their probabilities by the regions' weights at each pixel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.classifier import ProbabilityModel


@dataclass(frozen=True, slots=True, eq=False)
class Regional:
    """A classifier a region, by the same features; their classes may differ."""

    regions: tuple[str, ...]
    """(region,), their names."""
    members: tuple[ProbabilityModel, ...]
    """(region,)"""
    class_ids: tuple[int, ...]
    """Ascending; those of all members. A member gives the ones that it lacks the probability 0."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.members[0].feature_names

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Those that all members share."""
        first, *others = (one.parameters for one in self.members)
        return {
            name: value
            for name, value in first.items()
            if all(name in one and one[name] == value for one in others)
        }

    def probabilities(
        self,
        features: NDArray[np.float32],  # noqa: ARG002
        *,
        threads: int = 0,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Raises ValueError: it takes the weights of the regions too, see `blended`."""
        raise ValueError(
            f"A classifier of {len(self.regions)} regions needs their weights at each pixel."
        )

    def blended(
        self, features: NDArray[np.float32], weights: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing.

        weights  (pixel, region), 0 to 1, 1 together; a member is asked only of the pixels where
                 its weight is above 0

        Raises ValueError where the weights are of other regions or pixels.
        """
        if weights.shape != (len(features), len(self.regions)):
            raise ValueError(
                f"Weights {weights.shape} do not agree with {len(features)} pixels (pixel, region) "
                f"of {len(self.regions)} regions."
            )
        total = np.zeros((len(features), len(self.class_ids)), np.float32)
        for member, weight in zip(self.members, weights.T, strict=True):
            of = np.flatnonzero(weight > 0)
            if not len(of):
                continue
            columns = np.searchsorted(self.class_ids, member.class_ids)
            whole = len(of) == len(features)
            found = member.probabilities(features if whole else features[of], threads=threads)
            total[of[:, np.newaxis], columns] += weight[of, np.newaxis] * found
        return total

    def importance(self) -> NDArray[np.float64]:
        """Return how much each feature counts, (feature,): the mean of the members' shares, 1 in
        all."""
        total = np.zeros(len(self.feature_names))
        for one in self.members:
            own = one.importance()
            total += own / (own.sum() or 1.0)
        return total / len(self.members)

    def to_text(self) -> str:
        """Return JSON of all members' texts."""
        rows = zip(self.regions, self.members, strict=True)
        return joined([RegionText(name, one.class_ids, one.to_text()) for name, one in rows])


@dataclass(frozen=True)
class RegionText:
    """A region's part of the text of a `Regional`."""

    region: str
    class_ids: tuple[int, ...]
    text: str


def parts(text: str) -> tuple[RegionText, ...] | None:
    """Return what a text of `Regional.to_text` is made of, by region; None where it is none.

    Raises ValueError where it is damaged.
    """
    if not text.startswith('{"regional"'):
        return None
    try:
        return tuple(
            RegionText(str(one["region"]), tuple(map(int, one["classes"])), str(one["text"]))
            for one in json.loads(text)["regional"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The text is of no classifiers by region: {error}") from error


def joined(several: Sequence[RegionText]) -> str:
    """Return the text that `parts` takes apart."""
    return json.dumps(
        {
            "regional": [
                {"region": one.region, "classes": list(one.class_ids), "text": one.text}
                for one in several
            ]
        }
    )


def from_parts(
    several: Sequence[RegionText],
    class_ids: Sequence[int],
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None,
    read: Callable[..., ProbabilityModel],
) -> Regional:
    """Return the classifier of a text that was taken apart.

    read  reads the text of a member, see `classification_methods.from_text`

    Raises ValueError where a member is no classifier, or not one of these features, or a region has
    classes that are not among ``class_ids``.
    """
    for one in several:
        unknown = sorted(set(one.class_ids) - set(class_ids))
        if unknown:
            raise ValueError(
                f"Region {one.region} tells class {unknown[0]}, which is not among the model's. "
                "Model and model card do not belong together."
            )
    members = (read(one.text, one.class_ids, feature_names, parameters) for one in several)
    return Regional(tuple(one.region for one in several), tuple(members), tuple(class_ids))
