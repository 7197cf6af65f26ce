"""The land-cover model of a year: a classifier, and the card that says what it is."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.config.input_files import InputFile
from lc_platform.eo import applicability, calibration, classification_methods
from lc_platform.eo import classifier as classify
from lc_platform.eo.applicability import TrainingSpace
from lc_platform.eo.calibration import Calibrator
from lc_platform.eo.classifier import Prediction, ProbabilityModel
from lc_platform.eo.conformal import Thresholds
from lc_platform.eo.regional import Regional
from lc_platform.eo.sampling import one_sided, test_patches
from lc_platform.errors import DataError, some
from lc_platform.products import trained_elsewhere, training_space
from lc_platform.products.classifier_training import fitted
from lc_platform.products.cross_validation import cross_validate
from lc_platform.products.features import FeatureStack
from lc_platform.products.ground_folds import GroundFolds
from lc_platform.products.options import TrainingOptions
from lc_platform.products.regional_training import RegionalTraining
from lc_platform.products.regions import Regions
from lc_platform.products.training_samples import Samples
from lc_platform.products.wrong_labels import WrongLabels


@dataclass(frozen=True)
class LandCoverModel:
    """A classifier and its card; with folds, also a classifier for each fold, which was trained on
    the ground outside of it."""

    text: str
    """As `classification_methods` has it: LightGBM's own format, with a discriminant behind it
    where both are combined as by default; else JSON. The card's ``method`` says which; that of a
    model that was trained elsewhere (``trained_elsewhere``) may be ``onnx`` too."""
    card: Mapping[str, Any]
    """``classes`` (id, name) in the order of the probabilities, ``features`` in order,
    ``parameters``, ``training_patches``, ``test_patches``, ``samples``, ``versions``, ...; with
    folds ``validation``, ``calibration`` and ``conformal`` too."""
    fold_texts: tuple[str, ...] = ()
    """(fold,), of the folds' classifiers."""
    ground: GroundFolds | None = None
    """Which ground is tested in which fold; None without folds."""
    training_space: TrainingSpace | None = None
    """What pixels are compared with to know whether the model applies; None where that cannot be
    told, see ``applicability`` of the card."""
    wrong_labels: WrongLabels | None = None
    """The polygons whose label is probably wrong; None without folds."""
    regions: Regions | None = None
    """The regions that have a classifier each; None where one is of all."""
    region_spaces: tuple[TrainingSpace, ...] = ()
    """(region,), in place of ``training_space``; none where that cannot be told."""

    @cached_property
    def classifier(self) -> ProbabilityModel:
        return self._classifier(self.text)

    @cached_property
    def fold_models(self) -> tuple[ProbabilityModel, ...]:
        """(fold,), the folds' classifiers, of the same classes as the model; none without folds."""
        return tuple(self._classifier(text) for text in self.fold_texts)

    def _classifier(self, text: str) -> ProbabilityModel:
        return classification_methods.from_text(
            text,
            [c["id"] for c in self.card["classes"]],
            self.card["features"],
            self.card["parameters"],
        )

    @cached_property
    def calibrator(self) -> Calibrator | None:
        """What calibrates the model's probabilities; None where they are left as they are."""
        return _calibrator(self.card.get("calibration"))

    @cached_property
    def fold_calibrators(self) -> tuple[Calibrator | None, ...]:
        """(fold,), likewise of the folds' classifiers, each fitted on the other folds."""
        folds = self.card["validation"]["folds"] if self.fold_texts else ()
        return tuple(_calibrator(one["calibration"]) for one in folds)

    def thresholds(self, coverage: float, fold: int | None = None) -> Thresholds:
        """Return what a calibrated probability must reach for its class to be in a pixel's set.

        coverage  one of `TrainingOptions.coverages`: the share of each class's pixels whose set
                  holds the class
        fold      of which the other folds say it; all folds where None

        Raises DataError where the model has no folds to say it by.
        """
        if "conformal" not in self.card:
            raise DataError(
                f"{self.card['year']}: sets of classes need the folds of validation.folds, and the "
                "model was trained without them. Set validation.folds, and materialize model again"
            )
        folds = self.card["validation"]["folds"]
        of = self.card["conformal"] if fold is None else folds[fold]["conformal"]
        ids = tuple(c["id"] for c in self.card["classes"])
        return Thresholds(ids, coverage, tuple(of[f"{coverage:g}"]))

    @property
    def judges_applicability(self) -> bool:
        """Whether the model can tell where it applies."""
        return self.training_space is not None or bool(self.region_spaces)

    @cached_property
    def version(self) -> str:
        """Names the model: a hash of its trees, classes, features, regions, calibration and
        training space, not of how it was run."""
        words = [classification_methods.identity(self.text)]
        words += [*(str(c["id"]) for c in self.card["classes"]), *self.card["features"]]
        if self.calibrator is not None:
            words.append(json.dumps(self.calibrator.to_dict(), sort_keys=True))
        if self.regions is not None:
            words.append(self.regions.identity)
        judged = self.card.get("applicability", {})
        for space in judged.get("regions", {"": judged}).values():
            if space.get("samples"):
                words.append(f"{space['mean_distance']:.9g} {space['threshold']:.9g}")
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]

    def check_fits(self, features: FeatureStack) -> None:
        """Raises DataError where a patch's features are not those the model was trained on."""
        if features.names != self.classifier.feature_names:
            raise DataError(
                f"{features.name}: its features are not those the model "
                "was trained on (another features or imagery section). Materialize features of "
                "this patch and the model again"
            )

    def predict(
        self,
        features: NDArray[np.float32],
        *,
        fold: int | None = None,
        judged: bool = False,
        weights: NDArray[np.float32] | None = None,
        threads: int = 0,
    ) -> Prediction:
        """Classify a window with calibrated probabilities.

        features  (feature, y, x), NaN where missing
        fold      whose classifier is asked; the model itself where None
        judged    whether the area of applicability is looked at too, as far as the model can
        weights   (region, y, x), of a model of ``regions``, as `Regions.on` gives them
        threads   that may be used, 0 for all
        Returns classes, confidence, entropy and probabilities; see `eo.classifier.predict`.

        Raises ValueError where the number of features is not the model's, or weights of its regions
        are missing.
        """
        classifier = self.classifier if fold is None else self.fold_models[fold]
        calibrator = self.calibrator if fold is None else self.fold_calibrators[fold]
        found = classify.predict(
            classifier, features, calibrator=calibrator, weights=weights, threads=threads
        )
        if not judged or not self.judges_applicability:
            return found
        if self.training_space is not None:
            index = applicability.dissimilarity(self.training_space, features, threads=threads)
            percent = applicability.percent(self.training_space, index)
        else:
            assert weights is not None
            percent = applicability.regional_percent(
                self.region_spaces, weights, features, threads=threads
            )
        percent[found.classes == 0] = applicability.PERCENT_NO_DATA
        return replace(found, applicability=percent)


