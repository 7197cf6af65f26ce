"""The training space that a model is kept with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lc_platform.artefacts.formats import ModelFormat
from lc_platform.eo import applicability
from lc_platform.products.model import train
from lc_platform.storage.store import Store
from lc_platform_tests.products.three_classes import NAMES, SETTINGS, YEAR, eight, samples, stack


def test_a_model_keeps_its_training_space_in_a_table_that_other_programs_open(
    tmp_path: Path,
) -> None:
    model = train(eight(), SETTINGS, year=YEAR)
    ModelFormat().write(Store(str(tmp_path)), "model/2018", model)
    table = pq.read_table(tmp_path / "model" / "2018" / "training_space.parquet")
    assert table.num_rows == model.card["applicability"]["samples"] == 180
    assert set(table.column_names) <= set(NAMES)
    found = ModelFormat().open(Store(str(tmp_path)), "model/2018")
    assert found.version == model.version
    assert model.training_space is not None
    window = stack((8, 9)).read()
    np.testing.assert_array_equal(
        applicability.dissimilarity(found.training_space, window),
        applicability.dissimilarity(model.training_space, window),
    )


def test_as_many_samples_of_each_class_stand_for_the_training() -> None:
    model = train(eight(), replace(SETTINGS, applicability_samples=30), year=YEAR)
    told = model.card["applicability"]
    assert told["samples_by_class"] == {"meadow": 10, "forest": 10, "water": 10}
    assert model.version != train(eight(), SETTINGS, year=YEAR).version


def test_the_threshold_is_of_the_models_folds() -> None:
    settings = replace(SETTINGS, folds=4, test_fraction=None)
    card = train(eight(), settings, year=YEAR).card
    assert card["applicability"]["samples"] == 240  # no patch is held out
    assert card["applicability"]["threshold"] > 0


def test_a_model_that_cannot_judge_says_why() -> None:
    few = {f"p{i}": samples(f"p{i}") for i in range(2)}
    model = train(few, SETTINGS, year=YEAR)  # one patch is held out
    assert model.training_space is None
    assert "two folds or more" in model.card["applicability"]["not_judged"]
