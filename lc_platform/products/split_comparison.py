"""How good the same classifier seems by a random split, and how good it is by how much ground."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import accuracy, classification_methods
from lc_platform.eo.folds import growing_subsets, random_folds
from lc_platform.errors import DataError
from lc_platform.products.ground_folds import blocks_at
from lc_platform.products.model import LandCoverModel
from lc_platform.products.training_samples import Samples
from lc_platform.runtime.progress import track
from lc_platform.runtime.threads import side_by_side

SHARES = (0.25, 0.5, 1.0)
"""Of the blocks that may be trained on, along the learning curve."""
_MOST_SAMPLES = 5000
_MOST_ROUNDS = 25
_MOST_EPOCHS = 5
_FASTEST = 0.3
"""The learning rate at which fewer rounds are to reach as far."""
_FOLDS = 3
"""Folds that are tried, at most."""


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Samples of all patches, or some of them."""

    features: NDArray[np.float32]
    labels: NDArray[np.uint8]
    blocks: NDArray[np.int64]
    folds: NDArray[np.int64]
    """(sample,), in which each is tested; -1 for one that is in none."""


def compare_splits(
    model: LandCoverModel,
    samples: Mapping[str, Samples],
    grids: Mapping[str, GeoBox],
    *,
    threads: int = 0,
) -> dict[str, Any]:
    """Return ``block_split``, ``random_split`` and ``learning_curve`` of metrics.json.

    samples  by patch, those that the model was trained on
    grids    by patch

    All are of one small classifier, trained on at most 5,000 samples with at most 25 rounds, so
    that they can be compared with each other, and not with the model's own figures. Both splits
    test on the same number of samples and train on the same number of others: those of other blocks
    of ground, or any.
    """
    pixels = _some(model, samples, grids)
    tested = [fold for fold in np.unique(pixels.folds).tolist() if fold >= 0][:_FOLDS]
    of = model.ground.count if model.ground is not None else 0
    seed = int(model.card["seed"])
    held_out = max(int(np.count_nonzero(pixels.folds == 0)), 1)
    count = of or max(round(len(pixels.labels) / held_out), 2)
    chance = random_folds(len(pixels.labels), count, seed)
    work: list[tuple[str, int]] = [("random", fold) for fold in range(min(len(tested), count))]
    work += [(f"{share:g}", fold) for share in SHARES for fold in tested]
    matrices: dict[str, NDArray[np.int64]] = {}
    blocks: dict[str, list[int]] = {}
    trained: dict[str, list[int]] = {}

    def compared(
        split: tuple[str, int], its_threads: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        name, fold = split
        if name == "random":
            test, training = chance == fold, chance != fold
        else:
            test = pixels.folds == fold
            training = _of_share(pixels, ~test, float(name), seed)
        return training, _confusion(model, pixels, training, test, its_threads)

    found = side_by_side(compared, work, threads, len(work))
    for (name, _), (training, matrix) in zip(work, track(found, "splits", len(work)), strict=True):
        matrices[name] = matrices.get(name, 0) + matrix
        blocks.setdefault(name, []).append(len(np.unique(pixels.blocks[training])))
        trained.setdefault(name, []).append(int(training.sum()))
    curve = [
        {
            "blocks": float(np.mean(blocks[f"{share:g}"])),
            "samples": float(np.mean(trained[f"{share:g}"])),
            **_scores(matrices[f"{share:g}"]),
        }
        for share in SHARES
    ]
    return {
        "random_split": _scores(matrices["random"]),
        "block_split": _scores(matrices["1"]),
        "learning_curve": curve,
    }


def _some(
    model: LandCoverModel, samples: Mapping[str, Samples], grids: Mapping[str, GeoBox]
) -> _Pixels:
    """Return some of the samples for training, spread over all patches."""
    total = sum(one.for_training for one in samples.values())
    every = max(1, -(-total // _MOST_SAMPLES))
    test = set(model.card["test_patches"])
    parts = []
    for position, (patch, one) in enumerate(sorted(samples.items())):
        chosen = np.arange(position % every, one.for_training, every)
        if not len(chosen):
            continue
        if one.names != model.classifier.feature_names:
            raise DataError(
                f"patch {patch}, {one.year}: its samples have other features than those that the "
                "model was trained on. Materialize model again"
            )
        rows, columns, polygons = one.rows[chosen], one.columns[chosen], one.polygons[chosen]
        if model.ground is None:
            blocks = blocks_at(patch, None, rows, columns, None)
            folds = np.full(len(chosen), 0 if patch in test else -1)
        else:
            blocks = model.ground.blocks_of(patch, grids.get(patch), rows, columns, polygons)
            folds = model.ground.fold_of(blocks).astype(np.int64)
        parts.append((one.features[chosen], one.classes[chosen], blocks, folds))
    return _Pixels(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _of_share(
    pixels: _Pixels, allowed: NDArray[np.bool_], share: float, seed: int
) -> NDArray[np.bool_]:
    """Return which pixels lie in a share of the blocks that are allowed."""
    blocks = np.unique(pixels.blocks[allowed])
    chosen = blocks[growing_subsets(len(blocks), [share], seed)[0]]
    return allowed & np.isin(pixels.blocks, chosen)


def _confusion(
    model: LandCoverModel,
    pixels: _Pixels,
    training: NDArray[np.bool_],
    test: NDArray[np.bool_],
    threads: int,
) -> NDArray[np.int64]:
    ids = tuple(sorted({*model.classifier.class_ids, *pixels.labels.tolist()}))
    method, parameters = model.card.get("method", "lightgbm"), model.card["parameters"]
    # Of several methods the card has a mapping each, unless they are combined as by default.
    several = all(isinstance(of, Mapping) for of in parameters.values())
    members = {name: _fewer_trees(name, of, len(ids)) for name, of in parameters.items() if several}
    one = classification_methods.train(
        method,
        pixels.features[training],
        pixels.labels[training],
        feature_names=model.card["features"],
        parameters=_fewer_trees(
            "lightgbm" if method == "combined" else method, parameters, len(ids)
        ),
        members=classification_methods.members(members),
        seed=int(model.card["seed"]),
        balanced=model.card["class_weights"] != "none",
        class_ids=ids,
        threads=threads,
    )
    found = one.probabilities(pixels.features[test], threads=threads)
    predicted = np.array(ids, np.uint8)[found.argmax(axis=1)]
    return accuracy.confusion(pixels.labels[test], predicted, ids).matrix


def _fewer_trees(method: str, parameters: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """Return parameters of a method for a comparison that is quick."""
    found = dict(parameters)
    if method in ("random_forest", "extra_trees"):
        found["n_estimators"] = min(int(found.get("n_estimators", 100)), _MOST_ROUNDS)
    if method in ("tempcnn", "ltae"):
        found["epochs"] = min(int(found["epochs"]), _MOST_EPOCHS)
    if method == "lightgbm":
        rounds = int(found.get("num_iterations", 100))
        fewer = min(rounds, _MOST_ROUNDS)
        rate = float(found.get("learning_rate", 0.1))
        found |= {
            "num_class": classes,
            "num_iterations": fewer,
            "learning_rate": max(rate, min(_FASTEST, rate * rounds / fewer)),
        }
    return found


def _scores(matrix: NDArray[np.int64]) -> dict[str, float]:
    found = accuracy.scores(matrix)
    return {
        "overall_accuracy": float(found.overall_accuracy),
        "f1_weighted": float(found.f1_weighted),
        "samples_tested": int(matrix.sum()),
    }
