"""Reuse of stored acquisitions, also of those that an archive has corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lc_platform.acquisition.read_plan import Grid, Plan
from lc_platform.acquisition.reuse import LINKS, TAGS, ReusableAcquisition, changed, is_whole
from lc_platform.catalogue import FILL_VALUES
from lc_platform.errors import PlatformError
from lc_platform.sources.protocol import Acquisition, Cost, Pixels, Source


@dataclass(frozen=True)
class Reused:
    """A stored acquisition that is reused."""

    acquisition: ReusableAcquisition
    changed: frozenset[str]
    """Bands that are read again; all others are reused."""


def reusable(
    plan: Plan,
    wanted: Sequence[Acquisition],
    stored: Sequence[ReusableAcquisition],
    positions: Sequence[int],
) -> Mapping[int, Reused]:
    """Return position -> the stored acquisition, for those that need not be read as a whole.

    positions  of the acquisitions wanted that are looked for
    """
    read_as, grids = plan.digest(), [grid.name for grid in plan.grids]
    known: dict[str, list[ReusableAcquisition]] = {}
    for one in stored:
        if one.facts.get("read_as") == read_as:
            known.setdefault(str(one.facts["key"]), []).append(one)
    found: dict[int, Reused] = {}
    for position in positions:
        acquisition = wanted[position]
        for one in known.get(acquisition.key, ()):
            bands = changed(one.facts, acquisition, plan.bands)
            if bands is None or (bands >= set(plan.all_bands) and not one.facts.get(TAGS)):
                continue
            if bands and position in found:
                continue  # the first is as good
            if one.verified or is_whole(one, grids):
                found[position] = Reused(one, bands)
            if not bands:
                # What is damaged here is damaged in an unfinished write too, which has copied it.
                break
    return found


def updated(source: Source, acquisition: Acquisition, grid: Grid, reused: Reused) -> Pixels:
    """Return an acquisition on a grid, of which only those bands are read whose files have changed.

    The stored values of the other bands are no data where any band had none. So where a changed
    band has data now and the acquisition had none, and where a pixel may come from another granule
    than before, all bands are read.
    """
    was = reused.acquisition.facts
    differing = [band for band in grid.bands if band in reused.changed]
    again = [band for band in differing if not _is_the_same_file(was, acquisition, band)]
    contents = [acquisition.bands.get(band) for band in grid.bands]
    calibration = [(one.scale, one.offset) for one in contents if one is not None]
    if len(again) == len(grid.bands):
        return source.read(acquisition, grid.geobox, grid.bands)
    tags = {band: tag for band, tag in was.get(TAGS, {}).items() if band in grid.bands}
    if len(calibration) < len(contents) or (again and len(acquisition.items) > 1):
        return source.read(acquisition, grid.geobox, grid.bands)
    try:
        values, mask = (
            reused.acquisition.origin.part(f"{grid.prefix}{layer}", reused.acquisition.position)
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
        values[:, ~data_mask] = FILL_VALUES[str(values.dtype)]
    scale, offset = np.array(calibration, np.float64).reshape(-1, 2).T
    return Pixels(values, data_mask, scale, offset, spent, tags)


def _is_the_same_file(was: Mapping[str, Any], acquisition: Acquisition, band: str) -> bool:
    """Whether only the archive's time of a band's file has changed, and the file's server says that
    it is the one that was read."""
    now, tag = acquisition.bands.get(band), was.get(TAGS, {}).get(band)
    if now is None or now.tag is None or not tag or was.get(LINKS, {}).get(band) != now.link:
        return False
    return bool(now.tag() == tag)
