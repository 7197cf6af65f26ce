"""Classifiers of folds: who learns what, who is tested where, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from lc_platform.artefacts.formats import formats
from lc_platform.config.map import COVERAGES
from lc_platform.eo import calibration, conformal
from lc_platform.errors import DataError
from lc_platform.products.model import LandCoverModel, train
from lc_platform.products.training_samples import Samples
from lc_platform.storage.store import Store
from lc_platform_tests.products import cubes
from lc_platform_tests.products.three_classes import (
    CLASSES,
    SETTINGS,
    YEAR,
    eight,
    samples,
    stack,
)

FOLDS = replace(SETTINGS, test_fraction=None, folds=4, calibration="temperature")
GRIDS = {f"p{i}": cubes.grid(60, 60, west=500_000 + 600 * i) for i in range(8)}


@pytest.fixture(scope="module")
def model() -> LandCoverModel:
    return train(eight(), FOLDS, year=YEAR)


def test_the_map_s_classifier_learns_from_all_patches_and_a_fold_s_from_the_others(
    model: LandCoverModel,
) -> None:
    assert model.card["samples"] == dict.fromkeys(CLASSES.values(), 80)
    assert model.card["training_patches"] == model.card["test_patches"] == [*eight()]
    assert model.ground is not None
    assert model.ground.count == len(model.fold_models) == 4
    fold = {p: set(model.ground.of_samples(one, None).tolist()) for p, one in eight().items()}
    assert all(len(of) == 1 for of in fold.values())
    assert {next(iter(of)) for of in fold.values()} == {0, 1, 2, 3}
    # A fold's classifier is the one that is trained on the other patches alone.
    for number in range(4):
        others = {p: one for p, one in eight().items() if fold[p] != {number}}
        alone = train(others, replace(FOLDS, folds=2), year=YEAR)
        probe = samples("x").features
        np.testing.assert_array_equal(
            model.fold_models[number].booster.predict(probe),
            alone.classifier.booster.predict(probe),
        )


def test_a_model_with_folds_is_stored_and_read_as_it_was(
    model: LandCoverModel, tmp_path: object
) -> None:
    store = Store(str(tmp_path))
    formats()["model"].write(store, "model/2018", model)
    assert set(store.names("model/2018")) >= {
        *(f"fold_{fold}.txt" for fold in range(4)),
        *("model.txt", "model_card.json", "folds.parquet", "polygon_blocks.parquet"),
    }
    again = formats()["model"].open(store, "model/2018")
    assert again.version == model.version
    assert again.card == json.loads(json.dumps(model.card))
    features = samples("x").features.T[:, np.newaxis]
    for fold in (None, *range(4)):
        np.testing.assert_array_equal(
            again.predict(features, fold=fold).probabilities,
            model.predict(features, fold=fold).probabilities,
        )
    for patch, one in eight().items():
        assert again.ground is not None
        assert model.ground is not None
        np.testing.assert_array_equal(
            again.ground.of_samples(one, GRIDS[patch]), model.ground.of_samples(one, GRIDS[patch])
        )


def test_probabilities_are_calibrated_by_what_other_folds_say(model: LandCoverModel) -> None:
    assert model.ground is not None
    given, labels, folds = [], [], []
    for one in eight().values():
        of = model.ground.of_samples(one, None)
        found = np.stack([np.asarray(m.booster.predict(one.features)) for m in model.fold_models])
        given.append(found[of, np.arange(len(one))].astype(np.float32))
        labels.append(one.classes)
        folds.append(of)
    probabilities, truth, fold = (np.concatenate(each) for each in (given, labels, folds))
    ids = tuple(CLASSES)

    expected = calibration.fit(probabilities, truth, ids, "temperature")
    assert model.card["calibration"]["temperature"] == pytest.approx(expected.value, rel=1e-4)
    for number, told in enumerate(model.card["validation"]["folds"]):
        others = fold != number
        own = calibration.fit(probabilities[others], truth[others], ids, "temperature")
        assert told["calibration"]["temperature"] == pytest.approx(own.value, rel=1e-4)
    after = calibration.calibrate_out_of_fold(probabilities, truth, ids, fold, "temperature")
    for name, values in (("before", probabilities), ("after", after)):
        error = calibration.reliability(values, truth, ids).expected_calibration_error
        found = model.card["calibration"][f"expected_calibration_error_{name}"]
        assert found == pytest.approx(error, abs=1e-4)
    assert model.card["calibration"]["pixels"] == 240
    for coverage in COVERAGES:
        wanted = conformal.fit(expected.apply(probabilities), truth, ids, coverage)
        assert model.thresholds(coverage).values == pytest.approx(wanted.values, abs=1e-4)

    features = samples("x").features.T[:, np.newaxis]
    raw = np.asarray(model.classifier.booster.predict(samples("x").features), np.float32)
    np.testing.assert_allclose(
        model.predict(features).probabilities[:, 0].T, expected.apply(raw), atol=1e-4
    )


def test_another_calibration_is_another_model(model: LandCoverModel) -> None:
    plain = train(eight(), replace(FOLDS, calibration="none"), year=YEAR)
    curves = train(eight(), replace(FOLDS, calibration="isotonic"), year=YEAR)
    assert len({plain.version, curves.version, model.version}) == 3
    assert plain.text == model.text
    assert plain.calibrator is None
    assert plain.card["calibration"]["method"] == "none"
    assert curves.card["calibration"]["method"] == "isotonic"
    assert json.loads(json.dumps(curves.card)) == curves.card


def test_a_polygon_is_never_learnt_and_tested_in_one_fold() -> None:
    several = eight()
    # One polygon in two patches, with more of it in the second.
    first, second = several["p0"], several["p1"]
    first.polygons[:5] = 7
    second.polygons[:8] = 7
    model = train(several, replace(FOLDS, folds=8), year=YEAR)
    assert model.ground is not None
    assert set(model.ground.of_samples(first, None)[:5]) == set(
        model.ground.of_samples(second, None)
    )
    # Its pixels that no sample was drawn of count for the same block.
    polygons = np.full((60, 60), 7, np.uint32)
    of = model.ground.fold_of(model.ground.blocks_in("p5", GRIDS["p5"], polygons))
    assert set(of.ravel()) == set(model.ground.of_samples(second, None))
    polygons[:] = 0
    elsewhere = model.ground.fold_of(model.ground.blocks_in("p5", GRIDS["p5"], polygons))
    assert set(elsewhere.ravel()) == set(model.ground.of_samples(several["p5"], None))


def test_blocks_are_squares_of_the_ground_that_patches_do_not_cut() -> None:
    without = {p: replace(one, polygons=one.polygons * 0) for p, one in eight().items()}
    model = train(without, replace(FOLDS, block_size=1200.0), year=YEAR, grids=GRIDS)
    assert model.ground is not None
    blocks = {p: model.ground.blocks_in(p, grid, np.zeros(grid.shape, np.uint32))
              for p, grid in GRIDS.items()}  # fmt: skip
    # 500 000 is 800 m east of a block's border, 5 200 000 400 m north of one.
    assert model.card["validation"]["blocks"] == 5
    assert blocks["p0"][0, 39] != blocks["p0"][0, 40]
    assert blocks["p0"][39, 0] != blocks["p0"][40, 0]
    assert blocks["p0"][0, 40] == blocks["p1"][0, 0] == blocks["p2"][0, 39]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"p0": samples("p0")},
            r"2018: only patch p0 has labelled pixels, all in one block of ground\. At least two "
            r"blocks are needed, one to train and one to test on: take smaller ones "
            r"\(validation\.block_size, now a patch\)",
        ),
        (
            {f"p{i}": samples(f"p{i}", (20,)) for i in range(4)},
            r"2018: all 40 samples are of one class \(forest\); at least two are needed\. Extend "
            r"the reference$",
        ),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(given: dict[str, Samples], message: str) -> None:
    with pytest.raises(DataError, match=message):
        train(given, FOLDS, year=YEAR)


def test_fewer_blocks_than_folds_make_fewer_folds_and_it_is_said() -> None:
    three = {p: one for p, one in eight().items() if p in ("p0", "p1", "p2")}
    model = train(three, FOLDS, year=YEAR)
    assert len(model.fold_models) == 3
    (said,) = model.card["split_warnings"]
    assert said.startswith("3 blocks of ground have samples, so there are 3 folds instead of 4.")
    assert "validation.block_size, now a patch" in said


def test_a_class_that_is_in_one_block_is_learnt_told_and_not_calibrated_on() -> None:
    several = {f"p{i}": samples(f"p{i}", (3, 20)) for i in range(4)} | {"p4": samples("p4")}
    model = train(several, FOLDS, year=YEAR)
    assert model.classifier.class_ids == (3, 20, 200)
    (said,) = model.card["split_warnings"]
    assert said.startswith(
        "class water: all its 10 samples are in one block of ground, so the classifier that it is "
        "tested by has not learnt it, and its accuracy is too low."
    )
    folds = model.card["validation"]["folds"]
    assert [one["classes_not_learnt"] for one in folds].count(["water"]) == 1
    assert model.card["calibration"]["pixels"] == 100
    assert model.thresholds(0.9).always == (200,)


def test_a_class_with_three_pixels_is_in_every_set() -> None:
    few = {f"p{i}": samples(f"p{i}", (3, 20)) for i in range(5)}
    for patch in ("p0", "p1", "p2"):
        few[patch].classes[-1] = 200
    model = train(few, FOLDS, year=YEAR)
    assert model.card["samples"]["water"] == 3
    assert model.card["split_warnings"] == []
    assert model.thresholds(0.9).always == (200,)


def test_sets_of_a_model_without_folds_are_refused() -> None:
    with pytest.raises(DataError, match=r"sets of classes need the folds of validation\.folds"):
        train(eight(), SETTINGS, year=YEAR).thresholds(0.9)


def test_validation_pixels_are_calibrated_on_and_not_trained_on() -> None:
    count = 20
    wrong = {}
    for patch, one in eight().items():
        # The last ten, of water, are pixels near a border: as often as not they are meadow.
        classes = one.classes.copy()
        classes[count:] = np.where(np.arange(10) % 2, 3, 20)
        wrong[patch] = replace(
            one,
            classes=classes,
            training=np.arange(len(one)) < count,
            validation=np.arange(len(one)) >= 10,
        )
    model = train(wrong, FOLDS, year=YEAR)
    assert model.card["samples"] == {"meadow": 80, "forest": 80}
    assert model.card["calibration"]["pixels"] == 160
    inner = {p: replace(one, validation=None) for p, one in wrong.items()}
    inner = {p: replace(one, validation=np.arange(len(one)) < 20) for p, one in inner.items()}
    easy = train(inner, FOLDS, year=YEAR)
    assert easy.text == model.text
    # What looks like water and is none makes the classifier less sure of itself.
    assert model.card["calibration"]["temperature"] > easy.card["calibration"]["temperature"]


@pytest.mark.parametrize("method", ["discriminant", "combined"])
def test_other_methods_are_validated_calibrated_and_kept_likewise(
    tmp_path: Path, method: Literal["discriminant", "combined"]
) -> None:
    settings = replace(FOLDS, method=method)
    model = train(eight(), settings, year=YEAR)
    assert model.card["method"] == method
    assert len(model.fold_models) == 4
    formats()["model"].write(Store(str(tmp_path)), "model/2018", model)
    again = formats()["model"].open(Store(str(tmp_path)), "model/2018")
    window = stack((8, 9)).read()
    for fold in (None, 2):
        np.testing.assert_array_equal(
            again.predict(window, fold=fold).probabilities,
            model.predict(window, fold=fold).probabilities,
        )
    assert again.version == model.version != train(eight(), SETTINGS, year=YEAR).version
