"""A classifier that was trained elsewhere, and what its card says of it.

Nothing that is read can run code: LightGBM's text, the platform's own JSON, or ONNX. A pickle is
none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from lc_platform.config.input_files import InputFile, local
from lc_platform.config.problems import nearest
from lc_platform.eo import classification_methods, onnx_model, regional
from lc_platform.eo import classifier as boosted_trees
from lc_platform.eo.classifier import ProbabilityModel
from lc_platform.eo.onnx_model import OnnxModel
from lc_platform.eo.rearranged import Preprocessing, Rearranged
from lc_platform.errors import DataError
from lc_platform.products.training_samples import Samples

_UNLEARNT = "classes_without_samples"
_KEYS = ("classes", "features", "preprocessing", _UNLEARNT)
_PREPROCESSING = ("mean", "scale", "missing")
_PROBED = 64
"""Samples that are tried."""
_APART = 0.01
"""By which probabilities may miss 1 together."""


@dataclass(frozen=True)
class TrainedElsewhere:
    """A classifier as its file and its card have it."""

    classifier: ProbabilityModel
    """Of the configuration's class ids, in the order of the file, as are its features."""
    preprocessing: Preprocessing
    named: str
    """The file, as the configuration has it."""

    def fitted_to(self, names: Sequence[str]) -> ProbabilityModel:
        """Return the classifier as one of features in the order of ``names``.

        Raises DataError naming each feature that it lacks, or has beyond them.
        """
        own = self.classifier.feature_names
        unknown = [name for name in own if name not in names]
        unread = [name for name in names if name not in own]
        if unknown or unread:
            parts = [f"it reads {', '.join(unknown)}, which is not among the features here"]
            parts = parts if unknown else []
            parts += [f"it does not read {', '.join(unread)}, which is"] if unread else []
            raise DataError(
                f"model.path: {self.named}: {'; '.join(parts)}. Choose features and imagery so "
                "that they are the same, or train it on these"
            )
        in_order = list(self.classifier.class_ids) == sorted(self.classifier.class_ids)
        if tuple(names) == own and in_order and self.preprocessing == Preprocessing():
            return self.classifier
        return Rearranged(self.classifier, tuple(names), self.preprocessing)


def read(trained: InputFile, card: InputFile, classes: Mapping[int, str]) -> TrainedElsewhere:
    """Read a classifier and its card.

    classes  id -> name, of the configuration

    Raises DataError naming the file where there is none, it is no classifier, has an operation that
    onnxruntime lacks, or does not fit its card; and where the card's classes are not these.
    """
    told = _card(card)
    names, ids = _features(told, card), _class_ids(told, card, classes)
    of = _preprocessing(told, card, len(names))
    content = _content(trained, "model.path")
    try:
        if PurePath(trained.written).suffix.lower() == ".onnx":
            network = OnnxModel(content, ids, names)
            network.check()
            return TrainedElsewhere(network, of, trained.written)
        text = content.decode()
        if networks := onnx_model.kept_apart(text):
            beside = " and ".join(networks)
            raise ValueError(
                f"its network lies beside it, and is what is read. Give that file ({beside})"
                if len(networks) == 1
                else f"it combines networks that lie beside it ({beside}). Give one of them"
            )
        if regional.parts(text) is not None or text.lstrip().startswith('{\n  "regional_files"'):
            raise ValueError(
                "it is of several regions, of which only their polygons say where each has a say. "
                "Give the model of one of them (model_{region}.txt)"
            )
        found = classification_methods.from_text(text, ids, names)
        if isinstance(found, boosted_trees.Classifier):
            _check_names(found, names)
    except ValueError as error:
        raise DataError(f"model.path: {trained.written}: {error}") from error
    return TrainedElsewhere(found, of, trained.written)


def adopt(
    samples: Mapping[str, Samples],
    trained: InputFile,
    card: InputFile,
    classes: Mapping[int, str],
    names: Sequence[str],
) -> tuple[ProbabilityModel, dict[str, Any]]:
    """Return the classifier as one of the features here, and what a model's card says of it.

    samples  by patch, on which it is tried
    names    of their features

    Raises DataError as `read` does, and where it does not fit the features or gives no
    probabilities.
    """
    found = read(trained, card, classes).fitted_to(names)
    values = [one.features[:_PROBED] for one in samples.values() if len(one)]
    if values:
        _try(found, np.concatenate(values)[:_PROBED], trained.written)
    return found, {
        "method": classification_methods.method_of(found),
        "trained_elsewhere": {
            "path": trained.written,
            "content": trained.content,
            "card": card.written,
        },
    }


def _try(classifier: ProbabilityModel, values: NDArray[np.float32], named: str) -> None:
    """Raises DataError where there is a sample that it has no probabilities of."""
    gaps = values.copy()
    gaps[np.arange(len(gaps)), np.arange(len(gaps)) % gaps.shape[1]] = np.nan
    known = values[~np.isnan(values).any(axis=1)]
    for some, where in ((known, ""), (gaps, " where a feature is missing")):
        found = classifier.probabilities(np.ascontiguousarray(some))
        if np.isnan(found).any():
            raise DataError(
                f"model.path: {named}: gives no number{where}. Say in its card what missing "
                "features become: preprocessing: {missing: 0}"
            )
        if (found < -_APART).any() or (np.abs(found.sum(axis=1) - 1) > _APART).any():
            raise DataError(
                f"model.path: {named}: gives {np.round(found[0], 3).tolist()} of a pixel, and "
                "probabilities are 0 to 1 and 1 together. Export it with a softmax at its end"
            )


