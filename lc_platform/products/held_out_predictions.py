"""What classifiers say of ground that they were not trained on, wherever there is a reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import (
    MAIN,
    Block,
    Layer,
    LazyCube,
    Summary,
    Thumbnail,
    Window,
    first_pixel,
    tracked,
    wider,
)
from lc_platform.products.features import FeatureStack
from lc_platform.products.handle import PatchYearHandle
from lc_platform.products.model import LandCoverModel
from lc_platform.products.options import HeldOutOptions
from lc_platform.products.postprocessing import finish, reader
from lc_platform.products.probability_layers import (
    NO_DATA,
    classes_kept,
    percent_of,
    probability_layer,
    probability_layers,
)
from lc_platform.products.reference_rasters import ReferenceMap, colored
from lc_platform.products.set_layers import read_sets, set_layers, sets_of

NO_FOLD = 255


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
        kept = classes_kept(self.cube.layers)
        return np.stack([self.cube.read(probability_layer(one), window) for one in kept])

    def sets(self, window: Window | None = None) -> NDArray[np.uint32] | None:
        """Return (y, x), which classes a pixel may have: bit i is set for the model's i-th class.
        None where the model has no folds to say it by."""
        return read_sets(self.cube, window)


def hold_out(
    features: FeatureStack, reference: ReferenceMap, model: LandCoverModel, options: HeldOutOptions
) -> LazyCube:
    """Map the pixels of a patch that have a reference, each by the classifier of its fold; without
    folds those of a test patch, by the model.

    Layers (y, x), uint8: ``class`` (0 for no data), ``confidence`` (percent), ``fold`` (255 where
    nothing is predicted), ``probability_{id}`` a class (percent, 255 for no data), all as they are
    after the options' postprocessing; and with folds ``set_1`` and so on, whose bits are the
    classes that a pixel may have by what it shows itself.

    Raises DataError where the features are not those the model was trained on, or do not reach as
    far beyond the patch as the postprocessing needs, and where the reference lies on another grid.
    """
    read = reader(features, model, options.area, options.postprocessing)
    reference.check_lies_on(features.geobox, features.name)
    geobox, patch = features.geobox, features.patch
    ids = model.classifier.class_ids
    kept = probability_layers(ids)
    sets = set_layers(len(ids)) if model.fold_texts else {}
    layers = {
        "class": Layer((), "uint8", fill=0),
        "confidence": Layer((), "uint8"),
        "fold": Layer((), "uint8", fill=NO_FOLD),
        **kept,
        **sets,
    }
    inside = options.area.on(geobox) if options.area is not None else None
    regions = None if model.regions is None else model.regions.on(geobox)
    top, left = first_pixel(geobox)
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
            for name in kept:
                named[name][:] = NO_DATA
            if here.any():
                polygons = reference.polygons(tile)
                named["fold"][here] = folds_in(model, patch, geobox, polygons, tile)[here]
                wide = wider(tile, options.postprocessing.margin)
                values = read(wide)
                weights = None if regions is None else regions.read(wide)
                corner = top + wide[0].start, left + wide[1].start
                for fold in np.unique(named["fold"][here]).tolist():
                    own = named["fold"] == fold
                    for name, layer in _mapped(values, weights, corner, own, model, fold, options):
                        named[name][own] = layer
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


def _mapped(
    values: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
    origin: tuple[int, int],
    own: NDArray[np.bool_],
    model: LandCoverModel,
    fold: int,
    options: HeldOutOptions,
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield each layer's name and values of a fold's pixels, (pixel,).

    values  (feature, y, x), of the window and the postprocessing's margin around it
    weights  (region, y, x) likewise, of a model of regions
    origin  row and column of their first pixel, see `cube.first_pixel`
    own     (y, x), the fold's pixels of the window
    """
    margin = options.postprocessing.margin
    ids = model.classifier.class_ids
    of = fold if model.fold_texts else None
    if options.postprocessing:
        own_probabilities = model.predict(
            values, fold=of, weights=weights, threads=options.threads
        ).probabilities
        found = finish(
            own_probabilities, ids, options.postprocessing, origin=origin, threads=options.threads
        )
        rows, columns = (slice(margin, margin + length) for length in own.shape)
        itself = own_probabilities[:, rows, columns][:, own]
        classes, confidence = found.classes[own], found.confidence[own]
        probabilities = found.probabilities[:, own]
    else:
        pixels = np.ascontiguousarray(values[:, own])[:, np.newaxis]
        here = None if weights is None else weights[:, own][:, np.newaxis]
        found = model.predict(pixels, fold=of, weights=here, threads=options.threads)
        classes, confidence = found.classes[0], found.confidence[0]
        itself = probabilities = found.probabilities[:, 0]
    yield "class", classes
    yield "confidence", confidence
    yield from percent_of(probabilities, ids)
    if of is not None:
        yield from sets_of(itself, model.thresholds(options.coverage, fold))


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
