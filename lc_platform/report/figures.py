"""Figures that lie beside the artefacts they are drawn from."""

from __future__ import annotations

import io
import textwrap
from dataclasses import replace
from typing import Any

import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lc_platform.cube import Computed, Summary
from lc_platform.products.evaluation import Evaluation
from lc_platform.products.observation_stats import WITH_CLOUDS, WITHOUT_CLOUDS
from lc_platform.report.pictures import shades

CONFUSION_MATRIX = "confusion_matrix.png"


def with_figure(statistics: Computed) -> Computed:
    """Observation statistics that leave a figure: valid observations, mean cloud probability,
    and the mean index over the year with and without clouds."""
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
    index = next((k.removesuffix(WITH_CLOUDS) for k in table if k.endswith(WITH_CLOUDS)), None)
    if index is None:
        axes.bar(dates, table["valid_fraction"], width=2.0, color="#2a7f3f", label="valid")
        axes.set(ylabel="share of the patch", title="valid share of the patch", ylim=(0, 1))
    else:
        everything = table[index + WITH_CLOUDS]
        axes.plot(dates, everything, color="0.65", lw=1, marker=".", label="all pixels")
        axes.plot(
            np.array(dates)[clear],
            table[index + WITHOUT_CLOUDS][clear],
            color="#2a7f3f",
            lw=1.5,
            marker="o",
            ms=3.5,
            label="without clouds",
        )
        label = f"mean {index.upper()}"
        axes.set(ylabel=label, title=f"{label} of the patch")
    dates_on_axis = mdates.ConciseDateFormatter(  # type: ignore[no-untyped-call]
        axes.xaxis.get_major_locator()
    )
    axes.xaxis.set_major_formatter(dates_on_axis)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False)
    figure.suptitle(title)
    return _png(figure)


def with_confusion_matrix(evaluation: Evaluation) -> Evaluation:
    """An evaluation with its confusion matrix drawn."""
    return replace(
        evaluation,
        pictures={CONFUSION_MATRIX: _confusion(evaluation.metrics)},
        summary=replace(evaluation.summary, picture=shades(_shares(evaluation.metrics)[0])),
    )


def _shares(metrics: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    matrix = np.array(metrics["confusion_matrix"], dtype=np.int64)
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), matrix


def _confusion(metrics: Any) -> bytes:
    names = [textwrap.fill(one["name"], 24) for one in metrics["classes"]]
    shares, matrix = _shares(metrics)
    side = max(5.0, 2.6 + 0.75 * len(names))
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(places, names, fontsize=9)
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
                    fontsize=6.5 if len(names) > 4 else 9,
                    color="white" if shares[row, column] > 0.55 else "black",
                )
    figure.colorbar(shown, ax=axes, shrink=0.8, label="share of the reference class")
    patches = len(metrics["test_patches"])
    figure.suptitle(
        f"overall accuracy {metrics['overall_accuracy']:.3f}, "
        f"weighted F1 {metrics['f1_weighted']:.3f}\n"
        f"{metrics['test_pixels']:,} pixels of {patches} test patch{'es' if patches > 1 else ''}; "
        "percent of the reference class, and pixels",
        fontsize=10,
    )
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
