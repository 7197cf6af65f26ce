"""A classifier that was trained elsewhere: what is taken, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import yaml

from lc_platform.artefacts.formats import formats
from lc_platform.config.input_files import InputFile
from lc_platform.errors import DataError
from lc_platform.products.model import train
from lc_platform.products.trained_elsewhere import read
from lc_platform.storage.store import Store
from lc_platform_tests.products.three_classes import (
    CLASSES,
    NAMES,
    SETTINGS,
    YEAR,
    eight,
    stack,
)

CARD: dict[str, Any] = {"classes": ["meadow", "forest", "water"], "features": list(NAMES)}


def given(folder: Path, model: bytes | str, name: str = "model.txt", **card: Any) -> Any:
    """Settings that name a model and its card, as they are written."""
    (folder / name).write_bytes(model if isinstance(model, bytes) else model.encode())
    (folder / "card.yaml").write_text(yaml.safe_dump(CARD | card), encoding="utf-8")
    return replace(
        SETTINGS,
        method="trained_elsewhere",
        parameters={},
        test_fraction=None,
        trained=InputFile(name, str(folder / name)),
        card=InputFile("card.yaml", str(folder / "card.yaml")),
    )


def boosted(names: tuple[str, ...] = NAMES, **parameters: Any) -> str:
    """A model of LightGBM's own, of all samples."""
    samples = eight().values()
    labels = np.concatenate([np.searchsorted([3, 20, 200], one.classes) for one in samples])
    values = np.concatenate([one.features for one in samples])
    columns = [NAMES.index(name) for name in names]
    settings = {
        "objective": "multiclass",
        "num_class": 3,
        "num_iterations": 5,
        "min_data_in_leaf": 2,
        "verbosity": -1,
        "num_threads": 1,
    }
    data = lightgbm.Dataset(values[:, columns], labels, feature_name=list(names))
    return str(lightgbm.train(settings | parameters, data).model_to_string())


def test_a_model_of_lightgbms_is_taken_as_it_is_and_evaluated_where_there_is_reference(
    tmp_path: Path,
) -> None:
    text = boosted()
    asked = given(tmp_path, text)
    model = train(eight(), asked, year=YEAR)
    window = stack((5, 4)).read()
    pixels = window.reshape(2, -1).T
    some = ~np.isnan(pixels).all(axis=1)
    np.testing.assert_allclose(
        model.predict(window).probabilities.reshape(3, -1).T[some],
        lightgbm.Booster(model_str=text).predict(pixels[some]),
        atol=1e-6,
    )
    card = model.card
    assert card["trained_elsewhere"]["path"] == "model.txt"
    assert (card["training_patches"], card["test_patches"]) == ([], sorted(eight()))
    assert "nothing says on which ground" in card["split_warnings"][0]
    assert (model.fold_texts, model.training_space, card["samples"]) == ((), None, {})
    store = Store(str(tmp_path / "store"))
    formats()["model"].write(store, "model/2018", model)
    assert formats()["model"].open(store, "model/2018").version == model.version
    assert train(eight(), asked, year=YEAR).version == model.version


def test_features_and_classes_may_be_in_another_order(tmp_path: Path) -> None:
    plain = train(eight(), given(tmp_path, boosted()), year=YEAR)
    turned = given(tmp_path, boosted(NAMES[::-1]), features=list(NAMES[::-1]))
    window = stack((5, 4)).read()
    found = train(eight(), turned, year=YEAR).predict(window)
    agree = found.classes == plain.predict(window).classes
    assert agree.mean() > 0.9
    others = given(
        tmp_path, boosted(), classes=[{"name": n} for n in ("water", "meadow", "forest")]
    )
    model = train(eight(), others, year=YEAR)
    assert [one["id"] for one in model.card["classes"]] == [3, 20, 200]
    np.testing.assert_array_equal(
        model.predict(window).probabilities,
        plain.predict(window).probabilities[[1, 2, 0]],
    )
    assert model.version != plain.version


@pytest.mark.slow
def test_a_model_of_the_platform_is_taken_with_its_own_card(tmp_path: Path) -> None:
    own = train(eight(), replace(SETTINGS, method="combined"), year=YEAR)
    formats()["model"].write(Store(str(tmp_path)), "model/2018", own)
    folder = tmp_path / "model" / "2018"
    asked = replace(
        given(tmp_path, ""),
        trained=InputFile("model.txt", str(folder / "model.txt")),
        card=InputFile("model_card.json", str(folder / "model_card.json")),
    )
    window = stack((5, 4)).read()
    found = train(eight(), asked, year=YEAR)
    np.testing.assert_array_equal(
        found.predict(window).probabilities, own.predict(window).probabilities
    )
    assert found.card["method"] == "combined"


