"""What classifiers say of ground that they were not trained on, wherever there is a reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import MAIN, Block, Layer, LazyCube, Summary, Thumbnail, Window, tracked
from lc_platform.eo import conformal
from lc_platform.products.features import FeatureStack
from lc_platform.products.handle import PatchYearHandle
from lc_platform.products.model import LandCoverModel
from lc_platform.products.options import HeldOutOptions
from lc_platform.products.reference_rasters import ReferenceMap, colored

NO_FOLD = 255
NO_DATA = 255
"""Of a probability."""
_IN_A_LAYER = 8
"""Classes whose bits a layer of sets holds."""


@dataclass(frozen=True)
class HeldOutPredictions(PatchYearHandle):
    """Predictions of a patch by classifiers that were trained on other ground."""

    @property
    def model_version(self) -> str:
        return str(self.cube.attributes["model_version"])

    def classes(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return (y, x), class ids, 0 where there is no reference, or no data."""
        return self.cube.read("class", window)

    def confidence(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return (y, x), percent, 0 likewise."""
        return self.cube.read("confidence", window)

    def folds(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return (y, x), the fold whose classifier it was; `NO_FOLD` without reference."""
        return self.cube.read("fold", window)

    def probabilities(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return (class, y, x), calibrated, percent, in the order of the model's classes; `NO_DATA`
        where there is no reference, or no data."""
        names = [n for n in self.cube.layers if n.startswith("probability_")]
        return np.stack([self.cube.read(name, window) for name in names])

    def sets(self, window: Window | None = None) -> NDArray[np.uint32]:
        """Return (y, x), which classes a pixel may have: bit i is set for the model's i-th class. 0
        everywhere where the model has no folds to say it by."""
        found = np.zeros(self.classes(window).shape, np.uint32)
        for position, name in enumerate(n for n in self.cube.layers if n.startswith("set_")):
            part = self.cube.read(name, window).astype(np.uint32)
            found |= part << np.uint32(_IN_A_LAYER * position)
        return found


def set_layers(classes: int) -> list[str]:
    """Return the names of the layers that hold sets of so many classes, eight in each."""
    return [f"set_{part}" for part in range(1, -(-classes // _IN_A_LAYER) + 1)]


def set_bytes(sets: NDArray[np.bool_]) -> Iterator[NDArray[np.uint8]]:
    """Yield sets as the layers hold them, bit i of all of them for the i-th class.

    sets  (pixel, class)
    """
    for first in range(0, sets.shape[1], _IN_A_LAYER):
        yield conformal.to_bits(sets[:, first : first + _IN_A_LAYER]).astype(np.uint8)


def hold_out(
    features: FeatureStack, reference: ReferenceMap, model: LandCoverModel, options: HeldOutOptions
) -> LazyCube:
    """Classify the pixels of a patch that have a reference, each by the classifier of its fold;
    without folds those of a test patch, by the model.

    Layers (y, x), uint8: ``class`` (0 for no data), ``confidence`` (percent), ``fold`` (255 where
    nothing is predicted), ``probability_{id}`` a class (percent, 255 for no data), and with folds
    ``set_1`` and so on, whose bits are the classes that a pixel may have.

    Raises DataError where the features are not those the model was trained on, or the reference
    lies on another grid.
    """
    model.check_fits(features)
    reference.check_lies_on(features.geobox, features.name)
    geobox, patch = features.geobox, features.patch
    ids = model.classifier.class_ids
    sets = set_layers(len(ids)) if model.fold_texts else []
    layers = {
        "class": Layer((), "uint8", fill=0),
        "confidence": Layer((), "uint8"),
        "fold": Layer((), "uint8", fill=NO_FOLD),
        **{f"probability_{i}": Layer((), "uint8", fill=NO_DATA) for i in ids},
        **{name: Layer((), "uint8", fill=0) for name in sets},
    }
    inside = options.area.on(geobox) if options.area is not None else None
    held_out = model.ground is not None or patch in model.card["test_patches"]

    def asked(tile: Window) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = reference.classes(tile) != 0
        if not held_out:
            found[:] = False
        return found if inside is None or not found.any() else found & inside.read(tile)

    def blocks(summary: Summary) -> Iterator[Block]:
        picture = Thumbnail(geobox.shape, 1)
        pixels = classified = 0
        for tile in tracked(geobox.shape, options.window):
            here = asked(tile)
            found = np.zeros((len(layers), *here.shape), np.uint8)
            named = dict(zip(layers, found, strict=True))
            named["fold"][:] = NO_FOLD
            for i in ids:
                named[f"probability_{i}"][:] = NO_DATA
            if here.any():
                values, polygons = features.read(tile), reference.polygons(tile)
                named["fold"][here] = folds_in(model, patch, geobox, polygons, tile)[here]
                for fold in np.unique(named["fold"][here]).tolist():
                    own = named["fold"] == fold
                    _fill(named, own, values, model, fold, sets, options)
            pixels += int(here.sum())
            classified += int(np.count_nonzero(named["class"]))
            picture.update(tile, named["class"][None])
            for name, layer in named.items():
                yield Block(name, (), tile, layer)
        summary.picture = colored(picture.values[0].astype(np.uint8), options.classes)
        summary.facts |= {
            "reference_pixels": pixels,
            "classified_pixels": classified,
            "model_version": model.version,
        }

    return LazyCube(
        {MAIN: geobox},
        layers,
        blocks,
        attributes={"patch": patch, "year": features.year, "model_version": model.version},
        legend=options.classes,
    )


def _fill(
    named: dict[str, NDArray[np.uint8]],
    own: NDArray[np.bool_],
    values: NDArray[np.float32],
    model: LandCoverModel,
    fold: int,
    sets: list[str],
    options: HeldOutOptions,
) -> None:
    """Put what a fold's classifier says of its own pixels into a window's layers.

    own     (y, x), the fold's pixels
    values  (feature, y, x)
    """
    of = fold if model.fold_texts else None
    pixels = np.ascontiguousarray(values[:, own])[:, np.newaxis]
    found = model.predict(pixels, fold=of, threads=options.threads)
    named["class"][own] = found.classes[0]
    named["confidence"][own] = found.confidence[0]
    known = ~np.isnan(found.probabilities[0, 0])
    for class_id, probability in zip(
        model.classifier.class_ids, found.probabilities[:, 0], strict=True
    ):
        percent = np.full(len(known), NO_DATA, np.uint8)
        percent[known] = np.rint(100 * probability[known])
        named[f"probability_{class_id}"][own] = percent
    if sets:
        thresholds = model.thresholds(options.coverage, fold)
        held = conformal.prediction_sets(found.probabilities[:, 0].T, thresholds)
        for name, bits in zip(sets, set_bytes(held), strict=True):
            named[name][own] = bits


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
