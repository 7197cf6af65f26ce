"""Learning from the samples of all patches, and what the model says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest

from lc_platform.errors import DataError
from lc_platform.products.model import LandCoverModel, common_version, train
from lc_platform.products.training_samples import Samples
from lc_platform_tests.products import cubes
from lc_platform_tests.products.three_classes import CLASSES, NAMES, SETTINGS, YEAR, eight, samples


def test_the_card_says_what_was_learnt_from_what() -> None:
    model = train(eight(p8=samples("p8", ())), SETTINGS, year=YEAR)
    card = model.card
    assert card["year"] == 2018
    assert card["classes"] == [{"id": i, "name": n} for i, n in CLASSES.items()]
    assert card["classes_without_samples"] == []
    assert card["features"] == list(NAMES)
    assert card["parameters"]["num_iterations"] == 5
    assert card["parameters"]["objective"] == "multiclass"
    assert card["class_weights"] == "balanced"
    assert len(card["test_patches"]) == 2
    assert sorted(card["training_patches"] + card["test_patches"]) == [f"p{i}" for i in range(8)]
    assert card["patches_without_samples"] == ["p8"]
    assert card["samples"] == {"meadow": 60, "forest": 60, "water": 60}
    assert card["versions"]["lightgbm"] == version("lightgbm")
    assert json.loads(json.dumps(card)) == card
    assert (
        train(eight(), replace(SETTINGS, class_weights="none"), year=YEAR).card["class_weights"]
        == "none"
    )


def test_class_ids_need_not_be_consecutive() -> None:
    model = train(eight(), SETTINGS, year=YEAR)
    classifier = model.classifier
    assert classifier.class_ids == (3, 20, 200)
    found = np.asarray(classifier.booster.predict([[-1.5, 0], [2.5, 0], [20, 0]])).argmax(axis=1)
    assert [classifier.class_ids[i] for i in found] == [3, 20, 200]


def test_a_class_without_samples_is_on_the_card_and_not_in_the_model() -> None:
    model = train({f"p{i}": samples(f"p{i}", (3, 200)) for i in range(4)}, SETTINGS, year=YEAR)
    assert model.classifier.class_ids == (3, 200)
    assert model.card["classes_without_samples"] == ["forest"]


def test_the_seed_chooses_the_test_patches_and_no_test_patch_is_trained_on() -> None:
    chosen = set()
    for seed in range(6):
        card = train(eight(), replace(SETTINGS, seed=seed), year=YEAR).card
        assert not set(card["test_patches"]) & set(card["training_patches"])
        chosen.add(tuple(card["test_patches"]))
    assert len(chosen) > 2


def test_what_is_in_the_test_patches_does_not_change_the_model() -> None:
    before = train(eight(), SETTINGS, year=YEAR)
    test = before.card["test_patches"][0]
    after = train(eight(**{test: samples(test, (200, 20, 3))}), SETTINGS, year=YEAR)
    assert after.text == before.text


def test_neither_the_threads_nor_the_order_of_the_patches_change_the_model() -> None:
    one = train(eight(), SETTINGS, year=YEAR)
    two = train(dict(reversed(eight().items())), replace(SETTINGS, threads=2), year=YEAR)
    assert one.version == two.version
    assert one.text == two.text
    assert one.card == two.card
    assert one.classifier.booster.trees_to_dataframe().equals(
        two.classifier.booster.trees_to_dataframe()
    )


def test_a_model_from_text_and_card_is_the_same_model() -> None:
    model = train(eight(), SETTINGS, year=YEAR)
    again = LandCoverModel(model.text, json.loads(json.dumps(model.card)))
    assert again.version == model.version
    probe = samples("x").features
    np.testing.assert_array_equal(
        again.classifier.booster.predict(probe), model.classifier.booster.predict(probe)
    )


def test_other_trees_classes_or_features_are_another_version() -> None:
    model = train(eight(), SETTINGS, year=YEAR)
    versions = {
        model.version,
        train(eight(), replace(SETTINGS, parameters={"num_iterations": 6}), year=YEAR).version,
        LandCoverModel(model.text, {**model.card, "features": ["NDVI_001", "NDVI_033"]}).version,
        LandCoverModel(
            model.text, {**model.card, "classes": [{"id": i, "name": "x"} for i in (1, 2, 3)]}
        ).version,
    }
    assert len(versions) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"p0": samples("p0", ()), "p1": samples("p1", ())},
            r"2018: no patch has a labelled pixel to train on, of 2 patches\. Check that "
            r"reference\.path covers the area and reference\.classes has its values; lower "
            r"sampling\.erosion where",
        ),
        ({}, r"2018: no patch has a labelled pixel to train on, of 0 patches\. Check"),
        (
            {"p0": samples("p0"), "p1": samples("p1", ())},
            r"2018: only patch p0 has labelled pixels\. At least two are needed, one to train and "
            r"one to test on: split the area into smaller patches \(aoi\.patch_size\), or extend",
        ),
        (
            {f"p{i}": samples(f"p{i}", (20,)) for i in range(4)},
            r"2018: all 30 samples of the training patches are of one class \(forest\); at least "
            r"two are needed\. Extend the reference, or choose another sampling\.seed",
        ),
        (
            {f"p{i}": samples(f"p{i}", (3, 4)) for i in range(4)},
            r"2018: the samples have class 4, which reference\.classes does not\. Materialize "
            r"reference_rasters and training_samples again",
        ),
        (
            {f"p{i}": samples(f"p{i}", names=NAMES if i else ("B04_001",)) for i in range(3)}
            | {"p9": samples("p9", names=("B04_001",))},
            r"patch p\d, 2018: its samples have other features than those of patch p\d\. They were "
            r"made with another configuration: materialize features and training_samples of all",
        ),
    ],
    ids=["no label", "no patch", "one patch", "one class", "unknown class", "other features"],
)
def test_what_cannot_be_learnt_from_is_said(given: dict[str, Samples], message: str) -> None:
    with pytest.raises(DataError, match=message):
        train(given, SETTINGS, year=YEAR)


def test_predictions_of_several_models_have_no_common_version() -> None:
    assert common_version({"a": "1", "b": "1"}) == "1"
    assert common_version({"a": "1"}, "1") == "1"
    versions = {f"p{i}": "old" for i in range(7)} | {"q": "new"}
    with pytest.raises(
        DataError,
        match=r"predictions of 7 of 8 patches \(p0, p1, p2, p3, p4 and 2 more\) come from another "
        r"model than new\. Materialize predictions of these patches again",
    ):
        common_version(versions, "new")
    with pytest.raises(DataError, match=r"1 of 8 patches \(q\)"):
        common_version(versions)


def test_the_card_names_the_patches_that_could_not_be_sampled() -> None:
    samples = eight()
    grids = {patch: cubes.grid(20, 30) for patch in ("p-none", *samples, "a-none")}
    card = train(samples, SETTINGS, year=YEAR, grids=grids).card
    assert card["missing_patches"] == ["a-none", "p-none"]