@pytest.mark.parametrize(
    ("model", "card", "said"),
    [
        (
            {},
            {"features": ["NDVI_001", "NDVI_033", "VV_001"]},
            "The model tells 3 classes by 2 features; 3 class ids and 3 feature names were given",
        ),
        ({}, {"features": NAMES[:1] * 2}, "features has NDVI_001 twice"),
        ({}, {"features": []}, "features is no list of names"),
        ({}, {"features": list(NAMES[::-1])}, "NDVI_001 is NDVI_017 in the card, NDVI_017 is ND"),
        ({}, {"classes": ["meadow", "forest"]}, "its 2 classes are not the 3 .* it lacks water of"),
        (
            {},
            {"classes": ["meadow", "forest", "water", "ice"]},
            "its 4 classes are not the 3 of reference.classes: it has ice, which",
        ),
        ({}, {"classes": {}}, "classes is no list of names"),
        ({"num_class": 4}, {}, "The model tells 4 classes by 2 features; 3 class ids"),
        ({}, {"preprocesing": {"mean": 1}}, "preprocesing is not read. Did you mean preprocessing"),
        ({}, {"preprocessing": {"scale": [1, 0]}}, r"scale: is not one number other than 0 for"),
        ({}, {"preprocessing": {"mean": [1]}}, r"preprocessing\.mean: is not one number for each"),
        ({}, {"preprocessing": {"std": 1}}, r"preprocessing\.std: is not known"),
        ({"objective": "multiclassova"}, {}, "probabilities are 0 to 1 and 1 together"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    model: dict[str, Any], card: dict[str, Any], said: str, tmp_path: Path
) -> None:
    card = {key: list(one) if isinstance(one, tuple) else one for key, one in card.items()}
    with pytest.raises(DataError, match=said):
        train(eight(), given(tmp_path, boosted(**model), **card), year=YEAR)


def test_a_card_may_say_which_classes_its_model_had_no_samples_of(tmp_path: Path) -> None:
    asked = replace(
        given(tmp_path, boosted(), classes_without_samples=["ice"]), classes={**CLASSES, 201: "ice"}
    )
    model = train(eight(), asked, year=YEAR)
    assert model.card["classes_without_samples"] == ["ice"]
    assert model.predict(stack((5, 4)).read()).probabilities.shape[0] == 3


def test_every_differing_feature_is_named(tmp_path: Path) -> None:
    names = ("NDVI_033", "VV_001")
    renamed = boosted().replace("NDVI_001", names[0]).replace("NDVI_017", names[1])
    with pytest.raises(DataError) as refused:
        train(eight(), given(tmp_path, renamed, features=list(names)), year=YEAR)
    assert "it reads NDVI_033, VV_001, which is not among the features here" in str(refused.value)
    assert "it does not read NDVI_001, NDVI_017, which is" in str(refused.value)


def test_a_file_that_is_not_there_or_is_no_model_is_refused(tmp_path: Path) -> None:
    asked = given(tmp_path, "tree\nversion=v9\n")
    with pytest.raises(DataError, match="is not a LightGBM model"):
        train(eight(), asked, year=YEAR)
    absent = replace(asked, trained=InputFile("none.txt", str(tmp_path / "none.txt")))
    with pytest.raises(DataError, match=r"model\.path: there is no file"):
        train(eight(), absent, year=YEAR)
    (tmp_path / "card.yaml").write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(DataError, match=r"card\.yaml has no keys\. Give classes, features"):
        train(eight(), asked, year=YEAR)


def test_versions_are_of_the_files_contents(tmp_path: Path) -> None:
    def version(model: str, **card: Any) -> Any:
        asked = given(tmp_path, model, **card)
        return asked.counted("data"), train(eight(), asked, year=YEAR).version

    first = version(boosted())
    assert version(boosted()) == first
    for other in (
        version(boosted(num_iterations=6)),
        version(boosted(), preprocessing={"mean": 1}),
    ):
        assert other[0] != first[0]
        assert other[1] != first[1]


@pytest.mark.slow
def test_a_network_is_kept_as_a_file_that_other_programs_open(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from lc_platform_tests.eo import onnx_files

    weights = np.array([[-0.4, 0.1, 0.3], [0, 0, 0]], np.float32)
    prepared = {"mean": [3, 0], "scale": 2, "missing": 0}
    asked = given(tmp_path, onnx_files.linear(weights), "net.onnx", preprocessing=prepared)
    model = train(eight(), asked, year=YEAR)
    assert model.card["method"] == "onnx"
    store = Store(str(tmp_path / "store"))
    formats()["model"].write(store, "model/2018", model)
    assert (tmp_path / "store/model/2018/model.onnx").read_bytes() == onnx_files.linear(weights)
    again = formats()["model"].open(store, "model/2018")
    window = stack((6, 5)).read()
    scores = np.einsum("fyx,fk->kyx", np.nan_to_num((window - [[[3]], [[0]]]) / 2), weights)
    expected = np.exp(scores) / np.exp(scores).sum(axis=0)
    known = ~np.isnan(window).all(axis=0)
    np.testing.assert_allclose(
        again.predict(window).probabilities[:, known], expected[:, known], atol=1e-6
    )
    assert again.version == model.version
    for made, said in (
        (onnx_files.linear(weights, softmax=False), "Export it with a softmax at its end"),
        (onnx_files.with_unknown_operation(2, 3), "has an operation that onnxruntime .* lacks"),
        (onnx_files.linear(weights[:, :2]), "it tells 2 classes apart, and its card has 3"),
    ):
        with pytest.raises(DataError, match=rf"model\.path: net\.onnx: .*{said}"):
            train(eight(), given(tmp_path, made, "net.onnx", preprocessing=prepared), year=YEAR)
    with pytest.raises(DataError, match="gives no number where a feature is missing"):
        train(eight(), given(tmp_path, onnx_files.linear(weights), "net.onnx"), year=YEAR)


def test_reading_alone_finds_what_the_file_lacks(tmp_path: Path) -> None:
    asked = given(tmp_path, boosted())
    found = read(asked.trained, asked.card, CLASSES)
    assert found.classifier.class_ids == (3, 20, 200)
    assert found.named == "model.txt"
