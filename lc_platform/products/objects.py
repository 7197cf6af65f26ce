"""One class for each object, such as a parcel, of a year's map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lc_platform.area.grid import Patch
from lc_platform.cube import Cube, Legend, Summary, Window, count_windows, windows
from lc_platform.eo import objects as classify
from lc_platform.eo.objects import ObjectClasses, ObjectSums
from lc_platform.errors import DataError
from lc_platform.products.model import common_version
from lc_platform.products.options import ObjectOptions
from lc_platform.products.probability_layers import NO_DATA, classes_kept, probability_layer
from lc_platform.runtime.progress import track
from lc_platform.sources.object_polygons import ObjectPolygons, open_objects

LEAST_PERCENT = 0.5
"""What stands for the 0 % of a class: percentages are kept rounded."""
_TOGETHER = 64
"""Windows whose sums are kept before they are added up."""
_NONE_GIVEN = (
    "map.objects is not given. Name a file of polygons, such as parcels, to have one class for each"
)
COLUMNS = pa.schema(
    [
        ("object", pa.int64()),
        ("id", pa.string()),
        ("class", pa.uint8()),
        ("class_name", pa.string()),
        ("probability", pa.float32()),
        ("second_class", pa.uint8()),
        ("second_class_name", pa.string()),
        ("agreement", pa.float32()),
        ("pixels", pa.int64()),
        ("geometry", pa.binary()),
    ]
)


@dataclass(frozen=True, eq=False)
class ClassifiedObjects:
    """The objects of a year with their classes, in the order of their places."""

    about: Mapping[str, Any]
    """``year``, ``model_version``, ``objects``, ``no_objects_because``, ``warnings``."""
    polygons: ObjectPolygons | None = None
    classes: ObjectClasses | None = None
    legend: Legend = field(default_factory=dict)

    @property
    def summary(self) -> Summary:
        """What the page of its partition shows."""
        facts = {k: v for k, v in self.about.items() if v is not None and k != "warnings"}
        warnings = {f"{i}": said for i, said in enumerate(self.about["warnings"], 1)}
        return Summary(facts, warnings)

    @property
    def crs(self) -> dict[str, Any] | None:
        """The CRS that the objects are drawn in, as PROJ's JSON; that of longitudes and latitudes
        where there are none."""
        crs = None if self.polygons is None else self.polygons.crs
        return None if crs is None else crs.to_json_dict()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the table, some thousands of rows at a time; its columns are `COLUMNS`."""
        if self.polygons is None or self.classes is None:
            return
        found = self.classes
        names = {i: name for i, (name, _) in self.legend.items()}
        for number, words, geometry in self.polygons.batches():
            if not len(found.ids):
                return
            row = np.minimum(np.searchsorted(found.ids, number), len(found.ids) - 1)
            kept = found.ids[row] == number
            row = row[kept]
            classes, second = found.classes[row], found.second[row]
            ids = (
                [None] * len(row)
                if words is None
                else [word or None for word, keep in zip(words, kept, strict=True) if keep]
            )
            columns = [
                pa.array(number[kept]),
                pa.array(ids, pa.string()),
                pa.array(classes),
                pa.array([names.get(i, "") for i in classes.tolist()], pa.string()),
                pa.array(found.probability[row], from_pandas=True),
                pa.array(second),
                pa.array([names.get(i, "") for i in second.tolist()], pa.string()),
                pa.array(found.agreement[row], from_pandas=True),
                pa.array(found.pixels[row]),
                geometry.filter(pa.array(kept)),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=COLUMNS)


class Sums:
    """Adds up what windows show of objects; of these no more is held than of some windows."""

    def __init__(self, classes: int) -> None:
        nothing = np.zeros((0, classes), np.int64)
        self._parts = [ObjectSums(np.empty(0, np.int64), nothing, nothing)]

    def add(self, objects: NDArray[np.integer[Any]], found: NDArray[np.float32]) -> None:
        """Add the pixels of a window; see `eo.objects.accumulate`."""
        self._parts.append(classify.accumulate(objects, found))
        if len(self._parts) > _TOGETHER:
            self.together()

    def together(self) -> ObjectSums:
        """Return what all windows show."""
        self._parts = [classify.merge(self._parts)]
        return self._parts[0]


