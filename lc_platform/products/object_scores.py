"""The accuracy of objects, such as parcels, each of which has one class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.config.input_files import InputFile
from lc_platform.cube import Cube, Legend, Window, count_windows, windows
from lc_platform.eo import accuracy
from lc_platform.eo import objects as classify
from lc_platform.products.objects import Sums, class_ids_of, probabilities
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.runtime.progress import track
from lc_platform.sources.object_polygons import open_objects

_WINDOW = 1024
_TOGETHER = 64
"""Windows whose counts are kept before they are added up."""
_SCORES = ("overall_accuracy", "f1_weighted", "f1_macro", "per_class", "confusion_matrix")


def by_object(
    file: InputFile,
    held_out: Mapping[str, Cube],
    references: Mapping[str, ReferenceMap],
    year: int,
    classes: Legend,
) -> dict[str, Any]:
    """Return the scores of objects: the class that most of an object's reference pixels have,
    against that of the highest mean log-probability of the same pixels.

    held_out    by patch, probabilities of pixels with a reference by classifiers of other ground
    references  by patch
    classes     of the reference

    An object without a reference pixel that is predicted is not counted. Raises SourceError where
    the file cannot be used.
    """
    polygons = open_objects(file, None)
    both = [patch for patch in sorted(held_out) if patch in references]
    ids = class_ids_of(held_out, year, both)
    reference_ids = tuple(sorted(classes))
    grids = {patch: references[patch].geobox for patch in both}

    def tiles() -> Iterator[tuple[str, Window]]:
        return ((patch, tile) for patch in both for tile in windows(grids[patch].shape, _WINDOW))

    sums = Sums(len(ids))
    labels = Labels(len(reference_ids))
    total = sum(count_windows(grid.shape, _WINDOW) for grid in grids.values())
    for patch, tile in track(tiles(), "windows", total):
        objects = polygons.on(grids[patch][tile]).objects
        reference = references[patch].unambiguous(tile)
        if not (objects.any() and reference.any()):
            continue
        found = probabilities(held_out[patch], ids, tile)
        seen = (objects > 0) & (reference > 0) & ~np.isnan(found[0])
        sums.add(np.where(seen, objects, 0), found)
        position = np.searchsorted(reference_ids, reference[seen])
        labels.add(objects[seen].astype(np.int64), position)
    decided = classify.decide(sums.together(), ids)
    true = np.array([0, *reference_ids], np.uint8)[labels.majority(decided.ids) + 1]
    counts = accuracy.confusion(true, decided.classes, reference_ids)
    found_scores = accuracy.metrics(counts, [(i, classes[i][0]) for i in reference_ids])
    return {"objects": len(decided.ids), **{name: found_scores[name] for name in _SCORES}}


class Labels:
    """Counts the reference classes of objects' pixels."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def add(self, objects: NDArray[np.int64], positions: NDArray[np.int64]) -> None:
        """Count pixels: their objects, and the positions of their classes, (pixel,) each."""
        cells, counts = np.unique(objects * self._classes + positions, return_counts=True)
        self._parts.append((cells, counts))
        if len(self._parts) > _TOGETHER:
            self._parts = [self._together()]

    def _together(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the cells, object * classes + class, and how many pixels each has."""
        nothing = np.empty(0, np.int64)
        cells, counts = (
            np.concatenate(each) for each in zip((nothing, nothing), *self._parts, strict=True)
        )
        found, where = np.unique(cells, return_inverse=True)
        totals = np.zeros(len(found), np.int64)
        np.add.at(totals, where, counts)
        return found, totals

    def majority(self, objects: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the position of the class that most pixels of each object have, of equals the
        first; -1 where it has none.

        objects  (object,), ascending
        """
        table = np.zeros((len(objects), self._classes), np.int64)
        cells, counts = self._together()
        of, position = np.divmod(cells, self._classes)
        table[np.searchsorted(objects, of), position] = counts
        return np.where(table.any(axis=1), table.argmax(axis=1), -1)