def _calibrator(told: Mapping[str, Any] | None) -> Calibrator | None:
    return None if told is None or told["method"] == "none" else calibration.calibrator(told)


def train(
    samples: Mapping[str, Samples],
    options: TrainingOptions,
    *,
    year: int,
    grids: Mapping[str, GeoBox] = MappingProxyType({}),
    points: int | None = None,
) -> LandCoverModel:
    """Train on the samples of all patches, and for each fold on those of the ground outside of it;
    without folds on the samples of all patches but those held out for the test.

    samples  by patch
    grids    of all patches of the area, by patch: the card names those that could not be sampled
    points   of the year that users brought, also beyond the area: the card says how many are not
             among the samples; None where there are none

    Raises DataError where there is nothing to learn from: no sample at all, one block of ground
    only, or one class only; and for a model that was trained elsewhere what
    `trained_elsewhere.adopt` says.
    """
    if options.trained is not None and options.card is not None:
        return _adopted(samples, options, options.trained, options.card, year, grids)
    classes = options.classes
    labelled = {p: samples[p] for p in sorted(samples) if samples[p].for_training}
    if not labelled:
        raise DataError(
            f"{year}: no patch has a labelled pixel to train on, of {len(samples)} patches. Check "
            "that reference.path covers the area and reference.classes has its values; lower "
            "sampling.erosion where the polygons are small"
        )
    held_out = frozenset[str]() if options.folds else _held_out(labelled, options, year)
    training = {p: s for p, s in labelled.items() if p not in held_out}
    names = _common_names(training, year)
    labels = np.concatenate([one.classes[: one.for_training] for one in training.values()])
    found, counts = np.unique(labels, return_counts=True)
    _check_classes(labels, found, classes, year, bool(held_out))
    known = {int(i): classes[int(i)] for i in found}
    regional = RegionalTraining.of(labelled, options, grids, year)
    if regional is not None:
        regional.check(training, known)
    validated = None
    if options.folds:
        validated = cross_validate(labelled, grids, known, options, year, regional)
    classifier = (fitted if regional is None else regional.fitted)(
        training,
        options,
        class_ids=tuple(known),
        without=None if validated is None else validated.left_out,
        blocks=None if validated is None else validated.blocks,
    )
    card: dict[str, Any] = {
        "year": year,
        "classes": [{"id": i, "name": classes[i]} for i in classifier.class_ids],
        "classes_without_samples": [n for i, n in classes.items() if i not in found],
        "features": list(names),
        "method": options.method,
        "parameters": {k: v for k, v in classifier.parameters.items() if k != "num_threads"},
        "class_weights": (
            options.class_weights
            if isinstance(options.class_weights, str)
            else {classes[one]: weight for one, weight in options.class_weights.items()}
        ),
        "sample_weights": options.sample_weights,
        "seed": options.seed,
        "training_patches": sorted(training),
        "test_patches": sorted(held_out or training),
        "split_warnings": _split_warnings(labelled, held_out, classes) if held_out else [],
        "patches_without_samples": sorted(set(samples) - set(labelled)),
        "missing_patches": sorted(set(grids) - set(samples)),
        "samples": {
            classes[int(i)]: int(n) for i, n in zip(found.tolist(), counts.tolist(), strict=True)
        },
        "versions": _versions("lc-platform", "lightgbm", "numpy", "s2cloudless", "scikit-learn"),
    }
    if (stopping := classification_methods.early_stopping(classifier)) is not None:
        of_folds = () if validated is None else validated.classifiers
        found_by = map(classification_methods.early_stopping, of_folds)
        card["early_stopping"] = stopping.to_dict() | {
            "fold_rounds": [one.rounds for one in found_by if one is not None]
        }
    if regional is not None and isinstance(classifier, Regional):
        card["regions"] = regional.card(training, classifier, known)
        card["region_blend"] = regional.regions.blend
    if options.layers:
        card["missing_layers"] = _missing_layers(training, options)
    if points is not None:
        card["points"] = _points_told(samples, points)
    text = classifier.to_text()
    regions = None if regional is None else regional.regions
    if validated is None:
        folds = training_space.folds_of_patches(training)
        spaces = _spaces(training, classifier, folds, options, regional, card)
        card["split_warnings"] += _left_out(card.get("points"), year)
        return LandCoverModel(text, card, regions=regions, **spaces)
    texts = tuple(one.to_text() for one in validated.classifiers)
    of = {p: validated.ground.of_samples(one, grids.get(p)) for p, one in labelled.items()}
    spaces = _spaces(labelled, classifier, of, options, regional, card)
    card |= validated.card
    card["split_warnings"] = [*card["split_warnings"], *_left_out(card.get("points"), year)]
    return LandCoverModel(
        text,
        card,
        texts,
        validated.ground,
        wrong_labels=validated.wrong_labels,
        regions=regions,
        **spaces,
    )


