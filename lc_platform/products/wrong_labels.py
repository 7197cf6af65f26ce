"""Polygons of the reference whose label is probably wrong, by classifiers that have not seen
them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo.label_noise import PolygonProbabilities, by_polygon, find_label_errors

LABEL_ERRORS = "label_errors.gpkg"
_MOST_OF_A_CLASS = 0.5
"""Share of a class's polygons above which none of them is left out: it is the class that cannot be
told apart then, not its labels that are wrong."""


@dataclass(frozen=True, eq=False)
class WrongLabels:
    """The polygons whose label is probably wrong, those first that are to be looked at first."""

    polygons: NDArray[np.uint32]
    """(polygon,), ids, see `ReferenceMap.polygons`."""
    labels: NDArray[np.uint8]
    """(polygon,), class ids."""
    probable: NDArray[np.uint8]
    """(polygon,), class ids."""
    probability: NDArray[np.float32]
    """(polygon,), of the probable class, 0 to 1: the mean of the polygon's samples."""
    margin: NDArray[np.float32]
    """(polygon,), probability of the label less that of the probable class, -1 to 0."""
    samples: NDArray[np.int64]
    """(polygon,), that were judged by."""
    patches: NDArray[Any]
    """(polygon,), the key of a patch that the polygon lies on."""
    left_out: NDArray[np.bool_]
    """(polygon,), whether training goes without it."""

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The table, by the names of its columns."""
        return {
            "polygon": self.polygons,
            "label": self.labels,
            "probable": self.probable,
            "probability": self.probability,
            "margin": self.margin,
            "samples": self.samples,
            "patch": self.patches.astype(str),
            "left_out": self.left_out,
        }

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> WrongLabels:
        """Return what a table holds. Raises KeyError where it is another one."""
        names = ("polygon", "label", "probable", "probability", "margin", "samples", "patch")
        return cls(*(columns[name] for name in (*names, "left_out")))


class Judge:
    """Adds up, patch by patch, what classifiers say of polygons that they were not trained on."""

    def __init__(self, class_ids: Sequence[int], taught: NDArray[np.bool_]) -> None:
        """``taught`` says which classes the classifier of each fold has learnt, (fold, class)."""
        self._ids = class_ids
        self._taught = taught
        self._parts: list[tuple[str, PolygonProbabilities]] = []

    def add(
        self,
        patch: str,
        probabilities: NDArray[np.float32],
        labels: NDArray[np.uint8],
        polygons: NDArray[np.uint32],
        folds: NDArray[np.uint8],
    ) -> None:
        """Count the samples of a patch: (sample, class), and (sample,) each.

        A sample whose class its fold's classifier has not learnt says nothing of its label.
        """
        known = (polygons != 0) & np.isin(labels, self._ids)
        at = np.searchsorted(self._ids, np.where(known, labels, self._ids[0]))
        known &= self._taught[folds, at]
        known[known] = _of_one_label(labels[known], polygons[known])
        if known.any():
            found = by_polygon(probabilities[known], labels[known], polygons[known], self._ids)
            self._parts.append((patch, found))

    def found(self, classes: Mapping[int, str]) -> tuple[WrongLabels, dict[str, Any], list[str]]:
        """Return the polygons whose label is probably wrong, what a model's card says of them, and
        what a person should know.

        classes  id -> name
        """
        whole, patches = self._together()
        count = len(whole.polygons)
        if not count:
            return _none(), {"judged_polygons": 0, "wrong_polygons": 0, "by_class": {}}, []
        errors = find_label_errors(whole.probabilities, whole.labels, self._ids)
        wrong = np.flatnonzero(errors.wrong)
        wrong = wrong[np.argsort(errors.margin[wrong], kind="stable")]
        labels, probable = whole.labels[wrong], errors.probable[wrong]
        columns = np.searchsorted(self._ids, probable)
        by_class, spared, warnings = {}, [], []
        for class_id in np.unique(whole.labels).tolist():
            judged = int((whole.labels == class_id).sum())
            accused = int((labels == class_id).sum())
            by_class[classes[class_id]] = {"judged": judged, "wrong": accused}
            if accused > _MOST_OF_A_CLASS * judged:
                spared.append(class_id)
                warnings.append(
                    f"class {classes[class_id]}: the labels of {accused} of its {judged} polygons "
                    "look wrong, so it is the class that cannot be told apart, and none of them is "
                    "left out. Check its values, or join it with another class"
                )
        found = WrongLabels(
            whole.polygons[wrong].astype(np.uint32),
            labels.astype(np.uint8),
            probable.astype(np.uint8),
            whole.probabilities[wrong, columns].astype(np.float32),
            errors.margin[wrong].astype(np.float32),
            whole.pixels[wrong].astype(np.int64),
            patches[wrong],
            ~np.isin(labels, spared),
        )
        card = {"judged_polygons": count, "wrong_polygons": len(found), "by_class": by_class}
        return found, card, warnings

    def _together(self) -> tuple[PolygonProbabilities, NDArray[Any]]:
        """Return what the patches say of each polygon, and a patch that it lies on."""
        none = np.empty(0, np.int64)
        if not self._parts:
            nothing = np.empty((0, len(self._ids)))
            return PolygonProbabilities(none, none, none, nothing), np.empty(0, object)
        parts = [part for _, part in self._parts]
        patches = np.concatenate(
            [np.full(len(part.polygons), patch, object) for patch, part in self._parts]
        )
        polygons, labels, pixels, means = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("polygons", "labels", "pixels", "probabilities")
        )
        same = _of_one_label(labels, polygons)
        polygons, labels, pixels, patches = (a[same] for a in (polygons, labels, pixels, patches))
        names, first, where = np.unique(polygons, return_index=True, return_inverse=True)
        total = np.bincount(where, weights=pixels)
        sums = means[same] * pixels[:, np.newaxis]
        together = np.stack(
            [np.bincount(where, weights=column) / total for column in sums.T], axis=1
        )
        whole = PolygonProbabilities(names, labels[first], total.astype(np.int64), together)
        return whole, patches[first]


def _of_one_label(labels: NDArray[Any], polygons: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which samples have the label that the first of their polygon has: two simulated
    parcels may share an id."""
    _, first, where = np.unique(polygons, return_index=True, return_inverse=True)
    return np.asarray(labels == labels[first][where])