def assign(
    year: int,
    patches: Sequence[Patch],
    predictions: Mapping[str, Cube],
    options: ObjectOptions,
) -> ClassifiedObjects:
    """Return the class of each object: the one whose mean log-probability over the pixels is the
    highest, also where the object crosses patches.

    predictions  by patch, with the probabilities of classes

    An object belongs to the map where it touches a patch with a prediction; of those whose file
    reaches further, the others are left out. A pixel belongs to the object that its centre lies
    in, to the last one where objects overlap. Of the map's pixels no more is held than a window.

    Raises SourceError where the file cannot be used, DataError where predictions keep no
    probabilities, or are of several models.
    """
    if options.polygons is None:
        none = {"objects": 0, "no_objects_because": _NONE_GIVEN, "warnings": []}
        return ClassifiedObjects({"year": year, "model_version": None, **none})
    polygons = open_objects(options.polygons, options.attribute)
    grids = {patch.key: patch.geobox for patch in patches if patch.key in predictions}
    missing = sorted({patch.key for patch in patches} - set(grids))
    versions = {p: str(predictions[p].attributes["model_version"]) for p in grids}
    if not grids:
        raise DataError(
            f"{year}: no patch has a prediction, of which the objects' classes are made. "
            "Materialize predictions first"
        )
    version = common_version(versions)
    class_ids = class_ids_of(predictions, year, list(grids))
    total = sum(count_windows(grid.shape, options.window) for grid in grids.values())
    tiles = (
        (patch, tile) for patch in grids for tile in windows(grids[patch].shape, options.window)
    )
    sums = Sums(len(class_ids))
    present: list[NDArray[np.int64]] = []
    overlapping = 0
    for patch, tile in track(tiles, "windows", total):
        burnt = polygons.on(grids[patch][tile])
        overlapping += burnt.overlapping
        present.append(burnt.present)
        if burnt.objects.any():
            here = probabilities(predictions[patch], class_ids, tile)
            sums.add(burnt.objects, here)
        if len(present) >= _TOGETHER:
            present = [np.unique(np.concatenate(present))]
    ids = np.unique(np.concatenate(present)) if present else np.empty(0, np.int64)
    seen = sums.together()
    empty = np.zeros((len(ids), len(class_ids)), np.int64)
    found = classify.decide(classify.merge([seen, ObjectSums(ids, empty, empty)]), class_ids)
    with_pixel = set(seen.ids.tolist())
    about: dict[str, Any] = {
        "year": year,
        "model_version": version,
        "objects": len(found.ids),
        "without_class": int((found.classes == 0).sum()),
        "beyond_the_map": polygons.count - polygons.others - len(found.ids),
        "no_objects_because": None,
        "warnings": _warnings(polygons, found, with_pixel, overlapping, missing),
    }
    return ClassifiedObjects(about, polygons, found, options.classes)


def probabilities(
    cube: Cube, class_ids: Sequence[int], window: Window | None = None
) -> NDArray[np.float32]:
    """Return what is kept of the classes' probabilities, (class, y, x), summing to one; NaN
    without data. A class of 0 % counts as `LEAST_PERCENT`."""
    percent = np.stack([cube.read(probability_layer(one), window) for one in class_ids])
    found: NDArray[np.float32] = np.maximum(percent, LEAST_PERCENT).astype(np.float32)
    found /= found.sum(axis=0)
    found[:, (percent == NO_DATA).any(axis=0)] = np.nan
    return found


def class_ids_of(predictions: Mapping[str, Cube], year: int, patches: Sequence[str]) -> list[int]:
    """Return the classes whose probabilities are kept, in their order."""
    found: list[int] | None = None
    for patch in patches:
        kept = classes_kept(predictions[patch].layers)
        if not kept:
            raise DataError(
                f"patch {patch}, {year}: its prediction keeps no probabilities, of which the "
                "objects' classes are made. Materialize predictions again"
            )
        if found is not None and kept != found:
            raise DataError(
                f"patch {patch}, {year}: its prediction has probabilities of other classes than "
                f"that of patch {patches[0]}. Materialize predictions of all patches again"
            )
        found = kept
    return found or []


def _warnings(
    polygons: ObjectPolygons,
    found: ObjectClasses,
    with_pixel: set[int],
    overlapping: int,
    missing: Sequence[str],
) -> list[str]:
    """Return what is to be told of objects that have no class, or not one that is theirs alone."""
    said = []
    name = f"map.objects: {polygons.name}"
    if polygons.others:
        said.append(f"{name}: {polygons.others} features are points or lines, and are left out")
    if not len(found.ids):
        said.append(f"{name}: no object lies on the map. Check the file's CRS")
    without = found.ids[found.classes == 0].tolist()
    small = [one for one in without if one not in with_pixel]
    unseen = [one for one in without if one in with_pixel]
    if small:
        said.append(
            f"{name}: {len(small)} objects ({_some(small)}) have no class, since the centre of no "
            "pixel lies in them alone: they are smaller than a pixel, or others cover them"
        )
    if unseen:
        said.append(
            f"{name}: {len(unseen)} objects ({_some(unseen)}) have no class, since the map has no "
            "data there"
        )
    if overlapping:
        said.append(
            f"{name}: objects overlap on {overlapping} pixels, which count for the last in the file"
        )
    if polygons.attribute is not None:
        said += _names(polygons, found.ids)
    if missing:
        said.append(
            f"{len(missing)} patches ({', '.join(missing[:5])}) have no prediction: objects are of "
            "the others' pixels alone"
        )
    return said


def _names(polygons: ObjectPolygons, ids: NDArray[np.int64]) -> list[str]:
    """Return what is to be told of objects without a name, or with that of another."""
    seen: set[str] = set()
    nameless = twice = 0
    example = ""
    for number, words, _ in polygons.batches():
        for word in np.array(words, object)[np.isin(number, ids)].tolist():
            nameless += not word
            if word and word in seen:
                twice += 1
                example = example or word
            seen.add(word)
    said, key = [], f"map.object_id: {polygons.name}"
    if nameless:
        said.append(
            f"{key}: {nameless} objects have no {polygons.attribute}; their position in the file "
            "(column `object`) tells them apart"
        )
    if twice:
        said.append(
            f"{key}: {twice} objects have the {polygons.attribute} of another, such as {example}; "
            "each is an object of its own"
        )
    return said


def _some(objects: Sequence[int]) -> str:
    """Return objects in words, the first of many."""
    return ", ".join(map(str, objects[:5])) + (", ..." if len(objects) > 5 else "")
