"""The labels that are probably wrong: a file to look at them in, and a map of where they are."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from odc.geo.geobox import GeoBox

from lc_platform.cube import Legend
from lc_platform.products.evaluation import Evaluation
from lc_platform.products.model import LandCoverModel
from lc_platform.products.wrong_labels import LABEL_ERRORS, as_geopackage, outlines
from lc_platform.sources.reference_map import Reference

PICTURE = "label_errors.png"
_KINDS = ((True, "left out of training", "#b2182b", "o"), (False, "kept", "#e08e45", "^"))


def with_label_errors(
    evaluation: Evaluation,
    model: LandCoverModel,
    reference: Reference,
    grids: Mapping[str, GeoBox],
    classes: Legend,
) -> Evaluation:
    """Return an evaluation with the polygons whose label is probably wrong: in ``metrics`` how many
    there are, as a GeoPackage with their outlines, and on a map. As it is where the model has no
    folds to find them by.

    grids  of all patches, by patch
    """
    if model.wrong_labels is None:
        return evaluation
    names = {class_id: name for class_id, (name, _) in classes.items()}
    table = outlines(model.wrong_labels, reference.outlines, grids, names)
    metrics = {**evaluation.metrics, "wrong_labels": model.card["wrong_labels"]}
    files = {
        **evaluation.pictures,
        LABEL_ERRORS: as_geopackage(table),
        PICTURE: _map(table, grids, model.card["wrong_labels"], int(model.card["year"])),
    }
    return replace(evaluation, metrics=metrics, pictures=files)


def _map(table: Any, grids: Mapping[str, GeoBox], card: Mapping[str, Any], year: int) -> bytes:
    """Draw where they are, on the patches of the area."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.add_subplot()
    corners = [np.array(_ring(grid)) for grid in grids.values()]
    for corner in corners:
        axes.fill(*corner.T, facecolor="0.96", edgecolor="0.8", linewidth=0.5)
    drawn = table[~table.geometry.isna()]
    places = drawn.geometry.representative_point()
    for left_out, words, color, marker in _KINDS:
        here = (drawn["left_out"] == left_out).to_numpy()
        if card["treatment"] == "keep":
            here = np.full(len(drawn), not left_out)
        if here.any():
            axes.scatter(
                places.x[here], places.y[here], s=14, color=color, marker=marker,
                label=f"{words} ({int(here.sum())})",
            )  # fmt: skip
    if corners:
        middle = np.concatenate(corners)[:, 1].mean()
        axes.set_aspect(1 / max(np.cos(np.radians(middle)), 0.05))
    axes.set(
        title=f"Labels that are probably wrong, {year}: {card['wrong_polygons']:,} of "
        f"{card['judged_polygons']:,} judged polygons",
        xlabel="longitude",
        ylabel="latitude",
    )
    axes.ticklabel_format(useOffset=False)
    if len(drawn):
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _ring(grid: GeoBox) -> list[tuple[float, float]]:
    """Return the outline of a grid in longitudes and latitudes."""
    ring = grid.extent.to_crs("EPSG:4326").geom.exterior
    return [(float(x), float(y)) for x, y in ring.coords]
