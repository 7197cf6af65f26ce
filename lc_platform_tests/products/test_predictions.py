"""The map of a patch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lc_platform.eo import applicability
from lc_platform.errors import DataError
from lc_platform.products.model import LandCoverModel, train
from lc_platform.products.options import PredictionOptions
from lc_platform.products.predictions import predict
from lc_platform_tests.products import cubes
from lc_platform_tests.products.three_classes import (
    CLASSES,
    NAMES,
    SETTINGS,
    SHOWN,
    YEAR,
    eight,
    stack,
)


@pytest.fixture(scope="module")
def model() -> LandCoverModel:
    return train(eight(), replace(SETTINGS, parameters={"num_iterations": 30}), year=YEAR)


def test_a_pixel_has_its_most_probable_class_and_how_sure_that_is(model: LandCoverModel) -> None:
    features = stack((8, 9))
    found = predict(
        features, model, PredictionOptions(classes=SHOWN, window=256, probabilities=True)
    ).load()
    pixels = features.read().reshape(2, -1).T
    expected = np.asarray(model.classifier.booster.predict(pixels)).T.reshape(3, 8, 9)
    seen = ~np.isnan(features.read()).all(axis=0)
    ids = np.array(list(CLASSES))[expected.argmax(axis=0)]
    np.testing.assert_array_equal(found.read("class"), np.where(seen, ids, 0))
    percent = np.rint(100 * expected.max(axis=0))
    np.testing.assert_array_equal(found.read("confidence"), np.where(seen, percent, 0))
    for i, class_id in enumerate(CLASSES):
        of_class = np.where(seen, np.rint(100 * expected[i]), 255)
        np.testing.assert_allclose(found.read(f"probability_{class_id}"), of_class, atol=1)
    assert (found.read("entropy")[~seen] == 255).all()
    assert (found.read("entropy")[seen] <= 100).all()


def test_a_pixel_that_was_never_seen_is_no_data_and_not_a_guess(model: LandCoverModel) -> None:
    features = cubes.feature_stack(np.full((2, 1, 4, 4), np.nan), ("NDVI",), (0, 16))
    computed = predict(features, model, PredictionOptions(classes=SHOWN, window=16))
    found = computed.load()
    assert (found.read("class") == 0).all()
    assert (found.read("confidence") == 0).all()
    assert (found.read("entropy") == 255).all()
    assert computed.summary.facts["valid_fraction"] == 0
    assert computed.summary.facts["mean_confidence"] is None
    assert computed.summary.facts["class_pixels"] == {}


def test_a_pixel_is_outside_where_training_has_shown_nothing_like_it(
    model: LandCoverModel,
) -> None:
    features = stack((20, 30))
    computed = predict(features, model, PredictionOptions(classes=SHOWN, window=16))
    held = computed.load()
    found, classes = held.read("applicability"), held.read("class")
    index = applicability.dissimilarity(model.training_space, features.read())
    np.testing.assert_array_equal(found == 0, classes == 0)
    np.testing.assert_array_equal(
        (found <= 100)[classes > 0],
        applicability.is_applicable(model.training_space, index)[classes > 0],
    )
    outside = (found > 100)[classes > 0].mean()
    assert computed.summary.facts["share_outside_applicability"] == pytest.approx(outside)
    strange = cubes.feature_stack(features.read().reshape(2, 1, 20, 30) + 500, ("NDVI",), (0, 16))
    held = predict(strange, model, PredictionOptions(classes=SHOWN, window=16)).load()
    assert (held.read("applicability")[held.read("class") > 0] == 255).all()


def test_applicability_may_be_left_out(model: LandCoverModel) -> None:
    options = PredictionOptions(classes=SHOWN, window=16, applicability=False)
    computed = predict(stack((8, 9)), model, options)
    assert "applicability" not in computed.load().layers
    assert "share_outside_applicability" not in computed.summary.facts


@pytest.mark.parametrize("window", [16, 64])
def test_the_window_changes_nothing(model: LandCoverModel, window: int) -> None:
    features = stack((70, 90))
    one = predict(features, model, PredictionOptions(classes=SHOWN, window=256))
    other = predict(features, model, PredictionOptions(classes=SHOWN, window=window))
    for layer, expected in one.load().arrays.items():
        np.testing.assert_array_equal(other.load().read(layer), expected)
    assert one.summary.facts == other.summary.facts


def test_the_map_names_its_model_and_counts_its_classes(model: LandCoverModel) -> None:
    computed = predict(stack((20, 30)), model, PredictionOptions(classes=SHOWN, window=16))
    classes = computed.load().read("class")
    assert computed.attributes["model_version"] == model.version
    facts = computed.summary.facts
    assert facts["model_version"] == model.version
    assert facts["class_pixels"] == {name: int((classes == i).sum()) for i, name in CLASSES.items()}
    assert facts["valid_fraction"] == pytest.approx((classes != 0).mean())
    picture = computed.summary.picture
    assert picture is not None
    shown = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    assert shown <= {(0, 255, 0), (0, 68, 0), (0, 0, 255), (255, 255, 255)}


@pytest.mark.parametrize(
    ("features", "days"), [(("NDVI",), (0, 32)), (("NDWI",), (0, 16)), (("NDVI", "B04"), (0,))]
)
def test_features_that_the_model_was_not_trained_on_are_refused(
    model: LandCoverModel, features: tuple[str, ...], days: tuple[int, ...]
) -> None:
    assert model.classifier.feature_names == NAMES
    values = np.zeros((len(days), len(features), 4, 4))
    with pytest.raises(
        DataError,
        match=r"patch 33N-r000-c000, 2018: its features are not those the model was trained on "
        r"\(another features or imagery section\)\. Materialize features of this patch and the "
        r"model again",
    ):
        predict(
            cubes.feature_stack(values, features, days),
            model,
            PredictionOptions(classes=SHOWN, window=16),
        )


@pytest.mark.parametrize("window", [16, 256])
def test_the_map_ends_at_the_area(model: LandCoverModel, window: int) -> None:
    features = stack((40, 50))
    whole = predict(
        features, model, PredictionOptions(classes=SHOWN, window=256, probabilities=True)
    ).load()
    computed = predict(
        features,
        model,
        PredictionOptions(classes=SHOWN, window=window, probabilities=True, area=cubes.west_of(21)),
    )
    clipped = computed.load()
    for name, nothing in (("class", 0), ("confidence", 0), ("entropy", 255)):
        expected = whole.read(name).copy()
        expected[:, 21:] = nothing
        np.testing.assert_array_equal(clipped.read(name), expected)
    assert (clipped.read("probability_3")[:, 21:] == 255).all()
    facts = computed.summary.facts
    assert sum(facts["class_pixels"].values()) == (clipped.read("class") > 0).sum()
    assert facts["valid_fraction"] == pytest.approx((whole.read("class")[:, :21] > 0).mean())


def test_a_patch_beyond_the_area_has_an_empty_map(model: LandCoverModel) -> None:
    computed = predict(
        stack((8, 9)), model, PredictionOptions(classes=SHOWN, window=256, area=cubes.west_of(-3))
    )
    assert not computed.load().read("class").any()
    assert computed.summary.facts["valid_fraction"] == 0
