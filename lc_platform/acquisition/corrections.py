"""What need not be read again of acquisitions that an archive has, or of those that it has
corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lc_platform.acquisition.read_plan import Grid, Plan
from lc_platform.acquisition.reuse import LINKS, TAGS, ReusableAcquisition, changed, is_whole
from lc_platform.errors import PlatformError
from lc_platform.sources.protocol import Acquisition, Cost, Pixels, Source


@dataclass(frozen=True)
class Reused:
    """What is held of an acquisition that is wanted."""

    held: ReusableAcquisition
    changed: frozenset[str]
    """Bands that are to be read again; all else is taken over."""


def reusable(
    plan: Plan, wanted: Sequence[Acquisition], held: Sequence[ReusableAcquisition]
) -> Mapping[int, Reused]:
    """Position -> what is held of the acquisition, of which not all is to be read again."""
    described, grids = plan.described(), [grid.name for grid in plan.grids]
    known: dict[str, list[ReusableAcquisition]] = {}
    for one in held:
        if one.facts.get("read_as") == described:
            known.setdefault(str(one.facts["key"]), []).append(one)
    found: dict[int, Reused] = {}
    for position, acquisition in enumerate(wanted):
        for one in known.get(acquisition.key, ()):
            bands = changed(one.facts, acquisition, plan.bands)
            if bands is None or (bands >= set(plan.all_bands) and not one.facts.get(TAGS)):
                continue
            if bands and position in found:
                continue  # what came first is as good
            if one.sure or is_whole(one, grids):
                found[position] = Reused(one, bands)
            if not bands:
                # What is damaged here is so in a failed writing too, which has linked or copied it.
                break
    return found


def updated(source: Source, acquisition: Acquisition, grid: Grid, reused: Reused) -> Pixels:
    """An acquisition on a grid, of which only those bands are read whose files have changed.

    What is held of the other bands is 0 where any band had no data. So where a changed band has
    data now and the acquisition had none, and where a pixel may come from another granule than it
    did, all bands are read.
    """
    was = reused.held.facts
    differing = [band for band in grid.bands if band in reused.changed]
    again = [band for band in differing if not _is_the_same_file(was, acquisition, band)]
    told = [acquisition.bands.get(band) for band in grid.bands]
    calibration = [(one.scale, one.offset) for one in told if one is not None]
    if len(again) == len(grid.bands):
        return source.read(acquisition, grid.geobox, grid.bands)
    tags = {band: tag for band, tag in was.get(TAGS, {}).items() if band in grid.bands}
    if len(calibration) < len(told) or (again and len(acquisition.items) > 1):
        return source.read(acquisition, grid.geobox, grid.bands)
    try:
        values, mask = (
            reused.held.origin.part(f"{grid.prefix}{layer}", reused.held.position)
            for layer in ("bands", "data_mask")
        )
    except PlatformError as error:
        if not error.damaged:
            raise
        return source.read(acquisition, grid.geobox, grid.bands)
    values, data_mask, spent = values.copy(), mask.astype(bool), Cost()
    if again:
        fresh = source.read(acquisition, grid.geobox, again)
        spent = fresh.cost
        tags = {band: tag for band, tag in tags.items() if band not in again} | {**fresh.tags}
        if (fresh.data_mask & ~data_mask).any():
            everything = source.read(acquisition, grid.geobox, grid.bands)
            return replace(everything, cost=spent + everything.cost)
        data_mask &= fresh.data_mask
        values[[grid.bands.index(band) for band in again]] = fresh.values
        values[:, ~data_mask] = 0
    scale, offset = np.array(calibration, np.float64).reshape(-1, 2).T
    return Pixels(values, data_mask, scale, offset, spent, tags)


def _is_the_same_file(was: Mapping[str, Any], acquisition: Acquisition, band: str) -> bool:
    """Whether the archive tells another time alone of a band's file, and the file's server tells
    that it is the one that was read."""
    now, tag = acquisition.bands.get(band), was.get(TAGS, {}).get(band)
    if now is None or now.tag is None or not tag or was.get(LINKS, {}).get(band) != now.link:
        return False
    return bool(now.tag() == tag)