def _spaces(
    samples: Mapping[str, Samples],
    classifier: ProbabilityModel,
    folds: Mapping[str, NDArray[np.integer[Any]]],
    options: TrainingOptions,
    regional: RegionalTraining | None,
    card: dict[str, Any],
) -> dict[str, Any]:
    """Return what a model judges its area of applicability by, and say in its card what that is."""
    if regional is not None and isinstance(classifier, Regional):
        spaces, card["applicability"] = training_space.learn_by_region(
            samples, classifier, folds, options, regional
        )
        return {"region_spaces": spaces}
    space, card["applicability"] = training_space.learn(
        samples, classifier.importance(), folds, options
    )
    return {"training_space": space}


def _adopted(
    samples: Mapping[str, Samples],
    options: TrainingOptions,
    trained: InputFile,
    card: InputFile,
    year: int,
    grids: Mapping[str, GeoBox],
) -> LandCoverModel:
    """Take a model that was trained elsewhere. It cannot be trained again without some ground, so
    that it is evaluated as it is, on all reference pixels, which the card and the evaluation
    say."""
    if not samples:
        raise DataError(f"{year}: no patch has features. Materialize features of a patch")
    names = _common_names(samples, year)
    classifier, told = trained_elsewhere.adopt(samples, trained, card, options.classes, names)
    about: dict[str, Any] = {
        "year": year,
        "classes": [{"id": i, "name": options.classes[i]} for i in classifier.class_ids],
        "classes_without_samples": [
            name for i, name in options.classes.items() if i not in classifier.class_ids
        ],
        "features": list(names),
        "parameters": dict(classifier.parameters),
        "class_weights": "none",
        "seed": options.seed,
        "training_patches": [],
        "test_patches": sorted(samples),
        "split_warnings": [
            f"the model was trained elsewhere ({trained.written}), and nothing says on which "
            "ground. Where reference pixels of this evaluation were among what it was trained on, "
            "or beside it, its figures are too high"
        ],
        "patches_without_samples": sorted(p for p, one in samples.items() if not len(one)),
        "missing_patches": sorted(set(grids) - set(samples)),
        "samples": {},
        "versions": _versions("lc-platform", "lightgbm", "numpy"),
        "applicability": {
            "samples": 0,
            "not_judged": "the model was trained elsewhere, on samples that are not known",
        },
    }
    return LandCoverModel(classifier.to_text(), about | told)


