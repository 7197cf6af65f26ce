"""What classifiers say of ground that they were not trained on, where there is a reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import Window
from lc_platform.products.model import LandCoverModel

NO_FOLD = 255


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Of the pixels of a window."""

    classes: NDArray[np.uint8]
    """(y, x), class ids, 0 where there is no data, or nothing is asked for."""
    confidence: NDArray[np.uint8]
    """(y, x), percent, 0 likewise."""
    folds: NDArray[np.uint8]
    """(y, x), whose classifier it was, `NO_FOLD` where nothing is asked for."""
    probabilities: NDArray[np.float32]
    """(class, y, x), calibrated, 0 to 1; NaN likewise."""


def predicted(
    model: LandCoverModel,
    features: NDArray[np.float32],
    asked: NDArray[np.bool_],
    folds: NDArray[np.uint8],
    *,
    threads: int = 0,
) -> HeldOut:
    """Classify the pixels of a window that are asked for, each by the classifier of its fold.

    features  (feature, y, x), NaN where missing
    asked     (y, x)
    folds     (y, x); without folds 0, by the model itself
    """
    shape = asked.shape
    classes, confidence = np.zeros((2, *shape), np.uint8)
    probabilities = np.full((len(model.card["classes"]), *shape), np.nan, np.float32)
    for fold in np.unique(folds[asked]).tolist():
        here = asked & (folds == fold)
        found = model.predict(
            np.ascontiguousarray(features[:, here][:, np.newaxis]),
            fold=fold if model.fold_texts else None,
            threads=threads,
        )
        classes[here], confidence[here] = found.classes[0], found.confidence[0]
        probabilities[:, here] = found.probabilities[:, 0]
    return HeldOut(classes, confidence, np.where(asked, folds, np.uint8(NO_FOLD)), probabilities)


def folds_in(
    model: LandCoverModel,
    patch: str,
    geobox: GeoBox,
    polygons: NDArray[np.uint32],
    window: Window | None = None,
) -> NDArray[np.uint8]:
    """Return the fold of each pixel of a window of a patch, (y, x); 0 without folds.

    polygons  (y, x), ids of the reference's, of the window
    """
    if model.ground is None:
        return np.zeros(polygons.shape, np.uint8)
    return model.ground.fold_of(model.ground.blocks_in(patch, geobox, polygons, window))
