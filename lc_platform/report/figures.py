"""Figures that lie beside the artefacts they are drawn from."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from typing import Any

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lc_platform.cube import LazyCube, Summary
from lc_platform.products.observation_stats import OF_GROUND, OF_SNOW, WITH_CLOUDS
from lc_platform.report.text import as_written

_GROUND, _SNOW = "#2a7f3f", "#3a86c8"
_LEAST_SHARE = 0.1
"""Of the imaged part of a patch, that a point is drawn of."""
_AREA = 28.0
"""Square points of a point that is of the whole patch."""


def with_figure(statistics: LazyCube) -> LazyCube:
    """Return observation statistics that leave a figure: valid observations, mean cloud
    probability, and the mean index over the year with and without clouds."""
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
    index = next((k.removesuffix(WITH_CLOUDS) for k in table if k.endswith(WITH_CLOUDS)), None)
    if index is None:
        ground = table["valid_fraction"] - table["snow_fraction"]
        axes.bar(dates, ground, width=2.0, color=_GROUND, label="ground")
        if table["snow_fraction"].any():
            snow = table["snow_fraction"]
            axes.bar(dates, snow, width=2.0, bottom=ground, color=_SNOW, label="snow")
        axes.set(ylabel="share of the patch", title="valid share of the patch", ylim=(0, 1))
    else:
        imaged = max(1 - float(summary.facts["pixels_without_data"]), 1e-9)
        for values, share, label, color, width in (
            (WITH_CLOUDS, table["data_fraction"], "all pixels", "0.65", 1.0),
            (
                OF_GROUND,
                table["valid_fraction"] - table["snow_fraction"],
                "ground, without clouds",
                _GROUND,
                1.5,
            ),
            (OF_SNOW, table["snow_fraction"], "snow", _SNOW, 0.0),
        ):
            _series(
                axes, np.array(dates), table[index + values], share / imaged, label, color, width
            )
        label = f"mean {index.upper()}"
        axes.set(ylabel=label, title=f"{label} of the patch (a point's size: the share it shows)")
    dates_on_axis = mdates.ConciseDateFormatter(  # type: ignore[no-untyped-call]
        axes.xaxis.get_major_locator()
    )
    axes.xaxis.set_major_formatter(dates_on_axis)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False)
    figure.suptitle(title)
    return png(figure)


def _series(
    axes: Axes,
    dates: NDArray[Any],
    values: NDArray[np.float64],
    shares: NDArray[np.float64],
    label: str,
    color: str,
    width: float,
) -> None:
    """Draw means along time; the less of the patch one is of, the smaller and paler its point.

    What is of less than a tenth says nothing of the patch and is left out.
    """
    shown = (shares >= _LEAST_SHARE) & np.isfinite(values)
    if not shown.any():
        return
    dates, values, shares = dates[shown], values[shown], np.clip(shares[shown], 0, 1)
    if width:
        axes.plot(dates, values, color=color, lw=width, alpha=0.5, zorder=2)
    axes.scatter(
        dates,
        values,
        s=_AREA * shares * (width or 2.5),
        color=[to_rgba(color, 0.25 + 0.75 * share) for share in shares],
        marker="o" if width else "*",
        label=label,
        zorder=3,
    )


def png(figure: Figure) -> bytes:
    """A figure as PNG, with its text as it is written."""
    as_written(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # which as_written has said
        # A layout that fits its contents needs no second drawing to find their bounds.
        bounds = None if figure.get_layout_engine() else "tight"
        figure.savefig(buffer, format="png", dpi=110, bbox_inches=bounds)
    return buffer.getvalue()
