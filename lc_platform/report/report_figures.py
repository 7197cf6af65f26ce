"""The pictures of a report, in one style, legible on a screen and in print."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from lc_platform.products.alignment import LIMIT, Alignment
from lc_platform.report.figures import png
from lc_platform.report.report_facts import Acquisitions
from lc_platform.report.text import wrapped

# Okabe and Ito (2008): apart for people of any colour vision.
BLUE, ORANGE, GREEN, SKY, GREY = "#0072b2", "#d55e00", "#009e73", "#56b4e9", "#7f7f7f"
_WIDTH = 9.0
"""Inches."""
_LINE = 28
"""Characters in a line of a class's name."""


def inline(content: bytes) -> str:
    """Return a picture (PNG) as a URL that holds it."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def timeline(of: Acquisitions) -> bytes:
    """Draw the share of the ground that each acquisition shows."""
    figure, axes = _axes(2.8)
    valid, snow = np.array(of.valid), np.array(of.snow)
    days = np.array(of.days)
    axes.bar(days, valid - snow, width=2.2, color=BLUE, label="ground")
    if snow.any():
        axes.bar(days, snow, bottom=valid - snow, width=2.2, color=SKY, label="snow")
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    axes.set(ylim=(0, 1.02), ylabel="valid share of the patches")
    locator = axes.xaxis.get_major_locator()
    axes.xaxis.set_major_formatter(
        mdates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    )
    return png(figure)


def maps(layers: Sequence[tuple[str, NDArray[np.float64], str, float | None]]) -> bytes:
    """Draw layers beside one another: (title, (y, x) with NaN where nothing is, colours, limit)."""
    rows, columns = layers[0][1].shape
    width = _WIDTH / len(layers)
    height = min(6.5, width * rows / columns) + 0.9
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    for number, (title, values, colors, limit) in enumerate(layers, 1):
        axes = figure.add_subplot(1, len(layers), number)
        shown = axes.imshow(values, cmap=colors, vmin=0, vmax=limit, interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[])
        figure.colorbar(shown, ax=axes, orientation="horizontal", shrink=0.9, pad=0.03)
    return png(figure)


def scores(per_class: Mapping[str, Mapping[str, Any]], intervals: Mapping[str, Any]) -> bytes:
    """Draw precision, recall and F1 of each class, F1 with its interval where there is one."""
    names = list(per_class)
    figure, axes = _axes(0.9 + 0.42 * len(names))
    places = np.arange(len(names))[::-1]
    for name, marker, color in (("precision", "^", SKY), ("recall", "v", ORANGE)):
        values = [_number(per_class[one][name]) for one in names]
        axes.scatter(values, places, marker=marker, s=34, color=color, label=name, zorder=3)
    f1 = np.array([_number(per_class[one]["f1"]) for one in names])
    bounds = _bounds([(intervals.get(one) or {}).get("f1") for one in names], f1)
    axes.errorbar(f1, places, xerr=bounds, fmt="o", color=BLUE, capsize=4, label="F1", zorder=4)
    axes.set(xlim=(_begin([*f1, *(f1 - bounds[0])], per_class), 1.01))
    axes.set(ylim=(-0.7, len(names) - 0.3))
    axes.set_yticks(places, [wrapped(one, _LINE) for one in names])
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.45, 1.0 + 0.5 / len(names)),
                ncols=3, borderaxespad=0)  # fmt: skip
    return png(figure)


def areas(classes: Sequence[Mapping[str, Any]], colors: Mapping[int, str]) -> bytes:
    """Draw the mapped area of each class, and over it the estimate with its interval."""
    figure, axes = _axes(0.8 + 0.42 * len(classes))
    places = np.arange(len(classes))[::-1]
    mapped = [one["mapped_hectares"] for one in classes]
    axes.barh(places, mapped, color=[colors.get(one["id"], GREY) for one in classes],
              edgecolor="black", linewidth=0.5, height=0.62)  # fmt: skip
    told = [one.get("hectares") for one in classes]
    value = np.array([one["value"] if one else np.nan for one in told])
    if np.isfinite(value).any():
        bounds = _bounds([[one["low"], one["high"]] if one else None for one in told], value)
        axes.errorbar(value, places, xerr=bounds, fmt="D", color="black", ms=5, capsize=4,
                      label="estimate, 95 % interval")  # fmt: skip
        axes.legend(frameon=False, loc="lower right")
    axes.set_yticks(places, [wrapped(one["name"], _LINE) for one in classes])
    axes.set(xlabel="hectares", xlim=(0, None), ylim=(-0.7, len(classes) - 0.3))
    return png(figure)


def reliability(diagrams: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Draw how often pixels of a confidence are right, by name of the probabilities."""
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="as often as it says")
    for (name, one), color, marker in zip(
        diagrams.items(), (ORANGE, BLUE, GREEN), "so^", strict=False
    ):
        points = [
            (sure, right)
            for sure, right, pixels in zip(
                one["confidence"], one["accuracy"], one["pixels"], strict=True
            )
            if pixels and sure is not None and right is not None
        ]
        axes.plot(*np.array(points).reshape(-1, 2).T, color=color, marker=marker, label=name)
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    return png(figure)


def learning_curve(curve: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw the accuracy over the number of blocks of ground that were trained on."""
    figure, axes = _axes(2.6)
    blocks = [one["blocks"] for one in curve]
    for name, label, color, marker in (
        ("overall_accuracy", "overall accuracy", BLUE, "o"),
        ("f1_macro", "macro F1", ORANGE, "s"),
    ):
        if all(one.get(name) is not None for one in curve):
            axes.plot(blocks, [one[name] for one in curve], color=color, marker=marker, label=label)
    axes.set(xlabel="blocks of ground", ylabel="score")
    axes.legend(frameon=False, loc="lower right")
    return png(figure)


def shifts(alignments: Mapping[str, Alignment]) -> bytes:
    """Draw how far things lie from where they should, north up; a circle at half a pixel."""
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    reach = 1.0
    for kind, color, marker, label in (
        ("band", GREY, ".", "band from other bands"),
        ("acquisition", SKY, "o", "acquisition from the others"),
        ("reference", ORANGE, "D", "imagery from the reference"),
    ):
        found = [
            (one.dx_pixels, -one.dy_pixels)
            for alignment in alignments.values()
            for one in alignment.comparisons
            if one.comparison == kind and one.known and one.blocks > 1
        ]
        if found:
            points = np.array(found)
            reach = max(reach, 1.1 * float(np.abs(points).max()))
            east, north = points.T
            axes.scatter(east, north, color=color, marker=marker, label=label, s=30, alpha=0.8)
    axes.add_patch(Circle((0, 0), LIMIT, fill=False, color="black", lw=1))
    axes.axhline(0, color=GREY, lw=0.6)
    axes.axvline(0, color=GREY, lw=0.6)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="pixels to the east", ylabel="pixels to the north")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    return png(figure)


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _begin(values: Sequence[float], per_class: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the tenth below all scores."""
    others = [_number(one[name]) for one in per_class.values() for name in ("precision", "recall")]
    lowest = np.nanmin([*values, *others, 1.0])
    return float(np.floor(10 * lowest - 0.3) / 10) if lowest > 0.03 else -0.01


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def _bounds(
    intervals: Sequence[Sequence[float | None] | None], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (2, class), how far intervals reach below and above values; 0 where there is none."""
    pairs = [one or (None, None) for one in intervals]
    low, high = (np.array([_number(one[side]) for one in pairs]) for side in (0, 1))
    return np.nan_to_num(np.maximum([values - low, high - values], 0))
