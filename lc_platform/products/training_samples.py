"""Labelled pixels with their features, drawn from a patch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Legend, points_in, tracked
from lc_platform.eo.sampling import draw, erode
from lc_platform.products.features import FeatureStack
from lc_platform.products.options import SamplingOptions
from lc_platform.products.reference_rasters import ReferenceMap


@dataclass(frozen=True, eq=False)
class Samples:
    """Pixels of one patch and year."""

    patch: str
    year: int
    names: tuple[str, ...]
    features: NDArray[np.float32]
    """(sample, feature), NaN where missing."""
    classes: NDArray[np.uint8]
    """(sample,), class ids."""
    rows: NDArray[np.int32]
    """(sample,), of the patch's grid, from the north."""
    columns: NDArray[np.int32]
    """(sample,), from the west."""
    polygons: NDArray[np.uint32]
    """(sample,), ids of the reference's polygons, see `ReferenceMap.polygons`; 0 where there is
    none."""
    legend: Legend = field(default_factory=dict)
    """The classes that there may be."""
    training: NDArray[np.bool_] | None = None
    """(sample,), True for those that a classifier is trained on, which come first; all where
    None."""
    validation: NDArray[np.bool_] | None = None
    """(sample,), True for those that stand for all pixels that have a label, those near another
    class too; all where None."""

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def for_training(self) -> int:
        """How many samples, the first ones, are for training."""
        return len(self) if self.training is None else int(np.count_nonzero(self.training))

    @property
    def for_validation(self) -> NDArray[np.bool_]:
        """(sample,), ``validation``."""
        return np.ones(len(self), np.bool_) if self.validation is None else self.validation


def collect(features: FeatureStack, reference: ReferenceMap, options: SamplingOptions) -> Samples:
    """Draw labelled pixels at random and read their features: those to train on, which are not
    near another class, and beside them ``validation_pixels`` of all.

    A pixel without any feature is not kept, so fewer than ``pixels_per_patch`` may come back;
    none where the patch has no label. Raises DataError where the reference lies on another grid.
    """
    reference.check_lies_on(features.geobox, features.name)
    labels = reference.unambiguous()
    if options.area is not None:
        labels = np.where(options.area.on(features.geobox).read(), labels, np.uint8(0))
    inner = erode(reference.unambiguous(), options.erosion)
    rows, columns = draw(
        np.where(labels, inner, np.uint8(0)),
        options.pixels_per_patch,
        (options.seed, features.patch),
    )
    training = np.ones(len(rows), np.bool_)
    validation = None
    if options.validation_pixels:
        also = draw(labels, options.validation_pixels, (options.seed, features.patch, "validation"))
        width = labels.shape[1]
        drawn, others = (r.astype(np.int64) * width + c for r, c in ((rows, columns), also))
        more = ~np.isin(others, drawn)
        validation = np.concatenate([np.isin(drawn, others), np.ones(more.sum(), np.bool_)])
        rows, columns = (
            np.concatenate(pair) for pair in ((rows, also[0][more]), (columns, also[1][more]))
        )
        training = np.arange(len(rows)) < len(drawn)
    values = np.empty((len(rows), len(features.names)), dtype=np.float32)
    polygons = np.empty(len(rows), dtype=np.uint32)
    for tile in tracked(features.geobox.shape, options.window):
        inside, at = points_in(tile, rows, columns)
        if len(inside):
            values[inside] = features.read(tile)[:, *at].T
            polygons[inside] = reference.polygons(tile)[at]
    seen = ~np.isnan(values).all(axis=1)
    rows, columns = rows[seen], columns[seen]
    return Samples(
        features.patch,
        features.year,
        features.names,
        values[seen],
        labels[rows, columns],
        rows,
        columns,
        polygons[seen],
        options.classes,
        training[seen],
        None if validation is None else validation[seen],
    )