def _none() -> WrongLabels:
    numbers = np.empty(0, np.int64)
    shares = np.empty(0, np.float32)
    return WrongLabels(
        numbers.astype(np.uint32),
        numbers.astype(np.uint8),
        numbers.astype(np.uint8),
        shares,
        shares,
        numbers,
        np.empty(0, object),
        np.empty(0, np.bool_),
    )


def outlines(
    wrong: WrongLabels,
    drawn_on: Callable[[GeoBox], Any],
    grids: Mapping[str, GeoBox],
    classes: Mapping[int, str],
) -> Any:
    """Return the polygons whose label is probably wrong, with their outlines, as a GeoDataFrame in
    longitudes and latitudes.

    drawn_on  gives the reference's polygons on a grid: ``polygon`` (id) and geometry
    grids     by patch
    classes   id -> name
    Columns: ``polygon``, ``label``, ``probable_class``, ``probability``, ``margin``, ``samples``,
    ``left_out``, ``geometry``.
    """
    import geopandas
    import pandas

    parts = []
    for patch in dict.fromkeys(wrong.patches.tolist()):
        if patch in grids:
            table = drawn_on(grids[patch])
            parts.append(table[table["polygon"].isin(wrong.polygons[wrong.patches == patch])])
    found = pandas.concat(parts) if parts else geopandas.GeoDataFrame({"polygon": []}, geometry=[])
    shapes = dict(zip(found["polygon"].tolist(), found.geometry, strict=True))
    return geopandas.GeoDataFrame(
        {
            "polygon": wrong.polygons.astype(np.int64),
            "label": [classes[i] for i in wrong.labels.tolist()],
            "probable_class": [classes[i] for i in wrong.probable.tolist()],
            "probability": wrong.probability.astype(float).round(4),
            "margin": wrong.margin.astype(float).round(4),
            "samples": wrong.samples,
            "left_out": wrong.left_out,
        },
        geometry=[shapes.get(one) for one in wrong.polygons.tolist()],
        crs="EPSG:4326",
    )


def as_geopackage(table: Any) -> bytes:
    """Return a GeoDataFrame as a GeoPackage with the layer ``label_errors``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LABEL_ERRORS
        table.to_file(path, layer="label_errors", driver="GPKG", geometry_type="MultiPolygon",
                      promote_to_multi=True)  # fmt: skip
        return path.read_bytes()
