"""Other classifiers than the default, through the whole graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.platform import Platform
from lc_platform_tests.artefacts.snapshots import run
from lc_platform_tests.graphs import YEAR, settings


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
