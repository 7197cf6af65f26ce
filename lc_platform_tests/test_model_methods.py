"""Other classifiers than the default, through the whole graph."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import yaml

from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.platform import Platform
from lc_platform.products.feature_options import season_names
from lc_platform_tests.artefacts.snapshots import run
from lc_platform_tests.graphs import YEAR, settings


@pytest.mark.proof
@pytest.mark.slow
def test_a_map_is_made_by_several_classifiers_and_the_report_says_which(tmp_path: Path) -> None:
    few = {"n_estimators": 8, "min_samples_leaf": 3}
    told = settings(2, 2, validation={"folds": 2, "block_size": 160})
    told["model"] = {
        "of": {"random_forest": {"weight": 2, **few}, "extra_trees": few, "logistic": 1}
    }
    asked = config.parse(told, tmp_path)
    report = run(asked)
    assert report.succeeded, report.failures
    store = Platform(asked).store
    card = formats()["model"].open(store, key("model", year=YEAR)).card
    assert list(card["parameters"]) == ["random_forest", "extra_trees", "logistic"]
    metrics = formats()["evaluation"].open(store, key("evaluation", year=YEAR)).metrics
    assert metrics["overall_accuracy"] > 0.5
    page = next(tmp_path.rglob("report.html")).read_text(encoding="utf-8")
    assert "Breiman" in page
    assert "Geurts" in page
    assert "LightGBM: a highly" not in page


@pytest.mark.slow
@pytest.mark.proof
def test_a_map_stops_its_boosting_by_ground_and_its_model_makes_another_map(tmp_path: Path) -> None:
    told = settings(2, 1, validation={"folds": 2, "block_size": 160})
    told["model"] = {"method": "lightgbm", "num_iterations": 30, "early_stopping_rounds": 3}
    first = config.parse(told, tmp_path)
    report = run(first)
    assert report.succeeded, report.failures
    store = Platform(first).store

    def evaluated() -> dict[str, Any]:
        found = formats()["evaluation"].open(store, key("evaluation", year=YEAR)).metrics
        return dict(found)

    stopping = evaluated()["early_stopping"]
    assert 0 < stopping["rounds"] <= stopping["limit"] == 30
    assert stopping["held_out_blocks"] < stopping["blocks"] <= 8
    page = next(tmp_path.rglob("report.html")).read_text(encoding="utf-8")
    assert f"has {stopping['rounds']} rounds, of at most 30" in page
    shutil.copytree(tmp_path / "data" / key("model", year=YEAR), tmp_path / "elsewhere")
    told["model"] = {"path": "elsewhere/model.txt", "card": "elsewhere/model_card.json"}
    second = config.parse(told, tmp_path)
    report = run(second)
    assert report.succeeded, report.failures
    metrics = evaluated()
    assert metrics["trained_elsewhere"]["path"] == "elsewhere/model.txt"
    assert (metrics["learning_curve"], metrics["validation"]["folds"]) == (None, 0)
    assert "nothing says on which ground" in metrics["split_warnings"][0]
    assert metrics["overall_accuracy"] > 0.5
    page = next(tmp_path.rglob("report.html")).read_text(encoding="utf-8")
    assert "was trained elsewhere (<code>elsewhere/model.txt</code>" in page
    assert "nothing says whether it was trained on some of them" in page


@pytest.mark.slow
@pytest.mark.proof
def test_a_map_is_made_by_a_network_and_a_discriminant(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="could not import torch")
    pytest.importorskip("onnxruntime")
    told = settings(2, 1, validation={"folds": 2, "block_size": 160})
    small = {"epochs": 2, "channels": 32, "heads": 4, "units": 32}
    told["model"] = {"of": {"ltae": small, "discriminant": 1}}
    asked = config.parse(told, tmp_path)
    report = run(asked)
    assert report.succeeded, report.failures
    store = Platform(asked).store
    metrics = formats()["evaluation"].open(store, key("evaluation", year=YEAR)).metrics
    assert metrics["overall_accuracy"] > 0.5
    assert metrics["random_split"]["samples_tested"] > 0
    assert (tmp_path / "data" / key("model", year=YEAR) / "fold_1.onnx").is_file()
    page = next(tmp_path.rglob("report.html")).read_text(encoding="utf-8")
    assert "Lightweight temporal self-attention" in page


@pytest.mark.proof
@pytest.mark.slow
def test_a_map_of_a_model_that_was_trained_elsewhere_says_so(tmp_path: Path) -> None:
    told = settings(2, 1)
    told["model"] = {"path": "model.txt", "card": "card.yaml"}
    asked = config.parse(told, tmp_path)
    options = Platform(asked).feature_options()
    names = list(season_names(options, asked.season.span, YEAR))
    classes = list(asked.class_names.values())
    rng = np.random.default_rng(1)
    data = lightgbm.Dataset(
        rng.random((400, len(names))), np.arange(400) % len(classes), feature_name=names
    )
    rounds = {"objective": "multiclass", "num_class": len(classes), "verbosity": -1}
    lightgbm.train(rounds, data, 3).save_model(tmp_path / "model.txt")
    card = yaml.safe_dump({"classes": classes, "features": names})
    (tmp_path / "card.yaml").write_text(card, encoding="utf-8")
    report = run(asked)
    assert report.succeeded, report.failures
    store = Platform(asked).store
    metrics = formats()["evaluation"].open(store, key("evaluation", year=YEAR)).metrics
    assert metrics["trained_elsewhere"]["path"] == "model.txt"
    assert (metrics["learning_curve"], metrics["validation"]["folds"]) == (None, 0)
    assert len(metrics["test_patches"]) == 2
    page = next(tmp_path.rglob("report.html")).read_text(encoding="utf-8")
    assert "was trained elsewhere (<code>model.txt</code>" in page
