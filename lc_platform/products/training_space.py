"""What a model's training has shown it: the space that its area of applicability is judged in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import applicability
from lc_platform.eo.applicability import TrainingSpace
from lc_platform.eo.regional import Regional
from lc_platform.products.options import TrainingOptions
from lc_platform.products.regional_training import RegionalTraining
from lc_platform.products.training_samples import Samples


def learn(
    samples: Mapping[str, Samples],
    importance: NDArray[np.float64],
    folds: Mapping[str, NDArray[np.integer[Any]]],
    options: TrainingOptions,
    kept: Mapping[str, NDArray[np.bool_]] | None = None,
) -> tuple[TrainingSpace | None, dict[str, Any]]:
    """Return the space of the samples that are for training, and what the model's card says of it.

    samples     by patch
    importance  (feature,), of the classifier
    folds       by patch, (sample,), the fold of the cross-validation that each is in
    kept        by patch, (sample,): which of the samples that are for training; all where None

    The space is None where the samples cannot tell, and the card says why.
    """
    rows = {
        p: np.arange(one.for_training) if kept is None else np.flatnonzero(kept[p])
        for p, one in samples.items()
    }
    labels = np.concatenate([one.classes[rows[p]] for p, one in samples.items()])
    of = np.concatenate([folds[p][rows[p]] for p in samples])
    chosen = applicability.choose(labels, options.applicability_samples, options.seed)
    first, parts = 0, []
    for patch, one in samples.items():
        own = rows[patch]
        here = chosen[(chosen >= first) & (chosen < first + len(own))] - first
        parts.append(one.features[own[here]])
        first += len(own)
    try:
        space = applicability.fit(
            np.concatenate(parts), importance, of[chosen], threads=options.threads
        )
    except ValueError as error:
        return None, {"samples": 0, "not_judged": str(error)}
    ids, counts = np.unique(labels[chosen], return_counts=True)
    return space, {
        "samples": len(chosen),
        "samples_by_class": {
            options.classes[i]: n for i, n in zip(ids.tolist(), counts.tolist(), strict=True)
        },
        "features": len(space.used),
        "threshold": space.threshold,
        "mean_distance": space.mean_distance,
    }


def learn_by_region(
    samples: Mapping[str, Samples],
    classifier: Regional,
    folds: Mapping[str, NDArray[np.integer[Any]]],
    options: TrainingOptions,
    regional: RegionalTraining,
) -> tuple[tuple[TrainingSpace, ...], dict[str, Any]]:
    """Return the space of each region's samples, and what the model's card says of them; none where
    those of one region cannot tell, and the card says why."""
    spaces: list[TrainingSpace] = []
    told: dict[str, dict[str, Any]] = {}
    for number, (name, member) in enumerate(
        zip(classifier.regions, classifier.members, strict=True)
    ):
        space, told[name] = learn(
            samples, member.importance(), folds, options, regional.kept(number, samples)
        )
        if space is None:
            why = f"region {name}: {told[name]['not_judged']}"
            return (), {"samples": 0, "not_judged": why}
        spaces.append(space)
    return tuple(spaces), {
        "samples": sum(one["samples"] for one in told.values()),
        "regions": told,
    }


def folds_of_patches(samples: Mapping[str, Samples]) -> dict[str, NDArray[np.int64]]:
    """Return the fold of each sample by patch, (sample,), where each patch is a fold."""
    return {p: np.full(len(one), fold) for fold, (p, one) in enumerate(samples.items())}
