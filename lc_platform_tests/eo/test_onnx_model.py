"""Classifiers as ONNX files, and features and classes in another order than ours."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from lc_platform.eo import classification_methods, onnx_model
from lc_platform.eo.onnx_model import BATCH, MissingPackageError, OnnxModel
from lc_platform.eo.rearranged import Preprocessing, Rearranged
from lc_platform_tests.eo import onnx_files

pytestmark = pytest.mark.slow

NAMES = tuple("abcdefg")
IDS = (3, 20, 200)
WEIGHTS = np.random.default_rng(5).normal(size=(7, 3)).astype(np.float32)


def values(count: int) -> Any:
    return np.random.default_rng(count).normal(size=(count, 7)).astype(np.float32)


def test_probabilities_are_the_files_and_those_of_a_pixel_depend_on_no_other() -> None:
    model = OnnxModel(onnx_files.linear(WEIGHTS), IDS, NAMES)
    asked = values(2 * BATCH + 7)
    found = model.probabilities(asked, threads=2)
    np.testing.assert_allclose(found, softmax(asked @ WEIGHTS, axis=1), atol=1e-6)
    np.testing.assert_array_equal(model.probabilities(asked[::-1])[::-1], found)
    np.testing.assert_array_equal(model.probabilities(asked[5:6], threads=1), found[5:6])
    assert model.probabilities(asked[:0]).shape == (0, 3)


def test_a_text_holds_the_file_and_files_can_lie_apart() -> None:
    one = OnnxModel(onnx_files.linear(WEIGHTS), IDS, NAMES)
    turned = Rearranged(one, NAMES[::-1], Preprocessing(missing=0.0))
    asked = values(9)
    for model in (one, turned):
        text = model.to_text()
        again = classification_methods.from_text(text, IDS, model.feature_names)
        np.testing.assert_array_equal(again.probabilities(asked), model.probabilities(asked))
        assert again.to_text() == text
        apart, files = onnx_model.detached(text, "model.onnx")
        assert files == {"model.onnx": one.content}
        assert onnx_model.kept_apart(apart) == ["model.onnx"]
        assert onnx_model.attached(apart, files) == text
    assert onnx_model.detached('{"discriminant": 1}', "model.onnx") == ('{"discriminant": 1}', {})


def test_features_and_classes_in_another_order_are_put_in_order_and_prepared() -> None:
    within = OnnxModel(onnx_files.linear(WEIGHTS), (200, 3, 20), NAMES)
    mean, scale = np.arange(7) / 7, np.arange(1, 8) / 2
    model = Rearranged(
        within, tuple("gfedcba"), Preprocessing(tuple(mean), tuple(scale), missing=-1.0)
    )
    asked = values(12)
    asked[3, 2] = asked[4] = np.nan
    prepared = (asked[:, ::-1] - mean) / scale
    prepared[np.isnan(prepared)] = -1
    expected = softmax(prepared @ WEIGHTS, axis=1)[:, [1, 2, 0]]
    before = asked.copy()
    np.testing.assert_allclose(model.probabilities(asked), expected, atol=1e-6)
    np.testing.assert_array_equal(asked, before)
    assert model.class_ids == IDS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no model", "refuses it"),
        (onnx_files.with_unknown_operation(7, 3), r"has an operation .* lacks \(.*Wavelet"),
        (
            onnx_files.with_unknown_operation(7, 3, domain="org.example"),
            r"has an operation .* lacks \(.*Wavelet",
        ),
        (
            onnx_files.linear(WEIGHTS[:5]),
            r"reads 5 features, and its card has 7\. Give in its card",
        ),
        (
            onnx_files.linear(WEIGHTS[:, :2]),
            r"tells 2 classes apart, and its card has 3\. Give in its",
        ),
        (onnx_files.with_labels_alone(7), r"none of its outputs \(label tensor\(int64\)\)"),
    ],
)
def test_what_cannot_be_run_or_does_not_fit_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OnnxModel(content, IDS, NAMES).check()


def test_without_onnxruntime_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *more: Any, **given: Any) -> Any:
        if name.startswith("onnxruntime"):
            raise ImportError(name)
        return found(name, *more, **given)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match=r"pip install 'lc-platform\[onnx\]'"):
        OnnxModel(b"", IDS, NAMES).probabilities(values(1))
