"""The land-cover model of a year: a classifier, and the card that says what it is."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import classifier as classify
from lc_platform.eo.classifier import Classifier, Prediction
from lc_platform.eo.sampling import one_sided, test_patches
from lc_platform.errors import DataError
from lc_platform.products.features import FeatureStack
from lc_platform.products.options import TrainingOptions
from lc_platform.products.training_samples import Samples

_THREADS = re.compile(r"^\[num_threads: \d+\]$", re.MULTILINE)
"""How a model was run is not part of it."""


@dataclass(frozen=True)
class LandCoverModel:
    """A classifier and its card."""

    text: str
    """LightGBM's own format."""
    card: Mapping[str, Any]
    """``classes`` (id, name) in the order of the probabilities, ``features`` in order,
    ``parameters``, ``training_patches``, ``test_patches``, ``samples``, ``versions``, ..."""

    @cached_property
    def classifier(self) -> Classifier:
        return classify.from_text(
            self.text,
            [c["id"] for c in self.card["classes"]],
            self.card["features"],
            self.card["parameters"],
        )

    def predict(self, features: NDArray[np.float32], *, threads: int = 0) -> Prediction:
        """Classify a window.

        features  (feature, y, x), NaN where missing
        threads   that may be used, 0 for all
        Returns classes, confidence, entropy and probabilities; see `eo.classifier.predict`.

        Raises ValueError where the number of features is not the model's.
        """
        return classify.predict(self.classifier, features, threads=threads)

    @cached_property
    def version(self) -> str:
        """Names the model: a hash of its trees, classes and features, not of how it was run."""
        trees = self.text.split("\nparameters:")[0]
        words = [trees, *(str(c["id"]) for c in self.card["classes"]), *self.card["features"]]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]

    def check_fits(self, features: FeatureStack) -> None:
        """Raises DataError where a patch's features are not those the model was trained on."""
        if features.names != self.classifier.feature_names:
            raise DataError(
                f"{features.name}: its features are not those the model "
                "was trained on (another features or imagery section). Materialize features of "
                "this patch and the model again"
            )


def train(
    samples: Mapping[str, Samples],
    options: TrainingOptions,
    *,
    year: int,
    patches: Collection[str] = (),
) -> LandCoverModel:
    """Train on the samples of all patches but those held out for the test.

    samples  by patch
    patches  all patches of the area: the card names those that could not be sampled

    Raises DataError where there is nothing to learn from: no sample at all, one patch only, or
    one class only.
    """
    classes = options.classes
    labelled = {patch: samples[patch] for patch in sorted(samples) if len(samples[patch])}
    if not labelled:
        raise DataError(
            f"{year}: no patch has a labelled pixel to train on, of {len(samples)} patches. Check "
            "that reference.path covers the area and reference.classes has its values; lower "
            "sampling.erosion where the polygons are small"
        )
    held_out = test_patches(labelled, options.test_fraction, options.seed)
    if not held_out:
        raise DataError(
            f"{year}: only patch {next(iter(labelled))} has labelled pixels. At least two are "
            "needed, one to train and one to test on: split the area into smaller patches "
            "(aoi.patch_size), or extend the reference"
        )
    training = {p: s for p, s in labelled.items() if p not in held_out}
    names = next(iter(training.values())).names
    for patch, one in training.items():
        if one.names != names:
            raise DataError(
                f"patch {patch}, {year}: its samples have other features than those of patch "
                f"{next(iter(training))}. They were made with another configuration: materialize "
                "features and training_samples of all patches again"
            )
    labels = np.concatenate([one.classes for one in training.values()])
    found, counts = np.unique(labels, return_counts=True)
    unknown = [int(i) for i in found if int(i) not in classes]
    if unknown:
        raise DataError(
            f"{year}: the samples have class {unknown[0]}, which reference.classes does not. "
            "Materialize reference_rasters and training_samples again"
        )
    if len(found) < 2:
        raise DataError(
            f"{year}: all {len(labels)} samples of the training patches are of one class "
            f"({classes[int(found[0])]}); at least two are needed. Extend the reference, or choose "
            "another sampling.seed"
        )
    classifier = classify.train(
        [one.features for one in training.values()],
        labels,
        feature_names=names,
        parameters=options.parameters,
        seed=options.seed,
        balanced=options.class_weights == "balanced",
        threads=options.threads,
    )
    absent = [name for class_id, name in classes.items() if class_id not in found]
    card = {
        "year": year,
        "classes": [{"id": i, "name": classes[i]} for i in classifier.class_ids],
        "classes_without_samples": absent,
        "features": list(names),
        "parameters": {k: v for k, v in classifier.parameters.items() if k != "num_threads"},
        "class_weights": options.class_weights,
        "training_patches": sorted(training),
        "test_patches": sorted(held_out),
        "split_warnings": _split_warnings(labelled, held_out, classes),
        "patches_without_samples": sorted(set(samples) - set(labelled)),
        "missing_patches": sorted(set(patches) - set(samples)),
        "samples": {
            classes[int(i)]: int(n) for i, n in zip(found.tolist(), counts.tolist(), strict=True)
        },
        "versions": _versions("lc-platform", "lightgbm", "numpy", "s2cloudless"),
    }
    return LandCoverModel(_THREADS.sub("[num_threads: 0]", classify.to_text(classifier)), card)


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
        shown = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        raise DataError(
            f"predictions of {len(other)} of {len(versions)} patches ({shown}) come from another "
            f"model than {wanted}. Materialize predictions of these patches again"
        )
    return wanted
