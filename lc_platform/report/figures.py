"""Figures that lie beside the artefacts they are drawn from."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lc_platform.eo.assessment import Evaluation
from lc_platform.eo.cube import Computed, Summary

CONFUSION_MATRIX = "confusion_matrix.png"


def with_figure(statistics: Computed) -> Computed:
    """Observation statistics that leave a figure: valid observations, mean cloud probability,
    and mean NDVI over the year with and without clouds."""
    title = f"{statistics.attributes['patch']}, {statistics.attributes['year']}"
    return replace(statistics, figures={".png": lambda summary: _observations(title, summary)})


def _observations(title: str, summary: Summary) -> bytes:
    figure = Figure(figsize=(12, 7), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    for column, (name, label, colors, limit) in enumerate(
        (
            ("valid_observations", "valid observations in the year", "viridis", None),
            ("cloud_probability", "mean cloud probability", "magma", 1.0),
        )
    ):
        axes = figure.add_subplot(grid[0, column])
        shown = axes.imshow(
            summary.maps[name], cmap=colors, vmin=0, vmax=limit, interpolation="nearest"
        )
        axes.set(title=label, xticks=[], yticks=[])
        figure.colorbar(shown, ax=axes, shrink=0.85)
    axes = figure.add_subplot(grid[1, :])
    table = summary.table
    dates = table["datetime"].astype("datetime64[s]").astype(object)
    clear = table["valid_fraction"] > 0
    axes.plot(dates, table["ndvi_with_clouds"], color="0.65", lw=1, marker=".", label="all pixels")
    axes.plot(
        np.array(dates)[clear],
        table["ndvi_without_clouds"][clear],
        color="#2a7f3f",
        lw=1.5,
        marker="o",
        ms=3.5,
        label="without clouds",
    )
    axes.set(ylabel="mean NDVI", title="mean NDVI of the patch")
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False)
    figure.suptitle(title)
    return _png(figure)


def with_confusion_matrix(evaluation: Evaluation) -> Evaluation:
    """An evaluation with its confusion matrix drawn."""
    return replace(
        evaluation,
        pictures={CONFUSION_MATRIX: _confusion(evaluation.metrics)},
        summary=replace(evaluation.summary, picture=_cells(evaluation.metrics)),
    )


def _shares(metrics: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    matrix = np.array(metrics["confusion_matrix"], dtype=np.int64)
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), matrix


def _confusion(metrics: Any) -> bytes:
    names = [one["name"] for one in metrics["classes"]]
    shares, matrix = _shares(metrics)
    side = max(5.0, 1.6 + 0.75 * len(names))
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=45, ha="right")
    axes.set_yticks(places, names)
    axes.set(xlabel="predicted", ylabel="reference")
    for row in places:
        for column in places:
            if matrix[row, column]:
                axes.text(
                    column,
                    row,
                    f"{100 * shares[row, column]:.1f}\n{matrix[row, column]:,}",
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    color="white" if shares[row, column] > 0.55 else "black",
                )
    figure.colorbar(shown, ax=axes, shrink=0.8, label="share of the reference class")
    axes.set_title(
        f"{len(metrics['test_patches'])} test patches, {metrics['test_pixels']:,} pixels: "
        f"overall accuracy {metrics['overall_accuracy']:.3f}, "
        f"weighted F1 {metrics['f1_weighted']:.3f}",
        fontsize=9,
    )
    return _png(figure)


def _cells(metrics: Any) -> NDArray[np.uint8]:
    shares, _ = _shares(metrics)
    scale = max(1, 60 // len(shares))
    cells = np.kron(shares, np.ones((scale, scale)))
    dark, light = np.array([8, 48, 107]), np.array([247, 251, 255])
    return (light + cells[..., None] * (dark - light)).round().astype(np.uint8)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
