"""Several ways to make a map, judged on the same pixels and the same ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Legend, windows
from lc_platform.eo import bootstrap
from lc_platform.eo.bootstrap import ScoreIntervals
from lc_platform.errors import DataError
from lc_platform.products.ground_folds import GroundFolds, confusion_in_blocks
from lc_platform.products.held_out_predictions import HeldOutPredictions
from lc_platform.products.model import LandCoverModel
from lc_platform.products.reference_rasters import ReferenceMap


@dataclass(frozen=True, eq=False)
class Validated:
    """What validation has of one way to make a year's map."""

    model: LandCoverModel
    held_out: Mapping[str, HeldOutPredictions]
    """By patch."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Scores on the pixels that all have predicted, each by a classifier of other ground."""

    pixels: int
    blocks: int
    """Of ground, which the intervals are of."""
    scores: tuple[ScoreIntervals, ...]
    """Of each."""
    differences: tuple[ScoreIntervals, ...]
    """Of each but the first: its scores less those of the first, on the same draws of blocks."""
    same_folds: tuple[bool, ...]
    """Of each: whether its folds are those of the first."""


def compare(
    ways: Sequence[Validated],
    references: Mapping[str, ReferenceMap],
    classes: Legend,
    *,
    seed: int,
    window: int,
) -> Compared:
    """Compare ways to make a map, on the unambiguous reference pixels that all have predicted.

    ways        two or more
    references  by patch
    seed        of the draws of the intervals
    window      pixels along the side of what is counted at a time

    Raises DataError where no pixel has been predicted by all, or they lie on one block of ground.
    """
    found = confusion_by_block(ways, references, classes, window=window)
    if len(found) < 2:
        raise DataError(
            f"{len(found)} block{'' if len(found) == 1 else 's'} of ground with a reference that "
            f"all {len(ways)} have predicted: a comparison needs two. Take smaller blocks "
            "(validation.block_size), or extend the reference"
        )
    matrices = np.stack([found[block] for block in sorted(found)], axis=1)
    return Compared(
        pixels=int(matrices[0].sum()),
        blocks=len(found),
        scores=tuple(bootstrap.score_intervals(one, seed=seed) for one in matrices),
        differences=tuple(
            bootstrap.score_differences(matrices[0], one, seed=seed) for one in matrices[1:]
        ),
        same_folds=tuple(_same(ways[0].model.ground, way.model.ground) for way in ways),
    )


def confusion_by_block(
    ways: Sequence[Validated],
    references: Mapping[str, ReferenceMap],
    classes: Legend,
    *,
    window: int,
) -> dict[int, NDArray[np.int64]]:
    """Return, by block of ground, (way, reference class, predicted class), in pixels that all have
    predicted; see `compare`."""
    found: dict[int, NDArray[np.int64]] = {}
    for patch in sorted(set(references).intersection(*(set(way.held_out) for way in ways))):
        counted = _counted(ways, patch, references[patch], tuple(classes), window)
        for block, matrices in counted.items():
            found[block] = found.get(block, 0) + matrices
    return found


def _counted(
    ways: Sequence[Validated], patch: str, reference: ReferenceMap, ids: Sequence[int], window: int
) -> dict[int, NDArray[np.int64]]:
    """Return (way, reference class, predicted class) of each block of a patch."""
    counted: dict[int, NDArray[np.int64]] = {}
    ground, geobox = ways[0].model.ground, ways[0].held_out[patch].geobox
    for way in ways:
        reference.check_lies_on(way.held_out[patch].geobox, way.held_out[patch].name)
    for tile in windows(geobox.shape, window):
        labels = reference.unambiguous(tile)
        mapped = [way.held_out[patch].classes(tile) for way in ways]
        here = (labels != 0) & np.logical_and.reduce([one != 0 for one in mapped])
        if not here.any():
            continue
        found = confusion_in_blocks(
            ground, patch, geobox, partial(reference.polygons, tile),
            here, labels[here], [one[here] for one in mapped], ids, tile,
        )  # fmt: skip
        for block, matrices in found.items():
            counted[block] = counted.get(block, 0) + matrices
    return counted


def _same(one: GroundFolds | None, other: GroundFolds | None) -> bool:
    if one is None or other is None:
        return one is other
    return (
        np.array_equal(one.blocks, other.blocks)
        and np.array_equal(one.folds, other.folds)
        and np.array_equal(one.polygons, other.polygons)
        and np.array_equal(one.homes, other.homes)
    )