def _content(file: InputFile, key: str) -> bytes:
    path = local(file.located)
    if path is None or not path.is_file():
        raise DataError(f"{key}: there is no file {file.located}. Give the path of one")
    return path.read_bytes()


def _card(file: InputFile) -> Mapping[str, Any]:
    try:
        told = yaml.safe_load(_content(file, "model.card").decode())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"model.card: {file.written} is no YAML or JSON: {error}") from error
    if not isinstance(told, Mapping):
        raise DataError(f"model.card: {file.written} has no keys. Give {', '.join(_KEYS[:2])}")
    for key in told:
        # A card may say more than what is read of it; a misspelt key must not be passed over.
        hint = "" if key in _KEYS else nearest(str(key), ["preprocessing"])
        if hint:
            raise DataError(f"model.card: {file.written}: {key} is not read.{hint}")
    return told


def _features(told: Mapping[str, Any], card: InputFile) -> tuple[str, ...]:
    names = told.get("features")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise DataError(
            f"model.card: {card.written}: features is no list of names. Give all that the model "
            "reads, in its order, as training_samples name them (NDVI_017)"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"model.card: {card.written}: features has {', '.join(twice)} twice")
    return tuple(names)


def _class_ids(
    told: Mapping[str, Any], card: InputFile, classes: Mapping[int, str]
) -> tuple[int, ...]:
    """Return the configuration's ids of the card's classes, which are known by their names, in the
    card's order."""
    given = told.get("classes")
    rows = list(given.values()) if isinstance(given, Mapping) else given
    rows = rows if isinstance(rows, list) else []
    written = [one.get("name") if isinstance(one, Mapping) else one for one in rows]
    names = [name for name in written if isinstance(name, str)]
    if not names or len(names) < len(written):
        raise DataError(
            f"model.card: {card.written}: classes is no list of names. Give all that the model "
            "tells apart, in its order: [cropland, forest]"
        )
    ids = {name: number for number, name in classes.items()}
    unknown = [name for name in names if name not in ids]
    # As the platform's own cards have it: classes that were asked for, and could not be learnt.
    unlearnt = told.get(_UNLEARNT) or ()
    lacking = [name for name in ids if name not in names and name not in unlearnt]
    if unknown or lacking or len(set(names)) < len(names):
        parts = [f"has {', '.join(unknown)}, which reference.classes has not"] if unknown else []
        parts += [f"lacks {', '.join(lacking)} of reference.classes"] if lacking else []
        raise DataError(
            f"model.card: {card.written}: its {len(names)} classes are not the {len(ids)} of "
            f"reference.classes: it {' and '.join(parts) or 'has one twice'}. Give the classes of "
            f"the model the same names in both; {_UNLEARNT} of the card may list those that it had "
            "no samples of"
        )
    return tuple(ids[name] for name in names)


def _preprocessing(told: Mapping[str, Any], card: InputFile, count: int) -> Preprocessing:
    given = told.get("preprocessing") or {}
    where = f"model.card: {card.written}: preprocessing"
    if not isinstance(given, Mapping):
        raise DataError(f"{where} has no keys. Give {', '.join(_PREPROCESSING)}, or nothing")
    for key in given:
        if key not in _PREPROCESSING:
            raise DataError(f"{where}.{key}: is not known.{nearest(str(key), _PREPROCESSING)}")
    found: dict[str, tuple[float, ...]] = {"mean": (), "scale": ()}
    for key in found:
        values = given.get(key)
        if values is None:
            continue
        one = isinstance(values, int | float)
        try:
            read = np.array([values] * count if one else values, np.float64)
        except (TypeError, ValueError):
            read = np.empty(0)
        wrong = not np.isfinite(read).all() or (key == "scale" and (read == 0).any())
        if read.shape != (count,) or wrong:
            raise DataError(
                f"{where}.{key}: is not one number{' other than 0' * (key == 'scale')} for each of "
                f"the {count} features. Give {count} in their order, or one for all"
            )
        found[key] = tuple(read.tolist())
    missing = given.get("missing")
    if missing is None:
        return Preprocessing(found["mean"], found["scale"])
    if isinstance(missing, bool) or not isinstance(missing, int | float):
        raise DataError(f"{where}.missing: {missing!r} is no number. Give one")
    return Preprocessing(found["mean"], found["scale"], float(missing))


def _check_names(found: boosted_trees.Classifier, names: Sequence[str]) -> None:
    """Raises ValueError where LightGBM's text names other features than the card."""
    own = found.booster.feature_name()
    if own == [f"Column_{i}" for i in range(len(own))]:
        return
    other = [f"{a} is {b} in the card" for a, b in zip(own, names, strict=True) if a != b]
    if other:
        raise ValueError(
            f"its own features are not those of its card, in that order: {', '.join(other)}"
        )
