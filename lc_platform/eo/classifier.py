"""The classifier: gradient-boosted trees by LightGBM (Ke et al. 2017)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import lightgbm
import numba
import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.calibration import Calibrator
from lc_platform.eo.early_stopping import EarlyStopping, split
from lc_platform.eo.forest import forest_of
from lc_platform.eo.training_table import TrainingTable
from lc_platform.runtime.progress import tell
from lc_platform.runtime.threads import parallel_for

ENTROPY_NO_DATA = 255
MARGIN_NO_DATA = 255
_THREADS = re.compile(r"^\[num_threads: \d+\]$", re.MULTILINE)
_ROWS = 32
"""Rows that a thread decides at a time."""
_PIXELS = 1 << 14
"""Pixels that a thread calibrates at a time."""


class ProbabilityModel(Protocol):
    """A classifier, of whatever kind."""

    @property
    def class_ids(self) -> tuple[int, ...]:
        """Ascending; the class of each column of the probabilities."""
        ...

    @property
    def feature_names(self) -> tuple[str, ...]:
        """In the order of the features it was trained on."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What it was trained with."""
        ...

    def probabilities(
        self, features: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing."""
        ...

    def importance(self) -> NDArray[np.float64]:
        """Return how much each feature counts, (feature,), in any unit."""
        ...

    def to_text(self) -> str:
        """Return what it can be read from again."""
        ...


@runtime_checkable
class WeightedModel(ProbabilityModel, Protocol):
    """A classifier of several parts, each of which has a weight at each pixel."""

    def blended(
        self, features: NDArray[np.float32], weights: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature) and weights (pixel, part)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """Trees that were trained, and what their columns mean."""

    booster: lightgbm.Booster
    class_ids: tuple[int, ...]
    """Ascending; the class of each column of the probabilities. LightGBM itself counts 0 to n-1."""
    feature_names: tuple[str, ...]
    """In the order of the features it was trained on."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained with, as LightGBM was given it."""
    stopping: EarlyStopping | None = None
    """How its number of rounds was found; None where it was given, or is read from a text."""

    def probabilities(
        self, features: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing."""
        forest = forest_of(self.booster)
        if forest is not None:
            return forest.predict(features, threads=threads)
        return np.asarray(self.booster.predict(features, num_threads=threads), dtype=np.float32)

    def importance(self) -> NDArray[np.float64]:
        """Return how much each feature has gained, (feature,), in LightGBM's unit; 0 where no tree
        asks for it."""
        return np.asarray(self.booster.feature_importance("gain"), np.float64)

    def to_text(self) -> str:
        """Return the model as LightGBM's own text, which any LightGBM reads; how many threads it
        was trained on is no part of it."""
        return _THREADS.sub("[num_threads: 0]", str(self.booster.model_to_string()))


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the classifier says of each pixel of a window."""

    classes: NDArray[np.uint8]
    """(y, x), class ids, 0 where there is no data."""
    confidence: NDArray[np.uint8]
    """(y, x), probability of that class in percent, 0 where there is no data."""
    entropy: NDArray[np.uint8]
    """(y, x), Shannon's, of the probabilities, in percent of its maximum: 0 where one class is
    certain, 100 where all are equally probable; 255 where there is no data."""
    margin: NDArray[np.uint8]
    """(y, x), by how much the most probable class is ahead of the second, in percent; 255 where
    there is no data."""
    probabilities: NDArray[np.float32]
    """(class, y, x), 0 to 1, in the order of the classifier's class ids; NaN without data."""
    applicability: NDArray[np.uint8] | None = None
    """(y, x), see `applicability.percent`, 0 where there is no data; None where it is not
    judged."""


def train(
    table: TrainingTable, parameters: Mapping[str, Any], *, seed: int, threads: int = 0
) -> Classifier:
    """Train a classifier; the same samples, parameters and seed give the same one.

    table       its feature names without spaces, brackets, quotes, colons and commas
    parameters  of LightGBM, over multiclass and deterministic training
    threads     that LightGBM may use, 0 for all; the model does not depend on it

    With ``early_stopping_round`` the number of rounds is found first, on four fifths of the blocks
    of ground and by the score of the others, and ``num_iterations`` is the most there may be. The
    classifier itself is then trained on all samples, which are more of the kinds of ground than a
    part of them, with that number: rounds that are right for four fifths are about right for all,
    and no sample is lost.

    Raises ValueError where LightGBM refuses a feature name or the parameters, or there are not two
    blocks of ground to stop by.
    """
    for name in table.feature_names:
        if any(letter.isspace() or letter in '[]{}":,' for letter in name):
            raise ValueError(
                f"Feature name {name!r}: LightGBM allows no space and no bracket, quote, colon or "
                "comma in it."
            )
    settings = {
        "objective": "multiclass",
        "num_class": len(table.class_ids),
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "seed": seed,
        "num_threads": threads,
        **parameters,
    }
    samples = lightgbm.Dataset(
        [np.ascontiguousarray(part, np.float32) for part in table.parts if len(part)],
        label=table.positions,
        weight=table.weights,
        feature_name=list(table.feature_names),
        params=dict(settings),
    )
    patience, found = settings.pop("early_stopping_round", 0), None
    try:
        if patience > 0:
            found = _stopping(samples, table, settings, patience)
            settings["num_iterations"] = found.rounds
        booster = lightgbm.train(dict(settings), samples, callbacks=[_tell_round])
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(
            f"LightGBM refuses to train: {error}. Change the parameters in `model`"
        ) from error
    settings["num_iterations"] = booster.current_iteration()
    return Classifier(booster, table.class_ids, table.feature_names, settings, found)


def _stopping(
    samples: lightgbm.Dataset, table: TrainingTable, settings: Mapping[str, Any], patience: int
) -> EarlyStopping:
    """Train on most of the blocks of ground until the others are not scored better any more."""
    of = split(table, int(settings["seed"]))
    samples.construct()
    training, held_out = (samples.subset(rows.tolist()) for rows in (of.training, of.held_out))
    trained = lightgbm.train(
        {**settings, "early_stopping_round": patience},
        training,
        valid_sets=[held_out.construct()],
        valid_names=["held_out"],
        callbacks=[_tell_round],
    )
    limit = int(settings.get("num_iterations", 100))
    (metric, score), *_ = trained.best_score["held_out"].items()
    rounds = trained.best_iteration
    return EarlyStopping(
        rounds, limit, patience, rounds + patience <= limit, metric, float(score),
        of.blocks, of.held_out_blocks, len(of.held_out),
    )  # fmt: skip


def _tell_round(training: lightgbm.callback.CallbackEnv) -> None:
    tell("rounds", training.iteration + 1, training.end_iteration)


def probabilities(
    classifier: ProbabilityModel,
    features: NDArray[np.float32],
    *,
    weights: NDArray[np.float32] | None = None,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Return the probability of every class.

    features  (pixel, feature), NaN where missing
    weights   (pixel, part), of a classifier of several parts; None of another
    threads   that may be used, 0 for all
    Returns (pixel, class), 0 to 1, the classes in the order of the classifier's ids. A pixel
    without any feature gets a guess here; see ``decide``.

    Raises ValueError where the number of features is not the classifier's, or weights are not what
    it takes.
    """
    pixels, count = features.shape
    if count != len(classifier.feature_names):
        raise ValueError(
            f"The classifier was trained on {len(classifier.feature_names)} features; "
            f"{count} were given."
        )
    if not pixels:
        return np.empty((0, len(classifier.class_ids)), np.float32)
    if weights is None:
        return classifier.probabilities(features, threads=threads)
    if not isinstance(classifier, WeightedModel):
        raise ValueError("Weights were given, and the classifier has no parts that they are of.")
    return classifier.blended(features, weights, threads=threads)


def decide(
    probabilities: NDArray[np.float32], class_ids: Sequence[int], *, threads: int = 0
) -> Prediction:
    """Take the most probable class of each pixel, of equals the first.

    probabilities  (class, y, x), 0 to 1; NaN without data
    class_ids      (class,), two or more
    threads        that may be used, 0 for all

    Raises ValueError where there are not as many probabilities as classes.
    """
    if len(probabilities) != len(class_ids) or len(class_ids) < 2:
        raise ValueError(
            f"{len(class_ids)} classes do not fit probabilities of {len(probabilities)}: there "
            "must be one for each of two classes or more."
        )
    shape = probabilities.shape[1:]
    classes, confidence, uncertainty, ahead = (np.empty(shape, np.uint8) for _ in range(4))
    ids = np.array(class_ids, np.uint8)

    def rows(part: slice) -> None:
        _decide(
            probabilities[:, part], ids,
            classes[part], confidence[part], uncertainty[part], ahead[part],
        )  # fmt: skip

    parallel_for(rows, shape[0], _ROWS, threads)
    return Prediction(classes, confidence, uncertainty, ahead, probabilities)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _decide(probabilities, ids, classes, confidence, entropy, margin):  # type: ignore[no-untyped-def]
    count, height, width = probabilities.shape
    most = math.log(count)
    for y in range(height):
        for x in range(width):
            best, first, second, spread = 0, np.float32(-1), np.float32(-1), 0.0
            for k in range(count):
                value = probabilities[k, y, x]
                if np.isnan(value):
                    best = -1
                    break
                if value > first:
                    best, first, second = k, value, first
                elif value > second:
                    second = value
                if value > 0:
                    spread -= value * math.log(np.float64(value))
            if best < 0:
                classes[y, x], confidence[y, x] = 0, 0
                entropy[y, x], margin[y, x] = ENTROPY_NO_DATA, MARGIN_NO_DATA
                continue
            classes[y, x] = ids[best]
            confidence[y, x] = np.uint8(np.rint(np.float32(100) * first))
            entropy[y, x] = np.uint8(np.rint(100 * min(max(spread / most, 0.0), 1.0)))
            margin[y, x] = np.uint8(np.rint(np.float32(100) * min(first - second, np.float32(1))))


def predict(
    classifier: ProbabilityModel,
    features: NDArray[np.float32],
    *,
    calibrator: Calibrator | None = None,
    weights: NDArray[np.float32] | None = None,
    threads: int = 0,
) -> Prediction:
    """Classify a window.

    features    (feature, y, x), NaN where missing; a pixel all of whose features are missing has
                no data
    weights     (part, y, x), of a classifier of several parts; None of another
    calibrator  of the classifier's probabilities, which are taken as they are where None
    threads     that may be used, 0 for all

    Raises ValueError where the number of features is not the classifier's.
    """
    shape = features.shape[1:]
    # This layout is read as it is; a transposed copy costs more than the classification.
    pixels = features.reshape(len(features), -1)
    valid = _with_data(pixels)
    whole = bool(valid.all())
    of = None if weights is None else weights.reshape(len(weights), -1)[:, valid].T
    known = probabilities(
        classifier, (pixels if whole else pixels[:, valid]).T, weights=of, threads=threads
    )
    if calibrator is not None:
        known = _calibrated(known, calibrator, threads)
    every = known
    if not whole:
        every = np.full((len(valid), len(classifier.class_ids)), np.nan, np.float32)
        every[valid] = known
    return decide(every.T.reshape(-1, *shape), classifier.class_ids, threads=threads)


def _with_data(pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a feature is there (pixel,), of features (feature, pixel)."""
    missing = np.ones(pixels.shape[1], np.bool_)
    for feature in pixels:
        if not missing.any():
            break
        missing &= np.isnan(feature)
    return ~missing


def _calibrated(
    known: NDArray[np.float32], calibrator: Calibrator, threads: int
) -> NDArray[np.float32]:
    found = np.empty_like(known)

    def part(some: slice) -> None:
        found[some] = calibrator.apply(known[some])

    parallel_for(part, len(known), _PIXELS, threads)
    return found


def from_text(
    text: str,
    class_ids: Sequence[int],
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> Classifier:
    """Return a classifier from LightGBM's text and what its model card says of it.

    Raises ValueError where the text is not a model, or not one of these classes and features.
    """
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(f"The text is not a LightGBM model: {error}") from error
    expected = len(class_ids), len(feature_names)
    found = booster.num_model_per_iteration(), booster.num_feature()
    if found != expected:
        raise ValueError(
            f"The model tells {found[0]} classes by {found[1]} features; {expected[0]} class ids "
            f"and {expected[1]} feature names were given. Model and model card do not belong "
            "together."
        )
    return Classifier(booster, tuple(class_ids), tuple(feature_names), dict(parameters or {}))
