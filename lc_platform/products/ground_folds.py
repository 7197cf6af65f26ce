"""The blocks of ground that are held out together, and the fold that each is tested in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import Window, whole
from lc_platform.eo import accuracy
from lc_platform.eo import folds as dealing
from lc_platform.eo.folds import Folds
from lc_platform.products.training_samples import Samples

_UTM = re.compile(r"^EPSG:32([67])(\d\d)$", re.IGNORECASE)

Blocks = NDArray[np.int64]
"""Keys of blocks: a block has the same one wherever it is computed."""


def patch_block(patch: str) -> int:
    """Return the key of the block that a whole patch is."""
    return int.from_bytes(hashlib.sha256(patch.encode()).digest()[:8], "big") >> 1


def blocks_at(
    patch: str,
    geobox: GeoBox | None,
    rows: NDArray[np.integer],
    columns: NDArray[np.integer],
    size: float | None,
) -> Blocks:
    """Return the block that each pixel of a patch lies in.

    geobox         the patch's grid; only squares need it
    rows, columns  of the pixels, of one shape
    size           metres along the side of the squares; None where a patch is a block
    """
    shape = np.broadcast_shapes(np.shape(rows), np.shape(columns))
    if size is None:
        return np.full(shape, patch_block(patch), np.int64)
    if geobox is None:
        raise ValueError(f"patch {patch}: squares of {size:g} m cannot be laid without its grid.")
    affine = geobox.affine
    x = affine.c + affine.a * (np.asarray(columns, np.float64) + 0.5)
    y = affine.f + affine.e * (np.asarray(rows, np.float64) + 0.5)
    x, y = np.broadcast_arrays(x, y)
    return dealing.block_keys(x, y, size, _zone(geobox))


def _zone(geobox: GeoBox) -> int:
    """Return a number that tells UTM zones apart, 0 for another CRS, which is all of an area's."""
    found = _UTM.match(str(geobox.crs))
    if found is None:
        return 0
    return int(found[2]) + (0 if found[1] == "6" else 60)


@dataclass(frozen=True, eq=False)
class GroundFolds:
    """Which fold each block is tested in. All pixels of a polygon count for the block in which most
    of its samples lie, so that no fold is tested on a polygon that it was trained on."""

    count: int
    """Folds."""
    size: float | None
    """Metres along the side of a block; None where a patch is a block."""
    blocks: Blocks
    """(block,), ascending: those that have samples."""
    folds: NDArray[np.uint8]
    """(block,), from 0."""
    polygons: NDArray[np.uint32]
    """(polygon,), ids, ascending: those that have samples."""
    homes: Blocks
    """(polygon,), the block that a polygon's pixels count for."""

    def blocks_of(
        self,
        patch: str,
        geobox: GeoBox | None,
        rows: NDArray[np.integer],
        columns: NDArray[np.integer],
        polygons: NDArray[np.uint32],
    ) -> Blocks:
        """Return the block that each pixel counts for.

        rows, columns, polygons  of the pixels, of one shape; 0 is no polygon. See `blocks_at`.
        """
        found = np.array(blocks_at(patch, geobox, rows, columns, self.size))
        if len(self.polygons):
            at = np.minimum(np.searchsorted(self.polygons, polygons), len(self.polygons) - 1)
            known = (self.polygons[at] == polygons) & (polygons != 0)
            found[known] = self.homes[at[known]]
        return found

    def blocks_in(
        self,
        patch: str,
        geobox: GeoBox,
        polygons: NDArray[np.uint32],
        window: Window | None = None,
    ) -> Blocks:
        """Return the block of each pixel of a window of a patch, (y, x).

        polygons  (y, x), of the window
        """
        rows, columns = window or whole(geobox)
        grid = np.mgrid[rows.start : rows.stop, columns.start : columns.stop]
        return self.blocks_of(patch, geobox, grid[0], grid[1], polygons)

    def fold_of(self, blocks: Blocks) -> NDArray[np.uint8]:
        """Return the fold of each block. One without samples, which no classifier has seen, is in
        the fold that its key names."""
        if not len(self.blocks):
            return np.asarray(blocks % self.count, np.uint8)
        at = np.minimum(np.searchsorted(self.blocks, blocks), len(self.blocks) - 1)
        return np.where(
            self.blocks[at] == blocks, self.folds[at], (blocks % self.count).astype(np.uint8)
        )

    def of_samples(self, samples: Samples, geobox: GeoBox | None) -> NDArray[np.uint8]:
        """Return the fold in which each sample of a patch is tested, (sample,)."""
        return self.fold_of(self.blocks_of_samples(samples, geobox))

    def blocks_of_samples(self, samples: Samples, geobox: GeoBox | None) -> Blocks:
        """Return the block that each sample of a patch counts for, (sample,)."""
        return self.blocks_of(
            samples.patch, geobox, samples.rows, samples.columns, samples.polygons
        )


