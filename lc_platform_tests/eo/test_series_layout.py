"""Where the features of a series lie, and that networks say what they need."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lc_platform.eo import classification_methods, onnx_model
from lc_platform.eo.onnx_model import MissingPackageError
from lc_platform.eo.series_layout import SeriesLayout


def test_bands_by_dates_are_found_among_other_features() -> None:
    names = ["B04_001", "VV_001", "B04_033", "VV_033", "B04_p50", "B04_sin1"]
    found = SeriesLayout.of(names)
    assert (found.signals, found.days) == (("B04", "VV"), (1, 33))
    np.testing.assert_array_equal(found.positions, [[0, 2], [1, 3]])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["B04_p50", "NDVI_mean"], "none of the 2 features is on a date. Add series to"),
        (["B04_001", "VV_001", "B04_033"], "there is no VV_033"),
    ],
)
def test_what_is_no_series_is_refused(names: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SeriesLayout.of(names)


@pytest.mark.parametrize("method", ["tempcnn", "ltae"])
def test_without_pytorch_it_is_said_what_to_install(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "lc_platform.eo.temporal_networks", raising=False)
    monkeypatch.setattr(onnx_model, "check_installed", lambda: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'lc-platform\[networks\]'"):
        classification_methods.train(
            method,
            np.zeros((4, 1), np.float32),
            np.array([1, 1, 2, 2]),
            feature_names=["B04_001"],
            parameters={},
            seed=1,
        )
