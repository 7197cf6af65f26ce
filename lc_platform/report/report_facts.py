"""What a year's report tells, gathered from the artefacts that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rasterio.enums import Resampling

from lc_platform.area.grid import PatchGrid
from lc_platform.artefacts.layout import ASSETS, key
from lc_platform.artefacts.versions import Snapshot
from lc_platform.errors import some
from lc_platform.products.alignment import Alignment
from lc_platform.products.options import ReportOptions
from lc_platform.report.baseline import baseline
from lc_platform.storage.raster_cube import opened_file
from lc_platform.storage.store import Store

_NAMED = 12
"""Patches that a sentence names."""
_SIDE = 900
"""Pixels along the longer side of a map in the report, at most."""


@dataclass(frozen=True)
class Contents:
    """The artefacts of a year that the report is made of."""

    year: int
    store: Store
    grid: PatchGrid
    card: Mapping[str, Any]
    """Of the model."""
    metrics: Mapping[str, Any]
    """Of the evaluation, as metrics.json has them."""
    mosaic: Mapping[str, str]
    """The paths of the mosaic's files, by name."""
    areas: Mapping[str, Any]
    """The content of area_statistics."""
    objects: Mapping[str, Any]
    """What the objects of the year say of themselves."""
    observed: Sequence[str]
    """The patches with observation_stats."""
    alignments: Mapping[str, Alignment]
    """By patch."""
    versions: Mapping[str, str]
    """By asset: the version of its artefact, or how many there are."""
    change: Mapping[str, Any] | None = None
    """The content of the change from the year before; None where there is none."""


def versions(snapshot: Snapshot, year: int) -> dict[str, str]:
    """Return the version of each asset's artefact of a year; of many, how many there are."""
    told = {}
    for asset in ASSETS:
        found = {version.data for version in snapshot.recorded(asset, year).values()}
        if asset != "report" and found:
            told[asset] = found.pop() if len(found) == 1 else f"{len(found)} versions"
    return told


@dataclass
class Acquisitions:
    """The acquisitions of a year over all patches, in order of time."""

    keys: list[str] = field(default_factory=list)
    days: list[np.datetime64] = field(default_factory=list)
    patches: list[int] = field(default_factory=list)
    """How many patches each has data on."""
    valid: list[float] = field(default_factory=list)
    """Share of these patches that shows the ground, 0 to 1."""
    snow: list[float] = field(default_factory=list)
    """Likewise, that is snow."""


def acquisitions(of: Contents) -> Acquisitions:
    """Return the acquisitions, from the tables of observation_stats: one after the other."""
    sums: dict[str, list[Any]] = {}
    for patch in of.observed:
        path = f"{key('observation_stats', patch, of.year).removesuffix('.tif')}.parquet"
        rows = pq.read_table(pa.BufferReader(of.store.read_bytes(path))).to_pylist()
        for row in rows:
            if row["data_fraction"] > 0:
                found = sums.setdefault(row["acquisition"], [row["datetime"], 0, 0.0, 0.0])
                found[1] += 1
                found[2] += row["valid_fraction"]
                found[3] += row["snow_fraction"]
    told = Acquisitions()
    for name, (day, count, valid, snow) in sorted(sums.items(), key=lambda one: one[1][0]):
        told.keys.append(name)
        told.days.append(np.datetime64(day, "D"))
        told.patches.append(count)
        told.valid.append(valid / count)
        told.snow.append(snow / count)
    return told


def layer(of: Contents, name: str, *, mean: bool = False) -> NDArray[np.float64] | None:
    """Return a layer of the mosaic (y, x), smaller where it is large; None where there is none.

    mean  whether a pixel is the mean of those that it stands for, and else one of them
    """
    if name not in of.mosaic:
        return None
    with opened_file(of.store, key("mosaic", year=of.year), of.mosaic[name]) as raster:
        step = max(1.0, max(raster.shape) / _SIDE)
        shape = tuple(max(1, round(side / step)) for side in raster.shape)
        way = Resampling.average if mean else Resampling.nearest
        values = raster.read(1, out_shape=shape, resampling=way)
    return np.asarray(values, np.float64)


def left_out(of: Contents, options: ReportOptions) -> list[str]:
    """Return a sentence for each thing that the map or its evaluation was made without."""
    said = []
    missing = of.metrics.get("missing_patches") or []
    if missing:
        said.append(f"{len(missing)} patches are not in the map: {some(missing, _NAMED)}.")
    bare = [patch for patch in of.grid.keys if not of.grid.has_reference.get(patch)]
    if bare:
        said.append(
            f"{len(bare)} of {len(of.grid.patches)} patches have no reference: "
            f"{some(bare, _NAMED)}. Nothing was learnt or tested there."
        )
    if names := of.card.get("classes_without_samples"):
        said.append(f"Classes without a sample, which the map cannot show: {', '.join(names)}.")
    for layer, shares in (of.card.get("missing_layers") or {}).items():
        if shares:
            lacking = ", ".join(f"{100 * share:.3g} % of {n}" for n, share in shares.items())
            said.append(f"Training pixels without {layer}: {lacking}.")
    if options.excluded:
        said.append(f"Acquisitions left out by the configuration: {', '.join(options.excluded)}.")
    said += [f"{words}." for words in of.metrics.get("split_warnings") or []]
    if wrong := of.card.get("wrong_labels"):
        did = (
            "left out of training" if wrong.get("treatment") == "leave_out" else "kept in training"
        )
        guess = baseline(of.metrics)
        means_nothing = (
            " The classifiers that judged them are right no more often than by always saying "
            f"{guess.name}, so that this list means nothing."
            if guess is not None and not guess.is_surpassed
            else ""
        )
        said.append(
            f"Labels that are probably wrong: {wrong.get('wrong_polygons', 0)} of the "
            f"{wrong.get('judged_polygons', 0)} polygons that were judged, {did}; evaluation/"
            f"{of.year}/label_errors.gpkg lists them, each with the number of its "
            "samples: one or two are weak evidence, whatever the probability. Polygons without a "
            f"class, or without a training sample, are not judged.{means_nothing}"
        )
    return said