def confusion_in_blocks(
    ground: GroundFolds | None,
    patch: str,
    geobox: GeoBox,
    polygons: Callable[[], NDArray[np.uint32]],
    here: NDArray[np.bool_],
    labels: NDArray[np.uint8],
    mapped: Sequence[NDArray[np.uint8]],
    class_ids: Sequence[int],
    window: Window,
) -> dict[int, NDArray[np.int64]]:
    """Return, by block of ground, (map, reference class, predicted class) of pixels of a window.

    ground    None where a patch is a block
    polygons  gives the reference's, (y, x), ids
    here      (y, x), which pixels count
    labels    (pixel,), of these; class ids
    mapped    likewise, of each map
    """
    if ground is None:
        blocks = np.full(len(labels), patch_block(patch))
    else:
        blocks = ground.blocks_in(patch, geobox, polygons(), window)[here]
    keys, position = np.unique(blocks, return_inverse=True)
    matrices = [
        accuracy.confusion_by_block(position, len(keys), labels, one, class_ids) for one in mapped
    ]
    return dict(zip(keys.tolist(), np.stack(matrices, axis=1), strict=True))


def dealt(
    samples: Mapping[str, Samples],
    grids: Mapping[str, GeoBox],
    class_ids: Sequence[int],
    *,
    count: int,
    size: float | None,
    seed: int,
) -> tuple[GroundFolds, Folds]:
    """Deal the blocks that have samples out to folds; to as many as there are blocks where these
    are fewer than ``count``.

    samples    by patch
    grids      by patch; only squares need them
    class_ids  of all samples
    Returns the folds, and what each of them has of every class.

    Raises ValueError where fewer than two blocks have samples, or these are of one class.
    """
    polygons = np.concatenate([one.polygons for one in samples.values()])
    own = np.concatenate(
        [
            blocks_at(patch, grids.get(patch), one.rows, one.columns, size)
            for patch, one in samples.items()
        ]
    )
    classes = np.concatenate([one.classes for one in samples.values()])
    in_polygon = polygons != 0
    groups, homes = dealing.home_blocks(polygons[in_polygon], own[in_polygon])
    blocks = own.copy()
    blocks[in_polygon] = homes[np.searchsorted(groups, polygons[in_polygon])]
    keys, position = np.unique(blocks, return_inverse=True)
    ids = np.asarray(class_ids)
    counts = np.bincount(
        position * len(ids) + np.searchsorted(ids, classes), minlength=len(keys) * len(ids)
    ).reshape(len(keys), len(ids))
    found = dealing.assign_folds(
        counts.astype(np.int64), max(2, min(count, len(keys))), seed, class_ids
    )
    ground = GroundFolds(
        len(found.test),
        size,
        keys,
        found.fold.astype(np.uint8),
        groups.astype(np.uint32),
        np.asarray(homes, np.int64),
    )
    return ground, found
