"""A model of each method: folds, calibration, wrong labels, applicability, and its stored text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lc_platform.artefacts.formats import formats
from lc_platform.config.model import NETWORK_DEFAULTS
from lc_platform.errors import DataError
from lc_platform.products.model import train
from lc_platform.products.split_comparison import compare_splits
from lc_platform.storage.store import Store
from lc_platform_tests.products.three_classes import SETTINGS, YEAR, eight, stack

pytestmark = pytest.mark.slow

FEW: dict[str, Any] = {"n_estimators": 5}
MIXED = {
    "random_forest": {"weight": 1, **FEW},
    "lightgbm": {"weight": 2.0, "num_iterations": 5, "min_data_in_leaf": 2},
    "discriminant": {"weight": 1},
}


@pytest.mark.parametrize(
    ("method", "parameters", "members"),
    [
        ("random_forest", FEW, {}),
        ("extra_trees", FEW, {}),
        ("logistic", {"C": 10}, {}),
        ("combined", {}, MIXED),
    ],
)
def test_all_that_a_model_is_made_of_is_there_with_each_method(
    method: str, parameters: dict[str, Any], members: dict[str, Any], tmp_path: Path
) -> None:
    asked = replace(
        SETTINGS,
        method=method,
        parameters=parameters,
        members=members,
        folds=4,
        test_fraction=None,
        calibration="temperature",
    )
    model = train(eight(), asked, year=YEAR)
    card = model.card
    assert card["method"] == method
    assert card["parameters"].items() >= parameters.items()
    assert set(members) <= set(card["parameters"])
    assert json.loads(json.dumps(card)) == card
    assert len(model.fold_models) == 4
    assert card["calibration"]["pixels"] == 240
    assert card["wrong_labels"]["judged_polygons"] == 24
    assert model.training_space is not None
    store = Store(str(tmp_path))
    formats()["model"].write(store, "model/2018", model)
    again = formats()["model"].open(store, "model/2018")
    assert again.version == model.version
    assert json.loads((tmp_path / "model" / "2018" / "model.txt").read_text("utf-8"))
    window = stack((6, 7)).read()
    for fold in (None, 2):
        found = model.predict(window, fold=fold, judged=True)
        reread = again.predict(window, fold=fold, judged=True)
        np.testing.assert_array_equal(reread.probabilities, found.probabilities)
        assert found.applicability is not None
    compared = compare_splits(again, eight(), {})
    assert compared["random_split"]["overall_accuracy"] > 0.6


STOPPED = {"num_iterations": 40, "early_stopping_round": 3, "min_data_in_leaf": 2}


def test_rounds_that_stop_by_held_out_ground_are_told_and_are_the_same_again() -> None:
    asked = replace(SETTINGS, parameters=STOPPED, folds=4, test_fraction=None)
    model = train(eight(), asked, year=YEAR)
    told = model.card["early_stopping"]
    assert told["rounds"] == model.card["parameters"]["num_iterations"] < told["limit"] == 40
    assert (told["blocks"], told["held_out_blocks"], told["patience"]) == (8, 2, 3)
    assert len(told["fold_rounds"]) == 4
    assert json.loads(json.dumps(told)) == told
    assert train(eight(), asked, year=YEAR).version == model.version
    by_patch = train(eight(), replace(asked, folds=0, test_fraction=0.25), year=YEAR)
    assert by_patch.card["early_stopping"]["blocks"] == 6


def test_rounds_cannot_stop_where_all_ground_that_is_trained_on_is_one_block() -> None:
    two = {patch: one for patch, one in eight().items() if patch in ("p1", "p2")}
    asked = replace(SETTINGS, parameters=STOPPED, folds=2, test_fraction=None)
    with pytest.raises(
        DataError, match=r"model\.early_stopping_round: the 30 samples .* one block"
    ):
        train(two, asked, year=YEAR)


def test_networks_of_a_model_and_of_its_folds_are_kept_as_files(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="could not import torch")
    pytest.importorskip("onnxruntime")
    small = {"epochs": 2, "channels": 8, "heads": 2, "units": 8, "batch_size": 64}
    network = {**NETWORK_DEFAULTS["ltae"], **small}
    asked = replace(SETTINGS, method="ltae", parameters=network, folds=2, test_fraction=None)
    members = {"ltae": {"weight": 1, **network}, "discriminant": {"weight": 1}}
    window = stack((6, 7)).read()
    for settings in (asked, replace(asked, method="combined", parameters={}, members=members)):
        model = train(eight(), settings, year=YEAR)
        store = Store(str(tmp_path))
        formats()["model"].write(store, "model/2018", model)
        names = {path.name for path in (tmp_path / "model" / "2018").glob("*.onnx")}
        assert names == {"model.onnx", "fold_0.onnx", "fold_1.onnx"}
        again = formats()["model"].open(store, "model/2018")
        assert (again.text, again.fold_texts) == (model.text, model.fold_texts)
        for fold in (None, 1):
            np.testing.assert_array_equal(
                again.predict(window, fold=fold).probabilities,
                model.predict(window, fold=fold).probabilities,
            )
        assert compare_splits(again, eight(), {})["random_split"]["samples_tested"] > 0
