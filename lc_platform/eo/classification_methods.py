"""The classifiers that users choose from by name.

Each has a function that trains it on a `TrainingTable`, and one that reads its text. What comes out
of both is a `ProbabilityModel`: a new method is a module with these two, and an entry in `METHODS`
here and in `lc_platform.config.model`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import classifier as boosted_trees
from lc_platform.eo import (
    combined,
    discriminant,
    linear_model,
    logistic,
    network_training,
    onnx_model,
    random_forest,
    rearranged,
    regional,
)
from lc_platform.eo.classifier import ProbabilityModel
from lc_platform.eo.combined import Combined
from lc_platform.eo.early_stopping import EarlyStopping
from lc_platform.eo.linear_model import LinearModel
from lc_platform.eo.onnx_model import OnnxModel
from lc_platform.eo.random_forest import RandomForest
from lc_platform.eo.rearranged import Rearranged
from lc_platform.eo.training_table import TrainingTable

SingleMethod = Literal[
    "lightgbm", "random_forest", "extra_trees", "discriminant", "logistic", "tempcnn", "ltae"
]
Method = Literal[SingleMethod, "combined"]
SINGLE_METHODS: tuple[SingleMethod, ...] = get_args(SingleMethod)
METHODS: tuple[Method, ...] = (*SINGLE_METHODS, "combined")


@dataclass(frozen=True)
class Member:
    """One of the classifiers that are combined."""

    method: SingleMethod
    weight: float = 1.0
    """Above 0; the weights count in proportion to each other."""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def members(told: Mapping[str, Mapping[str, Any]]) -> tuple[Member, ...]:
    """Return members from their ``weight`` and parameters by method."""
    return tuple(
        Member(
            method,  # type: ignore[arg-type]
            float(one["weight"]),
            {name: value for name, value in one.items() if name != "weight"},
        )
        for method, one in told.items()
    )


def train(
    method: str,
    features: NDArray[np.float32] | Sequence[NDArray[np.float32]],
    labels: NDArray[np.integer[Any]],
    *,
    feature_names: Sequence[str],
    parameters: Mapping[str, Any],
    seed: int,
    members: Sequence[Member] = (),
    balanced: bool = False,
    class_weights: Mapping[int, float] = MappingProxyType({}),
    sample_weights: NDArray[np.float64] | None = None,
    class_ids: Sequence[int] = (),
    blocks: NDArray[np.int64] | None = None,
    threads: int = 0,
) -> ProbabilityModel:
    """Train a classifier; the same samples, parameters and seed give the same one.

    features, labels, feature_names, class_ids, balanced, class_weights, sample_weights, blocks
                see `TrainingTable.of`
    parameters  of the method; of LightGBM's part where methods are combined without members
    members     of `combined`; LightGBM and a discriminant with the same weight where there is none
    threads     that may be used, 0 for all; the classifier does not depend on it

    Raises ValueError where the samples do not fit, or the method refuses its parameters.
    """
    table = TrainingTable.of(
        features,
        labels,
        feature_names=feature_names,
        class_ids=class_ids,
        balanced=balanced,
        blocks=blocks,
        class_weights=class_weights,
        sample_weights=sample_weights,
    )
    if method != "combined":
        return _trained(method, table, parameters, seed, threads)
    of = members or (Member("lightgbm", parameters=parameters), Member("discriminant"))
    return Combined(
        tuple(one.method for one in of),
        tuple(_trained(one.method, table, one.parameters, seed, threads) for one in of),
        tuple(one.weight for one in of),
    )


def _trained(
    method: str,
    table: TrainingTable,
    parameters: Mapping[str, Any],
    seed: int,
    threads: int,
) -> ProbabilityModel:
    if method == "discriminant":
        return discriminant.train(table)
    if method == "logistic":
        return logistic.train(table, parameters, seed=seed)
    if method == "lightgbm":
        return boosted_trees.train(table, parameters, seed=seed, threads=threads)
    if method in ("random_forest", "extra_trees"):
        kind: random_forest.Kind = "random_forest" if method == "random_forest" else "extra_trees"
        return random_forest.train(kind, table, parameters, seed=seed, threads=threads)
    if method in ("tempcnn", "ltae"):
        network: network_training.Kind = "tempcnn" if method == "tempcnn" else "ltae"
        return network_training.train(network, table, parameters, seed=seed)
    raise ValueError(f"{method!r} is none of {', '.join(METHODS)}.")


_READERS: Mapping[str, Callable[..., ProbabilityModel]] = {
    "discriminant": linear_model.from_text,
    "logistic": linear_model.from_text,
    "random_forest": random_forest.from_text,
    "extra_trees": random_forest.from_text,
    "onnx": onnx_model.from_text,
}
"""By the first key of their JSON."""


def from_text(
    text: str,
    class_ids: Sequence[int],
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> ProbabilityModel:
    """Return a classifier from its text and what its model card says of it.

    Raises ValueError where the text is not a classifier, or not one of these classes and features.
    """
    by_region = regional.parts(text)
    if by_region is not None:
        return regional.from_parts(by_region, class_ids, feature_names, parameters, from_text)
    several = combined.parts(text)
    if several is not None:
        return Combined(
            several.methods,
            tuple(from_text(one, class_ids, feature_names) for one in several.texts),
            several.weights,
        )
    kind = re.match(r'\{"(\w+)"', text)
    if kind and kind[1] == "rearranged":
        return rearranged.from_text(text, class_ids, feature_names, parameters, from_text)
    read = _READERS.get(kind[1]) if kind else boosted_trees.from_text
    if read is None:
        raise ValueError(f"The text is of no known classifier: it begins with {text[:40]!r}")
    return read(text, class_ids, feature_names, parameters)


def early_stopping(classifier: ProbabilityModel) -> EarlyStopping | None:
    """Return where the boosting of a classifier that was just trained stopped; None where its
    rounds were given, or it has none."""
    of = classifier.members if isinstance(classifier, Combined) else (classifier,)
    return next((one.stopping for one in of if isinstance(one, boosted_trees.Classifier)), None)


def method_of(classifier: ProbabilityModel) -> str:
    """Return what a classifier is of, as a model's card has it: one of `METHODS`, or ``onnx``."""
    match classifier:
        case Rearranged():
            return method_of(classifier.classifier)
        case Combined():
            return "combined"
        case OnnxModel():
            return "onnx"
        case LinearModel() | RandomForest():
            return classifier.kind
    return "lightgbm"


def identity(text: str) -> str:
    """Return what of a classifier's text makes its probabilities, without how it was trained."""
    by_region = regional.parts(text)
    if by_region is not None:
        return json.dumps([(one.region, one.class_ids, identity(one.text)) for one in by_region])
    several = combined.parts(text)
    if several is None:
        return text if text.startswith("{") else text.split("\nparameters:")[0]
    identities = [identity(one) for one in several.texts]
    if several.usual:
        return "".join(identities)
    return json.dumps([several.methods, several.weights, identities])
