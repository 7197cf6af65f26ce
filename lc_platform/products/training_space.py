"""What a model's training has shown it: the space that its area of applicability is judged in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import applicability
from lc_platform.eo.applicability import TrainingSpace
from lc_platform.products.options import TrainingOptions
from lc_platform.products.training_samples import Samples


def learn(
    samples: Mapping[str, Samples],
    importance: NDArray[np.float64],
    folds: Mapping[str, NDArray[np.integer[Any]]],
    options: TrainingOptions,
) -> tuple[TrainingSpace | None, dict[str, Any]]:
    """Return the space of the samples that are for training, and what the model's card says of it.

    samples     by patch
    importance  (feature,), of the classifier
    folds       by patch, (sample,), the fold of the cross-validation that each is in

    The space is None where the samples cannot tell, and the card says why.
    """
    labels = np.concatenate([one.classes[: one.for_training] for one in samples.values()])
    of = np.concatenate([folds[p][: one.for_training] for p, one in samples.items()])
    chosen = applicability.choose(labels, options.applicability_samples, options.seed)
    first, parts = 0, []
    for one in samples.values():
        here = chosen[(chosen >= first) & (chosen < first + one.for_training)] - first
        parts.append(one.features[here])
        first += one.for_training
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


def folds_of_patches(samples: Mapping[str, Samples]) -> dict[str, NDArray[np.int64]]:
    """Return the fold of each sample by patch, (sample,), where each patch is a fold."""
    return {p: np.full(len(one), fold) for fold, (p, one) in enumerate(samples.items())}
