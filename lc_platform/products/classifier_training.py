"""A classifier that is trained on some of the samples of all patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import classification_methods
from lc_platform.eo.classifier import ProbabilityModel
from lc_platform.eo.training_table import polygon_weights
from lc_platform.errors import DataError
from lc_platform.products.ground_folds import Blocks, patch_block
from lc_platform.products.options import TrainingOptions
from lc_platform.products.training_samples import Samples


def fitted(
    samples: Mapping[str, Samples],
    options: TrainingOptions,
    *,
    class_ids: Sequence[int] = (),
    kept: Mapping[str, NDArray[np.bool_]] | None = None,
    without: NDArray[np.uint32] | None = None,
    blocks: Mapping[str, Blocks] | None = None,
) -> ProbabilityModel:
    """Train a classifier on the samples that are for training.

    samples    by patch
    class_ids  that it tells apart; those of the samples where there is none
    kept       by patch, (sample,): which of the samples that are for training; all where None
    without    ids of the polygons whose samples are left out
    blocks     by patch, (sample,), the ground that each counts for; whole patches where None

    Raises DataError where rounds are to stop by ground that is held out, and there is none.
    """
    parts, labels, ground = [], [], []
    polygons, brought = [], []
    for patch, one in samples.items():
        features, classes = one.features[: one.for_training], one.classes[: one.for_training]
        of, own = one.polygons[: one.for_training], one.training_weights
        chosen = np.ones(len(classes), np.bool_) if kept is None else kept[patch]
        if without is not None and len(without):
            chosen = chosen & ~np.isin(of, without)
        if not chosen.all():
            features, classes = features[chosen], classes[chosen]
            of, own = of[chosen], own[chosen]
        parts.append(features)
        labels.append(classes)
        polygons.append(of)
        brought.append(own)
        if blocks is None:
            ground.append(np.full(len(classes), patch_block(patch), np.int64))
        else:
            ground.append(blocks[patch][: one.for_training][chosen])
    where = np.concatenate(ground)
    if options.stops_early and len(where) and (where == where[0]).all():
        raise DataError(
            f"{next(iter(samples.values())).year}: model.early_stopping_round: the {len(where):,} "
            "samples that a classifier is trained on lie in one block of ground, and its rounds "
            "need another one to stop by. Take smaller blocks (validation.block_size), split the "
            "area into smaller patches (aoi.patch_size), or remove early_stopping_round"
        )
    weights = options.class_weights
    weighed = any(one.weights is not None for one in samples.values())
    sample_weights = np.concatenate(brought) if weighed else None
    if options.sample_weights == "by_polygon":
        by_polygon = polygon_weights(np.concatenate(polygons))
        sample_weights = by_polygon if sample_weights is None else by_polygon * sample_weights
    return classification_methods.train(
        options.method,
        parts,
        np.concatenate(labels),
        feature_names=next(iter(samples.values())).names,
        parameters=options.parameters,
        members=classification_methods.members(options.members),
        seed=options.seed,
        balanced=weights != "none",
        class_weights={} if isinstance(weights, str) else weights,
        sample_weights=sample_weights,
        class_ids=class_ids,
        blocks=where,
        threads=options.threads,
    )
