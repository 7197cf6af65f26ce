"""Labelled pixels with their features, drawn from a patch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Legend, points_in, tracked
from lc_platform.eo.sampling import (
    draw,
    draw_balanced,
    draw_by_polygon,
    erode_by_class,
    hollow_polygons,
)
from lc_platform.errors import DataError
from lc_platform.products.features import FeatureStack
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.products.sampling_options import SamplingOptions

if TYPE_CHECKING:
    from lc_platform.sources.sample_points import PixelsOfPoints, SamplePoints

_log = logging.getLogger(__name__)


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
    weights: NDArray[np.float64] | None = None
    """(sample,), above 0, what they count for in training; 1 each where None."""
    points: NDArray[np.bool_] | None = None
    """(sample,), True for points that users brought; none where None."""

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def for_training(self) -> int:
        """How many samples, the first ones, are for training."""
        return len(self) if self.training is None else int(np.count_nonzero(self.training))

    @property
    def training_weights(self) -> NDArray[np.float64]:
        """(sample,), ``weights`` of those that are for training."""
        weights = np.ones(len(self)) if self.weights is None else self.weights
        return weights[: self.for_training]

    @property
    def for_validation(self) -> NDArray[np.bool_]:
        """(sample,), ``validation``."""
        return np.ones(len(self), np.bool_) if self.validation is None else self.validation


def collect(
    features: FeatureStack,
    reference: ReferenceMap,
    options: SamplingOptions,
    points: SamplePoints | None = None,
) -> Samples:
    """Draw labelled pixels at random by the strategy and read their features: those to train on,
    which are not near another class, and beside them ``validation_pixels`` of all.

    points  that users bring; those of the year are samples too, or the only ones to train on. A
            pixel with a point is not drawn

    A pixel without any feature is not kept, so fewer than ``pixels_per_patch`` may come back;
    none where the patch has no label. Raises DataError where the reference lies on another grid, or
    has labels but no polygons where the options ask for these.
    """
    reference.check_lies_on(features.geobox, features.name)
    labels = reference.unambiguous()
    area = None if options.area is None else options.area.on(features.geobox).read()
    if options.points is not None and options.points.alone:
        inner = np.zeros_like(labels)
    else:
        inner = _eroded(labels, reference, options, features.name)
    if area is not None:
        labels = np.where(area, labels, np.uint8(0))
    brought = None
    if points is not None:
        brought = _brought(points, features, area)
        labels[brought.rows, brought.columns] = 0
    rows, columns = _drawn(
        np.where(labels, inner, np.uint8(0)), reference, options, features.patch, features.name
    )
    classes = labels[rows, columns]
    if brought is not None:
        rows, columns = _joined((brought.rows, rows), (brought.columns, columns))
        classes = np.concatenate([brought.classes, classes])
    training = np.ones(len(rows), np.bool_)
    validation = None
    if options.validation_pixels:
        also = draw(labels, options.validation_pixels, (options.seed, features.patch, "validation"))
        width = labels.shape[1]
        drawn, others = (r.astype(np.int64) * width + c for r, c in ((rows, columns), also))
        more = ~np.isin(others, drawn)
        validation = np.concatenate([np.isin(drawn, others), np.ones(more.sum(), np.bool_)])
        rows, columns = _joined((rows, also[0][more]), (columns, also[1][more]))
        classes = np.concatenate([classes, labels[also[0][more], also[1][more]]])
        training = np.arange(len(rows)) < len(drawn)
    values = np.empty((len(rows), len(features.names)), dtype=np.float32)
    polygons = np.empty(len(rows), dtype=np.uint32)
    for tile in tracked(features.geobox.shape, options.window):
        inside, at = points_in(tile, rows, columns)
        if len(inside):
            values[inside] = features.read(tile)[:, *at].T
            polygons[inside] = reference.polygons(tile)[at]
    seen = ~np.asarray(np.isnan(values).all(axis=1), np.bool_)
    return Samples(
        features.patch,
        features.year,
        features.names,
        values[seen],
        classes[seen],
        rows[seen],
        columns[seen],
        polygons[seen],
        options.classes,
        training[seen],
        None if validation is None else validation[seen],
        **({} if brought is None else _of_points(brought, seen)),
    )


def _joined(*pairs: tuple[NDArray[np.int32], NDArray[np.int32]]) -> Iterator[NDArray[np.int32]]:
    return (np.concatenate(pair) for pair in pairs)


def _brought(
    points: SamplePoints, features: FeatureStack, area: NDArray[np.bool_] | None
) -> PixelsOfPoints:
    """Return the points of the year on the patch, those beyond the area (y, x) left out."""
    found = points.on(features.geobox, features.year)
    if found.ambiguous:
        _log.warning(
            "%s: %d points of sampling.points share a pixel with one of another class, and are "
            "left out",
            features.name,
            found.ambiguous,
        )
    return found if area is None else found.chosen(area[found.rows, found.columns])


def _of_points(brought: PixelsOfPoints, seen: NDArray[np.bool_]) -> dict[str, Any]:
    """Return what is told of samples of which the first are points, of those that are kept."""
    weights = np.ones(len(seen))
    weights[: len(brought)] = brought.weights
    alike = (weights == 1).all()
    return {
        "weights": None if alike else weights[seen],
        "points": (np.arange(len(seen)) < len(brought))[seen],
    }


def _eroded(
    labels: NDArray[np.uint8], reference: ReferenceMap, options: SamplingOptions, name: str
) -> NDArray[np.uint8]:
    """Return the labels (y, x) without those near another class."""
    found = erode_by_class(labels, options.erosion, options.class_erosion)
    if not options.core_fraction:
        return found
    hollow = hollow_polygons(
        (
            (polygons, labels[rows] != 0, found[rows] != 0)
            for rows, polygons in _polygons(labels, reference, options, name)
        ),
        options.core_fraction,
    )
    for rows, polygons in _polygons(labels, reference, options, name):
        np.copyto(found[rows], labels[rows], where=np.isin(polygons, hollow))
    return found


def _drawn(
    classes: NDArray[np.uint8],
    reference: ReferenceMap,
    options: SamplingOptions,
    patch: str,
    name: str,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the rows and columns of pixels to train on, (sample,) each, of classes (y, x)."""
    count, seed = options.pixels_per_patch, (options.seed, patch)
    if options.strategy == "balanced":
        return draw_balanced(classes, count, options.pixels_per_class, seed)
    if options.strategy == "by_polygon":
        assert options.pixels_per_polygon is not None
        strips = _polygons(classes, reference, options, name)
        return draw_by_polygon(
            (polygons for _, polygons in strips), options.pixels_per_polygon, count, seed
        )
    return draw(classes, count, seed)


def _polygons(
    classes: NDArray[np.uint8], reference: ReferenceMap, options: SamplingOptions, name: str
) -> Iterator[tuple[slice, NDArray[np.uint32]]]:
    """Yield strips of rows, and the polygon of each of their pixels that has a class, (y, x), 0 of
    the others."""
    height, width = classes.shape
    for first in range(0, height, options.window):
        rows = slice(first, min(first + options.window, height))
        polygons = np.where(classes[rows] != 0, reference.polygons((rows, slice(0, width))), 0)
        if ((polygons == 0) & (classes[rows] != 0)).any():
            raise DataError(
                f"{name}: its reference has labels that are of no polygon, as a raster has, and "
                "sampling.strategy: by_polygon and sampling.core_fraction ask for polygons. Remove "
                "these keys, or materialize reference_rasters of a reference of polygons"
            )
        yield rows, polygons.astype(np.uint32, copy=False)
