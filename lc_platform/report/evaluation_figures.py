"""Figures of an evaluation: confusion, calibration, and how much ground teaches how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lc_platform.eo import accuracy
from lc_platform.products.evaluation import Evaluation
from lc_platform.report.figures import png
from lc_platform.report.pictures import shades
from lc_platform.report.text import wrapped

CONFUSION_MATRIX = "confusion_matrix.png"
CONFUSION_BY_MAP = "confusion_matrix_by_map.png"
CONFUSION_COUNTS = "confusion_matrix_counts.png"
RELIABILITY = "reliability.png"
LEARNING_CURVE = "learning_curve.png"
_LINE, _LINES = 24, 6
"""Characters in a line of a class's name, and lines up to which it has letters of full size."""
_OF = {None: "largest number", "reference": "reference class", "map": "mapped class"}
_BEFORE, _AFTER, _MAP, _RANDOM = "#999999", "#0072b2", "#d55e00", "#cc79a7"
"""Colours that colour-blind people tell apart (Okabe and Ito 2008)."""


def with_evaluation_figures(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation with its figures drawn: the confusion matrix by reference class, by
    mapped class and in pixels, the reliability diagram, and the learning curve."""
    metrics = evaluation.metrics
    matrix = np.array(metrics["confusion_matrix"], np.int64)
    return replace(
        evaluation,
        pictures={
            CONFUSION_MATRIX: _confusion(metrics, "reference"),
            CONFUSION_BY_MAP: _confusion(metrics, "map"),
            CONFUSION_COUNTS: _confusion(metrics, None),
            RELIABILITY: _reliability(metrics["calibration"]),
            **({LEARNING_CURVE: _learning_curve(metrics)} if metrics["learning_curve"] else {}),
        },
        summary=replace(
            evaluation.summary,
            picture=shades(np.nan_to_num(accuracy.shares(matrix, "reference"))),
        ),
    )


def _confusion(metrics: Mapping[str, Any], by: Literal["reference", "map"] | None) -> bytes:
    names, letters = zip(*(_label(one["name"]) for one in metrics["classes"]), strict=True)
    matrix = np.array(metrics["confusion_matrix"], np.int64)
    shares = (
        matrix / max(matrix.max(), 1) if by is None else np.nan_to_num(accuracy.shares(matrix, by))
    )
    lines = [name.split("\n") for name in names]
    # Inches: turned by 45 degrees, a name is 1.4 times as wide as it is high.
    highest = max(len(of) * size * 1.3 / 72 for of, size in zip(lines, letters, strict=True))
    longest = max(
        len(line) * size * 0.6 / 72 for of, size in zip(lines, letters, strict=True) for line in of
    )
    side = max(5.0 - 2.6, max(0.75, 1.42 * highest) * len(names))
    room = max(2.6, 1.0 + longest)
    figure = Figure(figsize=(side + room + 1.2, side + room), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    labels = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    for label, size in zip(labels, [*letters, *letters], strict=True):
        label.set_fontsize(size)
    axes.set(xlabel="predicted", ylabel="reference")
    for row in places:
        for column in places:
            if matrix[row, column]:
                percent = "" if by is None else f"{100 * shares[row, column]:.1f}\n"
                axes.text(
                    column,
                    row,
                    f"{percent}{matrix[row, column]:,}",
                    ha="center",
                    va="center",
                    fontsize=6.5 if len(names) > 4 else 9,
                    color="white" if shares[row, column] > 0.55 else "black",
                )
    figure.colorbar(shown, ax=axes, shrink=0.8, label=f"share of the {_OF[by]}")
    patches = len(metrics["test_patches"])
    unit = "pixels" if by is None else f"percent of the {_OF[by]}, and pixels"
    figure.suptitle(
        f"overall accuracy {metrics['overall_accuracy']:.3f}, "
        f"weighted F1 {metrics['f1_weighted']:.3f}\n"
        f"{metrics['test_pixels']:,} pixels of {patches} patch{'es' if patches > 1 else ''}, on "
        f"ground that training has not seen; {unit}",
        fontsize=10,
    )
    return png(figure)


def _reliability(calibration: Mapping[str, Any]) -> bytes:
    figure = Figure(figsize=(6.4, 6.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot((0, 1), (0, 1), color="0.6", lw=1, ls="--")
    for name, label, color, marker in (
        ("before", "samples, before calibration", _BEFORE, "s"),
        ("after", "samples, after calibration", _AFTER, "o"),
        ("map", "the map, all reference pixels", _MAP, "^"),
    ):
        if f"reliability_{name}" not in calibration:
            continue
        diagram = calibration[f"reliability_{name}"]
        error = calibration[f"expected_calibration_error_{name}"]
        confidence, right = (_numbers(diagram[one]) for one in ("confidence", "accuracy"))
        shown = np.isfinite(confidence)
        above.plot(
            confidence[shown],
            right[shown],
            color=color,
            marker=marker,
            label=f"{label}: error {error:.3f}",
        )
    pixels, edges = (_numbers(calibration["reliability_map"][n]) for n in ("pixels", "edges"))
    below.bar(edges[:-1], pixels, np.diff(edges), align="edge", color=_MAP, alpha=0.6)
    above.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    above.set_title(f"Is it right as often as it says? (calibration: {calibration['method']})")
    above.legend(loc="upper left", frameon=False)
    above.grid(alpha=0.3)
    below.set(xlabel="confidence", ylabel="pixels")
    return png(figure)


def _learning_curve(metrics: Mapping[str, Any]) -> bytes:
    figure = Figure(figsize=(6.8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    curve = metrics["learning_curve"]
    blocks = [one["blocks"] for one in curve]
    for score, label, color, marker in (
        ("overall_accuracy", "overall accuracy", _AFTER, "o"),
        ("f1_weighted", "weighted F1", _MAP, "^"),
    ):
        axes.plot(blocks, [one[score] for one in curve], color=color, marker=marker, label=label)
    _level(axes, metrics["random_split"]["overall_accuracy"])
    axes.set(xlabel="blocks of ground that are trained on", ylabel="accuracy on other ground")
    axes.set_title("What more reference ground would bring (a small classifier)")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)
    return png(figure)


def _level(axes: Axes, value: float) -> None:
    axes.axhline(value, color=_RANDOM, ls=":", label="overall accuracy by a random split")


def _numbers(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values])


def _label(name: str) -> tuple[str, float]:
    """Return a class's name in lines, and the size of its letters in points: a long one has more of
    them in a line, and smaller ones."""
    if len(name) <= _LINE * _LINES:
        return wrapped(name, _LINE), 9.0
    return wrapped(name, 2 * _LINE), 6.0
