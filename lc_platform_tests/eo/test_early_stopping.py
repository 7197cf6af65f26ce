"""How many rounds of boosting are enough, by ground that is held out."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from lc_platform.eo import classification_methods
from lc_platform.eo.early_stopping import split
from lc_platform.eo.training_table import TrainingTable

NAMES = ("a", "b", "c")
LIMIT, PATIENCE = 60, 4
PARAMETERS = {
    "num_iterations": LIMIT,
    "early_stopping_round": PATIENCE,
    "learning_rate": 0.3,
    "min_data_in_leaf": 5,
    "num_leaves": 7,
}


def samples(seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
    """Ten blocks of ground, each with a light of its own, so that a block is learnt by heart."""
    rng = np.random.default_rng(seed)
    blocks = np.repeat(np.arange(10) * 7 - 3, 40).astype(np.int64)
    labels = rng.choice(np.array([2, 5, 9], np.uint8), len(blocks))
    values = rng.normal(size=(len(blocks), 3)) + 0.4 * labels[:, None]
    values[:, 1] = blocks + 0.1 * rng.normal(size=len(blocks))
    return values.astype(np.float32), labels, blocks


def table(**changed: Any) -> TrainingTable:
    values, labels, blocks = samples()
    return TrainingTable.of(values, labels, feature_names=NAMES, **{"blocks": blocks, **changed})


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_whole_blocks_are_held_out_and_no_class_that_was_not_learnt(data: st.DataObject) -> None:
    count = data.draw(st.integers(4, 60))
    draw = st.lists(st.integers(0, 7), min_size=count, max_size=count)
    blocks = np.array(data.draw(draw), np.int64)
    blocks[:2] = 0, 1
    labels = np.array(data.draw(draw), np.uint8) // 2 + 1
    labels[:2] = 1, 2
    found = split(
        TrainingTable.of(
            np.zeros((count, 1), np.float32), labels, feature_names=["a"], blocks=blocks
        ),
        seed=3,
    )
    assert not set(blocks[found.training]) & set(blocks[found.held_out])
    assert set(labels[found.held_out]) <= set(labels[found.training])
    neither = np.setdiff1d(np.arange(count), np.concatenate([found.training, found.held_out]))
    assert not set(labels[neither]) & set(labels[found.training])
    assert 1 <= found.held_out_blocks < found.blocks == len(set(blocks.tolist()))


def test_rounds_are_those_after_which_held_out_ground_is_told_best() -> None:
    of = table()
    found = classification_methods.train(
        "lightgbm", *samples()[:2], feature_names=NAMES, parameters=PARAMETERS, seed=4,
        blocks=samples()[2], threads=1,
    )  # fmt: skip
    stopping = classification_methods.early_stopping(found)
    assert stopping is not None
    held = split(of, 4)
    values = of.whole()
    given_rounds = {k: v for k, v in PARAMETERS.items() if k != "early_stopping_round"}
    plain = lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbosity": -1, "seed": 4, "num_threads": 1,
         "deterministic": True, "force_row_wise": True, **given_rounds},
        # Bins are those of all samples, as of the classifier itself.
        lightgbm.Dataset(values, of.positions).construct().subset(held.training.tolist()),
    )  # fmt: skip
    losses = [
        log_loss(
            of.positions[held.held_out],
            plain.predict(values[held.held_out], num_iteration=rounds),
            labels=[0, 1, 2],
        )
        for rounds in range(1, LIMIT + 1)
    ]
    expected, best = 0, np.inf
    for rounds, loss in enumerate(losses, 1):
        if loss < best:
            expected, best = rounds, loss
        elif rounds - expected >= PATIENCE:
            break
    assert 1 < expected < LIMIT - PATIENCE
    assert (stopping.rounds, stopping.stopped, stopping.limit) == (expected, True, LIMIT)
    assert stopping.score == pytest.approx(best, rel=1e-6)
    assert (stopping.blocks, stopping.held_out_samples) == (10, len(held.held_out))


@pytest.mark.parametrize("method", ["lightgbm", "combined"])
def test_the_classifier_is_the_one_of_all_samples_with_that_number_of_rounds(method: str) -> None:
    values, labels, blocks = samples()

    def trained(**parameters: Any) -> classification_methods.ProbabilityModel:
        return classification_methods.train(
            method, values, labels, feature_names=NAMES, parameters=PARAMETERS | parameters,
            seed=4, blocks=blocks, threads=1,
        )  # fmt: skip

    found = trained()
    stopping = classification_methods.early_stopping(found)
    assert stopping is not None
    assert found.parameters["num_iterations"] == stopping.rounds
    assert "early_stopping_round" not in found.parameters
    by_number = trained(num_iterations=stopping.rounds, early_stopping_round=0)
    assert classification_methods.early_stopping(by_number) is None
    assert by_number.to_text() == found.to_text() == trained().to_text()


def test_a_block_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="all 400 samples lie in one block of ground"):
        split(table(blocks=np.zeros(400, np.int64)), 1)
    with pytest.raises(ValueError, match="needs the block of ground"):
        split(table(blocks=None), 1)