def _held_out(
    labelled: Mapping[str, Samples], options: TrainingOptions, year: int
) -> frozenset[str]:
    """Return the test patches. Raises DataError where there is one patch only."""
    held_out = test_patches(labelled, options.test_fraction or 0.0, options.seed)
    if not held_out:
        raise DataError(
            f"{year}: only patch {next(iter(labelled))} has labelled pixels. At least two are "
            "needed, one to train and one to test on: split the area into smaller patches "
            "(aoi.patch_size), or extend the reference"
        )
    return held_out


def _common_names(training: Mapping[str, Samples], year: int) -> tuple[str, ...]:
    """Return the samples' features. Raises DataError where a patch has others."""
    names = next(iter(training.values())).names
    for patch, one in training.items():
        if one.names != names:
            raise DataError(
                f"patch {patch}, {year}: its samples have other features than those of patch "
                f"{next(iter(training))}. They were made with another configuration: materialize "
                "features and training_samples of all patches again"
            )
    return names


def _missing_layers(
    training: Mapping[str, Samples], options: TrainingOptions
) -> dict[str, dict[str, float]]:
    """Return by layer and class the share of the training samples that lack the layer's first
    feature, 0 to 1; without the classes that lack nothing."""
    names = next(iter(training.values())).names
    labels = np.concatenate([one.classes[: one.for_training] for one in training.values()])
    told: dict[str, dict[str, float]] = {}
    for layer in options.layers:
        first = next((n for n in names if n == layer or n.startswith(f"{layer}_")), None)
        if first is None:
            continue
        at = names.index(first)
        missing = np.concatenate(
            [np.isnan(one.features[: one.for_training, at]) for one in training.values()]
        )
        shares = {i: float(missing[labels == i].mean()) for i in np.unique(labels).tolist()}
        told[layer] = {options.classes[i]: round(s, 4) for i, s in shares.items() if s > 0}
    return told


