"""Metrics of an evaluation, as figures are drawn of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIAGRAM = {
    "edges": [0.0, 0.5, 1.0],
    "pixels": [3, 9],
    "confidence": [0.4, 0.9],
    "accuracy": [None, 0.8],
}


def metrics(names: list[str], matrix: NDArray[np.integer[Any]]) -> dict[str, Any]:
    """Metrics with the confusion matrix of classes."""
    score = {"overall_accuracy": 0.9, "f1_weighted": 0.9, "samples_tested": 12}
    return {
        "classes": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        "confusion_matrix": matrix.tolist(),
        "overall_accuracy": 0.9,
        "f1_weighted": 0.9,
        "f1_macro": 0.9,
        "test_pixels": 12,
        "test_patches": ["a"],
        "model_version": "x",
        "calibration": {"method": "none"}
        | {f"reliability_{name}": _DIAGRAM for name in ("before", "after", "map")}
        | {f"expected_calibration_error_{name}": 0.1 for name in ("before", "after", "map")},
        "random_split": score,
        "block_split": score,
        "learning_curve": [{"blocks": n, "samples": 10 * n, **score} for n in (1, 2, 4)],
    }
