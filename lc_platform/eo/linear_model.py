"""Classifiers whose scores are linear in the features: what discriminants and logistic regressions
come to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.forest_kernels import to_probabilities
from lc_platform.runtime.threads import parallel_for

Kind = Literal["discriminant", "logistic"]
KINDS: Mapping[Kind, str] = {
    "discriminant": "linear, covariance shrunk after Ledoit and Wolf (2004)",
    "logistic": "multinomial, of standardized features",
}
"""What the text of each kind begins with."""
NEVER = -1e30
"""The offset of a class that no sample has."""
_ARRAYS = ("means", "weights", "offsets", "separation")
_ROWS = 1 << 14
"""Samples, or pixels, that are worked on at a time."""
_TOGETHER = 256
"""Pixels whose scores are added up at a time, by _FEATURES features at once."""
_FEATURES = 4


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """The scores of classes, each linear in the features, and through softmax probabilities."""

    kind: Kind
    class_ids: tuple[int, ...]
    """Ascending; the class of each column of the probabilities."""
    feature_names: tuple[str, ...]
    """In the order of the features it was trained on."""
    means: NDArray[np.float64]
    """(feature,), which stand for missing values."""
    weights: NDArray[np.float64]
    """(feature, class), of a feature's difference from its mean."""
    offsets: NDArray[np.float64]
    """(class,)"""
    separation: NDArray[np.float64]
    """(feature,), how much it tells classes apart, 0 or more: of a discriminant its variance
    between classes over that within; of a logistic regression the root of its weights' mean square,
    for a step of its standard deviation."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained with, and what training found, such as ``shrinkage``."""

    def probabilities(
        self, features: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing."""
        found = np.empty((len(features), len(self.class_ids)), np.float32)
        # None is left over: a feature more whose weights are 0 changes no score.
        more = -len(self.weights) % _FEATURES
        weights = np.ascontiguousarray(np.pad(self.weights, ((0, more), (0, 0))))

        def part(some: slice) -> None:
            scores = np.empty((some.stop - some.start, len(self.class_ids)))
            _score(features[some], self.means, weights, self.offsets, scores)
            to_probabilities(scores)
            found[some] = scores

        parallel_for(part, len(features), _ROWS, threads)
        return found

    def importance(self) -> NDArray[np.float64]:
        """Return how well each feature tells classes apart, (feature,)."""
        return self.separation

    def to_text(self) -> str:
        """Return it as JSON."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return json.dumps({self.kind: KINDS[self.kind], **arrays})


def from_text(
    text: str,
    class_ids: Sequence[int],
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> LinearModel:
    """Return a linear classifier from its JSON and what its model card says of it.

    Raises ValueError where the text is none, or not one of these classes and features.
    """
    try:
        told = json.loads(text)
        (kind,) = (one for one in KINDS if one in told)
        means, weights, offsets, separation = (np.array(told[n], np.float64) for n in _ARRAYS)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The text is no linear classifier: {error}") from error
    expected = len(feature_names), len(class_ids)
    if weights.shape != expected or means.shape != expected[:1] or offsets.shape != expected[1:]:
        raise ValueError(
            f"The {kind}'s weights (feature, class) are {weights.shape}; {expected[0]} "
            f"feature names and {expected[1]} class ids were given. Model and model card do not "
            "belong together."
        )
    return LinearModel(
        kind,
        tuple(class_ids),
        tuple(feature_names),
        means,
        weights,
        offsets,
        separation,
        dict(parameters or {}),
    )


def feature_means(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the mean of the values of each feature that are not missing, (feature,); 0 where all
    are.

    parts  each (sample, feature), NaN where missing
    """
    width = parts[0].shape[1]
    total, known = np.zeros(width), np.zeros(width)
    for part in parts:
        total += np.nansum(part, axis=0, dtype=np.float64)
        known += np.count_nonzero(~np.isnan(part), axis=0)
    return total / np.maximum(known, 1)


def centred(
    parts: Sequence[NDArray[np.float32]], means: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield some samples at a time: which, and how they differ from the means, 0 if missing."""
    first = 0
    for part in parts:
        for start in range(0, len(part), _ROWS):
            values = part[start : start + _ROWS] - means
            values[np.isnan(values)] = 0
            yield slice(first + start, first + start + len(values)), values
        first += len(part)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _score(features, means, weights, offsets, scores):  # type: ignore[no-untyped-def]
    """Fill scores (pixel, class); those of a pixel do not depend on other pixels, to the bit."""
    count, classes = scores.shape
    totals = np.empty((classes, _TOGETHER))
    apart = np.zeros((_FEATURES, _TOGETHER))
    for first in range(0, count, _TOGETHER):
        size = min(_TOGETHER, count - first)
        for k in range(classes):
            totals[k, :] = offsets[k]
        for start in range(0, weights.shape[0], _FEATURES):
            for j in range(_FEATURES):
                d = start + j
                if d == means.shape[0]:
                    apart[j:] = 0
                    break
                for i in range(size):
                    value = np.float64(features[first + i, d]) - means[d]
                    apart[j, i] = value if value == value else 0.0
            for k in range(classes):
                total = totals[k]
                for i in range(_TOGETHER):
                    score = total[i]
                    for j in range(_FEATURES):
                        score += apart[j, i] * weights[start + j, k]
                    total[i] = score
        for i in range(size):
            for k in range(classes):
                scores[first + i, k] = totals[k, i]
