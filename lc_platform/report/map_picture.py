"""A picture of the map, with its classes and their shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lc_platform.products.mosaic import Mosaic
from lc_platform.products.reference_rasters import colored
from lc_platform.report.figures import png
from lc_platform.report.text import wrapped

_SIDE = 8.0
"""Inches of the map's longer side."""
_LINE = 32
"""Characters in a line of a class's name."""
_NO_DATA = "#d9d9d9"


def with_map_picture(mosaic: Mosaic) -> Mosaic:
    """A mosaic that leaves a picture of its map."""
    return replace(mosaic, drawn=lambda classes, pixels: _drawn(mosaic, classes, pixels))


def _drawn(mosaic: Mosaic, classes: NDArray[np.uint8], pixels: Mapping[int, int]) -> bytes:
    """The map and beside it its classes, the largest first, with their shares of what is mapped."""
    rows, columns = classes.shape
    scale = _SIDE / max(rows, columns)
    figure = Figure(figsize=(max(2.0, columns * scale) + 3.5, max(2.0, rows * scale)))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    of = mosaic.options.classes
    picture = colored(classes, {0: ("no data", _NO_DATA), **of})
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    axes.set_anchor("NW")
    mapped = sum(pixels.values())
    largest = sorted(pixels, key=lambda i: -pixels[i])
    keys = [
        Patch(
            facecolor=of[i][1],
            edgecolor="black",
            linewidth=0.4,
            label=f"{wrapped(of[i][0], _LINE)}  {pixels[i] / mapped:.1%}",
        )
        for i in largest
    ]
    if not classes.all():
        keys.append(Patch(facecolor=_NO_DATA, edgecolor="black", linewidth=0.4, label="no data"))
    axes.legend(
        handles=keys,
        title=f"Land cover of {mosaic.year}",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        frameon=False,
        alignment="left",
    )
    return png(figure)
