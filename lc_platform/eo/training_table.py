"""What every kind of classifier is trained on: features, labels and weights of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """Samples whose shapes agree, of two classes or more."""

    parts: tuple[NDArray[np.float32], ...]
    """Each (sample, feature), NaN where missing; together all samples."""
    positions: NDArray[np.int64]
    """(sample,), of its class among the class ids."""
    class_ids: tuple[int, ...]
    """Ascending; all classes that are told apart, also those that no sample has."""
    feature_names: tuple[str, ...]
    """(feature,)"""
    balanced: bool
    """Whether every class has the same weight in all."""
    blocks: NDArray[np.int64] | None = None
    """(sample,), keys of the block of ground that each lies in; None where it is not known."""
    class_weights: Mapping[int, float] = field(default_factory=dict)
    """Class id -> how many times as much it weighs as the others, where these are balanced."""
    sample_weights: NDArray[np.float64] | None = None
    """(sample,), above 0, of the samples of a class; None where these weigh the same."""

    @classmethod
    def of(
        cls,
        features: NDArray[np.float32] | Sequence[NDArray[np.float32]],
        labels: NDArray[np.integer[Any]],
        *,
        feature_names: Sequence[str],
        class_ids: Sequence[int] = (),
        balanced: bool = False,
        blocks: NDArray[np.int64] | None = None,
        class_weights: Mapping[int, float] = MappingProxyType({}),
        sample_weights: NDArray[np.float64] | None = None,
    ) -> Self:
        """Return a table of samples.

        features       (sample, feature), NaN where missing; or several of them
        labels         (sample,), class ids, 1 to 255, not necessarily consecutive
        feature_names  (feature,)
        class_ids      ascending; those of the labels where there is none
        blocks         (sample,), keys of the block of ground that each lies in
        balanced, class_weights, sample_weights  see the fields; with weights of classes all are
                       balanced

        Raises ValueError where the shapes do not agree, or there are not two classes to tell apart.
        """
        parts = [features] if isinstance(features, np.ndarray) else list(features)
        widths = sorted({part.shape[1] for part in parts})
        count = sum(map(len, parts))
        if blocks is not None and len(blocks) != len(labels):
            raise ValueError(f"{len(blocks)} blocks do not agree with {len(labels)} labels.")
        if count != len(labels) or widths != [len(feature_names)]:
            raise ValueError(
                f"features (sample, feature) of {count} samples and "
                f"{' and '.join(map(str, widths))} features do not agree with {len(labels)} labels "
                f"and {len(feature_names)} feature names."
            )
        ids = tuple(int(class_id) for class_id in (class_ids or np.unique(labels)))
        if len(ids) < 2:
            raise ValueError(
                f"A classifier needs samples of at least two classes; these are of {list(ids)}. "
                "Add patches or classes to the reference, or lower the erosion."
            )
        if ids[0] < 1 or ids[-1] > 255:
            raise ValueError(f"Class ids must be within 1 to 255 (0 is no data): {list(ids)}")
        if not np.isin(labels, ids).all():
            raise ValueError(f"The labels have classes that are not among {list(ids)}.")
        positions = np.searchsorted(ids, labels).astype(np.int64)
        return cls(
            tuple(parts),
            positions,
            ids,
            tuple(feature_names),
            balanced or bool(class_weights),
            blocks,
            dict(class_weights),
            sample_weights,
        )

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(class,), samples."""
        return np.bincount(self.positions, minlength=len(self.class_ids))

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """(class,), weights of its samples together, before classes are balanced."""
        found = np.bincount(self.positions, self.sample_weights, len(self.class_ids))
        return found.astype(np.float64)

    @property
    def priors(self) -> NDArray[np.float64]:
        """(class,), the share of each class in the weights of all, 1 together."""
        wanted = self.totals
        if self.balanced:
            factors = np.array([self.class_weights.get(one, 1.0) for one in self.class_ids])
            wanted = np.where(self.counts > 0, factors, 0.0)
        priors: NDArray[np.float64] = wanted / wanted.sum()
        return priors

    @property
    def shares(self) -> NDArray[np.float64]:
        """(sample,), the share of each in the weights of all, 1 together."""
        of_class = self.priors / np.where(self.totals > 0, self.totals, 1.0)
        shares: NDArray[np.float64] = of_class[self.positions]
        return shares if self.sample_weights is None else shares * self.sample_weights

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """(sample,), 1 in the mean: what they count for in training; None where all count the
        same."""
        if self.class_weights or self.sample_weights is not None:
            return self.shares * len(self.positions)
        if not self.balanced:
            return None
        present = np.count_nonzero(self.counts)
        of_class = len(self.positions) / (present * np.maximum(self.counts, 1))
        weights: NDArray[np.float64] = of_class[self.positions]
        return weights

    def whole(self) -> NDArray[np.float32]:
        """Return all features, (sample, feature), contiguous; a copy where there are several
        parts."""
        found = self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)
        return np.ascontiguousarray(found, np.float32)


def polygon_weights(polygons: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return weights of samples with which all polygons weigh the same, (sample,), 0 to 1.

    polygons  (sample,), ids; a sample of none, 0, weighs as much as a polygon
    """
    _, where, counts = np.unique(polygons, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = np.where(polygons == 0, 1.0, 1.0 / counts[where])
    return weights