def _check_classes(
    labels: NDArray[np.uint8],
    found: NDArray[np.uint8],
    classes: Mapping[int, str],
    year: int,
    held_out: bool,
) -> None:
    """Raises DataError where a class is unknown, or there is but one."""
    unknown = [int(i) for i in found if int(i) not in classes]
    if unknown:
        raise DataError(
            f"{year}: the samples have class {unknown[0]}, which reference.classes does not. "
            "Materialize reference_rasters and training_samples again"
        )
    if len(found) < 2:
        of, remedy = (
            (" of the training patches", ", or choose another sampling.seed")
            if held_out
            else ("", "")
        )
        raise DataError(
            f"{year}: all {len(labels)} samples{of} are of one class "
            f"({classes[int(found[0])]}); at least two are needed. Extend the reference{remedy}"
        )


def _split_warnings(
    samples: Mapping[str, Samples], held_out: Collection[str], classes: Mapping[int, str]
) -> list[str]:
    """Return a sentence for every class that the split leaves almost wholly on one side."""
    training: Counter[int] = Counter()
    test: Counter[int] = Counter()
    for patch, one in samples.items():
        ids, counts = np.unique(one.classes, return_counts=True)
        (test if patch in held_out else training).update(
            dict(zip(ids.tolist(), counts.tolist(), strict=True))
        )
    said = []
    for class_id, share in one_sided(training, test).items():
        count = training[class_id] + test[class_id]
        where, amount, so = (
            ("training", share, "its accuracy is hardly tested")
            if share > 0.5
            else ("test", 1 - share, "the model can hardly learn it")
        )
        said.append(
            f"class {classes.get(class_id, class_id)}: {math.floor(1000 * amount) / 10:g} % of its "
            f"{count:,} samples are in the {where} patches, so {so}. Choose another sampling.seed, "
            "a larger sampling.test_fraction, or smaller patches"
        )
    return said


def _points_told(samples: Mapping[str, Samples], count: int) -> dict[str, int]:
    """Return how many points users brought of the year, and how many of them are samples."""
    used = (one.points for one in samples.values() if one.points is not None)
    return {"of_year": count, "sampled": sum(int(np.count_nonzero(one)) for one in used)}


def _left_out(points: Mapping[str, int] | None, year: int) -> list[str]:
    """Return a sentence where points that users brought are not among the samples."""
    if points is None or points["sampled"] == points["of_year"]:
        return []
    return [
        f"{points['of_year'] - points['sampled']} of the {points['of_year']} points of "
        f"sampling.points of {year} are not among the samples: they lie on no patch or beyond the "
        "area, have no data, or share a pixel with another"
    ]


def _versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}


def common_version(versions: Mapping[str, str], expected: str | None = None) -> str:
    """Return the one model version that all patches' predictions carry.

    versions  by patch
    expected  the version of the model there is now, where it matters
    Raises DataError naming patches where they carry several, or not the expected one.
    """
    wanted = expected if expected is not None else next(iter(versions.values()))
    other: Sequence[str] = sorted(p for p, v in versions.items() if v != wanted)
    if other:
        raise DataError(
            f"predictions of {len(other)} of {len(versions)} patches ({some(other, 5)}) come from "
            f"another model than {wanted}. Materialize predictions of these patches again"
        )
    return wanted
